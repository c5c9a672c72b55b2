# common.sh - sourced by the tests of this folder and of ../fault. Called as TEST.sh QPIPE, in the root of the repository.
# Every step prints "ok: SENTENCE" or "not ok: SENTENCE"; what could not be tried prints "skipped: WHAT (why)".
# Exit status: 0, 1 after a "not ok", 77 when every step was skipped.
set -u
LC_ALL=C.UTF-8
export LC_ALL
qpipe=${1:?use: $0 QPIPE}
case $qpipe in /*) ;; *) qpipe=$PWD/$qpipe ;; esac
root=$PWD
tiny=$root/examples/tiny
work=$(mktemp -d "${TMPDIR:-/tmp}/qpipe-test.XXXXXX") || exit 1
chmod 755 "$work"
on_exit() { :; }
trap 'on_exit; rm -rf "$work"' EXIT
passed=0 failed=0 skipped=0

skip() { # WHAT (why)
    skipped=$((skipped + 1))
    echo "skipped: $*"
}
# ok SENTENCE COMMAND... - the command succeeds; its output is shown when it does not.
ok() {
    sentence=$1
    shift
    if "$@" >"$work/.said" 2>&1; then
        passed=$((passed + 1))
        echo "ok: $sentence"
    else
        failed=$((failed + 1))
        echo "not ok: $sentence: $*"
        tail -n 20 "$work/.said" | sed 's/^/    /'
    fi
}
# run STATUS SENTENCE COMMAND... - the command ends with that status; stdout goes to $work/out, stderr to $work/err.
run() {
    want=$1
    sentence=$2
    shift 2
    "$@" >"$work/out" 2>"$work/err"
    got=$?
    if [ "$got" -eq "$want" ]; then
        passed=$((passed + 1))
        echo "ok: $sentence"
    else
        failed=$((failed + 1))
        echo "not ok: $sentence: exit $got, expected $want: $*"
        tail -n 20 "$work/err" | sed 's/^/    /'
    fi
}
says() { grep -Fq -- "$2" "$work/$1" || { cat "$work/$1" && false; }; }      # says out|err TEXT
silent() { [ ! -s "$work/$1" ] || { cat "$work/$1" && false; }; }           # silent out|err
# nothing NAME - neither the output nor anything beside it.
nothing() { [ -z "$(find "$(dirname "$1")" -maxdepth 1 -name "$(basename "$1")*" -print)" ]; }
# hidden NAME - no output; beside it at most the work folder, from which a next run goes on.
hidden() { [ -z "$(find "$(dirname "$1")" -maxdepth 1 -name "$(basename "$1")*" ! -name "$(basename "$1").work" -print)" ]; }
json() { python3 -m json.tool "$work/$1"; } # parses
have() { command -v "$1" >/dev/null 2>&1; }
# value FILE KEY... - a number or word of a JSON file
value() { python3 -c 'import json,sys
v = json.load(open(sys.argv[1]))
for k in sys.argv[2:]: v = v[int(k) if isinstance(v, list) else k]
print(v)' "$@"; }

# recipe FILE OUTPUT [SAMPLES] - GPTQ on the example model with few samples and nothing held out: half a second.
recipe() {
    cat >"$1" <<EOF
version: 1
model: $tiny
output: $2
seed: 1
stages:
  - calibrate: { dataset: $tiny/calib.jsonl, samples: ${3:-4}, sequence_length: 128 }
  - GPTQModifier: { scheme: W4A16, targets: [Linear], ignore: [lm_head] }
EOF
}
finish() {
    echo "$(basename "$0" .sh): $passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ] || exit 1
    [ "$passed" -gt 0 ] || exit 77
    exit 0
}
