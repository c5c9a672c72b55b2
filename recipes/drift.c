/* drift.c - what a pinned release of llm-compressor did not have yet: options, modifiers and observers by the release that
 * brought them. A recipe in its grammar that pins an older one and uses them is a mistake. What releases dropped is specs.c. */
#include "recipes/specs.h"

#include <string.h>

/* spec NULL: of every modifier that quantizes. option NULL: the modifier itself. */
static const struct age {
    const struct stage_spec *spec;
    const char *option;
    int since;
} ages[] = {
    { &spec_awq, NULL, 5 },
    { &spec_gptq, "actorder", 5 },
    { &spec_gptq, "batched_quantization", 14 },
    { &spec_smoothquant, "algorithm", 11 },
    { NULL, "observer", 9 },
    { NULL, "weight_observer", 9 },
    { NULL, "input_observer", 9 },
    { NULL, "output_observer", 9 },
    { NULL, "bypass_divisibility_checks", 10 },
};

static const struct observer_age {
    const char *name;
    int since;
} observer_ages[] = {
    { "memoryless_minmax", 9 }, { "static_minmax", 9 },       { "memoryless_mse", 9 },
    { "imatrix_mse", 11 },      { "nvfp4_expanded_mse", 14 }, { "nvfp4_expanded_imatrix", 14 },
    { "fouroversix", 14 },
};

static int too_new(struct src_pos at, const char *what, int since, const struct dialect *d, struct err *e)
{
    err_at(e, ERR_INPUT, at, "%s came with llm-compressor 0.%d, and the recipe pins %s", what, since,
           d->name);
    return err_hint(e, "leave it out, or pin a newer release with dialect:");
}

int specs_refuse_new_option(const struct stage_spec *spec, const struct node *key, const struct dialect *d,
                            struct err *e)
{
    char what[160];
    for (size_t i = 0; i < sizeof ages / sizeof *ages; i++) {
        const struct age *a = &ages[i];
        if (!a->option || d->order >= a->since || strcmp(a->option, key->text) ||
            (a->spec ? a->spec != spec : !spec->quantizes))
            continue;
        snprintf(what, sizeof what, "%s: option '%s'", spec->name, key->text);
        return too_new(key->at, what, a->since, d, e);
    }
    return 0;
}

int specs_refuse_new_modifier(const struct stage_spec *spec, struct src_pos at, const struct dialect *d,
                              struct err *e)
{
    for (size_t i = 0; i < sizeof ages / sizeof *ages; i++)
        if (!ages[i].option && ages[i].spec == spec && d->order < ages[i].since)
            return too_new(at, spec->name, ages[i].since, d, e);
    return 0;
}

int specs_refuse_new_observer(const char *name, struct src_pos at, const struct dialect *d, struct err *e)
{
    char what[80];
    for (size_t i = 0; i < sizeof observer_ages / sizeof *observer_ages; i++)
        if (!strcmp(observer_ages[i].name, name) && d->order < observer_ages[i].since) {
            snprintf(what, sizeof what, "observer '%s'", name);
            return too_new(at, what, observer_ages[i].since, d, e);
        }
    return 0;
}
