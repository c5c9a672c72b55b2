# common.sh - sourced by the tests of this folder that break jobs: TEST.sh MPI MPIRUN RANKS PLUGINS. Says "ok: SENTENCE" or
# "not ok: SENTENCE" and exits 0, 1, or 77 when nothing could be tried.
set -u
mpi=$1 mpirun=$2 ranks=$3
export QPIPE_PLUGINS=$4 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_hwloc_base_binding_policy=none ASAN_OPTIONS=detect_leaks=0
token=qpipe-fault-$$
work=$(mktemp -d "${TMPDIR:-/tmp}/qpipe-cluster.XXXXXX") || exit 1
on_exit() { :; }
# what a failed test leaves behind: only processes that carry this test's token
leave() {
    for p in $(pgrep -f "$token"); do kill -9 "$p" 2>/dev/null; done
    on_exit
    rm -rf "$work"
}
trap leave EXIT
failed=0

ok() { # SENTENCE COMMAND...
    sentence=$1
    shift
    if "$@"; then
        echo "ok: $sentence"
    else
        failed=1
        echo "not ok: $sentence ($*)"
        tail -n 30 "$work/err" "$work/out" 2>/dev/null | sed 's/^/    /'
    fi
}
says() { grep -Eq -- "$2" "$work/$1"; } # out|err PATTERN
seconds() { date +%s.%N; }
# begin COMMAND... - a job in the background, its words in $work/out and $work/err; its exit is $work/rc.
begin() {
    rm -f "$work/rc"
    : >"$work/out"
    : >"$work/err"
    { timeout -k 5 90 "$@" >"$work/out" 2>"$work/err"; echo $? >"$work/rc"; } &
}
# pids N - waits until N ranks have said who they are; pid of rank R then: pid R
pids() {
    for _ in $(seq 300); do
        [ "$(grep -c '^rank [0-9]* pid ' "$work/out")" -ge "$1" ] && return 0
        sleep 0.1
    done
    return 1
}
pid() { sed -n "s/^rank $1 pid //p" "$work/out"; }
# ended SECONDS - the job has ended within so many seconds; rc and took are set
ended() {
    since=$(seconds)
    for _ in $(seq $((10 * $1))); do
        [ -s "$work/rc" ] && break
        sleep 0.1
    done
    rc=$(cat "$work/rc" 2>/dev/null) || rc=none
    took=$(echo "$since $(seconds)" | awk '{ printf "%.1f", $2 - $1 }')
    [ -s "$work/rc" ]
}
is() { [ "$1" = "$2" ] || { echo "    found $1, expected $2"; false; }; }
matches() { echo "$1" | grep -Eq "$2"; }
# gone - no process of the job is left, a few seconds after its launcher
gone() {
    for _ in $(seq 50); do
        pgrep -f "$token" >/dev/null || return 0
        sleep 0.1
    done
    pgrep -af "$token" | sed 's/^/    /'
    false
}
