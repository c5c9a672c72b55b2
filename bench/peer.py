"""peer.py - llm-compressor on the files of bench_make_model, and a score that serves both programs.

peer.py run DIR RECIPE OUT THREADS   quantizes DIR/model with calib_input_ids of DIR/tokens.safetensors, a sequence a batch
peer.py score DIR CHECKPOINT - THREADS   prints sum over modules of tr((W-Q) H (W-Q)^T), H = 2/sequences sum x x^T over the
    inputs of the float model; CHECKPOINT: compressed-tensors, W4 packed in groups, symmetric
"""
import os
import sys

os.environ["CUDA_VISIBLE_DEVICES"] = ""
import torch
from safetensors.torch import load_file


def ids_of(where):
    return load_file(os.path.join(where, "tokens.safetensors"))["calib_input_ids"].long()


def model_of(where):
    from transformers import AutoModelForCausalLM
    return AutoModelForCausalLM.from_pretrained(os.path.join(where, "model"), dtype=torch.float32).eval()


def run(where, recipe, out):
    from llmcompressor import oneshot
    from llmcompressor.pipelines.cache import IntermediatesCache
    if hasattr(IntermediatesCache, "_pin_intermediate"):  # pinned memory needs an accelerator; AWQ dies without
        IntermediatesCache._pin_intermediate = classmethod(lambda cls, value: None)
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    model, ids = model_of(where), ids_of(where)
    words = {"t%d" % i: i for i in range(model.config.vocab_size)}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="t0")))
    batches = [{"input_ids": x[None], "attention_mask": torch.ones_like(x[None])} for x in ids]
    data = torch.utils.data.DataLoader(batches, batch_size=None, shuffle=False)
    oneshot(model=model, tokenizer=tokenizer, recipe=open(recipe).read(), dataset=data, num_calibration_samples=len(ids),
            max_seq_length=ids.shape[1], shuffle_calibration_samples=False)
    model.save_pretrained(out, save_compressed=True)


def decoded(tensors, name, shape):
    """Eight codes of 4 bits in an int32, lowest first, offset by 8; one scale for a group of columns."""
    packed, scale = tensors[name + ".weight_packed"], tensors[name + ".weight_scale"].float()
    codes = torch.stack([(packed >> (4 * i)) & 15 for i in range(8)], -1).reshape(shape[0], -1)[:, : shape[1]]
    return (codes.float() - 8) * scale.repeat_interleave(shape[1] // scale.shape[1], 1)


@torch.no_grad()
def score(where, checkpoint):
    model, ids, tensors = model_of(where), ids_of(where), {}
    for name in sorted(os.listdir(checkpoint)):
        if name.endswith(".safetensors"):
            tensors.update(load_file(os.path.join(checkpoint, name)))
    sums = {}
    for name, module in model.named_modules():
        if name + ".weight_packed" in tensors:
            def look(m, args, name=name):
                x = args[0].reshape(-1, args[0].shape[-1])
                sums[name] = sums.get(name, 0) + x.T @ x
            module.register_forward_pre_hook(look)
    for row in ids:
        model.model(input_ids=row[None], use_cache=False)
    total = 0.0
    for name, h in sums.items():
        w = model.get_submodule(name).weight
        e = (w - decoded(tensors, name, w.shape)).double()
        total += float(((e @ (h.double() * 2 / len(ids))) * e).sum())
    print(total)


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[5]))
    if sys.argv[1] == "run":
        run(*sys.argv[2:5])
    else:
        score(*sys.argv[2:4])
