#!/bin/bash
# metrics.sh QPIPE - every number of a verification, worked out again from both models' logits; thresholds on both sides of
# the numbers found; held-out text that the calibration has seen.
. "$(dirname "$0")/../interop/common.sh"
step "ids" peer make_ids examples/tiny examples/tiny/heldout.txt 8 128 "$work/ids.json"
write() { # write VERIFY-OPTIONS: a recipe
    cat >"$work/recipe.yaml" <<END
version: 1
model: $PWD/examples/tiny
stages:
  - calibrate: { dataset: $PWD/examples/tiny/calib.jsonl, samples: 16, sequence_length: 128, shuffle: false }
  - GPTQModifier: { scheme: W3A16, ignore: [lm_head] }
  - verify: { sequence_length: 128, $1 }
END
}
status() { # status N COMMAND...
    local want=$1 got
    shift
    "$@"
    got=$?
    [ $got = "$want" ] || { echo "exit $got, expected $want"; return 1; }
}
write "dataset: $work/ids.json, samples: 0"
step "numbers of the manifest and of eval" "$python" -B tests/oracle/metrics_check.py "$qpipe" "$work" examples/tiny "$work/recipe.yaml" "$work/ids.json"
read -r kl top1 ratio error < <("$python" - "$work/metrics-out/manifest.json" <<'END'
import json, math, sys
v = json.load(open(sys.argv[1]))["predicate"]["verification"]
m = v["model"]
print(repr(m["kl_mean"]), repr(m["top1_agreement"]), repr(math.exp(m["ln_perplexity_ratio"])),
      repr(max(x["weight_error"] for x in v["modules"].values())))
END
)
near() { "$python" -c "print(repr($1))"; }
for row in "max_kl $kl 1" "min_top1 $top1 -1" "max_perplexity_ratio $ratio 1" "max_weight_error $error 1"; do
    read -r option value sign <<<"$row"
    write "dataset: $work/ids.json, samples: 0, $option: $(near "$value * (1 + $sign * 1e-9)")"
    step "$option just met" "$qpipe" run "$work/recipe.yaml" --output "$work/met-$option"
    write "dataset: $work/ids.json, samples: 0, $option: $(near "$value * (1 - $sign * 1e-9)")"
    step "$option just missed" status 1 "$qpipe" run "$work/recipe.yaml" --output "$work/missed-$option" &&
        step "$option missed: only NAME.rejected" test ! -e "$work/missed-$option" -a -e "$work/missed-$option.rejected/manifest.json"
done

head -n 3 examples/tiny/calib.jsonl >"$work/seen.jsonl"
write "dataset: $work/seen.jsonl"
step "held-out text of the calibration set is refused" status 2 "$qpipe" run "$work/recipe.yaml" --output "$work/seen"
cp "$work/last" "$work/said"
step "and named" grep -q "seen.jsonl shares [0-9]* tokens in a row with the calibration text" "$work/said"
write "dataset: $work/seen.jsonl, allow_overlap: true"
step "allow_overlap" "$qpipe" run "$work/recipe.yaml" --output "$work/seen"
finish
