/* act_observer.c - observers of activations against closed forms and a brute-force search; the parameters that follow;
 * errors; equal bits on every width. */
#include "quant/act_observer.h"

#include "base/mem.h"
#include "kernels/kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SEQUENCES = 5, ROWS = 7, COLS = 24, LD = COLS + 1 };
static float data[SEQUENCES][ROWS * LD];

static int set_up(void **state)
{
    (void)state;
    uint32_t s = 5;
    for (int q = 0; q < SEQUENCES; q++)
        for (int i = 0; i < ROWS * LD; i++) {
            s = s * 1664525U + 1013904223U;
            data[q][i] = ((float)(s >> 8) * 0x1p-23F - 0.9F) * (float)(q % 3 + 1);
        }
    return 0;
}

static struct quant_args args_of(const char *observer, bool symmetric, int bits, enum quant_type type)
{
    struct quant_args a;
    quant_args_default(&a);
    a.num_bits = bits;
    a.type = type;
    a.symmetric = symmetric;
    snprintf(a.observer, sizeof a.observer, "%s", observer);
    return a;
}

static void observe(struct act_observer *o, const struct quant_args *a, enum dtype t, int64_t n)
{
    struct err e = { 0 };
    assert_int_equal(act_observer_init(o, a, t, n, SEQUENCES, &e), 0);
    for (int q = 0; q < SEQUENCES; q++)
        assert_int_equal(
            act_observer_add(o, (q + 1) % SEQUENCES, data[(q + 1) % SEQUENCES], ROWS, COLS, LD, &e), 0);
}

static void extremes(int q, int64_t from, int64_t to, float *lo, float *hi)
{
    *lo = INFINITY, *hi = -INFINITY;
    for (int r = 0; r < ROWS; r++)
        for (int64_t c = from; c < to; c++) {
            *lo = fminf(*lo, data[q][r * LD + c]);
            *hi = fmaxf(*hi, data[q][r * LD + c]);
        }
}

static void minmax_observers_keep_what_they_say(void **state)
{
    (void)state;
    static const char *const names[] = { "", "minmax", "static_minmax", "memoryless_minmax" };
    for (int k = 0; k < 4; k++) {
        struct quant_args a = args_of(names[k], true, 8, QUANT_INT);
        struct act_observer o;
        if (k == 1)
            a.obs_averaging = 0.25;
        double c = k == 1 ? 0.25 : 0.01;
        observe(&o, &a, DT_F32, 2);
        for (int h = 0; h < 2; h++) {
            float lo, hi, l, u;
            extremes(0, h * COLS / 2, (h + 1) * COLS / 2, &lo, &hi);
            for (int q = 1; q < SEQUENCES; q++) {
                extremes(q, h * COLS / 2, (h + 1) * COLS / 2, &l, &u);
                lo = k < 2 ? lo * (float)(1 - c) + l * (float)c : k == 2 ? fminf(lo, l) : l;
                hi = k < 2 ? hi * (float)(1 - c) + u * (float)c : k == 2 ? fmaxf(hi, u) : u;
            }
            float min, max;
            assert_true(act_observer_range(&o, h, &min, &max));
            assert_true(min == lo && max == hi);
        }
        act_observer_release(&o);
    }
}

/* All shrunken ranges of one sequence, tried one after the other without patience, with pow. */
static void mse_finds_the_range_with_the_least_error(void **state)
{
    (void)state;
    for (int sym = 0; sym < 2; sym++) {
        struct quant_args a = args_of("memoryless_mse", sym, 4, QUANT_INT);
        struct act_observer o;
        struct err e = { 0 };
        float min, max;
        a.obs_patience = 1e6;
        a.obs_maxshrink = 0.6;
        assert_int_equal(act_observer_init(&o, &a, DT_F32, 1, 2, &e), 0);
        assert_int_equal(act_observer_add(&o, 1, data[1], ROWS, COLS, LD, &e), 0);
        assert_true(act_observer_range(&o, 0, &min, &max));
        float lo, hi;
        double best = (double)INFINITY, taken = (double)INFINITY;
        extremes(1, 0, COLS, &lo, &hi);
        for (int i = 0; i < 60; i++) {
            float p = (float)(1 - i / 100.0), s;
            int8_t z = 0;
            double sum = 0;
            activation_params(&a, DT_F32, lo * p, hi * p, &s, &z);
            for (int r = 0; r < ROWS; r++)
                for (int c = 0; c < COLS; c++) {
                    double x = (double)data[1][r * LD + c], v = rint(fmin(fmax(x / (double)s + z, -8), 7));
                    sum += pow(fabs((v - z) * (double)s - x), 2.4);
                }
            best = fmin(best, sum);
            if (max == hi * p)
                taken = sum;
        }
        assert_true(taken <= best * (1 + 1e-5));
        act_observer_release(&o);
    }
}

static void parameters_are_the_peers(void **state)
{
    (void)state;
    float s;
    int8_t z = 77;
    struct quant_args sym = args_of("", true, 8, QUANT_INT), asym = args_of("", false, 8, QUANT_INT),
                      fp8 = args_of("", true, 8, QUANT_FLOAT);
    activation_params(&sym, DT_F32, -3.0F, 2.0F, &s, NULL);
    assert_true(s == 3.0F / 127.5F);
    activation_params(&fp8, DT_F32, -3.0F, 7.0F, &s, NULL);
    assert_true(s == 7.0F / 448.0F);
    activation_params(&asym, DT_F32, -1.0F, 4.1F, &s, &z);
    assert_true(s == 5.1F / 255.0F && z == -78);
    activation_params(&asym, DT_F32, 1.0F, 2.0F, &s, &z); /* zero is in range */
    assert_true(s == 2.0F / 255.0F && z == -128);
    activation_params(&fp8, DT_F16, -3.0F, 7.0F, &s, NULL); /* 7 / 448 is 2^-6 */
    assert_true(s == 0x1p-6F);
    activation_params(&sym, DT_F32, 0, 0, &s, NULL);
    assert_true(s == 0x1p-23F);
    activation_params(&asym, DT_BF16, 0, 0, &s, &z);
    assert_true(s == 0x1p-7F && z == -128);
}

static void a_global_scale_is_that_of_nvfp4(void **state)
{
    (void)state;
    struct quant_args a = preset_find("NVFP4")->scheme.input;
    struct act_observer o;
    struct activation out;
    struct err e = { 0 };
    float lo = 0, hi = 0, l, u;
    observe(&o, &a, DT_F32, 1);
    for (int q = 0; q < SEQUENCES; q++) {
        extremes(q, 0, COLS, &l, &u);
        lo = fminf(lo, l), hi = fmaxf(hi, u);
    }
    assert_int_equal(act_observer_finish(&o, &out, &e), 0);
    assert_true(out.n == 0 && out.global == 2688.0F * (1.0F / fmaxf(hi, -lo)));
    activation_release(&out);
    act_observer_release(&o);
}

static void wrong_words_and_values_are_errors(void **state)
{
    (void)state;
    struct quant_args a = args_of("minmx", true, 8, QUANT_INT);
    struct act_observer o = { 0 };
    struct activation out;
    struct err e = { 0 };
    assert_int_equal(act_observer_check(&a, &e), -1);
    assert_non_null(strstr(e.hint, "'minmax'"));
    a = args_of("static_minmax", true, 8, QUANT_INT);
    a.obs_averaging = 0.5;
    memset(&e, 0, sizeof e);
    assert_int_equal(act_observer_check(&a, &e), -1);
    assert_non_null(strstr(e.what, "no parameter 'averaging_constant'"));
    a = args_of("imatrix_mse", true, 8, QUANT_INT);
    assert_int_equal(act_observer_check(&a, &e), -1);
    a = args_of("mse", true, 8, QUANT_INT);
    a.strategy = STRATEGY_ATTN_HEAD;
    memset(&e, 0, sizeof e);
    assert_int_equal(act_observer_check(&a, &e), -1);
    assert_int_equal(e.code, ERR_UNBUILT);
    a = args_of("", true, 8, QUANT_INT);
    float bad[ROWS * LD];
    memcpy(bad, data[0], sizeof bad);
    bad[3 * LD + 2] = NAN;
    memset(&e, 0, sizeof e);
    assert_int_equal(act_observer_init(&o, &a, DT_F32, 1, 2, &e), 0);
    assert_int_equal(act_observer_finish(&o, &out, &e), -1);
    assert_non_null(strstr(e.what, "no sequence was seen"));
    memset(&e, 0, sizeof e);
    assert_int_equal(act_observer_add(&o, 0, bad, ROWS, COLS, LD, &e), -1);
    assert_non_null(strstr(e.what, "row 3"));
    act_observer_release(&o);
}

static void every_width_finds_the_same(void **state)
{
    (void)state;
    static const int widths[] = { 1, 2, 3, 7 };
    float min = 0, max = 0;
    for (int w = 0; w < 4; w++) {
        struct quant_args a = args_of("mse", false, 4, QUANT_INT);
        struct act_observer o;
        assert_non_null(kernels_init(NULL, widths[w]));
        observe(&o, &a, DT_F32, 1);
        float lo, hi;
        assert_true(act_observer_range(&o, 0, &lo, &hi));
        assert_true(!w || (lo == min && hi == max));
        min = lo, max = hi;
        act_observer_release(&o);
    }
}

int main(void)
{
    kernels_init(NULL, 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(minmax_observers_keep_what_they_say),
        cmocka_unit_test(mse_finds_the_range_with_the_least_error),
        cmocka_unit_test(parameters_are_the_peers),
        cmocka_unit_test(a_global_scale_is_that_of_nvfp4),
        cmocka_unit_test(wrong_words_and_values_are_errors),
        cmocka_unit_test(every_width_finds_the_same),
    };
    return cmocka_run_group_tests_name("observers of activations", tests, set_up, NULL);
}
