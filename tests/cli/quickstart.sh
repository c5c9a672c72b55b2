#!/bin/sh
# quickstart.sh - the main job from recipe to output, and everything that can be asked of the output: recheck, inspect, eval,
# thresholds, --force.
. tests/cli/common.sh
q=$work/q

run 0 "the quickstart runs" "$qpipe" run examples/quickstart.yaml --output "$q"
ok "its table is on stdout" says out "KL divergence"
ok "and nothing of it on stderr" sh -c "! grep -q 'KL divergence' '$work/err'"
ok "progress is on stderr" says err "quantize:"
ok "and not on stdout" sh -c "! grep -q '^quantize:' '$work/out'"
for f in model.safetensors config.json tokenizer.json tokenizer_config.json recipe.resolved.yaml manifest.json; do
    ok "the output has $f" test -s "$q/$f"
done
ok "nothing else stands beside it" sh -c "[ \"\$(ls -d '$q'*)\" = '$q' ]"
run 0 "the manifest holds" "$qpipe" verify "$q"
ok "and says so" says out "as the manifest says"
run 0 "also against the source" "$qpipe" verify "$q" --model "$tiny"
ok "11 inputs were compared" says out "11 input files"
run 0 "and every number is measured again" "$qpipe" verify "$q" --model "$tiny" --dataset "$tiny/heldout.txt"

run 2 "an existing output is kept" "$qpipe" run examples/quickstart.yaml --output "$q"
ok "with a hint" says err "--force"
cp -r "$q" "$work/first"
run 0 "--force replaces it" "$qpipe" run examples/quickstart.yaml --output "$q" --force
ok "by the same bytes" diff -r "$q" "$work/first"

mkdir "$work/foreign" && echo mine >"$work/foreign/file"
run 2 "--force does not replace what qpipe has not written" "$qpipe" run examples/quickstart.yaml --output "$work/foreign" --force
ok "which is still there" grep -q mine "$work/foreign/file"
cp -r "$tiny" "$work/original"
run 2 "--force does not replace the source" "$qpipe" run examples/quickstart.yaml --model "$work/original" --output "$work/original" --force
ok "which is still there" diff -r "$tiny" "$work/original"

cp -r "$q" "$work/bent"
printf 'X' | dd of="$work/bent/model.safetensors" bs=1 seek=200000 conv=notrunc 2>/dev/null
run 1 "a flipped byte in a shard is found" "$qpipe" verify "$work/bent"
ok "and the file is named" says out "output file model.safetensors: found sha256"
rm -r "$work/bent" && cp -r "$q" "$work/bent" && rm "$work/bent/tokenizer.json"
run 1 "a missing file is found" "$qpipe" verify "$work/bent"
ok "and named" says out "output file tokenizer.json"
cp "$q/tokenizer.json" "$work/bent/" && echo '{}' >"$work/bent/stranger.json"
run 1 "a stranger is found" "$qpipe" verify "$work/bent"
ok "and named" says out "file stranger.json stands in the folder and not in the manifest"
rm "$work/bent/stranger.json" && echo signature >"$work/bent/manifest.json.sig"
run 0 "a signature is no stranger" "$qpipe" verify "$work/bent"
cp -r "$tiny" "$work/source" && echo ' ' >>"$work/source/generation_config.json"
run 1 "a changed source is found" "$qpipe" verify "$q" --model "$work/source"
ok "and named" says out "input file generation_config.json"
echo '{' >"$work/bent/manifest.json"
run 2 "a broken manifest has a place" "$qpipe" verify "$work/bent"
ok "its line" grep -Eq 'manifest\.json:[0-9]+:' "$work/err"
run 4 "a folder without manifest" "$qpipe" verify "$work"

run 0 "inspect" "$qpipe" inspect "$q"
ok "says how a module is stored" grep -q "layers.0.mlp.down_proj.weight .*from 4-bit int symmetric group 128" "$work/out"
sed 's/max_kl: 0.1/max_kl: 0.0001/' examples/quickstart.yaml | sed "s|tiny/|$tiny/|; s|model: tiny|model: $tiny|" >"$work/strict.yaml"
run 1 "a threshold that is missed" "$qpipe" run "$work/strict.yaml" --output "$work/s"
ok "is in the table" says out "NOT MET"
ok "nothing stands under the name" test ! -e "$work/s"
ok "the output is kept as .rejected" test -s "$work/s.rejected/manifest.json"
run 0 "and its manifest holds" "$qpipe" verify "$work/s.rejected"

if have python3; then
    m=$q/manifest.json
    # claim SENTENCE CHANGE - a manifest that says something else of the same files
    claim() {
        python3 - "$m" "$work/bent/manifest.json" "$2" <<'EOF'
import json, sys
source, target, change = sys.argv[1:]
m = json.load(open(source))
p = m["predicate"]
exec(change)
json.dump(m, open(target, "w"), indent=2)
EOF
        run 1 "$1 is found" "$qpipe" verify "$work/bent" --model "$tiny" --dataset "$tiny/heldout.txt"
    }
    rm "$work/bent/manifest.json.sig"
    claim "a better divergence than was measured" 'p["verification"]["model"]["kl_mean"] /= 2'
    ok "and named" says out kl_mean
    claim "a better weight error" 'p["verification"]["modules"]["model.layers.1.mlp.up_proj"]["weight_error"] *= 0.999'
    ok "and named" says out "model.layers.1.mlp.up_proj: weight_error is recorded as"
    claim "another recipe" 'p["recipe"]["seed"] = 2'
    claim "another digest of a tensor" 'p["outputs"]["tensors"][0]["sha256"] = "0" * 64'
    ok "and named" says out "output tensor"
    claim "another digest of an input" 'p["inputs"]["files"][0]["sha256"] = "0" * 64'
    claim "a tensor that nobody recorded" 'del p["outputs"]["tensors"][0]'
    run 0 "inspect as JSON" "$qpipe" inspect "$q" --json
    ok "is JSON" json out
    run 0 "verify as JSON" "$qpipe" verify "$q" --json
    ok "says passed" sh -c "python3 -c 'import json; assert json.load(open(\"$work/out\"))[\"passed\"] is True'"
    run 0 "eval of the output" "$qpipe" eval "$q" --text "$tiny/heldout.txt" --sequence-length 512 --samples 64 --json
    cp "$work/out" "$work/after"
    run 0 "eval of the original" "$qpipe" eval "$tiny" --text "$tiny/heldout.txt" --sequence-length 512 --samples 64 --json
    ok "perplexities are those of the manifest" python3 - "$m" "$work/out" "$work/after" <<'EOF'
import json, sys
m, before, after = (json.load(open(p)) for p in sys.argv[1:])
model = m["predicate"]["verification"]["model"]
assert before["perplexity"] == model["base"]["perplexity"], (before, model)
assert after["perplexity"] == model["quantized"]["perplexity"], (after, model)
EOF
    run 0 "KL divergence by eval" "$qpipe" eval "$q" --text "$tiny/heldout.txt" --sequence-length 512 --samples 64 --reference "$tiny" --json
    ok "and every other distance are those of the manifest" python3 - "$m" "$work/out" <<'EOF'
import json, sys
m, e = (json.load(open(p)) for p in sys.argv[1:])
assert m["predicate"]["verification"]["model"] == e
EOF
    echo '[[0, 5, 6, 7], [0, 9, 9, 9]]' >"$work/ids.json"
    run 0 "logits of token ids" "$qpipe" eval "$q" --tokens "$work/ids.json" --logits-out "$work/logits.safetensors"
    ok "have windows, length, vocabulary" python3 - "$work/logits.safetensors" <<'EOF'
import json, struct, sys
f = open(sys.argv[1], "rb").read()
n, = struct.unpack("<Q", f[:8])
t = json.loads(f[8:8 + n])["logits"]
assert t["shape"] == [2, 4, 2048] and t["dtype"] == "F32", t
assert len(f) == 8 + n + 2 * 4 * 2048 * 4
EOF
    printf 'One line of text.\n\nAnother one.\n' >"$work/lines.txt"
    run 0 "tokenize" "$qpipe" tokenize "$tiny" "$work/lines.txt"
    ok "gives a list of ids a line" python3 - "$work/out" "$tiny/tokenizer.json" <<'EOF'
import json, sys
lines = [json.loads(l) for l in open(sys.argv[1])]
names = {v: k for k, v in json.load(open(sys.argv[2]))["model"]["vocab"].items()}
text = ["".join(names[i] for i in l if i > 2).replace("Ġ", " ") for l in lines]
assert [t for t in text if t] == ["One line of text.", "Another one."], text
assert all(l[0] == 0 for l in lines)
EOF
    run 0 "tokenize without special tokens" "$qpipe" tokenize "$tiny" "$work/lines.txt" --no-special
    ok "begins with the text" sh -c "! grep -q '^\[0,' '$work/out'"
    recipe "$work/r.yaml" "$work/j"
    run 0 "a run with logs as JSON" "$qpipe" run "$work/r.yaml" --log-format json --json
    ok "the result is JSON" json out
    ok "every line of the log is JSON" sh -c "while IFS= read -r line; do printf '%s' \"\$line\" | python3 -m json.tool || exit 1; done <'$work/err'"
    ok "there are such lines" test -s "$work/err"
    run 2 "an error with logs as JSON" "$qpipe" run "$work/r.yaml" --log-format json
    ok "ends in a line with its kind" sh -c "tail -n 1 '$work/err' | grep '\"error\": \"input\"' | python3 -m json.tool"
else
    skip "JSON results, eval, tokenize, logs (no python3)"
fi
recipe "$work/r.yaml" "$work/quiet"
run 0 "a run that says errors only" "$qpipe" run "$work/r.yaml" --log-level error
ok "is silent on stderr" silent err
finish
