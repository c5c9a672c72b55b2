/* str.c - tests of base/str: buffers, lists, the nearest word, UTF-8 over all code points and all ill-formed classes. */
#include "base/str.h"
#include "tests/base/check.h"

static void buffers_grow_and_stay_terminated(void **state)
{
    (void)state;
    struct buf b = { 0 };
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(buf_printf(&b, NULL, "%d,", i % 10), 0);
        assert_int_equal(b.p[b.len], 0);
    }
    assert_int_equal(b.len, 10000);
    assert_int_equal(buf_add(&b, "\0x", 2, NULL), 0);
    assert_memory_equal(b.p + 10000, "\0x", 3);
    buf_release(&b);
    assert_null(b.p);
    SWEEP(buf_printf(&b, &e, "%s", "some text"), buf_release(&b));
    struct err e = { 0 };
    assert_int_equal(buf_reserve(&b, SIZE_MAX - 3, &e), -1);
    assert_int_equal(e.code, ERR_NOMEM);
}

static int three(struct strs *l, struct err *e)
{
    static const char *const words[] = { "b", "a", "B", "", "aa", "z", "y", "x", "w", "a" };
    for (size_t i = 0; i < COUNT(words); i++)
        if (strs_add(l, words[i], e)) {
            strs_release(l);
            return -1;
        }
    return 0;
}

static void lists_sort_by_bytes(void **state)
{
    (void)state;
    struct strs l = { 0 };
    strs_sort(&l);
    assert_false(strs_has(&l, ""));
    assert_int_equal(three(&l, NULL), 0);
    strs_sort(&l);
    static const char *const want[] = { "", "B", "a", "a", "aa", "b", "w", "x", "y", "z" };
    for (size_t i = 0; i < COUNT(want); i++)
        assert_string_equal(l.v[i], want[i]);
    assert_true(strs_has(&l, "aa"));
    assert_false(strs_has(&l, "aaa"));
    strs_release(&l);
    SWEEP(three(&l, &e), strs_release(&l));
}

static void small_helpers(void **state)
{
    (void)state;
    assert_true(str_starts("abc", "ab"));
    assert_true(str_starts("abc", ""));
    assert_false(str_starts("a", "ab"));
    assert_true(str_ends("abc", "bc"));
    assert_true(str_ends("abc", ""));
    assert_false(str_ends("c", "bc"));
    assert_true(str_same_nocase("W4a16_ASYM", "w4A16_asym"));
    assert_false(str_same_nocase("W4A16", "W4A16_ASYM"));
    assert_false(str_same_nocase("[", "{"));
    assert_true(slice_is(slice_of("abcd", 3), "abc"));
    assert_false(slice_is(slice_of("abcd", 3), "abcd"));
}

static void nearest_word(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int x;
    } table[] = {
        { "sequence_length", 1 }, { "samples", 2 }, { "sequential", 3 }, { "seed", 4 }, { NULL, 5 }
    };
    static const struct {
        const char *word, *near;
    } rows[] = {
        { "sequence_lenght", "sequence_length" }, /* a swap counts one */
        { "sed", "seed" },
        { "esed", "seed" },
        { "SEED", "seed" },
        { "sample", "samples" },
        { "sequentail", "sequential" },
        { "dataset", NULL },
        { "xy", NULL },
        { "", NULL },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *got = str_nearest(rows[i].word, &table[0].name, COUNT(table), sizeof table[0]);
        if (rows[i].near)
            assert_string_equal(got, rows[i].near);
        else
            assert_null(got);
    }
    static const char *const pair[] = { "abcd", "badc" };
    assert_string_equal(str_nearest("abdc", pair, 2, sizeof *pair), "abcd"); /* the first of equals */
    assert_null(str_nearest("a", pair, 0, sizeof *pair));
    char big[200];
    memset(big, 'a', sizeof big);
    big[sizeof big - 1] = '\0';
    assert_null(str_nearest(big, pair, 2, sizeof *pair));
}

/* The definition of UTF-8 (RFC 3629, section 3), written out by ranges. */
static int encode(unsigned c, unsigned char *o)
{
    if (c < 0x80)
        return o[0] = (unsigned char)c, 1;
    if (c < 0x800)
        return o[0] = (unsigned char)(192 + c / 64), o[1] = (unsigned char)(128 + c % 64), 2;
    if (c < 0x10000)
        return o[0] = (unsigned char)(224 + c / 4096), o[1] = (unsigned char)(128 + c / 64 % 64),
               o[2] = (unsigned char)(128 + c % 64), 3;
    return o[0] = (unsigned char)(240 + c / 262144), o[1] = (unsigned char)(128 + c / 4096 % 64),
           o[2] = (unsigned char)(128 + c / 64 % 64), o[3] = (unsigned char)(128 + c % 64), 4;
}

static void utf8_over_all_code_points(void **state)
{
    (void)state;
    for (unsigned c = 0; c <= 0x10FFFF; c++) {
        if (c >= 0xD800 && c < 0xE000)
            continue;
        unsigned char want[4];
        char got[4];
        int n = encode(c, want), len = 0;
        assert_int_equal(utf8_put(c, got), n);
        assert_memory_equal(got, want, (size_t)n);
        assert_int_equal(utf8_get((const char *)want, (size_t)n, &len), c);
        assert_int_equal(len, n);
        assert_int_equal(utf8_valid((const char *)want, (size_t)n), n);
        for (int cut = 1; cut < n; cut++)
            assert_int_equal(utf8_valid((const char *)want, (size_t)cut), 0);
    }
}

static void utf8_over_all_ill_formed_starts(void **state)
{
    (void)state;
    static unsigned char well[1 << 16]; /* by the first two bytes: can a character begin so? */
    unsigned char o[4];
    memset(well, 0, sizeof well);
    for (unsigned c = 0; c <= 0x10FFFF; c++)
        if ((c < 0xD800 || c >= 0xE000) && encode(c, o) > 1)
            well[o[0] << 8 | o[1]] = (unsigned char)encode(c, o);
    for (unsigned two = 0; two < 1 << 16; two++) {
        char s[4] = { (char)(two >> 8), (char)(two & 255), (char)0x80, (char)0x80 };
        int len, want = two >> 8 < 0x80 ? 1 : well[two];
        unsigned c = utf8_get(s, 4, &len);
        assert_int_equal(len, want ? want : 1);
        if (!want)
            assert_int_equal(c, 0xFFFD);
        s[want > 2 ? want - 1 : 1] = want > 1 ? 'x' : s[1]; /* break the last byte */
        if (want > 1) {
            assert_int_equal(utf8_get(s, 4, &len), 0xFFFD);
            assert_int_equal(len, 1);
            assert_int_equal(utf8_valid(s, 4), 0);
        }
    }
    assert_int_equal(utf8_valid("ab\xC3\xA9\xEF\xBF\xBDz", 8), 8); /* U+FFFD itself is valid */
    assert_int_equal(utf8_valid("ab\xED\xA0\x80", 5), 2);          /* a surrogate */
    assert_int_equal(utf8_valid("", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers_grow_and_stay_terminated),
        cmocka_unit_test(lists_sort_by_bytes),
        cmocka_unit_test(small_helpers),
        cmocka_unit_test(nearest_word),
        cmocka_unit_test(utf8_over_all_code_points),
        cmocka_unit_test(utf8_over_all_ill_formed_starts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
