#!/bin/sh
# rebuild.sh - `qpipe rebuild` makes an output again from its manifest: whole or a sample of modules that anyone would draw; inputs are
# taken by digest only, and an output that was not made so is found out.
. tests/cli/common.sh
have python3 || { skip "everything (no python3 to read JSON and to change single values)" && finish; }
is() { ok "$1" [ "$(value "$work/out" $2 2>&1)" = "$3" ]; } # SENTENCE KEYS VALUE
temporary=$work/tmp
mkdir "$temporary"
TMPDIR=$temporary
export TMPDIR
tidy() { ok "nothing temporary is left" [ -z "$(ls -A "$temporary")" ]; }

cat >"$work/r.yaml" <<END
version: 1
seed: 5
stages:
  - calibrate: { dataset: $tiny/calib.jsonl, samples: 4, sequence_length: 128 }
  - GPTQModifier: { scheme: W4A16, targets: [Linear], ignore: [lm_head] }
  - verify: { dataset: $tiny/heldout.txt, sequence_length: 128, samples: 3, max_kl: 5 }
END
run 0 "a run" "$qpipe" run "$work/r.yaml" --model "$tiny" --output "$work/one"
again() { "$qpipe" rebuild --json "$@"; }
source="--model $tiny --dataset $tiny/calib.jsonl"

# -- whole --
run 0 "made again with everything" again "$work/one" $source --heldout "$tiny/heldout.txt"
is "equal" equal True
is "the numbers too" numbers True
is "no tensor differs" tensors_differ 0
is "all tensors were compared" tensors "$(python3 -c 'import json,sys; print(len(json.load(open(sys.argv[1]))["predicate"]["outputs"]["tensors"]))' "$work/one/manifest.json")"
is "all files were compared" files "$(python3 -c 'import json,sys; print(len(json.load(open(sys.argv[1]))["subject"]))' "$work/one/manifest.json")"
tidy
run 0 "made again without the held-out text" "$qpipe" rebuild "$work/one/manifest.json" $source
ok "says that numbers were not" says out "not made again (no --heldout)"
ok "and that the rest is equal" says out "equal"
tidy
mkdir "$work/only"
cp "$work/one/manifest.json" "$work/one/recipe.resolved.yaml" "$work/only"
run 0 "from manifest and recipe alone, on another number of threads" again "$work/only" $source --threads 3 --output "$work/kept" --heldout "$tiny/heldout.txt"
ok "the folder that was kept is the first one" diff -r "$work/one" "$work/kept"

# -- a sample --
run 0 "a sample of 3" again "$work/one" $source --sample 3
is "three modules" modules 3
cp "$work/out" "$work/first"
run 0 "the same sample elsewhere" again "$work/only" $source --sample 3
ok "anyone draws the same" cmp "$work/first" "$work/out"
run 0 "a sample of 1, for people" "$qpipe" rebuild "$work/one" $source --sample 1
ok "names it" grep -q '^    model.layers' "$work/out"
run 0 "a sample larger than the model" again "$work/one" $source --sample 999
is "is all of them" modules "$(value "$work/first" of_modules)"
tidy

# -- data-free: nothing but the drawn tensors is read --
printf 'version: 1\nstages:\n  - QuantizationModifier: { scheme: W4A16, targets: [Linear], ignore: [lm_head] }\n' >"$work/free.yaml"
run 0 "a run without data" "$qpipe" run "$work/free.yaml" --model "$tiny" --output "$work/free"
run 0 "made again" again "$work/free" --model "$tiny"
run 0 "a sample of it" again "$work/free" --model "$tiny" --sample 2
drawn=$(value "$work/out" sample 0)
cp -r "$tiny" "$work/source"
cat >"$work/poke.py" <<'END'
import json, struct, sys
path, want = sys.argv[1], sys.argv[2:]
f = open(path, "r+b")
n = struct.unpack("<Q", f.read(8))[0]
header = json.loads(f.read(n))
del header["__metadata__"]
for name in header:
    if (name.rsplit(".", 1)[0] in want) == (want[0] != "all-but"):
        at = 8 + n + header[name]["data_offsets"][0]
        f.seek(at)
        b = f.read(2)
        f.seek(at)
        f.write(bytes([b[0] ^ 1, b[1]]))
END
others=$(python3 -c 'import json,sys
d = json.load(open(sys.argv[1]))
m = json.load(open(sys.argv[2]))
print(" ".join(sorted({t["name"].rsplit(".", 1)[0] for t in m["predicate"]["inputs"]["tensors"]} - set(d["sample"]))))' "$work/out" "$work/free/manifest.json")
python3 "$work/poke.py" "$work/source/model.safetensors" $others
run 0 "the sample does not see what else changed in the source" again "$work/free" --model "$work/source" --sample 2
run 2 "the whole does" again "$work/free" --model "$work/source"
ok "and names the file" says err "input file model.safetensors: found sha256"
python3 "$work/poke.py" "$work/source/model.safetensors" "$drawn"
run 2 "a drawn tensor that changed is refused" again "$work/free" --model "$work/source" --sample 2
ok "and named" says err "input tensor $drawn.weight: found sha256"

# -- data and smoothing: the walk goes as far as the sample --
printf 'version: 1\nstages:\n  - calibrate: { samples: 3, sequence_length: 100 }\n  - AWQModifier: {}\n  - GPTQModifier: { scheme: W4A16_ASYM, ignore: [lm_head] }\n' >"$work/awq.yaml"
run 0 "a run with smoothing" "$qpipe" run "$work/awq.yaml" $source --output "$work/awq"
run 0 "a sample of it" again "$work/awq" $source --sample 2
is "equal" equal True
ok "three tensors of each module" [ "$(value "$work/out" tensors)" -ge 6 ]
one=$(value "$work/out" sample 0)
sed -i "/\"name\": \"$one.weight_scale\"/,/sha256/s/\"sha256\": \"[0-9a-f]*\"/\"sha256\": \"00\"/" "$work/awq/manifest.json"
run 1 "a claimed digest of another scale, in a sample of all" again "$work/awq" $source --sample 99
ok "is found" grep -q "tensor $one.weight_scale: found sha256" "$work/out"

# -- other inputs --
cp -r "$tiny" "$work/config"
sed -i 's/"rms_norm_eps": 1e-05/"rms_norm_eps": 2e-05/; s/"max_position_embeddings": \([0-9]*\)/"max_position_embeddings": 1\1/' "$work/config/config.json"
run 2 "another config.json is refused" again "$work/one" --model "$work/config" --dataset "$tiny/calib.jsonl"
ok "and named" says err "input file config.json: found sha256"
head -n -1 "$tiny/calib.jsonl" >"$work/calib.jsonl"
run 2 "another calibration text is refused" again "$work/one" --model "$tiny" --dataset "$work/calib.jsonl"
ok "and named" says err "the calibration text: found sha256"
head -c 60000 "$tiny/heldout.txt" >"$work/heldout.txt"
run 2 "another held-out text is refused" again "$work/one" $source --heldout "$work/heldout.txt"
ok "and named" says err "the held-out text: found sha256"
run 2 "no calibration text" again "$work/one" --model "$tiny"
ok "is asked for" says err "--dataset"
run 2 "no model" again "$work/one"
run 2 "--sample and --heldout together" again "$work/one" $source --sample 1 --heldout "$tiny/heldout.txt"
run 2 "a held-out text that the manifest knows nothing of" again "$work/free" --model "$tiny" --heldout "$tiny/heldout.txt"
cp -r "$work/only" "$work/recipe"
sed -i 's/seed: 5/seed: 6/' "$work/recipe/recipe.resolved.yaml"
run 2 "a recipe that is not the manifest's" again "$work/recipe" $source
ok "is named" says err "recipe.resolved.yaml says something else"
tidy

# -- a manifest that claims what was not made so --
claim() { # NAME SED-EXPRESSION
    rm -rf "$work/claim"
    cp -r "$work/free" "$work/claim"
    sed -i "$2" "$work/claim/manifest.json"
    run 1 "$1: status 1" again "$work/claim" --model "$tiny"
}
digest=$(python3 -c 'import json,sys
for t in json.load(open(sys.argv[1]))["predicate"]["outputs"]["tensors"]:
    if t["name"] == "model.layers.1.mlp.up_proj.weight_packed": print(t["sha256"])' "$work/free/manifest.json")
claim "another digest of a tensor" "s/$digest/0000000000000000000000000000000000000000000000000000000000000000/"
is "one tensor differs" tensors_differ 1
ok "it is named with both" grep -q "tensor model.layers.1.mlp.up_proj.weight_packed: found sha256 $digest, expected 0000" "$work/out"
run 1 "a sample of all finds it, too" again "$work/claim" --model "$tiny" --sample 99
is "one tensor differs" tensors_differ 1
claim "another number" '0,/"weight_error": 0\./s//"weight_error": 0.9/'
ok "it is named" grep -q '"first": "modules.*weight_error"' "$work/out"
claim "another version" 's/"version": "[0-9.]*"/"version": "0.0.9"/; 0,/"weight_error": 0\./s//"weight_error": 0.9/'
ok "the version is said" grep -q '"version": "made by 0.0.9' "$work/out"
tidy
finish
