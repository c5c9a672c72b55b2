/* solver.c - rtn and gptq: GPTQ against its inverse-based form in float64, losses against term by term sums, dead
 * columns, the ladder of dampening, and that bits depend on neither threads, rows, nor block_size. */
#include "help.h"
#include <math.h>
#include <string.h>

static int solve_with(const char *solver, const struct factor *f, const struct gram *g, float *w,
                      struct qtensor *q, struct solve_result *res, struct err *e)
{
    const struct solve_options o = { .dampening_frac = 0.01, .block_size = 128 };
    return solver_find(solver)->solve(&o, f, g, w, q, res, e);
}

static float *copy_of(const float *x, int64_t n)
{
    float *y = mem_array((size_t)n, sizeof *y, NULL);
    assert_non_null(y);
    memcpy(y, x, (size_t)n * sizeof *y);
    return y;
}

/* ---- GPTQ as the paper has it, in float64: inverse, its Cholesky factor U, errors pushed to later columns ---- */

static void invert(int64_t k, double *a)
{
    double *b = mem_array((size_t)(k * k), sizeof *b, NULL);
    for (int64_t i = 0; i < k; i++)
        b[i * k + i] = 1;
    for (int64_t i = 0; i < k; i++) {
        double d = a[i * k + i];
        for (int64_t j = 0; j < k; j++) {
            a[i * k + j] /= d;
            b[i * k + j] /= d;
        }
        for (int64_t r = 0; r < k; r++) {
            double m = r == i ? 0 : a[r * k + i];
            for (int64_t j = 0; j < k; j++) {
                a[r * k + j] -= m * a[i * k + j];
                b[r * k + j] -= m * b[i * k + j];
            }
        }
    }
    memcpy(a, b, (size_t)(k * k) * sizeof *a);
    mem_free(b);
}

/* a = U^T U, U upper, in place. */
static void upper_cholesky(int64_t k, double *a)
{
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = i; j < k; j++) {
            double s = a[i * k + j];
            for (int64_t t = 0; t < i; t++)
                s -= a[t * k + i] * a[t * k + j];
            a[i * k + j] = i == j ? sqrt(s) : s / a[i * k + i];
        }
}

static double *damped_inverse_factor(const struct gram *g, const int64_t *order, double frac)
{
    int64_t k = g->k;
    double *h = mem_array((size_t)(k * k), sizeof *h, NULL), mean = 0;
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < k; j++) {
            int64_t a = order[i] > order[j] ? order[i] : order[j], b = order[i] + order[j] - a;
            h[i * k + j] = 2.0 / (double)g->sequences * (double)g->sum[a * k + b];
        }
    for (int64_t i = 0; i < k; i++) {
        h[i * k + i] = h[i * k + i] == 0 ? 1 : h[i * k + i];
        mean += h[i * k + i] / (double)k;
    }
    for (int64_t i = 0; i < k; i++)
        h[i * k + i] += frac * mean;
    invert(k, h);
    upper_cholesky(k, h);
    return h;
}

/* codes of the reference; peer: its summed loss. */
static int8_t *reference_gptq(const struct gram *g, const struct factor *f, const float *w,
                              const struct qtensor *q, double frac, double *peer)
{
    const struct grid_layout *l = &q->layout;
    int64_t k = g->k;
    double *u = damped_inverse_factor(g, f->order, frac), *x = mem_array((size_t)k, sizeof *x, NULL);
    int8_t *codes = mem_array((size_t)(l->rows * k), 1, NULL);
    *peer = 0;
    for (int64_t r = 0; r < l->rows; r++) {
        for (int64_t j = 0; j < k; j++)
            x[j] = f->dead[f->order[j]] ? 0 : (double)w[r * k + f->order[j]];
        for (int64_t j = 0; j < k; j++) {
            int64_t c = f->order[j], i = r / l->cell_rows * l->param_cols + c / l->cell_cols;
            float v = (float)x[j], d;
            grid_find("int")->round(l, &v, 1, q->scale[i], q->zero ? q->zero[i] : 0, &codes[r * k + c], &d);
            double err = (x[j] - (double)d) / u[j * k + j];
            *peer += err * err / 2;
            for (int64_t n = j; n < k; n++)
                x[n] -= err * u[j * k + n];
        }
    }
    mem_free(u);
    mem_free(x);
    return codes;
}

static const struct problem {
    int64_t rows, k;
    int bits, symmetric;
    enum strategy strategy;
    int64_t group;
    enum actorder order;
    enum dtype t;
} problems[] = {
    { 5, 1, 4, 1, STRATEGY_CHANNEL, 0, ACTORDER_NONE, DT_F32 },
    { 33, 64, 4, 1, STRATEGY_GROUP, 32, ACTORDER_NONE, DT_F32 },
    { 31, 64, 4, 0, STRATEGY_GROUP, 16, ACTORDER_STATIC, DT_BF16 },
    { 40, 129, 3, 0, STRATEGY_CHANNEL, 0, ACTORDER_WEIGHT, DT_F16 },
    { 64, 300, 4, 1, STRATEGY_TENSOR, 0, ACTORDER_STATIC, DT_F32 },
    { 32, 256, 2, 0, STRATEGY_GROUP, 64, ACTORDER_NONE, DT_BF16 },
    { 70, 260, 8, 1, STRATEGY_BLOCK, 48, ACTORDER_WEIGHT, DT_F32 },
};
enum { PROBLEMS = sizeof problems / sizeof problems[0] };

struct setup {
    struct gram g;
    struct factor f;
    struct qtensor q;
    float *w, *solved;
};

static void set_up(struct setup *s, const struct problem *p, uint64_t seed, int64_t tokens, double damp)
{
    struct err e = { 0 };
    float *x = inputs(seed, tokens, p->k);
    struct quant_args a = int_args(p->bits, p->symmetric, p->strategy, p->group);
    fill_gram(&s->g, x, tokens, p->k, tokens < 8 ? tokens : 8);
    mem_free(x);
    if (factor_init(&s->f, &s->g, p->order, damp, &e))
        no_error(&e);
    s->w = numbers(seed + 1, p->rows * p->k, 0.05f);
    s->solved = copy_of(s->w, p->rows * p->k);
    fitted(&s->q, &a, s->w, p->rows, p->k, p->t);
}

static void tear_down(struct setup *s)
{
    gram_release(&s->g);
    factor_release(&s->f);
    qtensor_release(&s->q);
    mem_free(s->w);
    mem_free(s->solved);
}

static void close_to(double got, double want, double tolerance, const char *what)
{
    if (!(fabs(got - want) <= tolerance * fabs(want)))
        fail_msg("%s: %.9g, want %.9g", what, got, want);
}

static void check_result(const struct setup *s, const struct problem *p, const struct solve_result *res)
{
    int64_t n = p->rows * p->k;
    float *e = mem_array((size_t)n, sizeof *e, NULL), *decoded = mem_array((size_t)n, sizeof *e, NULL);
    double e2 = 0, w2 = 0;
    qtensor_decode(&s->q, 0, p->rows, decoded);
    same_floats(decoded, s->solved, n); /* w is what the codes say */
    for (int64_t i = 0; i < n; i++) {
        e[i] = s->w[i] - decoded[i];
        e2 += (double)e[i] * (double)e[i];
        w2 += (double)s->w[i] * (double)s->w[i];
    }
    close_to(res->loss, plain_error(&s->g, e, p->rows), 1e-4, "loss");
    close_to(weighted_error(&s->g, e, p->rows), plain_error(&s->g, e, p->rows), 1e-5, "weighted_error");
    close_to(res->weight_loss, plain_error(&s->g, s->w, p->rows), 1e-5, "weight_loss");
    close_to(res->weight_error, sqrt(e2 / w2), 1e-7, "weight_error");
    mem_free(e);
    mem_free(decoded);
}

static void gptq_codes_equal_the_inverse_based_form_in_float64(void **state)
{
    (void)state;
    for (int i = 0; i < PROBLEMS; i++) {
        const struct problem *p = &problems[i];
        struct setup s;
        struct solve_result res;
        struct err e = { 0 };
        double peer;
        int64_t differ = 0;
        set_up(&s, p, (uint64_t)(10 + i), 3 * p->k + 8, 0.01);
        int8_t *want = reference_gptq(&s.g, &s.f, s.w, &s.q, 0.01, &peer);
        assert_int_equal(solve_with("gptq", &s.f, &s.g, s.solved, &s.q, &res, &e), 0);
        for (int64_t j = 0; j < p->rows * p->k; j++)
            differ += want[j] != s.q.codes[j];
        if (differ * 100 > p->rows * p->k) /* a tie that falls the other way changes the rest of its row */
            fail_msg("problem %d: %d of %d codes differ", i, (int)differ, (int)(p->rows * p->k));
        close_to(res.peer_loss, peer, 2e-3, "peer_loss");
        check_result(&s, p, &res);
        mem_free(want);
        tear_down(&s);
    }
}

static void rtn_reports_its_losses_and_gptq_beats_it_on_correlated_inputs(void **state)
{
    (void)state;
    for (int i = 1; i < PROBLEMS; i++) {
        const struct problem *p = &problems[i];
        struct setup s;
        struct solve_result rtn, gptq;
        struct err e = { 0 };
        set_up(&s, p, (uint64_t)(30 + i), 4 * p->k, 0.01);
        assert_int_equal(solve_with("rtn", NULL, &s.g, s.solved, &s.q, &rtn, &e), 0);
        check_result(&s, p, &rtn);
        assert_true(rtn.peer_loss == 0);
        memcpy(s.solved, s.w, (size_t)(p->rows * p->k) * sizeof *s.w);
        assert_int_equal(solve_with("gptq", &s.f, &s.g, s.solved, &s.q, &gptq, &e), 0);
        assert_true(gptq.loss < 0.8 * rtn.loss);
        assert_true(rtn.weight_error < gptq.weight_error);
        tear_down(&s);
    }
}

static void white_inputs_make_gptq_round_to_nearest(void **state)
{
    (void)state;
    enum { K = 150 };
    struct gram g = { .k = K, .chunks = 1, .rows = K, .sequences = 1 };
    struct factor f;
    struct err e = { 0 };
    struct quant_args a = int_args(4, 1, STRATEGY_CHANNEL, 0);
    struct qtensor q, r;
    float *w = numbers(50, 9 * K, 0.1f), *v = copy_of(w, 9 * K);
    g.sum = mem_array(K * K, sizeof *g.sum, NULL);
    for (int i = 0; i < K; i++)
        g.sum[i * K + i] = 1.0f + (float)(i % 7);
    fitted(&q, &a, w, 9, K, DT_F32);
    fitted(&r, &a, w, 9, K, DT_F32);
    assert_int_equal(factor_init(&f, &g, ACTORDER_STATIC, 0.01, &e), 0);
    assert_int_equal(solve_with("gptq", &f, &g, w, &q, NULL, &e), 0);
    assert_int_equal(solve_with("rtn", NULL, NULL, v, &r, NULL, &e), 0);
    same_codes(q.codes, r.codes, 9 * K);
    for (int i = 0; i + 1 < K; i++) { /* falling diagonal; ties by index */
        int64_t x = f.order[i], y = f.order[i + 1];
        float dx = g.sum[x * K + x], dy = g.sum[y * K + y];
        assert_true(dx > dy || (dx == dy && x < y));
    }
    factor_release(&f);
    qtensor_release(&q);
    qtensor_release(&r);
    mem_free(w);
    mem_free(v);
    mem_free(g.sum);
}

static void dead_columns_become_zero_and_disturb_nobody(void **state)
{
    (void)state;
    enum { K = 70, N = 300, ROWS = 6 };
    float *x = inputs(60, N, K), *w = numbers(61, ROWS * K, 0.1f), *before = copy_of(w, ROWS * K);
    struct quant_args a = int_args(4, 0, STRATEGY_GROUP, 35);
    struct gram g;
    struct factor f;
    struct qtensor q;
    struct solve_result res;
    struct err e = { 0 };
    for (int r = 0; r < N; r++)
        x[r * K + 3] = x[r * K + 69] = 0.0f;
    fill_gram(&g, x, N, K, 5);
    fitted(&q, &a, w, ROWS, K, DT_F32);
    for (int order = 0; order < 2; order++) {
        memcpy(w, before, sizeof *w * ROWS * K);
        assert_int_equal(factor_init(&f, &g, order ? ACTORDER_STATIC : ACTORDER_NONE, 0.01, &e), 0);
        for (int c = 0; c < K; c++)
            assert_int_equal(f.dead[c], c == 3 || c == 69);
        assert_int_equal(solve_with("gptq", &f, &g, w, &q, &res, &e), 0);
        for (int r = 0; r < ROWS; r++) {
            assert_true(w[r * K + 3] == 0.0f && w[r * K + 69] == 0.0f);
            assert_int_equal(q.codes[r * K + 3], q.zero[r * 2]);
        }
        for (int i = 0; i < ROWS * K; i++)
            before[i] -= w[i];
        close_to(res.loss, plain_error(&g, before, ROWS), 1e-4, "loss");
        for (int i = 0; i < ROWS * K; i++)
            before[i] += w[i];
        factor_release(&f);
    }
    gram_release(&g);
    qtensor_release(&q);
    mem_free(x);
    mem_free(w);
    mem_free(before);
}

static void too_few_tokens_climb_the_ladder_and_say_so(void **state)
{
    (void)state;
    enum { K = 200 };
    struct gram g;
    struct factor f;
    struct err e = { 0 };
    float *x = inputs(70, 5, K);
    for (int i = 0; i < 5 * K; i++)
        x[i] *= i % K == 7 ? 1e3f : 1.0f;
    fill_gram(&g, x, 5, K, 5);
    assert_int_equal(factor_init(&f, &g, ACTORDER_STATIC, 1e-9, &e),
                     0); /* below float32: singular at first */
    assert_true(f.attempts > 1);
    close_to(f.damp_frac, 1e-9 * pow(10, f.attempts - 1), 1e-9, "damp_frac");
    factor_release(&f);
    assert_int_equal(factor_init(&f, &g, ACTORDER_STATIC, 0, &e), 0);
    assert_true(f.attempts > 1 && f.damp_frac >= 1e-4);
    factor_release(&f);
    assert_int_equal(factor_init(&f, &g, ACTORDER_STATIC, 0.01, &e), 0);
    assert_int_equal(f.attempts, 1);
    assert_true(f.damp_frac == 0.01);
    factor_release(&f);
    for (int i = 0; i < K; i++) /* no Gram matrix at all: its diagonal is far too small for the rest */
        for (int j = 0; j < i; j++)
            g.sum[i * K + j] = 1e12f;
    assert_int_equal(factor_init(&f, &g, ACTORDER_NONE, 0.02, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_string_equal(
        e.what, "the Gram matrix of 200 inputs (5 tokens) is not positive definite even with 1 of its "
                "mean diagonal added");
    assert_string_equal(e.hint, "Use more calibration text, or round this module with solver rtn.");
    gram_release(&g);
    mem_free(x);
}

static void no_tokens_and_senseless_numbers_are_refused(void **state)
{
    (void)state;
    float zero = 0, minus = -1;
    struct gram g = { .k = 1, .chunks = 1, .sum = &zero };
    struct factor f;
    struct err e = { 0 };
    assert_int_equal(factor_init(&f, &g, ACTORDER_NONE, 0.01, &e), -1);
    assert_string_equal(e.what, "no calibration token reached these 1 inputs");
    g.rows = g.sequences = 1;
    memset(&e, 0, sizeof e);
    assert_int_equal(factor_init(&f, &g, ACTORDER_NONE, -0.01, &e), -1);
    assert_string_equal(e.what, "dampening_frac: found -0.01, expected a number >= 0");
    memset(&e, 0, sizeof e);
    g.sum = &minus;
    assert_int_equal(factor_init(&f, &g, ACTORDER_NONE, 0.01, &e), -1);
    assert_string_equal(e.what, "column 0 of the Gram matrix has -1 on the diagonal, expected finite >= 0");
}

static void bits_do_not_depend_on_threads_rows_or_block_size(void **state)
{
    (void)state;
    static const struct problem p = { 75, 290, 4, 0, STRATEGY_GROUP, 58, ACTORDER_STATIC, DT_BF16 };
    static const int widths[] = { 1, 2, 3, 7 };
    struct setup s[4];
    struct solve_result res[4];
    struct err e = { 0 };
    for (int i = 0; i < 4; i++) {
        const struct solve_options o = { .block_size = 1 + 100 * i };
        kernels_init(NULL, widths[i]);
        set_up(&s[i], &p, 80, 900, 0.01);
        assert_int_equal(solver_find("gptq")->solve(&o, &s[i].f, &s[i].g, s[i].solved, &s[i].q, &res[i], &e),
                         0);
        same_codes(s[i].q.codes, s[0].q.codes, p.rows * p.k);
        same_floats(s[i].solved, s[0].solved, p.rows * p.k);
        assert_memory_equal(&res[i], &res[0], sizeof res[0]);
    }
    kernels_init(NULL, 2);
    for (int64_t from = 0, n = 13; from + n <= p.rows; from += n) { /* some rows alone: the same codes */
        struct quant_args a = s[0].q.layout.args;
        struct qtensor q;
        float *w = copy_of(s[0].w + from * p.k, n * p.k);
        fitted(&q, &a, w, n, p.k, p.t);
        assert_int_equal(solve_with("gptq", &s[0].f, NULL, w, &q, NULL, &e), 0);
        same_codes(q.codes, s[0].q.codes + from * p.k, n * p.k);
        qtensor_release(&q);
        mem_free(w);
    }
    for (int i = 0; i < 4; i++)
        tear_down(&s[i]);
}

static void bad_weights_and_options_change_nothing(void **state)
{
    (void)state;
    static const struct problem p = { 10, 40, 4, 1, STRATEGY_CHANNEL, 0, ACTORDER_NONE, DT_F32 };
    static const char *const names[] = { "rtn", "gptq" };
    struct setup s;
    struct err e = { 0 };
    const struct solve_options none = { .block_size = 0 };
    set_up(&s, &p, 90, 200, 0.01);
    assert_int_equal(solver_find("gptq")->solve(&none, &s.f, &s.g, s.solved, &s.q, NULL, &e), -1);
    assert_string_equal(e.what, "block_size: found 0, expected at least 1");
    s.solved[7 * 40 + 22] = NAN;
    for (int i = 0; i < 2; i++) {
        memset(&e, 0, sizeof e);
        assert_int_equal(solve_with(names[i], &s.f, &s.g, s.solved, &s.q, NULL, &e), -1);
        assert_int_equal(e.code, ERR_INPUT);
        assert_string_equal(e.what, "weight is NaN at row 7, column 22, expected finite numbers");
        same_floats(s.solved, s.w, 7 * 40 + 22);
    }
    assert_null(solver_find("awq"));
    tear_down(&s);
}

static void lack_of_memory_is_an_error_and_changes_nothing(void **state)
{
    (void)state;
    static const struct problem p = { 40, 140, 4, 1, STRATEGY_CHANNEL, 0, ACTORDER_STATIC, DT_F32 };
    struct setup s;
    set_up(&s, &p, 95, 300, 0.01);
    uint64_t before = mem_use().count;
    struct solve_result want, res;
    struct err e = { 0 };
    assert_int_equal(solve_with("gptq", &s.f, &s.g, s.solved, &s.q, &want, &e), 0);
    for (int which = 0; which < 3; which++) {
        int rc = -1;
        for (uint64_t n = 1; rc || n < 12;
             n++) { /* weighted_error gets by without memory: to the same bits */
            struct factor f = { 0 };
            memset(&e, 0, sizeof e);
            memcpy(s.solved, s.w, (size_t)(p.rows * p.k) * sizeof *s.w);
            mem_fail_at(n, 0);
            rc = which == 0   ? factor_init(&f, &s.g, ACTORDER_STATIC, 0.01, &e)
                 : which == 1 ? solve_with("gptq", &s.f, &s.g, s.solved, &s.q, &res, &e)
                              : solve_with("rtn", NULL, &s.g, s.solved, &s.q, &res, &e);
            mem_fail_at(0, 0);
            factor_release(&f);
            assert_int_equal(e.code, rc ? ERR_NOMEM : ERR_OK);
            assert_int_equal(mem_use().count, before);
            if (rc)
                same_floats(s.solved, s.w, p.rows * p.k);
            else if (which == 1)
                assert_memory_equal(&res, &want, sizeof res);
            assert_true(n < 50 && (n > 1 || rc));
        }
    }
    tear_down(&s);
}

int main(void)
{
    kernels_init(NULL, 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gptq_codes_equal_the_inverse_based_form_in_float64),
        cmocka_unit_test(rtn_reports_its_losses_and_gptq_beats_it_on_correlated_inputs),
        cmocka_unit_test(white_inputs_make_gptq_round_to_nearest),
        cmocka_unit_test(dead_columns_become_zero_and_disturb_nobody),
        cmocka_unit_test(too_few_tokens_climb_the_ladder_and_say_so),
        cmocka_unit_test(no_tokens_and_senseless_numbers_are_refused),
        cmocka_unit_test(bits_do_not_depend_on_threads_rows_or_block_size),
        cmocka_unit_test(bad_weights_and_options_change_nothing),
        cmocka_unit_test(lack_of_memory_is_an_error_and_changes_nothing),
    };
    return cmocka_run_group_tests_name("quant solvers", tests, NULL, NULL);
}
