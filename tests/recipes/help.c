/* help.c - see help.h. */
#include "help.h"
#include "base/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

const char *error_text(const struct err *e)
{
    static char text[1200];
    int n = e->at.line ? snprintf(text, sizeof text, "%d:%d: ", e->at.line, e->at.col) : 0;
    n += snprintf(text + n, sizeof text - (size_t)n, "%s\n", e->what);
    if (e->hint[0])
        snprintf(text + n, sizeof text - (size_t)n, "hint: %s\n", e->hint);
    return text;
}

int parse(const char *text, struct recipe *out, struct err *e)
{
    return recipe_parse(text, strlen(text), "recipe.yaml", NULL, out, e);
}

struct buf resolve(const char *text)
{
    struct recipe r;
    struct err e = { 0 };
    struct buf once = { 0 }, twice = { 0 };
    if (parse(text, &r, &e))
        fail_msg("%s", error_text(&e));
    assert_int_equal(recipe_resolved(&r, true, &once, &e), 0);
    recipe_release(&r);
    if (parse(once.p, &r, &e))
        fail_msg("the resolved text does not parse: %s%s", error_text(&e), once.p);
    assert_int_equal(recipe_resolved(&r, true, &twice, &e), 0);
    assert_string_equal(once.p, twice.p);
    recipe_release(&r);
    buf_release(&twice);
    return once;
}

static const char *const linear[] = { "Linear", "Module", NULL };
static const char *const embedding[] = { "Embedding", "Module", NULL };
static const char *const norm[] = { "LlamaRMSNorm", "Module", NULL };
#define LAYER(n)                                                         \
    { "model.layers." #n ".input_layernorm", norm, false },              \
        { "model.layers." #n ".self_attn.q_proj", linear, true },        \
        { "model.layers." #n ".self_attn.k_proj", linear, true },        \
        { "model.layers." #n ".self_attn.v_proj", linear, true },        \
        { "model.layers." #n ".self_attn.o_proj", linear, true },        \
        { "model.layers." #n ".post_attention_layernorm", norm, false }, \
        { "model.layers." #n ".mlp.gate_proj", linear, true },           \
        { "model.layers." #n ".mlp.up_proj", linear, true },             \
    {                                                                    \
        "model.layers." #n ".mlp.down_proj", linear, true                \
    }
const struct match_module llama[LLAMA_MODULES] = {
    { "model.embed_tokens", embedding, true },
    LAYER(0),
    LAYER(1),
    { "model.norm", norm, false },
    { "lm_head", linear, true },
};

int match_all(const struct recipe *r, struct strs *notes, struct err *e)
{
    struct match_result result[LLAMA_MODULES];
    for (size_t i = 0; i < r->n; i++)
        if (r->stage[i].quant && r->stage[i].quant->n &&
            match_modules(r->stage[i].quant, llama, LLAMA_MODULES, false, result, notes, e))
            return -1;
    return 0;
}
