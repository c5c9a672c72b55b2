/* specs.h - inside recipes: the rows of stage_specs, and what the dialects change. */
#ifndef QP_RECIPES_SPECS_H
#define QP_RECIPES_SPECS_H
#include "recipes/options.h"

extern const struct stage_spec spec_load, spec_calibrate, spec_gptq, spec_rtn, spec_verify, spec_save;
extern const struct stage_spec spec_awq, spec_smoothquant, spec_logeq, spec_sparsegpt, spec_wanda,
    spec_magnitude, spec_constant, spec_reap, spec_spinquant, spec_quip, spec_autoround, spec_imatrix;

/* specs_former - an option that the pinned release had and this one has not; NULL: none. */
struct former {
    const struct stage_spec *spec;
    const char *option;
    int from, before; /* releases that had it */
    const char *same; /* the value that says what is done anyway; NULL: any, it never changed a result */
    const char *instead;
};
const struct former *specs_former(const struct stage_spec *spec, const char *option, const struct dialect *d);
/* specs_check - rules between the options of one modifier. map: its options, for places; may be NULL. */
int specs_check(const struct stage_spec *spec, const void *options, const struct node *map, struct src_pos at,
                struct err *e);

/* presets_apply - options of a GPTQModifier that its preset says and the recipe does not. given: by row of the table.
 * observed: the recipe names an observer of weights. */
void presets_apply(const struct stage_spec *spec, struct gptq_options *o, const bool *given, bool native,
                   bool observed);

/* What the pinned release did not have yet (drift.c): ERR_INPUT with the release that brought it. For llm-compressor's grammar
 * only; in qpipe's own, a dialect decides defaults and nothing else. */
int specs_refuse_new_option(const struct stage_spec *spec, const struct node *key, const struct dialect *d,
                            struct err *e);
int specs_refuse_new_modifier(const struct stage_spec *spec, struct src_pos at, const struct dialect *d,
                              struct err *e);
int specs_refuse_new_observer(const char *name, struct src_pos at, const struct dialect *d, struct err *e);

/* specs_drift - overwrites the defaults that another release had. */
void specs_drift(const struct stage_spec *spec, const struct dialect *d, void *options);
double specs_maxshrink(const struct dialect *d); /* of the mse observers in that release; NAN: today's */

/* Fields of every modifier of the peer that are bookkeeping there. */
struct base_fields {
    char *group;
    int64_t index;
    double start, end, update;
    bool requires_calibration_data;
};
extern const struct opt base_options[];
#endif
