#!/bin/bash
# network.sh MPI MPIRUN RANKS PLUGINS - three hosts of network namespaces: a cut link ends every rank on both sides of the cut
# by the ranks' own deadline, and a cut that heals in time is nobody's end. 77 without root or iproute2.
here=$(dirname "$(readlink -f "$0")")
. "$here/common.sh"
name=q$(printf %05d $(($$ % 100000)))
on_exit() { bash "$here/netns.sh" down "$name"; }
command -v ip >/dev/null || { echo "skipped: cut links (no iproute2)"; exit 77; }
[ "$(id -u)" = 0 ] && bash "$here/netns.sh" up "$name" 3 2>"$work/err" || {
    echo "skipped: cut links (no network namespaces: $(head -n 1 "$work/err"))"
    exit 77
}
job() { # DEADLINE SECONDS
    export QPIPE_DEADLINE=$1
    begin bash "$here/netns.sh" run "$name" "$mpi" "$mpirun" 3 "$ranks" fault wait "$2" "$token"
}
# alone - no rank runs; launchers' daemons of the lost host wait for their own TCP
ranks_gone() {
    for _ in $(seq 100); do
        pgrep -f "^$ranks fault" >/dev/null || return 0
        sleep 0.1
    done
    pgrep -af "$token" | sed 's/^/    /'
    false
}

job 8 12
ok "three ranks on three hosts start" pids 3
sleep 1
bash "$here/netns.sh" cut "$name" 3
sleep 2
bash "$here/netns.sh" heal "$name" 3
ok "a link that is cut for 2 s (deadline 8 s) ends nothing" ended 60
ok "the job ends well" is "$rc" 0

job 4 80
ok "three ranks on three hosts start" pids 3
bash "$here/netns.sh" cut "$name" 3
ok "a cut link ends the job" ended 40
ok "with 75, run it again (after $took s, deadline 4 s)" is "$rc" 75
ok "saying who was silent" says err '^rank [01]: heard nothing from rank 2 for [4-9]\.[0-9] s'
ok "and no rank is left on either side of the cut" ranks_gone
exit $failed
