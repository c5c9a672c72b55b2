/* table.c - names to integers however many; and checksums that tell every small change. */
#include "base/table.h"
#include "base/mem.h"
#include "base/sum.h"
#include "tests/base/check.h"

static void many_names_are_found_again(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct table t = { 0 };
    char name[32];
    int64_t v;
    assert_false(table_get(&t, "a", &v));
    for (int round = 0; round < 2; round++)
        for (int64_t i = 0; i < 5000; i++) {
            snprintf(name, sizeof name, "module/%d", (int)i);
            assert_int_equal(table_put(&t, name, round ? -i : i, &e), 0);
        }
    assert_int_equal(t.n, 5000);
    for (int64_t i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "module/%d", (int)i);
        assert_true(table_get(&t, name, &v));
        assert_int_equal(v, -i);
    }
    assert_false(table_get(&t, "module/5000", &v));
    table_release(&t);
    assert_false(table_get(&t, "module/1", &v));
}

static void refused_memory_keeps_what_is_there(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 150; n++) {
        struct err e = { 0 };
        struct table t = { 0 };
        char name[32];
        int64_t v, good = 0;
        mem_fail_at(n, 0);
        for (int64_t i = 0; i < 100; i++) {
            snprintf(name, sizeof name, "%d", (int)i);
            if (table_put(&t, name, i, &e))
                break;
            good++;
        }
        mem_fail_at(0, 0);
        for (int64_t i = 0; i < good; i++) {
            snprintf(name, sizeof name, "%d", (int)i);
            assert_true(table_get(&t, name, &v) && v == i);
        }
        table_release(&t);
    }
}

/* Every length up to 100, every bit, the seed, swapped words, bytes added: all sums differ. */
static void sums_tell_small_changes(void **state)
{
    (void)state;
    unsigned char p[101];
    static uint64_t seen[70000];
    size_t n = 0;
    for (size_t i = 0; i < sizeof p; i++)
        p[i] = (unsigned char)(i * 7);
    for (size_t len = 0; len <= 64; len++) {
        uint64_t plain = sum_bytes(p, len, 1);
        seen[n++] = plain;
        assert_true(plain == sum_bytes(p, len, 1));
        assert_true(plain != sum_bytes(p, len, 2));
        for (size_t bit = 0; bit < 8 * len; bit++) {
            p[bit / 8] ^= (unsigned char)(1u << bit % 8);
            seen[n++] = sum_bytes(p, len, 1);
            p[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
    }
    for (size_t i = 0; i < n; i++)
        for (size_t k = i + 1; k < n; k++)
            if (seen[i] == seen[k])
                fail_msg("changes %zu and %zu have one sum", i, k);
    unsigned char zero[64] = { 0 };
    assert_true(sum_bytes(zero, 63, 0) != sum_bytes(zero, 64, 0));
    assert_true(sum_bytes(zero, 0, 0) != sum_bytes(zero, 1, 0));
}

/* Records on disk hold sums: their values may never change. */
static void sums_are_what_they_were(void **state)
{
    (void)state;
    assert_true(sum_bytes("", 0, 0) == UINT64_C(0xbcfe4cd017bf67cc));
    assert_true(sum_bytes("model.layers.0.self_attn.q_proj.weight", 38, 7) == UINT64_C(0x49f5416a1f38fb9b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_names_are_found_again),
        cmocka_unit_test(refused_memory_keeps_what_is_there),
        cmocka_unit_test(sums_tell_small_changes),
        cmocka_unit_test(sums_are_what_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
