/* Attention against a float64 loop over the formula, over masks, windows, caps, sinks, ALiBi and shared KV heads; levels and
 * widths give the same bits; scratch and output are guarded. */
#include "check.h"

struct tensors {
    float *q, *k, *v, *out, *scratch;
    int64_t ldq, ldk, ldv, ldo, n_scratch;
};
static struct tensors make(const struct k_attn *p)
{
    struct tensors t = { .ldq = p->heads * p->d + 3,
                         .ldk = p->kv_heads * p->d,
                         .ldv = p->kv_heads * p->dv + 1,
                         .ldo = p->heads * p->dv + 2 };
    t.n_scratch = k_attention_scratch(p);
    t.q = guarded(p->t * t.ldq, 1, 1);
    t.k = guarded(p->t * t.ldk, 2, 2);
    t.v = guarded(p->t * t.ldv, 3, 3);
    t.out = guarded(p->t * t.ldo, 1, 4);
    t.scratch = guarded(t.n_scratch, 0, 5);
    for (int64_t i = 0; i < p->t * t.ldq; i++)
        t.q[i] *= 4.0F;
    return t;
}
static void drop(struct tensors *t)
{
    guarded_free(t->q, 1);
    guarded_free(t->k, 2);
    guarded_free(t->v, 3);
    guarded_free(t->out, 1);
    guarded_free(t->scratch, 0);
}
static void run(const struct k_attn *p, const struct tensors *t)
{
    k_attention(p, t->q, t->ldq, t->k, t->ldk, t->v, t->ldv, t->out, t->ldo, t->scratch);
    guarded_check(t->out, p->t * t->ldo);
    guarded_check(t->scratch, t->n_scratch);
}
static void reference(const struct k_attn *p, const struct tensors *t, int64_t head, int64_t query,
                      double *out)
{
    double e[512], sum = 0, max = p->sinks ? (double)p->sinks[head] : -1e300;
    int64_t kv = head / (p->heads / p->kv_heads),
            first = p->window > 0 && query >= p->window ? query - p->window + 1 : 0;
    for (int64_t j = first; j <= query; j++) {
        double s = 0;
        for (int64_t i = 0; i < p->d; i++)
            s += (double)t->q[query * t->ldq + head * p->d + i] * (double)t->k[j * t->ldk + kv * p->d + i];
        s *= (double)p->scale;
        if (p->softcap > 0)
            s = (double)p->softcap * tanh(s / (double)p->softcap);
        if (p->alibi)
            s += (double)p->alibi[head] * (double)j;
        e[j] = s;
        max = s > max ? s : max;
    }
    if (p->sinks)
        sum = exp((double)p->sinks[head] - max);
    for (int64_t j = first; j <= query; j++)
        sum += e[j] = exp(e[j] - max);
    for (int64_t c = 0; c < p->dv; c++) {
        out[c] = 0;
        for (int64_t j = first; j <= query; j++)
            out[c] += e[j] / sum * (double)t->v[j * t->ldv + kv * p->dv + c];
    }
}
static double worst_error(const struct k_attn *p, const struct tensors *t)
{
    double worst = 0, want[256];
    for (int64_t h = 0; h < p->heads; h++)
        for (int64_t i = 0; i < p->t; i++) {
            reference(p, t, h, i, want);
            for (int64_t c = 0; c < p->dv; c++) {
                double err = fabs(want[c] - (double)t->out[i * t->ldo + h * p->dv + c]);
                worst = err > worst ? err : worst;
            }
        }
    return worst;
}

static const float sinks[8] = { 0.5F, -2.0F, 3.0F, 0.0F, 1.0F, 9.0F, -9.0F, 0.1F };
static const float slopes[8] = { 0.5F, 0.25F, 0.125F, 0.0625F, 0.03125F, 0.015625F, 0.0078125F, 0.00390625F };
static const struct k_attn cases[] = {
    { .t = 1, .heads = 1, .kv_heads = 1, .d = 8, .dv = 8, .scale = 0.35F },
    { .t = 17, .heads = 4, .kv_heads = 2, .d = 16, .dv = 16, .scale = 0.25F },
    { .t = 65, .heads = 2, .kv_heads = 1, .d = 33, .dv = 17, .scale = 0.2F },
    { .t = 300, .heads = 2, .kv_heads = 2, .d = 64, .dv = 64, .scale = 0.125F },
    { .t = 150, .heads = 4, .kv_heads = 1, .d = 32, .dv = 32, .scale = 0.2F, .window = 20 },
    { .t = 131, .heads = 2, .kv_heads = 1, .d = 32, .dv = 32, .scale = 0.2F, .window = 1 },
    { .t = 70, .heads = 2, .kv_heads = 1, .d = 32, .dv = 32, .scale = 1.0F, .softcap = 5.0F },
    { .t = 130, .heads = 8, .kv_heads = 8, .d = 16, .dv = 16, .scale = 0.25F, .sinks = sinks, .window = 100 },
    { .t = 129, .heads = 8, .kv_heads = 4, .d = 24, .dv = 40, .scale = 0.2F, .alibi = slopes },
};
static void right_and_equal(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct k_attn *p = cases + i;
        assert_int_equal(level_use(0, 1), 1);
        struct tensors want = make(p);
        run(p, &want);
        double err = worst_error(p, &want);
        assert_true(err < 3e-6);
        for (int l = 0; l < LEVELS; l++)
            for (int w = 0; w < WIDTHS; w++) {
                if (!level_use(l, widths[w]))
                    continue;
                struct tensors got = make(p);
                run(p, &got);
                if (!same_f(want.out, got.out, p->t * got.ldo))
                    fail_msg("case %zu level %s width %d", i, kernels_level(), widths[w]);
                drop(&got);
            }
        drop(&want);
    }
}
/* a query never sees the future: changing keys and values past it leaves its bits alone */
static void causal(void **state)
{
    const struct k_attn *p = cases + 3;
    enum { CUT = 130 };
    (void)state;
    assert_non_null(kernels_init(NULL, 2));
    struct tensors a = make(p), b = make(p);
    for (int64_t i = CUT * b.ldk; i < p->t * b.ldk; i++)
        b.k[i] = 50.0F;
    for (int64_t i = CUT * b.ldv; i < p->t * b.ldv; i++)
        b.v[i] = -7.0F;
    run(p, &a);
    run(p, &b);
    assert_true(same_f(a.out, b.out, (CUT - 1) * a.ldo));
    assert_int_not_equal(memcmp(a.out + CUT * a.ldo, b.out + CUT * a.ldo, (size_t)p->heads * 64), 0);
    drop(&a);
    drop(&b);
}
/* scores of hundreds must not overflow */
static void large_scores(void **state)
{
    const struct k_attn p = { .t = 40, .heads = 1, .kv_heads = 1, .d = 16, .dv = 16, .scale = 300.0F };
    (void)state;
    struct tensors t = make(&p);
    run(&p, &t);
    assert_true(worst_error(&p, &t) < 1e-3);
    drop(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_and_equal),
        cmocka_unit_test(causal),
        cmocka_unit_test(large_scores),
    };
    return cmocka_run_group_tests_name("kernels.attention", tests, NULL, NULL);
}
