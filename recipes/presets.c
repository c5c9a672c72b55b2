/* presets.c - GPTQModifier's presets: names for sets of options. What the recipe gives beside a preset wins; what comes
 * out stands in the resolved recipe option by option, so that later versions may change a preset without changing what
 * a resolved recipe means. Figures behind the choices: docs/methods.md. */
#include "recipes/specs.h"

#include <string.h>

static const struct gptq_preset_row {
    const char *option;
    double value[3]; /* by enum gptq_preset */
} rows[] = {
    { "actorder", { GPTQ_NOT_GIVEN, GPTQ_NOT_GIVEN, GPTQ_NOT_GIVEN } },
    { "damping", { 0, 2, 2 } },      /* fixed; quick; quick */
    { "scale_search", { 0, 2, 3 } }, /* none; importance; feedback */
    { "refit", { 0, 0, 1 } },
    { "sweeps", { 0, 0, 3 } },
    { "calibration", { 0, 0, 1 } }, /* symmetric; symmetric; asymmetric */
};

static bool said(const struct stage_spec *spec, const bool *given, const char *option)
{
    return given[opt_find(spec->options, option) - spec->options];
}

/* A word of the recipe that says the same thing in another way. */
static bool said_otherwise(const struct stage_spec *spec, const bool *given, const char *option,
                           bool observed)
{
    if (!strcmp(option, "damping"))
        return said(spec, given, "dampening_frac");
    return !strcmp(option, "scale_search") && observed;
}

void presets_apply(const struct stage_spec *spec, struct gptq_options *o, const bool *given, bool native,
                   bool observed)
{
    if (!said(spec, given, "preset"))
        o->preset = native ? PRESET_FAST : PRESET_NONE;
    if (o->preset == PRESET_NONE)
        return; /* the table's defaults, and those of the dialect */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct opt *row = opt_find(spec->options, rows[i].option);
        char *at = (char *)o + row->at;
        if (given[row - spec->options] || said_otherwise(spec, given, rows[i].option, observed))
            continue;
        if (row->type == OPT_ENUM)
            *(int *)(void *)at = (int)rows[i].value[o->preset];
        else
            *(int64_t *)(void *)at = (int64_t)rows[i].value[o->preset];
    }
}
