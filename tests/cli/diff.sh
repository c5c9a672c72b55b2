#!/bin/sh
# diff.sh - `qpipe diff` names what makes two outputs differ: what was asked differently, or where bytes were changed behind the
# manifest's back. Every pair here is a real one; what was changed is known from how it was made.
. tests/cli/common.sh
have python3 || { skip "everything (no python3 to change single values and to read JSON)" && finish; }

recipe "$work/r.yaml" "$work/one"
run 0 "a run" "$qpipe" run "$work/r.yaml"
run 0 "the same again" "$qpipe" run "$work/r.yaml" --output "$work/two"
run 0 "equal outputs: status 0" "$qpipe" diff "$work/one" "$work/two"
ok "and says so" says out "equal"
run 0 "equal outputs as JSON" "$qpipe" diff --json "$work/one" "$work/two"
ok "equal is true" [ "$(value "$work/out" equal)" = True ]
ok "all tensors were compared" [ "$(value "$work/out" tensors)" -gt 14 ]

# differs WHAT SECOND FIRST-KIND: status 1, the report in $work/out
differs() {
    run 1 "$1: status 1" "$qpipe" diff --json "$work/one" "$work/$2"
    ok "$1: the first difference is in the $3" [ "$(value "$work/out" first)" = "$3" ]
}
is() { ok "$1" [ "$(value "$work/out" $2 2>&1)" = "$3" ]; } # SENTENCE KEYS VALUE

# -- asked differently --
run 0 "another seed" "$qpipe" run "$work/r.yaml" --output "$work/seed" --seed 2
differs "another seed" seed recipe
is "it is the seed" "recipe what" seed
is "A's seed" "recipe a" 1
is "B's seed" "recipe b" 2
is "other text was read" "input what" calibration.tokens_sha256
is "the first module is the one computed first" "tensor module" model.layers.0.self_attn.q_proj
run 1 "another seed, for people" "$qpipe" diff "$work/one" "$work/seed"
ok "names seed and values" says out "recipe    seed: A has 1, B has 2"
ok "sums up" says out "first difference: recipe"

sed 's/scheme: W4A16, targets: \[Linear\]/config_groups: { g: { targets: [Linear], weights: { num_bits: 4, type: int, strategy: group, group_size: 64, symmetric: true } } }/' "$work/r.yaml" >"$work/g.yaml"
run 0 "another group_size" "$qpipe" run "$work/g.yaml" --output "$work/group"
differs "another group_size" group recipe
ok "it is named" grep -q 'group_size' "$work/out"
is "the plan differs in a module's weights" "plan what" model.layers.0.self_attn.q_proj.weights.group_size
is "codes are compared although cells are not the same" "tensor part" code

cp -r "$tiny" "$work/source"
python3 - "$work/source/model.safetensors" <<'END'
import json, struct, sys
f = open(sys.argv[1], "r+b")
n = struct.unpack("<Q", f.read(8))[0]
at = json.loads(f.read(n))["model.layers.1.mlp.down_proj.weight"]["data_offsets"][0]
f.seek(8 + n + at)
b = f.read(4)
f.seek(8 + n + at)
f.write(b[2:] + b[:2])  # two weights change places
END
run 0 "another input" "$qpipe" run "$work/r.yaml" --model "$work/source" --output "$work/input"
differs "another input" input input
is "it is the file of the weights" "input what" "files[model.safetensors].sha256"
ok "and the tensor" grep -q 'first tensor: tensors\[model.layers.1.mlp.down_proj.weight\].sha256' "$work/out"
is "the module that was computed from it is the first that differs" "tensor module" model.layers.1.mlp.down_proj

# -- another version --
cp -r "$work/one" "$work/version"
sed -i 's/"version": "[0-9.]*"/"version": "0.0.9"/' "$work/version/manifest.json"
differs "another version" version version
is "B's version" "version b" '"0.0.9"'
is "no tensor differs" tensors_differ 0

# -- bytes changed behind the manifest --
cat >"$work/poke.py" <<'END'
import json, struct, sys
path, tensor, row, byte, value = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
f = open(path, "r+b")
n = struct.unpack("<Q", f.read(8))[0]
t = json.loads(f.read(n))[tensor]
width = (t["data_offsets"][1] - t["data_offsets"][0]) // t["shape"][0]
f.seek(8 + n + t["data_offsets"][0] + row * width + byte)
old = f.read(1)[0]
f.seek(-1, 1)
f.write(bytes([old ^ int(value, 0)]))
print(old, width)
END
cp -r "$work/one" "$work/code"
m=model.layers.1.self_attn.k_proj
# row 5, byte 9: codes 18 and 19 of the row; the low half is code 18, stored with 8 added
set -- $(python3 "$work/poke.py" "$work/code/model.safetensors" $m.weight_packed 5 9 1)
was=$((($1 & 15) - 8))
differs "one flipped code" code tensor
is "it is a code" "tensor part" code
is "its module" "tensor module" $m
is "its tensor" "tensor what" $m.weight_packed
is "its row" "tensor row" 5
is "its column" "tensor column" 18
is "its value in A" "tensor a" $was
is "one tensor differs" tensors_differ 1
ok "one code and no scale differ" grep -q '"also": "1 of [0-9]* codes, 0 of [0-9]* scales, 0 of 0 zero points differ"' "$work/out"
ok "B is not what its manifest says" grep -q 'B: model.safetensors is not what its manifest says' "$work/out"

cp -r "$work/one" "$work/scale"
python3 "$work/poke.py" "$work/scale/model.safetensors" $m.weight_scale 7 2 0x40 >/dev/null
differs "one changed scale" scale tensor
is "it is a scale" "tensor part" scale
is "its tensor" "tensor what" $m.weight_scale
is "its row" "tensor row" 7

cp -r "$work/one" "$work/plain"
python3 "$work/poke.py" "$work/plain/model.safetensors" model.norm.weight 3 1 1 >/dev/null
differs "one changed norm" plain tensor
is "it is a plain value" "tensor part" value
is "its row" "tensor row" 3

cp -r "$work/one" "$work/side"
sed -i 's/"eos_token"/"bos_tokem"/' "$work/side/special_tokens_map.json"
differs "a changed side file" side file
is "the file and the key" "file what" special_tokens_map.json.eos_token
cp -r "$work/one" "$work/line"
printf '# one more line\n' >>"$work/line/recipe.resolved.yaml"
differs "a line more in a file" line file
is "the file" "file what" recipe.resolved.yaml
cp -r "$work/one" "$work/fewer"
rm "$work/fewer/tokenizer.json"
differs "a missing file" fewer file
is "the file" "file what" tokenizer.json
is "B has none" "file b" nothing
cp -r "$work/one" "$work/numbers"
sed -i '0,/"weight_error": 0\./s//"weight_error": 0.9/' "$work/numbers/manifest.json"
differs "a changed number" numbers numbers
ok "says which" grep -q '"what": "modules.model.*weight_error"' "$work/out"

# -- without manifests, and what can not be compared --
cp -r "$work/code" "$work/bare"
rm "$work/bare/manifest.json"
cp -r "$work/one" "$work/bare1"
rm "$work/bare1/manifest.json"
run 1 "folders without manifests" "$qpipe" diff "$work/bare1" "$work/bare"
ok "differ in the tensor" says out "tensor    code of $m.weight_packed, row 5, column 18"
run 1 "a source beside its output" "$qpipe" diff "$tiny" "$work/one"
run 2 "a folder that is not there" "$qpipe" diff "$work/one" "$work/none"
ok "is named" says err "$work/none"
echo '{' >"$work/bare1/manifest.json"
run 2 "a manifest that is no JSON" "$qpipe" diff "$work/one" "$work/bare1"
ok "is named" says err "$work/bare1/manifest.json"
finish
