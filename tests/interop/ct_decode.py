"""ct_decode.py - decodes a compressed-tensors checkpoint with the compressed_tensors library itself (no model, no
transformers): every quantized module's tensors go through the library's decompressor for its format.

  ct_decode.py DIR [--float32] [--plain OUT] [--hashes peer_dequant.json]

--float32: scales are widened first, so that weights are decoded in float32 instead of the checkpoint's dtype.
--plain OUT: writes the same model as a float32 checkpoint without quantization, so that `qpipe eval OUT` against
`qpipe eval DIR` compares qpipe's decoding with the library's. --hashes: {name: [shape, sha256 of float32 bytes]}."""
import argparse
import hashlib
import json
import os
import re
import shutil

import peer


def matches(target, module, kind):
    if target.startswith("re:"):
        return re.match(target[3:], module) is not None
    return target in (module, kind)


def schemes(config):
    """[(targets, scheme, format)], a name or expression before a class name."""
    from compressed_tensors.quantization import QuantizationScheme

    rows = []
    for group in config["config_groups"].values():
        rows.append((group["targets"], QuantizationScheme(**group), group.get("format") or config["format"]))
    return sorted(rows, key=lambda r: all(t in ("Linear", "Embedding") for t in r[0]))


def decode(folder, widen):
    """{name: tensor}: every tensor of the checkpoint, quantized weights decoded by the library."""
    import torch
    from compressed_tensors.compressors import BaseCompressor

    config = json.load(open(os.path.join(folder, "config.json")))["quantization_config"]
    tensors = peer.read_tensors(peer.shards(folder))
    modules = sorted({n.rsplit(".", 1)[0] for n in tensors if n.endswith(".weight_scale")})
    rows = schemes(config)
    for module in modules:
        kind = "Embedding" if "embed" in module else "Linear"
        scheme, form = next((s, f) for targets, s, f in rows if any(matches(t, module, kind) for t in targets))
        local = {n[len(module) + 1:]: tensors.pop(n) for n in list(tensors) if n.startswith(module + ".")}
        if widen and local["weight_scale"].dtype in (torch.bfloat16, torch.float16):
            local["weight_scale"] = local["weight_scale"].float()
        plain = BaseCompressor.get_value_from_registry(form).decompress(local, scheme)
        tensors[module + ".weight"] = plain["weight"]
        if "bias" in local:
            tensors[module + ".bias"] = local["bias"]
    return tensors, modules


def write_plain(folder, tensors, out):
    from safetensors.torch import save_file

    os.makedirs(out, exist_ok=True)
    for f in peer.config_files(folder):
        shutil.copy(f, out)
    config = json.load(open(os.path.join(folder, "config.json")))
    del config["quantization_config"]
    config["torch_dtype"] = config["dtype"] = "float32"
    json.dump(config, open(os.path.join(out, "config.json"), "w"), indent=2)
    drop = re.compile(r"\.(k_scale|v_scale|q_scale|k_zero_point|v_zero_point)$")
    plain = {n: t.float().contiguous() for n, t in tensors.items() if not drop.search(n)}
    save_file(plain, os.path.join(out, "model.safetensors"), {"format": "pt"})


def main():
    p = argparse.ArgumentParser()
    p.add_argument("dir")
    p.add_argument("--float32", action="store_true")
    p.add_argument("--plain")
    p.add_argument("--hashes")
    a = p.parse_args()
    tensors, modules = decode(a.dir, a.float32)
    result = {"modules": len(modules), "tensors": len(tensors)}
    if not modules:
        peer.fail(f"{a.dir}: no quantized module")
    if a.hashes:
        expected = json.load(open(a.hashes))
        wrong = []
        for name, (shape, digest) in expected.items():
            t = tensors[name].float().contiguous()
            if list(t.shape) != shape or hashlib.sha256(t.numpy().tobytes()).hexdigest() != digest:
                wrong.append(f"{name} differs from {a.hashes}")
        if wrong:
            peer.fail(*wrong)
        result["hashes_equal"] = len(expected)
    if a.plain:
        write_plain(a.dir, tensors, a.plain)
    print(json.dumps(result))


main()
