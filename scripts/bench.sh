#!/bin/sh
# bench.sh - runs the measurements of bench/: every bench/*.sh, in order of name, against build/release.
set -u
cd "$(dirname "$0")/.." || exit 2
ran=0 failed=0
for script in bench/*.sh; do
    [ -f "$script" ] || continue
    echo "bench: $script"
    ran=$((ran + 1))
    bash "$script" || { echo "bench: $script failed" >&2; failed=$((failed + 1)); }
done
[ "$ran" -gt 0 ] || { echo "bench: no bench/*.sh" >&2; exit 1; }
[ "$failed" -eq 0 ]
