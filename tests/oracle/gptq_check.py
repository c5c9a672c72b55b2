"""gptq_check.py - qpipe's GPTQ against gptq_oracle.py, module by module, codes and scales.

  gptq_check.py QPIPE WORKDIR

The Gram matrices come from transformers: a copy of the original model runs over the calibration ids, and the modules that
a walk has passed hold qpipe's own decoded weights, so that a code at a tie does not make the next matrix another one.
  sequential: true    groups (q k v | o | gate up | down) one after the other
  sequential: block   all groups of a block from its original weights, the blocks before it quantized
  sequential: false   the original model throughout
Ties: a code may differ where float32 and float64 see w / scale on two sides of a half; no more than TIES of them."""
import json
import os
import subprocess
import sys
import warnings

sys.path[:0] = [os.path.join(os.path.dirname(__file__), "..", "interop")]
import gptq_oracle
import load_saved
import peer
import random_models

TIES = 2e-4  # share of the codes
RECIPE = """version: 1
model: {model}
output: {out}
stages:
  - calibrate: {{ dataset: {ids}, sequence_length: {length}, sequential: {sequential} }}
  - GPTQModifier:
      preset: none
      dampening_frac: {damp}
      actorder: {order}
      ignore: [lm_head]
      config_groups: {{ g: {{ targets: [Linear], weights: {{ num_bits: {bits}, symmetric: {symmetric}, strategy: {strategy}{size} }} }} }}
"""
ROWS = [  # model, sequential, bits, strategy, size, symmetric, order, damp
    ("llama-gqa", "block", 4, "group", 32, True, "static", 0.01),
    ("llama-gqa", "true", 4, "group", 32, True, "static", 0.01),
    ("llama-gqa", "false", 3, "group", 16, False, "static", 0.01),
    ("mistral-window", "true", 4, "group", 32, True, "null", 0.1),
    ("mistral-window", "block", 6, "tensor", None, False, "static", 0.01),
    ("qwen3", "true", 4, "channel", None, True, "static", 0.01),
    ("qwen3", "true", 4, "block", [16, 32], True, "static", 0.001),
    ("llama-mqa-bias", "true", 2, "group", 32, False, "static", 0.01),
]


def grams(model, ids, names):
    import torch

    found, hooks = {}, []

    def hook(name):
        def add(_, arguments):
            x = arguments[0].reshape(-1, arguments[0].shape[-1]).double()
            found[name] = found.get(name, 0) + x.T @ x
        return add

    for name, module in model.named_modules():
        if name in names:
            hooks.append(module.register_forward_pre_hook(hook(name)))
    with torch.no_grad():
        for sequence in ids:
            model(torch.tensor([sequence]))
    for h in hooks:
        h.remove()
    return found


def groups(block, sequential):
    p = f"model.layers.{block}."
    parts = [[p + f"self_attn.{x}_proj" for x in "qkv"], [p + "self_attn.o_proj"],
             [p + "mlp.gate_proj", p + "mlp.up_proj"], [p + "mlp.down_proj"]]
    return [sum(parts, [])] if sequential == "block" else parts


def linears(model):
    import torch

    return {n: m.weight.detach().clone() for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)}


class Row:
    def __init__(self, row, program, work):
        import torch

        name, self.sequential, bits, strategy, size, symmetric, order, damp = row
        model, out, path, self.what = f"{work}/{name}", f"{work}/gptq-out", f"{work}/gptq.yaml", " ".join(map(str, row))
        config = random_models.make(name, model)
        self.blocks, self.ids = config["num_hidden_layers"], random_models.make_ids(config["vocab_size"], 16, 32, seed=3)
        json.dump(self.ids, open(f"{work}/gptq-ids.json", "w"))
        sizes = {"group": f", group_size: {size}", "block": f", block_structure: {size}"}
        open(path, "w").write(RECIPE.format(model=model, out=out, ids=f"{work}/gptq-ids.json", length=32, sequential=self.sequential,
                                            damp=damp, order=order, bits=bits, symmetric=str(symmetric).lower(),
                                            strategy=strategy, size=sizes.get(strategy, "")))
        run = subprocess.run([program, "run", path, "--force"], capture_output=True, text=True)
        if run.returncode:
            peer.fail(f"{self.what}: exit {run.returncode}: {run.stderr}")
        self.args = {"bits": bits, "strategy": strategy, "size": size, "symmetric": symmetric, "damp": damp,
                     "order": "none" if order == "null" else "static", "dtype": getattr(torch, config["dtype"])}
        self.manifest = json.load(open(f"{out}/manifest.json"))["predicate"]["modules"]
        self.model, _ = load_saved.load(model, "decoded")
        self.original, self.decoded = linears(self.model), linears(load_saved.load(out, "decoded")[0])
        self.tensors = peer.read_tensors(peer.shards(out))
        self.codes = self.differ = 0
        self.wrong = []

    def module(self, name, gram):
        import torch

        w = self.original[name]
        codes, stored, zero, decoded, loss = gptq_oracle.quantize(w, gram, self.args)
        scale, _, _ = gptq_oracle.ranges(w, self.args)
        saved = self.tensors[name + ".weight_scale"]
        if not torch.equal(stored.reshape(saved.shape), saved):
            self.wrong.append(f"{self.what}: {name}: scales differ")
        mine = torch.round(self.decoded[name] / scale.float() + zero.float())
        self.codes += codes.numel()
        self.differ += (mine != codes).sum().item()
        ours, theirs = (gptq_oracle.weighted_error(w, x, gram) for x in (self.decoded[name], decoded))
        if ours > 1.001 * theirs:
            self.wrong.append(f"{self.what}: {name}: weighted error {ours}, the oracle reaches {theirs}")
        said = self.manifest[name]
        for key, value in (("weighted_error", 2 * ours / len(self.ids)), ("dampening_frac", self.args["damp"])):
            if not abs(said[key] - value) <= 1e-4 * value:
                self.wrong.append(f"{self.what}: {name}: {key} {said[key]}, expected {value}")

    def walk(self):
        modules = dict(self.model.named_modules())
        for block in range(self.blocks):
            for group in groups(block, self.sequential):
                found = grams(self.model, self.ids, group)
                for name in group:
                    self.module(name, found[name])
                for name in group if self.sequential != "false" else []:
                    modules[name].weight.data.copy_(self.decoded[name])
        if self.differ > TIES * self.codes:
            self.wrong.append(f"{self.what}: {self.differ} of {self.codes} codes differ")


def main():
    import torch

    warnings.filterwarnings("ignore")
    torch.set_num_threads(2)
    wrong, codes, differ = [], 0, 0
    for row in ROWS:
        r = Row(row, sys.argv[1], sys.argv[2])
        r.walk()
        wrong += r.wrong
        codes, differ = codes + r.codes, differ + r.differ
    if wrong:
        peer.fail(*wrong)
    print(json.dumps({"codes": codes, "differ": differ}))


main()
