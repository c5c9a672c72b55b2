/* stats.c - the tree of Gram matrices: values against float64, bits against a tree made by hand, threads, bad input. */
#include "help.h"
#include <math.h>
#include <string.h>

enum { K = 45, N = 777 };

static void the_sum_is_that_of_all_rows(void **state)
{
    (void)state;
    static const int64_t chunks[] = { 1, 2, 3, 15, 16, 17, 40 };
    float *x = inputs(1, N, K);
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        struct gram g;
        fill_gram(&g, x, N, K, chunks[i]);
        assert_int_equal(g.rows, N);
        assert_int_equal(g.sequences, chunks[i]);
        for (int a = 0; a < K; a++)
            for (int b = 0; b <= a; b++) {
                double want = 0, size = 0;
                for (int64_t r = 0; r < N; r++) {
                    want += (double)x[r * K + a] * (double)x[r * K + b];
                    size += fabs((double)x[r * K + a] * (double)x[r * K + b]);
                }
                assert_true(fabs((double)g.sum[a * K + b] - want) <= 1e-5 * size);
            }
        gram_release(&g);
    }
    mem_free(x);
}

/* 16 chunks: one a leaf. ((0+1)+(2+3))+... by hand, with gram objects that hold one chunk each. */
static void leaves_are_added_pairwise_whoever_made_them(void **state)
{
    (void)state;
    float *x = inputs(2, N, K), *leaf[16];
    struct gram g, one;
    struct err e = { 0 };
    fill_gram(&g, x, N, K, 16);
    for (int64_t c = 0; c < 16; c++) {
        int64_t from = N * c / 16, to = N * (c + 1) / 16;
        assert_int_equal(gram_init(&one, K, 1, 0, &e), 0);
        assert_int_equal(gram_add(&one, 0, x + from * K, to - from, K, &e), 0);
        assert_int_equal(gram_finish(&one, &e), 0);
        leaf[c] = one.sum;
        one.sum = NULL;
        gram_release(&one);
    }
    for (int step = 1; step < 16; step *= 2) {
        for (int c = 0; c < 16; c += 2 * step)
            for (int i = 0; i < K * K; i++)
                leaf[c][i] += leaf[c + step][i];
        if (step == 4)
            for (int i = 0; i < K; i++)
                same_floats(g.half + i * K, leaf[0] + i * K, i + 1);
    }
    for (int i = 0; i < K; i++)
        same_floats(g.sum + i * K, leaf[0] + i * K, i + 1);
    assert_int_equal(g.half_rows, N * 8 / 16);
    for (int c = 0; c < 16; c++)
        mem_free(leaf[c]);
    gram_release(&g);
    mem_free(x);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    static const int widths[] = { 1, 2, 3, 7 };
    float *x = inputs(3, N, K);
    struct gram first, g;
    for (int i = 0; i < 4; i++) {
        kernels_init(NULL, widths[i]);
        fill_gram(i ? &g : &first, x, N, K, 20);
        if (i) {
            for (int r = 0; r < K; r++)
                same_floats(g.sum + r * K, first.sum + r * K, r + 1);
            gram_release(&g);
        }
    }
    kernels_init(NULL, 2);
    gram_release(&first);
    mem_free(x);
}

static void chunks_may_be_empty_or_left_out(void **state)
{
    (void)state;
    float *x = inputs(4, 64, K);
    struct gram g;
    struct err e = { 0 };
    assert_int_equal(gram_init(&g, K, 32, 1, &e), 0);
    assert_int_equal(gram_add(&g, 3, x, 10, K, &e), 0);
    assert_int_equal(gram_add(&g, 9, x, 0, K, &e), 0);
    assert_int_equal(gram_add(&g, 31, x, 54, K, &e), 0);
    assert_int_equal(gram_finish(&g, &e), 0);
    assert_int_equal(g.rows, 64);
    assert_int_equal(g.sequences, 3);
    assert_int_equal(g.half_rows, 10);
    gram_release(&g);
    assert_int_equal(gram_init(&g, K, 1, 1, &e), 0); /* one chunk: the half is everything */
    assert_int_equal(gram_add(&g, 0, x, 64, K, &e), 0);
    assert_int_equal(gram_finish(&g, &e), 0);
    assert_int_equal(g.half_rows, 64);
    assert_ptr_not_equal(g.half, g.sum);
    gram_release(&g);
    assert_int_equal(gram_init(&g, K, 4, 0, &e), 0); /* nothing at all: zeros */
    assert_int_equal(gram_finish(&g, &e), 0);
    assert_true(g.sum[K] == 0.0f && g.rows == 0);
    gram_release(&g);
    mem_free(x);
}

static void inputs_that_are_not_finite_are_named_by_column(void **state)
{
    (void)state;
    static const float bad[] = { NAN, INFINITY, 1e30f };
    for (int i = 0; i < 3; i++) {
        float *x = inputs(5, 40, K);
        struct gram g;
        struct err e = { 0 };
        x[7 * K + 13] = bad[i];
        assert_int_equal(gram_init(&g, K, 1, 0, &e), 0);
        assert_int_equal(gram_add(&g, 0, x, 40, K, &e), 0);
        assert_int_equal(gram_finish(&g, &e), -1);
        assert_int_equal(e.code, ERR_INPUT);
        assert_string_equal(e.what, "the inputs of column 13 are not finite, or too large to square");
        gram_release(&g);
        mem_free(x);
    }
    struct gram g;
    struct err e = { 0 };
    assert_int_equal(gram_init(&g, 0, 1, 0, &e), -1);
    assert_string_equal(e.what, "statistics of 0 inputs over 1 chunks: expected at least one of each");
}

static int whole_life(const float *x, struct err *e)
{
    struct gram g;
    int rc = gram_init(&g, K, 16, 1, e);
    for (int64_t c = 0; !rc && c < 16; c++)
        rc = gram_add(&g, c, x + c * K, 1, K, e);
    rc = rc ? rc : gram_finish(&g, e);
    gram_release(&g);
    return rc;
}

static void memory_stays_below_the_plan_and_its_lack_is_an_error(void **state)
{
    (void)state;
    float *x = inputs(6, 16, K);
    struct err e = { 0 };
    uint64_t before = mem_use().count;
    int rc = -1;
    for (uint64_t n = 1; rc; n++) {
        memset(&e, 0, sizeof e);
        mem_fail_at(n, 0);
        rc = whole_life(x, &e);
        mem_fail_at(0, 0);
        assert_int_equal(e.code, rc ? ERR_NOMEM : ERR_OK);
        assert_int_equal(mem_use().count, before);
        assert_true(n < 100);
    }
    mem_free(x);
    enum { BIG = 512 };
    x = inputs(7, 16, BIG);
    uint64_t base = mem_use().now, most = 0;
    struct gram g;
    assert_int_equal(gram_init(&g, BIG, 16, 1, &e), 0);
    for (int64_t c = 0; c < 16; c++) {
        assert_int_equal(gram_add(&g, c, x + c * BIG, 1, BIG, &e), 0);
        most = mem_use().now > most ? mem_use().now : most;
    }
    assert_int_equal(gram_finish(&g, &e), 0);
    assert_in_range(most - base, gram_bytes(BIG), gram_bytes(BIG) + 4096);
    gram_release(&g);
    mem_free(x);
}

int main(void)
{
    kernels_init(NULL, 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sum_is_that_of_all_rows),
        cmocka_unit_test(leaves_are_added_pairwise_whoever_made_them),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(chunks_may_be_empty_or_left_out),
        cmocka_unit_test(inputs_that_are_not_finite_are_named_by_column),
        cmocka_unit_test(memory_stays_below_the_plan_and_its_lack_is_an_error),
    };
    return cmocka_run_group_tests_name("quant statistics", tests, NULL, NULL);
}
