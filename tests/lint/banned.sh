#!/bin/bash
# banned.sh - functions and forms that this project does not use, in code (not in comments and strings). One row per
# rule: a regular expression, the files it is allowed in, what to use instead.
. "$(dirname "$0")/common.sh"
rules='
\b(strcpy|strcat|stpcpy|sprintf|vsprintf|gets)[ ]*\( ~~ - ~~ snprintf, memcpy, struct buf
\b(strtok|strtok_r)[ ]*\( ~~ - ~~ struct slice
\b(atoi|atol|atoll|atof)[ ]*\( ~~ - ~~ num_int, num_real
\b(strtod|strtof|strtold)[ ]*\( ~~ ^base/num\.c$ ~~ num_real
\b(gmtime|localtime|ctime|asctime)[ ]*\( ~~ - ~~ nothing: no dates in outputs
\b(rand|srand|random|srandom|drand48)[ ]*\( ~~ - ~~ base/rng.h
\b(alloca|longjmp|setjmp)[ ]*\( ~~ - ~~ base/mem.h, errors as values
\b(malloc|calloc|realloc|free|aligned_alloc|posix_memalign|strdup|strndup|asprintf|vasprintf)[ ]*\( ~~ ^(base/mem\.c$|tests/|bench/) ~~ base/mem.h
\btypedef[ ]+(struct|union|enum)\b ~~ ^kernels/simd_ ~~ struct S without typedef
\b(system|popen|mktemp|tmpnam|tempnam)[ ]*\( ~~ ^(tests|bench)/ ~~ nothing: qpipe starts no programs
\bsetlocale[ ]*\( ~~ ^(pipeline|io|tests)/ ~~ base/num.h
\b__(DATE|TIME|TIMESTAMP)__\b ~~ - ~~ base/version.h
'
mapfile -t files < <(sources)
[ ${#files[@]} -gt 0 ] || finish "banned: no sources"
code=$(mktemp) || exit 2
trap 'rm -f "$code"' EXIT
code_only "${files[@]}" >"$code"
n=0
while IFS= read -r rule; do
    [ -n "$rule" ] || continue
    n=$((n + 1))
    pattern=${rule%% ~~ *} instead=${rule##* ~~ } where=${rule#* ~~ }
    where=${where%% ~~ *}
    while IFS= read -r hit; do
        file=${hit%%:*} line=${hit#*:}
        if [ "$where" != - ] && [[ $file =~ $where ]]; then continue; fi
        what=$(printf '%s\n' "$hit" | cut -d: -f3- | grep -oE -- "$pattern" | head -n 1)
        what=${what%(}
        found "$file:${line%%:*}: ${what% } is banned here; use: $instead"
    done < <(grep -E -- "$pattern" "$code")
done <<<"$rules"
finish "banned: ${#files[@]} files, $n rules"
