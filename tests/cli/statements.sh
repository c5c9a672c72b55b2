#!/bin/sh
# statements.sh - statements and the bill of materials say what the manifest says, are the same for the same output, and are refused where
# they would be wrong. tests/interop/signing.sh has the tools that read them.
. tests/cli/common.sh
have python3 || { skip "everything (no python3 to read JSON)" && finish; }
cat >"$work/r.yaml" <<END
version: 1
model: $tiny
stages:
  - calibrate: { dataset: $tiny/calib.jsonl, samples: 4, sequence_length: 128 }
  - GPTQModifier: { scheme: W4A16, targets: [Linear], ignore: [lm_head] }
  - verify: { dataset: $tiny/heldout.txt, samples: 3, sequence_length: 128, max_kl: 5, min_top1: 0.01 }
END
all="--statement oms --statement slsa --statement test-result --bom cyclonedx"
run 0 "a run with all of them" "$qpipe" run "$work/r.yaml" --output "$work/a/out" $all
ok "four files beside the output" [ "$(ls "$work/a" | tr '\n' ' ')" = "out out.cyclonedx.json out.oms.json out.slsa.json out.test-result.json " ]
run 0 "and nothing in it" "$qpipe" verify "$work/a/out"
mkdir "$work/b"
cp -r "$work/a/out" "$work/b"
run 0 "attest of a copy, later" env TZ=Asia/Tokyo SOURCE_DATE_EPOCH=5 "$qpipe" attest "$work/b/out/" $all
ok "prints its files" says out "$work/b/out.slsa.json"
ok "gives the same files" diff -r "$work/a" "$work/b"
run 0 "again, over those that are there" "$qpipe" attest "$work/b/out" $all --json
ok "gives them once more" diff -r "$work/a" "$work/b"
cat >"$work/check.py" <<'END'
import hashlib, json, os, sys
d = sys.argv[1]
m = json.load(open(d + "/manifest.json"))
p = m["predicate"]
sha = lambda f: hashlib.sha256(open(f, "rb").read()).hexdigest()
files = {f: sha(d + "/" + f) for f in sorted(os.listdir(d))}
load = lambda tail: json.load(open(d + "." + tail))
subject = [{"name": f, "digest": {"sha256": h}} for f, h in files.items()]
o = load("oms.json")
assert o["_type"] == "https://in-toto.io/Statement/v1" and o["predicateType"] == "https://model_signing/signature/v1.0"
root = hashlib.sha256(b"".join(bytes.fromhex(h) for h in files.values())).hexdigest()
assert o["subject"] == [{"name": "out", "digest": {"sha256": root}}]
assert o["predicate"]["resources"] == [{"name": f, "algorithm": "sha256", "digest": h} for f, h in files.items()]
s = load("slsa.json")
assert s["predicateType"] == "https://slsa.dev/provenance/v1" and s["subject"] == subject
b = s["predicate"]["buildDefinition"]
assert b["externalParameters"]["recipe"] == p["recipe"] and b["internalParameters"] == {"math": "exact"}
deps = {x["name"]: x["digest"] for x in b["resolvedDependencies"]}
for f in p["inputs"]["files"]:
    assert deps.pop("model/" + f["name"]) == {"sha256": f["sha256"]}
assert deps.pop("calibration") == {"sha256": sha(sys.argv[2] + "/calib.jsonl")}
assert deps.pop("heldout") == {"sha256": sha(sys.argv[2] + "/heldout.txt")}
commit = p["builder"]["commit"]
assert deps == ({} if commit == "unknown" else {"qpipe": {"gitCommit": commit}}), deps
assert s["predicate"]["runDetails"]["builder"]["version"] == {"qpipe": p["builder"]["version"]}
assert not any(w in json.dumps(s) for w in ("startedOn", "invocationId"))
t = load("test-result.json")
assert t["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1" and t["subject"] == subject
assert t["predicate"] == {"result": "PASSED", "configuration": [{"name": "recipe.resolved.yaml", "digest": {"sha256": files["recipe.resolved.yaml"]}}],
    "passedTests": ["max_kl", "min_top1"], "warnedTests": [], "failedTests": []}, t["predicate"]
c = load("cyclonedx.json")
assert c["bomFormat"] == "CycloneDX" and c["specVersion"] == "1.6" and "serialNumber" not in c and "timestamp" not in c["metadata"]
assert {x["name"]: x["hashes"][0]["content"] for x in c["components"]} == files
m = c["metadata"]["component"]
assert m["type"] == "machine-learning-model" and m["modelCard"]["modelParameters"]["architectureFamily"] == "llama"
assert {x["name"]: x["hashes"][0]["content"] for x in m["pedigree"]["ancestors"][0]["components"]} == {f["name"]: f["sha256"] for f in p["inputs"]["files"]}
values = {x["type"]: float(x["value"]) for x in m["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]}
numbers = {k: v for k, v in p["verification"]["model"].items() if isinstance(v, (int, float))}
assert values == numbers and len(values) > 3, (values, numbers)
END
ok "they say what the manifest and the files say" python3 "$work/check.py" "$work/a/out" "$tiny"

# -- refused --
run 2 "no statement" "$qpipe" attest "$work/a/out"
run 2 "an unknown one" "$qpipe" attest "$work/a/out" --statement spdx
ok "is named" says err "--statement: found 'spdx', expected oms, slsa or test-result"
run 2 "an unknown bill" "$qpipe" run "$work/r.yaml" --output "$work/x" --bom spdx
ok "is named" says err "--bom: found 'spdx', expected cyclonedx"
ok "before anything is made" nothing "$work/x"
recipe "$work/plain.yaml" "$work/plain"
run 0 "a run without verification" "$qpipe" run "$work/plain.yaml"
run 2 "has no test result" "$qpipe" attest "$work/plain" --statement test-result
ok "and says why" says err "records no verification"
run 0 "but provenance" "$qpipe" attest "$work/plain" --statement slsa
printf x >>"$work/b/out/tokenizer.json"
rm "$work/b/out.oms.json"
run 2 "an output that was changed" "$qpipe" attest "$work/b/out" --statement oms
ok "is named with the file" says err "is not what its manifest says: output file tokenizer.json"
ok "and gets none" [ ! -e "$work/b/out.oms.json" ]
sed 's/max_kl: 5/max_kl: 0.0000001/' "$work/r.yaml" >"$work/strict.yaml"
run 1 "a run that misses a threshold" "$qpipe" run "$work/strict.yaml" --output "$work/s/out" $all
ok "gets none" [ "$(ls "$work/s")" = out.rejected ]
run 0 "but its rejected output can be attested" "$qpipe" attest "$work/s/out.rejected" --statement test-result
ok "as failed" [ "$(value "$work/s/out.rejected.test-result.json" predicate failedTests 0)" = max_kl ]
finish
