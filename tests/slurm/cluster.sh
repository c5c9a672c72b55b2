#!/bin/bash
# cluster.sh - a Slurm of several nodes on one machine, for tests: its own munged, one slurmctld, a slurmd for each node, ports and
# folders of its own, short time-outs. Touches nothing of a Slurm that the machine may have.
#
#   cluster.sh start DIR [NODES [CPUS]]   cluster.sh stop DIR
#   cluster.sh kill-node DIR N            the host of node N loses power: slurmd, step daemons and all processes of its jobs die at once
#   cluster.sh start-node DIR N
#
# Then: export SLURM_CONF=DIR/slurm.conf. Root only, and Debian's slurmctld, slurmd, slurm-client, munge (22.05 tried).
set -u
dir=${2:?use: $0 start|stop|kill-node|start-node DIR ...}
mkdir -p "$dir" && dir=$(cd "$dir" && pwd) || exit 2
export SLURM_CONF=$dir/slurm.conf
say() { echo "cluster.sh: $*" >&2; }
soon() { # SECONDS COMMAND... - until the command succeeds
    local left=$(($1 * 10))
    shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ $left -gt 0 ] || return 1
        sleep 0.1
    done
}
# ours NAME WORD - the process of NAME.pid is alive and still the one that was started (numbers are used again)
ours() {
    local pid
    pid=$(cat "$dir/$1.pid" 2>/dev/null) && [ -n "$pid" ] && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "$2"
}
end() { # NAME WORD - TERM, then KILL
    ours "$1" "$2" || return 0
    local pid
    pid=$(cat "$dir/$1.pid")
    kill "$pid" 2>/dev/null
    soon 2 sh -c "! kill -0 $pid" || kill -9 "$pid" 2>/dev/null
}
port_is_free() { ! grep -qi ":$(printf %04X "$1") " /proc/net/tcp /proc/net/tcp6 2>/dev/null; }
free_ports() { # COUNT - the first of so many that nobody uses
    local base=23000 i
    while [ $base -lt 60000 ]; do
        for ((i = 0; i < $1; i++)); do port_is_free $((base + i)) || break; done
        [ "$i" -ge "$1" ] && echo $base && return 0
        base=$((base + 40))
    done
    return 1
}

configure() { # NODES CPUS
    local base host memory i
    base=$(free_ports $(($1 + 1))) && host=$(hostname) || return 1
    memory=$(awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo)
    mkdir -p "$dir/state"
    (umask 077 && head -c 1024 /dev/urandom >"$dir/munge.key")
    # No cgroups: the plugin that this release has wants a mount point, so it gets one that is not there.
    printf 'CgroupPlugin=cgroup/v1\nCgroupAutomount=no\nCgroupMountpoint=%s/nothing\n' "$dir" >"$dir/cgroup.conf"
    {
        echo "ClusterName=qpipe$base"
        echo "SlurmctldHost=$host(127.0.0.1)"
        printf '%s\n' SlurmUser=root SlurmdUser=root SlurmctldPort=$base AuthType=auth/munge CredType=cred/munge
        # a job that was requeued waits cred_expire + 1 seconds
        echo "AuthInfo=socket=$dir/munge.socket,cred_expire=3"
        printf '%s\n' "StateSaveLocation=$dir/state" "SlurmdSpoolDir=$dir/spool.%n" "SlurmctldPidFile=$dir/slurmctld.pid"
        printf '%s\n' "SlurmdPidFile=$dir/slurmd.%n.pid" "SlurmctldLogFile=$dir/slurmctld.log" "SlurmdLogFile=$dir/slurmd.%n.log"
        # PMIx makes a folder there for each step: nodes that share one collide
        echo "TmpFS=$dir/tmp.%n"
        printf '%s\n' ProctrackType=proctrack/linuxproc TaskPlugin=task/none JobAcctGatherType=jobacct_gather/none
        printf '%s\n' SwitchType=switch/none MpiDefault=none SelectType=select/cons_tres SelectTypeParameters=CR_CPU
        printf '%s\n' SchedulerType=sched/backfill SlurmdParameters=config_overrides PropagateResourceLimits=NONE
        echo SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=0
        # a lost node is seen after SlurmdTimeout; behind a limit: TERM, KillWait seconds, KILL
        printf '%s\n' SlurmdTimeout=6 SlurmctldTimeout=6 TCPTimeout=1 MessageTimeout=2 BatchStartTimeout=10 KillWait=3
        printf '%s\n' CompleteWait=0 UnkillableStepTimeout=15 InactiveLimit=0 MinJobAge=3600 ReturnToService=2 JobRequeue=1
        for ((i = 1; i <= $1; i++)); do
            echo "NodeName=n$i NodeHostname=$host NodeAddr=127.0.0.1 Port=$((base + i)) CPUs=$2 RealMemory=$memory State=UNKNOWN"
        done
        echo "PartitionName=main Nodes=n[1-$1] Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO"
    } >"$SLURM_CONF"
}
nodes() { sed -n 's/^NodeName=n\([0-9]*\) .*/\1/p' "$SLURM_CONF"; }
start_node() {
    ours "slurmd.n$1" "-N n$1" && return 0
    mkdir -p "$dir/spool.n$1" "$dir/tmp.n$1" && chmod 1777 "$dir/tmp.n$1"
    slurmd -N "n$1" -f "$SLURM_CONF" >>"$dir/start.log" 2>&1
}
all_up() { sinfo -h -N -o %t | grep -q . && ! sinfo -h -N -o %t | grep -qvE '^(idle|mix|alloc|comp)$'; }
# Processes of jobs on node N, and its step daemons: by what their environment and open files name.
job_pids() {
    local f
    for f in $(grep -lzxF "SLURMD_NODENAME=n$1" /proc/[0-9]*/environ 2>/dev/null); do
        if grep -qzxF "SLURM_CONF=$SLURM_CONF" "$f" 2>/dev/null; then
            f=${f#/proc/} && echo "${f%/environ}"
        fi
    done
}
step_pids() {
    local p
    for p in $(pgrep slurmstepd); do
        if { ls -l "/proc/$p/cwd" "/proc/$p/fd"; tr '\0' '\n' <"/proc/$p/environ"; } 2>/dev/null |
            grep -qF -e "$dir/spool.n$1" -e "$dir/slurmd.n$1.log"; then
            echo "$p"
        fi
    done
}

case $1 in
start)
    [ "$(id -u)" = 0 ] || { say "needs root" && exit 3; }
    for t in munged slurmctld slurmd sinfo sbatch; do
        command -v $t >/dev/null || { say "$t is missing" && exit 3; }
    done
    [ -s "$SLURM_CONF" ] || configure "${3:-3}" "${4:-2}" || { say "no free ports" && exit 1; }
    ours munged "$dir/munge.socket" || munged --force --key-file="$dir/munge.key" --socket="$dir/munge.socket" \
        --pid-file="$dir/munged.pid" --log-file="$dir/munged.log" --seed-file="$dir/munge.seed" --num-threads=2 || exit 1
    soon 5 test -S "$dir/munge.socket"
    ours slurmctld slurmctld || slurmctld -f "$SLURM_CONF" >>"$dir/start.log" 2>&1
    soon 15 scontrol ping || { tail -n 5 "$dir/slurmctld.log" >&2 && exit 1; }
    for n in $(nodes); do start_node "$n"; done
    soon 30 all_up || { sinfo -N >&2 && tail -n 3 "$dir"/*.log >&2 && exit 1; }
    ;;
stop)
    [ -s "$SLURM_CONF" ] || exit 0
    if ours slurmctld slurmctld; then
        scancel -f --user=root 2>/dev/null
        soon 5 sh -c '[ -z "$(squeue -h)" ]'
    fi
    for n in $(nodes); do
        for p in $(step_pids "$n") $(job_pids "$n"); do kill -9 "$p" 2>/dev/null; done
        end "slurmd.n$n" "-N n$n"
    done
    end slurmctld slurmctld
    end munged "$dir/munge.socket"
    exit 0
    ;;
kill-node)
    ours "slurmd.n$3" "-N n$3" || { say "n$3 does not run" && exit 1; }
    kill -9 "$(cat "$dir/slurmd.n$3.pid")" && rm -f "$dir/slurmd.n$3.pid"
    for p in $(step_pids "$3"); do kill -STOP "$p" 2>/dev/null; done # it must not report what dies now
    for p in $(job_pids "$3") $(step_pids "$3"); do kill -9 "$p" 2>/dev/null; done
    exit 0
    ;;
start-node) start_node "$3" ;;
*) say "found '$1', expected start, stop, kill-node or start-node" && exit 2 ;;
esac
