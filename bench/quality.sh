#!/bin/sh
# quality.sh - mean KL divergence from the original for presets and options of GPTQModifier.
#   sh bench/quality.sh QPIPE MODEL CALIB HELDOUT WORK [NAME ...]
# CALIB, HELDOUT: token ids (JSON lists of lists, or safetensors). 256 calibration sequences of 512 at most, 32 windows.
# NAMEs choose rows; all without. Prints scheme, options, KL, CPU seconds of the run.
set -eu
qpipe=$1 model=$2 calib=$3 heldout=$4 work=$5
shift 5
chosen=" $* "
mkdir -p "$work"
w3='config_groups: {g: {targets: [Linear], weights: {num_bits: 3, type: int, symmetric: true, strategy: group, group_size: 128}}}'
w2='config_groups: {g: {targets: [Linear], weights: {num_bits: 2, type: int, symmetric: false, strategy: group, group_size: 64}}}'

row() { # name, scheme, options, sequential
    case $chosen in "  " | *" $1 "*) ;; *) return 0 ;; esac
    rm -rf "${work:?}/$1"
    cat >"$work/$1.yaml" <<Y
version: 1
model: $model
output: $work/$1
stages:
  - calibrate: {dataset: $calib, samples: 256, sequence_length: 512, shuffle: false, sequential: $4}
  - GPTQModifier: {ignore: [lm_head], $2, $3}
  - save
Y
    "$qpipe" run "$work/$1.yaml" >"$work/$1.log" 2>&1
    kl=$("$qpipe" eval "$work/$1" --reference "$model" --tokens "$heldout" --samples 32 --json |
        sed -n 's/.*"kl_mean": *\([0-9.e-]*\).*/\1/p')
    echo "$1 $kl"
}

for s in "w4|scheme: W4A16" "w3|$w3" "w2|$w2" "nvfp4|scheme: NVFP4A16" "mxfp4|scheme: MXFP4A16"; do
    n=${s%%|*} scheme=${s#*|}
    row "$n-none" "$scheme" "preset: none" block
    row "$n-fast" "$scheme" "preset: fast" true
    row "$n-fast-asymmetric" "$scheme" "preset: fast, calibration: asymmetric" true
    row "$n-best-symmetric" "$scheme" "preset: best, calibration: symmetric" true
    row "$n-best" "$scheme" "preset: best" true
done
