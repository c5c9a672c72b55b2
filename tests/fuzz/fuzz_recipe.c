/* fuzz_recipe.c - bytes as a recipe. Reading them ends in an error with a text, or in a recipe whose resolved text reads
 * back as a recipe with the same resolved text, and whose targets can be matched against modules. */
#include "base/mem.h"
#include "recipes/match.h"
#include "recipes/recipe.h"
#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const linear[] = { "Linear", "Module", NULL }, *const norm[] = { "LlamaRMSNorm", NULL };
static const struct match_module modules[] = {
    { "model.layers.0.input_layernorm", norm, false },
    { "model.layers.0.self_attn.q_proj", linear, true },
    { "model.layers.0.mlp.down_proj", linear, true },
    { "lm_head", linear, true },
};
enum { N = sizeof modules / sizeof *modules };

static void told(const struct err *e)
{
    assert(e->code == ERR_INPUT || e->code == ERR_LIMIT || e->code == ERR_UNBUILT);
    assert(e->what[0]);
}

static void match(const struct recipe *r)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct quant_config *q = r->stage[i].quant;
        struct match_result result[N];
        struct strs notes = { 0 };
        struct err e = { 0 };
        if (q && match_modules(q, modules, N, false, result, &notes, &e))
            told(&e);
        else
            for (size_t k = 0; q && k < N; k++)
                assert(result[k].group < (int)q->n && (result[k].group < 0 || modules[k].quantizable));
        strs_release(&notes);
    }
}

static void round_trip(const struct recipe *r)
{
    struct buf once = { 0 }, twice = { 0 };
    struct err e = { 0 };
    struct recipe again;
    int rc = recipe_resolved(r, true, &once, &e);
    assert(!rc);
    rc = recipe_parse(once.p, once.len, "fuzz.yaml", NULL, &again, &e);
    assert(!rc);
    rc = recipe_resolved(&again, true, &twice, &e);
    assert(!rc && once.len == twice.len && !memcmp(once.p, twice.p, once.len));
    recipe_release(&again);
    buf_release(&once);
    buf_release(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct recipe r;
    struct err e = { 0 };
    uint64_t before = mem_use().now;
    if (recipe_parse((const char *)data, size, "fuzz.yaml", NULL, &r, &e))
        told(&e);
    else {
        round_trip(&r);
        match(&r);
        recipe_release(&r);
    }
    assert(mem_use().now == before);
    return 0;
}
