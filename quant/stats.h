/* stats.h - second moments of a Linear's input, summed over calibration chunks by a fixed tree.
 *
 * Chunk c of n belongs to leaf c * LEAVES / n; a leaf adds its chunks' rows in ascending order (k_gram); leaves are added pairwise up a
 * binary tree (leaf 2i + leaf 2i+1, ...). The result depends on the chunks only, never on who added them. Memory: at
 * most log2(LEAVES)+2 matrices, on average two. */
#ifndef QP_QUANT_STATS_H
#define QP_QUANT_STATS_H
#include "base/err.h"
#include <stdint.h>

enum { GRAM_LEAVES = 16 };
struct gram {
    int64_t k, chunks; /* inputs; how many chunks there will be */
    int64_t rows;      /* tokens seen */
    int64_t sequences; /* chunks added */
    float *sum;        /* [k, k], lower triangle, after gram_finish; owned */
    float *half;       /* sum over the first half of the leaves (for two-fold choices), or NULL */
    int64_t half_rows;
    struct gram_tree *tree;
};
int gram_init(struct gram *g, int64_t k, int64_t chunks, int keep_half, struct err *e);
/* chunks must come in ascending order; x [rows, k], ld ldx. */
int gram_add(struct gram *g, int64_t chunk, const float *x, int64_t rows, int64_t ldx, struct err *e);
int gram_finish(struct gram *g, struct err *e); /* ERR_INPUT when the sum is not finite, naming the column */
void gram_release(struct gram *g);
uint64_t gram_bytes(int64_t k); /* peak, for plans */
#endif
