#!/bin/sh
# status.sh - `qpipe status` of an output at every age: not begun, running, stopped, failed, gone on, rejected, finished.
. tests/cli/common.sh
recipe "$work/r.yaml" "$work/result" 100
sed -i 's/sequence_length: 128/sequence_length: 512/' "$work/r.yaml"
kept() { "$qpipe" status "$work/result" --json 2>/dev/null | grep -Eq '"modules_done": [1-9]'; }
until_true() { # TENTHS COMMAND...
    left=$1
    shift
    until "$@"; do
        left=$((left - 1))
        [ $left -gt 0 ] || return 1
        sleep 0.1
    done
}
run 0 "status of an output that nobody began" "$qpipe" status "$work/result"
ok "is nothing" says out "$work/result: nothing"

"$qpipe" run "$work/r.yaml" --threads 1 2>"$work/err" >"$work/out" &
pid=$!
on_exit() { kill -KILL "$pid" 2>/dev/null; }
until_true 600 kept
kill -STOP $pid
run 0 "status of a run" "$qpipe" status "$work/result/"
ok "says that it runs" says out "/: running"
ok "in which phase" says out "quantizing"
ok "how many modules and blocks are done" grep -Eq '^  modules     [1-9][0-9]* of 14, blocks [01] of 2$' "$work/out"
ok "and whose it is" says out "process $pid on $(hostname), job -"
cp -r "$work/result.work" "$work/before"
run 0 "status in JSON" "$qpipe" status "$work/result" --json
ok "is JSON" json out
ok "asking changed nothing" diff -r "$work/result.work" "$work/before"
kill -KILL $pid
wait $pid 2>/dev/null
run 0 "status of a run that was killed" "$qpipe" status "$work/result" --json
ok "says that it can go on" says out '"resumable": true'

run 0 "a run on another machine" sh -c "sed -i 's/host=[^ ]*/host=elsewhere.example/' '$work/result.work/owner'; '$qpipe' status '$work/result'"
ok "is elsewhere" says out ": elsewhere"
run 4 "a run whose disk is full" env QPIPE_FAIL_IO=12 "$qpipe" run "$work/r.yaml" --threads 1
run 0 "its status" "$qpipe" status "$work/result"
ok "is stopped" says out ": stopped"
ok "and says whether it can go on" says out "resumable   yes"

"$qpipe" run "$work/r.yaml" >/dev/null 2>&1 &
pid=$!
run 0 "watching it to its end" timeout 300 "$qpipe" status "$work/result" --watch --interval 1
wait $pid
ok "ends with a finished output" says out ": finished"
ok "and its numbers" grep -Eq '^  modules     14 quantized, weight error 0\.[0-9]+ mean$' "$work/out"

printf '  - verify: { max_weight_error: 0.0001 }\n' >>"$work/r.yaml"
sed -i "s#^output: .*#output: $work/bad#; s/samples: 100/samples: 4/" "$work/r.yaml"
run 1 "an output that misses a threshold" "$qpipe" run "$work/r.yaml"
run 0 "its status" "$qpipe" status "$work/bad"
ok "is rejected" says out ": rejected"
ok "with the threshold" says out "0 of 1 met"
run 0 "several outputs" "$qpipe" status "$work/result" "$work/bad" "$work/none"
ok "make a table" sh -c "head -n 1 '$work/out' | grep -q '^OUTPUT .*STATE .*PHASE .*MODULES'"
ok "of three rows" sh -c "[ \$(wc -l <'$work/out') -eq 4 ]"
mkdir "$work/torn.work" && head -c 300 /dev/urandom >"$work/torn.work/journal.0.0"
run 0 "a journal that is not one" "$qpipe" status "$work/torn"
ok "is a run that kept nothing" says out "starting"
finish
