#!/bin/bash
# Written by qpipe submit for PBS Professional and OpenPBS: qsub, arrays, chains. It may be read, changed, and handed over again:
#   cd /data/out && qsub tiny.submit.sh
#
# a.yaml -> tiny: 1e+16 FLOP
#PBS -N tiny
#PBS -S /bin/bash
#PBS -l select=1:ncpus=16:mpiprocs=1:ompthreads=16:mem=40960mb
#PBS -l walltime=26:00:00
#PBS -r y
#PBS -j oe
#PBS -o tiny.submit.pbs.log

set -u

# The environment when this was written.
export OMP_WAIT_POLICY=passive

cd /data/recipes || exit 4
folder=/data/out
program=/opt/bin/qpipe
exec >>"$folder/tiny.submit.log" 2>&1

# Asked to stop, the program ends at the next point of its journal, with status 75. USR1 comes before a limit, TERM from
# whoever wants the job gone. bash runs a trap only while it waits, so the program runs behind it.
pid='' caught='' signals=0
stop() {
    caught=${caught:-$1} signals=$((signals + 1))
    [ -z "$pid" ] || kill -USR1 "$pid" 2>/dev/null
}
trap 'stop USR1' USR1
trap 'stop TERM' TERM INT

# Nothing comes before the limit: a clock says it, 300 seconds early.
(trap 'kill "$nap"; exit' TERM; sleep 93300 & nap=$!; wait "$nap"; kill -USR1 $$) &
clock=$!
trap 'kill "$clock" 2>/dev/null' EXIT

# What the program is told.
task() {
    label=a.yaml state=$folder/tiny.submit.state output=/data/out/tiny/manifest.json
    set -- run a.yaml
    local status='' line
    starts=0
    [ ! -s "$state" ] || read -r status starts <"$state"
    if [ "${status:-75}" -ne 75 ]; then
        echo "$label: ended before, with status $status"
        return "$status"
    fi
    if [ -n "$output" ] && [ -e "$output" ]; then
        echo "$label: is done"
        echo "0 $starts" >"$state"
        return 0
    fi
    starts=$((starts + 1))
    echo "75 $starts" >"$state"
    echo "== $label: start $starts, job $PBS_JOBID on $(hostname), $(date -u +%Y-%m-%dT%H:%M:%SZ)"
    "$program" version | while read -r line; do echo "== $line"; done
    env | grep -E '^(SLURM_JOB_NODELIST|PBS_NODEFILE|PE_HOSTFILE|OMP_|OMPI_|UCX_|QPIPE_)' | sort | sed 's/^/== /'
    "$program" "$@" &
    pid=$!
    [ -z "$caught" ] || stop "$caught" # it came before there was anybody to tell
    # a signal ends wait, not the program
    while before=$signals; wait "$pid"; status=$?; [ "$signals" -ne "$before" ]; do :; done
    pid=''
    case $status in
    138) status=75 ;; # USR1 before the program could catch it
    esac
    echo "$status $starts" >"$state"
    echo "== $label: status $status, $(date -u +%Y-%m-%dT%H:%M:%SZ)"
    return "$status"
}

task
ended=$?
# After 75, hand this script over again: the journal has what is done.
exit "$ended"
