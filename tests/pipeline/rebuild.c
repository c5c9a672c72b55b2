/* rebuild.c - which modules a sample is: a function of the manifest's digest alone, that another program can compute. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "pipeline/rebuild.h"

/* SHA-256 of "" and of "abc"; the draws come from a Philox and a shuffle written in Python after the paper. */
static const struct {
    const char *digest;
    int64_t n, k, draw[5];
} known[] = {
    { "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 14, 3, { 3, 8, 11 } },
    { "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 1000, 5, { 35, 65, 70, 76, 330 } },
    { "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 14, 3, { 2, 6, 9 } },
    { "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
      1000,
      5,
      { 6, 244, 265, 723, 824 } },
};

static void known_draws(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        int64_t got[5] = { 0 };
        assert_int_equal(rebuild_draw(known[i].digest, known[i].n, known[i].k, got, NULL), known[i].k);
        for (int64_t k = 0; k < known[i].k; k++)
            assert_int_equal(got[k], known[i].draw[k]);
    }
}

/* Every module is drawn by some digest, none twice, and a larger sample holds the smaller one. */
static void fair_draws(void **state)
{
    (void)state;
    int64_t seen[20] = { 0 };
    for (int d = 0; d < 400; d++) {
        char digest[HASH_HEX];
        int64_t few[5], more[10];
        assert_int_equal(hash_bytes(&d, sizeof d, digest, NULL), 0);
        assert_int_equal(rebuild_draw(digest, 20, 5, few, NULL), 5);
        assert_int_equal(rebuild_draw(digest, 20, 10, more, NULL), 10);
        for (int i = 0, k = 0; i < 5; i++) {
            assert_in_range(few[i], i ? few[i - 1] + 1 : 0, 19);
            seen[few[i]]++;
            while (k < 10 && more[k] < few[i])
                k++;
            assert_true(k < 10 && more[k] == few[i]);
        }
    }
    for (int i = 0; i < 20; i++) /* 100 expected, deviation 9 */
        assert_in_range(seen[i], 60, 140);
}

static void edges(void **state)
{
    (void)state;
    int64_t got[4];
    struct err e = { 0 };
    assert_int_equal(rebuild_draw(known[0].digest, 0, 4, got, &e), 0);
    assert_int_equal(rebuild_draw(known[0].digest, 3, 4, got, &e), 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(got[i], i);
    mem_fail_at(1, 0);
    assert_int_equal(rebuild_draw(known[0].digest, 3, 4, got, &e), -1);
    assert_int_equal(e.code, ERR_NOMEM);
    mem_fail_at(0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(known_draws), cmocka_unit_test(fair_draws),
                                        cmocka_unit_test(edges) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
