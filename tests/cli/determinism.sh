#!/bin/sh
# determinism.sh - the same bytes on any number of threads, any kernels, any activation budget.
. tests/cli/common.sh
cat >"$work/r.yaml" <<EOF
version: 1
model: $tiny
seed: 3
vars: { budget: 2147483648 }
stages:
  - calibrate:
      dataset: $tiny/calib.jsonl
      samples: 11
      sequence_length: 200
      activation_budget: \${budget}
  - GPTQModifier: { scheme: W4A16_ASYM, targets: [Linear], ignore: [lm_head] }
  - verify: { dataset: $tiny/heldout.txt, sequence_length: 200, samples: 5 }
EOF
run 0 "a run with one thread" "$qpipe" run "$work/r.yaml" --output "$work/one" --threads 1
for n in 2 3 7; do
    run 0 "a run with $n threads" "$qpipe" run "$work/r.yaml" --output "$work/n" --threads $n
    ok "$n threads give the same folder" diff -r "$work/one" "$work/n"
    rm -rf "$work/n"
done
for k in c avx2 avx512; do
    if ! QPIPE_KERNELS=$k "$qpipe" list >"$work/out" 2>"$work/err"; then
        skip "kernels $k (not on this processor)"
        continue
    fi
    run 0 "a run with kernels $k" env QPIPE_KERNELS=$k "$qpipe" run "$work/r.yaml" --output "$work/n"
    ok "kernels $k give the same folder" diff -r "$work/one" "$work/n"
    rm -rf "$work/n"
done
# The budget is an option of the recipe, which the output records: all else must be equal.
without_budget() {
    sed '/activation_budget/d' "$1/recipe.resolved.yaml"
    sed '/activation_budget/d; /"recipe.resolved.yaml"/,+3d' "$1/manifest.json"
}
for b in 0 100K 1M; do
    run 0 "a run with an activation budget of $b" "$qpipe" run "$work/r.yaml" --output "$work/n" --set budget=$b
    ok "budget $b gives the same tensors and config" sh -c "cmp '$work/one/model.safetensors' '$work/n/model.safetensors' && cmp '$work/one/config.json' '$work/n/config.json'"
    without_budget "$work/one" >"$work/a"
    without_budget "$work/n" >"$work/b"
    ok "budget $b gives the same report but for the budget" diff "$work/a" "$work/b"
    case $b in 0) ok "budget $b spilled" says err "spill file" ;; esac
    ok "budget $b leaves no spill file" sh -c "[ \"\$(ls -A '$work/n')\" = \"\$(ls -A '$work/one')\" ]"
    rm -rf "$work/n"
done
# another folder, another name, another time: no path or clock in the output
mkdir "$work/elsewhere" && cp -r "$tiny" "$work/elsewhere/other-name"
sed "s|$tiny|$work/elsewhere/other-name|g" "$work/r.yaml" >"$work/elsewhere/r2.yaml"
run 0 "a run elsewhere" sh -c "cd '$work/elsewhere' && '$qpipe' run r2.yaml --output deep/er"
ok "gives the same folder" diff -r "$work/one" "$work/elsewhere/deep/er"
finish
