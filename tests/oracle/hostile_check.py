"""hostile_check.py - what people do to a program like this: damaged checkpoints, odd calibration sets, outputs in the wrong
place. Each row says the exit status and what the message must name. After each row nothing half-written may be left.

  hostile_check.py QPIPE WORKDIR"""
import glob
import json
import os
import shutil
import subprocess
import sys

sys.path[:0] = [os.path.join(os.path.dirname(__file__), "..", "interop")]
import peer
import random_models

GRID = "ignore: [lm_head], config_groups: { g: { targets: [Linear], weights: { num_bits: 4, strategy: group, group_size: 32 } } }"
GPTQ, RTN = f"GPTQModifier: {{ {GRID} }}", f"QuantizationModifier: {{ {GRID} }}"
UP0, UP1 = "model.layers.0.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight"
HELD = "verify: { dataset: held.json, sequence_length: 16 }"


def nan(t):
    t[UP1][5, 7] = float("nan")


def infinite(t):
    t["model.layers.0.self_attn.q_proj.weight"][95, 63] = float("-inf")


def nan_norm(t):
    t["model.layers.1.input_layernorm.weight"][3] = float("nan")


def nan_head(t):
    t["lm_head.weight"][3, 3] = float("nan")


def zero(t):
    for name in t:
        if "_proj" in name:
            t[name].zero_()


def dead(t):
    t["model.layers.0.input_layernorm.weight"][:32] = 0
    t[UP1][::2] = 0


def loud(t):
    t[UP0].mul_(1e30)


def half_top(t):  # -65504 is ±7.5 of its group: code -8 is beyond float16
    for name in t:
        t[name] = t[name].half()
    t[UP1][5, 7] = -65504


def shape(t):
    t[UP0] = t[UP0][:90].contiguous()


def missing(t):
    del t[UP1]


def integers(t):
    t[UP1] = t[UP1].char()


def doubles(t):
    t[UP1] = t[UP1].double()


# change of the checkpoint, modifier, exit, what the message names
CHECKPOINTS = [
    (nan, GPTQ, 2, ["NaN at row 5, column 7", UP1[:-7]]),
    (nan, RTN, 2, ["NaN at row 5, column 7", UP1[:-7]]),
    (infinite, GPTQ, 2, ["infinite at row 95, column 63", "model.layers.0.self_attn.q_proj"]),
    (nan_norm, GPTQ, 2, ["inputs of column 3 are not finite", "model.layers.1.self_attn.q_proj"]),
    (nan_head, GPTQ, 2, ["lm_head.weight", "not finite"]),
    (nan_head, RTN, 2, ["lm_head.weight", "not finite"]),
    (loud, GPTQ, 2, ["too large to square", "model.layers.0.mlp.down_proj"]),
    (half_top, RTN, 2, ["overflow F16", UP1[:-7]]),
    (shape, RTN, 2, [UP0, "found shape [90, 64], expected [96, 64]"]),
    (missing, RTN, 2, [UP1, "missing"]),
    (integers, RTN, 2, [UP1, "I8"]),
    (doubles, RTN, 2, [UP1[:-7], "F64"]),
    (zero, GPTQ, 0, []),
    (zero, RTN, 0, []),
    (dead, GPTQ, 0, []),
]
# calibration file, more of the calibrate stage, modifier, exit, what the message names
DATA = [
    ("[]", "", GPTQ, 2, ["no sequence", "0 records"]),
    ("[[]]", "", GPTQ, 2, ["no sequence", "1 are empty"]),
    ("", "", GPTQ, 2, ["cal.json:1", "not valid JSON"]),
    ("[[1, 2], [3", "", GPTQ, 2, ["cal.json:1", "not valid JSON"]),
    ("[[1, 2, 101]]", "", GPTQ, 2, ["record 1: token 2 has id 101, expected one in [0, 101)"]),
    ("[[1, -2]]", "", GPTQ, 2, ["record 1: item 1: found id -2"]),
    ("[[1, 2.5]]", "", GPTQ, 2, ["record 1: item 1: found a real number"]),
    ('[["a"]]', "", GPTQ, 2, ["record 1: item 0: found a string"]),
    ("[[5]]", "", GPTQ, 0, []),
    ("[[1, 2, 3], [4], [], [5, 6]]", "", GPTQ, 0, []),
    (None, "sequence_length: 1", GPTQ, 0, []),
    (None, "sequence_length: 2", GPTQ, 0, []),
    (None, "samples: 100", GPTQ, 0, ["100 calibration samples were asked for, 8 were found"]),
    ("[[5]]", "", GPTQ.replace("{ ignore", "{ damping: auto, ignore"), 2, ["auto needs calibration tokens in both halves"]),
    (None, "", GPTQ.replace("{ ignore", "{ dampening_frac: 0, ignore"), 2, ["dampening_frac: found '0'"]),
    (None, "", GPTQ.replace("size: 32", "size: 40"), 2, ["group_size 40 does not divide the 64", "model.layers.0.self_attn.q_proj"]),
    (None, "", GPTQ.replace("size: 32", "size: 0"), 2, ["group_size"]),
]


class Check:
    def __init__(self, program, work):
        self.program, self.work, self.wrong, self.rows = os.path.abspath(program), work, [], 0

    def run(self, what, model, stages, output, status, names, *options):
        open("recipe.yaml", "w").write(f"version: 1\nmodel: {model}\nstages:\n" + "".join(f"  - {s}\n" for s in stages))
        command = [self.program, "run", "recipe.yaml", "--output", output, *options]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.rows += 1
        if run.returncode != status:
            self.wrong.append(f"{what}: exit {run.returncode}, expected {status}: {run.stderr}")
        for name in names:
            if name not in run.stderr:
                self.wrong.append(f"{what}: '{name}' is not in: {run.stderr}")
        left = glob.glob("**/*.partial-*", recursive=True) + glob.glob("**/*.replaced-*", recursive=True)
        if left:
            self.wrong.append(f"{what}: left behind: {left}")
        if status and output == "out" and os.path.exists("out"):
            self.wrong.append(f"{what}: an output appeared")
        if output == "out":
            shutil.rmtree("out", ignore_errors=True)

    def checkpoints(self):
        from safetensors.torch import load_file, save_file

        for change, modifier, status, names in CHECKPOINTS:
            shutil.rmtree("changed", ignore_errors=True)
            shutil.copytree("model", "changed")
            tensors = load_file("model/model.safetensors")
            change(tensors)
            save_file(tensors, "changed/model.safetensors", {"format": "pt"})
            calibrate = ["calibrate: { dataset: ids.json }"] if modifier is GPTQ else []
            held = [HELD] if modifier is GPTQ else []
            self.run(f"{change.__name__}, {modifier[:4]}", "changed", [*calibrate, modifier, *held], "out", status, names)

    def data(self):
        for text, more, modifier, status, names in DATA:
            shutil.copy("ids.json", "cal.json")
            if text is not None:
                open("cal.json", "w").write(text)
            stages = [f"calibrate: {{ dataset: cal.json{', ' + more if more else ''} }}", modifier]
            self.run(f"calibration {text} {more} {modifier[:40]}", "model", stages, "out", status, names)

    def listing(self):
        return {p: os.path.getsize(p) for d in ("model", "precious") for p in glob.glob(f"{d}/**", recursive=True) if os.path.isfile(p)}

    def outputs(self):
        os.makedirs("precious")
        open("precious/thesis.txt", "w").write("years\n")
        os.symlink("model", "link")
        before = self.listing()
        holds, foreign = ["holds the source checkpoint"], ["is no output of qpipe"]
        for output in ("model", "link", ".", "..", "./link/../model/"):
            self.run(f"--output {output}", "model", [RTN], output, 2, ["exists already"])
            self.run(f"--output {output} --force", "model", [RTN], output, 2, holds, "--force")
        self.run("onto a folder", "model", [RTN], "precious", 2, ["exists already"])
        self.run("onto a folder, --force", "model", [RTN], "precious", 2, foreign, "--force")
        self.run("onto a file, --force", "model", [RTN], "precious/thesis.txt", 2, foreign, "--force")
        self.run("a name too long", "model", [RTN], "a" * 252, 4, ["name too long"])
        if self.listing() != before:
            self.wrong.append(f"files of others changed: {set(self.listing().items()) ^ set(before.items())}")
        for output in ("new/deep/", "öut 漢字 "):
            self.run(f"--output {output}", "link/", [RTN], output, 0, [])
            self.run(f"--output {output} again", "model//", [RTN], output, 2, ["exists already"])
            self.run(f"--output {output} --force", "model", [RTN], output, 0, [], "--force")
        self.run("quantized already", "new/deep", [RTN], "out", 2, ["quantized already"])

    def configs(self):
        for name, change, names in (
                ("no model_type", lambda c: c.pop("model_type"), ["model_type"]),
                ("model_type of no family", lambda c: c.update(model_type="nonesuch"), ["nonesuch"]),
                ("7 heads for 2", lambda c: c.update(num_attention_heads=7), ["num_attention_heads 7"]),
                ("vocabulary", lambda c: c.update(vocab_size=102), ["found shape [101, 64], expected [102, 64]"]),
                ("negative layers", lambda c: c.update(num_hidden_layers=-1), ["num_hidden_layers"])):
            shutil.rmtree("changed", ignore_errors=True)
            shutil.copytree("model", "changed")
            config = json.load(open("model/config.json"))
            change(config)
            json.dump(config, open("changed/config.json", "w"))
            if "family" in name:  # by tensor names what needs no walk, refused what does
                self.run(f"{name}, rounded", "changed", [RTN], "by-names", 0, ["modules are known by the names", *names])
                self.run(name, "changed", ["calibrate: { dataset: ids.json }", GPTQ], "out", 6, names)
            else:
                self.run(name, "changed", [RTN], "out", 2, names)


def main():
    check = Check(sys.argv[1], sys.argv[2])
    os.chdir(sys.argv[2])
    vocab = random_models.make("llama-gqa", "model")["vocab_size"]
    json.dump(random_models.make_ids(vocab, 8, 32), open("ids.json", "w"))
    json.dump(random_models.make_ids(vocab, 8, 32, seed=9), open("held.json", "w"))
    check.checkpoints()
    check.data()
    check.outputs()
    check.configs()
    if check.wrong:
        peer.fail(*check.wrong)
    print(json.dumps({"rows": check.rows}))


main()
