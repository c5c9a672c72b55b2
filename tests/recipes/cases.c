/* cases.c - every recipe of tests/recipes/cases does what the file beside it says: NAME.err is the exact error, with place
 * and hint; NAME.out is the resolved recipe, followed by the notes. What resolves must resolve to itself again. */
#include "base/file.h"
#include "help.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define DIR "tests/recipes/cases"

static const char *read_text(const char *name, size_t stem, const char *suffix, struct buf *out)
{
    char path[256];
    struct err e = { 0 };
    snprintf(path, sizeof path, DIR "/%.*s%s", (int)stem, name, suffix);
    if (!path_exists(path))
        return NULL;
    assert_int_equal(file_read(path, 1 << 20, out, &e), 0);
    return out->p ? out->p : "";
}

static void add_notes(const struct recipe *r, struct buf *out)
{
    struct err e = { 0 };
    for (size_t i = 0; i < r->notes.n; i++)
        assert_int_equal(buf_printf(out, &e, "# note: %s\n", r->notes.v[i]), 0);
}

static bool same_again(const char *text)
{
    struct recipe r;
    struct err e = { 0 };
    struct buf again = { 0 };
    bool same = !parse(text, &r, &e);
    if (same) {
        same = !recipe_resolved(&r, true, &again, &e) && !strcmp(again.p, text);
        recipe_release(&r);
    }
    buf_release(&again);
    return same;
}

/* 0: as promised. */
static int check(const char *name, size_t stem)
{
    char path[256];
    struct recipe r;
    struct err e = { 0 };
    struct buf err = { 0 }, out = { 0 }, got = { 0 };
    int bad = 0;
    snprintf(path, sizeof path, DIR "/%s", name);
    const char *want_err = read_text(name, stem, ".err", &err), *want = read_text(name, stem, ".out", &out);
    assert_true(!want_err != !want);
    if (recipe_read(path, NULL, &r, &e)) {
        bad = !want_err || strcmp(want_err, error_text(&e));
        if (bad)
            print_error("%s: got\n%swant\n%s", name, error_text(&e), want_err ? want_err : "a recipe\n");
    } else {
        assert_int_equal(recipe_resolved(&r, true, &got, &e), 0);
        bad = !same_again(got.p);
        if (bad)
            print_error("%s: resolves to a recipe that does not resolve to itself\n", name);
        add_notes(&r, &got);
        if (!want || strcmp(want, got.p)) {
            print_error("%s: got\n%swant\n%s", name, got.p, want ? want : want_err);
            bad = 1;
        }
        recipe_release(&r);
    }
    buf_release(&err);
    buf_release(&out);
    buf_release(&got);
    return bad;
}

static void every_case_does_what_stands_beside_it(void **state)
{
    (void)state;
    struct strs files = { 0 };
    struct err e = { 0 };
    int bad = 0, n = 0;
    assert_int_equal(path_list(DIR, &files, &e), 0);
    for (size_t i = 0; i < files.n; i++)
        if (str_ends(files.v[i], ".yaml")) {
            bad += check(files.v[i], strlen(files.v[i]) - strlen(".yaml"));
            n++;
        }
    strs_release(&files);
    assert_true(n >= 100);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_case_does_what_stands_beside_it) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
