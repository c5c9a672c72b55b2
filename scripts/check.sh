#!/bin/bash
# check.sh - everything that must hold before a commit: installs what is missing, builds, runs every test, and ends with
# one line of counts, "N passed, N failed, N skipped", over all test runs. Exit status 0 only when nothing failed.
#
#   release  gcc -O3          every test
#   asan     gcc, sanitizers  labels unit, fault, fuzz
#   clang    clang -O3        labels unit, fault
#
# A test that can not run here exits 77 and is counted as skipped; one that runs in part prints "skipped: what (why)".
# Both are listed before the counts. QPIPE_CHECK="release asan" runs only those presets.
set -u
cd "$(dirname "$0")/.." || exit 2
export LC_ALL=C OMP_WAIT_POLICY=passive # two test programs at a time share the cores
presets=${QPIPE_CHECK:-release asan clang}
started=$SECONDS
passed=0 failed=0 skipped=0
: "${TMPDIR:=/tmp}"
left_out=$(mktemp "$TMPDIR/qpipe-check.XXXXXX") || exit 1
peers_pid=
finish() {
    rm -f "$left_out" "$left_out.peers"
    if [ -n "$peers_pid" ]; then kill "$peers_pid" 2>/dev/null; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

step() { printf '\n== %s (%d s)\n' "$*" $((SECONDS - started)); }
closing() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
    exit
}
give_up() {
    echo "check: $*" >&2
    failed=$((failed + 1))
    closing
}
labels_of() {
    case $1 in
    release) echo . ;;
    asan) echo '^(unit|fault|fuzz)$' ;;
    *) echo '^(unit|fault)$' ;;
    esac
}

# Counts come from ctest's closing lines (its JUnit report takes a program that is not there for a skip); the lines of
# partial skips from its log.
run_tests() {
    local preset=$1 dir=build/$1 log=build/$1/ctest.log rc all bad skip
    ctest --test-dir "$dir" -L "$(labels_of "$preset")" --output-on-failure --no-tests=error --timeout 900 \
        -j "$(nproc)" 2>&1 | tee "$log"
    rc=${PIPESTATUS[0]}
    read -r bad all < <(sed -n 's/^[0-9]*% tests passed, \([0-9]*\) tests\{0,1\} failed out of \([0-9]*\)$/\1 \2/p' "$log")
    if [ -z "${all:-}" ]; then
        echo "check: ctest of $preset ended without counts (exit $rc)" >&2
        failed=$((failed + 1))
        return
    fi
    skip=$(grep -cE '^[[:space:]]+[0-9]+ - .* \(Skipped\)$' "$log")
    if [ "$rc" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1 all=$((all + 1)); fi
    passed=$((passed + all - bad - skip))
    failed=$((failed + bad))
    skipped=$((skipped + skip))
    grep -h '^skipped: ' "$dir/Testing/Temporary/LastTest.log" | sed "s/\$/ [$preset]/" >>"$left_out"
}

step "packages"
sh scripts/deps.sh check || give_up "packages are missing"

# The Python peers take a download: beside the build. Tests themselves never download.
if [ "${QPIPE_PEERS_PYTHON+set}" != set ]; then
    bash scripts/peers.sh >"$left_out.peers" &
    peers_pid=$!
fi
for preset in $presets; do
    step "build $preset"
    sh scripts/build.sh "$preset" || give_up "the build of $preset failed"
done
if [ -n "$peers_pid" ]; then
    step "Python peers of the interop tests"
    if wait "$peers_pid"; then
        QPIPE_PEERS_PYTHON=$(cat "$left_out.peers")
        echo "peers: $QPIPE_PEERS_PYTHON"
    else
        QPIPE_PEERS_PYTHON=none
        echo "peers: not available, the interop tests will be skipped"
    fi
    peers_pid=
    export QPIPE_PEERS_PYTHON
fi
for preset in $presets; do
    step "tests of $preset"
    run_tests "$preset"
done

step "done"
if [ -s "$left_out" ]; then
    echo "left out:"
    sort "$left_out" | uniq -c | sed 's/^ */  /; s/ skipped:/ x/'
    echo "($(wc -l <"$left_out") things left out, also inside tests that passed)"
fi
closing
