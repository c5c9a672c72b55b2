/* store.c - the activation store against an array: whatever was saved last comes back, for every budget and in any order
 * of sizes. */
#include "model/store.h"
#include "base/mem.h"
#include "base/rng.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { CHUNKS = 5, MOST = 40, ROUNDS = 200 };

static void what_was_saved_last_comes_back(void **state)
{
    static const int64_t most[CHUNKS] = { MOST, MOST, 8, MOST, MOST };
    static const uint64_t budgets[] = { 0, 4, 160, 161, 400, 10000 };
    (void)state;
    for (size_t b = 0; b < sizeof budgets / sizeof *budgets; b++) {
        float want[CHUNKS][MOST] = { { 0 } }, got[MOST];
        int64_t first[CHUNKS] = { 0 }, n[CHUNKS] = { 0 };
        struct err e = { 0 };
        struct store *s = store_new(CHUNKS, most, budgets[b], "/tmp", &e);
        assert_non_null(s);
        for (uint64_t i = 0; i < ROUNDS; i++) {
            uint64_t c = rng_below(7, b, 4 * i, CHUNKS);
            n[c] = (int64_t)rng_below(7, b, 4 * i + 1, (uint64_t)most[c] + 1);
            first[c] = (int64_t)rng_below(7, b, 4 * i + 2, (uint64_t)n[c] + 1);
            for (int64_t k = 0; k < n[c]; k++)
                want[c][k] = (float)(i * 100) + (float)k;
            struct store_piece save[2] = { { want[c], first[c] }, { want[c] + first[c], n[c] - first[c] } };
            assert_int_equal(store_save(s, (int64_t)c, save, 2, &e), 0);
            assert_true(mem_use().now <= budgets[b] + 2048);
            c = rng_below(7, b, 4 * i + 3, CHUNKS);
            struct store_piece load[2] = { { got, first[c] }, { got + first[c], n[c] - first[c] } };
            assert_int_equal(store_load(s, (int64_t)c, load, 2, &e), 0);
            assert_memory_equal(got, want[c], (size_t)n[c] * sizeof *got);
        }
        assert_int_equal(store_spilled(s) > 0, budgets[b] < 5 * MOST * sizeof(float));
        store_free(s);
    }
    assert_int_equal(mem_use().now, 0);
}

static void a_budget_of_exactly_all_keeps_all_in_memory(void **state)
{
    static const int64_t most[2] = { 4, 4 };
    float x[4] = { 1, 2, 3, 4 };
    struct store_piece p = { x, 4 };
    (void)state;
    for (uint64_t budget = 31; budget <= 32; budget++) {
        struct err e = { 0 };
        struct store *s = store_new(2, most, budget, "/tmp", &e);
        assert_non_null(s);
        assert_int_equal(store_save(s, 0, &p, 1, &e), 0);
        assert_int_equal(store_save(s, 1, &p, 1, &e), 0);
        assert_int_equal(store_spilled(s), budget == 32 ? 0 : 16);
        store_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_saved_last_comes_back),
        cmocka_unit_test(a_budget_of_exactly_all_keeps_all_in_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
