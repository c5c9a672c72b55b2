/* mem.c - tests of base/mem: counting, refusal of chosen allocations, overflow, alignment. */
#include "tests/base/check.h"

#include <pthread.h>

static void peak_counts_bytes_held_at_once(void **state)
{
    (void)state;
    struct mem_use was = mem_use();
    char *a = mem_alloc(1000, NULL), *b = mem_alloc(3000000, NULL);
    assert_non_null(a);
    assert_non_null(b);
    struct mem_use with = mem_use();
    assert_int_equal(with.now - was.now, 3001000);
    assert_int_equal(with.count - was.count, 2);
    assert_true(with.peak >= with.now);
    mem_free(b);
    mem_free(a);
    assert_int_equal(mem_use().now, was.now);
    assert_int_equal(mem_use().count, was.count);
    assert_int_equal(mem_use().peak, with.peak);
}

static void memory_is_zeroed_and_aligned(void **state)
{
    (void)state;
    for (size_t n = 0; n < 300; n += 7) {
        unsigned char *p = mem_big(n, 3, NULL);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        for (size_t i = 0; i < 3 * n; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xFF, 3 * n);
        mem_free(p);
    }
}

static void nth_allocation_fails_once(void **state)
{
    (void)state;
    struct err e = { 0 };
    mem_fail_at(3, 0);
    void *p[5];
    for (int i = 0; i < 5; i++) {
        p[i] = mem_alloc(8, &e);
        assert_int_equal(p[i] == NULL, i == 2);
    }
    assert_int_equal(mem_fail_at(0, 0), 5);
    IS_ERR(e, ERR_NOMEM, "out of memory");
    for (int i = 0; i < 5; i++)
        mem_free(p[i]);
}

static void nth_allocation_fails_for_ever(void **state)
{
    (void)state;
    mem_fail_at(2, 1);
    void *p = mem_alloc(8, NULL);
    assert_non_null(p);
    for (int i = 0; i < 10; i++)
        assert_null(mem_alloc(8, NULL));
    mem_fail_at(0, 0);
    mem_free(p);
    p = mem_alloc(8, NULL);
    assert_non_null(p);
    mem_free(p);
}

static void overflowing_sizes_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t count, size;
    } rows[] = { { SIZE_MAX, 2 },        { 2, SIZE_MAX },
                 { SIZE_MAX / 2, 3 },    { (size_t)1 << 33, (size_t)1 << 33 },
                 { SIZE_MAX, SIZE_MAX }, { 1, SIZE_MAX } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct err e = { 0 };
        assert_null(mem_array(rows[i].count, rows[i].size, &e));
        IS_ERR(e, ERR_NOMEM, "out of memory");
        assert_null(mem_big(rows[i].count, rows[i].size, NULL));
    }
    void *none = mem_array(0, SIZE_MAX, NULL), *nil = mem_array(SIZE_MAX, 0, NULL);
    assert_non_null(none);
    assert_non_null(nil);
    mem_free(none);
    mem_free(nil);
}

static void resize_keeps_contents_and_the_old_block_on_failure(void **state)
{
    (void)state;
    struct err e = { 0 };
    char *p = mem_resize(NULL, 4, NULL);
    assert_non_null(p);
    memcpy(p, "abcd", 4);
    p = mem_resize(p, 4000, NULL);
    assert_memory_equal(p, "abcd", 4);
    mem_fail_at(1, 0);
    assert_null(mem_resize(p, 8000, &e));
    mem_fail_at(0, 0);
    assert_int_equal(e.code, ERR_NOMEM);
    assert_memory_equal(p, "abcd", 4);
    p = mem_resize(p, 2, NULL);
    assert_memory_equal(p, "ab", 2);
    mem_free(p);
}

static void copies_of_strings(void **state)
{
    (void)state;
    struct err e = { 0 };
    char *a = mem_strdup("grid", &e), *b = mem_strndup("a\0b", 3, &e),
         *c = mem_printf(&e, "%s-%05d", "x", 42);
    assert_string_equal(a, "grid");
    assert_memory_equal(b, "a\0b", 4);
    assert_string_equal(c, "x-00042");
    mem_free(a);
    mem_free(b);
    mem_free(c);
    mem_free(NULL);
}

static void *many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20000; i++)
        mem_free(mem_alloc((size_t)i % 100, NULL));
    return NULL;
}

static void counting_holds_over_threads(void **state)
{
    (void)state;
    uint64_t now = mem_use().now;
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, many, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(mem_use().now, now);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peak_counts_bytes_held_at_once),
        cmocka_unit_test(memory_is_zeroed_and_aligned),
        cmocka_unit_test(nth_allocation_fails_once),
        cmocka_unit_test(nth_allocation_fails_for_ever),
        cmocka_unit_test(overflowing_sizes_are_refused),
        cmocka_unit_test(resize_keeps_contents_and_the_old_block_on_failure),
        cmocka_unit_test(copies_of_strings),
        cmocka_unit_test(counting_holds_over_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
