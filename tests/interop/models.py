"""models.py - random models of many families through the main job, against transformers.

  models.py QPIPE WORKDIR [NAME...]

For every row of random_models.MODELS: the logits of `qpipe eval` are those of transformers in float32; then some of the
recipes of CASES (each model another few, so that all meet all kinds of models) are run with small shards, and the saved
folder has in transformers the logits and the perplexity that qpipe gives it, holds what safetensors expects, and passes
`qpipe verify --model`."""
import json
import os
import subprocess
import sys
import warnings

import load_saved
import peer
import random_models

LOGITS, PERPLEXITY = 2e-4, 1e-3
RECIPE = """version: 1
model: {model}
output: {out}
stages:
  - calibrate: {{ dataset: {ids}, samples: 12, sequence_length: 40 }}
  - {modifier}: {{ ignore: [{ignore}],{cache} config_groups: {{ g: {{ targets: [Linear], weights: {{ {weights} }}{more} }} }} }}
  - save: {{ shard_size: 20000 }}
"""
GPTQ, RTN = "GPTQModifier", "QuantizationModifier"
GROUP = "strategy: group, group_size:"
TOKEN = ", input_activations: { num_bits: 8, dynamic: true, strategy: token, symmetric: true }"
FP8_IN = ", input_activations: { num_bits: 8, type: float, strategy: tensor, observer: static_minmax }"
INT8_IN = ", input_activations: { num_bits: 8, symmetric: false, strategy: tensor }"
FP8_GROUPS = ", input_activations: { num_bits: 8, type: float, dynamic: true, strategy: group, group_size: 16 }"
FP8_CACHE = " kv_cache_scheme: { num_bits: 8, type: float, strategy: tensor, dynamic: false },"
INT8_CACHE = " kv_cache_scheme: { num_bits: 8, symmetric: false, strategy: attn_head, dynamic: false },"
CASES = [  # modifier, weights, more, lm_head is quantized
    (GPTQ, f"num_bits: 4, {GROUP} 32", "", False),
    (GPTQ, f"num_bits: 3, symmetric: false, {GROUP} 16", "", False),
    (RTN, f"num_bits: 4, {GROUP} 32", "", True),
    (GPTQ, "num_bits: 8, strategy: channel", "", False),
    (RTN, "num_bits: 8, strategy: channel", TOKEN, False),
    (GPTQ, "num_bits: 5, strategy: tensor", "", False),
    (GPTQ, f"num_bits: 2, symmetric: false, {GROUP} 16", "", True),
    (RTN, "num_bits: 4, symmetric: false, strategy: tensor", "", False),
    (GPTQ, "num_bits: 4, symmetric: false, strategy: channel", "", False),
    (GPTQ, "num_bits: 8, strategy: block, block_structure: [16, 32]", "", False),
    (RTN, f"num_bits: 7, symmetric: false, {GROUP} 32", "", False),
    (RTN, "num_bits: 8, type: float, strategy: tensor", FP8_IN, True),
    (GPTQ, "num_bits: 8, strategy: channel", INT8_IN, False),
    (RTN, "num_bits: 8, type: float, strategy: channel", FP8_GROUPS, False),
]
CACHES = { 0: FP8_CACHE, 2: INT8_CACHE, 12: FP8_CACHE }  # by case, where the family's attention has a name for them
SELF_ATTENTION = {"llama", "qwen2", "qwen3", "mistral", "gemma2", "phi3"}


class Check:
    def __init__(self, program, work):
        self.program, self.work, self.wrong, self.compared, self.rounded = program, work, [], 0, 0

    def qpipe(self, what, *arguments):
        run = subprocess.run([self.program, *arguments], capture_output=True, text=True)
        if run.returncode:
            self.wrong.append(f"{what}: {arguments[0]}: exit {run.returncode}: {run.stderr.strip()}")
        return None if run.returncode else run.stdout

    def same(self, what, folder, ids):
        """qpipe and transformers see the same model in folder."""
        import torch

        path, out = f"{self.work}/eval-ids.json", f"{self.work}/logits.safetensors"
        json.dump(ids, open(path, "w"))
        if os.path.exists(out):
            os.remove(out)
        said = self.qpipe(what, "eval", folder, "--tokens", path, "--json", "--logits-out", out)
        if said is None:
            return
        model, quantized = load_saved.load(folder, "simulated")
        with torch.no_grad():
            theirs = model(torch.tensor(ids)).logits
        far = (peer.read_tensors([out])["logits"].double() - theirs.double()).abs().amax(-1)
        # a sum that differs in its last bit can turn a code of a rounded input, for it and all positions behind it
        rounded = any(k in open(f"{folder}/config.json").read() for k in ('"input_activations": {', '"kv_cache_scheme": {'))
        worst = far.flatten().kthvalue(far.numel() // 4).values.item() if rounded else far.max().item()
        self.rounded += rounded
        ppl, mine = peer.perplexity(theirs, ids)[2], json.loads(said)["perplexity"]
        if not worst <= LOGITS or not abs(mine / ppl - 1) <= (0.02 if rounded else PERPLEXITY):
            self.wrong.append(f"{what}: logits differ by {worst}, perplexity {mine}, transformers has {ppl}")
        if json.load(open(f"{folder}/config.json")).get("quantization_config") and not quantized:
            self.wrong.append(f"{what}: transformers found no quantized module")
        self.compared += 1

    def recipe(self, what, model, case, ids, tied):
        modifier, weights, more, head = case
        cache = CACHES.get(CASES.index(case), "") if what.split()[0].split("-")[0] in SELF_ATTENTION else ""
        head = head and not tied
        out, path = f"{self.work}/{what.replace(' ', '-')}", f"{self.work}/recipe.yaml"
        fields = {"model": model, "out": out, "ids": f"{self.work}/ids.json", "modifier": modifier, "weights": weights,
                  "more": more, "cache": cache, "ignore": "" if head else "re:.*(lm_head|embed_out)$"}
        open(path, "w").write(RECIPE.format(**fields))
        if self.qpipe(what, "run", path) is None or self.qpipe(what, "verify", out, "--model", model) is None:
            return
        self.same(what, out, ids)
        here = os.path.dirname(__file__)
        run = subprocess.run([sys.executable, "-B", f"{here}/st_check.py", out], capture_output=True, text=True) if head else None
        if run and run.returncode:
            self.wrong.append(f"{what}: {run.stdout}")


def main():
    program, work, names = sys.argv[1], sys.argv[2], sys.argv[3:] or list(random_models.MODELS)
    warnings.filterwarnings("ignore")
    check = Check(program, work)
    for i, name in enumerate(names):
        model = f"{work}/{name}"
        config = random_models.make(name, model)
        vocab, ids = config["vocab_size"], None
        json.dump(random_models.make_ids(vocab, 12, 40, seed=2), open(f"{work}/ids.json", "w"))
        ids = random_models.make_ids(vocab, 3, 41)
        check.same(name, model, ids)
        if name == "gpt2":  # its Conv1D are no Linears to anybody
            continue
        tied = config.get("tie_word_embeddings", name == "gemma2") or name == "opt"
        for k in range(3):
            n = (3 * i + k) % len(CASES)
            check.recipe(f"{name} case {n}", model, CASES[n], ids, tied)
    if check.wrong:
        peer.fail(*check.wrong)
    print(json.dumps({"models": len(names), "compared": check.compared, "rounded": check.rounded}))


main()
