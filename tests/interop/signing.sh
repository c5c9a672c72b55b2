#!/bin/bash
# signing.sh - model_signing (PyPI) signs and verifies an output, refuses a changed one, and the statement inside its signature has the
# subject and resources of `--statement oms`; CycloneDX's own schema takes the bill of materials. Their environment is one of its
# own, made once per user like that of scripts/peers.sh.
set -u
export LC_ALL=C.UTF-8
cd "$(dirname "$0")/../.." || exit 1
qpipe=${1:?use: $0 QPIPE}
skip() { echo "skipped: interop signing ($*)"; exit 77; }
list="model-signing==1.1.1 pyopenssl==25.3.0 cyclonedx-python-lib[json-validation]==11.12.0"
python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || skip "no python3 of version 3.11 or later with venv"
command -v openssl >/dev/null || skip "no openssl to make a key"
cache=${XDG_CACHE_HOME:-${HOME:?}/.cache}/qpipe
version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
place=$cache/signing-$(echo "$list" | sha256sum | cut -c1-12)-py$version
work=$(mktemp -d "${TMPDIR:-/tmp}/qpipe-signing.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
if [ ! -x "$place/bin/python" ]; then
    [ -z "${QPIPE_NO_PEERS:-}" ] || skip "QPIPE_NO_PEERS is set"
    mkdir -p "$cache" || skip "can not write $cache"
    half=$place.half.$$
    trap 'rm -rf "$work" "$half"' EXIT
    # shellcheck disable=SC2086
    python3 -m venv "$half" && "$half/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check --retries 1 --progress-bar off $list >"$work/pip.log" 2>&1 ||
        { tail -n 3 "$work/pip.log"; skip "pip could not install $list (no PyPI?)"; }
    mv -T "$half" "$place" 2>/dev/null || [ -x "$place/bin/python" ] || skip "can not write $place"
fi
python="$place/bin/python -B"

steps=0 wrong=0
step() { # STATUS WHAT COMMAND...
    local want=$1 what=$2 got
    shift 2
    steps=$((steps + 1))
    "$@" >"$work/last" 2>&1
    got=$?
    if { [ "$want" = 0 ] && [ $got = 0 ]; } || { [ "$want" != 0 ] && [ $got != 0 ]; }; then
        echo "ok: $what"
    else
        echo "wrong: $what (exit $got): $*"
        tail -n 20 "$work/last"
        wrong=1
    fi
}
printf 'version: 1\nstages:\n  - QuantizationModifier: { scheme: W4A16, targets: [Linear], ignore: [lm_head] }\n  - verify: { max_weight_error: 0.9 }\n' >"$work/r.yaml"
step 0 "a run with statements" "$qpipe" run "$work/r.yaml" --model examples/tiny --output "$work/out" --statement oms --bom cyclonedx
openssl ecparam -name prime256v1 -genkey -noout -out "$work/key.pem" 2>/dev/null
openssl ec -in "$work/key.pem" -pubout -out "$work/pub.pem" 2>/dev/null
sign() { $python -m model_signing "$@"; }
step 0 "model_signing signs the output" sign sign key "$work/out" --private_key "$work/key.pem" --signature "$work/model.sig"
step 0 "and verifies it" sign verify key "$work/out" --signature "$work/model.sig" --public_key "$work/pub.pem"
cat >"$work/same.py" <<'END'
import base64, json, sys
ours = json.load(open(sys.argv[1]))
theirs = json.loads(base64.b64decode(json.load(open(sys.argv[2]))["dsseEnvelope"]["payload"]))
assert ours["_type"] == theirs["_type"] and ours["predicateType"] == theirs["predicateType"], theirs
assert ours["subject"] == theirs["subject"], (ours["subject"], theirs["subject"])
assert ours["predicate"]["resources"] == theirs["predicate"]["resources"]
a, b = (x["predicate"]["serialization"] for x in (ours, theirs))
assert set(a) == set(b) and all(a[k] == b[k] for k in a if k != "ignore_paths"), (a, b)
END
step 0 "what it signed has our statement's subject, resources and serialization" $python "$work/same.py" "$work/out.oms.json" "$work/model.sig"
cp "$work/model.sig" "$work/out/model.sig"
step 0 "a signature in the folder is no stranger to qpipe" "$qpipe" verify "$work/out"
rm "$work/out/model.sig"
printf x >>"$work/out/config.json"
step 1 "a changed output is refused by model_signing" sign verify key "$work/out" --signature "$work/model.sig" --public_key "$work/pub.pem"
step 1 "and by qpipe" "$qpipe" verify "$work/out"
cat >"$work/bom.py" <<'END'
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
text = open(sys.argv[1]).read()
why = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
assert why is None, why
assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.replace('"machine-learning-model"', '"model"')) is not None
END
step 0 "CycloneDX's schema takes the bill of materials" $python "$work/bom.py" "$work/out.cyclonedx.json"
echo "signing: $steps steps"
exit $wrong
