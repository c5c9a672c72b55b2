#!/bin/sh
# datafree.sh - recipes that need no data: any architecture by the names of its tensors, the model never run, nothing left
# behind by a failure, the same bytes on any number of threads and any kernels.
. tests/cli/common.sh
cat >"$work/r.yaml" <<EOF
version: 1
stages:
  - QuantizationModifier: { scheme: W4A16, targets: [Linear], ignore: [lm_head] }
  - save
  - verify
EOF
# the example model under a name that nobody knows: the same tensors as under its own
cp -r "$tiny" "$work/nonesuch"
sed -i 's/"model_type": "llama"/"model_type": "nonesuch"/' "$work/nonesuch/config.json"
run 0 "a known architecture" "$qpipe" run "$work/r.yaml" --model "$tiny" --output "$work/known"
run 0 "an unknown one" "$qpipe" run "$work/r.yaml" --model "$work/nonesuch" --output "$work/unknown"
ok "has the same tensors" cmp "$work/known/model.safetensors" "$work/unknown/model.safetensors"
run 0 "its manifest holds, with the source" "$qpipe" verify "$work/unknown" --model "$work/nonesuch"
run 0 "it can be inspected" "$qpipe" inspect "$work/unknown"
run 0 "and planned" "$qpipe" plan "$work/r.yaml" --model "$work/nonesuch"
ok "the plan says that the architecture is unknown" says out "found 'nonesuch', which is no architecture"
ok "and by which rule a module is one" says out "a matrix that no other rule means"
ok "and that the head is tied" says out "tied to the embedding by config.json"
for n in 1 2 3 7; do
    run 0 "$n threads" "$qpipe" run "$work/r.yaml" --model "$work/nonesuch" --output "$work/n" --threads $n
    ok "$n threads give the same folder" diff -r "$work/unknown" "$work/n"
    rm -rf "$work/n"
done
for k in c avx2 avx512; do
    if ! QPIPE_KERNELS=$k "$qpipe" list >"$work/out" 2>"$work/err"; then
        skip "kernels $k (not on this processor)"
        continue
    fi
    run 0 "kernels $k" env QPIPE_KERNELS=$k "$qpipe" run "$work/r.yaml" --model "$work/nonesuch" --output "$work/n"
    ok "kernels $k give the same folder" diff -r "$work/unknown" "$work/n"
    rm -rf "$work/n"
done

# what needs the model to run is refused before anything is written
cat >"$work/text.yaml" <<EOF
version: 1
stages:
  - QuantizationModifier: { scheme: W4A16, targets: [Linear], ignore: [lm_head] }
  - verify: { dataset: $tiny/heldout.txt }
EOF
run 6 "held-out text with an unknown architecture" "$qpipe" run "$work/text.yaml" --model "$work/nonesuch" --output "$work/never"
ok "says what is unknown" says err "found 'nonesuch', which is no architecture"
ok "and what to do" says err "verify without a dataset"
recipe "$work/gptq.yaml" "$work/never"
run 6 "GPTQ with an unknown architecture" "$qpipe" run "$work/gptq.yaml" --model "$work/nonesuch"
ok "says which recipes work" says err "recipes that need no data work by tensor names"
ok "nothing is left" nothing "$work/never"
run 6 "eval of an unknown architecture" "$qpipe" eval "$work/unknown" --text "$tiny/heldout.txt"

# failures in the middle of the stream
python3 - "$work/nonesuch/model.safetensors" "$work/late" <<'EOF' || exit 1
import json, os, shutil, struct, sys
path, out = sys.argv[1:]
shutil.copytree(os.path.dirname(path), out)
data = bytearray(open(path, "rb").read())
n, = struct.unpack("<Q", data[:8])
at = json.loads(data[8:8 + n])["model.layers.1.mlp.down_proj.weight"]["data_offsets"][0] + 8 + n
data[at + 2 * 512 * 200 + 6:at + 2 * 512 * 200 + 8] = b"\xc0\x7f"  # row 200, column 3: NaN
open(os.path.join(out, "model.safetensors"), "wb").write(data)
EOF
run 2 "a NaN in a late module" "$qpipe" run "$work/r.yaml" --model "$work/late" --output "$work/never"
ok "names its row" says err "weight is NaN at row 200, column 3"
ok "and its module" says err "model.layers.1.mlp.down_proj"
ok "nothing is left" nothing "$work/never"
for n in 2 20 40 60; do
    run 4 "operation $n on files fails" env QPIPE_FAIL_IO=$n "$qpipe" run "$work/r.yaml" --model "$work/nonesuch" --output "$work/never"
    ok "operation $n: nothing is visible" hidden "$work/never"
    rm -rf "$work/never.work"
done
size=$(wc -c <"$work/late/model.safetensors")
truncate -s $((size - 100000)) "$work/late/model.safetensors"
run 2 "a shard cut short" "$qpipe" run "$work/r.yaml" --model "$work/late" --output "$work/never"
ok "nothing is left" nothing "$work/never"

# families that are known and not built
shared=../shared/fixtures
if [ -d "$shared" ]; then
    cat >"$work/g.yaml" <<EOF
version: 1
stages:
  - QuantizationModifier:
      ignore: [lm_head]
      config_groups: { g: { targets: [Linear], weights: { num_bits: 4, strategy: group, group_size: 32 } } }
  - save: { shard_size: 100000 }
  - verify
EOF
    for m in mixtral qwen3-moe qwen3-next olmoe lfm2; do
        run 0 "$m runs" "$qpipe" run "$work/g.yaml" --model $shared/$m --output "$work/$m"
        run 0 "$m: the manifest holds, with the source" "$qpipe" verify "$work/$m" --model $shared/$m
    done
    ok "mixtral: names are transformers', tensors the file's" sh -c "grep -q '\"model.layers.0.mlp.experts.3.gate_proj\"' '$work/mixtral/manifest.json' && grep -q 'block_sparse_moe.experts.3.w1.weight_packed' '$work/mixtral/model.safetensors.index.json'"
    run 6 "stacked experts are refused" "$qpipe" run "$work/g.yaml" --model $shared/gpt-oss --output "$work/never"
    ok "by name" says err "'model.layers.0.mlp.experts.down_proj' is a stack of 4 matrices"
    sed "s/ignore: .*/ignore: [lm_head, 're:.*experts']/" "$work/g.yaml" >"$work/i.yaml"
    run 0 "or ignored" "$qpipe" run "$work/i.yaml" --model $shared/gpt-oss --output "$work/oss"
    sed "s/serve: .*//; s/targets: \[Linear\]/targets: ['re:.*experts.*(gate|up)_proj']/" "$work/g.yaml" |
        sed "s/ignore: .*/ignore: []/" >"$work/e.yaml"
    run 2 "experts of one layer with two schemes" "$qpipe" run "$work/e.yaml" --model $shared/olmoe --output "$work/never"
    ok "are refused with both places" says err "are experts of one layer for a runtime"
else
    skip "families that are not built (no ../shared)"
fi
finish
