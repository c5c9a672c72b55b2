/* quant_args.h - inside recipes: one QuantizationArgs mapping to struct quant_args. */
#ifndef QP_RECIPES_QUANT_ARGS_H
#define QP_RECIPES_QUANT_ARGS_H
#include "recipes/quant_config.h"

enum args_role { ARGS_WEIGHTS, ARGS_INPUT, ARGS_OUTPUT, ARGS_KV };
int quant_args_read(const struct node *n, enum args_role role, struct quant_args *out, struct strs *notes,
                    struct err *e);
/* quant_keys_known - no key of a mapping but those of a table; the nearest, or all of them, as hint. */
int quant_keys_known(const struct opt *t, const struct node *map, const char *who, struct err *e);
/* quant_observer_set - a name from a mixin option (weight_observer: ...), checked. */
int quant_observer_set(const struct node *n, struct quant_args *a, struct err *e);
/* quant_observer_check - every parameter that is given is one of the observer's. */
int quant_observer_check(const struct quant_args *a, struct src_pos at, struct err *e);
/* quant_observer_default - the name that null stands for in a role. */
void quant_observer_default(struct quant_args *a, enum args_role role, double maxshrink);
#endif
