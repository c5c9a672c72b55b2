/* err.c - tests of base/err: the first failure wins, hint and trail belong to it, and how it is printed. */
#include "tests/base/check.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *printed(const struct err *e)
{
    static char text[4096];
    FILE *f = tmpfile();
    assert_non_null(f);
    err_print(e, f);
    rewind(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    return text;
}

static void first_failure_wins(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct src_pos at = { "b.yaml", 3, 4 };
    assert_int_equal(err_set(&e, ERR_IO, "first %d", 1), -1);
    assert_int_equal(err_set(&e, ERR_BUG, "second"), -1);
    assert_int_equal(err_at(&e, ERR_LIMIT, at, "third"), -1);
    assert_int_equal(err_nomem(&e), -1);
    IS_ERR(e, ERR_IO, "first 1");
    assert_int_equal(e.at.line, 0);
}

static void null_error_is_allowed(void **state)
{
    (void)state;
    struct src_pos at = { "f", 1, 1 };
    assert_int_equal(err_set(NULL, ERR_IO, "x"), -1);
    assert_int_equal(err_at(NULL, ERR_IO, at, "x"), -1);
    assert_int_equal(err_hint(NULL, "x"), -1);
    assert_int_equal(err_while(NULL, "x"), -1);
    assert_int_equal(err_nomem(NULL), -1);
}

static void hint_needs_an_error_and_first_hint_wins(void **state)
{
    (void)state;
    struct err e = { 0 };
    err_hint(&e, "too early");
    err_while(&e, "too early");
    assert_string_equal(e.hint, "");
    assert_string_equal(e.trail, "");
    err_set(&e, ERR_INPUT, "found a, expected b");
    err_hint(&e, "write %s", "b");
    err_hint(&e, "write c");
    assert_string_equal(e.hint, "write b");
}

static void printing_gives_place_hint_and_trail_innermost_first(void **state)
{
    (void)state;
    char name[] = "r.yaml";
    struct src_pos at = { name, 7, 9 };
    struct err e = { 0 };
    err_at(&e, ERR_INPUT, at, "found a, expected b");
    memset(name, 'x', sizeof name - 1); /* the error keeps a copy of the name */
    err_hint(&e, "write b");
    err_while(&e, "reading the option");
    err_while(&e, "reading the recipe");
    assert_string_equal(printed(&e), "r.yaml:7:9: found a, expected b\n  hint: write b\n"
                                     "  while reading the option\n  while reading the recipe\n");
    e.at.col = 0;
    assert_string_equal(printed(&e), "r.yaml:7: found a, expected b\n  hint: write b\n"
                                     "  while reading the option\n  while reading the recipe\n");
    struct err plain = { 0 };
    err_set(&plain, ERR_IO, "no place");
    assert_string_equal(printed(&plain), "no place\n");
}

static void long_texts_are_cut_not_overrun(void **state)
{
    (void)state;
    static char big[5000];
    memset(big, 'a', sizeof big - 1);
    struct src_pos at = { big, 1, 1 };
    struct err e = { 0 };
    err_at(&e, ERR_INPUT, at, "%s", big);
    err_hint(&e, "%s", big);
    for (int i = 0; i < 10; i++)
        err_while(&e, "%s", big);
    assert_int_equal(strlen(e.what), sizeof e.what - 1);
    assert_int_equal(strlen(e.hint), sizeof e.hint - 1);
    assert_int_equal(strlen(e.file), sizeof e.file - 1);
    assert_int_equal(strlen(e.trail), sizeof e.trail - 1);
}

static void many_short_trails_stop_at_the_end(void **state)
{
    (void)state;
    struct err e = { 0 };
    err_set(&e, ERR_INPUT, "x");
    for (int i = 0; i < 1000; i++)
        err_while(&e, "%d", i);
    assert_true(strlen(e.trail) < sizeof e.trail);
    assert_memory_equal(e.trail, "0\n1\n2\n", 6);
}

static void system_errors_name_path_and_reason(void **state)
{
    (void)state;
    struct err e = { 0 }, f = { 0 };
    errno = ENOENT;
    err_io(&e, "open", "a/b");
    IS_ERR(e, ERR_IO, "a/b: can not open: No such file or directory");
    errno = ENOMEM;
    err_io(&f, "map", "a/b");
    IS_ERR(f, ERR_NOMEM, "out of memory");
}

static void every_code_has_its_own_word(void **state)
{
    (void)state;
    static const struct {
        enum err_code c;
        const char *word;
    } rows[] = { { ERR_OK, "ok" },           { ERR_CHECK, "check" }, { ERR_INPUT, "input" },
                 { ERR_LIMIT, "limit" },     { ERR_IO, "io" },       { ERR_NOMEM, "memory" },
                 { ERR_UNBUILT, "unbuilt" }, { ERR_BUG, "bug" },     { ERR_RESUME, "interrupted" } };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_string_equal(err_name(rows[i].c), rows[i].word);
}

static void a_bug_ends_with_status_70(void **state)
{
    (void)state;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        BUG_ON(1 + 1 == 2);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 70);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_failure_wins),
        cmocka_unit_test(null_error_is_allowed),
        cmocka_unit_test(hint_needs_an_error_and_first_hint_wins),
        cmocka_unit_test(printing_gives_place_hint_and_trail_innermost_first),
        cmocka_unit_test(long_texts_are_cut_not_overrun),
        cmocka_unit_test(many_short_trails_stop_at_the_end),
        cmocka_unit_test(system_errors_name_path_and_reason),
        cmocka_unit_test(every_code_has_its_own_word),
        cmocka_unit_test(a_bug_ends_with_status_70),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
