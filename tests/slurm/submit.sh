#!/bin/bash
# submit.sh QPIPE - jobs through a real Slurm of three nodes on this machine: what `qpipe submit` writes is taken, runs, and gives
# the bytes of a run by hand: alone, as an array, through time limits, put back by hand, and from a node that lost power.
# Exit 77 without root or Slurm.
. tests/cli/common.sh
here=$root/tests/slurm
unset "${!SLURM_@}" "${!SBATCH_@}" 2>/dev/null || true
"$here/cluster.sh" start "$work/slurm" 3 2 >"$work/started" 2>&1
case $? in
0) ;;
3) skip "jobs through Slurm ($(cat "$work/started"))" && finish ;;
*) ok "a Slurm of three nodes starts" sh -c "cat '$work/started'; false" && finish ;;
esac
export SLURM_CONF=$work/slurm/slurm.conf
on_exit() {
    [ "$failed" -eq 0 ] || tail -n 30 "$work"/*.submit*.log "$work"/*.state
    "$here/cluster.sh" stop "$work/slurm"
}
field() { scontrol show job "$1" 2>/dev/null | tr ' ' '\n' | sed -n "s/^$2=//p" | head -n 1; }
until_true() { # SECONDS COMMAND...
    local left=$(($1 * 5))
    shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ $left -gt 0 ] || return 1
        sleep 0.2
    done
}
over() { ! squeue -h -j "$1" 2>/dev/null | grep -q .; } # the job has left the queue
state() { cat "$work/$1.submit.state" 2>/dev/null; }
kept() { [ -s "$work/$1.work/journal.0.0" ] && "$qpipe" status "$work/$1" --json | grep -Eq '"modules_done": [1-9]'; }
# hold NAME - as soon as something is kept the run stands still, so that what comes next can not come too late
hold() {
    until_true 100 kept "$1" || return 1
    held=$("$qpipe" status "$work/$1" --json | sed -n 's/.*"pid": \([0-9]*\).*/\1/p')
    kill -STOP "$held"
}
told() { # PID - USR1 waits for a process that stands still
    local pending
    pending=$(sed -n 's/^ShdPnd:[[:space:]]*//p' "/proc/$1/status") && [ $((0x$pending & 0x200)) -ne 0 ]
}
# long NAME - a run of some seconds whose journal fills while it goes
long() {
    recipe "$work/$1.yaml" "$work/$1" 24
    sed -i 's/sequence_length: 128/sequence_length: 512/; s/scheme: W4A16,/scheme: W4A16, preset: best,/' "$work/$1.yaml"
}
# submit NAME WORDS... - the ids, one a line, also in $id
submit() {
    local name=$1
    shift
    "$qpipe" submit "$work/$name.yaml" --threads 1 --mem 512M "$@" 2>"$work/err" >"$work/$name.id"
    id=$(head -n 1 "$work/$name.id")
}

# All at once.
recipe "$work/one.yaml" "$work/one"
recipe "$work/many.yaml" "$work/many"
sed -i 's/^seed: 1/seed: 1\nvars: { scheme: W4A16 }\nvariants:\n  w4: {}\n  w8: { scheme: W8A16 }/; s/scheme: W4A16, targets/scheme: "${scheme}", targets/' "$work/many.yaml"
for name in limit back node; do long $name; done
# Ranks, by both MPIs' ways through srun; they need all three nodes, so they come first.
for way in openmpi:pmix mpich:pmi2; do
    [ -e "$(dirname "$qpipe")/qpipe-mpi-${way%:*}.so" ] || { skip "ranks by srun --mpi=${way#*:} (this build has no ${way%:*})" && continue; }
    recipe "$work/${way#*:}.yaml" "$work/${way#*:}"
    ok "a job of three ranks by ${way#*:} is taken" submit ${way#*:} --nodes 3 --ranks 3 --launcher srun-${way#*:}
    eval "${way#*:}_job=\$id"
done

ok "a recipe that can not be planned is not submitted" sh -c "! '$qpipe' submit '$work/none.yaml' 2>/dev/null"
ok "a node's job is taken" submit node
node_job=$id
ok "a chain with a limit of a minute is taken" submit limit --time 1m --warn 58s --chain 8
ok "as eight jobs" sh -c "[ \$(grep -c . '$work/limit.id') -eq 8 ]"
limit_last=$(tail -n 1 "$work/limit.id")
ok "each of which waits for the one before" grep -q "afterany:$(sed -n 7p "$work/limit.id")" <(scontrol show job "$limit_last")
ok "a job to be put back is taken" submit back
back_job=$id
ok "one run is taken" submit one
one_job=$id
ok "variants are taken as an array" submit many
many_job=$id

# ---- three runs stand still in the middle; a limit comes near for one ----
for name in limit node back; do
    ok "the journal of $name fills while it runs" hold $name
    eval "${name}_pid=\$held"
done
ok "status says that it runs" sh -c "'$qpipe' status '$work/node' | grep -q running"
until_true 60 told "$limit_pid"
ok "Slurm says that a limit is near" told "$limit_pid"
kill -CONT "$limit_pid"

# ---- USR1 as before a limit, and the job puts itself back ----
ok "a running job is asked to stop" scancel --batch --signal=USR1 "$back_job"
until_true 20 told "$back_pid"
kill -CONT "$back_pid"

# ---- a node loses power ----
for job in ${pmix_job:-} ${pmi2_job:-}; do until_true 100 over "$job"; done
host=$(field "$node_job" NodeList)
ok "a node dies with all that runs on it" "$here/cluster.sh" kill-node "$work/slurm" "${host#n}"
until_true 10 sh -c "'$qpipe' status '$work/node' --json | grep -q '\"resumable\": true'"
ok "status says that it stopped and can go on" sh -c "'$qpipe' status '$work/node' --json | grep -q '\"resumable\": true'"
until_true 60 grep -q "status 75" "$work/back.submit.log"
ok "the job that was asked to stop ended with 75" grep -q "status 75" "$work/back.submit.log"

# ---- the bytes of a run by hand, made while the scheduler waits ----
run 0 "the run by hand" "$qpipe" run "$work/one.yaml" --output "$work/hand-one"
run 0 "the long run by hand" "$qpipe" run "$work/back.yaml" --output "$work/hand-long"
for v in w4 w8; do run 0 "the variant $v by hand" "$qpipe" run "$work/many.yaml" --variant $v --output "$work/hand-$v"; done

until_true 200 over "$one_job"
ok "one run ends" [ "$(state one)" = "0 1" ]
ok "Slurm says that it is completed" [ "$(field "$one_job" JobState)" = COMPLETED ]
ok "with the bytes of the run by hand" cmp "$work/one/manifest.json" "$work/hand-one/manifest.json"
run 0 "and passes verify" "$qpipe" verify "$work/one"
for way in pmix pmi2; do
    eval "job=\${${way}_job:-}"
    [ -n "$job" ] || continue
    until_true 200 over "$job"
    ok "three ranks by $way ran" grep -qx "0 1" "$work/$way.submit.state"
    ok "on three nodes" sh -c "grep -qF 'SLURM_JOB_NODELIST=n[1-3]' '$work/$way.submit.log'"
    ok "to the bytes of one rank" cmp "$work/$way/manifest.json" "$work/hand-one/manifest.json"
done
until_true 200 over "$many_job"
for v in w4 w8; do
    ok "the variant $v of the array has the bytes of the run by hand" cmp "$work/many-$v/manifest.json" "$work/hand-$v/manifest.json"
done
run 0 "a table of results" "$qpipe" status "$work/many-w4" "$work/many-w8" "$work/one"
ok "has a row for each" sh -c "[ \$(grep -c finished '$work/out') -eq 3 ]"

until_true 200 over "$back_job"
ok "the job that was put back goes on" grep -q "continues: " "$work/back.submit.log"
ok "in its second start" grep -qx "0 2" "$work/back.submit.state"
ok "once" [ "$(field "$back_job" Restarts)" = 1 ]
ok "to the bytes of the run by hand" cmp "$work/back/manifest.json" "$work/hand-long/manifest.json"

until_true 200 over "$limit_last"
ok "a limit was met and the chain went on" sh -c "grep -q 'status 75' '$work/limit.submit.log' && grep -q 'continues: ' '$work/limit.submit.log'"
ok "to its end" grep -Eq '^0 [2-8]$' "$work/limit.submit.state"
ok "with the bytes of the run by hand" cmp "$work/limit/manifest.json" "$work/hand-long/manifest.json"

until_true 200 over "$node_job"
ok "the lost node's job ran again" [ "$(field "$node_job" Restarts)" = 1 ]
ok "on another node" sh -c "grep -c '== node.yaml: start' '$work/node.submit.log' | grep -qx 2"
ok "from its journal" grep -q "continues: " "$work/node.submit.log"
ok "to the bytes of the run by hand" cmp "$work/node/manifest.json" "$work/hand-long/manifest.json"
ok "nothing is left beside the outputs" sh -c "! ls -d '$work'/*.work 2>/dev/null"

"$here/cluster.sh" stop "$work/slurm"
unset SLURM_CONF # the processes that look have it, too
ok "no process is left" sh -c "! grep -lzF '$work' /proc/[0-9]*/environ 2>/dev/null | grep -v -e /self/ -e '/$$/'"
finish
