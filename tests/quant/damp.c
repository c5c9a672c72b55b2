/* damp.c - the two-fold choice of damping: few tokens want more of it than many, the choice is near the best on new
 * tokens, and it depends on nothing but its inputs. */
#include "help.h"
#include <math.h>
#include <string.h>

enum { K = 96, ROWS = 48 };
static const double fractions[] = { 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3 };

struct case_of {
    struct gram g;
    float *w;
    struct grid_layout l;
};

/* tokens `from` .. from+tokens of the stream of `seed`: two pieces of one stream follow one distribution. */
static void set_up(struct case_of *c, int64_t from, int64_t tokens, uint64_t seed)
{
    struct quant_args a = int_args(3, 1, STRATEGY_GROUP, 32);
    float *x = inputs(seed, from + tokens, K);
    fill_gram(&c->g, x + from * K, tokens, K, 16);
    mem_free(x);
    c->w = numbers(7, ROWS * K, 0.05f);
    assert_int_equal(layout_init(&c->l, &a, ROWS, K, DT_F32, NULL), 0);
}

static void tear_down(struct case_of *c)
{
    gram_release(&c->g);
    mem_free(c->w);
}

static int choose(const struct case_of *c, double *frac, struct err *e)
{
    const float *w = c->w;
    const struct grid_layout *l = &c->l;
    return damp_auto(&c->g, ACTORDER_STATIC, &w, &l, 1, frac, e);
}

/* Loss of a solve on c under the Gram matrix of other tokens. */
static double loss_on(const struct case_of *c, const struct gram *other, double frac)
{
    const struct solve_options o = { .block_size = 128 };
    struct err e = { 0 };
    struct factor f;
    struct qtensor q;
    float *w = mem_array(ROWS * K, sizeof *w, NULL);
    memcpy(w, c->w, sizeof *w * ROWS * K);
    fitted(&q, &c->l.args, w, ROWS, K, DT_F32);
    if (factor_init(&f, &c->g, ACTORDER_STATIC, frac, &e) ||
        solver_find("gptq")->solve(&o, &f, NULL, w, &q, NULL, &e))
        no_error(&e);
    for (int i = 0; i < ROWS * K; i++)
        w[i] = c->w[i] - w[i];
    double loss = weighted_error(other, w, ROWS);
    factor_release(&f);
    qtensor_release(&q);
    mem_free(w);
    return loss;
}

static void the_choice_is_near_the_best_on_new_tokens(void **state)
{
    (void)state;
    static const int64_t tokens[] = { K / 2, K, 4 * K, 64 * K };
    struct case_of fresh;
    double chosen[4];
    set_up(&fresh, 64 * K, 64 * K, 400);
    for (int i = 0; i < 4; i++) {
        struct case_of c;
        struct err e = { 0 };
        double best = (double)INFINITY;
        set_up(&c, 0, tokens[i], 400);
        if (choose(&c, &chosen[i], &e))
            no_error(&e);
        for (int j = 0; j < 7; j++)
            best = fmin(best, loss_on(&c, &fresh.g, fractions[j]));
        if (loss_on(&c, &fresh.g, chosen[i]) > 1.10 * best)
            fail_msg("%d tokens: chose %g: %g times the best", (int)tokens[i], chosen[i],
                     loss_on(&c, &fresh.g, chosen[i]) / best);
        tear_down(&c);
    }
    assert_true(chosen[0] > chosen[3]);
    tear_down(&fresh);
}

static void equal_losses_choose_the_largest(void **state)
{
    (void)state;
    struct case_of c;
    struct err e = { 0 };
    double frac = 0;
    set_up(&c, 0, 4 * K, 600);
    for (int i = 0; i < K; i++) /* white inputs: damping changes no code */
        for (int j = 0; j <= i; j++)
            c.g.sum[i * K + j] = 2 * (c.g.half[i * K + j] = i == j ? 100.0f : 0.0f);
    assert_int_equal(choose(&c, &frac, &e), 0);
    assert_true(frac == 3);
    tear_down(&c);
}

static void the_choice_does_not_depend_on_threads(void **state)
{
    (void)state;
    static const int widths[] = { 1, 2, 3, 7 };
    double frac[4] = { 0 };
    for (int i = 0; i < 4; i++) {
        struct case_of c;
        struct err e = { 0 };
        kernels_init(NULL, widths[i]);
        set_up(&c, 0, 2 * K, 700);
        assert_int_equal(choose(&c, &frac[i], &e), 0);
        assert_true(frac[i] == frac[0]);
        tear_down(&c);
    }
    kernels_init(NULL, 2);
}

static void one_half_without_tokens_is_refused(void **state)
{
    (void)state;
    struct quant_args a = int_args(3, 1, STRATEGY_GROUP, 32);
    struct case_of c = { .w = NULL };
    struct err e = { 0 };
    float *x = inputs(1, 8, K);
    double frac;
    fill_gram(&c.g, x, 8, K, 1);
    assert_int_equal(layout_init(&c.l, &a, ROWS, K, DT_F32, NULL), 0);
    assert_int_equal(choose(&c, &frac, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_string_equal(e.what, "dampening_frac auto needs calibration tokens in both halves: found 8 and 0");
    mem_free(x);
    tear_down(&c);
}

static void lack_of_memory_is_an_error(void **state)
{
    (void)state;
    struct case_of c;
    double frac, want;
    int rc = -1;
    struct err e = { 0 };
    set_up(&c, 0, 2 * K, 800);
    assert_int_equal(choose(&c, &want, &e), 0);
    uint64_t before = mem_use().count;
    for (uint64_t n = 1; rc || n < 20; n++) {
        memset(&e, 0, sizeof e);
        mem_fail_at(n, 0);
        rc = choose(&c, &frac, &e);
        mem_fail_at(0, 0);
        assert_int_equal(e.code, rc ? ERR_NOMEM : ERR_OK);
        assert_int_equal(mem_use().count, before);
        assert_true((rc || frac == want) && n < 1000 && (n > 1 || rc));
    }
    tear_down(&c);
}

int main(void)
{
    kernels_init(NULL, 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_choice_is_near_the_best_on_new_tokens),
        cmocka_unit_test(equal_losses_choose_the_largest),
        cmocka_unit_test(the_choice_does_not_depend_on_threads),
        cmocka_unit_test(one_half_without_tokens_is_refused),
        cmocka_unit_test(lack_of_memory_is_an_error),
    };
    return cmocka_run_group_tests_name("quant damping", tests, NULL, NULL);
}
