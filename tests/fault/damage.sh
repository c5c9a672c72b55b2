#!/bin/sh
# damage.sh - damaged checkpoints, tokenizers and texts: a status of their own, the file is named, nothing is written.
. tests/cli/common.sh
cat >"$work/r.yaml" <<EOF
version: 1
model: $work/m
output: $work/result
stages:
  - calibrate: { dataset: $tiny/calib.jsonl, samples: 2, sequence_length: 64 }
  - GPTQModifier: { scheme: W4A16, targets: [Linear], ignore: [lm_head] }
EOF
fresh() { rm -rf "$work/m" && cp -r "$tiny" "$work/m"; }
# damaged SENTENCE STATUS TEXT - the run ends with the status and says the text
damaged() {
    run "$2" "$1" "$qpipe" run "$work/r.yaml"
    ok "$1: says where" says err "$3"
    ok "$1: nothing is left" nothing "$work/result"
    ok "$1: no bug and no crash" sh -c "! grep -q 'a mistake of qpipe' '$work/err'"
}
bytes() { # OFFSET HEX... into the shard
    at=$1
    shift
    for b in "$@"; do
        printf "\\$(printf %03o "0x$b")" | dd of="$work/m/model.safetensors" bs=1 seek="$at" conv=notrunc 2>/dev/null
        at=$((at + 1))
    done
}
size=$(wc -c <"$tiny/model.safetensors")
for n in 0 4 8 100 2000 $((size - 1)); do
    fresh
    head -c "$n" "$tiny/model.safetensors" >"$work/m/model.safetensors"
    damaged "weights cut to $n bytes" 2 model.safetensors
done
fresh
printf 'x' >>"$work/m/model.safetensors"
damaged "weights with a byte too many" 2 model.safetensors
fresh
bytes 0 ff ff ff ff ff ff ff 7f
run_status=2
"$qpipe" run "$work/r.yaml" >"$work/out" 2>"$work/err"
run_status=$?
ok "a header that claims 2^63 bytes is refused" [ "$run_status" -eq 2 -o "$run_status" -eq 3 ]
ok "with the file named" says err model.safetensors
fresh
bytes 12 00 01 02
damaged "a header that is no JSON" 2 model.safetensors
if have python3; then
    # lie JSON-EXPRESSION - rewrites the header of the shard, the data stays
    lie() {
        fresh
        python3 - "$work/m/model.safetensors" "$1" <<'EOF'
import json, struct, sys
path, change = sys.argv[1:]
data = open(path, "rb").read()
n, = struct.unpack("<Q", data[:8])
h = json.loads(data[8:8 + n])
q = "model.layers.0.self_attn.q_proj.weight"
exec(change)
text = json.dumps(h).encode()
open(path, "wb").write(struct.pack("<Q", len(text)) + text + data[8 + n:])
EOF
    }
    lie 'h[q]["data_offsets"][1] += 2'
    damaged "offsets that overlap" 2 model.safetensors
    lie 'h[q]["data_offsets"] = [10**15, 10**15 + 262144]'
    damaged "offsets far behind the end" 2 model.safetensors
    lie 'h[q]["data_offsets"] = [-2, 262142]'
    damaged "negative offsets" 2 model.safetensors
    lie 'h[q]["shape"] = [256, 256]'
    damaged "a shape that does not fill its bytes" 2 q_proj.weight
    lie 'h[q]["shape"] = [2**40, 2**40]'
    damaged "a shape that overflows" 2 q_proj.weight
    lie 'h[q]["shape"] = [256, 512]'
    damaged "a shape that the family does not have" 2 q_proj
    lie 'h[q]["dtype"] = "BF17"'
    damaged "an unknown dtype" 2 BF17
    lie 'del h[q]; h["other"] = {"dtype": "U8", "shape": [262144], "data_offsets": [0, 262144]}'
    run_status=0
    "$qpipe" run "$work/r.yaml" >"$work/out" 2>"$work/err" || run_status=$?
    ok "a missing tensor is an input error" [ "$run_status" -eq 2 ]
    # config SENTENCE STATUS TEXT CHANGE
    config() {
        fresh
        python3 - "$work/m/config.json" "$4" <<'EOF'
import json, sys
path, change = sys.argv[1:]
c = json.load(open(path))
exec(change)
json.dump(c, open(path, "w"))
EOF
        damaged "$1" "$2" "$3"
    }
    config "a config of another size" 2 "512" 'c["hidden_size"] = 512'
    config "no heads at all" 2 "num_attention_heads" 'c["num_attention_heads"] = 0'
    config "a million layers" 2 "num_hidden_layers" 'c["num_hidden_layers"] = 1000000'
    config "a text for a number" 2 "hidden_size" 'c["hidden_size"] = "256"'
    config "a family that nobody knows" 6 "llamma" 'c["model_type"] = "llamma"'
    config "no family" 2 "model_type" 'del c["model_type"]'
    # tokenizer SENTENCE STATUS TEXT CHANGE
    tokenizer() {
        fresh
        python3 - "$work/m/tokenizer.json" "$4" <<'EOF'
import json, sys
path, change = sys.argv[1:]
t = json.load(open(path))
exec(change)
json.dump(t, open(path, "w"))
EOF
        damaged "$1" "$2" "$3"
    }
    tokenizer "a tokenizer without model" 2 "tokenizer.json" 'del t["model"]'
    tokenizer "ids beyond the vocabulary" 2 "expected one in [0, 2048)" 't["model"]["vocab"] = {k: v + 5000 for k, v in t["model"]["vocab"].items()}; t["added_tokens"] = []; t["post_processor"] = None'
    tokenizer "a merge of pieces that are not there" 2 "tokenizer.json" 't["model"]["merges"][0] = ["qq~~", "zz~~"]'
else
    skip "lying headers, configs and tokenizers (no python3)"
fi
fresh
echo '{"model_type": "llama",' >"$work/m/config.json"
damaged "a config that is cut off" 2 config.json
fresh
rm "$work/m/config.json"
damaged "no config" 2 config.json
fresh
rm "$work/m/model.safetensors"
damaged "no weights" 2 "$work/m"
fresh
head -c 5000 "$tiny/tokenizer.json" >"$work/m/tokenizer.json"
damaged "a tokenizer that is cut off" 2 tokenizer.json
fresh
rm "$work/m/tokenizer.json"
damaged "no tokenizer" 2 tokenizer
fresh
sed "s|$tiny/calib.jsonl|$work/text.jsonl|" "$work/r.yaml" >"$work/r2.yaml" && mv "$work/r2.yaml" "$work/r.yaml"
printf '{"text": "fine words here"}\n{"text": "cut\n' >"$work/text.jsonl"
damaged "text that is no JSON in line 2" 2 "text.jsonl:2"
printf '{"words": "fine"}\n' >"$work/text.jsonl"
damaged "records without the field" 2 "text"
: >"$work/text.jsonl"
damaged "an empty text" 2 "text.jsonl"
printf '{"text": "bad \377 bytes"}\n' >"$work/text.jsonl"
damaged "text that is not UTF-8" 2 "text.jsonl"
finish
