/* help.c - see help.h. */
#include "help.h"
#include "base/rng.h"
#include <math.h>
#include <string.h>

float *numbers(uint64_t seed, int64_t n, float scale)
{
    float *x = mem_array((size_t)n, sizeof *x, NULL);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) {
        double s = -2;
        for (uint64_t j = 0; j < 4; j++)
            s += rng_unit(seed, j, (uint64_t)i);
        x[i] = (float)(s * 1.7320508) * scale;
    }
    return x;
}

float *inputs(uint64_t seed, int64_t n, int64_t k)
{
    float *x = numbers(seed, n * k, 1.0f), *gain = numbers(seed + 1000, k, 0.5f);
    for (int64_t r = 0; r < n; r++)
        for (int64_t c = 0; c < k; c++) {
            float before = c ? x[r * k + c - 1] / expf(gain[c - 1]) / (c % 17 == 1 ? 6.0f : 1.0f) : 0.0f;
            x[r * k + c] =
                (0.8f * before + 0.6f * x[r * k + c]) * expf(gain[c]) * (c % 17 == 0 ? 6.0f : 1.0f);
        }
    mem_free(gain);
    return x;
}

void fill_gram(struct gram *g, const float *x, int64_t n, int64_t k, int64_t chunks)
{
    struct err e = { 0 };
    assert_int_equal(gram_init(g, k, chunks, 1, &e), 0);
    for (int64_t c = 0; c < chunks; c++) {
        int64_t from = n * c / chunks, to = n * (c + 1) / chunks;
        assert_int_equal(gram_add(g, c, x + from * k, to - from, k, &e), 0);
    }
    assert_int_equal(gram_finish(g, &e), 0);
}

struct quant_args int_args(int bits, int symmetric, enum strategy s, int64_t group)
{
    struct quant_args a;
    quant_args_default(&a);
    a.num_bits = bits;
    a.type = QUANT_INT;
    a.symmetric = symmetric;
    a.strategy = s;
    a.group_size = group;
    if (s == STRATEGY_BLOCK)
        a.block[0] = a.block[1] = group;
    return a;
}

void fitted(struct qtensor *q, const struct quant_args *a, const float *w, int64_t rows, int64_t cols,
            enum dtype t)
{
    struct err e = { 0 };
    struct grid_layout l;
    const struct observer *o;
    struct observer_params p;
    if (layout_init(&l, a, rows, cols, t, &e) || qtensor_init(q, &l, &e) || observer_resolve(a, &o, &p, &e) ||
        o->fit(&p, w, NULL, q, &e))
        no_error(&e);
}

double plain_error(const struct gram *g, const float *e, int64_t rows)
{
    double total = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < g->k; i++)
            for (int64_t j = 0; j <= i; j++)
                total += (i == j ? 1 : 2) * (double)e[r * g->k + i] * (double)e[r * g->k + j] *
                         (double)g->sum[i * g->k + j];
    return total * 2 / (double)g->sequences;
}

void no_error(const struct err *e)
{
    if (e->code)
        fail_msg("%s (%s)", e->what, e->hint);
}

void same_floats(const float *a, const float *b, int64_t n)
{
    assert_memory_equal(a, b, (size_t)n * sizeof *a);
}

void same_codes(const int8_t *a, const int8_t *b, int64_t n) { assert_memory_equal(a, b, (size_t)n); }
