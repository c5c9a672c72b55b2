#!/bin/sh
# smoothing.sh - AWQ and SmoothQuant through the whole program: what plan shows, what is refused before anything runs, what
# is saved and measured, and that the bytes depend on nothing but recipe and inputs.
. tests/cli/common.sh
write() { # write NAME STAGES...
    name=$1
    shift
    printf 'version: 1\nmodel: %s\nseed: 3\nstages:\n  - calibrate: {dataset: %s/calib.jsonl, samples: 6, sequence_length: 128}\n' \
        "$tiny" "$tiny" >"$work/$name.yaml"
    for stage in "$@"; do printf '  - %s\n' "$stage" >>"$work/$name.yaml"; done
}
quantize='QuantizationModifier: {scheme: W4A16_ASYM, targets: [Linear], ignore: [lm_head]}'
verify="verify: {dataset: $tiny/heldout.txt, sequence_length: 128, samples: 4, max_weight_error: 0.5}"
write awq 'AWQModifier: {duo_scaling: both}' "$quantize" "$verify"
run 0 "plan of AWQ" "$qpipe" plan "$work/awq.yaml" --output "$work/x"
ok "shows the mappings" grep -q 'model.layers.0.input_layernorm .*norm .*-> q_proj, k_proj, v_proj' "$work/out"
ok "and those of the gated MLP" grep -q 'model.layers.1.mlp.up_proj .*up .*-> down_proj' "$work/out"

# ---- refused at plan time ----
write r "AWQModifier: {mappings: [{smooth_layer: 're:.*input_layernorm', balance_layers: ['re:.*q_proj', 're:.*k_proj']}]}" "$quantize"
run 2 "a mapping that leaves out a reader" "$qpipe" plan "$work/r.yaml"
ok "would change the model, and says what is missing" says err "model.layers.0.self_attn.v_proj"
ok "with its place" says err "r.yaml:6:"
write r "AWQModifier: {mappings: [{smooth_layer: 're:.*nosuch', balance_layers: ['re:.*q_proj']}]}" "$quantize"
run 2 "a mapping of no module" "$qpipe" plan "$work/r.yaml"
ok "names the pattern" says err "re:.*nosuch"
write r "AWQModifier: {mappings: [{smooth_layer: 're:.*down_proj', balance_layers: ['re:.*q_proj']}]}" "$quantize"
run 2 "a mapping whose output more than matrices read" "$qpipe" plan "$work/r.yaml"
ok "is refused by name" says err "model.layers.0.mlp.down_proj"
write r "AWQModifier: {mappings: [{smooth: 'a', balance_layers: ['b']}]}" "$quantize"
run 2 "a key that mappings do not have" "$qpipe" plan "$work/r.yaml"
ok "is named" says err "'smooth'"
write r "SmoothQuantModifier: {mappings: [[['re:.*down_proj'], 're:.*up_proj']]}" "$quantize"
run 6 "SmoothQuant of a matrix" "$qpipe" plan "$work/r.yaml"
ok "is not built, and says so" says err "smooths norms"
write r "$quantize" 'AWQModifier: {n_grid: 8}'
run 2 "AWQ behind the quantizer" "$qpipe" plan "$work/r.yaml"
ok "is refused" says err "expected it before"
write r 'AWQModifier: {n_grid: 8}' 'QuantizationModifier: {scheme: W4A16, targets: ["re:.*o_proj"]}'
run 0 "AWQ where only o_proj is quantized" "$qpipe" plan "$work/r.yaml" --output "$work/x"
ok "leaves out what would be of no use" says out "nothing behind 'model.layers.0.input_layernorm' is quantized"

# ---- the clip search ----
write r 'AWQModifier: {clip: true}' 'GPTQModifier: {scheme: W4A16, ignore: [lm_head]}'
run 2 "a clip search before a preset that searches scales" "$qpipe" plan "$work/r.yaml"
ok "says that two decide about ranges, and what to do" says err "scale_search: none"
ok "with its place" says err "r.yaml:6:"
write r 'AWQModifier: {clip: true}' 'QuantizationModifier: {config_groups: {g: {targets: [Linear], weights: {num_bits: 4, observer: mse}}}, ignore: [lm_head]}'
run 2 "a clip search and an observer that searches" "$qpipe" plan "$work/r.yaml"
ok "names the observer" says err "memoryless_mse"
write r 'AWQModifier: {clip_grid: 10}' "$quantize"
run 2 "its options without it" "$qpipe" plan "$work/r.yaml"
ok "mean nothing" says err "without clip: true"
write r 'AWQModifier: {clip: true}' 'QuantizationModifier: {scheme: W4A16, targets: ["re:.*q_proj", "re:.*k_proj"]}' 'serve: {fused: separate}'
sed -i '/  - serve/d' "$work/r.yaml"
printf 'serve: {fused: separate}\n' >>"$work/r.yaml"
run 2 "a clip search of queries and keys alone" "$qpipe" plan "$work/r.yaml"
ok "is refused" says err "nothing but queries and keys"
printf 'test_stage:\n  quant_modifiers:\n    AWQModifier: {clip: true}\n    QuantizationModifier: {scheme: W4A16, targets: [Linear]}\n' >"$work/peer.yaml"
run 2 "clip in llm-compressor's own recipe" "$qpipe" plan "$work/peer.yaml" --model "$tiny" --dataset "$tiny/calib.jsonl"
ok "is not known there" says err "clip is qpipe's own"
write clip 'AWQModifier: {clip: true}' "$quantize" "$verify"
write noclip 'AWQModifier: {}' "$quantize" "$verify"
for r in clip noclip; do
    run 0 "a run of $r" "$qpipe" run "$work/$r.yaml" --output "$work/$r" --threads 2
done
if have python3; then
    ok "with clip, whatever is not a query or key loses less on the calibration text" python3 - "$work/clip/manifest.json" "$work/noclip/manifest.json" <<'PY'
import json, sys
c, n = (json.load(open(p))["predicate"] for p in sys.argv[1:3])
clipped = [m for m in c["modules"] if c["modules"][m].get("clip")]
assert clipped and not any(m.endswith(("q_proj", "k_proj")) for m in clipped)
assert all(m in clipped for m in c["modules"] if m.endswith(("v_proj", "o_proj", "down_proj")))
assert not any(m.get("clip") for m in n["modules"].values())
for m in clipped:
    assert c["modules"][m]["weight_error"] != n["modules"][m]["weight_error"], m
PY
fi
run 0 "GPTQ behind a clip search" sh -c "sed 's/QuantizationModifier: {/GPTQModifier: {preset: none, /' '$work/clip.yaml' >'$work/gclip.yaml' && '$qpipe' run '$work/gclip.yaml' --output '$work/gclip'"

# ---- what is saved ----
run 0 "a run of AWQ" "$qpipe" run "$work/awq.yaml" --output "$work/one" --threads 1
run 0 "its manifest holds against the original" "$qpipe" verify "$work/one" --model "$tiny" --dataset "$tiny/heldout.txt"
if have python3; then
    ok "mappings, ratios and losses are recorded; smoothed weights are not compared with the original" python3 - "$work/one/manifest.json" <<'PY'
import json, sys
p = json.load(open(sys.argv[1]))["predicate"]
assert p["smoothing"]
for s in p["smoothing"]:
    assert s["modifier"] == "AWQModifier" and 0 <= s["ratio"] <= 1 and s["balance"]
    assert s["loss_after"] <= s["loss_before"] and 0 < s["scale_least"] <= s["scale_most"]
smooth = {m for s in p["smoothing"] for m in s["balance"]}
for name in smooth:
    assert p["modules"][name]["smoothed"] and 0 < p["modules"][name]["weight_error"] < 0.5
    v = p["verification"]["modules"][name]
    assert v["weight_error"] is None and v["output_error"] is None, (name, v)
assert all(v["weight_error"] > 0 for name, v in p["verification"]["modules"].items() if name.endswith("o_proj"))
PY
    ok "norms are saved with their scales, untouched tensors as they were" python3 - "$work/one/manifest.json" <<'PY'
import json, sys
p = json.load(open(sys.argv[1]))["predicate"]
then = {t["name"]: t["sha256"] for t in p["inputs"]["tensors"]}
now = {t["name"]: t["sha256"] for t in p["outputs"]["tensors"]}
changed = {s["smooth"] + ".weight" for s in p["smoothing"] if s["kind"] == "norm"}
assert changed
for name in now:
    if name in then:
        assert (then[name] != now[name]) == (name in changed), name
PY
else
    skip "what the manifest records (no python3)"
fi

# ---- equal bytes ----
for r in awq both; do
    write both 'SmoothQuantModifier: {smoothing_strength: 0.6}' 'AWQModifier: {search: output, n_grid: 5, grouped_values: true}' \
        'GPTQModifier: {scheme: W4A16, targets: [Linear], ignore: [lm_head]}' "$verify"
    rm -rf "$work/one"
    run 0 "$r: a run with one thread" "$qpipe" run "$work/$r.yaml" --output "$work/one" --threads 1
    for n in 2 3 7; do
        run 0 "$r: a run with $n threads" "$qpipe" run "$work/$r.yaml" --output "$work/n" --threads $n
        ok "$r: $n threads give the same folder" diff -r "$work/one" "$work/n"
        rm -rf "$work/n"
    done
    for k in c avx2 avx512; do
        if ! QPIPE_KERNELS=$k "$qpipe" list >"$work/out" 2>"$work/err"; then
            skip "$r: kernels $k (not on this processor)"
            continue
        fi
        run 0 "$r: a run with kernels $k" env QPIPE_KERNELS=$k "$qpipe" run "$work/$r.yaml" --output "$work/n"
        ok "$r: kernels $k give the same folder" diff -r "$work/one" "$work/n"
        rm -rf "$work/n"
    done
done
finish
