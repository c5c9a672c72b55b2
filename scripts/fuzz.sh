#!/bin/bash
# fuzz.sh - runs every libFuzzer target for FUZZ_SECONDS (60) from its corpus. New inputs stay in build/fuzz/new; an input
# that fails is kept as build/fuzz/crash-*: copy it into tests/fuzz/corpus/NAME, where ctest replays it for ever.
set -u
cd "$(dirname "$0")/.." || exit 2
seconds=${FUZZ_SECONDS:-60}
sh scripts/build.sh fuzz || exit 1
found=0 ran=0
for program in build/fuzz/tests/fuzz/fuzz_*; do
    [ -f "$program" ] && [ -x "$program" ] || continue
    name=$(basename "$program")
    name=${name#fuzz_}
    mkdir -p "build/fuzz/new/$name"
    corpus=("build/fuzz/new/$name")
    [ -d "tests/fuzz/corpus/$name" ] && corpus+=("tests/fuzz/corpus/$name")
    echo "fuzz: $name for $seconds s"
    "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
        -artifact_prefix=build/fuzz/crash-"$name"- "${corpus[@]}" >"build/fuzz/$name.log" 2>&1
    rc=$?
    ran=$((ran + 1))
    grep -E '^(stat::number_of_executed_units|stat::peak_rss_mb|SUMMARY)' "build/fuzz/$name.log" | sed 's/^/  /'
    if [ "$rc" -ne 0 ]; then
        found=$((found + 1))
        echo "fuzz: $name failed ($rc), see build/fuzz/$name.log"
    fi
done
[ "$ran" -gt 0 ] || { echo "fuzz: no target was built" >&2; exit 1; }
echo "$((ran - found)) passed, $found failed"
[ "$found" -eq 0 ]
