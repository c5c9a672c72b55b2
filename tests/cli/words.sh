#!/bin/sh
# words.sh - what qpipe says of itself, and what it says to words that it does not know.
. tests/cli/common.sh

run 0 "help lists the commands" "$qpipe" help
for c in run plan inspect verify diff rebuild eval tokenize list schema help version submit status; do
    ok "help names $c" says out "  $c "
done
cp "$work/out" "$work/help"
run 0 "no word at all is help" "$qpipe"
ok "and says the same" cmp "$work/out" "$work/help"
run 0 "--help is help" "$qpipe" --help
ok "and says the same" cmp "$work/out" "$work/help"
run 0 "version" "$qpipe" --version
ok "version names program and number" grep -Eq '^qpipe [0-9]+\.[0-9]+\.[0-9]+ \(commit ([0-9a-f]{40}|unknown)\)' "$work/out"
ok "nothing on stderr" silent err

for c in run plan inspect verify diff rebuild eval tokenize list schema help version submit status; do
    run 0 "help $c" "$qpipe" help $c
    ok "help $c begins with its usage" grep -q "^usage: qpipe $c" "$work/out"
    cp "$work/out" "$work/help"
    run 0 "$c --help" "$qpipe" $c --help
    ok "$c --help says the same" cmp "$work/out" "$work/help"
done
run 0 "help of a modifier" "$qpipe" help GPTQModifier
ok "help of a modifier names its options" says out dampening_frac
run 0 "help of exit statuses" "$qpipe" help exit-status
for n in 0 1 2 3 4 5 6 70 75; do
    ok "exit status $n is explained" grep -Eq "^ +$n  [a-z]" "$work/out"
    ok "docs/exit-status.md has $n" grep -Eq "^\| $n " docs/exit-status.md
done

run 0 "list prints all tables" "$qpipe" list
for word in GPTQModifier memoryless_minmax compressed-tensors W4A16_ASYM llama communicators; do
    ok "list has $word" says out "$word"
done
run 0 "schema" "$qpipe" schema
if have python3; then
    ok "the schema is JSON" json out
    ok "the schema has the options of GPTQ" says out dampening_frac
else
    skip "JSON checks (no python3)"
fi
run 0 "man page" "$qpipe" help --man
cp "$work/out" "$work/qpipe.1"
if have groff; then
    ok "groff sets the man page without a warning" sh -c "groff -man -Tascii -P-cbou -ww '$work/qpipe.1' 2>&1 >'$work/page' | { ! grep .; }"
    ok "the page has every section" sh -c "for s in NAME SYNOPSIS COMMANDS 'EXIT STATUS'; do grep -q \"\$s\" '$work/page' || exit 1; done"
else
    skip "setting the man page (no groff)"
fi
for shell in bash zsh fish; do
    run 0 "completion for $shell" "$qpipe" help --completion $shell
    cp "$work/out" "$work/complete.$shell"
done
if have bash; then
    cat >"$work/try.bash" <<'EOF'
set -u
. "$1"
cd /
COMP_WORDS=(qpipe "$2") COMP_CWORD=1
[ $# -lt 3 ] || COMP_WORDS=(qpipe "$2" "$3") COMP_CWORD=2
COMPREPLY=()
_qpipe
printf '%s\n' "${COMPREPLY[@]}"
EOF
    run 0 "bash completes commands" bash "$work/try.bash" "$work/complete.bash" ver
    ok "both commands beginning with ver are offered" sh -c "sort '$work/out' | tr '\n' ' ' | grep -q 'verify version'"
    run 0 "bash completes options" bash "$work/try.bash" "$work/complete.bash" run --fo
    ok "--force is offered" says out --force
    run 0 "options of every command are completed too" bash "$work/try.bash" "$work/complete.bash" eval --thr
    ok "--threads is offered" says out --threads
else
    skip "completion in bash (no bash)"
fi

run 2 "an unknown command" "$qpipe" plann
ok "is named" says err "found no command 'plann'"
ok "with the nearest one" says err "did you mean 'qpipe plan'?"
ok "and nothing on stdout" silent out
run 2 "an unknown option" "$qpipe" run x.yaml --ouput y
ok "is named" says err "found option '--ouput', expected an option of \`qpipe run\`"
ok "with the nearest one" says err "did you mean '--output'?"
run 2 "a value out of range" "$qpipe" list --threads 5000
ok "says the range" says err "threads: found '5000', expected an integer in [0, 4096]"
run 2 "an option without its value" "$qpipe" plan x.yaml --model
ok "is named" says err "option '--model' needs a value"
run 2 "too few words" "$qpipe" run
ok "says the usage" says err "expected: qpipe run RECIPE"
run 2 "too many words" "$qpipe" run a b
run 2 "an option with one dash" "$qpipe" plan -v
run 2 "an unknown topic of help" "$qpipe" help nothing
run 2 "unknown kernels" "$qpipe" list --kernels sse9
ok "are named" says err "found 'sse9', expected c, avx2 or avx512"
run 4 "a recipe that is not there" "$qpipe" plan "$work/none.yaml"
ok "is named" says err "$work/none.yaml"
run 2 "a model that is not there" "$qpipe" plan examples/quickstart.yaml --model "$work/none"
ok "is named" says err "$work/none"
run 2 "a modifier with a typing error" sh -c "printf 'version: 1\nstages:\n  - GTPQModifier: {scheme: W4A16}\n' >'$work/r.yaml'; '$qpipe' plan '$work/r.yaml' --model '$tiny'"
ok "has line and column" says err "r.yaml:3:5:"
ok "and the nearest name" says err "did you mean 'GPTQModifier'?"
printf 'version: 1\nstages:\n  - AutoRoundModifier: {scheme: W4A16}\n' >"$work/r.yaml"
run 6 "a modifier that is not built yet" "$qpipe" plan "$work/r.yaml" --model "$tiny"
ok "is named" says err AutoRoundModifier
run 2 "a number that YAML 1.1 would misread" sh -c "printf 'version: 1\nstages:\n  - calibrate: {samples: 0100}\n' >'$work/r.yaml'; '$qpipe' plan '$work/r.yaml' --model '$tiny'"
ok "is explained" says err "octal"
if [ -c /dev/full ]; then
    run 4 "results that can not be written" sh -c "'$qpipe' list >/dev/full"
    ok "are an error" says err "can not write"
fi
finish
