/* families_ln.c - rows of the architectures table: layer norms, plain MLPs, parallel branches, positions other than rope. */
#include "base/json.h"
#include "base/mem.h"
#include "model/rows.h"
#include <string.h>

/* clang-format off */
#define LN_EPS(names) { names, KEY_REAL, AT(eps), 1e-5, 0, 1, 0 }
#define TIE(def) { "tie_word_embeddings", KEY_FLAG, FLAG_TIE, def, 0, 0, 0 }
#define ACT(names, a) { names, KEY_ACT, AT(act), a, 0, 0, 0 }
#define PARTIAL(def) { "partial_rotary_factor|rotary_pct", KEY_REAL, AT(partial_rotary), def, 1e-6, 1, 0 }
#define FLAG(names, flag, def) { names, KEY_FLAG, flag, def, 0, 0, 0 }
#define SIZE(names, field, def, max) { names, KEY_INT, AT(field), def, 1, max, 0 }
#define ONLY_HEADS { "", KEY_INT, AT(kv_heads), 0, 0, 0, 0 }, { "", KEY_INT, AT(head_dim), 0, 0, 0, 0 }
#define INTER_4H { "", KEY_INT, AT(inter), 0, 0, 0, 0 }
/* clang-format on */

static const struct step pre_plain[] = BLOCK_PRE(STEP_PLAIN), pre_gated[] = BLOCK_PRE(STEP_GATED);
static const struct step par1_plain[] = BLOCK_PAR1(STEP_PLAIN), par1_gated[] = BLOCK_PAR1(STEP_GATED);
static const struct step par2_plain[] = BLOCK_PAR2(STEP_PLAIN);
static const struct step post_plain[] = BLOCK_POST(STEP_PLAIN), resnorm_plain[] = BLOCK_RESNORM(STEP_PLAIN);
static const struct step embed_pos[] = { SP(EMBED, NONE, X, P_EMBED), SP(POS, X, X, P_POS), STEPS_END };
static const char *const layer_norm[] = { "LayerNorm", "Module", NULL };

/* ---- names of the transformer.h family ---- */
/* clang-format off */
#define POS_TABLE(name) \
    { P_POS, PLACE_PROLOGUE, PART_EMBED, name, NULL, DIM_POSITIONS, DIM_HIDDEN, FLAG_NEVER, FLAG_ALWAYS }
#define CONV1D(id, name, out, in) \
    { id, PLACE_BLOCK, PART_CONV1D, name, NULL, out, in, FLAG_ALWAYS, FLAG_ALWAYS }
#define GPT_KEYS \
    SIZE("n_embd|hidden_size", hidden, REQUIRED, MAX_HIDDEN), SIZE("n_layer|num_hidden_layers", layers, \
        REQUIRED, MAX_LAYERS), SIZE("n_head|num_attention_heads", heads, REQUIRED, MAX_HEADS), \
        SIZE("n_inner", inter, 0, MAX_INTER), ONLY_HEADS, LN_EPS("layer_norm_epsilon"), \
        ACT("activation_function", ACT_GELU_TANH)
/* clang-format on */

static const struct part gpt2_parts[] = {
    EMBED("wte"),
    POS_TABLE("wpe"),
    NORM(P_N1, "ln_1", FLAG_ALWAYS),
    BOX("attn"),
    CONV1D(P_QKV, "attn.c_attn", DIM_QKV, DIM_HIDDEN),
    CONV1D(P_O, "attn.c_proj", DIM_HIDDEN, DIM_Q),
    NORM(P_N2, "ln_2", FLAG_ALWAYS),
    CONV1D(P_FC1, "mlp.c_fc", DIM_INTER, DIM_HIDDEN),
    CONV1D(P_DOWN, "mlp.c_proj", DIM_HIDDEN, DIM_INTER),
    FINAL("ln_f", FLAG_ALWAYS),
    HEAD,
    PARTS_END,
};
static const struct key gpt2_keys[] = {
    GPT_KEYS, SIZE("n_positions|n_ctx", max_positions, 1024, MAX_POSITIONS),
    TIE(1),   FLAG("scale_attn_by_inverse_layer_idx", FLAG_SCALE_BY_LAYER, 0),
    KEYS_END,
};
static int gpt2_derive(struct config *c, const struct json *j, struct err *e)
{
    const struct json *v = json_get(j, "scale_attn_weights");
    bool scaled = true;
    if (json_type(v) != JSON_NULL && !json_bool(v, &scaled))
        return config_bad(c, "scale_attn_weights", v, e, "true or false");
    c->attn_scale = scaled ? 0 : 1;
    return 0;
}
static const char *const gpt2_skip[] = { ".attn.bias", ".attn.masked_bias", NULL };
static const struct arch gpt2 = {
    .name = "gpt2",
    .doc = "GPT 2",
    .base = "transformer.",
    .layers = "h",
    .norm_classes = layer_norm,
    .attn_classes = CLASSES("GPT2Attention"),
    .keys = gpt2_keys,
    .parts = gpt2_parts,
    .prologue = embed_pos,
    .block = { { FLAG_ALWAYS, pre_plain } },
    .epilogue = steps_norm_head,
    .norm = NORM_LN,
    .qkv = QKV_CAT,
    .derive = gpt2_derive,
    .skip = gpt2_skip,
};

static const struct part gpt_neo_parts[] = {
    EMBED("wte"),
    POS_TABLE("wpe"),
    NORM(P_N1, "ln_1", FLAG_ALWAYS),
    BOX("attn"),
    LINEAR(P_K, "attn.attention.k_proj", DIM_KV, DIM_HIDDEN, FLAG_NEVER),
    LINEAR(P_V, "attn.attention.v_proj", DIM_KV, DIM_HIDDEN, FLAG_NEVER),
    LINEAR(P_Q, "attn.attention.q_proj", DIM_Q, DIM_HIDDEN, FLAG_NEVER),
    STD_O("attn.attention.out_proj", FLAG_ALWAYS),
    NORM(P_N2, "ln_2", FLAG_ALWAYS),
    PLAIN_MLP("mlp.c_fc", "mlp.c_proj", FLAG_ALWAYS),
    FINAL("ln_f", FLAG_ALWAYS),
    HEAD,
    PARTS_END,
};
static const struct key gpt_neo_keys[] = {
    SIZE("num_layers|num_hidden_layers", layers, REQUIRED, MAX_LAYERS),
    SIZE("num_heads|num_attention_heads", heads, REQUIRED, MAX_HEADS),
    SIZE("intermediate_size", inter, 0, MAX_INTER),
    ONLY_HEADS,
    SIZE("window_size", window, 256, MAX_POSITIONS),
    TIE(1),
    LN_EPS("layer_norm_epsilon"),
    ACT("activation_function", ACT_GELU_TANH),
    { "", KEY_REAL, AT(attn_scale), 1, 0, 0, 0 },
    KEYS_END,
};
/* attention_types [[["global", "local"], 2], ...]: the names of a list, so many times over. */
static int gpt_neo_types(struct config *c, const struct json *types, struct err *e)
{
    int64_t at = 0;
    for (size_t t = 0; t < json_len(types); t++) {
        const struct json *pair = json_item(types, t), *names = json_item(pair, 0);
        int64_t times;
        if (json_len(pair) != 2 || json_type(names) != JSON_ARRAY || !json_int(json_item(pair, 1), &times) ||
            times < 0)
            return config_bad(c, "attention_types", pair, e, "[[\"global\" or \"local\", ...], times]");
        for (int64_t k = 0; k < times && json_len(names) && at < c->layers; k++)
            for (size_t i = 0; i < json_len(names) && at < c->layers; i++) {
                const char *s = json_str(json_item(names, i), NULL);
                if (!s || (strcmp(s, "local") && strcmp(s, "global")))
                    return config_bad(c, "attention_types", json_item(names, i), e, "'global' or 'local'");
                c->local[at++] = !strcmp(s, "local");
            }
    }
    if (at < c->layers)
        return err_set(e, ERR_INPUT,
                       "%s: key 'attention_types': names %lld layers, expected num_layers = %lld", c->file,
                       (long long)at, (long long)c->layers);
    return 0;
}
static int gpt_neo_derive(struct config *c, const struct json *j, struct err *e)
{
    const struct json *types = json_get(j, "attention_types");
    c->local = mem_array((size_t)c->layers, sizeof *c->local, e);
    if (!c->local)
        return -1;
    if (json_type(types) == JSON_ARRAY)
        return gpt_neo_types(c, types, e);
    if (json_type(types) != JSON_NULL)
        return config_bad(c, "attention_types", types, e, "a list");
    for (int64_t i = 0; i < c->layers; i++)
        c->local[i] = i % 2 == 1;
    return 0;
}
static const char *const gpt_neo_skip[] = { ".attn.attention.bias", ".attn.attention.masked_bias", NULL };
static const struct arch gpt_neo = {
    .name = "gpt_neo",
    .doc = "GPT-Neo",
    .base = "transformer.",
    .layers = "h",
    .norm_classes = layer_norm,
    .attn_classes = CLASSES("GPTNeoAttention"),
    .keys = gpt_neo_keys,
    .parts = gpt_neo_parts,
    .prologue = embed_pos,
    .block = { { FLAG_ALWAYS, pre_plain } },
    .epilogue = steps_norm_head,
    .norm = NORM_LN,
    .derive = gpt_neo_derive,
    .skip = gpt_neo_skip,
};

static const struct part gptj_parts[] = {
    EMBED("wte"),
    NORM(P_N1, "ln_1", FLAG_ALWAYS),
    BOX("attn"),
    LINEAR(P_K, "attn.k_proj", DIM_KV, DIM_HIDDEN, FLAG_NEVER),
    LINEAR(P_V, "attn.v_proj", DIM_KV, DIM_HIDDEN, FLAG_NEVER),
    LINEAR(P_Q, "attn.q_proj", DIM_Q, DIM_HIDDEN, FLAG_NEVER),
    STD_O("attn.out_proj", FLAG_NEVER),
    PLAIN_MLP("mlp.fc_in", "mlp.fc_out", FLAG_ALWAYS),
    FINAL("ln_f", FLAG_ALWAYS),
    HEAD_AS(NULL, FLAG_ALWAYS),
    PARTS_END,
};
static const struct key gptj_keys[] = {
    GPT_KEYS,
    SIZE("n_positions", max_positions, 2048, MAX_POSITIONS),
    SIZE("rotary_dim", rotary_dim, 64, MAX_HEAD_DIM),
    { "", KEY_REAL, AT(rope_theta), 10000, 0, 0, 0 },
    KEYS_END,
};
static const struct arch gptj = {
    .name = "gptj",
    .doc = "GPT-J",
    .base = "transformer.",
    .layers = "h",
    .norm_classes = layer_norm,
    .attn_classes = CLASSES("GPTJAttention"),
    .keys = gptj_keys,
    .parts = gptj_parts,
    .prologue = steps_embed,
    .block = { { FLAG_ALWAYS, par1_plain } },
    .epilogue = steps_norm_head,
    .norm = NORM_LN,
    .rope_pairs = true,
    .rope = ROPE_ALL,
    .skip = gpt2_skip,
};

/* ---- fused projections by head ---- */
#define FUSED_QKV(name, bias) LINEAR(P_QKV, name, DIM_QKV, DIM_HIDDEN, bias)
static const struct part neox_parts[] = {
    EMBED("embed_in"),
    NORM(P_N1, "input_layernorm", FLAG_ALWAYS),
    BOX("attention"),
    FUSED_QKV("attention.query_key_value", FLAG_ATTN_BIAS),
    STD_O("attention.dense", FLAG_ATTN_BIAS),
    NORM(P_N2, "post_attention_layernorm", FLAG_ALWAYS),
    PLAIN_MLP("mlp.dense_h_to_4h", "mlp.dense_4h_to_h", FLAG_ALWAYS),
    FINAL("final_layer_norm", FLAG_ALWAYS),
    HEAD_AS("/embed_out", FLAG_NEVER),
    PARTS_END,
};
static const struct key neox_keys[] = {
    ONLY_HEADS,
    FLAG("attention_bias", FLAG_ATTN_BIAS, 1),
    FLAG("use_parallel_residual", FLAG_PARALLEL, 1),
    LN_EPS("layer_norm_eps"),
    ACT("hidden_act", ACT_GELU),
    PARTIAL(0.25),
    { "rope_theta|rotary_emb_base", KEY_REAL, AT(rope_theta), 10000, 1.01, 1e15, 0 },
    KEYS_END,
};
static const char *const neox_skip[] = { ".attention.bias", ".attention.masked_bias", NULL };
static const struct arch gpt_neox = {
    .name = "gpt_neox",
    .doc = "GPT-NeoX, Pythia",
    .base = "gpt_neox.",
    .layers = "layers",
    .norm_classes = layer_norm,
    .attn_classes = CLASSES("GPTNeoXAttention"),
    .keys = neox_keys,
    .parts = neox_parts,
    .prologue = steps_embed,
    .block = { { FLAG_PARALLEL, par2_plain }, { FLAG_SERIAL, pre_plain } },
    .epilogue = steps_norm_head,
    .norm = NORM_LN,
    .qkv = QKV_GROUPS,
    .rope = ROPE_ALL,
    .skip = neox_skip,
};

static const struct step bloom_prologue[] = { SP(EMBED, NONE, X, P_EMBED), STEP_N(P_EMBED_NORM, X, X),
                                              STEPS_END };
static const struct part bloom_parts[] = {
    EMBED("word_embeddings"),
    { P_EMBED_NORM, PLACE_PROLOGUE, PART_NORM, "word_embeddings_layernorm", NULL, DIM_HIDDEN, DIM_ONE,
      FLAG_ALWAYS, FLAG_ALWAYS },
    NORM(P_N1, "input_layernorm", FLAG_ALWAYS),
    BOX("self_attention"),
    FUSED_QKV("self_attention.query_key_value", FLAG_ALWAYS),
    STD_O("self_attention.dense", FLAG_ALWAYS),
    NORM(P_N2, "post_attention_layernorm", FLAG_ALWAYS),
    PLAIN_MLP("mlp.dense_h_to_4h", "mlp.dense_4h_to_h", FLAG_ALWAYS),
    FINAL("ln_f", FLAG_ALWAYS),
    HEAD,
    PARTS_END,
};
static const struct key bloom_keys[] = {
    SIZE("hidden_size|n_embed", hidden, REQUIRED, MAX_HIDDEN),
    SIZE("n_layer|num_hidden_layers", layers, REQUIRED, MAX_LAYERS),
    SIZE("n_head|num_attention_heads", heads, REQUIRED, MAX_HEADS),
    ONLY_HEADS,
    INTER_4H,
    TIE(1),
    SIZE("seq_length", max_positions, 2048, MAX_POSITIONS),
    LN_EPS("layer_norm_epsilon"),
    ACT("", ACT_GELU_TANH),
    FLAG("apply_residual_connection_post_layernorm", FLAG_POST_RESIDUAL, 0),
    KEYS_END,
};
static const struct arch bloom = {
    .name = "bloom",
    .doc = "BLOOM",
    .base = "transformer.",
    .layers = "h",
    .norm_classes = layer_norm,
    .attn_classes = CLASSES("BloomAttention"),
    .keys = bloom_keys,
    .parts = bloom_parts,
    .prologue = bloom_prologue,
    .block = { { FLAG_POST_RESIDUAL, resnorm_plain }, { FLAG_ALWAYS, pre_plain } },
    .epilogue = steps_norm_head,
    .norm = NORM_LN,
    .qkv = QKV_GROUPS,
    .alibi = ALIBI_LOW,
};

static const struct part falcon_parts[] = {
    EMBED("word_embeddings"),
    NORM_IF(FLAG_TWO_NORMS, P_N1, "ln_attn", FLAG_ALWAYS),
    NORM_IF(FLAG_TWO_NORMS, P_N2, "ln_mlp", FLAG_ALWAYS),
    NORM_IF(FLAG_ONE_NORM, P_N1, "input_layernorm", FLAG_ALWAYS),
    BOX("self_attention"),
    FUSED_QKV("self_attention.query_key_value", FLAG_ATTN_BIAS),
    STD_O("self_attention.dense", FLAG_ATTN_BIAS),
    NORM_IF(FLAG_SERIAL, P_N2, "post_attention_layernorm", FLAG_ALWAYS),
    PLAIN_MLP("mlp.dense_h_to_4h", "mlp.dense_4h_to_h", FLAG_ATTN_BIAS),
    FINAL("ln_f", FLAG_ALWAYS),
    HEAD,
    PARTS_END,
};
static const struct key falcon_keys[] = {
    SIZE("hidden_size|n_embed", hidden, REQUIRED, MAX_HIDDEN),
    SIZE("num_hidden_layers|n_layer", layers, REQUIRED, MAX_LAYERS),
    SIZE("num_attention_heads|n_head", heads, REQUIRED, MAX_HEADS),
    ONLY_HEADS,
    SIZE("ffn_hidden_size", inter, 0, MAX_INTER),
    SIZE("num_kv_heads|n_head_kv", kv_heads, 0, MAX_HEADS),
    TIE(1),
    LN_EPS("layer_norm_epsilon"),
    ACT("activation", ACT_GELU),
    FLAG("bias", FLAG_ATTN_BIAS, 0),
    FLAG("alibi", FLAG_ALIBI, 0),
    FLAG("new_decoder_architecture", FLAG_NEW_DECODER, 0),
    FLAG("multi_query", FLAG_MULTI_QUERY, 1),
    FLAG("parallel_attn", FLAG_PARALLEL, 1),
    KEYS_END,
};
static int falcon_derive(struct config *c, const struct json *j, struct err *e)
{
    const struct key norms = {
        "num_ln_in_parallel_attn", KEY_INT, 0, c->flag[FLAG_NEW_DECODER] ? 2 : 1, 1, 2, 0
    };
    int64_t n;
    if (config_int(c, j, &norms, &n, e))
        return -1;
    if (c->flag[FLAG_ALIBI])
        return err_set(e, ERR_UNBUILT,
                       "%s: falcon with 'alibi': true rounds its slopes to bfloat16, which is not built",
                       c->file);
    if (!c->flag[FLAG_NEW_DECODER])
        c->kv_heads = c->flag[FLAG_MULTI_QUERY] ? 1 : c->heads;
    c->flag[FLAG_PARALLEL] = c->flag[FLAG_PARALLEL] || c->flag[FLAG_NEW_DECODER];
    c->flag[FLAG_TWO_NORMS] = c->flag[FLAG_NEW_DECODER] && n == 2;
    c->flag[FLAG_ONE_NORM] = !c->flag[FLAG_TWO_NORMS];
    return 0;
}
static const struct arch falcon = {
    .name = "falcon",
    .aliases = "RefinedWeb|RefinedWebModel",
    .doc = "Falcon (without alibi)",
    .base = "transformer.",
    .layers = "h",
    .norm_classes = layer_norm,
    .attn_classes = CLASSES("FalconAttention"),
    .linear_classes = CLASSES("FalconLinear", "Linear"),
    .keys = falcon_keys,
    .parts = falcon_parts,
    .prologue = steps_embed,
    .block = { { FLAG_TWO_NORMS, par2_plain }, { FLAG_PARALLEL, par1_plain }, { FLAG_SERIAL, pre_plain } },
    .epilogue = steps_norm_head,
    .norm = NORM_LN,
    .qkv = QKV_GROUPS,
    .rope = ROPE_ALL,
    .derive = falcon_derive,
};

static const struct part mpt_parts[] = {
    EMBED("wte"),
    NORM(P_N1, "norm_1", FLAG_NEVER),
    BOX("attn"),
    FUSED_QKV("attn.Wqkv", FLAG_NEVER),
    STD_O("attn.out_proj", FLAG_NEVER),
    NORM(P_N2, "norm_2", FLAG_NEVER),
    PLAIN_MLP("ffn.up_proj", "ffn.down_proj", FLAG_NEVER),
    FINAL("norm_f", FLAG_NEVER),
    HEAD,
    PARTS_END,
};
static const struct key mpt_keys[] = {
    SIZE("d_model|hidden_size", hidden, REQUIRED, MAX_HIDDEN),
    SIZE("n_layers|num_hidden_layers", layers, REQUIRED, MAX_LAYERS),
    SIZE("n_heads|num_attention_heads", heads, REQUIRED, MAX_HEADS),
    ONLY_HEADS,
    INTER_4H,
    TIE(1),
    SIZE("max_seq_len", max_positions, 2048, MAX_POSITIONS),
    LN_EPS("layer_norm_epsilon"),
    ACT("", ACT_GELU),
    { "attn_config.softmax_scale", KEY_REAL, AT(attn_scale), 0, 1e-9, 1e9, 0 },
    { "attn_config.clip_qkv", KEY_REAL, AT(clip), 0, 1e-9, 1e9, 0 },
    KEYS_END,
};
static const struct arch mpt = {
    .name = "mpt",
    .doc = "MPT",
    .base = "transformer.",
    .layers = "blocks",
    .norm_classes = layer_norm,
    .attn_classes = CLASSES("MptAttention"),
    .keys = mpt_keys,
    .parts = mpt_parts,
    .prologue = steps_embed,
    .block = { { FLAG_ALWAYS, pre_plain } },
    .epilogue = steps_norm_head,
    .norm = NORM_LN,
    .qkv = QKV_CAT,
    .alibi = ALIBI_HIGH,
};

/* ---- OPT: norms before or after, a narrow embedding ---- */
/* clang-format off */
#define OPT_NORM(id, place, name, flag) \
    { id, place, PART_NORM, name, NULL, DIM_HIDDEN, DIM_ONE, FLAG_NORM_AFFINE, flag }
/* clang-format on */
static const struct part opt_parts[] = {
    EMBED("embed_tokens"),
    POS_TABLE("embed_positions"),
    { P_PROJECT_IN, PLACE_PROLOGUE, PART_LINEAR, "project_in", NULL, DIM_HIDDEN, DIM_EMBED, FLAG_NEVER,
      FLAG_PROJECT },
    OPT_NORM(P_N1, PLACE_BLOCK, "self_attn_layer_norm", FLAG_NORM_AFFINE),
    BOX("self_attn"),
    LINEAR(P_K, "self_attn.k_proj", DIM_KV, DIM_HIDDEN, FLAG_ATTN_BIAS),
    LINEAR(P_V, "self_attn.v_proj", DIM_KV, DIM_HIDDEN, FLAG_ATTN_BIAS),
    LINEAR(P_Q, "self_attn.q_proj", DIM_Q, DIM_HIDDEN, FLAG_ATTN_BIAS),
    STD_O("self_attn.out_proj", FLAG_ATTN_BIAS),
    OPT_NORM(P_N2, PLACE_BLOCK, "final_layer_norm", FLAG_NORM_AFFINE),
    PLAIN_MLP("fc1", "fc2", FLAG_ATTN_BIAS),
    OPT_NORM(P_FINAL, PLACE_EPILOGUE, "final_layer_norm", FLAG_FINAL_AFFINE),
    { P_PROJECT_OUT, PLACE_EPILOGUE, PART_LINEAR, "project_out", NULL, DIM_EMBED, DIM_HIDDEN, FLAG_NEVER,
      FLAG_PROJECT },
    HEAD,
    PARTS_END,
};
static const struct step opt_prologue[] = {
    SIF(WHOLE, EMBED, NONE, X, P_EMBED),
    SIF(PROJECT, EMBED, NONE, H, P_EMBED),
    SIF(PROJECT, LIN, H, X, P_PROJECT_IN),
    SP(POS, X, X, P_POS),
    STEPS_END,
};
static const struct step opt_epilogue[] = {
    SIF(FINAL_NORM, NORM, X, X, P_FINAL),
    SIF(PROJECT, LIN, X, H, P_PROJECT_OUT),
    SIF(PROJECT, HEAD, H, NONE, P_HEAD),
    SIF(WHOLE, HEAD, X, NONE, P_HEAD),
    STEPS_END,
};
static const struct key opt_keys[] = {
    ONLY_HEADS,
    SIZE("ffn_dim", inter, REQUIRED, MAX_INTER),
    SIZE("word_embed_proj_dim", embed, 0, MAX_HIDDEN),
    TIE(1),
    { "", KEY_REAL, AT(eps), 1e-5, 0, 0, 0 },
    { "", KEY_INT, AT(positions_offset), 2, 0, 0, 0 },
    ACT("activation_function", ACT_RELU),
    FLAG("enable_bias", FLAG_ATTN_BIAS, 1),
    FLAG("do_layer_norm_before", FLAG_NORM_BEFORE, 1),
    FLAG("_remove_final_layer_norm", FLAG_NO_FINAL_NORM, 0),
    FLAG("layer_norm_elementwise_affine", FLAG_NORM_AFFINE, 1),
    KEYS_END,
};
static const struct arch opt = {
    .name = "opt",
    .doc = "OPT",
    .base = "model.decoder.",
    .layers = "layers",
    .norm_classes = layer_norm,
    .attn_classes = CLASSES("OPTAttention"),
    .keys = opt_keys,
    .parts = opt_parts,
    .prologue = opt_prologue,
    .block = { { FLAG_NORM_BEFORE, pre_plain }, { FLAG_NORM_AFTER, post_plain } },
    .epilogue = opt_epilogue,
    .norm = NORM_LN,
};

/* ---- llama's names with layer norms ---- */
static const struct part phi_parts[] = {
    EMBED("embed_tokens"),
    NORM(P_N1, "input_layernorm", FLAG_ALWAYS),
    BOX("self_attn"),
    STD_QKV(FLAG_ALWAYS),
    STD_O("self_attn.dense", FLAG_ALWAYS),
    PLAIN_MLP("mlp.fc1", "mlp.fc2", FLAG_ALWAYS),
    FINAL("final_layernorm", FLAG_ALWAYS),
    HEAD_AS(NULL, FLAG_ALWAYS),
    PARTS_END,
};
static const struct key phi_keys[] = {
    LN_EPS("layer_norm_eps"),
    ACT("hidden_act", ACT_GELU_TANH),
    PARTIAL(0.5),
    { "", KEY_INT, AT(head_dim), 0, 0, 0, 0 },
    FLAG("qk_layernorm", FLAG_QK_NORM, 0),
    KEYS_END,
};
static int phi_derive(struct config *c, const struct json *j, struct err *e)
{
    (void)j;
    if (c->flag[FLAG_QK_NORM])
        return err_set(e, ERR_UNBUILT, "%s: phi with 'qk_layernorm': true is not built", c->file);
    return 0;
}
static const struct arch phi = {
    .name = "phi",
    .doc = "Phi 1, 1.5, 2",
    .base = "model.",
    .layers = "layers",
    .norm_classes = layer_norm,
    .attn_classes = CLASSES("PhiAttention"),
    .keys = phi_keys,
    .parts = phi_parts,
    .prologue = steps_embed,
    .block = { { FLAG_ALWAYS, par1_plain } },
    .epilogue = steps_norm_head,
    .norm = NORM_LN,
    .rope = ROPE_ALL,
    .derive = phi_derive,
};

static const struct part starcoder2_parts[] = {
    EMBED("embed_tokens"),
    NORM(P_N1, "input_layernorm", FLAG_ALWAYS),
    BOX("self_attn"),
    STD_QKV(FLAG_ATTN_BIAS),
    STD_O("self_attn.o_proj", FLAG_ATTN_BIAS),
    NORM(P_N2, "post_attention_layernorm", FLAG_ALWAYS),
    PLAIN_MLP("mlp.c_fc", "mlp.c_proj", FLAG_ATTN_BIAS),
    FINAL("norm", FLAG_ALWAYS),
    HEAD,
    PARTS_END,
};
static const struct key starcoder2_keys[] = {
    FLAG("use_bias", FLAG_ATTN_BIAS, 1),
    SIZE("num_key_value_heads", kv_heads, 2, MAX_HEADS),
    LN_EPS("norm_epsilon"),
    TIE(1),
    ACT("hidden_act", ACT_GELU_TANH),
    SIZE("max_position_embeddings", max_positions, 4096, MAX_POSITIONS),
    KEYS_END,
};
static const struct arch starcoder2 = {
    .name = "starcoder2",
    .doc = "StarCoder 2",
    .base = "model.",
    .layers = "layers",
    .norm_classes = layer_norm,
    .attn_classes = CLASSES("Starcoder2Attention"),
    .keys = starcoder2_keys,
    .parts = starcoder2_parts,
    .prologue = steps_embed,
    .block = { { FLAG_ALWAYS, pre_plain } },
    .epilogue = steps_norm_head,
    .norm = NORM_LN,
    .window = WINDOW_ALL,
    .rope = ROPE_ALL,
};

static const struct part stablelm_parts[] = {
    EMBED("embed_tokens"),
    NORM(P_N1, "input_layernorm", FLAG_ALWAYS),
    BOX("self_attn"),
    STD_QKV(FLAG_QKV_BIAS),
    STD_O("self_attn.o_proj", FLAG_NEVER),
    QKNORM(P_QNORM, "self_attn.q_layernorm.norms", PART_HEADNORMS, DIM_HEADS, DIM_HEAD),
    QKNORM(P_KNORM, "self_attn.k_layernorm.norms", PART_HEADNORMS, DIM_KV_HEADS, DIM_HEAD),
    NORM_IF(FLAG_SERIAL, P_N2, "post_attention_layernorm", FLAG_ALWAYS),
    STD_GLU(FLAG_NEVER),
    FINAL("norm", FLAG_ALWAYS),
    HEAD,
    PARTS_END,
};
static const struct key stablelm_keys[] = {
    FLAG("use_qkv_bias", FLAG_QKV_BIAS, 0),
    FLAG("qk_layernorm", FLAG_QK_NORM, 0),
    FLAG("use_parallel_residual", FLAG_PARALLEL, 0),
    LN_EPS("layer_norm_eps"),
    PARTIAL(0.25),
    { "", KEY_INT, AT(head_dim), 0, 0, 0, 0 },
    KEYS_END,
};
static const struct arch stablelm = {
    .name = "stablelm",
    .doc = "StableLM",
    .base = "model.",
    .layers = "layers",
    .norm_classes = layer_norm,
    .attn_classes = CLASSES("StableLmAttention"),
    .keys = stablelm_keys,
    .parts = stablelm_parts,
    .prologue = steps_embed,
    .block = { { FLAG_PARALLEL, par1_gated }, { FLAG_SERIAL, pre_gated } },
    .epilogue = steps_norm_head,
    .norm = NORM_LN,
    .qknorm = QKNORM_ROWS,
    .rope = ROPE_ALL,
};

static const struct part nemotron_parts[] = {
    EMBED("embed_tokens"),
    NORM(P_N1, "input_layernorm", FLAG_ALWAYS),
    BOX("self_attn"),
    STD_QKV(FLAG_ATTN_BIAS),
    STD_O("self_attn.o_proj", FLAG_ATTN_BIAS),
    NORM(P_N2, "post_attention_layernorm", FLAG_ALWAYS),
    PLAIN_MLP("mlp.up_proj", "mlp.down_proj", FLAG_MLP_BIAS),
    FINAL("norm", FLAG_ALWAYS),
    HEAD,
    PARTS_END,
};
static const struct key nemotron_keys[] = {
    LN_EPS("norm_eps"), ACT("hidden_act", ACT_RELU2),
    PARTIAL(0.5),       SIZE("max_position_embeddings", max_positions, 4096, MAX_POSITIONS),
    KEYS_END,
};
static const struct arch nemotron = {
    .name = "nemotron",
    .doc = "Nemotron 3, 4 (Minitron)",
    .base = "model.",
    .layers = "layers",
    .norm_classes = CLASSES("NemotronLayerNorm1P", "LayerNorm"),
    .attn_classes = CLASSES("NemotronAttention"),
    .keys = nemotron_keys,
    .parts = nemotron_parts,
    .prologue = steps_embed,
    .block = { { FLAG_ALWAYS, pre_plain } },
    .epilogue = steps_norm_head,
    .norm = NORM_LN,
    .norm_offset = 1,
    .rope = ROPE_ALL,
};

static const struct part cohere_parts[] = {
    EMBED("embed_tokens"),
    NORM(P_N1, "input_layernorm", FLAG_NEVER),
    BOX("self_attn"),
    STD_QKV(FLAG_ATTN_BIAS),
    STD_O("self_attn.o_proj", FLAG_ATTN_BIAS),
    QKNORM(P_QNORM, "self_attn.q_norm", PART_HEADNORM, DIM_HEADS, DIM_HEAD),
    QKNORM(P_KNORM, "self_attn.k_norm", PART_HEADNORM, DIM_KV_HEADS, DIM_HEAD),
    STD_GLU(FLAG_NEVER),
    FINAL("norm", FLAG_NEVER),
    HEAD,
    PARTS_END,
};
/* clang-format off */
#define COHERE_KEYS \
    LN_EPS("layer_norm_eps"), TIE(1), { "logit_scale", KEY_REAL, AT(logit_mul), 0.0625, -1e9, 1e9, 0 }, \
        SIZE("max_position_embeddings", max_positions, 8192, MAX_POSITIONS)
/* clang-format on */
static const struct key cohere_keys[] = {
    COHERE_KEYS,
    FLAG("use_qk_norm", FLAG_QK_NORM, 0),
    { "", KEY_INT, AT(head_dim), 0, 0, 0, 0 },
    { "rope_theta", KEY_REAL, AT(rope_theta), 5e5, 1.01, 1e15, 0 },
    KEYS_END,
};
static const struct arch cohere = {
    .name = "cohere",
    .doc = "Command R, R+",
    .base = "model.",
    .layers = "layers",
    .norm_classes = CLASSES("CohereLayerNorm"),
    .attn_classes = CLASSES("CohereAttention"),
    .keys = cohere_keys,
    .parts = cohere_parts,
    .prologue = steps_embed,
    .block = { { FLAG_ALWAYS, par1_gated } },
    .epilogue = steps_norm_head,
    .norm = NORM_LN,
    .qknorm = QKNORM_ROWS,
    .rope_pairs = true,
    .rope = ROPE_ALL,
};
static const struct key cohere2_keys[] = {
    COHERE_KEYS,
    { "sliding_window", KEY_INT, AT(window), 4096, 1, MAX_POSITIONS, 1 },
    SIZE("sliding_window_pattern|_sliding_window_pattern", window_period, 4, MAX_LAYERS),
    KEYS_END,
};
static const struct arch cohere2 = {
    .name = "cohere2",
    .doc = "Command R7B, Command A",
    .base = "model.",
    .layers = "layers",
    .norm_classes = CLASSES("Cohere2LayerNorm"),
    .attn_classes = CLASSES("Cohere2Attention"),
    .keys = cohere2_keys,
    .parts = cohere_parts,
    .prologue = steps_embed,
    .block = { { FLAG_ALWAYS, par1_gated } },
    .epilogue = steps_norm_head,
    .norm = NORM_LN,
    .rope_pairs = true,
    .window = WINDOW_PERIOD,
    .layer_types = true,
    .rope = ROPE_WINDOW,
};

const struct arch *const families_ln[] = { &gpt2,     &gpt_neo,  &gptj,   &gpt_neox, &bloom,
                                           &falcon,   &mpt,      &opt,    &phi,      &starcoder2,
                                           &stablelm, &nemotron, &cohere, &cohere2,  NULL };
