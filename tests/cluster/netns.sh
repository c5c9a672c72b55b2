#!/bin/bash
# netns.sh - hosts out of network namespaces on one bridge, so that a link between ranks can be cut on one machine.
#
#   netns.sh up NAME N            hosts NAME1..NAMEN, with host names and a /dev/shm of their own
#   netns.sh run NAME MPI MPIRUN NP CMD...   NP ranks, one a host in turn; mpirun runs on NAME1
#   netns.sh cut NAME I           takes host I's cable out; netns.sh heal NAME I puts it back
#   netns.sh down NAME            ends what still runs in the hosts, and removes them
#
# NAME: at most 6 letters or digits. Needs root, iproute2, util-linux. Launchers reach a host through "netns.sh agent", not ssh.
set -eu
self=$(readlink -f "$0")
verb=$1 name=$2
state=/run/qpipe-netns.$name
address() { echo "10.$(cat "$state/net").0.$1"; }
on_host() { # I CMD...
    local i=$1
    shift
    ip netns exec "$name$i" unshare --uts --mount sh -c \
        'hostname "$1"; mount -t tmpfs -o size=256m shm /dev/shm; shift; exec "$@"' sh "$name$i" "$@"
}

case $verb in
up)
    net=200
    while ip -4 addr | grep -q "10\.$net\.0\." || grep -qsx $net /run/qpipe-netns.*/net || ip netns list | grep -q "^$name"; do
        net=$((net - 1))
        [ $net -gt 100 ] || exit 1
    done
    mkdir "$state"
    echo $net >"$state/net"
    echo "$3" >"$state/n"
    ip link add "$name-br" type bridge
    ip link set "$name-br" up
    for i in $(seq "$3"); do
        ip netns add "$name$i"
        ip link add "$name-v$i" type veth peer name eth0 netns "$name$i"
        ip link set "$name-v$i" master "$name-br" up
        ip -n "$name$i" addr add "$(address "$i")/24" dev eth0
        ip -n "$name$i" link set eth0 up
        ip -n "$name$i" link set lo up
        mkdir -p "/etc/netns/$name$i" # `ip netns exec` puts these files over those of /etc
        {
            echo "127.0.0.1 localhost"
            for k in $(seq "$3"); do echo "$(address "$k") $name$k"; done
        } >"/etc/netns/$name$i/hosts"
    done
    ;;
agent) # NAME [OPTIONS] HOST WORDS...: what ssh would do with them
    shift 2
    while [ "${1#-}" != "$1" ]; do shift; done
    host=$1
    shift
    on_host "${host#"$name"}" sh -c "$*"
    ;;
run)
    mpi=$3 mpirun=$4 np=$5
    shift 5
    printf '#!/bin/sh\nexec bash "%s" agent "%s" "$@"\n' "$self" "$name" >"$state/agent"
    chmod +x "$state/agent"
    hosts= n=$(cat "$state/n")
    for i in $(seq "$n"); do
        host=$name$i
        [ "$mpi" = openmpi ] && host=$host:$(((np + n - 1) / n))
        hosts=$hosts${hosts:+,}$host
    done
    if [ "$mpi" = openmpi ]; then # keepalive: mpirun itself must notice that a host is lost
        on_host 1 "$mpirun" --host "$hosts" --map-by node --bind-to none --mca plm_rsh_agent "$state/agent" \
            --mca plm_rsh_no_tree_spawn 1 --mca btl_tcp_if_include eth0 --mca oob_tcp_if_include eth0 \
            --mca btl tcp,self,vader --mca pml ob1 --mca oob_tcp_keepalive_time 4 --mca oob_tcp_keepalive_intvl 1 \
            --mca oob_tcp_keepalive_probes 3 -x QPIPE_PLUGINS -x QPIPE_DEADLINE -np "$np" "$@"
    else # shared memory of UCX reaches through namespaces: tcp only
        on_host 1 env UCX_TLS=tcp,self "$mpirun" -launcher ssh -launcher-exec "$state/agent" -hosts "$hosts" -iface eth0 \
            -np "$np" "$@"
    fi
    ;;
cut) ip -n "$name$3" link set eth0 down ;;
heal) ip -n "$name$3" link set eth0 up ;;
down)
    [ -d "$state" ] || exit 0
    for i in $(seq "$(cat "$state/n")"); do
        for p in $(ip netns pids "$name$i" 2>/dev/null); do kill -9 "$p" 2>/dev/null || true; done
        ip netns del "$name$i" 2>/dev/null || true
        ip link del "$name-v$i" 2>/dev/null || true
        rm -rf "/etc/netns/${name:?}$i"
    done
    ip link del "$name-br" 2>/dev/null || true
    rm -rf "$state"
    ;;
*)
    sed -n '2,9p' "$self"
    exit 2
    ;;
esac
