#!/bin/bash
# format.sh [ROOT] - the sources are as clang-format 14 writes them; format.sh --fix rewrites them. Exit 77 without that
# version: others break lines elsewhere.
fix=0
[ "${1:-}" = --fix ] && { fix=1; shift; }
. "$(dirname "$0")/common.sh"
tool=
for t in clang-format-14 clang-format; do
    if command -v $t >/dev/null && $t --version | grep -q 'version 14\.'; then tool=$t; break; fi
done
if [ -z "$tool" ]; then
    echo "skipped: the format of the sources (no clang-format 14)"
    exit 77
fi
mapfile -t files < <(sources)
[ ${#files[@]} -gt 0 ] || finish "format: no sources"
if [ $fix = 1 ]; then
    $tool -i "${files[@]}"
    finish "format: ${#files[@]} files"
fi
while IFS= read -r line; do
    found "$line"
done < <($tool --dry-run "${files[@]}" 2>&1 | grep -E '^[^ ]+:[0-9]+:[0-9]+: (warning|error)' | sort -t: -u -k1,1 | sed 's/: warning: .*/: not as clang-format writes it; make format/')
finish "format: ${#files[@]} files"
