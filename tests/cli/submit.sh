#!/bin/sh
# submit.sh - `qpipe submit` as a person uses it: scripts without a scheduler, arrays of variants, chains, mistakes; and a job in
# the background of this machine.
. tests/cli/common.sh
have bash || { skip "job scripts (no bash)"; finish; }

variants() { # FILE OUTPUT - two variants of half a second
    recipe "$1" "$2"
    sed -i 's/^seed: 1/seed: 1\nvars: { scheme: W4A16 }\nvariants:\n  w4: {}\n  w8: { scheme: W8A16 }/; s/scheme: W4A16, targets/scheme: "${scheme}", targets/' "$1"
}
recipe "$work/r.yaml" "$work/out dir/it's"
run 0 "a dry run needs no scheduler" env PATH=/usr/bin:/bin "$qpipe" submit "$work/r.yaml" --dry-run --time 1-12:00:00 --mem 3G --partition long
cp "$work/out" "$work/script"
ok "the script parses" bash -n "$work/script"
ok "it asks for the time that was given" says script "#SBATCH --time=1-12:00:00"
ok "and the memory" says script "#SBATCH --mem=3072M"
ok "its comments say the formula" says script "time   = margin x (FLOP / (cores x rate)"
ok "a hostile name becomes a harmless one" says script "#SBATCH --job-name=it_s"
ok "nothing was written" nothing "$work/out dir"
for s in slurm pbs sge; do
    run 0 "a chain for $s when the limit is short" "$qpipe" submit "$work/r.yaml" --scheduler $s --time 15m --rate 0.003 --dry-run --threads 2
    cp "$work/out" "$work/script"
    ok "its script parses" bash -n "$work/script"
    ok "and says that it is one" grep -Eq '; ([2-9]|[0-9]{2}) jobs that go on' "$work/script"
done
variants "$work/v.yaml" "$work/many"
run 0 "variants are an array" "$qpipe" submit "$work/v.yaml" --dry-run
ok "of two" says out "#SBATCH --array=0-1"
ok "whose outputs differ" sh -c "grep -q many-w4/manifest.json '$work/out' && grep -q many-w8/manifest.json '$work/out'"
run 0 "one variant is one job" "$qpipe" submit "$work/v.yaml" --variant w8 --dry-run --json
ok "in JSON" json out
ok "of that output" says out "$work/many-w8"
run 0 "several recipes are an array" "$qpipe" submit "$work/v.yaml" "$work/r.yaml" --dry-run
ok "of three" says out "#SBATCH --array=0-2"

run 3 "a limit that no chain can keep" "$qpipe" submit "$work/r.yaml" --time 5m --rate 0.001 --dry-run --threads 2
ok "is refused, with what it takes" says err "no chain of jobs of 300 s can end"
run 2 "one output for several runs" "$qpipe" submit "$work/v.yaml" --output "$work/x" --dry-run
ok "is refused" says err "--output names one folder, and there are several runs"
run 2 "one output twice" "$qpipe" submit "$work/r.yaml" "$work/r.yaml" --dry-run
ok "is refused" says err "for two runs, expected one for each"
run 2 "a time without a unit" "$qpipe" submit "$work/r.yaml" --time 60 --dry-run
ok "is refused" says err "expected a time such as 90m"
run 2 "a time limit on this machine" "$qpipe" submit "$work/r.yaml" --scheduler local --time 1h --dry-run
ok "is refused" says err "has no time limit"
run 2 "ranks that nodes can not share" "$qpipe" submit "$work/r.yaml" --nodes 2 --ranks 3 --dry-run
ok "are refused" says err "expected as many on each"
run 2 "a variant that is not there" "$qpipe" submit "$work/v.yaml" --variant w9 --dry-run
ok "is named" says err "did you mean"
run 2 "variants and no choice" "$qpipe" plan "$work/v.yaml"
ok "are named" says err "give --variant with one of w4, w8"
run 2 "a scheduler that is not here" env PATH=/nowhere "$qpipe" submit "$work/r.yaml" --scheduler sge
ok "is named" says err "found no 'qsub' on this machine"

run 0 "a job on this machine" "$qpipe" submit "$work/v.yaml" --scheduler local --threads 1
id=$(cat "$work/out")
on_exit() { kill -TERM "$id" 2>/dev/null; }
n=600
while kill -0 "$id" 2>/dev/null && [ $n -gt 0 ]; do n=$((n - 1)) && sleep 0.1; done
ok "ends" sh -c "! kill -0 $id 2>/dev/null"
for v in w4 w8; do
    ok "its output $v is there" test -s "$work/many-$v/manifest.json"
    run 0 "and is what it says" "$qpipe" verify "$work/many-$v"
done
ok "its states say so" sh -c "cat '$work'/v.submit.*.state | sort -u | grep -qx '0 1'"
run 0 "a run by hand gives the same bytes" "$qpipe" run "$work/v.yaml" --variant w8 --output "$work/hand"
ok "as the variant" cmp "$work/hand/manifest.json" "$work/many-w8/manifest.json"
run 2 "submitted again" "$qpipe" submit "$work/v.yaml" --scheduler local
ok "its output is found" says err "exists already"
finish
