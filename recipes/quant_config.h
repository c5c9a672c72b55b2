/* quant_config.h - inside recipes: scheme, config_groups, targets, ignore, observers of a quantizing modifier, from nodes to
 * a struct quant_config with nothing left open. */
#ifndef QP_RECIPES_QUANT_CONFIG_H
#define QP_RECIPES_QUANT_CONFIG_H
#include "recipes/options.h"

/* The shared options as they stand in the file; nodes are NULL where the key is absent. */
struct quant_raw {
    const struct node *scheme, *config_groups, *targets, *ignore, *kv_cache, *observer, *weight_observer,
        *input_observer, *output_observer;
    bool bypass_divisibility_checks;
};
/* What the modifier around it decides. */
struct quant_context {
    const char *who; /* "GPTQModifier" */
    struct src_pos at;
    const struct dialect *dialect;
    bool native;         /* the grammar */
    bool gptq;           /* has a column order */
    bool actorder_given; /* at the modifier; else a group's own word wins over the dialect's default */
    int actorder;        /* enum gptq_order of the modifier */
    struct src_pos actorder_at;
    struct strs *notes;
};
/* quant_config_read - out->n == 0 when neither scheme nor config_groups is given (an earlier modifier may supply them). */
int quant_config_read(const struct quant_raw *raw, const struct quant_context *c, struct quant_config *out,
                      struct err *e);
void quant_config_release(struct quant_config *q);
/* Rows over the arguments of one tensor, for the schema and the docs. */
extern const struct opt quant_args_options[];
extern const struct opt quant_scheme_options[];
#endif
