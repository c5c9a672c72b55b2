"""st_check.py - opens a checkpoint with the safetensors library: every tensor of every shard, the index, the metadata.

  st_check.py DIR

Holds: each shard opens; the index names exactly the tensors that are in the shards, each in its own; total_size is the sum
of their bytes; metadata has format "pt"; floats are finite; no other *.safetensors lies in the folder."""
import glob
import json
import os
import sys

import peer


def main():
    import torch
    from safetensors import safe_open

    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder, wrong, where, total = sys.argv[1], [], {}, 0
    for path in peer.shards(folder):
        name = os.path.basename(path)
        with safe_open(path, "pt") as f:
            if (f.metadata() or {}).get("format") != "pt":
                wrong.append(f"{name}: metadata {f.metadata()}, expected format pt")
            for key in f.keys():
                t = f.get_tensor(key)
                if key in where:
                    wrong.append(f"{key}: in {where[key]} and in {name}")
                where[key] = name
                total += t.numel() * t.element_size()
                if t.is_floating_point() and not torch.isfinite(t.float()).all():
                    wrong.append(f"{name}: {key} has values that are not finite")
    index = os.path.join(folder, "model.safetensors.index.json")
    if os.path.exists(index):
        said = json.load(open(index))
        if said["weight_map"] != where:
            odd = set(said["weight_map"].items()) ^ set(where.items())
            wrong.append(f"the index differs from the shards: {sorted(odd)[:4]}")
        if said.get("metadata", {}).get("total_size") != total:
            wrong.append(f"total_size {said.get('metadata')}, the tensors have {total} bytes")
    extra = {os.path.basename(f) for f in glob.glob(os.path.join(folder, "*.safetensors"))} - set(where.values())
    if extra - {"golden.safetensors"}:
        wrong.append(f"files that belong to nothing: {sorted(extra)}")
    if not where:
        wrong.append("no tensors")
    if wrong:
        peer.fail(*wrong)
    print(json.dumps({"shards": len(set(where.values())), "tensors": len(where), "bytes": total}))


main()
