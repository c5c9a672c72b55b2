#!/bin/bash
# scripts.sh - every shell script parses.
. "$(dirname "$0")/common.sh"
count=0
while IFS= read -r file; do
    count=$((count + 1))
    case $(head -n 1 "$file") in
    '#!/bin/sh') sh -n "$file" 2>/dev/null || found "$file: sh can not parse it" ;;
    *) bash -n "$file" 2>/dev/null || found "$file: bash can not parse it" ;;
    esac
done < <(all_files | grep -E '(\.sh|\.ci/run)$')
finish "scripts: $count parse"
