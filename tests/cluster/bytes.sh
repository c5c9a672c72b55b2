#!/bin/bash
# bytes.sh QPIPE [FULL] - jobs on several ranks write what one process writes, to the byte: GPTQ with verify, AWQ, static
# activations and caches, asymmetric calibration, data-free; sharded by samples and by layers; killed and gone on with on other
# numbers of ranks. eval gives the same numbers. Each MPI that has a plugin beside the program is used; FULL: every recipe
# on 2, 3, 4 and 7 ranks with 1 to 3 threads and each MPI, and 24 kills, on debdoc where ../shared has it.
. tests/cli/common.sh
full=${2:-}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_hwloc_base_binding_policy=none ASAN_OPTIONS=detect_leaks=0
mpis=
for mpi in openmpi mpich; do
    if [ -e "$(dirname "$qpipe")/qpipe-mpi-$mpi.so" ] && have mpirun.$mpi; then mpis="$mpis $mpi"; fi
done
[ -n "$mpis" ] || { skip "jobs on ranks (no plugin of an MPI, or no mpirun)" && finish; }

model=$tiny text=$tiny/calib.jsonl held=$tiny/heldout.txt samples=18 length=96
big=$root/../shared/models/debdoc
if [ -n "$full" ] && [ -f "$big/config.json" ]; then
    model=$big text=$big/calib.jsonl held=$big/heldout.txt samples=20 length=128
fi
recipe_of() { # NAME CALIBRATE-OPTIONS MODIFIERS [HEAD]
    { echo "version: 1"; echo "model: $model"; echo "seed: 1"; [ -z "${4:-}" ] || echo "$4"; echo "stages:"
      [ "$2" = none ] || echo "  - calibrate: {dataset: $text, samples: $samples, sequence_length: $length$2}"
      printf '%s\n' "$3"
      echo "  - verify: {dataset: $held, sequence_length: $length, samples: 5}"; } >"$work/$1.yaml"
}
all="targets: [Linear], ignore: [lm_head]"
recipe_of gptq "" "  - GPTQModifier: {scheme: W4A16, $all}"
recipe_of awq "" "  - AWQModifier: {}
  - QuantizationModifier: {scheme: W4A16_ASYM, $all}"
recipe_of output "" "  - AWQModifier: {search: output, n_grid: 4}
  - GPTQModifier: {scheme: NVFP4A16, $all}"
recipe_of smooth "" "  - SmoothQuantModifier: {}
  - GPTQModifier: {scheme: W8A8, $all, calibration: asymmetric}"
recipe_of static "" "  - QuantizationModifier: {scheme: FP8, $all, kv_cache_scheme: {num_bits: 8, type: float, strategy: tensor, dynamic: false, symmetric: true}}"
recipe_of block ", sequential: block" "  - GPTQModifier: {scheme: W4A16, $all, preset: best}"
recipe_of layers ", sequential: false" "  - GPTQModifier: {scheme: W4A16, $all}" "sharding: layers"
recipe_of free none "  - QuantizationModifier: {scheme: W8A16, $all}
  - save: {shard_size: 200K}"

on() { # MPI RANKS THREADS NAME - run NAME on ranks
    timeout 300 mpirun.$1 -n "$2" "$qpipe" run "$work/$4.yaml" --output "$work/$4" --threads "$3" >"$work/out" 2>"$work/err"
}
same() { # MPI RANKS THREADS NAME
    on "$@"
    ok "$4 on $2 ranks of $3 threads, $1: the same folder" diff -r "$work/$4.one" "$work/$4"
    ok "$4: nothing else stays" [ ! -e "$work/$4.work" ]
    rm -rf "$work/$4" "$work/$4.work"
}
i=0
for name in gptq awq output smooth static block layers free; do
    run 0 "$name: one process" "$qpipe" run "$work/$name.yaml" --output "$work/$name.one"
    for ranks in 2 3 4 7; do
        for mpi in $mpis; do
            i=$((i + 1))
            # in short: each recipe once, the MPIs and numbers of ranks in turn
            [ -n "$full" ] || { [ $((i % (4 * $(echo $mpis | wc -w)))) -eq $((${#name} % 3)) ]; } || continue
            same $mpi $ranks $((i % 3 + 1)) $name
        done
    done
done
same ${mpis##* } 3 1 gptq

run 0 "eval: one process" "$qpipe" eval "$model" --text "$held" --samples 7 --sequence-length 96 --json
mv "$work/out" "$work/eval.one"
for mpi in $mpis; do
    timeout 200 mpirun.$mpi -n 3 "$qpipe" eval "$model" --text "$held" --samples 7 --sequence-length 96 --json >"$work/out" 2>"$work/err"
    ok "eval on 3 ranks, $mpi: the same numbers" cmp "$work/out" "$work/eval.one"
done

run 0 "verify: one process" "$qpipe" verify "$work/gptq.one" --model "$model" --dataset "$held" --json
mv "$work/out" "$work/verify.one"
timeout 200 mpirun.${mpis##* } -n 3 "$qpipe" verify "$work/gptq.one" --model "$model" --dataset "$held" --json >"$work/out" 2>"$work/err"
ok "verify on 3 ranks: the same numbers" cmp "$work/out" "$work/verify.one"

# killed behind a record of one of the ranks, gone on with by others, and by one process
kills=0 bad=0
for name in gptq awq free; do
    for at in 1 3 $([ -z "$full" ] || echo 2 4); do
        for first in 3 2; do
            mpi=$(echo $mpis | tr ' ' '\n' | sed -n "$((kills % $(echo $mpis | wc -w) + 1))p")
            rm -rf "$work/$name" "$work/$name.work"
            QPIPE_KILL_AT_RECORD=$at on $mpi $first 1 $name
            [ $? -ne 0 ] && [ ! -e "$work/$name" ] || bad=$((bad + 1))
            kills=$((kills + 1))
            if [ $((kills % 2)) -eq 0 ]; then on $mpi $((5 - first)) 1 $name; else "$qpipe" run "$work/$name.yaml" --output "$work/$name" >"$work/out" 2>"$work/err"; fi
            diff -r "$work/$name.one" "$work/$name" >"$work/diff" 2>&1 || { bad=$((bad + 1)); cat "$work/diff"; tail -n 5 "$work/err"; }
        done
    done
    rm -rf "$work/$name" "$work/$name.work"
done
ok "$kills jobs on ranks, killed, go on to the same bytes on other numbers of ranks" [ $bad -eq 0 ]

# wrong on all ranks alike: said once, with its own status
sed 's/W4A16/W4A17/' "$work/gptq.yaml" >"$work/wrong.yaml"
for mpi in $mpis; do
    timeout 100 mpirun.$mpi -n 3 "$qpipe" run "$work/wrong.yaml" --output "$work/none" >"$work/out" 2>"$work/err"
    ok "a mistake in the recipe on 3 ranks, $mpi: is no success" [ $? -ne 0 ]
    ok "is said once" [ "$(grep -c W4A17 "$work/err")" -eq 1 ]
    ok "and leaves nothing" nothing "$work/none"
done
finish
