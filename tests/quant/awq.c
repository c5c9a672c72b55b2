/* awq.c - AWQ's search against a plain one: every candidate scaled, rounded and multiplied out on the inputs themselves, in
 * float64; the grid of candidates; SmoothQuant's formulas; statistics of channels. All of it for any number of threads. */
#include "quant/awq.h"
#include "help.h"
#include "quant/smooth.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { K = 64, TOKENS = 300, M0 = 40, M1 = 1100, GRID = 12 }; /* M1: three units of rows */

struct problem {
    struct gram g;
    float *x, *w[2];
    struct grid_layout l[2];
    struct awq_matrix m[2];
    struct awq_candidate c[GRID];
    int64_t channel[K];
    double x_mean[K];
    struct awq_problem p;
};

static void set_up(struct problem *t, enum awq_duo duo, const struct quant_args *a, int second)
{
    static const int64_t rows[2] = { M0, M1 };
    struct channel_stats s;
    struct err e = { 0 };
    memset(t, 0, sizeof *t);
    t->x = inputs(5, TOKENS, K);
    fill_gram(&t->g, t->x, TOKENS, K, 4);
    assert_int_equal(channel_stats_init(&s, K, 1, &e), 0);
    assert_int_equal(channel_stats_add(&s, 0, t->x, TOKENS, K, &e), 0);
    channel_stats_means(&s, t->x_mean);
    channel_stats_release(&s);
    for (int i = 0; i < 2; i++) {
        t->w[i] = numbers(11 + (uint64_t)i, rows[i] * K, 0.05f);
        assert_int_equal(layout_init(&t->l[i], a, rows[i], K, DT_F32, &e), 0);
        t->m[i] = (struct awq_matrix){ t->w[i], rows[i], grid_for(a, &e), &t->l[i] };
        assert_non_null(t->m[i].grid);
    }
    if (second < 0) /* a matrix that stays as it is */
        t->m[1].grid = NULL;
    for (int64_t k = 0; k < K; k++)
        t->channel[k] = k;
    t->p = (struct awq_problem){ .k = K,
                                 .channels = K,
                                 .channel = t->channel,
                                 .x_mean = t->x_mean,
                                 .matrix = t->m,
                                 .n = 2,
                                 .candidate = t->c };
    t->p.n_candidates = awq_candidates(duo, GRID, t->c);
}

static void tear_down(struct problem *t)
{
    gram_release(&t->g);
    mem_free(t->x);
    mem_free(t->w[0]);
    mem_free(t->w[1]);
}

/* Mean squared difference of outputs, from the inputs, with the observer and the solver of the data-free pass. */
static double plain_loss(const struct problem *t, const float *scale)
{
    double sum = 0;
    int64_t outputs = 0;
    for (int i = 0; i < 2; i++) {
        int64_t rows = t->m[i].rows;
        struct err e = { 0 };
        struct qtensor q;
        if (!t->m[i].grid)
            continue;
        float *w = mem_array((size_t)(rows * K), sizeof *w, NULL);
        for (int64_t k = 0; k < rows * K; k++)
            w[k] = t->w[i][k] * scale[t->channel[k % K]];
        fitted(&q, &t->l[i].args, w, rows, K, DT_F32);
        assert_int_equal(solver_find("rtn")->solve(&(struct solve_options){ .block_size = 128 }, NULL, NULL,
                                                   w, &q, NULL, &e),
                         0);
        for (int64_t n = 0; n < TOKENS; n++)
            for (int64_t r = 0; r < rows; r++) {
                double d = 0;
                for (int64_t k = 0; k < K; k++)
                    d += ((double)w[r * K + k] / (double)scale[t->channel[k]] - (double)t->w[i][r * K + k]) *
                         (double)t->x[n * K + k];
                sum += d * d;
            }
        outputs += rows;
        qtensor_release(&q);
        mem_free(w);
    }
    return sum / (double)(outputs * TOKENS);
}

static void compare(struct problem *t)
{
    struct err e = { 0 };
    struct awq_result res;
    float scales[K], candidate[K];
    double w_mean[K], best = (double)INFINITY, first = 0;
    int at = -1;
    assert_int_equal(awq_search(&t->p, &t->g, scales, &res, &e), 0);
    assert_int_equal(awq_weight_means(&t->p, w_mean, &e), 0);
    for (int c = 0; c < t->p.n_candidates; c++) {
        awq_scales(&t->p, w_mean, &t->c[c], candidate);
        double loss = plain_loss(t, candidate);
        first = c ? first : loss;
        if (loss < best) {
            best = loss;
            at = c;
            assert_true(c != res.index || !memcmp(candidate, scales, sizeof(float) * (size_t)t->p.channels));
        }
    }
    assert_int_equal(at, res.index);
    assert_true(fabs(res.loss / best - 1) < 1e-4 && fabs(res.before / first - 1) < 1e-4);
    assert_true(res.loss < res.before);
}

static void the_search_finds_what_multiplying_out_finds(void **state)
{
    const struct quant_args four = int_args(4, 0, STRATEGY_GROUP, 32),
                            channel = int_args(3, 1, STRATEGY_CHANNEL, 0);
    (void)state;
    for (int duo = 0; duo < 3; duo++)
        for (int i = 0; i < 4; i++) {
            struct problem t;
            set_up(&t, (enum awq_duo)duo, i & 1 ? &channel : &four, i & 2 ? -1 : 0);
            compare(&t);
            tear_down(&t);
        }
}

static void heads_that_share_values_share_scales(void **state)
{
    const struct quant_args a = int_args(4, 0, STRATEGY_GROUP, 32);
    struct problem t;
    (void)state;
    set_up(&t, AWQ_DUO, &a, 0);
    for (int64_t k = 0; k < K; k++)
        t.channel[k] = k / 16 / 2 * 16 + k % 16; /* heads of 16, two a group */
    t.p.channels = K / 2;
    compare(&t);
    tear_down(&t);
}

static void any_number_of_threads_gives_equal_bits(void **state)
{
    static const int threads[] = { 1, 2, 3, 7 };
    const struct quant_args a = int_args(4, 0, STRATEGY_GROUP, 32);
    struct awq_result want = { 0 }, got;
    float scales[2][K];
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct problem t;
        struct err e = { 0 };
        kernels_init(NULL, threads[i]);
        set_up(&t, AWQ_BOTH, &a, 0);
        assert_int_equal(awq_search(&t.p, &t.g, scales[i > 0], &got, &e), 0);
        want = i ? want : got;
        assert_memory_equal(scales[0], scales[i > 0], sizeof scales[0]);
        assert_int_equal(got.index, want.index);
        assert_true(!memcmp(&got.loss, &want.loss, sizeof got.loss));
        tear_down(&t);
    }
}

static void candidates_are_those_of_the_peer(void **state)
{
    struct awq_candidate c[20];
    (void)state;
    assert_int_equal(awq_candidates(AWQ_PLAIN, 20, c), 20);
    assert_true(c[0].ratio == 0 && !c[0].duo && c[19].ratio == 1 && !c[19].duo && c[7].ratio == 7.0 / 19);
    assert_int_equal(awq_candidates(AWQ_DUO, 20, c), 20);
    assert_true(c[0].ratio == 0 && !c[0].duo && c[1].ratio == 0 && c[1].duo && c[7].ratio == 6.0 / 18 &&
                c[19].ratio == 1);
    assert_int_equal(awq_candidates(AWQ_BOTH, 20, c), 20);
    assert_true(c[0].ratio == 0 && !c[0].duo && c[1].duo && c[6].ratio == 3.0 / 9 && c[7].duo &&
                c[19].ratio == 1);
    assert_int_equal(awq_candidates(AWQ_DUO, 3, c), 3);
    assert_int_equal(awq_candidates(AWQ_PLAIN, 2, c), 2);
}

static void inputs_without_a_finite_loss_are_refused(void **state)
{
    const struct quant_args a = int_args(4, 0, STRATEGY_GROUP, 32);
    struct problem t;
    struct err e = { 0 };
    struct awq_result res;
    float scales[K];
    (void)state;
    set_up(&t, AWQ_DUO, &a, 0);
    t.g.sum[0] = INFINITY;
    assert_int_equal(awq_search(&t.p, &t.g, scales, &res, &e), -1);
    assert_string_equal(e.what, "no scale gives a finite loss");
    tear_down(&t);
}

static void smoothquant_follows_its_formulas(void **state)
{
    static const float range[4] = { 8, 2, 3, 0 }, most[4] = { 0.25f, 1, 0, 1 };
    float s[4];
    (void)state;
    smooth_scales(SMOOTH_STRENGTH, 0.75, 4, range, most, s);
    assert_true(fabs((double)s[0] - pow(8, 0.75) / pow(0.5, 0.25)) < 1e-6);
    assert_true(fabs((double)s[1] - 1.4142135623730951) < 1e-6); /* 2^0.75 / 2^0.25 */
    assert_true(s[2] == 3.0f);                                   /* no weight: the range itself */
    assert_true(s[3] == 1e-5f);                                  /* a dead channel: the floor */
    smooth_scales(SMOOTH_LOG, 0.75, 4, range, most, s);
    assert_true(fabs((double)s[0] - 8 / log2(10)) < 1e-6 && fabs((double)s[1] - 1) < 1e-6);
    assert_true(s[3] == 1e-5f);
}

static void channels_are_summed_in_order(void **state)
{
    struct channel_stats s;
    struct err e = { 0 };
    float x[3 * 70] = { 0 }, range[70];
    double mean[70];
    (void)state;
    for (int i = 0; i < 3 * 70; i++)
        x[i] = (float)(i % 70 - 30) * (float)(i / 70 == 1 ? -1 : 1);
    assert_int_equal(channel_stats_init(&s, 70, 2, &e), 0);
    assert_int_equal(channel_stats_add(&s, 0, x, 2, 70, &e), 0);
    assert_int_equal(channel_stats_add(&s, 1, x + 140, 1, 70, &e), 0);
    channel_stats_means(&s, mean);
    channel_stats_ranges(&s, range);
    for (int c = 0; c < 70; c++)
        assert_true(mean[c] == abs(c - 30) && range[c] == 2.0f * (float)abs(c - 30));
    x[69] = NAN;
    assert_int_equal(channel_stats_add(&s, 1, x, 1, 70, &e), -1);
    assert_string_equal(e.what, "the inputs of column 69 are not finite");
    channel_stats_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_search_finds_what_multiplying_out_finds),
        cmocka_unit_test(heads_that_share_values_share_scales),
        cmocka_unit_test(candidates_are_those_of_the_peer),
        cmocka_unit_test(inputs_without_a_finite_loss_are_refused),
        cmocka_unit_test(smoothquant_follows_its_formulas),
        cmocka_unit_test(channels_are_summed_in_order),
        cmocka_unit_test(any_number_of_threads_gives_equal_bits),
    };
    kernels_init(NULL, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
