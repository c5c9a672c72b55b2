/* families_rms.c - rows of the architectures table: RMS norms and gated MLPs (llama and its relatives). */
#include "model/rows.h"

const struct step steps_embed[] = { SP(EMBED, NONE, X, P_EMBED), STEPS_END };
const struct step steps_norm_head[] = { STEP_N(P_FINAL, X, H), SP(HEAD, H, NONE, P_HEAD), STEPS_END };

static const struct step pre[] = BLOCK_PRE(STEP_GATED);
static const struct step sandwich[] = BLOCK_SANDWICH(STEP_GATED);
static const struct step branchnorm[] = BLOCK_BRANCHNORM(STEP_GATED);

static const struct part std_parts[] = {
    EMBED("embed_tokens"),
    NORM(P_N1, "input_layernorm", FLAG_NEVER),
    BOX("self_attn"),
    STD_QKV(FLAG_QKV_BIAS),
    STD_O("self_attn.o_proj", FLAG_ATTN_BIAS),
    QKNORM(P_QNORM, "self_attn.q_norm", PART_NORM, DIM_HEAD, DIM_ONE),
    QKNORM(P_KNORM, "self_attn.k_norm", PART_NORM, DIM_HEAD, DIM_ONE),
    NORM(P_N2, "post_attention_layernorm", FLAG_NEVER),
    STD_GLU(FLAG_MLP_BIAS),
    FINAL("norm", FLAG_NEVER),
    HEAD,
    PARTS_END,
};

/* attention_bias covers q, k, v and o: one key, two flags. */
/* clang-format off */
#define BIAS_KEYS(def) \
    { "attention_bias", KEY_FLAG, FLAG_ATTN_BIAS, def, 0, 0, 0 }, { "attention_bias", KEY_FLAG, \
        FLAG_QKV_BIAS, def, 0, 0, 0 }
#define NO_BIAS_KEYS(qkv) \
    { "", KEY_FLAG, FLAG_ATTN_BIAS, 0, 0, 0, 0 }, { "", KEY_FLAG, FLAG_QKV_BIAS, qkv, 0, 0, 0 }, { "", \
        KEY_FLAG, FLAG_MLP_BIAS, 0, 0, 0, 0 }
#define WINDOW_KEY(def) { "sliding_window", KEY_INT, AT(window), def, 1, MAX_POSITIONS, 1 }
#define POSITIONS(def) { "max_position_embeddings", KEY_INT, AT(max_positions), def, 1, MAX_POSITIONS, 0 }
#define EPS(def) { "rms_norm_eps", KEY_REAL, AT(eps), def, 0, 1, 0 }
#define HEAD_DIM(def) { "head_dim", KEY_INT, AT(head_dim), def, 1, MAX_HEAD_DIM, 0 }
#define KV_HEADS(def) { "num_key_value_heads", KEY_INT, AT(kv_heads), def, 1, MAX_HEADS, 0 }
#define TIE(def) { "tie_word_embeddings", KEY_FLAG, FLAG_TIE, def, 0, 0, 0 }
#define QK_NORM_ALWAYS { "", KEY_FLAG, FLAG_QK_NORM, 1, 0, 0, 0 }
#define THETA(def) { "rope_theta", KEY_REAL, AT(rope_theta), def, 1.01, 1e15, 0 }
#define PARTIAL(def) { "partial_rotary_factor", KEY_REAL, AT(partial_rotary), def, 1e-6, 1, 0 }
/* clang-format on */

static const struct key llama_keys[] = { BIAS_KEYS(0), KEYS_END };
static const struct arch llama = {
    .name = "llama",
    .doc = "Llama 1 to 3, and all that took their form",
    .base = "model.",
    .layers = "layers",
    .norm_classes = CLASSES("LlamaRMSNorm"),
    .attn_classes = CLASSES("LlamaAttention"),
    .keys = llama_keys,
    .parts = std_parts,
    .prologue = steps_embed,
    .block = { { FLAG_ALWAYS, pre } },
    .epilogue = steps_norm_head,
    .rope = ROPE_ALL,
};

static const struct key mistral_keys[] = { NO_BIAS_KEYS(0), WINDOW_KEY(4096), KV_HEADS(8), POSITIONS(131072),
                                           KEYS_END };
static const struct arch mistral = {
    .name = "mistral",
    .doc = "Mistral 7B, Nemo, Small",
    .base = "model.",
    .layers = "layers",
    .norm_classes = CLASSES("MistralRMSNorm"),
    .attn_classes = CLASSES("MistralAttention"),
    .keys = mistral_keys,
    .parts = std_parts,
    .prologue = steps_embed,
    .block = { { FLAG_ALWAYS, pre } },
    .epilogue = steps_norm_head,
    .window = WINDOW_ALL,
    .rope = ROPE_ALL,
};

static const struct key qwen2_keys[] = { NO_BIAS_KEYS(1), WINDOW_KEY(4096), POSITIONS(32768), KEYS_END };
static const struct arch qwen2 = {
    .name = "qwen2",
    .doc = "Qwen 1.5, 2, 2.5 (dense)",
    .base = "model.",
    .layers = "layers",
    .norm_classes = CLASSES("Qwen2RMSNorm"),
    .attn_classes = CLASSES("Qwen2Attention"),
    .keys = qwen2_keys,
    .parts = std_parts,
    .prologue = steps_embed,
    .block = { { FLAG_ALWAYS, pre } },
    .epilogue = steps_norm_head,
    .window = WINDOW_LATE,
    .layer_types = true,
    .rope = ROPE_ALL,
};

static const struct key qwen3_keys[] = { BIAS_KEYS(0),   { "", KEY_FLAG, FLAG_MLP_BIAS, 0, 0, 0, 0 },
                                         QK_NORM_ALWAYS, WINDOW_KEY(4096),
                                         HEAD_DIM(128),  POSITIONS(32768),
                                         KEYS_END };
static const struct arch qwen3 = {
    .name = "qwen3",
    .doc = "Qwen 3 (dense)",
    .base = "model.",
    .layers = "layers",
    .norm_classes = CLASSES("Qwen3RMSNorm"),
    .attn_classes = CLASSES("Qwen3Attention"),
    .keys = qwen3_keys,
    .parts = std_parts,
    .prologue = steps_embed,
    .block = { { FLAG_ALWAYS, pre } },
    .epilogue = steps_norm_head,
    .qknorm = QKNORM_HEAD,
    .window = WINDOW_LATE,
    .layer_types = true,
    .rope = ROPE_ALL,
};

static const struct key gemma_keys[] = {
    BIAS_KEYS(0),
    { "", KEY_FLAG, FLAG_MLP_BIAS, 0, 0, 0, 0 },
    HEAD_DIM(256),
    KV_HEADS(16),
    POSITIONS(8192),
    TIE(1),
    { "hidden_act", KEY_ACT, AT(act), ACT_GELU_TANH, 0, 0, 0 },
    KEYS_END,
};
static const struct arch gemma = {
    .name = "gemma",
    .doc = "Gemma 1",
    .base = "model.",
    .layers = "layers",
    .norm_classes = CLASSES("GemmaRMSNorm"),
    .attn_classes = CLASSES("GemmaAttention"),
    .keys = gemma_keys,
    .parts = std_parts,
    .prologue = steps_embed,
    .block = { { FLAG_ALWAYS, pre } },
    .epilogue = steps_norm_head,
    .norm_offset = 1,
    .rope = ROPE_ALL,
    .embed_sqrt = true,
};

#define SANDWICH_PARTS(n1b, n2, n2b)                                               \
    NORM(P_N1B, n1b, FLAG_NEVER), NORM(P_N2, n2, FLAG_NEVER), STD_GLU(FLAG_NEVER), \
        NORM(P_N2B, n2b, FLAG_NEVER)
static const struct part gemma2_parts[] = {
    EMBED("embed_tokens"),
    NORM(P_N1, "input_layernorm", FLAG_NEVER),
    BOX("self_attn"),
    STD_QKV(FLAG_ATTN_BIAS),
    STD_O("self_attn.o_proj", FLAG_ATTN_BIAS),
    QKNORM(P_QNORM, "self_attn.q_norm", PART_NORM, DIM_HEAD, DIM_ONE),
    QKNORM(P_KNORM, "self_attn.k_norm", PART_NORM, DIM_HEAD, DIM_ONE),
    SANDWICH_PARTS("post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"),
    FINAL("norm", FLAG_NEVER),
    HEAD,
    PARTS_END,
};
/* clang-format off */
#define GEMMA2_KEYS \
    HEAD_DIM(256), KV_HEADS(4), TIE(1), WINDOW_KEY(4096), { "hidden_activation", KEY_ACT, AT(act), \
        ACT_GELU_TANH, 0, 0, 0 }, { "query_pre_attn_scalar", KEY_REAL, AT(query_scalar), 256, 1e-6, 1e9, 0 \
        }
/* clang-format on */
static const struct key gemma2_keys[] = {
    GEMMA2_KEYS,
    POSITIONS(8192),
    { "attn_logit_softcapping", KEY_REAL, AT(score_cap), 50, 1e-6, 1e9, 1 },
    { "final_logit_softcapping", KEY_REAL, AT(logit_cap), 30, 1e-6, 1e9, 1 },
    KEYS_END,
};
static const struct arch gemma2 = {
    .name = "gemma2",
    .doc = "Gemma 2",
    .base = "model.",
    .layers = "layers",
    .norm_classes = CLASSES("Gemma2RMSNorm"),
    .attn_classes = CLASSES("Gemma2Attention"),
    .keys = gemma2_keys,
    .parts = gemma2_parts,
    .prologue = steps_embed,
    .block = { { FLAG_ALWAYS, sandwich } },
    .epilogue = steps_norm_head,
    .norm_offset = 1,
    .window = WINDOW_EVEN,
    .layer_types = true,
    .rope = ROPE_ALL,
    .embed_sqrt = true,
};

static const struct key gemma3_keys[] = {
    GEMMA2_KEYS,
    POSITIONS(131072),
    QK_NORM_ALWAYS,
    THETA(1e6),
    { "rope_local_base_freq", KEY_REAL, AT(rope_local_theta), 1e4, 1.01, 1e15, 0 },
    { "sliding_window_pattern|_sliding_window_pattern", KEY_INT, AT(window_period), 6, 1, MAX_LAYERS, 0 },
    { "final_logit_softcapping", KEY_REAL, AT(logit_cap), 0, 1e-6, 1e9, 1 },
    KEYS_END,
};
static const struct arch gemma3_text = {
    .name = "gemma3_text",
    .doc = "Gemma 3, the text model",
    .base = "model.",
    .layers = "layers",
    .norm_classes = CLASSES("Gemma3RMSNorm"),
    .attn_classes = CLASSES("Gemma3Attention"),
    .keys = gemma3_keys,
    .parts = gemma2_parts,
    .prologue = steps_embed,
    .block = { { FLAG_ALWAYS, sandwich } },
    .epilogue = steps_norm_head,
    .norm_offset = 1,
    .qknorm = QKNORM_HEAD,
    .window = WINDOW_PERIOD,
    .layer_types = true,
    .rope = ROPE_BY_KIND,
    .embed_sqrt = true,
};

#define FUSED_GLU                                                              \
    LINEAR(P_GATE_UP, "mlp.gate_up_proj", DIM_INTER2, DIM_HIDDEN, FLAG_NEVER), \
        LINEAR(P_DOWN, "mlp.down_proj", DIM_HIDDEN, DIM_INTER, FLAG_NEVER)
static const struct part phi3_parts[] = {
    EMBED("embed_tokens"),
    NORM(P_N1, "input_layernorm", FLAG_NEVER),
    BOX("self_attn"),
    STD_O("self_attn.o_proj", FLAG_NEVER),
    LINEAR(P_QKV, "self_attn.qkv_proj", DIM_QKV, DIM_HIDDEN, FLAG_NEVER),
    NORM(P_N2, "post_attention_layernorm", FLAG_NEVER),
    FUSED_GLU,
    FINAL("norm", FLAG_NEVER),
    HEAD,
    PARTS_END,
};
static const struct key phi3_keys[] = { EPS(1e-5), WINDOW_KEY(0), POSITIONS(4096), KEYS_END };
static const struct arch phi3 = {
    .name = "phi3",
    .doc = "Phi 3, 3.5, 4 (dense)",
    .base = "model.",
    .layers = "layers",
    .norm_classes = CLASSES("Phi3RMSNorm"),
    .attn_classes = CLASSES("Phi3Attention"),
    .keys = phi3_keys,
    .parts = phi3_parts,
    .prologue = steps_embed,
    .block = { { FLAG_ALWAYS, pre } },
    .epilogue = steps_norm_head,
    .qkv = QKV_CAT,
    .rope_su = true,
    .window = WINDOW_ALL,
    .rope = ROPE_ALL,
};

static const struct part olmo2_parts[] = {
    EMBED("embed_tokens"),
    BOX("self_attn"),
    STD_QKV(FLAG_ATTN_BIAS),
    STD_O("self_attn.o_proj", FLAG_ATTN_BIAS),
    QKNORM(P_QNORM, "self_attn.q_norm", PART_NORM, DIM_Q, DIM_ONE),
    QKNORM(P_KNORM, "self_attn.k_norm", PART_NORM, DIM_KV, DIM_ONE),
    NORM(P_N1, "post_attention_layernorm", FLAG_NEVER),
    STD_GLU(FLAG_NEVER),
    NORM(P_N2, "post_feedforward_layernorm", FLAG_NEVER),
    FINAL("norm", FLAG_NEVER),
    HEAD,
    PARTS_END,
};
static const struct key olmo2_keys[] = { EPS(1e-5), QK_NORM_ALWAYS, KEYS_END };
static const struct arch olmo2 = {
    .name = "olmo2",
    .doc = "OLMo 2",
    .base = "model.",
    .layers = "layers",
    .norm_classes = CLASSES("Olmo2RMSNorm"),
    .attn_classes = CLASSES("Olmo2Attention"),
    .keys = olmo2_keys,
    .parts = olmo2_parts,
    .prologue = steps_embed,
    .block = { { FLAG_ALWAYS, branchnorm } },
    .epilogue = steps_norm_head,
    .qknorm = QKNORM_WHOLE,
    .rope = ROPE_ALL,
};

static const struct key granite_keys[] = {
    BIAS_KEYS(0),
    { "embedding_multiplier", KEY_REAL, AT(embed_scale), 1, -1e9, 1e9, 0 },
    { "attention_multiplier", KEY_REAL, AT(attn_scale), 1, 1e-9, 1e9, 0 },
    { "residual_multiplier", KEY_REAL, AT(residual_scale), 1, -1e9, 1e9, 0 },
    { "logits_scaling", KEY_REAL, AT(logit_div), 1, 1e-9, 1e9, 0 },
    KEYS_END,
};
static const struct arch granite = {
    .name = "granite",
    .doc = "Granite 3 (dense)",
    .base = "model.",
    .layers = "layers",
    .norm_classes = CLASSES("GraniteRMSNorm"),
    .attn_classes = CLASSES("GraniteAttention"),
    .keys = granite_keys,
    .parts = std_parts,
    .prologue = steps_embed,
    .block = { { FLAG_ALWAYS, pre } },
    .epilogue = steps_norm_head,
    .rope = ROPE_ALL,
};

static const struct part glm4_parts[] = {
    EMBED("embed_tokens"),
    NORM(P_N1, "input_layernorm", FLAG_NEVER),
    BOX("self_attn"),
    STD_QKV(FLAG_ATTN_BIAS),
    STD_O("self_attn.o_proj", FLAG_NEVER),
    NORM(P_N1B, "post_self_attn_layernorm", FLAG_NEVER),
    NORM(P_N2, "post_attention_layernorm", FLAG_NEVER),
    FUSED_GLU,
    NORM(P_N2B, "post_mlp_layernorm", FLAG_NEVER),
    FINAL("norm", FLAG_NEVER),
    HEAD,
    PARTS_END,
};
static const struct key glm4_keys[] = {
    { "attention_bias", KEY_FLAG, FLAG_ATTN_BIAS, 1, 0, 0, 0 },
    EPS(1.5625e-07),
    HEAD_DIM(128),
    KV_HEADS(2),
    PARTIAL(0.5),
    POSITIONS(131072),
    KEYS_END,
};
static const struct arch glm4 = {
    .name = "glm4",
    .doc = "GLM 4 (0414, dense)",
    .base = "model.",
    .layers = "layers",
    .norm_classes = CLASSES("Glm4RMSNorm"),
    .attn_classes = CLASSES("Glm4Attention"),
    .keys = glm4_keys,
    .parts = glm4_parts,
    .prologue = steps_embed,
    .block = { { FLAG_ALWAYS, sandwich } },
    .epilogue = steps_norm_head,
    .rope_pairs = true,
    .rope = ROPE_ALL,
};

static const struct key smollm3_keys[] = {
    BIAS_KEYS(0),     KV_HEADS(4),
    TIE(1),           THETA(2e6),
    POSITIONS(32768), { "no_rope_layer_interval", KEY_INT, AT(norope_period), 4, 1, MAX_LAYERS, 0 },
    KEYS_END,
};
static const struct arch smollm3 = {
    .name = "smollm3",
    .doc = "SmolLM 3",
    .base = "model.",
    .layers = "layers",
    .norm_classes = CLASSES("SmolLM3RMSNorm"),
    .attn_classes = CLASSES("SmolLM3Attention"),
    .keys = smollm3_keys,
    .parts = std_parts,
    .prologue = steps_embed,
    .block = { { FLAG_ALWAYS, pre } },
    .epilogue = steps_norm_head,
    .window = WINDOW_NOPE,
    .layer_types = true,
    .rope = ROPE_LISTED,
};

const struct arch *const families_rms[] = { &llama,  &mistral,     &qwen2, &qwen3, &gemma,
                                            &gemma2, &gemma3_text, &phi3,  &olmo2, &granite,
                                            &glm4,   &smollm3,     NULL };
