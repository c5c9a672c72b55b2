/* clip.c - what `clip: true` of AWQModifier means for the modules that later modifiers quantize (quant/clip.h): all that are
 * solved in the walk, whose inputs it sees, but queries and keys: their product meets no balance, and the paper leaves them
 * out for it. The search itself runs where the module is solved, on the Gram matrix that the walk has there. */
#include "stages/rows.h"

#include "model/arch.h"

#include <string.h>

static const struct recipe_stage *clipper(const struct job *j)
{
    for (size_t i = 0; i < j->recipe->n; i++) {
        const struct recipe_stage *s = &j->recipe->stage[i];
        if (!strcmp(s->spec->name, "AWQModifier") && ((const struct awq_options *)s->options)->clip)
            return s;
    }
    return NULL;
}

static bool clipped(const struct module_job *m)
{
    int part = m->module->part;
    return m->scheme && m->module->group >= 0 && part != P_Q && part != P_K && part != P_QKV;
}

static int refuse_search(const struct recipe_stage *s, const struct module_job *m, struct err *e)
{
    if (m->solve.scale_search) {
        err_at(e, ERR_INPUT, s->at,
               "clip: '%s' has a scale_search, which decides about ranges, too; one of them has to",
               m->module->name);
        return err_hint(e, "say scale_search: none beside the quantizer's preset, or leave clip out");
    }
    if (m->observer != observer_find("memoryless_minmax")) {
        err_at(e, ERR_INPUT, s->at,
               "clip: '%s' has observer %s, which decides about ranges, too; one of them has to",
               m->module->name, m->observer->name);
        return err_hint(e, "leave the observer out, or leave clip out");
    }
    return 0;
}

int clip_plan(struct job *j, struct err *e)
{
    const struct recipe_stage *s = clipper(j);
    const struct awq_options *o = s ? s->options : NULL;
    int64_t n = 0;
    for (int64_t i = 0; s && i < j->load.model.n_modules; i++) {
        struct module_job *m = &j->module[i];
        if (!clipped(m))
            continue;
        if (refuse_search(s, m, e))
            return -1;
        m->clip = (struct clip_options){ o->clip_grid, o->clip_shrink };
        n++;
    }
    if (s && !n)
        return err_at(e, ERR_INPUT, s->at,
                      "clip: nothing but queries and keys is quantized behind AWQModifier");
    j->needs_data = j->needs_data || n;
    return 0;
}
