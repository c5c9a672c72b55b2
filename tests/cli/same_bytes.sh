#!/bin/sh
# same_bytes.sh - each kind of job gives one folder: on any number of threads, with any kernels, from gcc's and clang's program,
# run twice. A row of the table is a name and the modifiers of a recipe; verify's numbers are in the manifest that is compared.
. tests/cli/common.sh

# The program that another compiler made: build/clang when this one is build/release, as scripts/check.sh builds them.
other=${QPIPE_OTHER:-$(dirname "$(dirname "$(dirname "$qpipe")")")/clang/pipeline/qpipe}

recipe_of() { # MODIFIERS
    cat <<EOF
version: 1
model: $tiny
seed: 3
stages:
  - calibrate: { dataset: $tiny/calib.jsonl, samples: 7, sequence_length: 150 }
$1
  - verify: { dataset: $tiny/heldout.txt, sequence_length: 150, samples: 3 }
EOF
}
same() { # WHAT COMMAND... - runs it with --output, compares with the first folder
    what=$1
    shift
    run 0 "$name: a run $what" "$@" run "$work/r.yaml" --output "$work/n"
    ok "$name: the same folder $what" diff -r "$work/one" "$work/n"
    rm -rf "$work/n"
}
kind() { # NAME MODIFIERS
    name=$1
    recipe_of "$2" >"$work/r.yaml"
    rm -rf "$work/one"
    run 0 "$name: a run with one thread" env OMP_NUM_THREADS=1 "$qpipe" run "$work/r.yaml" --output "$work/one"
    for n in 2 3 7; do
        same "with $n threads" env OMP_NUM_THREADS=$n "$qpipe"
    done
    for k in c avx2 avx512; do
        if QPIPE_KERNELS=$k "$qpipe" list >/dev/null 2>&1; then
            same "with kernels $k" env QPIPE_KERNELS=$k "$qpipe"
        else
            skip "kernels $k (not on this processor)"
        fi
    done
    if [ -x "$other" ]; then
        same "by another compiler" "$other"
    else
        skip "another compiler's program (no $(basename "$(dirname "$(dirname "$other")")") build here)"
    fi
}
kind gptq '  - GPTQModifier: { scheme: W4A16_ASYM, targets: [Linear], ignore: [lm_head] }'
kind conforming '  - GPTQModifier: { scheme: W3A16, preset: none, ignore: [lm_head] }'
kind best '  - GPTQModifier: { scheme: W4A16, preset: best, ignore: [lm_head] }'
kind awq '  - AWQModifier: {}
  - QuantizationModifier: { scheme: W4A16_ASYM, ignore: [lm_head] }'
kind clip '  - AWQModifier: { clip: true }
  - GPTQModifier: { scheme: W4A16_ASYM, preset: none, ignore: [lm_head] }'
kind static '  - QuantizationModifier: { scheme: FP8, ignore: [lm_head], kv_cache_scheme: { num_bits: 8, type: float, strategy: tensor, dynamic: false, symmetric: true } }'
kind fp8 '  - QuantizationModifier: { scheme: FP8_DYNAMIC, targets: [Linear], ignore: [lm_head] }'
kind nvfp4 '  - GPTQModifier: { scheme: NVFP4A16, targets: [Linear], ignore: [lm_head] }'
finish
