/* k_cholesky_rrt: the order of cholesky.c restated as plain loops of fmaf must give the same bits; residual in float64;
 * levels, widths; pivots that fail; the row `blas` of compute.h within rounding. */
#include "check.h"
#include "kernels/compute.h"

/* X^T X / n + damping over n = 2k rows: symmetric, positive definite; only the lower triangle is filled in, rest NaN */
static float *spd(int64_t k, int64_t ld)
{
    int64_t n = 2 * k + 8;
    float *x = guarded(n * k, 0, 17), *h = guarded(k * ld, 1, 1);
    for (int64_t i = 0; i < k * ld; i++)
        h[i] = i % ld < k ? NAN : 0.0F;
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j <= i; j++)
            h[i * ld + j] = i == j ? 0.1F : 0.0F;
    k_gram(n, k, x, k, h, ld);
    guarded_free(x, 0);
    return h;
}
static float chain(const float *a, const float *b, int64_t from, int64_t to)
{
    float s = 0.0F;
    for (int64_t l = from; l < to; l++)
        s = fmaf(-a[l], b[l], s);
    return s;
}
/* in the order of the opening comment of cholesky.c; h has its upper triangle filled */
static void definition(int64_t k, float *h, int64_t ld)
{
    for (int64_t j = k - 1; j >= 0; j--)
        for (int64_t i = j; i >= 0; i--) {
            float *a = h + i * ld, *b = h + j * ld, c = a[j];
            int64_t inner = j / 32 * 32 + 32 < k ? j / 32 * 32 + 32 : k,
                    outer = j / 256 * 256 + 256 < k ? j / 256 * 256 + 256 : k;
            for (int64_t o = (k - 1) / 256 * 256; o >= outer; o -= 256)
                c += chain(a, b, o, o + 256 < k ? o + 256 : k);
            if (inner < outer)
                c += chain(a, b, inner, outer);
            for (int64_t l = inner - 1; l > j; l--)
                c = fmaf(a[l], -b[l], c);
            a[j] = i == j ? sqrtf(c) : c / b[j];
        }
}
static int same_upper(const float *a, const float *b, int64_t k, int64_t ld)
{
    for (int64_t i = 0; i < k; i++)
        if (!same_f(a + i * ld + i, b + i * ld + i, k - i))
            return 0;
    return 1;
}
static float *definition_of(int64_t k, int64_t ld)
{
    float *h = spd(k, ld);
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = i + 1; j < k; j++)
            h[i * ld + j] = h[j * ld + i];
    definition(k, h, ld);
    return h;
}
static double residual(int64_t k, const float *h, const float *r, int64_t ld)
{
    double worst = 0;
    for (int64_t i = 0; i < k; i += 1 + k / 100)
        for (int64_t j = i; j < k; j += 1 + k / 100) {
            double s = 0;
            for (int64_t l = j; l < k; l++)
                s += (double)r[i * ld + l] * (double)r[j * ld + l];
            double e = fabs(s - (double)h[j * ld + i]) / sqrt((double)h[i * ld + i] * (double)h[j * ld + j]);
            worst = e > worst ? e : worst;
        }
    return worst;
}
static void bits_and_residual(void **state)
{
    static const int64_t sizes[] = { 0,  1,  2,   15,  16,  17,  31,  32,  33,
                                     64, 65, 100, 255, 256, 257, 300, 521, 600 };
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t k = sizes[i], ld = k + (int64_t)(i % 4);
        assert_non_null(kernels_init(NULL, 1));
        float *want = definition_of(k, ld), *h = spd(k, ld);
        assert_true(residual(k, h, want, ld) < 1e-5);
        for (int l = 0; l < LEVELS; l++)
            for (int w = 0; w < WIDTHS; w++) {
                if (!kernels_init(NULL, 1) || (l == 0 && k > 300 && w != 1)) /* level c is slow */
                    continue;
                float *r = spd(k, ld);
                if (level_use(l, widths[w])) {
                    assert_int_equal(k_cholesky_rrt(k, r, ld), 0);
                    if (!same_upper(want, r, k, ld))
                        fail_msg("k %ld level %s width %d", (long)k, kernels_level(), widths[w]);
                    guarded_check(r, k * ld);
                }
                guarded_free(r, 1);
            }
        guarded_free(want, 1);
        guarded_free(h, 1);
    }
}
static void failing_pivots(void **state)
{
    static const float bad[] = { -1.0F, 0.0F, NAN, INFINITY };
    static const int64_t sizes[] = { 1, 40, 300 };
    (void)state;
    for (int s = 0; s < 3; s++)
        for (int b = 0; b < 4; b++)
            for (int64_t at = 0; at < sizes[s]; at += 1 + sizes[s] / 5) {
                int64_t k = sizes[s];
                float *h = calloc((size_t)(k * k), sizeof *h);
                assert_non_null(h);
                assert_non_null(kernels_init(NULL, 2));
                for (int64_t i = 0; i < k; i++)
                    h[i * k + i] = 4.0F;
                h[(k - 1 - at) * k + k - 1 - at] = bad[b];
                assert_int_equal(k_cholesky_rrt(k, h, k), at + 1);
                free(h);
            }
}
static void compute_rows(void **state)
{
    enum { K = 150 };
    (void)state;
    assert_non_null(kernels_init(NULL, 2));
    assert_ptr_equal(compute_now(), compute_find("exact"));
    assert_null(compute_find("nothing"));
    float *want = spd(K, K + 1);
    assert_int_equal(compute_find("exact")->cholesky_rrt(K, want, K + 1), 0);
    const struct compute *blas = compute_find("blas");
    if (!blas) {
        print_message("skipped: this build has no row blas\n");
    } else {
        float *h = spd(K, K + 1);
        print_message("blas: %s\n", blas->version());
        compute_use(blas);
        assert_ptr_equal(compute_now(), blas);
        compute_use(NULL);
        assert_true(compute_now()->exact);
        assert_int_equal(blas->cholesky_rrt(K, h, K + 1), 0);
        for (int i = 0; i < K; i++)
            for (int j = i; j < K; j++)
                assert_true(fabsf(h[i * (K + 1) + j] - want[i * (K + 1) + j]) < 1e-3F);
        h[5 * (K + 1) + 5] = -1.0F;
        for (int i = 0; i < K; i++)
            for (int j = 0; j <= i; j++)
                h[i * (K + 1) + j] = i == j ? (i == 5 ? -1.0F : 1.0F) : 0.0F;
        assert_int_equal(blas->cholesky_rrt(K, h, K + 1), K - 5);
        guarded_free(h, 1);
    }
    guarded_free(want, 1);
}
/* every product of every row of the table, 2 x 2 blocks of 300: within rounding of row `exact` */
static void compute_products(void **state)
{
    enum { M = 300, N = 270, K = 90 };
    float *a = guarded(M * N, 0, 1), *b = guarded(M * N, 0, 2), *want = guarded(M * M, 0, 3),
          *got = guarded(M * M, 0, 3);
    const struct compute *blas = compute_find("blas"), *both[2] = { compute_find("exact"), blas };
    (void)state;
    for (int f = 0; blas && f < 4; f++) {
        for (int i = 0; i < 2; i++) {
            float *c = i ? got : want;
            if (f == 0)
                both[i]->gemm_nt(M, N, K, a, K, b, K, c, N, 1);
            else if (f == 1)
                both[i]->gemm_nn(M, N, K, a, K, b, N, c, N, 0);
            else if (f == 2)
                both[i]->gram(K, M, a, M, c, M);
            else
                both[i]->gram_cross(K, M, N, a, M, b, N, c, N);
        }
        for (int64_t i = 0; i < M * N; i++)
            assert_true(fabsf(want[i] - got[i]) < 1e-3F);
    }
    guarded_free(a, 0);
    guarded_free(b, 0);
    guarded_free(want, 0);
    guarded_free(got, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_and_residual),
        cmocka_unit_test(failing_pivots),
        cmocka_unit_test(compute_rows),
        cmocka_unit_test(compute_products),
    };
    return cmocka_run_group_tests_name("kernels.cholesky", tests, NULL, NULL);
}
