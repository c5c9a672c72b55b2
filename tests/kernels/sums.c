/* Dot products, extremes, finiteness, log probabilities and KL: the sixteen-lane definition, levels, references, extremes. */
#include "check.h"

enum { MAX_N = 1500 };

static float dot_definition(int64_t n, const float *x, const float *y)
{
    float lane[16] = { 0 };
    for (int64_t i = 0; i < n; i++)
        lane[i % 16] = fmaf(x[i], y[i], lane[i % 16]);
    for (int w = 8; w > 0; w /= 2)
        for (int l = 0; l < w; l++)
            lane[l] += lane[l + w];
    return lane[0];
}
static double dot64_definition(int64_t n, const float *x, const float *y)
{
    double lane[16] = { 0 };
    for (int64_t i = 0; i < n; i++)
        lane[i % 16] += (double)x[i] * (double)y[i];
    for (int w = 8; w > 0; w /= 2)
        for (int l = 0; l < w; l++)
            lane[l] += lane[l + w];
    return lane[0];
}
static int64_t length(int64_t i) { return i <= 70 ? i : 70 + (i - 70) * 143; }

static void dots(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++)
        for (int64_t i = 0; i <= 80; i++) {
            int64_t n = length(i);
            int odd = (int)(i % 7);
            float *x = guarded(n, odd, 1), *y = guarded(n, odd + 1, 2);
            if (kind) {
                season(x, n, kind == 2, 3);
                season(y, n, kind == 2, 4);
            }
            float want = dot_definition(n, x, y);
            double want64 = dot64_definition(n, x, y);
            for (int l = 0; l < LEVELS; l++) {
                if (!level_use(l, 1))
                    continue;
                float got = k_dot(n, x, y);
                double got64 = k_dot64(n, x, y);
                assert_true(same_f(&want, &got, 1) && same_d(&want64, &got64, 1));
            }
            guarded_free(x, odd);
            guarded_free(y, odd + 1);
        }
}
static void extremes(void **state)
{
    (void)state;
    for (int64_t i = 0; i <= 80; i++) {
        int64_t n = length(i);
        float *x = guarded(n, 1, (uint32_t)i + 1), lo = INFINITY, hi = -INFINITY;
        for (int64_t k = 0; k < n; k++) {
            if (k % 11 == 5)
                x[k] = NAN; /* skipped */
            lo = x[k] < lo ? x[k] : lo;
            hi = x[k] > hi ? x[k] : hi;
        }
        for (int l = 0; l < LEVELS; l++) {
            float a, b;
            if (!level_use(l, 1))
                continue;
            k_minmax(n, x, &a, &b);
            assert_true(a == lo && b == hi);
        }
        guarded_free(x, 1);
    }
}
static void finiteness(void **state)
{
    static const float bad[] = { INFINITY, -INFINITY, NAN };
    float *x = guarded(MAX_N, 1, 1);
    (void)state;
    for (int l = 0; l < LEVELS; l++) {
        if (!level_use(l, 1))
            continue;
        x[3] = 3.4e38F;
        assert_true(k_all_finite(MAX_N, x) && k_all_finite(0, x));
        for (int64_t n = 1; n <= 70; n++)
            for (int64_t at = 0; at < n; at++) {
                float old = x[at];
                x[at] = bad[at % 3];
                assert_false(k_all_finite(n, x));
                assert_true(k_all_finite(at, x));
                x[at] = old;
            }
    }
    guarded_free(x, 1);
}

struct answer {
    double lp[3], lse[3], kl[3];
    int32_t best[3];
};
static struct answer ask(int64_t n, int64_t v, const float *p, const float *q, const int32_t *target)
{
    struct answer a;
    memset(&a, 0, sizeof a);
    k_logprob_rows(n, v, p, v + 1, target, a.lp, a.lse, a.best);
    k_kl_rows(n, v, p, v + 1, q, v + 1, a.kl);
    return a;
}
static void check_row(int64_t v, const float *p, const float *q, int32_t target, const struct answer *a,
                      int r)
{
    long double sp = 0, sq = 0, kl = 0;
    int32_t best = 0;
    for (int64_t i = 0; i < v; i++) {
        sp += expl((long double)p[i]);
        sq += expl((long double)q[i]);
        best = p[i] > p[best] ? (int32_t)i : best;
    }
    for (int64_t i = 0; i < v; i++)
        kl += expl((long double)p[i]) / sp * ((long double)p[i] - logl(sp) - (long double)q[i] + logl(sq));
    assert_true(fabsl((long double)a->lse[r] - logl(sp)) < 1e-14L * (fabsl(logl(sp)) + 1));
    assert_true(fabsl((long double)a->lp[r] - ((long double)p[target] - logl(sp))) < 1e-14L * 50);
    assert_true(fabsl((long double)a->kl[r] - kl) < 1e-14L * 50);
    assert_int_equal(a->best[r], best);
}
static void probabilities(void **state)
{
    (void)state;
    for (int64_t i = 1; i <= 75; i++) {
        int64_t v = length(i);
        float *p = guarded(3 * (v + 1), 1, (uint32_t)i), *q = guarded(3 * (v + 1), 2, (uint32_t)i + 99);
        int32_t target[3] = { 0, (int32_t)(v - 1), (int32_t)(v / 2) };
        for (int64_t k = 0; k < 3 * (v + 1); k++) {
            p[k] *= 20.0F;
            q[k] = p[k] + q[k];
        }
        struct answer want;
        for (int l = 0; l < LEVELS; l++) {
            if (!level_use(l, 1 + l))
                continue;
            struct answer got = ask(3, v, p, q, target);
            if (l == 0)
                want = got;
            assert_memory_equal(&want, &got, sizeof got);
        }
        for (int r = 0; r < 3; r++)
            check_row(v, p + r * (v + 1), q + r * (v + 1), target[r], &want, r);
        guarded_free(p, 1);
        guarded_free(q, 2);
    }
}
/* logits of -inf (a masked vocabulary) count as probability 0; equal rows have KL 0; a wide row over threads */
static void masked_and_wide(void **state)
{
    enum { V = 70001 };
    float *p = guarded(2 * (V + 1), 0, 1), *q = guarded(2 * (V + 1), 0, 2);
    int32_t target[2] = { 5, V - 1 };
    struct answer want;
    (void)state;
    for (int64_t i = 0; i < 2 * (V + 1); i += 3)
        p[i] = q[i] = -INFINITY;
    memcpy(q + V + 1, p + V + 1, V * sizeof *p);
    for (int l = 0; l < LEVELS; l++)
        for (int w = 0; w < WIDTHS; w++) {
            if (!level_use(l, widths[w]))
                continue;
            struct answer got = ask(2, V, p, q, target);
            if (l == 0 && w == 0)
                want = got;
            assert_memory_equal(&want, &got, sizeof got);
        }
    assert_true(want.kl[0] > 0 && want.kl[0] < 5 && want.kl[1] == 0);
    k_logprob_rows(1, 40, q + 1, 40, target, NULL, NULL, NULL);
    guarded_free(p, 0);
    guarded_free(q, 0);
}
static void first_maximum(void **state)
{
    float x[600];
    int32_t target = 0, best;
    (void)state;
    for (int l = 0; l < LEVELS; l++) {
        if (!level_use(l, 1))
            continue;
        for (int at = 0; at < 600; at += 37) {
            for (int i = 0; i < 600; i++)
                x[i] = i >= at && (i - at) % 5 == 0 ? 2.0F : 1.0F;
            k_logprob_rows(1, 600, x, 600, &target, NULL, NULL, &best);
            assert_int_equal(best, at);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dots),          cmocka_unit_test(extremes),        cmocka_unit_test(finiteness),
        cmocka_unit_test(probabilities), cmocka_unit_test(masked_and_wide), cmocka_unit_test(first_maximum),
    };
    return cmocka_run_group_tests_name("kernels.sums", tests, NULL, NULL);
}
