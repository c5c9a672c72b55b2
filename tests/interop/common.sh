# common.sh - sourced by the tests of this folder: the peers' python, the program, a folder to work in.
# Called as TEST.sh QPIPE. Exit 77 (with a line "skipped: what (why)") where the peers or the program's inputs are absent.
set -u
export LC_ALL=C.UTF-8
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.." || exit 1
name=$(basename "$0" .sh)
qpipe=${1:?use: $0 QPIPE}

skip() { echo "skipped: interop $name ($*)"; exit 77; }
case ${QPIPE_PEERS_PYTHON:-} in
none) skip "the Python peers are not available" ;;
'') python=$(bash scripts/peers.sh --quiet-if-absent 2>/dev/null) || skip "no Python peers; scripts/peers.sh makes them" ;;
*) python=$QPIPE_PEERS_PYTHON ;;
esac
work=$(mktemp -d "${TMPDIR:-/tmp}/qpipe-$name.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT

wrong=0 steps=0
# step WHAT COMMAND... - the output is shown when the command fails, and goes to $work/last.
step() {
    local what=$1
    shift
    steps=$((steps + 1))
    if "$@" >"$work/last" 2>&1; then
        echo "ok: $what"
    else
        echo "wrong: $what (exit $?): $*"
        tail -n 40 "$work/last"
        wrong=1
        return 1
    fi
}
peer() { "$python" -B "$here/$1.py" "${@:2}"; }
finish() {
    echo "$name: $steps steps"
    exit $wrong
}
