/* steps_attn.c - the steps of attention: projections (split or fused), norms of queries and keys, rope, attention itself. */
#include "kernels/kernels.h"
#include "model/activation.h"
#include "model/steps.h"
#include <string.h>

/* A fused row into q, k, v: one after the other, or group by group (the query heads of a key head, its key, its value). */
static void split_row(const struct config *c, const float *row, float *q, float *k, float *v)
{
    int64_t d = c->head_dim, groups = c->arch->qkv == QKV_CAT ? 1 : c->kv_heads;
    size_t nq = (size_t)(c->heads / groups * d), nkv = (size_t)(c->kv_heads / groups * d);
    for (int64_t g = 0; g < groups; g++) {
        memcpy(q, row, nq * sizeof *q);
        memcpy(k, row + nq, nkv * sizeof *k);
        memcpy(v, row + nq + nkv, nkv * sizeof *v);
        row += nq + 2 * nkv;
        q += nq;
        k += nkv;
        v += nkv;
    }
}

static void clamp(float *x, int64_t n, float c)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = x[i] > c ? c : x[i] < -c ? -c : x[i];
}

int run_qkv(struct run *r, const struct step *s, struct err *e)
{
    const struct config *c = r->c;
    int64_t nq = c->dim[DIM_Q], nkv = c->dim[DIM_KV], all = c->dim[DIM_QKV], ld = config_width(c, s->in);
    float *q = r->reg[REG_Q], *k = r->reg[REG_K], *v = r->reg[REG_V];
    const float *x = r->reg[s->in];
    (void)e;
    if (c->has[P_QKV]) {
        run_linear(r, P_QKV, x, ld, r->reg[REG_T], all);
        for (int64_t i = 0; i < r->t; i++)
            split_row(c, r->reg[REG_T] + i * all, q + i * nq, k + i * nkv, v + i * nkv);
    } else {
        run_linear(r, P_Q, x, ld, q, nq);
        run_linear(r, P_K, x, ld, k, nkv);
        run_linear(r, P_V, x, ld, v, nkv);
    }
    if (c->clip > 0) {
        clamp(q, r->t * nq, (float)c->clip);
        clamp(k, r->t * nkv, (float)c->clip);
        clamp(v, r->t * nkv, (float)c->clip);
    }
    return 0;
}

static void norm_heads(const struct run *r, enum part_id id, float *x, int64_t heads)
{
    const struct config *c = r->c;
    const float *w = r->weights->w[id];
    int64_t d = c->head_dim, ld = heads * d;
    float off = c->arch->norm_offset;
    switch (c->arch->qknorm) {
    case QKNORM_HEAD: k_rmsnorm(r->t * heads, d, x, d, w, off, c->eps, x, d); break;
    case QKNORM_WHOLE: k_rmsnorm(r->t, ld, x, ld, w, off, c->eps, x, ld); break;
    case QKNORM_ROWS:
        for (int64_t h = 0; h < heads; h++)
            k_layernorm(r->t, d, x + h * d, ld, w + h * d, NULL, off, c->eps, x + h * d, ld);
        break;
    }
}

int run_qknorm(struct run *r, const struct step *s, struct err *e)
{
    (void)e;
    norm_heads(r, s->part[0], r->reg[REG_Q], r->c->heads);
    norm_heads(r, s->part[1], r->reg[REG_K], r->c->kv_heads);
    return 0;
}

int run_rope(struct run *r, const struct step *s, struct err *e)
{
    const struct config *c = r->c;
    int i = r->layer->rope, pairs = c->arch->rope_pairs;
    int64_t d = c->head_dim, rot = c->rope[i].rot;
    (void)s;
    (void)e;
    k_rope(r->t, c->heads, d, rot, pairs, r->cos[i], r->sin[i], r->reg[REG_Q], c->heads * d);
    k_rope(r->t, c->kv_heads, d, rot, pairs, r->cos[i], r->sin[i], r->reg[REG_K], c->kv_heads * d);
    return 0;
}

static struct k_attn attn_shape(const struct config *c, const struct layer *l, int64_t t)
{
    struct k_attn p = {
        .t = t, .heads = c->heads, .kv_heads = c->kv_heads, .d = c->head_dim, .dv = c->head_dim
    };
    p.scale = l->scale;
    p.softcap = (float)c->score_cap;
    p.window = l->window;
    p.alibi = c->alibi;
    return p;
}

int64_t attn_scratch(const struct config *c, int64_t length)
{
    struct k_attn p = attn_shape(c, &c->layer[0], length);
    return k_attention_scratch(&p);
}

int run_attn(struct run *r, const struct step *s, struct err *e)
{
    const struct config *c = r->c;
    struct k_attn p = attn_shape(c, r->layer, r->t);
    int64_t nq = c->dim[DIM_Q], nkv = c->dim[DIM_KV];
    (void)e;
    /* the cache holds keys behind rope and values, rounded; nobody reads the registers after this step */
    if (r->key)
        activation_apply(r->key, r->t, nkv, r->reg[REG_K], nkv, r->reg[REG_K], nkv);
    if (r->value)
        activation_apply(r->value, r->t, nkv, r->reg[REG_V], nkv, r->reg[REG_V], nkv);
    k_attention(&p, r->reg[REG_Q], nq, r->reg[REG_K], nkv, r->reg[REG_V], nkv, r->reg[s->out], nq,
                r->scratch);
    return 0;
}

/* Keys in sight, on average over the sequence. */
double flops_attn(const struct config *c, const struct layer *l, const struct step *s, int64_t length)
{
    double n = (double)length, w = l && l->window && l->window < length ? (double)l->window : n;
    double keys = (w * (w + 1) / 2 + (n - w) * w) / n;
    (void)s;
    return 4.0 * keys * (double)c->dim[DIM_Q];
}
