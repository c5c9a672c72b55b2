"""random_models.py - tiny checkpoints of transformers with random weights and odd shapes, in the layouts it writes today.

Rows of MODELS: family, what is odd about it, dtype on disk, shard size, config. Nothing here is a real model's size: group
sizes divide by chance only, vocabularies are prime, head_dim is not hidden / heads. Used by models.py."""
import json
import os

LLAMA = dict(vocab_size=101, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, attention_dropout=0.0, initializer_range=0.2)
LLAMA3 = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 16}
LINEAR = {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}
PLAIN = {"rope_type": "default", "rope_theta": 1e6}

MODELS = {
    "llama-gqa": ("llama", "bfloat16", None, dict(LLAMA, head_dim=24, rope_parameters=LLAMA3, tie_word_embeddings=False)),
    "llama-mqa-bias": ("llama", "float32", "30KB", dict(LLAMA, num_key_value_heads=1, attention_bias=True, mlp_bias=True,
                                                        tie_word_embeddings=True, rope_parameters=YARN)),
    "llama-f16": ("llama", "float16", None, dict(LLAMA, hidden_size=96, num_attention_heads=6, num_key_value_heads=3, vocab_size=97,
                                                 head_dim=16, tie_word_embeddings=False, rope_parameters=LINEAR)),
    "mistral-window": ("mistral", "bfloat16", "20KB", dict(LLAMA, sliding_window=7, head_dim=32, rope_parameters=PLAIN,
                                                           tie_word_embeddings=False)),
    "qwen2": ("qwen2", "bfloat16", None, dict(LLAMA, num_key_value_heads=4, use_sliding_window=True, sliding_window=5,
                                              max_window_layers=1, tie_word_embeddings=True, rope_parameters=PLAIN)),
    "qwen3": ("qwen3", "float16", None, dict(LLAMA, head_dim=40, tie_word_embeddings=False, rope_parameters=YARN)),
    "gemma2": ("gemma2", "bfloat16", None, dict(LLAMA, head_dim=24, sliding_window=6, query_pre_attn_scalar=17,
                                                attn_logit_softcapping=5.0, final_logit_softcapping=3.0)),
    "phi3": ("phi3", "bfloat16", None, dict(LLAMA, sliding_window=9, pad_token_id=0, tie_word_embeddings=False)),
    "gpt_neox": ("gpt_neox", "float16", None, dict(vocab_size=103, hidden_size=64, intermediate_size=160, num_hidden_layers=2,
                                                   num_attention_heads=4, max_position_embeddings=64, initializer_range=0.2)),
    "opt": ("opt", "float16", None, dict(vocab_size=103, hidden_size=64, ffn_dim=96, num_hidden_layers=2, num_attention_heads=4,
                                         max_position_embeddings=64, word_embed_proj_dim=64, init_std=0.2)),
    "gpt2": ("gpt2", "float32", None, dict(vocab_size=89, n_embd=64, n_layer=2, n_head=4, n_positions=64, n_inner=96,
                                           initializer_range=0.2)),
}


def make(name, folder, seed=0):
    """Writes MODELS[name] to folder; returns its config as a dict."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    family, dtype, shard, options = MODELS[name]
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **options)).eval()
    with torch.no_grad():
        for key, p in model.named_parameters():
            if p.dim() == 1:  # norms and biases start at 1 and 0: no test of them
                p.add_(torch.randn_like(p) * 0.3)
    model = model.to(getattr(torch, dtype))
    os.makedirs(folder, exist_ok=True)
    model.save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    return json.load(open(os.path.join(folder, "config.json")))


def make_ids(vocab, rows, length, seed=1):
    import torch

    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, vocab, (rows, length), generator=g).tolist()
