#!/bin/sh
# resume.sh - what a run that goes on refuses, what it forgets, and that of two runs of one job the older one stops.
. tests/cli/common.sh
cp -r "$tiny" "$work/m"
recipe "$work/r.yaml" "$work/result" 4
sed -i "s|^model: .*|model: $work/m|" "$work/r.yaml"
run 0 "a run that nobody disturbs" "$qpipe" run "$work/r.yaml"
ok "leaves no work folder" [ ! -e "$work/result.work" ]
mv "$work/result" "$work/whole"

killed() { # killed N - a run that dies behind its N-th record but the first, which says what is planned
    rm -rf "$work"/result*
    QPIPE_KILL_AT_RECORD=$(($1 + 1)) "$qpipe" run "$work/r.yaml" >/dev/null 2>&1
    [ "$?" -eq 137 ] || { echo "not ok: record $1 does not kill" && failed=$((failed + 1)); }
}
goes_on() { # goes_on WHAT OPTIONS... - the run goes on from 5 modules to the same bytes
    what=$1
    shift
    run 0 "$what: goes on" "$qpipe" run "$work/r.yaml" "$@"
    ok "$what: says from where" says err "continues: 5 of 14 modules were finished"
    ok "$what: the same bytes" diff -r "$work/result" "$work/whole"
    ok "$what: nothing else stays" [ ! -e "$work/result.work" ]
}
killed 5
ok "a killed run leaves nothing under the name" [ ! -e "$work/result" ]
goes_on "after a kill"
killed 5
goes_on "with --resume required" --resume required --threads 1
killed 5
mv "$work/m" "$work/elsewhere"
goes_on "with the model elsewhere" --model "$work/elsewhere" --threads 3
mv "$work/elsewhere" "$work/m"
killed 5
tail -c 3 "$work/result.work/journal.0.0" >/dev/null
size=$(wc -c <"$work/result.work/journal.0.0")
truncate -s $((size - 3)) "$work/result.work/journal.0.0"
run 0 "a torn record is forgotten" "$qpipe" run "$work/r.yaml"
ok "and no other" says err "continues: 4 of 14 modules were finished"
ok "the same bytes" diff -r "$work/result" "$work/whole"

killed 0
run 0 "a run that finished nothing binds nobody" "$qpipe" run "$work/r.yaml" --seed 2
killed 0
run 2 "--resume required with nothing finished" "$qpipe" run "$work/r.yaml" --resume required
rm -rf "$work"/result*
run 2 "--resume required with nothing there" "$qpipe" run "$work/r.yaml" --output "$work/new" --resume required
ok "leaves nothing" nothing "$work/new"
killed 5
run 0 "--resume never begins anew" "$qpipe" run "$work/r.yaml" --resume never
ok "and says nothing of going on" sh -c "! grep -q continues '$work/err'"
ok "the same bytes" diff -r "$work/result" "$work/whole"

# refused WHAT TEXT COMMAND... - the run refuses and keeps what is there; undone by the caller
refused() {
    what=$1 text=$2
    shift 2
    run 2 "$what is refused" "$@"
    ok "$what: is named" says err "$text"
    ok "$what: the way out is said" says err "--resume never"
    ok "$what: what was finished stays" [ -s "$work/result.work/journal.0.0" ]
}
killed 5
refused "another seed" "found 'seed: 1', expected 'seed: 2'" "$qpipe" run "$work/r.yaml" --seed 2
sed 's/W4A16/W8A16/' "$work/r.yaml" >"$work/r8.yaml"
refused "another scheme" "recipe differs" "$qpipe" run "$work/r8.yaml"
sed 's/samples: 4/samples: 3/' "$work/r.yaml" >"$work/r3.yaml"
refused "fewer samples" "samples" "$qpipe" run "$work/r3.yaml"
head -n 100 "$tiny/calib.jsonl" | tail -n 99 >"$work/other.jsonl"
refused "another text" "calibration tokens differs" "$qpipe" run "$work/r.yaml" --dataset "$work/other.jsonl"
sed -i 's/{/{ /' "$work/m/generation_config.json"
refused "a changed file" "input generation_config.json differs" "$qpipe" run "$work/r.yaml"
cp "$tiny/generation_config.json" "$work/m/"
goes_on "with all put back"
if have python3; then
    # flip FILE OFFSET-EXPRESSION
    flip() {
        python3 - "$1" "$2" <<'PY'
import json, struct, sys
path, where = sys.argv[1:]
b = bytearray(open(path, "rb").read())
n = struct.unpack("<Q", b[:8])[0] if path.endswith(".safetensors") else 0
h = json.loads(b[8:8 + n]) if n else {}
b[8 * (n > 0) + n + eval(where)] ^= 1
open(path, "wb").write(b)
PY
    }
    at='h["model.layers.0.self_attn.q_proj.weight"]["data_offsets"][0] + 1000'
    killed 5
    flip "$work/m/model.safetensors" "$at"
    refused "a changed weight" "q_proj.weight' is not what it was" "$qpipe" run "$work/r.yaml"
    flip "$work/m/model.safetensors" "$at"
    goes_on "with the old weights"
    at='h["model.layers.0.input_layernorm.weight"]["data_offsets"][0]'
    killed 5
    flip "$work/m/model.safetensors" "$at"
    refused "a changed norm" "input_layernorm.weight' is not what it was" "$qpipe" run "$work/r.yaml"
    flip "$work/m/model.safetensors" "$at"
    killed 5
    flip "$work/result.work/spool.0.0" 5000
    refused "a damaged spool" "are not those that were written" "$qpipe" run "$work/r.yaml"
    flip "$work/result.work/spool.0.0" 5000
    goes_on "with a whole spool"
else
    skip "changed weights and spools (no python3)"
fi
killed 5
mkdir "$work/result" && touch "$work/result/mine"
run 2 "an output that appeared meanwhile is not replaced" "$qpipe" run "$work/r.yaml"
ok "it is named" says err "exists already"
rm -r "$work/result"
goes_on "without it"

# killed between the rename and the end: the output is complete, and the next run says so
rm -rf "$work"/result*
killed 15 # the record before the output takes its name
ok "not yet renamed" [ ! -e "$work/result" ]
rm -rf "$work/result.work"/out.*
cp -r "$work/whole" "$work/result"
run 0 "a run that died behind the rename is complete" "$qpipe" run "$work/r.yaml"
ok "is said to be" says out "by an earlier run"
ok "and cleared away" [ ! -e "$work/result.work" ]

# two copies of one job: a scheduler starts the second while the first (here: stopped) is still there
rm -rf "$work"/result*
sed 's/samples: 4/samples: 160/' "$work/r.yaml" >"$work/long.yaml"
# (a million: every record is committed at once, and nobody killed)
QPIPE_KILL_AT_RECORD=1000000 "$qpipe" run "$work/long.yaml" >"$work/out1" 2>"$work/err1" &
old=$!
tries=0
while ! grep -aq module/ "$work/result.work/journal.0.0" 2>/dev/null && [ $tries -lt 600 ]; do
    sleep 0.05
    tries=$((tries + 1))
done
kill -STOP "$old"
ok "the first copy is in its work" [ -s "$work/result.work/journal.0.0" ]
run 0 "the second copy goes on and ends" "$qpipe" run "$work/long.yaml"
ok "it says from where" says err "continues: "
kill -CONT "$old"
wait "$old"
status=$?
ok "the first one ends with 75 (found $status)" [ "$status" -eq 75 ]
ok "and says why" grep -q "another process works on this output" "$work/err1"
mv "$work/result" "$work/two"
run 0 "a single run of the same" "$qpipe" run "$work/long.yaml"
ok "the same bytes" diff -r "$work/result" "$work/two"
ok "nothing else stays" [ ! -e "$work/result.work" ]
finish
