/* variants.c - a recipe with `variants:` is several recipes: each name gives what writing its values into vars would give, with an
 * output of its own; nothing is chosen for the user. */
#include "base/mem.h"
#include "help.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char text[] = "version: 1\nmodel: m\noutput: out/tiny\nvars: { bits: 4, samples: 8 }\n"
                           "variants:\n  base:\n  w8: { bits: 8 }\n  more: { samples: 64 }\n"
                           "stages:\n  - calibrate: { dataset: c, samples: '${samples}' }\n"
                           "  - gptq: { scheme: 'W${bits}A16' }\n";

static struct buf resolved(const char *t, const struct recipe_args *a)
{
    struct recipe r;
    struct err e = { 0 };
    struct buf out = { 0 };
    if (recipe_parse(t, strlen(t), "folder/r.yaml", a, &r, &e))
        fail_msg("%s", error_text(&e));
    assert_int_equal(recipe_resolved(&r, true, &out, &e), 0);
    recipe_release(&r);
    return out;
}

static const char *fails(const char *t, const struct recipe_args *a)
{
    struct recipe r;
    struct err e = { 0 };
    assert_int_equal(recipe_parse(t, strlen(t), "folder/r.yaml", a, &r, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    return error_text(&e);
}

static void a_variant_is_the_recipe_with_its_values_in_vars(void **state)
{
    (void)state;
    const struct var eight = { "bits", "8" };
    const struct recipe_args w8 = { .variant = "w8" }, same = {
        .variant = "base", .output = "folder/out/tiny-w8", .set = &eight, .n_set = 1
    };
    struct buf a = resolved(text, &w8), b = resolved(text, &same);
    assert_string_equal(a.p, b.p);
    assert_non_null(strstr(a.p, "W8A16"));
    assert_non_null(strstr(a.p, "folder/out/tiny-w8\""));
    buf_release(&a);
    buf_release(&b);
}

static void set_beats_the_variant(void **state)
{
    (void)state;
    const struct var three = { "bits", "4" };
    const struct recipe_args a = { .variant = "w8", .set = &three, .n_set = 1 };
    struct buf out = resolved(text, &a);
    assert_non_null(strstr(out.p, "W4A16"));
    buf_release(&out);
}

static void outputs_are_kept_apart(void **state)
{
    (void)state;
    const struct recipe_args plain = { .variant = "more" }, given = { .variant = "more", .output = "here" };
    struct buf out = resolved(text, &plain);
    assert_non_null(strstr(out.p, "\"folder/out/tiny-more\""));
    buf_release(&out);
    out = resolved(text, &given); /* a path of the command line is taken as it is */
    assert_non_null(strstr(out.p, "\"here\""));
    buf_release(&out);
    out = resolved(
        "version: 1\nmodel: m\noutput: all/${variant}/x\nvariants: { a: , b: }\nstages: [ rtn: { scheme: W8A16 } ]\n",
        &(struct recipe_args){ .variant = "b" });
    assert_non_null(strstr(out.p, "\"folder/all/b/x\""));
    buf_release(&out);
}

static void a_name_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    assert_string_equal(
        fails(text, &(struct recipe_args){ .variant = "w9" }),
        "--variant: found 'w9', expected a name of the recipe's variants:\nhint: did you mean 'w8'?\n");
    assert_string_equal(
        fails("version: 1\nstages: [ rtn: { scheme: W8A16 } ]\n", &(struct recipe_args){ .variant = "a" }),
        "--variant: found 'a', expected a name of the recipe's variants:\nhint: the recipe has 0 variants\n");
    assert_string_equal(fails("version: 1\nvars: { variant: 1 }\nvariants: { a: }\nstages: [ rtn ]\n",
                              &(struct recipe_args){ .variant = "a" }),
                        "2:9: vars: found 'variant', which is the name of the chosen variant here\n");
}

static void the_peers_grammar_has_variants_too(void **state)
{
    (void)state;
    struct buf out = resolved("vars: { s: W8A16 }\nvariants: { four: { s: W4A16 } }\n"
                              "q_stage:\n  q_modifiers:\n    QuantizationModifier: { scheme: '${s}' }\n",
                              &(struct recipe_args){ .variant = "four" });
    assert_non_null(strstr(out.p, "W4A16"));
    buf_release(&out);
}

static void names_are_listed_in_the_order_of_the_file(void **state)
{
    (void)state;
    struct strs names = { 0 };
    struct err e = { 0 };
    assert_int_equal(recipe_variants("tests/recipes/cases/variants-none-chosen.yaml", &names, &e), 0);
    assert_int_equal(names.n, 2);
    assert_string_equal(names.v[0], "w4");
    assert_string_equal(names.v[1], "w8");
    strs_release(&names);
    assert_int_equal(recipe_variants("examples/quickstart.yaml", &names, &e), 0);
    assert_int_equal(names.n, 0);
    assert_int_equal(recipe_variants("tests/recipes/cases/none.yaml", &names, &e), -1);
    assert_int_equal(e.code, ERR_IO);
}

static void every_failed_allocation_is_an_error(void **state)
{
    (void)state;
    const struct recipe_args a = { .variant = "w8" };
    bool done = false;
    for (uint64_t n = 1; !done && n < 2000; n++) {
        struct recipe r;
        struct err e = { 0 };
        uint64_t before = mem_use().count;
        mem_fail_at(n, 0);
        int rc = recipe_parse(text, strlen(text), "r.yaml", &a, &r, &e);
        done = mem_fail_at(0, 0) < n;
        assert_int_equal(rc, done ? 0 : -1);
        if (!rc)
            recipe_release(&r);
        else
            assert_int_equal(e.code, ERR_NOMEM);
        assert_int_equal(mem_use().count, before);
    }
    assert_true(done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_variant_is_the_recipe_with_its_values_in_vars),
        cmocka_unit_test(set_beats_the_variant),
        cmocka_unit_test(outputs_are_kept_apart),
        cmocka_unit_test(a_name_that_is_not_there_is_an_error),
        cmocka_unit_test(the_peers_grammar_has_variants_too),
        cmocka_unit_test(names_are_listed_in_the_order_of_the_file),
        cmocka_unit_test(every_failed_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
