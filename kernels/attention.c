/* attention.c - causal attention over blocks of QUERIES queries. A block is two products: scores q k^T over the keys it can
 * see, then weights times v, both in the order of kernels.h (keys in blocks of 256 from the first key of the block; masked
 * keys enter with weight +0). Between them each row: scale, cap, bias, maximum, m_expf(score - maximum), sum in 16 lanes
 * from the first key of the query. The sum divides the output row, not the weights. */
#include "kernels/dispatch.h"

#include <stdatomic.h>
#include <string.h>

enum { QUERIES = 64 };

static int64_t width_of(const struct k_attn *p)
{
    return (p->t + 15) / 16 * 16 + 16;
} /* not a power of two */

int64_t k_attention_scratch(const struct k_attn *p) { return kernels_threads() * QUERIES * width_of(p); }

struct job {
    const struct k_attn *p;
    const float *q, *k, *v;
    float *out, *scratch;
    int64_t ldq, ldk, ldv, ldo, blocks;
    _Atomic int64_t next;
};
static int64_t first_key(const struct k_attn *p, int64_t query)
{
    return p->window > 0 && query >= p->window ? query - p->window + 1 : 0;
}
/* Scores of query `query` become weights; keys it must not see get +0. Returns the sum of the weights. */
static float weigh(const struct k_attn *p, int64_t head, int64_t query, int64_t key0, int64_t n_keys,
                   float *s)
{
    struct soft soft = { .scale = p->scale,
                         .softcap = p->softcap,
                         .slope = p->alibi ? p->alibi[head] : 0.0F };
    int64_t first = first_key(p, query), before = first - key0, n = query - first + 1;
    soft.has_sink = p->sinks != NULL;
    soft.sink = p->sinks ? p->sinks[head] : 0.0F;
    soft.key0 = first;
    memset(s, 0, (size_t)before * sizeof *s);
    memset(s + before + n, 0, (size_t)(n_keys - before - n) * sizeof *s);
    return kern_now()->softmax(&soft, n, s + before);
}
static void block(const struct job *j, int64_t it, float *s)
{
    const struct k_attn *p = j->p;
    int64_t head = it % p->heads, q0 = (j->blocks - 1 - it / p->heads) * QUERIES; /* long rows first */
    int64_t q1 = q0 + QUERIES < p->t ? q0 + QUERIES : p->t, key0 = first_key(p, q0), n = q1 - key0;
    int64_t kv = head / (p->heads / p->kv_heads), ld = width_of(p);
    float *out = j->out + q0 * j->ldo + head * p->dv;
    gemm_alone(&(struct gemm){ .m = q1 - q0,
                               .n = n,
                               .k = p->d,
                               .a = j->q + q0 * j->ldq + head * p->d,
                               .lda = j->ldq,
                               .b = j->k + key0 * j->ldk + kv * p->d,
                               .ldb = j->ldk,
                               .c = s,
                               .ldc = ld });
    float sum[QUERIES];
    for (int64_t i = q0; i < q1; i++)
        sum[i - q0] = weigh(p, head, i, key0, n, s + (i - q0) * ld);
    gemm_alone(&(struct gemm){ .m = q1 - q0,
                               .n = p->dv,
                               .k = n,
                               .a = s,
                               .lda = ld,
                               .b = j->v + key0 * j->ldv + kv * p->dv,
                               .ldb = j->ldv,
                               .b_by_k = 1,
                               .c = out,
                               .ldc = j->ldo });
    for (int64_t i = 0; i < q1 - q0; i++)
        for (int64_t e = 0; e < p->dv; e++)
            out[i * j->ldo + e] /= sum[i];
}

static void team(void *arg, int worker)
{
    struct job *j = arg;
    float *s = j->scratch + worker * QUERIES * width_of(j->p);
    for (int64_t i;
         (i = atomic_fetch_add_explicit(&j->next, 1, memory_order_relaxed)) < j->p->heads * j->blocks;)
        block(j, i, s);
}
/* worker 0 .. width - 1 each has a part of scratch; alone (inside k_parallel, say) the first part is used */
static void alone(void *arg, int worker)
{
    (void)worker;
    team(arg, 0);
}

void k_attention(const struct k_attn *p, const float *q, int64_t ldq, const float *k, int64_t ldk,
                 const float *v, int64_t ldv, float *out, int64_t ldo, float *scratch)
{
    struct job j = { .p = p,
                     .q = q,
                     .k = k,
                     .v = v,
                     .out = out,
                     .scratch = scratch,
                     .ldq = ldq,
                     .ldk = ldk,
                     .ldv = ldv,
                     .ldo = ldo };
    j.blocks = (p->t + QUERIES - 1) / QUERIES;
    int width = p->t < 16 ? 1 : pool_width();
    if (width < 2)
        alone(&j, 0);
    else
        pool_team(width, team, &j);
}
