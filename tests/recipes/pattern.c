/* pattern.c - `re:` patterns mean what Python's re.match means: patterns.tsv was written by Python (patterns.py), one row
 * for a pattern and a name. Where the two differ on purpose, the pattern is refused, never read otherwise. */
#include "recipes/pattern.h"
#include "base/file.h"
#include "base/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Python takes these and qpipe refuses them, by name. */
static const struct {
    const char *pattern, *what;
} not_taken_over[] = {
    { "(?a)\\w", "pattern '(?a)\\w' is malformed at position 2: flags a, L and x are not taken over" },
    { "(?x) lm", "pattern '(?x) lm' is malformed at position 2: flags a, L and x are not taken over" },
    { "\\N{DIGIT ONE}", "pattern '\\N{DIGIT ONE}' is malformed at position 0: bad escape" },
};

static void unescape(char *s)
{
    char *to = s;
    for (; *s; s++) {
        if (*s == '\\' && s[1]) {
            s++;
            *to++ = (char)(*s == 'n' ? '\n' : *s == 't' ? '\t' : *s == 'v' ? '\v' : *s);
        } else
            *to++ = *s;
    }
    *to = '\0';
}

/* 1, 0, or -1: refused. */
static int match(const char *pattern, const char *name, struct err *e)
{
    size_t from, to;
    struct regex *r = pattern_new(pattern, e);
    if (!r)
        return -1;
    int rc = regex_find(r, name, strlen(name), 0, &from, &to, e);
    assert_true(rc >= 0);
    regex_free(r);
    return rc;
}

static bool is_exception(const char *pattern)
{
    for (size_t i = 0; i < sizeof not_taken_over / sizeof *not_taken_over; i++)
        if (!strcmp(not_taken_over[i].pattern, pattern))
            return true;
    return false;
}

static void every_row_that_python_wrote_holds(void **state)
{
    (void)state;
    struct buf text = { 0 };
    struct err e = { 0 };
    int rows = 0, bad = 0;
    assert_int_equal(file_read("tests/recipes/patterns.tsv", 1 << 20, &text, &e), 0);
    for (char *line = text.p, *next; *line; line = next) {
        next = line + strcspn(line, "\n");
        if (*next)
            *next++ = '\0';
        char *name = strchr(line, '\t'), *want = name ? strchr(name + 1, '\t') : NULL;
        if (*line == '#')
            continue;
        assert_non_null(want);
        *name++ = '\0';
        *want++ = '\0';
        unescape(line);
        unescape(name);
        struct err why = { 0 };
        int expected = *want == 'E' || is_exception(line) ? -1 : *want - '0';
        int got = match(line, name, &why);
        rows++;
        if (got != expected) {
            bad++;
            print_error("'%s' on '%s': got %d, Python says %s %s\n", line, name, got, want, why.what);
        }
        if (got < 0)
            assert_true(why.code == ERR_INPUT && why.what[0]);
    }
    buf_release(&text);
    assert_true(rows > 1500);
    assert_int_equal(bad, 0);
}

static void what_is_not_taken_over_is_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof not_taken_over / sizeof *not_taken_over; i++) {
        struct err e = { 0 };
        assert_int_equal(match(not_taken_over[i].pattern, "", &e), -1);
        assert_string_equal(e.what, not_taken_over[i].what);
        assert_string_equal(e.hint, "patterns are those of Python's re module");
    }
}

static void offsets_count_characters(void **state)
{
    (void)state;
    struct err e = { 0 };
    assert_int_equal(match("\xC3\xA9\xC3\xA9\\q", "", &e), -1);
    assert_string_equal(e.what, "pattern '\xC3\xA9\xC3\xA9\\q' is malformed at position 2: bad escape");
}

static void hostile_patterns_end_in_a_limit(void **state)
{
    (void)state;
    size_t from, to;
    char name[64];
    struct err e = { 0 };
    struct regex *r = pattern_new("(a|aa)+$", &e);
    assert_non_null(r);
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = 'b';
    assert_int_equal(regex_find(r, name, sizeof name, 0, &from, &to, &e), -1);
    assert_int_equal(e.code, ERR_LIMIT);
    regex_free(r);
}

static void allocation_failures_are_errors(void **state)
{
    (void)state;
    uint64_t before = mem_use().now;
    for (uint64_t n = 1;; n++) {
        struct err e = { 0 };
        mem_fail_at(n, 0);
        struct regex *r = pattern_new("(?P<n>[[a]\\Z){,3}\\v", &e);
        mem_fail_at(0, 0);
        regex_free(r);
        assert_int_equal(mem_use().now, before);
        if (r)
            break;
        assert_int_equal(e.code, ERR_NOMEM);
        assert_true(n < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_that_python_wrote_holds),
        cmocka_unit_test(what_is_not_taken_over_is_refused_by_name),
        cmocka_unit_test(offsets_count_characters),
        cmocka_unit_test(hostile_patterns_end_in_a_limit),
        cmocka_unit_test(allocation_failures_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
