#!/bin/bash
# Written by qpipe submit for Grid Engine: qsub, arrays, soft limit, rescheduling. It may be read, changed, and handed over again:
#   cd /data/out && qsub -terse tiny.submit.sh
#
# a.yaml -> tiny: 1e+16 FLOP
#$ -N tiny
#$ -S /bin/bash
#$ -cwd
#$ -pe mpi 64
#$ -l mem_free=2560M
#$ -l h_rt=01:00:00,s_rt=00:55:00
#$ -notify
#$ -q long
#$ -A lab-7
#$ -t 1-3
#$ -tc 2
#$ -r n
#$ -j y
#$ -o tiny.submit.$TASK_ID.log
#$ --exclusive

set -u

# The environment when this was written.
export OMP_WAIT_POLICY=passive

# Lines of --setup.
module load openmpi/4.1

cd /data/recipes || exit 4
folder=/data/out
program=/opt/bin/qpipe
index=${SGE_TASK_ID/undefined/1}

# Asked to stop, the program ends at the next point of its journal, with status 75. USR1 comes before a limit, TERM from
# whoever wants the job gone. bash runs a trap only while it waits, so the program runs behind it.
pid='' caught='' signals=0
stop() {
    caught=${caught:-$1} signals=$((signals + 1))
    [ -z "$pid" ] || kill -USR1 "$pid" 2>/dev/null
}
trap 'stop USR1' USR1
trap 'stop TERM' TERM INT
trap 'stop TERM' USR2 # what -notify sends before a kill

# What the program is told.
task() {
    case $1 in
    1)
        label=a.yaml state=$folder/tiny.submit.1.state output=/data/out/tiny/manifest.json
        set -- run a.yaml
        ;;
    2)
        label='b.yaml, variant w4' state=$folder/tiny.submit.2.state output=''
        set -- run b.yaml --variant=w4
        ;;
    3)
        label='b.yaml, variant w8' state=$folder/tiny.submit.3.state output=''
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
    echo "== $label: start $starts, job $JOB_ID on $(hostname), $(date -u +%Y-%m-%dT%H:%M:%SZ)"
    "$program" version | while read -r line; do echo "== $line"; done
    env | grep -E '^(SLURM_JOB_NODELIST|PBS_NODEFILE|PE_HOSTFILE|OMP_|OMPI_|UCX_|QPIPE_)' | sort | sed 's/^/== /'
    setsid "${QPIPE_MPIRUN:-mpirun}" -n 8 --map-by ppr:2:node --bind-to none \
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
