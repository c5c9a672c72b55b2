/* load.h - the float32 weights of one block in memory. */
#ifndef QP_MODEL_LOAD_H
#define QP_MODEL_LOAD_H
#include "model/steps.h"

/* weights_load - all matrices, norms and biases of a block (-1: prologue, n_blocks: epilogue); embeddings stay on disk. */
int weights_load(const struct model *m, int64_t block, struct weights *out, struct err *e);
void weights_release(struct weights *w);
#endif
