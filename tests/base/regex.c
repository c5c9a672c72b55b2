/* regex.c - tests of base/regex: Python's re.match at the start only, errors with offsets, and limits that hold. */
#include "base/regex.h"
#include "tests/base/check.h"

#include <time.h>

/* Python's answer to re.match(pattern, text): the end of the match, -1: none. (Taken from CPython 3.11.) */
static void python_match(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        int end;
    } rows[] = {
        { ".*down_proj$", "model.layers.0.mlp.down_proj", 28 },
        { "down_proj", "model.layers.0.mlp.down_proj", -1 },
        { "model", "model.layers", 5 },
        { "^model", "model.layers", 5 },
        { "model\\.layers\\.(1|2)\\.", "model.layers.2.mlp", 15 },
        { "model\\.layers\\.(1|2)\\.", "model.layers.12.mlp", -1 },
        { "", "abc", 0 },
        { "a*", "bbb", 0 },
        { "lm_head$", "lm_head\n", 7 },
        { "lm_head\\Z", "lm_head", 7 },
        { "(?i)LM_HEAD", "lm_head", 7 },
        { "(?P<n>\\d+)-(?P=n)", "12-12", 5 },
        { "(?!.*(q|k)_proj).*proj", "x.v_proj", 8 },
        { "(?!.*(q|k)_proj).*proj", "x.q_proj", -1 },
        { "\\w+", "caf\xC3\xA9", 5 },
        { "\\d+", "\xD9\xA1\xD9\xA2", 4 }, /* Arabic digits are digits to Python */
        { ".", "\xF0\x9F\x98\x80", 4 },
        { "a|ab", "ab", 1 },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t from = 77, to = 77;
        struct err e = { 0 };
        struct regex *r = regex_new(rows[i].pattern, strlen(rows[i].pattern), REGEX_PYTHON_MATCH, &e);
        assert_non_null(r);
        int got = regex_find(r, rows[i].text, strlen(rows[i].text), 0, &from, &to, &e);
        if (got != (rows[i].end >= 0))
            fail_msg("%s on %s: %d", rows[i].pattern, rows[i].text, got);
        if (got) {
            assert_int_equal(from, 0);
            assert_int_equal(to, rows[i].end);
        }
        regex_free(r);
    }
}

static void searching_walks_through_a_text(void **state)
{
    (void)state;
    struct regex *r = regex_new("\\p{L}+|\\s+", 10, REGEX_UNICODE, NULL);
    static const char text[] = "a\xC3\xA9 b1c";
    static const size_t want[][2] = { { 0, 3 }, { 3, 4 }, { 4, 5 }, { 6, 7 } };
    size_t from = 0, start, end, k = 0;
    while (regex_find(r, text, sizeof text - 1, from, &start, &end, NULL) == 1) {
        assert_true(k < COUNT(want));
        assert_int_equal(start, want[k][0]);
        assert_int_equal(end, want[k][1]);
        k++;
        from = end;
    }
    assert_int_equal(k, COUNT(want));
    regex_free(r);
}

static void malformed_patterns_name_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        size_t n;
        const char *what;
    } rows[] = {
        { "a(b", 3, "pattern 'a(b' is malformed at position 3: missing closing parenthesis" },
        { "*a", 2, "pattern '*a' is malformed at position 0: quantifier does not follow a repeatable item" },
        { "[z-a]", 5, "pattern '[z-a]' is malformed at position 3: range out of order in character class" },
        { "ab\xFF", 3, "pattern is not valid UTF-8 at byte 2" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct err e = { 0 };
        uint64_t now = mem_use().now;
        assert_null(regex_new(rows[i].pattern, rows[i].n, REGEX_PYTHON_MATCH, &e));
        IS_ERR(e, ERR_INPUT, rows[i].what);
        assert_int_equal(mem_use().now, now);
    }
    static char deep[4001];
    memset(deep, '(', 2000);
    memset(deep + 2000, ')', 2000);
    struct err e = { 0 };
    assert_null(regex_new(deep, 4000, 0, &e));
    assert_int_equal(e.code, ERR_INPUT);
    assert_non_null(strstr(e.what, "nested"));
}

static void catastrophic_patterns_end_soon(void **state)
{
    (void)state;
    static const char *const patterns[] = { "(a+)+$", "(a|aa)+$", "(.*)*x", "(a?){30}a{30}b",
                                            "^(([a-z])+.)+[A-Z]$" };
    char text[41];
    memset(text, 'a', 40);
    text[39] = '!';
    text[40] = '\0';
    for (size_t i = 0; i < COUNT(patterns); i++) {
        struct err e = { 0 };
        size_t from, to;
        struct regex *r = regex_new(patterns[i], strlen(patterns[i]), REGEX_PYTHON_MATCH, &e);
        assert_non_null(r);
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        int rc = regex_find(r, text, 40, 0, &from, &to, &e);
        clock_gettime(CLOCK_MONOTONIC, &b);
        assert_true(b.tv_sec - a.tv_sec < 10);
        assert_true(rc == 0 || (rc == -1 && e.code == ERR_LIMIT));
        if (i == 0)
            IS_ERR(e, ERR_LIMIT, "a regular expression gave up: match limit exceeded");
        regex_free(r);
    }
}

/* What a tokenizer meets: a long run that must be walked through character by character (the JIT's own stack holds
 * some 3000 steps of it). */
static void long_texts_are_matched_whole(void **state)
{
    (void)state;
    enum { N = 200000 };
    static const char *const patterns[] = { "\\s+(?!\\S)|\\s+", "(?:a|b|\\s)+",
                                            "[^\\r\\n\\p{L}]?\\p{L}+|\\s+", "(?:[^x]|xy)*" };
    char *text = mem_alloc(N, NULL);
    memset(text, ' ', N);
    for (size_t i = 0; i < COUNT(patterns); i++) {
        struct err e = { 0 };
        size_t from = 0, to = 0;
        struct regex *r = regex_new(patterns[i], strlen(patterns[i]), REGEX_UNICODE, &e);
        assert_int_equal(regex_find(r, text, N, 0, &from, &to, &e), 1);
        assert_int_equal(to, N);
        regex_free(r);
    }
    mem_free(text);
}

static int try_once(struct err *e)
{
    size_t from, to;
    struct regex *r = regex_new("(a|b)*c", 7, REGEX_PYTHON_MATCH, e);
    if (!r)
        return -1;
    int rc = regex_find(r, "ababc", 5, 0, &from, &to, e);
    regex_free(r);
    return rc == 1 ? 0 : -1;
}

static void allocation_failures(void **state)
{
    (void)state;
    SWEEP(try_once(&e), (void)0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(python_match),
        cmocka_unit_test(searching_walks_through_a_text),
        cmocka_unit_test(malformed_patterns_name_the_place),
        cmocka_unit_test(catastrophic_patterns_end_soon),
        cmocka_unit_test(long_texts_are_matched_whole),
        cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
