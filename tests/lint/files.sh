#!/bin/bash
# files.sh - no file above 5 MB, all together below 40 MB, no links, no odd names.
. "$(dirname "$0")/common.sh"
total=0 count=0
while IFS= read -r file; do
    if [ -L "$file" ]; then
        found "$file: a link; not every file system has them"
        continue
    fi
    size=$(stat -c %s -- "$file")
    total=$((total + size)) count=$((count + 1))
    [ "$size" -le 5000000 ] || found "$file: $size bytes, at most 5000000"
    [[ $file =~ ^[A-Za-z0-9._/+@=-]+$ ]] || found "$file: a name with other characters than A-Z a-z 0-9 . _ / + @ = -"
done < <(all_files)
[ "$total" -le 40000000 ] || found "all files: $total bytes, at most 40000000"
finish "files: $count files, $total bytes"
