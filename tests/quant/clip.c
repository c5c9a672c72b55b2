/* clip.c - the clip search against a plain one: every range rounded and multiplied out on the inputs, cell by cell, in float64,
 * over strategies and dtypes; what the options mean; equal bits for any number of threads; memory that runs out. */
#include "quant/clip.h"
#include "help.h"
#include "quant/grids/round.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { K = 96, TOKENS = 200, M = 70 };

/* Least and greatest value of a cell, through 0. */
static void cell_range(const struct grid_layout *l, const float *w, int64_t pr, int64_t pc, float *lo,
                       float *hi)
{
    *lo = *hi = 0;
    for (int64_t r = pr * l->cell_rows; r < (pr + 1) * l->cell_rows && r < M; r++)
        for (int64_t c = pc * l->cell_cols; c < (pc + 1) * l->cell_cols && c < K; c++) {
            *lo = w[r * K + c] < *lo ? w[r * K + c] : *lo;
            *hi = w[r * K + c] > *hi ? w[r * K + c] : *hi;
        }
}

/* Parameters of candidate i of a cell that spans [lo, hi]. */
static void candidate(const struct clip_options *o, const struct qtensor *q, float lo, float hi, int i,
                      float *scale, int8_t *zero)
{
    const struct grid_layout *l = &q->layout;
    float most = (hi > -lo ? hi : -lo) * (float)(1.0 - (double)i / (double)o->n_grid);
    most = round_to(l->scale_dtype, most);
    *zero = 0;
    grid_for(&l->args, NULL)
        ->params(l, q->global_scale, lo > -most ? lo : -most, hi < most ? hi : most, scale,
                 q->zero ? zero : NULL);
}

/* loss[i] of every candidate of one cell, over the inputs' own products; the least one. */
static int plain_cell(const struct clip_options *o, const struct qtensor *q, const float *w, const float *x,
                      int64_t pr, int64_t pc, double *loss)
{
    const struct grid_layout *l = &q->layout;
    const struct grid *grid = grid_for(&l->args, NULL);
    float lo, hi;
    int best = 0;
    cell_range(l, w, pr, pc, &lo, &hi);
    for (int i = 0; i < (int)clip_candidates(o); i++) {
        float scale, v[K];
        int8_t zero, code;
        candidate(o, q, lo, hi, i, &scale, &zero);
        loss[i] = 0;
        for (int64_t r = pr * l->cell_rows; r < (pr + 1) * l->cell_rows && r < M; r++) {
            int64_t c0 = pc * l->cell_cols, c1 = c0 + l->cell_cols < K ? c0 + l->cell_cols : K;
            for (int64_t c = c0; c < c1; c++)
                grid->round_own(l, &w[r * K + c], 1, scale, zero, &code, &v[c]);
            for (int64_t n = 0; n < TOKENS; n++) {
                double d = 0;
                for (int64_t c = c0; c < c1; c++)
                    d += ((double)v[c] - (double)w[r * K + c]) * (double)x[n * K + c];
                loss[i] += d * d;
            }
        }
        best = loss[i] < loss[best] ? i : best;
    }
    return best;
}

static float *weights(enum dtype t)
{
    float *w = numbers(21, (int64_t)M * K, 0.05f);
    for (int i = 0; i < 40; i++) /* outliers, which a clipped range cuts off */
        w[(i * 167) % (M * K)] *= 4.0f;
    for (int64_t i = 0; i < K; i++) /* a row of zeros */
        w[5 * K + i] = 0;
    for (int64_t i = 0; i < (int64_t)M * K; i++)
        w[i] = round_to(t, w[i]);
    return w;
}

/* Every cell's parameters are those of a candidate whose loss is the least one, to rounding. */
static void compare(const struct quant_args *a, enum dtype t, const struct clip_options *o)
{
    float *w = weights(t), *x = inputs(3, TOKENS, K);
    struct gram g;
    struct qtensor q = { 0 };
    struct grid_layout l;
    struct err e = { 0 };
    double loss[64];
    int64_t shrunk = 0, differs = 0;
    fill_gram(&g, x, TOKENS, K, 3);
    if (layout_init(&l, a, M, K, t, &e) || qtensor_init(&q, &l, &e) || clip_fit(o, &g, w, &q, &e))
        no_error(&e);
    for (int64_t pr = 0; pr < l.param_rows; pr++)
        for (int64_t pc = 0; pc < l.param_cols; pc++) {
            int best = plain_cell(o, &q, w, x, pr, pc, loss), got = -1;
            float lo, hi, scale;
            int8_t zero;
            cell_range(&l, w, pr, pc, &lo, &hi);
            for (int i = 0; i < clip_candidates(o) && got < 0; i++) {
                int64_t at = pr * l.param_cols + pc;
                candidate(o, &q, lo, hi, i, &scale, &zero);
                if (!memcmp(&scale, &q.scale[at], sizeof scale) && (!q.zero || zero == q.zero[at]) &&
                    loss[i] <= loss[best] * (1 + 1e-4))
                    got = i;
            }
            assert_true(got >= 0);
            differs += got != best;
            shrunk += got > 0;
        }
    assert_true(shrunk > 0 || clip_candidates(o) == 1);
    assert_true(differs * 50 <= l.param_rows * l.param_cols); /* ties by rounding are rare */
    qtensor_release(&q);
    gram_release(&g);
    mem_free(w);
    mem_free(x);
}

static void the_search_finds_what_multiplying_out_finds(void **state)
{
    static const struct clip_options paper = { 20, 0.5 }, wide = { 8, 1 };
    const struct quant_args args[] = { int_args(4, 0, STRATEGY_GROUP, 32), int_args(3, 1, STRATEGY_GROUP, 48),
                                       int_args(4, 1, STRATEGY_CHANNEL, 0),
                                       int_args(4, 0, STRATEGY_TENSOR, 0) };
    (void)state;
    for (size_t i = 0; i < sizeof args / sizeof *args; i++)
        for (int t = 0; t < 2; t++)
            compare(&args[i], t ? DT_BF16 : DT_F32, i == 1 ? &wide : &paper);
}

static void one_candidate_is_the_observers_range(void **state)
{
    static const struct clip_options options[] = { { 20, 0 }, { 1, 1 }, { 1, 0.5 } };
    const struct quant_args a = int_args(4, 0, STRATEGY_GROUP, 32);
    float *w = weights(DT_F32), *x = inputs(3, TOKENS, K);
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct gram g;
        struct qtensor q, want;
        struct err e = { 0 };
        assert_int_equal(clip_candidates(&options[i]), 1);
        fill_gram(&g, x, TOKENS, K, 3);
        fitted(&want, &a, w, M, K, DT_F32);
        assert_int_equal(qtensor_init(&q, &want.layout, &e), 0);
        assert_int_equal(clip_fit(&options[i], &g, w, &q, &e), 0);
        same_floats(q.scale, want.scale, want.layout.param_rows * want.layout.param_cols);
        same_codes(q.zero, want.zero, want.layout.param_rows * want.layout.param_cols);
        qtensor_release(&q);
        qtensor_release(&want);
        gram_release(&g);
    }
    mem_free(w);
    mem_free(x);
}

static void any_number_of_threads_gives_equal_bits(void **state)
{
    static const int threads[] = { 1, 2, 3, 7 };
    static const struct clip_options o = { 20, 0.5 };
    const struct quant_args a = int_args(4, 0, STRATEGY_GROUP, 32);
    float *w = weights(DT_F32), *x = inputs(3, TOKENS, K), scale[M * 3];
    int8_t zero[M * 3];
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct gram g;
        struct qtensor q = { 0 };
        struct grid_layout l;
        struct err e = { 0 };
        kernels_init(NULL, threads[i]);
        fill_gram(&g, x, TOKENS, K, 3);
        if (layout_init(&l, &a, M, K, DT_F32, &e) || qtensor_init(&q, &l, &e) || clip_fit(&o, &g, w, &q, &e))
            no_error(&e);
        if (!i) {
            memcpy(scale, q.scale, sizeof scale);
            memcpy(zero, q.zero, sizeof zero);
        }
        assert_memory_equal(scale, q.scale, sizeof scale);
        assert_memory_equal(zero, q.zero, sizeof zero);
        qtensor_release(&q);
        gram_release(&g);
    }
    kernels_init(NULL, 2);
    mem_free(w);
    mem_free(x);
}

static void inputs_that_never_came_leave_the_whole_range(void **state)
{
    static const struct clip_options o = { 20, 0.5 };
    const struct quant_args a = int_args(4, 1, STRATEGY_GROUP, 32);
    float *w = weights(DT_F32), *x = mem_array(TOKENS * K, sizeof *x, NULL);
    struct gram g;
    struct qtensor q, want;
    struct err e = { 0 };
    (void)state;
    fill_gram(&g, x, TOKENS, K, 3); /* zeros: every loss is 0 */
    fitted(&want, &a, w, M, K, DT_F32);
    assert_int_equal(qtensor_init(&q, &want.layout, &e), 0);
    assert_int_equal(clip_fit(&o, &g, w, &q, &e), 0);
    same_floats(q.scale, want.scale, want.layout.param_rows * want.layout.param_cols);
    w[7 * K + 3] = NAN;
    assert_int_equal(clip_fit(&o, &g, w, &q, &e), -1);
    assert_string_equal(e.what, "weight is NaN at row 7, column 3, expected finite numbers");
    qtensor_release(&q);
    qtensor_release(&want);
    gram_release(&g);
    mem_free(w);
    mem_free(x);
}

static void memory_that_runs_out_is_an_error(void **state)
{
    static const struct clip_options o = { 20, 0.5 };
    const struct quant_args a = int_args(4, 0, STRATEGY_GROUP, 32);
    float *w = weights(DT_F32), *x = inputs(3, TOKENS, K);
    struct gram g;
    struct qtensor q = { 0 };
    struct grid_layout l;
    struct err e = { 0 };
    int rc = -1;
    uint64_t failures = 0;
    (void)state;
    fill_gram(&g, x, TOKENS, K, 3);
    assert_false(layout_init(&l, &a, M, K, DT_F32, &e) || qtensor_init(&q, &l, &e));
    for (; rc && failures < 100; failures += rc != 0) {
        uint64_t before = mem_use().now;
        e = (struct err){ 0 };
        (void)mem_fail_at(failures + 1, false);
        rc = clip_fit(&o, &g, w, &q, &e);
        (void)mem_fail_at(0, false);
        assert_true(!rc || e.code == ERR_NOMEM);
        assert_true(mem_use().now == before);
    }
    assert_true(rc == 0 && failures > 4);
    qtensor_release(&q);
    gram_release(&g);
    mem_free(w);
    mem_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_search_finds_what_multiplying_out_finds),
        cmocka_unit_test(one_candidate_is_the_observers_range),
        cmocka_unit_test(any_number_of_threads_gives_equal_bits),
        cmocka_unit_test(inputs_that_never_came_leave_the_whole_range),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
    };
    kernels_init(NULL, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
