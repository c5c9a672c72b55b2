"""load_saved.py - loads a saved checkpoint in transformers on a CPU, runs token ids, prints perplexity as JSON, writes
logits, and compares both with what somebody else computed.

  load_saved.py DIR --tokens IDS.json [--load decoded|simulated|float32|stored] [--out LOGITS.safetensors]
                [--reference F.safetensors[:NAME]]... [--tolerance 1e-3] [--eval-json F.json] [--perplexity-tolerance 1e-3]

--load decoded: weights decoded in the checkpoint's dtype, which is what a runtime sees, then computed in float32, inputs
of Linears not rounded (as in `qpipe eval --activations float`). simulated: the same with inputs, keys and values rounded as
the checkpoint asks for, in float32 (as in `qpipe eval`). float32: weights decoded in float32 too. stored: all in the checkpoint's dtype.
--reference: a file whose tensor NAME (default "logits") must agree within --tolerance, absolutely.
--eval-json: the output of `qpipe eval --json`, whose perplexity must agree within --perplexity-tolerance, relatively.
Exit 1: something differs, or the model was not loaded as quantized although its config says so."""
import argparse
import json

import peer


def load(folder, how):
    """(model, how many of its modules are quantized)"""
    import torch
    from transformers import AutoModelForCausalLM, CompressedTensorsConfig

    options = {"attn_implementation": "eager", "dtype": torch.float32 if how == "float32" else "auto"}
    config = json.load(open(f"{folder}/config.json"))
    if how in ("decoded", "simulated") and config.get("quantization_config"):
        # decompressed while loading, in the dtype of the scales; later the first forward pass would do it in float32
        options["quantization_config"] = CompressedTensorsConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(folder, **options).eval()
    quantized = [m for m in model.modules() if hasattr(m, "quantization_scheme")]
    if how in ("decoded", "simulated"):
        for m in quantized:
            m.quantization_enabled = how == "simulated"  # W8A8 rounds the inputs of its Linears
            if not hasattr(m, "weight"):
                continue  # an attention with a rounded cache
            if m.weight.dtype == torch.int8 or hasattr(m, "weight_packed"):
                peer.fail(f"transformers left a {type(m).__name__} compressed")
        model = model.float()
    return model, len(quantized)


def run(folder, ids, how):
    import torch

    model, quantized = load(folder, how)
    tokens = torch.tensor(ids)
    with torch.no_grad():
        logits = model(tokens).logits
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
    p.add_argument("--load", choices=["decoded", "simulated", "float32", "stored"], default="decoded")
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


if __name__ == "__main__":
    main()
