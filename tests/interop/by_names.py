"""by_names.py - a checkpoint that qpipe quantized by the names of its tensors, decoded by the compressed_tensors library
(ct_decode.py --plain), against the source: relative errors of all matrices are those of qpipe's manifest.

  by_names.py SOURCE DECODED OUTPUT"""
import glob
import json
import sys

import torch
from safetensors.torch import load_file


def tensors(folder):
    out = {}
    for path in glob.glob(folder + "/model*.safetensors"):
        out.update(load_file(path))
    return out


source, decoded, output = sys.argv[1:]
a, b = tensors(source), tensors(decoded)
assert set(a) == set(b), set(a) ^ set(b)
errors = []
for name, w in a.items():
    w, v = w.double(), b[name].double()
    assert w.shape == v.shape, name
    if not torch.equal(w, v):
        errors.append(float((w - v).norm() / w.norm()))
modules = json.load(open(output + "/manifest.json"))["predicate"]["modules"]
recorded = [m["weight_error"] for m in modules.values()]
assert len(errors) == len(recorded), (len(errors), len(recorded))
worst = max(abs(x - y) for x, y in zip(sorted(errors), sorted(recorded)))
assert worst < 1e-5, worst
print(f"{len(errors)} matrices, worst difference of errors {worst:.2g}")
