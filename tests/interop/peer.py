"""peer.py - what the scripts of this folder share: quiet libraries, safetensors files, perplexity from logits.

Runs on a CPU without a network. Nothing here is used by qpipe itself."""
import glob
import json
import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def shards(folder):
    """The safetensors files that belong to the checkpoint: those of the index, or model.safetensors."""
    index = os.path.join(folder, "model.safetensors.index.json")
    if os.path.exists(index):
        names = sorted(set(json.load(open(index))["weight_map"].values()))
    else:
        names = ["model.safetensors"]
    return [os.path.join(folder, n) for n in names]


def read_tensors(files):
    from safetensors.torch import load_file

    tensors = {}
    for f in files:
        tensors.update(load_file(f))
    return tensors


def read_ids(path):
    """A JSON list of equally long lists of token ids (one list alone: one sequence)."""
    ids = json.load(open(path))
    if ids and not isinstance(ids[0], list):
        ids = [ids]
    if not ids or len({len(s) for s in ids}) != 1 or len(ids[0]) < 2:
        sys.exit(f"{path}: expected lists of token ids, all of one length of at least 2")
    return ids


def perplexity(logits, ids):
    """(tokens predicted, mean negative log likelihood, perplexity) in float64; token t is predicted from those before."""
    import torch

    logp = torch.log_softmax(logits[:, :-1].double(), dim=-1)
    nll = -logp.gather(2, torch.tensor(ids)[:, 1:, None]).squeeze(2)
    mean = nll.mean().item()
    return nll.numel(), mean, float(torch.exp(torch.tensor(mean, dtype=torch.float64)))


def fail(*lines):
    for line in lines:
        print("wrong:", line)
    sys.exit(1)


def config_files(folder):
    """Everything beside the weights that a loader may want (config, tokenizer)."""
    return [f for f in glob.glob(os.path.join(folder, "*.json")) if not f.endswith(".index.json")]
