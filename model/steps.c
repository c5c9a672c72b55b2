/* steps.c - the table of step kinds, and what follows from it: the plan of a block (which steps hold for it, where its
 * statistics groups begin, which registers are alive at each cut). */
#include "model/steps.h"
#include <string.h>

static double flops_wide(const struct config *c, const struct layer *l, const struct step *s, int64_t length)
{
    (void)l;
    (void)length;
    return 6.0 * (double)config_width(c, s->out == REG_NONE ? REG_X : s->out);
}

#define Q_K   (REG_BIT(REG_Q) | REG_BIT(REG_K))
#define Q_K_V (Q_K | REG_BIT(REG_V))
const struct step_info step_kinds[STEP_COUNT] = {
    [STEP_EMBED] = { "EMBED", "token ids to rows of the embedding, scaled", 0, 0, false, run_embed,
                     flops_wide },
    [STEP_POS] = { "POS", "adds rows of a table of learned positions", 0, 0, false, run_pos, flops_wide },
    [STEP_NORM] = { "NORM", "RMS or layer norm, weight with offset, bias", 0, 0, false, run_norm,
                    flops_wide },
    [STEP_QKV] = { "QKV", "queries, keys and values, from three matrices or one", 0, Q_K_V, true, run_qkv,
                   NULL },
    [STEP_MLA] = { "MLA", "queries, keys and values through low ranks", 0, Q_K_V, true, NULL, NULL },
    [STEP_QKNORM] = { "QKNORM", "norms of queries and keys", Q_K, Q_K, false, run_qknorm, flops_wide },
    [STEP_ROPE] = { "ROPE", "rotary positions, halves or pairs", Q_K, Q_K, false, run_rope, flops_wide },
    [STEP_ATTN] = { "ATTN", "causal attention: windows, caps, alibi", Q_K_V, 0, false, run_attn, flops_attn },
    [STEP_GATE] = { "GATE", "one register times the sigmoid of another", REG_BIT(REG_G), 0, false, NULL,
                    NULL },
    [STEP_CONV] = { "CONV", "causal depthwise convolution", 0, 0, false, NULL, NULL },
    [STEP_DELTA] = { "DELTA", "gated delta net", Q_K_V, 0, false, NULL, NULL },
    [STEP_LIN] = { "LIN", "one matrix with or without bias", 0, 0, true, run_lin, NULL },
    [STEP_ADD] = { "ADD", "a branch onto the residual stream", REG_BIT(REG_X), 0, false, run_add,
                   flops_wide },
    [STEP_GLU] = { "GLU", "gate and up, activation, product", 0, 0, true, run_glu, flops_wide },
    [STEP_FFN] = { "FFN", "one matrix and an activation", 0, 0, true, run_ffn, flops_wide },
    [STEP_MOE] = { "MOE", "router and experts", 0, 0, true, NULL, NULL },
    [STEP_HEAD] = { "HEAD", "logits: scaled, capped", 0, 0, true, run_head, NULL },
};

static unsigned step_reads(const struct step *s) { return step_kinds[s->kind].reads | REG_BIT(s->in); }
static unsigned step_writes(const struct step *s) { return step_kinds[s->kind].writes | REG_BIT(s->out); }

/* Registers alive before each step, from the end: what a step reads, and what later ones read unless it writes it. */
static void plan_live(struct block_plan *p)
{
    p->live[p->n] = p->head ? REG_BIT(p->head->in) : REG_BIT(REG_X);
    for (int i = p->n - 1; i >= 0; i--)
        p->live[i] = (p->live[i + 1] & ~step_writes(p->step[i])) | step_reads(p->step[i]);
}

/* Puts the matrices of step i into the group that reads the same values, or into a new one. fresh: the register was
 * written since that group began. */
static void plan_group(const struct config *c, struct block_plan *p, const struct step *s, int i, bool fresh)
{
    struct group *g = p->n_groups ? &p->group[p->n_groups - 1] : NULL;
    if (!g || fresh || g->in != s->in) {
        BUG_ON(p->n_groups == BLOCK_GROUPS);
        g = &p->group[p->n_groups++];
        *g = (struct group){ .step = i, .in = s->in };
    }
    for (int k = 0; k < STEP_PARTS; k++)
        if (s->part[k] != P_NONE && c->has[s->part[k]]) {
            BUG_ON(g->n == GROUP_PARTS);
            g->part[g->n++] = s->part[k];
        }
}

void block_plan(const struct config *c, int64_t block, struct block_plan *p)
{
    const struct step *s = block < 0           ? c->arch->prologue
                           : block < c->layers ? config_block(c)
                                               : c->arch->epilogue;
    bool fresh = true;
    memset(p, 0, sizeof *p);
    for (; s->kind != STEP_COUNT; s++) {
        if (!config_flag(c, block, s->when))
            continue;
        if (step_kinds[s->kind].matrices)
            plan_group(c, p, s, p->n, fresh);
        if (step_kinds[s->kind].matrices)
            fresh = false;
        if (s->kind == STEP_HEAD) {
            p->head = s;
            break;
        }
        if (p->n_groups && (step_writes(s) & REG_BIT(p->group[p->n_groups - 1].in)))
            fresh = true;
        BUG_ON(p->n == BLOCK_STEPS);
        p->step[p->n++] = s;
    }
    plan_live(p);
}
