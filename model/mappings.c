/* mappings.c - smoothing mappings from the steps of a block: a step whose output can be scaled per channel, and the matrices
 * that read it. A register that anything but a matrix reads, or that leaves the block, gives no mapping. */
#include "model/mappings.h"
#include "kernels/kernels.h"
#include "model/config.h"
#include "model/steps.h"

const char *const mapping_words[] = { "norm", "value", "up", "relu", NULL };

struct site {
    const struct model *m;
    const struct block_plan *plan;
    int64_t block;
    int step;
};

/* The modules that read register r behind the site's step, before it is written again; false: something else reads it. */
static bool readers(const struct site *s, enum reg r, struct mapping *out)
{
    const struct block_plan *p = s->plan;
    const struct config *c = s->m->config;
    out->n = 0;
    for (int i = s->step + 1; i < p->n; i++) {
        const struct step *t = p->step[i];
        const struct step_info *kind = &step_kinds[t->kind];
        if ((kind->reads & REG_BIT(r)) || (t->in == r && !kind->matrices))
            return false;
        for (int k = 0; t->in == r && k < STEP_PARTS; k++) {
            if (t->part[k] == P_NONE || !c->has[t->part[k]])
                continue;
            if (out->n == MAPPING_BALANCE)
                return false;
            out->balance[out->n++] = model_part(s->m, s->block, (int)t->part[k]);
        }
        if ((kind->writes | REG_BIT(t->out)) & REG_BIT(r))
            return out->n > 0;
    }
    return out->n > 0 && !(p->live[p->n] & REG_BIT(r));
}

static bool one_group(const struct mapping *p)
{
    for (int i = 0; i < p->n; i++)
        if (!p->balance[i] || p->balance[i]->group < 0 || p->balance[i]->group != p->balance[0]->group)
            return false;
    return true;
}

static bool whole(struct mapping *p, enum mapping_kind kind, int64_t channels, int64_t first)
{
    p->kind = kind;
    p->channels = p->width = p->stride = channels;
    p->repeat = 1;
    p->first = first;
    return p->smooth && p->smooth->tensor && one_group(p) && p->balance[0]->in == channels;
}

static bool from_norm(const struct site *s, const struct step *t, struct mapping *out)
{
    if (!readers(s, t->out, out))
        return false;
    out->smooth = model_part(s->m, s->block, (int)t->part[0]);
    out->offset = s->m->arch->norm_offset;
    return whole(out, MAPPING_NORM, s->m->hidden, 0);
}

/* Rows of the values: a matrix of their own, behind queries and keys, or the last of each group of a fused one. */
static bool from_attention(const struct site *s, const struct step *t, struct mapping *out)
{
    const struct config *c = s->m->config;
    int64_t d = c->head_dim, nkv = c->kv_heads, group = c->heads / nkv;
    if (c->clip > 0 || !readers(s, t->out, out) || out->n != 1)
        return false;
    out->smooth = model_part(s->m, s->block, c->has[P_QKV] ? P_QKV : P_V);
    if (!whole(out, MAPPING_VALUE, c->dim[DIM_Q], 0))
        return false;
    out->channels = nkv * d;
    out->width = out->stride = d;
    out->repeat = group;
    if (c->has[P_QKV] && c->arch->qkv == QKV_CAT)
        out->first = c->dim[DIM_Q] + c->dim[DIM_KV];
    if (c->has[P_QKV] && c->arch->qkv == QKV_GROUPS) {
        out->first = (group + 1) * d;
        out->stride = (group + 2) * d;
    }
    return true;
}

static bool from_gated(const struct site *s, const struct step *t, struct mapping *out)
{
    const struct config *c = s->m->config;
    bool fused = c->has[P_GATE_UP];
    if (!readers(s, t->out, out) || out->n != 1)
        return false;
    out->smooth = model_part(s->m, s->block, fused ? P_GATE_UP : P_UP);
    return whole(out, MAPPING_UP, c->inter, fused ? c->inter : 0);
}

static bool from_plain(const struct site *s, const struct step *t, struct mapping *out)
{
    const struct config *c = s->m->config;
    if ((c->act != ACT_RELU && c->act != ACT_RELU2) || !readers(s, t->out, out) || out->n != 1)
        return false;
    out->smooth = model_part(s->m, s->block, (int)t->part[0]);
    out->root = c->act == ACT_RELU2;
    return whole(out, MAPPING_RELU, c->inter, 0);
}

/* Which steps make something that scales pass through. */
static bool (*const makers[STEP_COUNT])(const struct site *, const struct step *, struct mapping *) = {
    [STEP_NORM] = from_norm,
    [STEP_ATTN] = from_attention,
    [STEP_GLU] = from_gated,
    [STEP_FFN] = from_plain,
};

int mappings_of(const struct model *m, int64_t block, struct mapping out[MAPPINGS_MAX])
{
    struct block_plan plan;
    struct site s = { .m = m, .plan = &plan, .block = block };
    int n = 0;
    block_plan(m->config, block, &plan);
    for (s.step = 0; s.step < plan.n; s.step++) {
        const struct step *t = plan.step[s.step];
        struct mapping p = { .block = (int)block };
        if (n < MAPPINGS_MAX && makers[t->kind] && makers[t->kind](&s, t, &p))
            out[n++] = p;
    }
    return n;
}

int64_t mapping_channel(const struct mapping *p, int64_t col)
{
    return col / p->width / p->repeat * p->width + col % p->width;
}

int64_t mapping_row(const struct mapping *p, int64_t channel)
{
    return p->first + channel / p->width * p->stride + channel % p->width;
}
