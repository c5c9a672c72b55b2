#!/bin/bash
# readmes.sh - every folder that holds sources has a README.md with something in it, and so has the root.
. "$(dirname "$0")/common.sh"
while IFS= read -r dir; do
    if [ ! -f "$dir/README.md" ]; then
        found "$dir/: sources but no README.md"
    elif [ "$(wc -w <"$dir/README.md")" -lt 15 ]; then
        found "$dir/README.md: says nothing"
    fi
done < <({ echo .; all_files | grep -E '\.(c|h|sh|py|cmake)$' | grep / | sed 's#/[^/]*$##'; } | sort -u)
finish "readmes: every folder with sources has one"
