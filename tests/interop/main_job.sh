#!/bin/bash
# main_job.sh QPIPE - the main job (GPTQ to W4A16 on the example model) as its readers see it: the saved folder loads in
# transformers, gives the logits and the perplexity that `qpipe eval` gives, and decodes to the same weights by the
# compressed_tensors library itself.
. "$(dirname "$0")/common.sh"
model=examples/tiny text=examples/tiny/heldout.txt recipe=examples/quickstart.yaml
for f in $model/config.json $text $recipe; do [ -f "$f" ] || skip "no $f"; done
out=$work/out

to_file() { "${@:2}" >"$1"; } # to_file FILE COMMAND...: stdout alone
step "token ids from the held-out text" peer make_ids $model $text 8 128 "$work/ids.json" || finish

step "eval of the model as it was" to_file "$work/float.json" "$qpipe" eval $model --tokens "$work/ids.json" --json --logits-out "$work/float.safetensors" &&
    step "its logits and perplexity are those of transformers in float32" peer load_saved $model --tokens "$work/ids.json" \
        --reference "$work/float.safetensors" --eval-json "$work/float.json"

step "run of $recipe" "$qpipe" run $recipe --output "$out" --force || finish
step "verify" "$qpipe" verify "$out"
step "safetensors opens every tensor" peer st_check "$out"
step "eval of the saved model" to_file "$work/saved.json" "$qpipe" eval "$out" --tokens "$work/ids.json" --json --logits-out "$work/saved.safetensors" || finish
step "transformers decodes it in the stored dtype: logits within 2e-4, perplexity within 0.1 %" peer load_saved "$out" \
    --tokens "$work/ids.json" --reference "$work/saved.safetensors" --tolerance 2e-4 --eval-json "$work/saved.json"
step "transformers computes in the stored dtype: perplexity within 2 %" peer load_saved "$out" --tokens "$work/ids.json" \
    --load stored --eval-json "$work/saved.json" --perplexity-tolerance 0.02

# The same weights, decoded by the library into a plain checkpoint and run by qpipe's own forward pass.
step "compressed_tensors decodes every module" peer ct_decode "$out" --plain "$work/plain" &&
    step "eval of the library's decoding" "$qpipe" eval "$work/plain" --tokens "$work/ids.json" --logits-out "$work/plain.safetensors" &&
    step "qpipe decodes to the same weights: equal logits" peer same_logits "$work/plain.safetensors" "$work/saved.safetensors" 0
step "the quantized model is another one than the float one" peer same_logits "$work/float.safetensors" "$work/saved.safetensors" 1e-3 --differ

# Smoothed: norms are saved with scales that the quantized matrices undo.
for recipe in awq-w4a16-asym smoothquant-w8a8; do
    step "$recipe: run" "$qpipe" run examples/$recipe.yaml --set samples=16 --output "$work/$recipe" --force &&
        step "$recipe: eval of the weights alone" to_file "$work/$recipe.eval" "$qpipe" eval "$work/$recipe" --activations float --tokens "$work/ids.json" --json --logits-out "$work/$recipe.safetensors" || continue
    step "$recipe: compressed_tensors decodes every module" peer ct_decode "$work/$recipe" --plain "$work/$recipe-plain" &&
        step "$recipe: eval of the library's decoding" "$qpipe" eval "$work/$recipe-plain" --tokens "$work/ids.json" --logits-out "$work/$recipe-plain.safetensors" &&
        step "$recipe: qpipe decodes to the same weights: equal logits" peer same_logits "$work/$recipe-plain.safetensors" "$work/$recipe.safetensors" 0
done
step "awq-w4a16-asym: transformers agrees: logits within 2e-4" peer load_saved "$work/awq-w4a16-asym" --tokens "$work/ids.json" \
    --reference "$work/awq-w4a16-asym.safetensors" --tolerance 2e-4 --eval-json "$work/awq-w4a16-asym.eval"

# A model of two shards that was trained longer, with an output of its own, in the grammar of llm-compressor.
debdoc=../shared/models/debdoc
if [ -d $debdoc ]; then
    step "debdoc: token ids" peer make_ids $debdoc $debdoc/heldout.txt 8 256 "$work/deb.json" &&
        head -n 16 $debdoc/calib.jsonl >"$work/calib.jsonl" &&
        step "debdoc: run" "$qpipe" run examples/llm-compressor.yaml --model $debdoc --dataset "$work/calib.jsonl" \
            --output "$work/deb" &&
        step "debdoc: eval" to_file "$work/deb.eval" "$qpipe" eval "$work/deb" --tokens "$work/deb.json" --json --logits-out "$work/deb.safetensors" &&
        step "debdoc: transformers agrees" peer load_saved "$work/deb" --tokens "$work/deb.json" \
            --reference "$work/deb.safetensors" --tolerance 2e-4 --eval-json "$work/deb.eval"
else
    echo "skipped: debdoc (no ../shared)"
fi
finish
