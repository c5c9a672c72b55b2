#!/bin/bash
# program.sh MPI MPIRUN QPIPE PLUGINS - qpipe itself on three ranks: what all find is said once and ends with one status; what
# one rank finds, and a signal, end the job with 75 and publish nothing. Run in the root of the repository.
. "$(dirname "$0")/common.sh"
qpipe=$ranks
recipe=examples/w8a16-rtn.yaml
once() { is "$(grep -c -- "$1" "$work/err")" 1; }
job() { begin "$mpirun" -n 3 "$@"; }
case $mpi in openmpi) rank=OMPI_COMM_WORLD_RANK ;; *) rank=PMI_RANK ;; esac

job "$qpipe" list
ok "a command for one rank ends" ended 60
ok "with 6" is "$rc" 6
ok "and says so once" once 'runs on one rank only, found 3'

job "$qpipe" lost
ok "a command that is none ends" ended 60
ok "with 2" is "$rc" 2
ok "and says so once" once "found no command 'lost'"

job "$qpipe" run "$recipe" --model "$work/none" --output "$work/$token"
ok "a model that is not there ends a run" ended 60
ok "with a status that is no success ($rc)" matches "$rc" '^(2|75)$'
ok "and is named once" once "$work/none"

for nth in 100 800; do # early, and among the modules
    # shellcheck disable=SC2016
    job sh -c '[ "$'$rank'" != 1 ] || export QPIPE_FAIL_ALLOC='$nth'; exec "$0" "$@"' "$qpipe" run "$recipe" \
        --output "$work/$token"
    ok "one rank without memory at its allocation $nth ends a run" ended 60
    ok "with 75, run it again (after $took s)" is "$rc" 75
    ok "and its number is said once" once 'rank 1: out of memory'
    ok "nothing was published" test ! -e "$work/$token"
    ok "and no process is left" gone
done

env -u SLURM_PROCID SLURM_STEP_NUM_TASKS=4 "$qpipe" list >"$work/out" 2>"$work/err"
ok "srun without a PMI is refused" is $? 2
ok "with the way out" says err 'srun --mpi=pmix .* or srun --mpi=pmi2'
exit $failed
