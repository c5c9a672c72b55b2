#!/bin/bash
# Written by qpipe submit for PBS Professional and OpenPBS: qsub, arrays, chains. It may be read, changed, and handed over again:
#   cd /data/out && qsub tiny.submit.sh
#
# a.yaml -> tiny: 1e+16 FLOP
#PBS -N tiny
#PBS -S /bin/bash
#PBS -l select=4:ncpus=16:mpiprocs=2:ompthreads=8:mem=40960mb
#PBS -l place=scatter
#PBS -l walltime=01:00:00
#PBS -q long
#PBS -A lab-7
#PBS -J 0-2%2
#PBS -r n
#PBS -j oe
#PBS -o tiny.submit.pbs.log
#PBS --exclusive

set -u

# The environment when this was written.
export OMP_WAIT_POLICY=passive

# Lines of --setup.
module load openmpi/4.1

cd /data/recipes || exit 4
folder=/data/out
program=/opt/bin/qpipe
index=${PBS_ARRAY_INDEX:-0}
exec >>"$folder/tiny.submit.$index.log" 2>&1

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
(trap 'kill "$nap"; exit' TERM; sleep 3300 & nap=$!; wait "$nap"; kill -USR1 $$) &
clock=$!
trap 'kill "$clock" 2>/dev/null' EXIT

# What the program is told.
task() {
    case $1 in
    0)
        label=a.yaml state=$folder/tiny.submit.0.state output=/data/out/tiny/manifest.json
        set -- run a.yaml
        ;;
    1)
        label='b.yaml, variant w4' state=$folder/tiny.submit.1.state output=''
        set -- run b.yaml --variant=w4
        ;;
    2)
        label='b.yaml, variant w8' state=$folder/tiny.submit.2.state output=''
        set -- run b.yaml --variant=w8
        ;;
    *)
        echo "found task '$1' of this array, which has none such"
        return 2
        ;;
    esac
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
    "${QPIPE_MPIRUN:-mpirun}" -n 8 --map-by ppr:2:node --bind-to none \
        --mca oob_tcp_keepalive_time 4 --mca oob_tcp_keepalive_intvl 1 \
        --mca oob_tcp_keepalive_probes 3 \
        "$program" "$@" &
    pid=$!
    [ -z "$caught" ] || stop "$caught" # it came before there was anybody to tell
    # a signal ends wait, not the program
    while before=$signals; wait "$pid"; status=$?; [ "$signals" -ne "$before" ]; do :; done
    pid=''
    case $status in
    138) status=75 ;; # USR1 before the program could catch it
    9 | 15 | 137 | 143 | 205 | 255) status=75 ;; # a rank, a node or a launcher was lost
    esac
    echo "$status $starts" >"$state"
    echo "== $label: status $status, $(date -u +%Y-%m-%dT%H:%M:%SZ)"
    return "$status"
}

task "$index"
ended=$?
# With 75 the next job of the chain goes on; else it finds the state file and does nothing.
exit "$ended"
