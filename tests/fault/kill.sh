#!/bin/sh
# kill.sh - SIGKILL at any instant leaves nothing under the output's name; an older output there stays whole; a later run works.
. tests/cli/common.sh
recipe "$work/r.yaml" "$work/result" 24

# how long a run takes here: the instants are spread over the shorter of two, for the first may meet a cold or busy machine
took=600000
for round in first second; do
    rm -rf "$work/result"
    start=$(date +%s%N)
    run 0 "a run that nobody disturbs, the $round" "$qpipe" run "$work/r.yaml"
    ms=$((($(date +%s%N) - start) / 1000000))
    [ "$ms" -ge "$took" ] || took=$ms
done
cp -r "$work/result" "$work/whole"

# at MILLISECONDS OPTIONS... - kills a run after so long; true if it was still running
at() {
    ms=$1
    shift
    "$qpipe" run "$work/r.yaml" "$@" >"$work/out" 2>"$work/err" &
    pid=$!
    sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
    kill -KILL "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    [ "$?" -eq 137 ]
}
hit=0
for tenth in 0 1 2 3 4 5 6 7 8 9 10; do
    rm -rf "$work"/result*
    ms=$((took * tenth / 10 + 5))
    if at "$ms"; then
        hit=$((hit + 1))
        # between its appearance and the end of the process (slow under sanitizers) the output is there, and whole
        ok "killed after $ms ms of $took: nothing under the name, or all" sh -c \
            "[ ! -e '$work/result' ] || diff -r '$work/result' '$work/whole'"
    else
        ok "done before $ms ms: the output is complete" diff -r "$work/result" "$work/whole"
    fi
done
ok "most of the runs were killed in time" [ "$hit" -ge 4 ]
ok "only a folder named .partial may stay" sh -c "for f in '$work'/result*; do case \$f in *.partial-*|'$work/result*'|'$work/result') ;; *) exit 1 ;; esac; done"
rm -rf "$work/result"
run 0 "a later run works beside what stayed" "$qpipe" run "$work/r.yaml"
ok "and gives the same bytes" diff -r "$work/result" "$work/whole"
for tenth in 5 8 9 10; do
    at $((took * tenth / 10)) --force
    ok "killed with --force: the older output is whole" diff -r "$work/result" "$work/whole"
done
finish
