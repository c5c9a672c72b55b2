"""metrics_check.py - every number of a verification, worked out again in float64 from the logits of both models.

  metrics_check.py QPIPE WORKDIR MODEL RECIPE IDS.json

Runs the recipe (whose verify stage reads IDS.json: windows of one length), evaluates both models on the same windows with
--logits-out, and compares the manifest's verification, and `qpipe eval --reference --json`, with numpy's percentiles and
plain sums. The logits themselves are compared with transformers in tests/interop."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "interop"))
import numpy as np
import peer


def logits_of(program, model, ids, out):
    run = subprocess.run([program, "eval", model, "--tokens", ids, "--logits-out", out], capture_output=True, text=True)
    if run.returncode:
        peer.fail(f"eval {model}: {run.stderr}")
    return peer.read_tensors([out])["logits"].double().numpy()


def log_softmax(x):
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def spread(values):
    """Standard error over positions, and over the means of windows. values: [windows, positions]"""
    means = values.mean(axis=1)
    return values.std(ddof=1) / np.sqrt(values.size), means.std(ddof=1) / np.sqrt(len(means))


def expected(base, other, ids):
    p, q = log_softmax(base[:, :-1]), log_softmax(other[:, :-1])
    true = np.array(ids)[:, 1:, None]
    nll = [-np.take_along_axis(x, true, axis=2)[..., 0] for x in (p, q)]
    kl = (np.exp(p) * (p - q)).sum(axis=-1)
    same = (p.argmax(-1) == q.argmax(-1)).astype(float)
    ratio = nll[1] - nll[0]
    at = {"median": 50, "p90": 90, "p95": 95, "p99": 99, "p999": 99.9}
    out = {f"kl_{name}": np.percentile(kl, share, method="lower") for name, share in at.items()}
    out |= {"kl_mean": kl.mean(), "kl_se": spread(kl)[0], "kl_se_windows": spread(kl)[1], "kl_max": kl.max(),
            "top1_agreement": same.mean(), "top1_se": np.sqrt(same.mean() * (1 - same.mean()) / same.size),
            "ln_perplexity_ratio": ratio.mean(), "ln_perplexity_ratio_se_windows": spread(ratio)[1],
            "delta_p_rms": np.sqrt(np.square(np.exp(-nll[1]) - np.exp(-nll[0])).mean())}
    for name, x in (("base", nll[0]), ("quantized", nll[1])):
        out[name] = {"windows": len(ids), "tokens": x.size, "nll_per_token": x.mean(), "nll_se_windows": spread(x)[1],
                     "perplexity": np.exp(x.mean())}
    return out


def compare(found, wanted, where, wrong):
    for key, value in wanted.items():
        if isinstance(value, dict):
            compare(found[key], value, f"{where}{key}.", wrong)
        elif not abs(found[key] - value) <= 2e-6 * abs(value) + 1e-9:
            wrong.append(f"{where}{key}: {found[key]}, expected {value}")
    missing = set(found) - set(wanted)
    if missing:
        wrong.append(f"{where}: not checked here: {sorted(missing)}")


def main():
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    program, work, model, recipe, ids_path = sys.argv[1:]
    out = os.path.join(work, "metrics-out")
    run = subprocess.run([program, "run", recipe, "--output", out, "--force"], capture_output=True, text=True)
    if run.returncode:
        peer.fail(f"run {recipe}: {run.stderr}")
    ids = peer.read_ids(ids_path)
    logits = [logits_of(program, m, ids_path, os.path.join(work, f"metrics-{i}.safetensors")) for i, m in enumerate((model, out))]
    wanted, wrong = expected(*logits, ids), []
    compare(json.load(open(f"{out}/manifest.json"))["predicate"]["verification"]["model"], wanted, "manifest: ", wrong)
    run = subprocess.run([program, "eval", out, "--reference", model, "--tokens", ids_path, "--json"], capture_output=True, text=True)
    said = json.loads(run.stdout)
    compare(said.get("model", said), wanted, "eval: ", wrong)
    if wrong:
        peer.fail(*wrong)
    print(json.dumps({"numbers": 2 * (len(wanted) - 2 + 10), "tokens": wanted["base"]["tokens"]}))


main()
