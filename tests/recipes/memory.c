/* memory.c - every allocation of reading, resolving and matching a recipe fails once: an error of memory, nothing leaked,
 * and in the end the same text as without. libyaml's own allocations do not go through base/mem.h. */
#include "base/mem.h"
#include "help.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const recipes[] = {
    "version: 1\nmodel: m\noutput: o\nvars: {a: 4}\nx-n: &n [lm_head, {match: 're:.*x', optional: true}]\nstages:\n"
    "  - calibrate: {dataset: d}\n  - gptq: {scheme: {'W${a}A16': [Linear], W8A16: ['re:.*down_proj$']}, ignore: *n}\n  - verify\n  - save\n",
    "q_stage:\n  q_modifiers:\n    AWQModifier: {scheme: W4A16, mappings: [{smooth_layer: a}]}\n    GPTQModifier:\n      <<: {group: g}\n"
    "      config_groups:\n        a: {targets: [Linear], weights: {num_bits: 4, observer: mse, observer_kwargs: {grid: 20}}}\n",
    "q_stage:\n  q_modifiers:\n    GPTQModifier: {schema: W4A16}\n",
    "q_stage:\n  q_modifiers:\n    GPTQModifier: {scheme: W4A16, targets: ['re:*']}\n",
};

static int run(const char *text, const struct recipe_args *args, struct buf *out, struct err *e)
{
    struct recipe r;
    struct strs notes = { 0 };
    int rc = recipe_parse(text, strlen(text), "dir/recipe.yaml", args, &r, e);
    if (!rc) {
        rc = recipe_resolved(&r, true, out, e) || match_all(&r, &notes, e) ? -1 : 0;
        recipe_release(&r);
    }
    strs_release(&notes);
    return rc;
}

static void every_failed_allocation_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    const struct var set = { "a", "8" };
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++) {
        const struct recipe_args args = { .model = "other", .dataset = "d2", .set = &set, .n_set = i == 0 };
        struct err want = { 0 };
        struct buf whole = { 0 };
        int end = run(recipes[i], &args, &whole, &want);
        for (uint64_t n = 1;; n++) {
            struct err e = { 0 };
            struct buf out = { 0 };
            uint64_t before = mem_use().count;
            mem_fail_at(n, n % 2 == 0);
            int rc = run(recipes[i], &args, &out, &e);
            bool reached = mem_fail_at(0, 0) >= n;
            assert_true(n < 5000);
            if (!reached) {
                assert_int_equal(rc, end);
                assert_string_equal(out.p ? out.p : "", whole.p ? whole.p : "");
                assert_string_equal(e.what, want.what);
                buf_release(&out);
                break;
            }
            assert_int_equal(rc, -1);
            assert_int_equal(e.code, ERR_NOMEM);
            buf_release(&out);
            assert_int_equal(mem_use().count, before);
        }
        buf_release(&whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(
        every_failed_allocation_is_an_error_and_leaks_nothing) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
