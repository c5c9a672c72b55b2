/* rows.h - the short hand in which families are written down: steps, block patterns, parts that many share.
 * Included by families_*.c only. */
#ifndef QP_MODEL_ROWS_H
#define QP_MODEL_ROWS_H
#include "kernels/kernels.h"
#include "model/arch.h"
#include "model/config.h"
#include <math.h>

/* clang-format off */
#define AT(f) offsetof(struct config, f)
#define CLASSES(...) ((const char *const[]){ __VA_ARGS__, "Module", NULL })
#define KEYS_END { NULL, KEY_INT, 0, 0, 0, 0, 0 }
#define PARTS_END { P_NONE, PLACE_BLOCK, PART_BOX, NULL, NULL, DIM_ONE, DIM_ONE, FLAG_NEVER, FLAG_NEVER }
#define STEPS_END { STEP_COUNT, REG_NONE, REG_NONE, { P_NONE }, FLAG_ALWAYS }
#define S(kind, in, out) { STEP_##kind, REG_##in, REG_##out, { P_NONE }, FLAG_ALWAYS }
#define SP(kind, in, out, ...) { STEP_##kind, REG_##in, REG_##out, { __VA_ARGS__ }, FLAG_ALWAYS }
#define SIF(flag, kind, in, out, ...) { STEP_##kind, REG_##in, REG_##out, { __VA_ARGS__ }, FLAG_##flag }
/* clang-format on */

/* Pieces of blocks. `in` is the register that the branch reads. */
#define STEP_PROJECT(in)    SP(QKV, in, Q, P_Q, P_K, P_V, P_QKV)
#define STEP_QKN            SIF(QK_NORM, QKNORM, Q, Q, P_QNORM, P_KNORM)
#define STEPS_ATTEND        SIF(ROPE, ROPE, Q, Q, P_NONE), S(ATTN, Q, C), SP(LIN, C, Y, P_O)
#define STEPS_MIXER(in)     STEP_PROJECT(in), STEP_QKN, STEPS_ATTEND
#define STEP_GATED(in)      SP(GLU, in, A, P_GATE, P_UP, P_GATE_UP)
#define STEP_PLAIN(in)      SP(FFN, in, A, P_FC1)
#define STEP_LAST           SP(LIN, A, Y, P_DOWN)
#define STEP_SUM            S(ADD, Y, X)
#define STEP_N(id, in, out) SP(NORM, in, out, id)

/* Block patterns: the order of norm, branch and sum. F is STEP_GATED or STEP_PLAIN. */
/* clang-format off */
#define BLOCK_PRE(F) \
    { STEP_N(P_N1, X, H), STEPS_MIXER(H), STEP_SUM, STEP_N(P_N2, X, H), F(H), STEP_LAST, STEP_SUM, \
        STEPS_END }
#define BLOCK_SANDWICH(F) \
    { STEP_N(P_N1, X, H), STEPS_MIXER(H), STEP_N(P_N1B, Y, Y), STEP_SUM, STEP_N(P_N2, X, H), F(H), \
        STEP_LAST, STEP_N(P_N2B, Y, Y), STEP_SUM, STEPS_END }
#define BLOCK_BRANCHNORM(F) \
    { STEPS_MIXER(X), STEP_N(P_N1, Y, Y), STEP_SUM, F(X), STEP_LAST, STEP_N(P_N2, Y, Y), STEP_SUM, \
        STEPS_END }
/* clang-format on */
/* Parallel branches: the second one's first matrix runs before the residual changes. */
/* clang-format off */
#define BLOCK_PAR1(F) \
    { STEP_N(P_N1, X, H), STEP_PROJECT(H), F(H), STEP_QKN, STEPS_ATTEND, STEP_SUM, STEP_LAST, STEP_SUM, \
        STEPS_END }
#define BLOCK_PAR2(F) \
    { STEP_N(P_N1, X, H), STEP_PROJECT(H), STEP_N(P_N2, X, H), F(H), STEP_QKN, STEPS_ATTEND, STEP_SUM, \
        STEP_LAST, STEP_SUM, STEPS_END }
#define BLOCK_POST(F) \
    { STEPS_MIXER(X), STEP_SUM, STEP_N(P_N1, X, X), F(X), STEP_LAST, STEP_SUM, STEP_N(P_N2, X, X), \
        STEPS_END }
#define BLOCK_RESNORM(F) \
    { STEP_N(P_N1, X, X), STEPS_MIXER(X), STEP_SUM, STEP_N(P_N2, X, X), F(X), STEP_LAST, STEP_SUM, \
        STEPS_END }
/* clang-format on */

extern const struct step steps_embed[], steps_norm_head[]; /* EMBED; NORM HEAD */

/* Parts. name, sizes, bias flag; `when` is always unless said otherwise. */
/* clang-format off */
#define EMBED(name) \
    { P_EMBED, PLACE_PROLOGUE, PART_EMBED, name, NULL, DIM_VOCAB, DIM_EMBED, FLAG_NEVER, FLAG_ALWAYS }
#define BOX(name) { P_ATTN, PLACE_BLOCK, PART_BOX, name, NULL, DIM_ONE, DIM_ONE, FLAG_NEVER, FLAG_ALWAYS }
#define LINEAR(id, name, out, in, bias) \
    { id, PLACE_BLOCK, PART_LINEAR, name, NULL, out, in, bias, FLAG_ALWAYS }
#define NORM(id, name, bias) \
    { id, PLACE_BLOCK, PART_NORM, name, NULL, DIM_HIDDEN, DIM_ONE, bias, FLAG_ALWAYS }
#define NORM_IF(flag, id, name, bias) \
    { id, PLACE_BLOCK, PART_NORM, name, NULL, DIM_HIDDEN, DIM_ONE, bias, flag }
#define QKNORM(id, name, kind, out, in) \
    { id, PLACE_BLOCK, kind, name, NULL, out, in, FLAG_NEVER, FLAG_QK_NORM }
#define FINAL(name, bias) \
    { P_FINAL, PLACE_EPILOGUE, PART_NORM, name, NULL, DIM_HIDDEN, DIM_ONE, bias, FLAG_ALWAYS }
#define HEAD_AS(tensor, bias) \
    { P_HEAD, PLACE_EPILOGUE, PART_LINEAR, "/lm_head", tensor, DIM_VOCAB, DIM_EMBED, bias, FLAG_ALWAYS }
#define HEAD HEAD_AS(NULL, FLAG_NEVER)
/* clang-format on */
/* q, k, v and o as most families name them. */
#define STD_QKV(bias)                                              \
    LINEAR(P_Q, "self_attn.q_proj", DIM_Q, DIM_HIDDEN, bias),      \
        LINEAR(P_K, "self_attn.k_proj", DIM_KV, DIM_HIDDEN, bias), \
        LINEAR(P_V, "self_attn.v_proj", DIM_KV, DIM_HIDDEN, bias)
#define STD_O(name, bias) LINEAR(P_O, name, DIM_HIDDEN, DIM_Q, bias)
#define STD_GLU(bias)                                             \
    LINEAR(P_GATE, "mlp.gate_proj", DIM_INTER, DIM_HIDDEN, bias), \
        LINEAR(P_UP, "mlp.up_proj", DIM_INTER, DIM_HIDDEN, bias), \
        LINEAR(P_DOWN, "mlp.down_proj", DIM_HIDDEN, DIM_INTER, bias)
#define PLAIN_MLP(fc1, fc2, bias) \
    LINEAR(P_FC1, fc1, DIM_INTER, DIM_HIDDEN, bias), LINEAR(P_DOWN, fc2, DIM_HIDDEN, DIM_INTER, bias)
#endif
