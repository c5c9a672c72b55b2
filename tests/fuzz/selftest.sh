#!/bin/bash
# selftest.sh PROGRAM - replay.c runs what it is given: a planted fault is found, in a file and in a cut variant.
set -u
program=$1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
wrong=0
check() { # check EXPECTED-STATUS(0|x) WHAT COMMAND...
    local want=$1 what=$2
    shift 2
    ("$@") >"$dir/out" 2>&1
    local rc=$?
    if { [ "$want" = 0 ] && [ $rc -ne 0 ]; } || { [ "$want" != 0 ] && [ $rc -eq 0 ]; }; then
        echo "wrong: $what (exit $rc)"
        cat "$dir/out"
        wrong=1
    fi
}
ulimit -c 0
mkdir -p "$dir/good/sub" "$dir/bad/sub" "$dir/empty"
echo "some plain text" >"$dir/good/a"
: >"$dir/good/sub/zero-bytes"
echo "a boom b" >"$dir/bad/sub/b"
check 0 "a clean corpus passes" "$program" "$dir/good"
check 0 "a clean corpus passes with variants" "$program" --mutate 50 "$dir/good"
check x "a fault in a folder below is found" "$program" "$dir/bad"
check x "a cut variant is made" env QPIPE_SELFTEST_CUT=1 "$program" --mutate 50 "$dir/good/a"
check x "an empty corpus is not a pass" "$program" "$dir/empty"
check x "a missing file is not a pass" "$program" "$dir/good" "$dir/nothing"
check x "an unknown option is refused" "$program" --fast 1 "$dir/good"
[ $wrong -eq 0 ] && echo "replay: 7 checks"
exit $wrong
