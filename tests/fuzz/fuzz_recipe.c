/* fuzz_recipe.c - bytes as a recipe. Reading it ends in an error with a text, or in a recipe whose resolved text is a recipe
 * again, and resolves to the same text. */
#include "recipes/recipe.h"
#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_error(const struct err *e)
{
    assert(e->code == ERR_INPUT || e->code == ERR_LIMIT || e->code == ERR_UNBUILT);
    assert(e->what[0]);
}

static struct buf resolved(const struct recipe *r)
{
    struct buf out = { 0 };
    struct err e = { 0 };
    int rc = recipe_resolved(r, true, &out, &e);
    assert(!rc && out.len);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct recipe r, again;
    struct err e = { 0 };
    if (recipe_parse((const char *)data, size, "recipe.yaml", NULL, &r, &e)) {
        check_error(&e);
        return 0;
    }
    struct buf first = resolved(&r);
    if (recipe_parse(first.p, first.len, "recipe.yaml", NULL, &again, &e))
        assert(e.code == ERR_LIMIT); /* what aliases shared is written out: the text may be too large */
    else {
        struct buf second = resolved(&again);
        assert(!strcmp(first.p, second.p));
        buf_release(&second);
        recipe_release(&again);
    }
    buf_release(&first);
    recipe_release(&r);
    return 0;
}
