#!/bin/sh
# memory.sh - runs with all allocations from the n-th on refused: status 5, no crash, nothing or all of the output visible. The points are spread
# over the run, every one of the first hundred and then ever fewer; the tests of the rooms sweep all of theirs.
. tests/cli/common.sh
recipe "$work/gptq.yaml" "$work/result" 2
sed '/calibrate/d; s|GPTQModifier: .*|QuantizationModifier: { scheme: W8A16, targets: [Linear], ignore: [lm_head] }|' "$work/gptq.yaml" >"$work/free.yaml"
sed 's|  - GPTQModifier: .*|  - AWQModifier: { n_grid: 3 }\n  - GPTQModifier: { scheme: W4A16_ASYM, targets: [Linear], ignore: [lm_head], calibration: asymmetric }|' "$work/gptq.yaml" >"$work/awq.yaml"
cat >>"$work/free.yaml" <<EOF
  - verify: { max_weight_error: 0.5 }
EOF

sweep() { # WHAT RECIPE FIRST GROWTH(percent)
    n=$3 bad=0 tried=0
    while [ "$n" -lt 10000000 ]; do
        QPIPE_FAIL_ALLOC=$n "$qpipe" run "$2" >"$work/out" 2>"$work/err"
        status=$?
        [ "$status" -ne 0 ] || break
        tried=$((tried + 1))
        # a run that can not even print its table any more leaves the output, complete
        if [ "$status" -ne 5 ] || ! { hidden "$work/result" || "$qpipe" verify "$work/result" >/dev/null 2>&1; } ||
            ! grep -q "out of memory" "$work/err"; then
            bad=$((bad + 1))
            echo "    allocation $n: status $status, left: $(ls -d "$work"/result* 2>/dev/null)"
            sed 's/^/    /' "$work/err"
            rm -rf "$work"/result*
        fi
        rm -rf "$work/result" "$work/result.work" # each from the start
        n=$((n + 1 + n * $4 / 100))
    done
    ok "$1: status 5, and nothing or all of it visible, at each of $tried points up to allocation $n" [ "$bad" -eq 0 ]
    ok "$1: there were points to try" [ "$tried" -ge 20 ]
    ok "$1: the first run that was not hit is complete" "$qpipe" verify "$work/result"
    rm -rf "$work/result"
}
sweep "without data" "$work/free.yaml" 1 1
sweep "with calibration" "$work/gptq.yaml" 150 10
sweep "with AWQ and asymmetric calibration" "$work/awq.yaml" 300 20
echo '[[0, 5, 6]]' >"$work/ids.json"
echo 'A line of text.' >"$work/lines.txt"
for command in "plan $work/gptq.yaml" "inspect $tiny" "schema" "tokenize $tiny $work/lines.txt" "eval $tiny --tokens $work/ids.json"; do
    n=1 bad=0 tried=0
    while [ "$n" -lt 1000000 ]; do
        # the words of $command are words
        QPIPE_FAIL_ALLOC=$n "$qpipe" $command >"$work/out" 2>"$work/err"
        status=$?
        [ "$status" -ne 0 ] || break
        tried=$((tried + 1))
        [ "$status" -eq 5 ] || { bad=$((bad + 1)); echo "    allocation $n: status $status"; }
        n=$((n + 1 + n / 10))
    done
    ok "${command%% *}: status 5 at each of $tried points" [ "$bad" -eq 0 ]
done
finish
