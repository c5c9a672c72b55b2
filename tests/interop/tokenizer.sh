#!/bin/bash
# tokenizer.sh QPIPE - `qpipe tokenize` gives the ids of the tokenizers library, on the example model's texts and, where
# the shared fixtures are, on their texts by a few families of tokenizers.
. "$(dirname "$0")/common.sh"
step "the held-out text" peer tok_check "$qpipe" examples/tiny examples/tiny/heldout.txt
printf 'plain\n\n  two spaces\tand a tab\r\n\xc3\xa9 e\xcc\x81 \xe6\xbc\xa2\xe5\xad\x97 \xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x94\xac 12345 <s></s>\n' >"$work/odd.txt"
: >"$work/empty.txt"
printf 'no line end' >"$work/open.txt"
step "odd texts" peer tok_check "$qpipe" examples/tiny "$work/odd.txt" "$work/empty.txt" "$work/open.txt"

shared=../shared
if [ -d $shared/tokenizers ] && [ -d $shared/text ]; then
    mkdir "$work/families"
    for archive in "$shared"/tokenizers/{bert,gpt2,llama2,t5}*.tar.xz; do
        [ -f "$archive" ] && tar -xJf "$archive" -C "$work/families"
    done
    texts=("$shared"/text/{en_prose,code_c,whitespace,emoji,combining_nfd,zh,numbers_urls}.txt)
    for family in "$work"/families/*/; do
        "$qpipe" tokenize "$family" "$work/open.txt" >/dev/null 2>"$work/why"
        if [ $? = 6 ]; then # a kind of tokenizer that is known and not built
            echo "skipped: family $(basename "$family") ($(head -n 1 "$work/why" | sed 's/.*tokenizer.json: //'))"
            continue
        fi
        step "family $(basename "$family")" peer tok_check "$qpipe" "$family" "${texts[@]}"
    done
else
    echo "skipped: tokenizer families of the shared fixtures (no ../shared)"
fi
finish
