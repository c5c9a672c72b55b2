/* stats.h - second moments of a Linear's input, summed over calibration chunks by the tree of tree.h: the result depends on
 * the chunks only, never on who added them. */
#ifndef QP_QUANT_STATS_H
#define QP_QUANT_STATS_H
#include "quant/tree.h"

enum { GRAM_LEAVES = TREE_LEAVES };
struct gram {
    int64_t k, chunks; /* inputs; how many chunks there will be */
    int64_t rows;      /* tokens seen */
    int64_t sequences; /* chunks added */
    float *sum;        /* [k, k], lower triangle, after gram_finish; owned */
    float *half;       /* sum over the first half of the leaves (for two-fold choices), or NULL */
    int64_t half_rows;
    struct tree *tree;
};
int gram_init(struct gram *g, int64_t k, int64_t chunks, int keep_half, struct err *e);
/* chunks must come in ascending order; x [rows, k], ld ldx. */
int gram_add(struct gram *g, int64_t chunk, const float *x, int64_t rows, int64_t ldx, struct err *e);
int gram_finish(struct gram *g, struct err *e); /* ERR_INPUT when the sum is not finite, naming the column */
/* The same for ranks that share the chunks (tree_chunks), called by all of them; afterwards the sums are on each rank with
 * wants[rank], and `sum` is NULL on the others. */
int gram_init_on(struct gram *g, int64_t k, int64_t chunks, int keep_half, const struct links *l,
                 struct err *e);
int gram_finish_on(struct gram *g, const struct links *l, const bool *wants, struct err *e);
void gram_release(struct gram *g);
uint64_t gram_bytes(int64_t k); /* peak, for plans */
#endif
