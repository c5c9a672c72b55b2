/* tune.c - what surrounds GPTQ: searches for scales, least squares, coordinate descent, the asymmetric target, the quick
 * choice of damping. Oracles: normal equations and losses in float64, written here the plain way. */
#include "help.h"

#include "quant/cross.h"
#include "quant/solvers/tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const bool here[] = { true }; /* the only rank wants the sums */

enum { ROWS = 37, COLS = 192, TOKENS = 900 };

struct bench {
    struct gram gram;
    struct factor factor;
    struct tune tune;
    float *w;
};

static struct solve_options best_options(void)
{
    return (
        struct solve_options){ .block_size = 128, .scale_search = SCALES_FEEDBACK, .refit = 2, .sweeps = 3 };
}

static void open_bench(struct bench *b, const struct quant_args *a)
{
    struct err e = { 0 };
    struct solve_options o = best_options();
    struct grid_layout l;
    float *x = inputs(5, TOKENS, COLS);
    memset(b, 0, sizeof *b);
    fill_gram(&b->gram, x, TOKENS, COLS, 16);
    b->w = numbers(9, ROWS * COLS, 0.1f);
    assert_int_equal(factor_init(&b->factor, &b->gram, ACTORDER_STATIC, 0.01, &e), 0);
    assert_int_equal(layout_init(&l, a, ROWS, COLS, DT_F32, &e), 0);
    assert_int_equal(tune_init(&b->tune, &o, &l, &b->factor, &b->gram, &e), 0);
    no_error(&e);
    mem_free(x);
}

static void close_bench(struct bench *b)
{
    tune_release(&b->tune);
    factor_release(&b->factor);
    gram_release(&b->gram);
    mem_free(b->w);
}

/* Damped loss of one row, in float64. */
static double row_loss(const struct bench *b, const float *q, int64_t r)
{
    double sum = 0;
    for (int64_t i = 0; i < COLS; i++)
        for (int64_t j = 0; j < COLS; j++)
            sum += ((double)b->w[r * COLS + i] - (double)q[r * COLS + i]) * (double)b->tune.h[i * COLS + j] *
                   ((double)b->w[r * COLS + j] - (double)q[r * COLS + j]);
    return sum;
}

static void solved(const struct bench *b, const struct quant_args *a, const struct solve_options *o, float *w,
                   struct qtensor *q)
{
    struct err e = { 0 };
    struct solve_result res;
    memcpy(w, b->w, sizeof(float) * ROWS * COLS);
    fitted(q, a, w, ROWS, COLS, DT_F32);
    if (tune_solve(o, &b->tune, &b->factor, &b->gram, w, q, &res, &e))
        fail_msg("%s", e.what);
    assert_true(res.loss >= 0 && res.weight_error > 0);
}

static void same_as_decoded(const struct qtensor *q, const float *w)
{
    static float back[ROWS * COLS];
    qtensor_decode(q, 0, ROWS, back);
    same_floats(back, w, ROWS * COLS);
}

static const struct {
    int bits, symmetric;
    int64_t group;
} cases[] = {
    { 4, 1, 64 }, { 3, 1, 32 }, { 2, 0, 64 }, { 4, 0, 96 }, { 8, 1, 16 }, { 3, 1, 0 }, { 2, 0, 0 }
};
enum { CASES = sizeof cases / sizeof cases[0] };

static struct quant_args args_of(int i)
{
    return int_args(cases[i].bits, cases[i].symmetric, cases[i].group ? STRATEGY_GROUP : STRATEGY_CHANNEL,
                    cases[i].group);
}

/* (w - want) H in float64, to float32 */
static void gradient_of(const struct bench *b, const float *w, float *grad)
{
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t j = 0; j < COLS; j++) {
            double sum = 0;
            for (int64_t i = 0; i < COLS; i++)
                sum +=
                    ((double)w[r * COLS + i] - (double)b->w[r * COLS + i]) * (double)b->tune.h[i * COLS + j];
            grad[r * COLS + j] = (float)sum;
        }
}

static void gptq_leaves_the_gradient(void **state)
{
    (void)state;
    for (int c = 0; c < CASES; c++) {
        struct quant_args a = args_of(c);
        struct solve_options o = { .block_size = 128 };
        struct bench b;
        struct qtensor q;
        struct err e = { 0 };
        static float w[ROWS * COLS], grad[ROWS * COLS], want[ROWS * COLS];
        open_bench(&b, &a);
        memcpy(w, b.w, sizeof w);
        fitted(&q, &a, w, ROWS, COLS, DT_F32);
        assert_int_equal(gptq_solve_with(&o, &b.factor, NULL, w, &q, grad, NULL, &e), 0);
        gradient_of(&b, w, want);
        double worst = 0, size = 0;
        for (int i = 0; i < ROWS * COLS; i++) {
            worst = fmax(worst, fabs((double)grad[i] - (double)want[i]));
            size = fmax(size, fabs((double)want[i]));
        }
        assert_true(size > 0 && worst < 1e-4 * size);
        qtensor_release(&q);
        close_bench(&b);
    }
}

static void a_sweep_never_raises_the_loss_of_a_row(void **state)
{
    (void)state;
    for (int c = 0; c < CASES; c++) {
        struct quant_args a = args_of(c);
        struct bench b;
        struct qtensor q;
        struct err e = { 0 };
        struct solve_options plain = { .block_size = 128 };
        static float w[ROWS * COLS], grad[ROWS * COLS];
        double before[ROWS];
        int lower = 0;
        open_bench(&b, &a);
        solved(&b, &a, &plain, w, &q);
        struct fitted_matrix m = { b.tune.h, b.w, w, &q };
        for (int pass = 0; pass < 3; pass++) {
            for (int r = 0; r < ROWS; r++)
                before[r] = row_loss(&b, w, r);
            gradient_of(&b, w, grad);
            assert_int_equal(pass == 0 ? refit(&m, grad, &e) : sweep(&m, grad, before, pass, &e), 0);
            same_as_decoded(&q, w);
            for (int r = 0; r < ROWS; r++) {
                double now = row_loss(&b, w, r);
                assert_true(now <= before[r] * (1 + 1e-5));
                lower += now < before[r] * (1 - 1e-4);
            }
        }
        assert_true(lower > ROWS / 2);
        qtensor_release(&q);
        close_bench(&b);
    }
}

/* A s = b for one row: A_gh = n_g H_gh n_h, b_g = n_g H w, by elimination with pivots. */
static void normal_equations(const struct bench *b, const struct qtensor *q, int64_t r, int64_t groups,
                             double *s)
{
    double m[16][17] = { { 0 } };
    int64_t size = COLS / groups;
    for (int64_t i = 0; i < COLS; i++)
        for (int64_t j = 0; j < COLS; j++) {
            double h = (double)b->tune.h[i * COLS + j] * (double)q->codes[r * COLS + i];
            m[i / size][j / size] += h * (double)q->codes[r * COLS + j];
            m[i / size][16] += h * (double)b->w[r * COLS + j];
        }
    for (int64_t g = 0; g < groups; g++)
        for (int64_t i = 0; i < groups; i++) {
            double f = i == g ? 0 : m[i][g] / m[g][g];
            for (int64_t j = 0; j <= 16; j++)
                m[i][j] -= f * m[g][j];
        }
    for (int64_t g = 0; g < groups; g++)
        s[g] = m[g][16] / m[g][g];
}

static void scales_fitted_again_and_again_are_least_squares(void **state)
{
    (void)state;
    for (int c = 0; c < 2; c++) {
        struct quant_args a = int_args(4, 1, c ? STRATEGY_CHANNEL : STRATEGY_GROUP, c ? 0 : 64);
        int64_t groups = c ? 1 : COLS / 64;
        struct solve_options plain = { .block_size = 128 };
        struct bench b;
        struct qtensor q;
        struct err e = { 0 };
        static float w[ROWS * COLS], grad[ROWS * COLS];
        double s[16];
        open_bench(&b, &a);
        solved(&b, &a, &plain, w, &q);
        struct fitted_matrix m = { b.tune.h, b.w, w, &q };
        for (int i = 0; i < 60; i++) {
            gradient_of(&b, w, grad);
            assert_int_equal(refit(&m, grad, &e), 0);
        }
        for (int64_t r = 0; r < ROWS; r++) {
            normal_equations(&b, &q, r, groups, s);
            for (int64_t g = 0; g < groups; g++)
                assert_true(fabs((double)q.scale[r * groups + g] / s[g] - 1) < 2e-4);
        }
        qtensor_release(&q);
        close_bench(&b);
    }
}

static double weighted_sum(const struct bench *b, const float *q)
{
    double sum = 0;
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t j = 0; j < COLS; j++) {
            double d = (double)q[r * COLS + j] - (double)b->w[r * COLS + j];
            sum += d * d * (double)b->gram.sum[j * COLS + j];
        }
    return sum;
}

static void searched_scales_are_never_worse_by_their_own_measure(void **state)
{
    (void)state;
    for (int c = 0; c < CASES; c++) {
        struct quant_args a = args_of(c);
        struct bench b;
        struct qtensor q;
        struct err e = { 0 };
        static float w[ROWS * COLS], diagonal[COLS];
        double plain, searched;
        open_bench(&b, &a);
        for (int64_t j = 0; j < COLS; j++)
            diagonal[j] = b.gram.sum[j * COLS + j];
        for (int search = 0; search < 2; search++) {
            memcpy(w, b.w, sizeof w);
            fitted(&q, &a, w, ROWS, COLS, DT_F32);
            if (search)
                assert_int_equal(scales_fit(w, diagonal, &q, &e), 0);
            assert_int_equal(solver_find("rtn")->solve(NULL, NULL, NULL, w, &q, NULL, &e), 0);
            *(search ? &searched : &plain) = weighted_sum(&b, w);
            qtensor_release(&q);
        }
        assert_true(searched <= plain * (1 + 1e-6));
        if (cases[c].bits < 4)
            assert_true(searched < 0.9 * plain);
        close_bench(&b);
    }
}

/* The first group has no columns before it: with the layout cut to it, the search's loss is GPTQ's. */
static void feedback_search_never_loses_to_the_scales_it_starts_from(void **state)
{
    (void)state;
    struct quant_args a = int_args(3, 1, STRATEGY_GROUP, COLS);
    struct solve_options o = { .block_size = 128 };
    double loss[2][ROWS];
    struct bench b;
    struct qtensor q;
    struct err e = { 0 };
    static float w[ROWS * COLS];
    int lower = 0;
    open_bench(&b, &a);
    for (int search = 0; search < 2; search++) {
        memcpy(w, b.w, sizeof w);
        fitted(&q, &a, w, ROWS, COLS, DT_F32);
        if (search)
            assert_int_equal(feedback_fit(&b.tune.natural, w, &q, &e), 0);
        o.row_loss = loss[search];
        assert_int_equal(solver_find("gptq")->solve(&o, &b.tune.natural, NULL, w, &q, NULL, &e), 0);
        qtensor_release(&q);
    }
    for (int r = 0; r < ROWS; r++) {
        assert_true(loss[1][r] <= loss[0][r] * (1 + 1e-5));
        lower += loss[1][r] < loss[0][r];
    }
    assert_true(lower > ROWS / 2);
    close_bench(&b);
}

static double all_loss(const struct bench *b, const float *w)
{
    double sum = 0;
    for (int64_t r = 0; r < ROWS; r++)
        sum += row_loss(b, w, r);
    return sum;
}

static void the_presets_are_better_in_order(void **state)
{
    (void)state;
    for (int c = 0; c < CASES; c++) {
        struct quant_args a = args_of(c);
        struct solve_options o[3] = { { .block_size = 128 },
                                      { .block_size = 128, .scale_search = SCALES_IMPORTANCE },
                                      best_options() };
        double loss[3];
        struct bench b;
        static float w[ROWS * COLS];
        open_bench(&b, &a);
        if (!cases[c].group)
            o[2].scale_search = SCALES_IMPORTANCE;
        for (int i = 0; i < 3; i++) {
            struct qtensor q;
            solved(&b, &a, &o[i], w, &q);
            same_as_decoded(&q, w);
            loss[i] = all_loss(&b, w);
            qtensor_release(&q);
        }
        assert_true(loss[2] < loss[1]);
        if (cases[c].bits < 8)
            assert_true(loss[1] < loss[0]);
        close_bench(&b);
    }
}

/* What the heap held at most above `from`, after a ballast that brought it to its peak so far. */
static void *ballast(uint64_t *from)
{
    struct err e = { 0 };
    void *p = mem_alloc(mem_use().peak - mem_use().now + 1, &e);
    assert_non_null(p);
    *from = mem_use().now;
    return p;
}

static void solving_takes_what_it_says(void **state)
{
    (void)state;
    for (int c = 0; c < CASES; c++) {
        struct quant_args a = args_of(c);
        struct solve_options o[] = { { .block_size = 128 },
                                     { .block_size = 128, .scale_search = SCALES_IMPORTANCE },
                                     { .block_size = 128, .scale_search = SCALES_FEEDBACK },
                                     { .block_size = 128, .sweeps = 2 },
                                     best_options() };
        struct bench b;
        static float w[ROWS * COLS];
        open_bench(&b, &a);
        for (size_t i = 0; i < sizeof o / sizeof *o; i++) {
            struct qtensor q;
            struct solve_result res;
            struct err e = { 0 };
            uint64_t from;
            memcpy(w, b.w, sizeof w);
            fitted(&q, &a, w, ROWS, COLS, DT_F32);
            void *weight = ballast(&from);
            assert_int_equal(tune_solve(&o[i], &b.tune, &b.factor, &b.gram, w, &q, &res, &e), 0);
            double took = (double)(mem_use().peak - from), said = (double)solve_bytes(&o[i], &q.layout);
            if (took > said || took < 0.9 * said)
                fail_msg("case %d, options %zu: took %g, said %g", c, i, took, said);
            mem_free(weight);
            qtensor_release(&q);
        }
        close_bench(&b);
    }
}

static void quick_damping_takes_what_it_says(void **state)
{
    (void)state;
    struct quant_args a = int_args(4, 1, STRATEGY_GROUP, 32);
    struct gram g;
    struct grid_layout l;
    struct err e = { 0 };
    float *x = inputs(15, 400, COLS), *w = numbers(9, ROWS * COLS, 0.1f);
    const float *ws[] = { w, w, w };
    const struct grid_layout *ls[] = { &l, &l, &l };
    double frac;
    uint64_t from;
    assert_int_equal(layout_init(&l, &a, ROWS, COLS, DT_F32, &e), 0);
    fill_gram(&g, x, 400, COLS, 4);
    void *weight = ballast(&from);
    assert_int_equal(damp_quick(&g, ACTORDER_STATIC, ws, ls, 3, &frac, &e), 0);
    double took = (double)(mem_use().peak - from),
           said = (double)damp_quick_bytes(COLS, 3 * damp_quick_rows(ROWS));
    if (took > said || took < 0.9 * said)
        fail_msg("took %g, said %g", took, said);
    mem_free(weight);
    gram_release(&g);
    mem_free(x);
    mem_free(w);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    static const struct {
        const char *level;
        int width;
    } runs[] = { { "c", 1 },  { "avx2", 1 }, { "avx512", 2 }, { NULL, 1 },
                 { NULL, 2 }, { NULL, 3 },   { NULL, 7 } };
    enum { RUNS = sizeof runs / sizeof *runs };
    static float w[RUNS][ROWS * COLS];
    static int8_t codes[RUNS][ROWS * COLS];
    float *x = inputs(5, TOKENS, COLS), *x0 = inputs(6, TOKENS, COLS);
    for (int i = 0; i < RUNS; i++) {
        struct quant_args a = int_args(3, 0, STRATEGY_GROUP, 32);
        struct solve_options o = best_options();
        struct cross c;
        struct bench b;
        struct qtensor q;
        struct err e = { 0 };
        double frac = 0;
        if (!kernels_init(runs[i].level, runs[i].width)) {
            print_message("skipped: level %s is not on this CPU\n", runs[i].level);
            continue;
        }
        open_bench(&b, &a);
        assert_int_equal(cross_init(&c, COLS, 2, &links_none, &e), 0);
        for (int k = 0; k < 2; k++)
            assert_int_equal(cross_add(&c, k, x + k * 450 * COLS, x0 + k * 450 * COLS, 450, COLS, &e), 0);
        assert_int_equal(cross_finish(&c, &links_none, here, &e), 0);
        assert_int_equal(cross_target(&c, &b.factor, 0.5, b.w, ROWS, &e), 0);
        solved(&b, &a, &o, w[i], &q);
        memcpy(codes[i], q.codes, sizeof codes[i]);
        same_floats(w[0], w[i], ROWS * COLS);
        same_codes(codes[0], codes[i], ROWS * COLS);
        (void)frac;
        cross_release(&c);
        qtensor_release(&q);
        close_bench(&b);
    }
    kernels_init(NULL, 2);
    mem_free(x);
    mem_free(x0);
}

/* The gradient of |W X0^T - V X^T|^2 + lambda |V - W|^2 at V = W* is zero: V (H + lambda) = W (C + lambda). */
static void the_asymmetric_target_solves_the_normal_equations(void **state)
{
    (void)state;
    static const enum actorder orders[] = { ACTORDER_NONE, ACTORDER_STATIC };
    float *x = inputs(5, TOKENS, COLS), *noise = numbers(8, TOKENS * COLS, 0.2f);
    float *x0 = inputs(5, TOKENS, COLS);
    for (int i = 0; i < TOKENS * COLS; i++)
        x0[i] += noise[i] + 0.1f * x[(i + 3) % (TOKENS * COLS)];
    for (int o = 0; o < 2; o++) {
        struct gram g;
        struct factor f;
        struct cross c;
        struct err e = { 0 };
        float *w = numbers(9, 5 * COLS, 0.1f), *v = numbers(9, 5 * COLS, 0.1f);
        fill_gram(&g, x, TOKENS, COLS, 18);
        assert_int_equal(factor_init(&f, &g, orders[o], 0.02, &e), 0);
        assert_int_equal(cross_init(&c, COLS, 18, &links_none, &e), 0);
        for (int k = 0; k < 18; k++)
            assert_int_equal(cross_add(&c, k, x + k * 50 * COLS, x0 + k * 50 * COLS, 50, COLS, &e), 0);
        assert_int_equal(cross_finish(&c, &links_none, here, &e), 0);
        assert_int_equal(cross_target(&c, &f, 1.0, v, 5, &e), 0);
        double worst = 0, size = 0;
        for (int r = 0; r < 5; r++)
            for (int j = 0; j < COLS; j++) {
                double lambda = f.damp_frac * f.mean_diag,
                       left = lambda * ((double)v[r * COLS + j] - (double)w[r * COLS + j]);
                for (int t = 0; t < TOKENS; t++) {
                    double y = 0;
                    for (int i = 0; r == 0 && i < COLS; i++)
                        y += (double)v[i] * (double)x[t * COLS + i] - (double)w[i] * (double)x0[t * COLS + i];
                    left += r == 0 ? 2.0 / 18 * y * (double)x[t * COLS + j] : 0;
                }
                if (r)
                    continue;
                worst = fabs(left) > worst ? fabs(left) : worst;
                double right = 0;
                for (int t = 0; t < TOKENS; t++)
                    right += 2.0 / 18 * fabs((double)x[t * COLS + j]) * 0.02;
                size += right / COLS;
            }
        assert_true(worst < 1e-3 * size);
        cross_release(&c);
        factor_release(&f);
        gram_release(&g);
        mem_free(w);
        mem_free(v);
    }
    mem_free(x);
    mem_free(x0);
    mem_free(noise);
}

static void the_quick_damping_is_near_the_thorough_one(void **state)
{
    (void)state;
    struct quant_args a = int_args(4, 1, STRATEGY_GROUP, 32);
    static const int64_t tokens[] = { 60, 4000 };
    double quick[2], slow[2];
    for (int i = 0; i < 2; i++) {
        struct gram g;
        struct grid_layout l;
        struct err e = { 0 };
        float *x = inputs(15, tokens[i], COLS), *w = numbers(9, ROWS * COLS, 0.1f);
        const float *ws[] = { w };
        const struct grid_layout *ls[] = { &l };
        assert_int_equal(layout_init(&l, &a, ROWS, COLS, DT_F32, &e), 0);
        assert_int_equal(gram_init(&g, COLS, 4, 1, &e), 0);
        for (int64_t c = 0; c < 4; c++)
            assert_int_equal(gram_add(&g, c, x + c * tokens[i] / 4 * COLS, tokens[i] / 4, COLS, &e), 0);
        assert_int_equal(gram_finish(&g, &e), 0);
        assert_int_equal(damp_quick(&g, ACTORDER_STATIC, ws, ls, 1, &quick[i], &e), 0);
        assert_int_equal(damp_auto(&g, ACTORDER_STATIC, ws, ls, 1, &slow[i], &e), 0);
        gram_release(&g);
        mem_free(x);
        mem_free(w);
    }
    for (int i = 0; i < 2; i++)
        assert_true(quick[i] / slow[i] < 31 && slow[i] / quick[i] < 31); /* three steps of the grid */
    assert_true(quick[0] > quick[1]);
}

static void every_grid_takes_every_option_and_its_decoded_values_are_its_codes(void **state)
{
    (void)state;
    int done = 0;
    for (const struct preset *p = presets; p->name; p++) {
        struct err e = { 0 };
        struct solve_options o = best_options();
        struct grid_layout l;
        struct bench b;
        struct qtensor q;
        static float w[ROWS * COLS];
        if (!p->scheme.has_weights || !grid_for(&p->scheme.weights, &e) ||
            layout_init(&l, &p->scheme.weights, ROWS, COLS, DT_F32, &e))
            continue;
        if (!tune_searches(&l)) {
            o.scale_search = SCALES_OBSERVER;
            o.refit = 0;
        }
        open_bench(&b, &p->scheme.weights);
        solved(&b, &p->scheme.weights, &o, w, &q);
        same_as_decoded(&q, w);
        qtensor_release(&q);
        close_bench(&b);
        done++;
    }
    assert_true(done >= 6);
}

static void lack_of_memory_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    struct quant_args a = int_args(3, 1, STRATEGY_GROUP, 32);
    struct solve_options o = best_options();
    struct bench b;
    static float w[ROWS * COLS];
    int failed = 0, n = 1;
    open_bench(&b, &a);
    for (; n < 200; n++) {
        struct err e = { 0 };
        struct qtensor q;
        memcpy(w, b.w, sizeof w);
        fitted(&q, &a, w, ROWS, COLS, DT_F32);
        mem_fail_at((uint64_t)n, 0);
        int rc = tune_solve(&o, &b.tune, &b.factor, &b.gram, w, &q, NULL, &e);
        mem_fail_at(0, 0);
        qtensor_release(&q);
        if (!rc)
            break;
        assert_int_equal(e.code, ERR_NOMEM);
        failed++;
    }
    assert_true(failed > 10 && n < 200);
    close_bench(&b);
}

int main(void)
{
    kernels_init(NULL, 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gptq_leaves_the_gradient),
        cmocka_unit_test(a_sweep_never_raises_the_loss_of_a_row),
        cmocka_unit_test(scales_fitted_again_and_again_are_least_squares),
        cmocka_unit_test(searched_scales_are_never_worse_by_their_own_measure),
        cmocka_unit_test(feedback_search_never_loses_to_the_scales_it_starts_from),
        cmocka_unit_test(the_presets_are_better_in_order),
        cmocka_unit_test(the_asymmetric_target_solves_the_normal_equations),
        cmocka_unit_test(the_quick_damping_is_near_the_thorough_one),
        cmocka_unit_test(solving_takes_what_it_says),
        cmocka_unit_test(quick_damping_takes_what_it_says),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(every_grid_takes_every_option_and_its_decoded_values_are_its_codes),
        cmocka_unit_test(lack_of_memory_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests_name("what surrounds gptq", tests, NULL, NULL);
}
