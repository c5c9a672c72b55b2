/* observer.c - ranges of cells for every strategy against brute force, the search's rules (strict improvement, patience
 * over the whole tensor), names and parameters, threads, bad weights, lack of memory. */
#include "help.h"
#include "quant/inner.h"
#include <float.h>
#include <math.h>
#include <string.h>

enum { ROWS = 37, COLS = 96 };

static const struct shape {
    enum strategy s;
    int64_t group;
} shapes[] = { { STRATEGY_TENSOR, 0 },
               { STRATEGY_CHANNEL, 0 },
               { STRATEGY_GROUP, 32 },
               { STRATEGY_GROUP, 96 },
               { STRATEGY_BLOCK, 20 } }; /* 20 divides neither side */
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static void minmax_fits_every_cell_of_every_strategy(void **state)
{
    (void)state;
    float *w = numbers(1, ROWS * COLS, 0.1f);
    for (int i = 0; i < SHAPES; i++)
        for (int sym = 0; sym < 2; sym++) {
            struct quant_args a = int_args(4, sym, shapes[i].s, shapes[i].group);
            struct qtensor q;
            fitted(&q, &a, w, ROWS, COLS, DT_F32);
            const struct grid_layout *l = &q.layout;
            for (int64_t c = 0; c < l->param_rows * l->param_cols; c++) {
                float lo = 0, hi = 0, scale;
                int8_t zero = 0;
                for (int64_t e = 0; e < ROWS * COLS; e++)
                    if (e / COLS / l->cell_rows * l->param_cols + e % COLS / l->cell_cols == c) {
                        lo = fminf(lo, w[e]);
                        hi = fmaxf(hi, w[e]);
                    }
                grid_find("int")->params(l, 0, lo, hi, &scale, &zero);
                assert_true(scale == q.scale[c]);
                assert_int_equal(zero, q.zero ? q.zero[c] : 0);
            }
            qtensor_release(&q);
        }
    mem_free(w);
}

static void powers_are_right_to_one_part_in_a_million(void **state)
{
    (void)state;
    static const double norms[] = { 0.5, 1, 2, 2.4, 3, 3.5, 4.99 };
    for (size_t n = 0; n < sizeof norms / sizeof norms[0]; n++) {
        float x[300], y[300];
        for (int i = 0; i < 300; i++)
            y[i] = x[i] = (float)exp(-16 + i * 0.06);
        power_each(300, y, norms[n]);
        for (int i = 0; i < 300; i++) {
            double want = pow((double)x[i], norms[n]);
            if (want > 1e-30 && fabs((double)y[i] / want - 1) > 1e-6)
                fail_msg("%g^%g: %g, want %g", (double)x[i], norms[n], (double)y[i], want);
        }
    }
    float none[3] = { 0.0f, 1e-40f, 1.0f };
    power_each(3, none, 2.4);
    assert_true(none[0] == 0.0f && none[1] == 0.0f && none[2] == 1.0f);
}

/* The search by the letter in float64, all candidates of all cells; returns the scale of each cell. */
struct brute {
    int steps, patience;
    double grid, norm, expand;
    const float *importance;
};
static double cell_error(const struct qtensor *q, const float *w, int64_t cell, float scale, int zero,
                         const struct brute *b)
{
    const struct grid_layout *l = &q->layout;
    double sum = 0;
    for (int64_t e = 0; e < l->rows * l->cols; e++) {
        int8_t code;
        float v;
        if (e / l->cols / l->cell_rows * l->param_cols + e % l->cols / l->cell_cols != cell)
            continue;
        grid_find("int")->round(l, &w[e], 1, scale, zero, &code, &v);
        sum +=
            pow(fabs((double)(v - w[e])), b->norm) * (b->importance ? (double)b->importance[e % l->cols] : 1);
    }
    return sum;
}

static void brute_search(struct qtensor *q, const float *w, const struct brute *b)
{
    const struct grid_layout *l = &q->layout;
    int64_t cells = l->param_rows * l->param_cols;
    double *best = mem_array((size_t)cells, sizeof *best, NULL);
    float *lo = mem_array((size_t)cells, sizeof *lo, NULL), *hi = mem_array((size_t)cells, sizeof *hi, NULL);
    for (int64_t e = 0; e < l->rows * l->cols; e++) {
        int64_t c = e / l->cols / l->cell_rows * l->param_cols + e % l->cols / l->cell_cols;
        lo[c] = fminf(lo[c], w[e]);
        hi[c] = fmaxf(hi[c], w[e]);
        best[c] = (double)FLT_MAX;
    }
    for (int i = 0, idle = 0; i < b->steps && (!b->patience || idle < b->patience); i++) {
        float p = (float)(1 - i / b->grid);
        int won = 0;
        for (int64_t c = 0; c < cells; c++) {
            float scale;
            int8_t zero = 0;
            float x = b->expand > 1 ? (float)b->expand : 1.0f;
            grid_find("int")->params(l, 0, lo[c] * x * p, hi[c] * x * p, &scale, &zero);
            double error = (double)(float)cell_error(q, w, c, scale, zero, b);
            if (error < best[c]) {
                best[c] = error;
                q->scale[c] = scale;
                if (q->zero)
                    q->zero[c] = zero;
                won = 1;
            }
        }
        idle = won ? 0 : idle + 1;
    }
    mem_free(best);
    mem_free(lo);
    mem_free(hi);
}

static void check_search(const char *observer, const struct brute *b, const float *w, const float *importance)
{
    for (int i = 0; i < SHAPES; i++)
        for (int sym = 0; sym < 2; sym++) {
            struct quant_args a = int_args(3, sym, shapes[i].s, shapes[i].group);
            struct brute mine = *b;
            struct qtensor q, want;
            struct err e = { 0 };
            const struct observer *o;
            struct observer_params p;
            snprintf(a.observer, sizeof a.observer, "%s", observer);
            fitted(&q, &a, w, ROWS, COLS, DT_F32);
            fitted(&want, &a, w, ROWS, COLS, DT_F32);
            assert_int_equal(observer_resolve(&a, &o, &p, &e), 0);
            assert_int_equal(o->fit(&p, w, importance, &q, &e), 0);
            int weighs =
                o->needs_importance && (shapes[i].s == STRATEGY_CHANNEL || shapes[i].s == STRATEGY_GROUP);
            mine.importance = weighs ? importance : NULL;
            brute_search(&want, w, &mine);
            for (int64_t c = 0; c < q.layout.param_rows * q.layout.param_cols; c++) {
                if (q.scale[c] != want.scale[c])
                    fail_msg("%s, shape %d, symmetric %d, cell %d: scale %g, want %g", observer, i, sym,
                             (int)c, (double)q.scale[c], (double)want.scale[c]);
                assert_int_equal(q.zero ? q.zero[c] : 0, want.zero ? want.zero[c] : 0);
            }
            qtensor_release(&q);
            qtensor_release(&want);
        }
}

static void searches_choose_what_brute_force_chooses(void **state)
{
    (void)state;
    float *w = numbers(2, ROWS * COLS, 0.1f), *imp = numbers(3, COLS, 1.0f);
    for (int i = 0; i < COLS; i++)
        imp[i] = imp[i] * imp[i] + 0.01f;
    struct brute mse = { .steps = 20, .patience = 5, .grid = 100, .norm = 2.4 };
    struct brute imatrix = { .steps = 20, .patience = 5, .grid = 20, .norm = 3 };
    check_search("memoryless_mse", &mse, w, NULL);
    check_search("memoryless_mse", &mse, w, imp); /* takes no notice of it */
    check_search("imatrix_mse", &imatrix, w, imp);
    check_search("imatrix_mse", &imatrix, w, NULL);
    struct brute wide = { .steps = 112, .grid = 200, .norm = 2.4, .expand = 1.8 };
    check_search("nvfp4_expanded_imatrix", &wide, w, imp);
    check_search("nvfp4_expanded_imatrix", &wide, w, NULL);
    mem_free(w);
    mem_free(imp);
}

/* One row gains from every step; it keeps the search of another alive, which alone would have ended. */
static void patience_counts_over_the_whole_tensor(void **state)
{
    (void)state;
    enum { N = 64 };
    float w[2 * N], *x = numbers(4, N, 0.1f);
    struct quant_args a = int_args(3, 1, STRATEGY_CHANNEL, 0);
    struct qtensor alone, both;
    struct brute b = { .steps = 95, .patience = 2, .grid = 100, .norm = 2.4 };
    struct qtensor want;
    memcpy(w, x, sizeof *x * N);
    for (int i = 0; i < N; i++)
        w[N + i] = i ? 0.1f : 1.0f; /* an outlier: a third of the range is best */
    snprintf(a.observer, sizeof a.observer, "mse");
    a.obs_maxshrink = 0.95;
    a.obs_patience = 2;
    fitted(&alone, &a, w, 1, N, DT_F32);
    fitted(&both, &a, w, 2, N, DT_F32);
    fitted(&want, &a, w, 2, N, DT_F32);
    brute_search(&want, w, &b);
    assert_true(both.scale[0] == want.scale[0] && both.scale[1] == want.scale[1]);
    brute_search(&alone, w, &b);
    struct qtensor again;
    fitted(&again, &a, w, 1, N, DT_F32);
    assert_true(again.scale[0] == alone.scale[0]);
    qtensor_release(&again);
    qtensor_release(&alone);
    qtensor_release(&both);
    qtensor_release(&want);
    mem_free(x);
}

static void resolve_fails(const char *name, const char *param, double v, enum err_code code, const char *what)
{
    struct quant_args a = int_args(4, 1, STRATEGY_CHANNEL, 0);
    struct err e = { 0 };
    const struct observer *o;
    struct observer_params p;
    snprintf(a.observer, sizeof a.observer, "%s", name);
    *(strcmp(param, "norm") == 0        ? &a.obs_norm
      : strcmp(param, "maxshrink") == 0 ? &a.obs_maxshrink
      : strcmp(param, "patience") == 0  ? &a.obs_patience
      : strcmp(param, "expand") == 0    ? &a.obs_expand
                                        : &a.obs_averaging) = v;
    assert_int_equal(observer_resolve(&a, &o, &p, &e), -1);
    assert_int_equal(e.code, code);
    assert_string_equal(e.what, what);
}

static void names_aliases_and_parameters_are_the_peers(void **state)
{
    (void)state;
    struct quant_args a = int_args(4, 1, STRATEGY_CHANNEL, 0);
    struct err e = { 0 };
    const struct observer *o;
    struct observer_params p;
    assert_int_equal(observer_resolve(&a, &o, &p, &e), 0);
    assert_string_equal(o->name, "memoryless_minmax");
    assert_ptr_equal(observer_find("minmax"), o);
    assert_ptr_equal(observer_find("static_minmax"), o);
    assert_ptr_equal(observer_find("mse"), observer_find("memoryless_mse"));
    assert_ptr_equal(observer_find("fouroversix"), observer_find("nvfp4_expanded_mse"));
    snprintf(a.observer, sizeof a.observer, "mse");
    a.obs_averaging = 0.5;
    a.obs_norm = 2;
    assert_int_equal(observer_resolve(&a, &o, &p, &e), 0);
    assert_true(p.norm == 2 && p.maxshrink == 0.20 && p.patience == 5 && p.grid == 100 &&
                p.averaging_constant == 0.5);
    a.obs_averaging = (double)NAN;
    snprintf(a.observer, sizeof a.observer, "imatrix_mse");
    assert_int_equal(observer_resolve(&a, &o, &p, &e), 0);
    assert_true(p.norm == 2 && p.maxshrink == 0.95 && p.patience == 5 && p.grid == 20 &&
                o->needs_importance && p.expand == 1);
    a.obs_norm = (double)NAN;
    snprintf(a.observer, sizeof a.observer, "nvfp4_expanded_imatrix");
    assert_int_equal(observer_resolve(&a, &o, &p, &e), 0);
    assert_true(p.norm == 2.4 && p.maxshrink == 1 - 0.8 / 1.8 && p.patience == 1000 && p.grid == 200 &&
                o->needs_importance && p.expand == 1.8);
    a.obs_expand = 2.5;
    assert_int_equal(observer_resolve(&a, &o, &p, &e), 0);
    assert_true(p.expand == 2.5);
    resolve_fails("memoryless_minmax", "norm", 2, ERR_INPUT,
                  "observer_kwargs: memoryless_minmax has no parameter 'norm'");
    resolve_fails("memoryless_mse", "averaging", 0.1, ERR_INPUT,
                  "observer_kwargs: memoryless_mse has no parameter 'averaging_constant'");
    resolve_fails("mse", "maxshrink", 1.5, ERR_INPUT,
                  "observer_kwargs: maxshrink: found 1.5, expected 0 to 1");
    resolve_fails("memoryless_minmax", "expand", 2, ERR_INPUT,
                  "observer_kwargs: memoryless_minmax has no parameter 'expand'");
    resolve_fails("mse", "expand", 0.5, ERR_INPUT, "observer_kwargs: expand: found 0.5, expected 1 to 100");
    resolve_fails("mse", "patience", -1, ERR_INPUT,
                  "observer_kwargs: patience: found -1, expected 0 to 1e+06");
    resolve_fails(
        "memoryless_msw", "norm", 2, ERR_INPUT,
        "observer: found 'memoryless_msw', expected memoryless_minmax, memoryless_mse or imatrix_mse");
}

/* nvfp4_expanded_mse by brute force: 111 candidates from 1.8 times the range on, the first of the best, local scales in
 * float32; then the global scale from the ranges that won. */
static void expanded_ranges_are_those_of_brute_force(void **state)
{
    (void)state;
    enum { G = 6, N = 16 };
    float *w = numbers(5, G * N, 0.1f), best_max[G], most = 0;
    const struct preset *preset = preset_find("NVFP4A16");
    struct quant_args a = preset->scheme.weights;
    struct qtensor q;
    int beyond = 0;
    snprintf(a.observer, sizeof a.observer, "nvfp4_expanded_mse");
    for (int g = 0; g < G; g++) {
        float top = 0, best = FLT_MAX;
        for (int i = 0; i < N; i++)
            top = fmaxf(top, fabsf(w[g * N + i]));
        best_max[g] = 1.8f * top;
        for (int i = 0; i < 111; i++) {
            static const float level[] = { 0, 0.5f, 1, 1.5f, 2, 3, 4, 6 };
            float max = 1.8f * top * (float)(1.0 - i / 200.0), scale = max / 6.0f;
            double sum = 0;
            for (int k = 0; k < N; k++) {
                float x = fabsf(w[g * N + k]), q1 = 0;
                for (int v = 1; v < 8; v++) /* nearest; ties do not occur */
                    q1 = fabsf(x / scale - level[v]) < fabsf(x / scale - q1) ? level[v] : q1;
                sum += pow(fabs((double)(q1 * scale) - (double)x), 2.4);
            }
            if ((float)sum < best) {
                best = (float)sum;
                best_max[g] = max;
            }
        }
        beyond += best_max[g] > 1.001f * top;
        most = fmaxf(most, best_max[g]);
    }
    assert_true(beyond > 0);
    fitted(&q, &a, w, 1, G * N, DT_F32);
    assert_true(fabsf(q.range_max / most - 1) < 1e-6f);
    assert_true(fabsf(q.global_scale * most / 2688.0f - 1) < 1e-6f);
    for (int g = 0; g < G; g++)
        if (fabsf(q.scale[g] / (best_max[g] / 6.0f) - 1) > 0.07f) /* rounded to E4M3 */
            fail_msg("group %d: scale %g, expected about %g", g, (double)q.scale[g],
                     (double)(best_max[g] / 6.0f));
    qtensor_release(&q);
    mem_free(w);
}

static int fit_again(const char *observer, const float *w, const float *imp, struct qtensor *q, struct err *e)
{
    struct quant_args a = q->layout.args;
    const struct observer *o;
    struct observer_params p;
    snprintf(a.observer, sizeof a.observer, "%s", observer);
    if (observer_resolve(&a, &o, &p, e))
        return -1;
    return o->fit(&p, w, imp, q, e);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    static const int widths[] = { 1, 2, 3, 7 };
    static const char *const names[] = { "minmax", "mse", "imatrix_mse" };
    float *w = numbers(5, ROWS * COLS, 0.1f), *imp = numbers(6, COLS, 1.0f), first[ROWS * COLS];
    for (int i = 0; i < COLS; i++)
        imp[i] = fabsf(imp[i]);
    for (int n = 0; n < 3; n++)
        for (int i = 0; i < SHAPES * 4; i++) {
            struct quant_args a = int_args(4, 0, shapes[i / 4].s, shapes[i / 4].group);
            struct qtensor q;
            struct err e = { 0 };
            kernels_init(NULL, widths[i % 4]);
            fitted(&q, &a, w, ROWS, COLS, DT_BF16);
            assert_int_equal(fit_again(names[n], w, imp, &q, &e), 0);
            size_t bytes = (size_t)(q.layout.param_rows * q.layout.param_cols) * sizeof *first;
            if (i % 4 == 0)
                memcpy(first, q.scale, bytes);
            assert_memory_equal(first, q.scale, bytes);
            qtensor_release(&q);
        }
    kernels_init(NULL, 2);
    mem_free(w);
    mem_free(imp);
}

static void bad_weights_and_importance_are_named_by_place(void **state)
{
    (void)state;
    float *w = numbers(7, ROWS * COLS, 0.1f), imp[COLS] = { 0 };
    struct quant_args a = int_args(4, 1, STRATEGY_GROUP, 32);
    struct qtensor q;
    struct err e = { 0 };
    fitted(&q, &a, w, ROWS, COLS, DT_F32);
    assert_int_equal(fit_again("imatrix_mse", w, imp, &q, &e),
                     0); /* all zero: every column counts the same */
    imp[5] = -1.0f;
    assert_int_equal(fit_again("imatrix_mse", w, imp, &q, &e), -1);
    assert_string_equal(e.what, "importance of column 5 is -1, expected a finite number >= 0");
    w[20 * COLS + 31] = NAN;
    w[33 * COLS + 1] = INFINITY;
    memset(&e, 0, sizeof e);
    assert_int_equal(fit_again("minmax", w, NULL, &q, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_string_equal(e.what, "weight is NaN at row 20, column 31, expected finite numbers");
    w[20 * COLS + 31] = 0;
    memset(&e, 0, sizeof e);
    assert_int_equal(fit_again("minmax", w, NULL, &q, &e), -1);
    assert_string_equal(e.what, "weight is infinite at row 33, column 1, expected finite numbers");
    w[33 * COLS + 1] = 1e6f;
    q.layout.scale_dtype = DT_F16;
    memset(&e, 0, sizeof e);
    assert_int_equal(fit_again("minmax", w, NULL, &q, &e), -1);
    assert_string_equal(e.what, "the range of rows 33.., columns 0.. does not fit a scale of dtype F16");
    qtensor_release(&q);
    mem_free(w);
}

static void lack_of_memory_is_an_error(void **state)
{
    (void)state;
    float *w = numbers(8, ROWS * COLS, 0.1f), imp[COLS];
    struct quant_args a = int_args(4, 0, STRATEGY_GROUP, 32);
    struct qtensor q;
    int rc = -1;
    for (int i = 0; i < COLS; i++)
        imp[i] = 1.0f + (float)i;
    fitted(&q, &a, w, ROWS, COLS, DT_F32);
    uint64_t before = mem_use().count;
    for (uint64_t n = 1; rc; n++) {
        struct err e = { 0 };
        mem_fail_at(n, 0);
        rc = fit_again("imatrix_mse", w, imp, &q, &e);
        mem_fail_at(0, 0);
        assert_int_equal(e.code, rc ? ERR_NOMEM : ERR_OK);
        assert_int_equal(mem_use().count, before);
        assert_true(n < 50 && (n > 1 || rc));
    }
    qtensor_release(&q);
    mem_free(w);
}

int main(void)
{
    kernels_init(NULL, 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(minmax_fits_every_cell_of_every_strategy),
        cmocka_unit_test(expanded_ranges_are_those_of_brute_force),
        cmocka_unit_test(powers_are_right_to_one_part_in_a_million),
        cmocka_unit_test(searches_choose_what_brute_force_chooses),
        cmocka_unit_test(patience_counts_over_the_whole_tensor),
        cmocka_unit_test(names_aliases_and_parameters_are_the_peers),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(bad_weights_and_importance_are_named_by_place),
        cmocka_unit_test(lack_of_memory_is_an_error),
    };
    return cmocka_run_group_tests_name("quant observers", tests, NULL, NULL);
}
