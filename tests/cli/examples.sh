#!/bin/sh
# examples.sh - every recipe of examples/ that takes few samples by --set, and the one in llm-compressor's grammar.
. tests/cli/common.sh

run 0 "w8a16-rtn runs without calibration text" "$qpipe" run examples/w8a16-rtn.yaml --output "$work/w8a16-rtn"
ok "its threshold is met" grep -q "max_weight_error 0.02: found 0.00.*, met" "$work/out"
run 0 "w4a16-rtn-served runs without calibration text" "$qpipe" run examples/w4a16-rtn-served.yaml --output "$work/served"
ok "its threshold is met" grep -q "max_weight_error 0.25: found 0.1.*, met" "$work/out"
ok "what it is served on is in the resolved recipe" grep -q "^serve: {tensor_parallel: 2, fused: joined}" "$work/served/recipe.resolved.yaml"
run 0 "and its manifest holds, with the source" "$qpipe" verify "$work/served" --model "$tiny"
for r in w4a16-asym-mse mixed w4a16-damping-auto awq-w4a16-asym smoothquant-w8a8 w8a8-dynamic fp8-static kv-fp8; do
    run 0 "$r runs" "$qpipe" run examples/$r.yaml --set samples=8 --output "$work/$r"
    ok "$r: thresholds are met" sh -c "grep -q ', met' '$work/out' && ! grep -q 'NOT MET' '$work/out'"
    run 0 "$r: the manifest holds" "$qpipe" verify "$work/$r"
done
head -n 8 "$tiny/calib.jsonl" >"$work/calib.jsonl"
run 0 "llm-compressor runs with --model, --dataset, --output" "$qpipe" run examples/llm-compressor.yaml --model "$tiny" \
    --dataset "$work/calib.jsonl" --output "$work/llm"
run 0 "its manifest holds" "$qpipe" verify "$work/llm"
run 0 "kv-fp8: eval rounds inputs and caches" "$qpipe" eval "$work/kv-fp8" --text "$tiny/heldout.txt" --samples 2
ok "kv-fp8: and says so" grep -q "rounded as a runtime would: inputs of 14 modules, keys and values of 2 layers" "$work/out"
cp "$work/out" "$work/simulated"
run 0 "kv-fp8: eval of the weights alone" "$qpipe" eval "$work/kv-fp8" --text "$tiny/heldout.txt" --samples 2 --activations float
ok "kv-fp8: gives another number and says nothing of rounding" \
    sh -c "! grep -q rounded '$work/out' && ! cmp -s '$work/out' '$work/simulated'"
known="awq-w4a16-asym fp8-static kv-fp8 llm-compressor mixed quickstart smoothquant-w8a8 w4a16-asym-mse w4a16-damping-auto w4a16-rtn-served w8a16-rtn w8a8-dynamic "
ok "every recipe of examples/ is run by a test of this folder" \
    [ "$(for f in examples/*.yaml; do printf '%s ' "$(basename "$f" .yaml)"; done)" = "$known" ]
if have python3; then
    ok "mixed: down_proj has 8 bits, the others 4" python3 - "$work/mixed/manifest.json" <<'EOF'
import json, sys
m = json.load(open(sys.argv[1]))["predicate"]["modules"]
assert len(m) == 14
for name, v in m.items():
    assert v["weights"]["num_bits"] == (8 if name.endswith("down_proj") else 4), (name, v)
EOF
    ok "w4a16-asym-mse: zero points are int8 and the observer is recorded" python3 - "$work/w4a16-asym-mse" <<'EOF'
import json, sys
w = json.load(open(sys.argv[1] + "/config.json"))["quantization_config"]["config_groups"]["group_0"]["weights"]
assert w["symmetric"] is False and w["zp_dtype"] == "torch.int8" and w["observer"] == "memoryless_mse", w
EOF
    ok "w4a16-damping-auto: the dampening that was chosen is recorded" python3 - "$work/w4a16-damping-auto/manifest.json" <<'EOF'
import json, sys
m = json.load(open(sys.argv[1]))["predicate"]["modules"]
assert all(0 < v["dampening_frac"] <= 1 for v in m.values())
assert len({v["dampening_frac"] for v in m.values()}) > 1, "the same everywhere: nothing was chosen"
EOF
else
    skip "what the manifests record (no python3)"
fi
# a resolved recipe is a recipe: running it gives the same tensors
run 0 "a resolved recipe runs" "$qpipe" run "$work/w8a16-rtn/recipe.resolved.yaml" --model "$tiny" --output "$work/again"
ok "and gives the same bytes" cmp "$work/again/model.safetensors" "$work/w8a16-rtn/model.safetensors"
ok "and resolves to itself" cmp "$work/again/recipe.resolved.yaml" "$work/w8a16-rtn/recipe.resolved.yaml"
finish
