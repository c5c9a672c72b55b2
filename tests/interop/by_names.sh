#!/bin/bash
# by_names.sh QPIPE - families that qpipe has no steps for, quantized by the names of their tensors: the library that
# transformers and vLLM decode with reads every matrix, and finds the errors that the manifest records.
. "$(dirname "$0")/common.sh"
shared=../shared/fixtures
[ -d $shared ] || skip "no ../shared"
cat >"$work/r.yaml" <<EOF
version: 1
stages:
  - QuantizationModifier:
      ignore: [lm_head]
      config_groups: { g: { targets: [Linear], weights: { num_bits: 4, symmetric: false, strategy: group, group_size: 32 } } }
EOF
for m in mixtral lfm2; do
    step "$m runs" "$qpipe" run "$work/r.yaml" --model $shared/$m --output "$work/$m"
    step "$m is a checkpoint" peer st_check "$work/$m"
    step "$m decodes" peer ct_decode "$work/$m" --plain "$work/$m-plain"
    step "$m has the recorded errors" peer by_names $shared/$m "$work/$m-plain" "$work/$m"
done
finish
