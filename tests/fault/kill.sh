#!/bin/sh
# kill.sh - SIGKILL at every record of the journal and at any instant: nothing under the output's name, and the same command
# again, with any number of threads, gives the bytes of a run that nobody disturbed. An older output stays whole.
. tests/cli/common.sh
kills=0
recipe "$work/gptq.yaml" "$work/gptq" 3
sed -i "s/GPTQModifier: {/GPTQModifier: { preset: fast,/" "$work/gptq.yaml"
recipe "$work/awq.yaml" "$work/awq" 2
sed -i "s|GPTQModifier: .*|AWQModifier: { duo_scaling: both, n_grid: 3 }|" "$work/awq.yaml"
cat >>"$work/awq.yaml" <<EOF
  - QuantizationModifier: { scheme: W4A16_ASYM, targets: [Linear], ignore: [lm_head] }
  - verify: { max_weight_error: 0.5 }
EOF
recipe "$work/free.yaml" "$work/free"
sed -i "/calibrate/d; s|GPTQModifier: .*|QuantizationModifier: { scheme: W8A16, targets: [Linear], ignore: [lm_head] }|" "$work/free.yaml"

for kind in free gptq awq; do
    run 0 "$kind: a run that nobody disturbs" "$qpipe" run "$work/$kind.yaml"
    mv "$work/$kind" "$work/whole-$kind"
done

# chain KIND - each start says what it plans, makes one record more and dies, until all records are there; the last of them, before the output
# takes its name, is made by every start that comes so far
chain() {
    starts=0 bad=0
    while [ $starts -lt 100 ] && ! grep -aq published "$work/$1.work"/journal.* 2>/dev/null; do
        QPIPE_KILL_AT_RECORD=2 "$qpipe" run "$work/$1.yaml" --threads $((starts % 3 + 1)) >"$work/out" 2>"$work/err"
        { [ $? -eq 137 ] && [ ! -e "$work/$1" ]; } || bad=$((bad + 1))
        starts=$((starts + 1))
    done
    kills=$((kills + starts))
    ok "$1: killed $starts times, behind each record; nothing under the name" [ $bad -eq 0 ]
    ok "$1: there were records" [ $starts -ge 15 ]
    run 0 "$1: the last start ends well" "$qpipe" run "$work/$1.yaml"
    ok "$1: with the same bytes" diff -r "$work/$1" "$work/whole-$1"
    ok "$1: and leaves nothing else" [ ! -e "$work/$1.work" ]
    rm -rf "$work/$1" "$work/$1.work"
}
for kind in free gptq awq; do chain $kind; done

# once KIND N... - one kill, then one run that ends
once() {
    kind=$1 bad=0 n=0
    shift
    for at in "$@"; do
        QPIPE_KILL_AT_RECORD=$at "$qpipe" run "$work/$kind.yaml" >"$work/out" 2>"$work/err"
        { [ $? -eq 137 ] && [ ! -e "$work/$kind" ]; } || bad=$((bad + 1))
        { "$qpipe" run "$work/$kind.yaml" --threads $((at % 3 + 1)) >"$work/out" 2>"$work/err" &&
            diff -r "$work/$kind" "$work/whole-$kind" && [ ! -e "$work/$kind.work" ]; } || bad=$((bad + 1))
        rm -rf "$work/$kind" "$work/$kind.work"
        n=$((n + 1))
    done
    kills=$((kills + n))
    ok "$kind: one kill behind each of the records $*, and one run to the same bytes" [ $bad -eq 0 ]
}
once free 1 2 7 14 16
once gptq 2 6 9 13
once awq 1 4 6 7 20

# instants KIND ROUNDS SEED - killed at instants drawn from the seed, again and again; then left alone
instants() {
    start=$(date +%s%N)
    "$qpipe" run "$work/$1.yaml" >/dev/null 2>&1
    took=$((($(date +%s%N) - start) / 1000000))
    rm -rf "$work/$1"
    hit=0 bad=0 seed=$3
    for round in $(seq "$2"); do
        seed=$(((seed * 1103515245 + 12345) % 2147483648))
        ms=$((seed / 7 % (took + 1)))
        "$qpipe" run "$work/$1.yaml" --threads $((round % 3 + 1)) >"$work/out" 2>"$work/err" &
        pid=$!
        sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
        kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
        status=$?
        if [ $status -eq 137 ]; then
            hit=$((hit + 1))
        elif [ $status -ne 0 ]; then
            bad=$((bad + 1))
            cat "$work/err"
        fi
        # between its appearance and the end of the process the output is there, and whole; a next run says that it is done
        if [ -e "$work/$1" ]; then
            diff -r "$work/$1" "$work/whole-$1" || bad=$((bad + 1))
            if [ -e "$work/$1.work" ]; then
                "$qpipe" run "$work/$1.yaml" >"$work/out" 2>"$work/err" && says out "by an earlier run" || bad=$((bad + 1))
            fi
            rm -rf "$work/$1"
        fi
    done
    kills=$((kills + hit))
    ok "$1: killed at $hit instants of $took ms: nothing under the name, or all" [ $bad -eq 0 ]
    run 0 "$1: then left alone" "$qpipe" run "$work/$1.yaml"
    ok "$1: the same bytes" diff -r "$work/$1" "$work/whole-$1"
    ok "$1: and nothing else" [ ! -e "$work/$1.work" ]
    rm -rf "$work/$1"
}
instants free 6 11
instants gptq 8 22
instants awq 6 33

# --force: the older output is whole until the new one takes its place
cp -r "$work/whole-gptq" "$work/gptq"
bad=0
for round in 1 5 10 15 16; do
    QPIPE_KILL_AT_RECORD=$round "$qpipe" run "$work/gptq.yaml" --force >"$work/out" 2>"$work/err"
    { [ $? -eq 137 ] && diff -r "$work/gptq" "$work/whole-gptq"; } || bad=$((bad + 1))
    rm -rf "$work/gptq.work"
    kills=$((kills + 1))
done
ok "killed with --force: the older output is whole" [ $bad -eq 0 ]
QPIPE_KILL_AT_RECORD=6 "$qpipe" run "$work/gptq.yaml" --force >"$work/out" 2>"$work/err"
run 0 "then left alone" "$qpipe" run "$work/gptq.yaml" --force
ok "it goes on from there" says err "continues: 5 of 14"
ok "the same bytes" diff -r "$work/gptq" "$work/whole-gptq"
ok "$kills kills in all, at least 50" [ $kills -ge 50 ]
finish
