"""load_saved.py - loads a saved checkpoint in transformers on a CPU, runs token ids, prints perplexity as JSON, writes
logits, and compares both with what somebody else computed.

  load_saved.py DIR --tokens IDS.json [--load float32|stored] [--out LOGITS.safetensors]
                [--reference F.safetensors[:NAME]]... [--tolerance 1e-3] [--eval-json F.json] [--perplexity-tolerance 1e-3]

--load float32: the whole model in float32, quantized weights decoded in float32. stored: in the checkpoint's dtype.
(Weights decoded in the stored dtype, run in float32: ct_decode.py --plain, then this on the result.)
--reference: a file whose tensor NAME (default "logits") must agree within --tolerance, absolutely.
--eval-json: the output of `qpipe eval --json`, whose perplexity must agree within --perplexity-tolerance, relatively.
Exit 1: something differs, or the model was not loaded as quantized although its config says so."""
import argparse
import json

import peer


def load(folder, how):
    import torch
    from transformers import AutoModelForCausalLM

    dtype = torch.float32 if how == "float32" else "auto"
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()


def run(folder, ids, how):
    import torch

    model = load(folder, how)
    quantized = sum(hasattr(m, "quantization_scheme") for m in model.modules())
    tokens = torch.tensor(ids)
    with torch.no_grad():
        logits = model(tokens).logits  # compressed-tensors decodes the weights in the first forward pass
    return logits, quantized


def compare(logits, reference, tolerance):
    import torch

    path, _, name = reference.partition(":")
    other = peer.read_tensors([path])[name or "logits"]
    if other.shape != logits.shape:
        return {"reference": reference, "shape": list(other.shape), "expected": list(logits.shape), "agrees": False}
    diff = (other.double() - logits.double()).abs()
    same = (other.argmax(-1) == logits.argmax(-1)).double().mean().item()
    worst = diff.max().item() if torch.isfinite(diff).all() else float("inf")
    return {"reference": reference, "max_difference": worst, "same_top_token": same, "agrees": worst <= tolerance}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("dir")
    p.add_argument("--tokens", required=True)
    p.add_argument("--load", choices=["float32", "stored"], default="float32")
    p.add_argument("--out")
    p.add_argument("--reference", action="append", default=[])
    p.add_argument("--tolerance", type=float, default=1e-3)
    p.add_argument("--eval-json")
    p.add_argument("--perplexity-tolerance", type=float, default=1e-3)
    a = p.parse_args()
    ids = peer.read_ids(a.tokens)
    logits, quantized = run(a.dir, ids, a.load)
    count, nll, ppl = peer.perplexity(logits, ids)
    result = {"load": a.load, "dtype": str(logits.dtype), "quantized_modules": quantized, "tokens": count,
              "nll_per_token": nll, "perplexity": ppl, "references": []}
    wrong = []
    if json.load(open(f"{a.dir}/config.json")).get("quantization_config") and not quantized:
        wrong.append("config.json has a quantization_config, but no module was loaded as quantized")
    for r in a.reference:
        result["references"].append(compare(logits, r, a.tolerance))
        if not result["references"][-1]["agrees"]:
            wrong.append(f"logits differ from {r}: {result['references'][-1]}")
    if a.eval_json:
        theirs = json.load(open(a.eval_json))
        result["eval_perplexity"] = theirs["perplexity"]
        if not abs(theirs["perplexity"] - ppl) <= a.perplexity_tolerance * ppl:
            wrong.append(f"perplexity {theirs['perplexity']}, transformers has {ppl}")
        if theirs["tokens"] != count:
            wrong.append(f"{theirs['tokens']} tokens counted, transformers has {count} predictions")
    if a.out:
        from safetensors.torch import save_file

        save_file({"logits": logits.float().contiguous()}, a.out)
    print(json.dumps(result, indent=1))
    if wrong:
        peer.fail(*wrong)


main()
