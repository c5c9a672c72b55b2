#!/bin/bash
# sizes.sh - no function above 100 lines, no file above 800, no header above 300, but for the exceptions by name in
# long.txt ("path" or "path:function", then the reason). Says the mean, for product code and tests apart. A function is
# what stands between { and } in column 1 (the format of .clang-format), its head included.
. "$(dirname "$0")/common.sh"
allowed() { [ -r tests/lint/long.txt ] && grep -v '^#' tests/lint/long.txt | awk '{ print $1 }' | grep -qxF -- "$1"; }

functions() {
    awk '
    FNR == 1 { open = 0; head = 0 }
    /^[A-Za-z_].*\) \{.*\}$/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name); print FILENAME, FNR, 1, name; next }
    /^[A-Za-z_]/ && !/;$/ && !open { if (/\(/) { head = FNR; name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) } }
    /^\{$/ && head { open = FNR }
    /^\}$/ && open { print FILENAME, head, FNR - head + 1, name; open = 0; head = 0 }
    ' "$@"
}
report() { # report NAME FILES...
    local what=$1
    shift
    [ $# -eq 0 ] && return
    functions "$@" | awk -v what="$what" '
        { n++; sum += $3; if ($3 > 60) ask++; if ($3 > max) { max = $3; at = $1 ":" $2 " " $4 } }
        END { if (n) printf "sizes: %s: %d functions, mean %.1f lines, %d above 60, longest %d (%s)\n", what, n, sum / n, ask, max, at }'
}

mapfile -t product < <(sources | grep -E "^($(rooms | paste -sd '|'))/")
mapfile -t rest < <(sources | grep -vE "^($(rooms | paste -sd '|'))/")
while read -r file line length name; do
    [ "$length" -gt 100 ] || continue
    allowed "$file:$name" || found "$file:$line: function $name has $length lines, at most 100 (or a line in tests/lint/long.txt with the reason)"
done < <(functions "${product[@]}" "${rest[@]}" /dev/null)
for file in "${product[@]}" "${rest[@]}"; do
    most=800
    case $file in *_tmpl.h) ;; *.h) most=300 ;; esac
    length=$(wc -l <"$file")
    [ "$length" -le "$most" ] || allowed "$file" ||
        found "$file:1: $length lines, at most $most (or a line in tests/lint/long.txt with the reason)"
done
# An exception that is no longer one is removed.
if [ -r tests/lint/long.txt ]; then
    while read -r entry _; do
        [ -f "${entry%%:*}" ] || found "tests/lint/long.txt: $entry is not there"
    done < <(grep -v '^#' tests/lint/long.txt | grep .)
fi
report "product" "${product[@]}"
report "tests and bench" "${rest[@]}"
finish "sizes: ${#product[@]} + ${#rest[@]} files"
