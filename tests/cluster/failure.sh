#!/bin/bash
# failure.sh MPI MPIRUN RANKS PLUGINS - jobs of three ranks on one machine that are broken while two ranks wait for the third:
# every one ends, soon, with a status that says so, and leaves no process; and what only looks broken goes on.
. "$(dirname "$0")/common.sh"
command -v pgrep >/dev/null || { echo "skipped: broken jobs (no pgrep)"; exit 77; }
job() { begin env "QPIPE_DEADLINE=$1" "$mpirun" -n 3 "$ranks" fault "$2" "$3" "$token"; }
killed() { case $mpi in openmpi) echo 137 ;; *) echo 9 ;; esac; } # how this mpirun says SIGKILL

job 60 wait 60
ok "three ranks start" pids 3
kill -KILL "$(pid 1)"
ok "a killed rank ends the job" ended 20
ok "with the launcher's status for it (after $took s)" is "$rc" "$(killed)"
ok "and no process is left" gone

job 3 wait 60
ok "three ranks start" pids 3
kill -STOP "$(pid 1)"
ok "a stopped rank ends the job" ended 20
ok "with 75, run it again (after $took s, deadline 3 s)" is "$rc" 75
ok "saying who was silent and what was waited for" says err \
    '^rank [02]: heard nothing from rank 1 for [3-9]\.[0-9] s \(deadline 3\.0 s\) while it waited for 8 bytes from rank 1'
ok "and no process is left" gone

job 60 abort 60
ok "a rank that gives up ends the job" ended 20
ok "with its status (after $took s)" is "$rc" 75
ok "and no process is left" gone

job 60 leave 60
ok "a rank that ends alone ends the job" ended 20
ok "with a status that is no success (after $took s)" test "$rc" != 0
ok "and no process is left" gone

job 2 wait 6
ok "a rank that computes three deadlines long is not taken for a stopped one" ended 40
ok "the job ends well" is "$rc" 0
ok "waiting costs next to nothing: under a tenth of a core, start-up counted" awk '
    / waited / { n++; if ($7 > 0.1 * $4 + 0.5) bad = 1; print "    " $0 } END { exit n != 2 || bad }' "$work/out"

job 2 wait 4
ok "three ranks start" pids 3
for r in 0 1 2; do kill -STOP "$(pid $r)"; done
sleep 5
for r in 0 1 2; do kill -CONT "$(pid $r)"; done
ok "a job that was suspended as a whole goes on" ended 40
ok "and ends well" is "$rc" 0

# The plugin of the other MPI: every process would be rank 0 of 1.
case $mpi in
openmpi) lie="-u OMPI_COMM_WORLD_SIZE PMI_SIZE=3" other=mpich ;;
*) lie="-u PMI_SIZE OMPI_COMM_WORLD_SIZE=3" other=openmpi ;;
esac
if [ -f "$QPIPE_PLUGINS/qpipe-mpi-$other.so" ]; then
    # shellcheck disable=SC2086
    begin "$mpirun" -n 3 env $lie "$ranks" fault wait 1 "$token"
    ok "the wrong MPI's plugin ends" ended 60
    ok "with a wrong input" is "$rc" 2
    ok "and both numbers" says err 'started 3 processes, but .* sees 1'
else
    echo "skipped: the wrong MPI's plugin (qpipe-mpi-$other.so is not built)"
fi
QPIPE_PLUGINS=$work begin "$mpirun" -n 2 "$ranks" fault wait 1 "$token"
ok "without its plugin a job ends" ended 60
ok "and says where it is looked for" says err "qpipe-mpi-$mpi.so can not be loaded: there is none"
exit $failed
