/* simulate.h - the quantizers of activations and cache that a saved checkpoint asks its runtime for, attached to its model,
 * so that every walk over it computes as the runtime would. */
#ifndef QP_STAGES_SIMULATE_H
#define QP_STAGES_SIMULATE_H
#include "base/activation.h"
#include "io/checkpoint.h"
#include "model/model.h"

/* simulate_open - out: what c asks for, and m->activations points to it when that is anything at all; how == FLOAT: nothing.
 * ERR_INPUT: a scale is missing or no number; ERR_UNBUILT: a quantizer that is not computed here. */
int simulate_open(const struct checkpoint *c, enum simulate how, struct model *m, struct activations *out,
                  struct err *e);
/* How many inputs of modules and caches of layers a model rounds. */
void simulate_count(const struct model *m, int64_t *inputs, int64_t *caches);
/* The prefix of an attention's tensors in block b ("model.layers.0.self_attn"), by its output matrix. NULL and no error:
 * the block has no attention. */
char *attention_prefix(const struct model *m, int64_t b, struct err *e);
/* "model.layers.0.mlp.up_proj" from the name of the module's weight. */
char *module_prefix(const struct module *m, struct err *e);
#endif
