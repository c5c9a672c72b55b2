/* families_later.c - rows of the architectures table that this version knows by name but can not run: their steps are
 * laid out, and arch_check names those that are missing. A row with `missing` lacks more than steps. */
#include "model/rows.h"

#define STEPS_MOE_OR_GLU(moe_flag) \
    SIF(moe_flag, MOE, H, Y, P_NONE), SIF(DENSE, GLU, H, A, P_GATE, P_UP), SIF(DENSE, LIN, A, Y, P_DOWN)
#define STEPS_MLA(in) S(MLA, in, Q), SIF(ROPE, ROPE, Q, Q, P_NONE), S(ATTN, Q, C), SP(LIN, C, Y, P_O)

static const struct step moe[] = { STEP_N(P_N1, X, H), STEPS_MIXER(H), STEP_SUM, STEP_N(P_N2, X, H),
                                   S(MOE, H, Y),       STEP_SUM,       STEPS_END };
static const struct step moe_by_layer[] = { STEP_N(P_N1, X, H), STEPS_MIXER(H),           STEP_SUM,
                                            STEP_N(P_N2, X, H), STEPS_MOE_OR_GLU(SPARSE), STEP_SUM,
                                            STEPS_END };
static const struct step mla_moe[] = { STEP_N(P_N1, X, H),       STEPS_MLA(H), STEP_SUM, STEP_N(P_N2, X, H),
                                       STEPS_MOE_OR_GLU(SPARSE), STEP_SUM,     STEPS_END };
static const struct step delta_or_attention[] = {
    STEP_N(P_N1, X, H),
    SIF(FULL, QKV, H, Q, P_Q, P_K, P_V),
    SIF(FULL, QKNORM, Q, Q, P_QNORM, P_KNORM),
    SIF(FULL, ROPE, Q, Q, P_NONE),
    SIF(FULL, ATTN, Q, C, P_NONE),
    SIF(FULL, GATE, G, C, P_NONE),
    SIF(LINEAR, LIN, H, Q, P_QKV),
    SIF(LINEAR, CONV, Q, Q, P_NONE),
    SIF(LINEAR, DELTA, Q, C, P_NONE),
    SP(LIN, C, Y, P_O),
    STEP_SUM,
    STEP_N(P_N2, X, H),
    STEPS_MOE_OR_GLU(SPARSE),
    STEP_SUM,
    STEPS_END,
};
static const struct step conv_or_attention[] = {
    STEP_N(P_N1, X, H),
    SIF(FULL, QKV, H, Q, P_Q, P_K, P_V),
    SIF(FULL, QKNORM, Q, Q, P_QNORM, P_KNORM),
    SIF(FULL, ROPE, Q, Q, P_NONE),
    SIF(FULL, ATTN, Q, C, P_NONE),
    SIF(LINEAR, LIN, H, Q, P_QKV),
    SIF(LINEAR, GATE, Q, Q, P_NONE),
    SIF(LINEAR, CONV, Q, C, P_NONE),
    SIF(LINEAR, GATE, C, C, P_NONE),
    SP(LIN, C, Y, P_O),
    STEP_SUM,
    STEP_N(P_N2, X, H),
    STEP_GATED(H),
    STEP_LAST,
    STEP_SUM,
    STEPS_END,
};

/* clang-format off */
#define LATER(id, text, steps) \
    static const struct arch id = { .name = #id, .doc = text, .base = "model.", .layers = "layers", \
        .prologue = steps_embed, .block = { { FLAG_ALWAYS, steps } }, .epilogue = steps_norm_head, .rope = \
        ROPE_ALL }
/* clang-format on */
LATER(mixtral, "Mixtral 8x7B, 8x22B", moe);
LATER(qwen2_moe, "Qwen 1.5 and 2 MoE", moe_by_layer);
LATER(qwen3_moe, "Qwen 3 MoE", moe_by_layer);
LATER(qwen3_next, "Qwen 3 Next", delta_or_attention);
LATER(olmoe, "OLMoE", moe);
LATER(deepseek_v2, "DeepSeek V2, V2 Lite", mla_moe);
LATER(deepseek_v3, "DeepSeek V3, R1", mla_moe);
LATER(gpt_oss, "gpt-oss", moe);
LATER(lfm2, "LFM 2", conv_or_attention);

/* clang-format off */
#define NAMED(id, text, lacks) static const struct arch id = { .name = #id, .doc = text, .missing = lacks }
/* clang-format on */
NAMED(gemma3, "Gemma 3 with vision", "the names inside a vision wrapper");
NAMED(mistral3, "Mistral Small 3.1 with vision", "the names inside a vision wrapper");
NAMED(qwen2_vl, "Qwen 2 VL", "the names inside a vision wrapper");
NAMED(qwen2_5_vl, "Qwen 2.5 VL", "the names inside a vision wrapper");
NAMED(llama4, "Llama 4 with vision", "the names inside a vision wrapper");
NAMED(llama4_text, "Llama 4, the text model", "its row (chunked attention, scaled expert inputs)");
NAMED(qwen3_5, "Qwen 3.5", "its row (delta net with separate projections)");
NAMED(qwen3_5_moe, "Qwen 3.5 MoE", "its row (delta net with separate projections)");
NAMED(exaone4, "EXAONE 4", "its row");
NAMED(olmo, "OLMo 1", "its row");
NAMED(olmo3, "OLMo 3", "its row");
NAMED(ernie4_5, "ERNIE 4.5", "its row");
NAMED(ernie4_5_moe, "ERNIE 4.5 MoE", "its row");
NAMED(hunyuan_v1_dense, "Hunyuan dense", "its row (q/k norms behind rope)");
NAMED(hunyuan_v1_moe, "Hunyuan MoE", "its row (q/k norms behind rope)");
NAMED(granitemoe, "Granite MoE", "its row (stacked experts)");
NAMED(phimoe, "Phi 3.5 MoE", "its row (sparsemixer routing)");
NAMED(minicpm3, "MiniCPM 3", "its row");
NAMED(jamba, "Jamba", "state-space mixers");
NAMED(mamba, "Mamba", "state-space mixers");
NAMED(mamba2, "Mamba 2", "state-space mixers");
NAMED(seed_oss, "Seed-OSS", "its row");
NAMED(glm4_moe, "GLM 4.5", "its row");
NAMED(minimax_m2, "MiniMax M2", "its row");

const struct arch *const families_later[] = {
    &mixtral,
    &qwen2_moe,
    &qwen3_moe,
    &qwen3_next,
    &olmoe,
    &deepseek_v2,
    &deepseek_v3,
    &gpt_oss,
    &lfm2,
    &gemma3,
    &mistral3,
    &qwen2_vl,
    &qwen2_5_vl,
    &llama4,
    &llama4_text,
    &qwen3_5,
    &qwen3_5_moe,
    &exaone4,
    &olmo,
    &olmo3,
    &ernie4_5,
    &ernie4_5_moe,
    &hunyuan_v1_dense,
    &hunyuan_v1_moe,
    &granitemoe,
    &phimoe,
    &minicpm3,
    &jamba,
    &mamba,
    &mamba2,
    &seed_oss,
    &glm4_moe,
    &minimax_m2,
    NULL,
};
