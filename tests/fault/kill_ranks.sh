#!/bin/sh
# kill_ranks.sh - three ranks, one of which dies behind a record of its own: the job ends, nothing stands under the name, and one,
# two or three ranks go on to the bytes of a run on one rank that nobody disturbed.
. tests/cli/common.sh
have mpirun || { skip "ranks (no mpirun)" && finish; }
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
export ASAN_OPTIONS=detect_leaks=0 # Open MPI keeps memory of its own
recipe "$work/r.yaml" "$work/result" 6
run 0 "a run that nobody disturbs" "$qpipe" run "$work/r.yaml"
mv "$work/result" "$work/whole"
run 0 "three ranks" timeout 120 mpirun -n 3 "$qpipe" run "$work/r.yaml" --threads 1
if ! diff -r "$work/result" "$work/whole" >/dev/null 2>&1; then
    ok "the same bytes" diff -r "$work/result" "$work/whole"
    finish
fi
kills=0
for at in 1 2 3 4 5; do
    rm -rf "$work/result" "$work/result.work"
    QPIPE_KILL_AT_RECORD=$at timeout 120 mpirun -n 3 "$qpipe" run "$work/r.yaml" --threads 1 >"$work/out" 2>"$work/err"
    status=$?
    ok "killed behind record $at of a rank: the job ends with an error (found $status)" [ $status -ne 0 -a $status -ne 124 ]
    ok "nothing under the name" [ ! -e "$work/result" ]
    ok "what was finished stays" [ -d "$work/result.work" ]
    n=$((at % 3 + 1))
    if [ $n -eq 1 ]; then
        run 0 "one process goes on" "$qpipe" run "$work/r.yaml"
    else
        run 0 "$n ranks go on" timeout 120 mpirun -n $n "$qpipe" run "$work/r.yaml" --threads 1
    fi
    [ $at -eq 1 ] || ok "from where it was" says err "continues: "
    ok "to the same bytes" diff -r "$work/result" "$work/whole"
    ok "nothing else stays" [ ! -e "$work/result.work" ]
    kills=$((kills + 1))
done
# the same job killed again and again, on ever other numbers of ranks
rm -rf "$work/result"
for n in 3 2 3 1 2; do
    QPIPE_KILL_AT_RECORD=2 timeout 120 mpirun -n $n "$qpipe" run "$work/r.yaml" --threads 1 >"$work/out" 2>"$work/err"
    kills=$((kills + 1))
done
ok "nothing under the name after all of them" [ ! -e "$work/result" ]
run 0 "three ranks end it" timeout 120 mpirun -n 3 "$qpipe" run "$work/r.yaml" --threads 1
ok "to the same bytes" diff -r "$work/result" "$work/whole"
ok "$kills kills" [ $kills -eq 10 ]
finish
