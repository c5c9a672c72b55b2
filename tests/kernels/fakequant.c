/* k_fake_quantize against brute force over all numbers of a format, its scales against their formulas, NaN cells, and equal
 * bits on every level and width. */
#include "check.h"

static const struct k_fake int8_token = {
    .number = K_FAKE_INT, .from = K_FAKE_FLOAT, .least = -128, .most = 127
};
static const struct k_fake int8_asym = {
    .number = K_FAKE_INT, .from = K_FAKE_FLOAT, .least = -128, .most = 127, .asymmetric = 1
};
static const struct k_fake int4_token = {
    .number = K_FAKE_INT, .from = K_FAKE_FLOAT, .least = -8, .most = 7
};
static const struct k_fake fp8_group = {
    .number = K_FAKE_E4M3_NUMBER, .from = K_FAKE_FLOAT, .least = -448, .most = 448, .group = 128
};
static const struct k_fake fp8_tensor = {
    .number = K_FAKE_E4M3_NUMBER, .from = K_FAKE_FLOAT, .least = -448, .most = 448, .all_rows = 1
};
static const struct k_fake mxfp4 = {
    .number = K_FAKE_E2M1, .from = K_FAKE_E8M0, .least = -6, .most = 6, .group = 32
};
static const struct k_fake mxfp8 = {
    .number = K_FAKE_E4M3_NUMBER, .from = K_FAKE_E8M0, .least = -448, .most = 448, .group = 32
};
static const struct k_fake nvfp4 = {
    .number = K_FAKE_E2M1, .from = K_FAKE_E4M3, .least = -6, .most = 6, .group = 16, .global = 600
};
static const struct k_fake *const all[] = { &int8_token, &int8_asym, &int4_token, &fp8_group,
                                            &fp8_tensor, &mxfp4,     &mxfp8,      &nvfp4 };
enum { ALL = sizeof all / sizeof *all };

/* The numbers of a format, ascending; their mantissa's last bit tells ties. */
static int numbers_of(const struct k_fake *q, double *v, int *even)
{
    int n = 0;
    if (q->number == K_FAKE_INT) {
        for (int i = (int)q->least; i <= (int)q->most; i++, n++) {
            v[n] = i;
            even[n] = i % 2 == 0;
        }
        return n;
    }
    int bits = q->number == K_FAKE_E2M1 ? 4 : 8, man = q->number == K_FAKE_E2M1 ? 1 : 3,
        bias = q->number == K_FAKE_E2M1 ? 1 : 7;
    for (int sign = -1; sign <= 1; sign += 2)
        for (int c = 0; c < (bits == 8 ? 127 : 8); c++, n++) {
            int exp = c >> man, m = c & ((1 << man) - 1);
            double x = exp ? ldexp(1 + ldexp(m, -man), exp - bias) : ldexp(m, 1 - bias - man);
            v[n] = sign * x;
            even[n] = m % 2 == 0;
        }
    return n;
}

static double nearest(const struct k_fake *q, double x)
{
    double v[256], best = 0;
    int even[256], n = numbers_of(q, v, even), at = -1;
    for (int i = 0; i < n; i++) {
        double d = fabs(v[i] - x);
        if (at < 0 || d < best || (d == best && even[i])) {
            best = d;
            at = i;
        }
    }
    return v[at];
}

/* Given scales: every value goes to the nearest number; twice is once. */
static void values_go_to_the_nearest_number(void **state)
{
    (void)state;
    static const float scales[] = { 0.03F, 1.0F, 7.5F, 0x1p-9F };
    for (int k = 0; k < ALL; k++)
        for (int s = 0; s < 4; s++) {
            enum { M = 900 };
            struct k_fake q = *all[k];
            float x[M], y[M], z[M];
            q.from = K_FAKE_GIVEN;
            q.scale = scales[s];
            q.zero = q.asymmetric ? -13.0F : 0.0F;
            q.group = 0;
            for (int i = 0; i < M; i++) /* ties among them, and both ends */
                x[i] = (float)(i - M / 2) * 0.25F * q.scale *
                       (q.number == K_FAKE_E4M3_NUMBER && i % 3 ? 5.0F : 1.0F);
            k_fake_quantize(&q, 1, M, x, M, y, M);
            for (int i = 0; i < M; i++) {
                double want =
                    (nearest(&q, (double)(x[i] / q.scale + q.zero)) - (double)q.zero) * (double)q.scale;
                assert_true(y[i] == (float)want);
            }
            k_fake_quantize(&q, 1, M, y, M, z, M);
            assert_true(same_f(y, z, M));
        }
}

/* Closed forms of scales: the largest magnitude is met to half a step, and powers of two are what MX says. */
static void scales_follow_from_the_values(void **state)
{
    (void)state;
    float x[32] = { 0 }, y[32];
    x[3] = -6.375F;
    x[4] = 6.375F;
    k_fake_quantize(&int8_token, 1, 32, x, 32, y, 32); /* scale 6.375 / 127.5 = 0.05 */
    assert_true(y[3] == -128 * (6.375F / 127.5F) && y[4] == 127 * (6.375F / 127.5F));
    x[3] = -1.0F;
    x[4] = 4.1F;
    k_fake_quantize(&int8_asym, 1, 32, x, 32, y, 32); /* scale 5.1 / 255, zero -128 + 50 */
    float s = (4.1F + 1.0F) / 255.0F;
    assert_true(fabsf(y[3] + 50 * s) < 1e-6F && fabsf(y[4] - 205 * s) < 1e-6F && y[0] == 0.0F);
    for (int i = 0; i < 2; i++) { /* mantissa below and at 1.75: exponent floor(log2) - 2, one more */
        x[3] = 0;
        x[4] = i ? 1.75F : 1.7F;
        x[5] = 0.26F;
        k_fake_quantize(&mxfp4, 1, 32, x, 32, y, 32);
        assert_true(y[4] == (i ? 2.0F : 1.5F) && y[5] == 0.25F);
    }
    float g[16] = { 0.3F, 0.01F }, h[16];
    k_fake_quantize(&nvfp4, 1, 16, g, 16, h, 16); /* 600 * 0.3 / 6 = 30, which is an E4M3 number */
    assert_true(h[0] == 6 * (30.0F / 600.0F) && h[1] == 0.0F);
}

/* Zeros stay zeros; a NaN or an infinity spoils its own cell and no other. */
static void bad_values_spoil_their_cell_alone(void **state)
{
    (void)state;
    for (int k = 0; k < ALL; k++) {
        enum { D = 256 };
        float x[2 * D] = { 0 }, y[2 * D];
        k_fake_quantize(all[k], 2, D, x, D, y, D);
        for (int i = 0; i < 2 * D; i++)
            assert_true(y[i] == 0.0F);
        if (all[k]->all_rows)
            continue;
        int64_t cell = all[k]->group ? all[k]->group : D;
        for (int bad = 0; bad < 2; bad++) {
            for (int i = 0; i < 2 * D; i++)
                x[i] = (float)(i % 17) - 8.0F;
            x[D + 5] = bad ? NAN : -INFINITY;
            k_fake_quantize(all[k], 2, D, x, D, y, D);
            for (int i = 0; i < 2 * D; i++)
                assert_int_equal(isnan(y[i]) != 0, i >= D && i < D + cell);
        }
    }
}

/* One scale for all rows spans all of them. */
static void one_scale_spans_all_rows(void **state)
{
    (void)state;
    float x[64], y[64];
    for (int i = 0; i < 64; i++)
        x[i] = (float)i - 20.0F;
    k_fake_quantize(&fp8_tensor, 4, 16, x, 16, y, 16);
    for (int i = 0; i < 64; i++) {
        float s = 43.0F / 448.0F;
        assert_true(y[i] == (float)(nearest(&fp8_tensor, (double)(x[i] / s)) * (double)s));
    }
}

static void levels_and_widths_agree(void **state)
{
    (void)state;
    enum { ROWS = 37, D = 1408, LD = D + 3 };
    float *x = guarded(ROWS * LD, 1, 7), *want = guarded(ROWS * LD, 2, 1), *got = guarded(ROWS * LD, 2, 1);
    for (int k = 0; k < ALL; k++) {
        assert_non_null(kernels_init("c", 1));
        k_fake_quantize(all[k], ROWS, D, x, LD, want, LD);
        for (int l = 0; l < LEVELS; l++)
            for (int w = 0; w < WIDTHS; w++) {
                if (!level_use(l, widths[w]))
                    continue;
                k_fake_quantize(all[k], ROWS, D, x, LD, got, LD);
                assert_memory_equal(got, want, ROWS * LD * sizeof *got);
                memcpy(got, x, ROWS * LD * sizeof *got); /* in place */
                k_fake_quantize(all[k], ROWS, D, got, LD, got, LD);
                for (int r = 0; r < ROWS; r++)
                    assert_memory_equal(got + r * LD, want + r * LD, D * sizeof *got);
                memcpy(got, want, ROWS * LD * sizeof *got);
            }
    }
    guarded_check(want, ROWS * LD);
    guarded_free(x, 1), guarded_free(want, 2), guarded_free(got, 2);
}

int main(void)
{
    kernels_init(NULL, 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_go_to_the_nearest_number),   cmocka_unit_test(scales_follow_from_the_values),
        cmocka_unit_test(bad_values_spoil_their_cell_alone), cmocka_unit_test(one_scale_spans_all_rows),
        cmocka_unit_test(levels_and_widths_agree),
    };
    return cmocka_run_group_tests_name("fake quantization", tests, NULL, NULL);
}
