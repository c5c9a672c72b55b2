#!/bin/bash
# python_halves.sh QPIPE - the Python scripts of this folder do what they say, without qpipe: on checkpoints and logits
# that the peers wrote (shared fixtures), and on wrong ones, which they must refuse.
. "$(dirname "$0")/common.sh"
shared=../shared/fixtures/containers/compressed-tensors.tar.xz
[ -f $shared ] || skip "no ../shared"
tar -xJf $shared -C "$work"
echo '[[122, 200, 219, 172, 28, 62, 183, 47, 217, 90, 9, 40]]' >"$work/ids.json"
fails() { ! "$@"; }
for c in ct-w4a16-g128 ct-w4a16asym-g32; do # symmetric and not; each call starts Python and torch, some seconds
    d=$work/$c
    step "$c opens" peer st_check "$d"
    step "$c decodes to the known weights" peer ct_decode "$d" --hashes "$d/peer_dequant.json" --plain "$work/plain-$c"
    step "$c decoded has the known float32 logits" peer load_saved "$work/plain-$c" --tokens "$work/ids.json" \
        --reference "$d/golden.safetensors:logits_f32" --tolerance 2e-4
done
c=ct-w4a16-g128
d=$work/$c
step "$c loads with the known logits" peer load_saved "$d" --tokens "$work/ids.json" --load stored \
    --reference "$d/golden.safetensors" --tolerance 0.02
step "$c in float32 is what the library decodes in float32" peer ct_decode "$d" --float32 --plain "$work/wide" &&
    step "one" peer load_saved "$d" --load float32 --tokens "$work/ids.json" --out "$work/one.safetensors" &&
    step "other" peer load_saved "$work/wide" --tokens "$work/ids.json" --reference "$work/one.safetensors" --tolerance 1e-5
step "other logits are noticed" fails peer load_saved "$d" --tokens "$work/ids.json" --load stored \
    --reference "$work/ct-w4a16-chan/golden.safetensors"
echo '{"tokens": 11, "perplexity": 5.0}' >"$work/eval.json"
step "another perplexity is noticed" fails peer load_saved "$d" --tokens "$work/ids.json" --eval-json "$work/eval.json"
step "other weights are noticed" fails peer ct_decode "$d" --hashes "$work/ct-w4a16-chan/peer_dequant.json"
cp -r "$d" "$work/cut" && truncate -s -8 "$work/cut/model.safetensors"
step "a shard cut short is noticed" fails peer st_check "$work/cut"
mkdir "$work/extra" && cp "$d"/*.json "$d"/model.safetensors "$work/extra" && cp "$d/model.safetensors" "$work/extra/model-00002.safetensors"
step "a shard that belongs to nothing is noticed" fails peer st_check "$work/extra"
finish
