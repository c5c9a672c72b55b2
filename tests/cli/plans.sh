#!/bin/sh
# plans.sh - `qpipe plan` of every example recipe: what would happen is shown, nothing is written.
. tests/cli/common.sh

for r in examples/*.yaml; do
    case $r in
    */llm-compressor.yaml) set -- --model "$tiny" --dataset "$tiny/calib.jsonl" --output "$work/planned" ;;
    *) set -- --output "$work/planned" ;;
    esac
    run 0 "plan of $r" "$qpipe" plan "$r" "$@"
    ok "$r: 14 of the modules are quantized" says out "14 of 23 modules are quantized"
    ok "$r: every module names the rule that decided" grep -q "lm_head .*kept .*ignored by 'lm_head'" "$work/out"
    ok "$r: memory is planned" says out "memory:"
    if have python3; then
        run 0 "plan of $r as JSON" "$qpipe" plan "$r" --json "$@"
        ok "$r: is JSON" json out
    else
        skip "JSON of $r (no python3)"
    fi
done
ok "nothing was written" nothing "$work/planned"
run 2 "a recipe without a model" "$qpipe" plan examples/llm-compressor.yaml
ok "says how to name one" says err "--model"
run 2 "calibration without text" "$qpipe" plan examples/llm-compressor.yaml --model "$tiny"
ok "says how to name some" says err "--dataset"
run 0 "a variable is set on the command line" "$qpipe" plan examples/mixed.yaml --set samples=7
ok "and used" says out "3584 tokens in 7 sequences"
run 2 "a variable that the recipe does not have" "$qpipe" plan examples/mixed.yaml --set sampels=7
ok "is named with the nearest" says err "samples"
run 2 "--set without a value" "$qpipe" plan examples/mixed.yaml --set samples
ok "says what is expected" says err "expected NAME=VALUE"
printf 'version: 1\nstages:\n  - GPTQModifier: {scheme: W4A16, targets: [Linear, "re:.*nothing"], ignore: [lm_head]}\n' >"$work/r.yaml"
run 2 "a target that matches nothing" "$qpipe" plan "$work/r.yaml" --model "$tiny" --dataset "$tiny/calib.jsonl"
ok "is named" says err "re:.*nothing"
run 0 "unless that is allowed" "$qpipe" plan "$work/r.yaml" --model "$tiny" --dataset "$tiny/calib.jsonl" --allow-unmatched
printf 'version: 1\nstages:\n  - GPTQModifier: {scheme: W4A16, ignore: [lm_head], alpha: 0.5}\n' >"$work/r.yaml"
run 2 "alpha without asymmetric calibration" "$qpipe" plan "$work/r.yaml" --model "$tiny" --dataset "$tiny/calib.jsonl" --output "$work/o"
ok "says what to do" says err "say calibration: asymmetric, or leave alpha out"
printf 'version: 1\nstages:\n  - GPTQModifier: {targets: [Linear], ignore: [lm_head], config_groups: {a: {targets: [Linear], weights: {num_bits: 4, strategy: group, group_size: 96}}}}\n' >"$work/r.yaml"
printf 'version: 1\nthreads: 3\nstages:\n  - QuantizationModifier: {scheme: W8A16, ignore: [lm_head]}\n' >"$work/t.yaml"
run 0 "a recipe that says threads: 3" "$qpipe" plan "$work/t.yaml" --model "$tiny" --log-level debug
ok "gets three" says err ", 3 threads"
run 0 "unless the command line says otherwise" "$qpipe" plan "$work/t.yaml" --model "$tiny" --log-level debug --threads 2
ok "which gets two" says err ", 2 threads"
run 2 "a group size that does not divide" "$qpipe" plan "$work/r.yaml" --model "$tiny" --dataset "$tiny/calib.jsonl"
finish
