/* tree.h - sums of matrices [k, k] over the calibration chunks by one fixed binary tree, whoever holds its leaves.
 *
 * Chunk c of n belongs to leaf c * TREE_LEAVES / n. A leaf adds its chunks in ascending order; leaves are added pairwise (0+1, 2+3, ...),
 * and so on to the root. A rank owns a run of leaves (tree_span), makes every node that lies inside its run, and hands what
 * stays to the rank that holds the left neighbour: the sums are the same on any number of ranks. An empty leaf is no matrix and counts
 * as zero. Memory: at most TREE_LEVELS + 1 matrices on one rank that owns all leaves. */
#ifndef QP_QUANT_TREE_H
#define QP_QUANT_TREE_H
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

enum { TREE_LEVELS = 4, TREE_LEAVES = 1 << TREE_LEVELS };

/* How bytes go to other ranks; size 1: nobody else. */
struct links {
    int rank, size;
    void *arg;
    int (*send)(void *arg, int to, const void *p, size_t n, struct err *e);
    int (*recv)(void *arg, int from, void *p, size_t n, struct err *e);
};
extern const struct links links_none;
/* tree_span - the leaves [*first, *end) of a rank; tree_owner - the rank of a leaf. More ranks than leaves: some have none. */
void tree_span(int rank, int size, int *first, int *end);
int tree_owner(int leaf, int size);
/* tree_chunks - the chunks [*first, *end) of n that a rank's leaves hold. */
void tree_chunks(int rank, int size, int64_t n, int64_t *first, int64_t *end);

struct tree_node {
    int level, index; /* covers the leaves [index << level, (index + 1) << level) */
    float *m;         /* [k, k]; NULL: zero */
    int64_t rows, sequences;
};
struct tree {
    int64_t k, chunks;
    bool full;      /* whole matrices; false: lower triangles */
    bool keep_half; /* the node over the first half of the leaves is kept when the root is made from it */
    int at, end;    /* leaf that is open or comes next; behind this rank's last one */
    int64_t next_chunk;
    struct tree_node leaf; /* growing; m NULL: no chunk yet */
    struct tree_node node[2 * TREE_LEVELS + 2];
    int n;
    float *spare; /* of a node that was joined: the next leaf, whose pages need not be mapped anew */
    struct tree_node half;
};
/* l: whose leaves this tree has. ERR_INPUT for k or chunks below 1. */
int tree_init(struct tree *t, int64_t k, int64_t chunks, bool full, bool keep_half, const struct links *l,
              struct err *e);
/* tree_leaf - the matrix to add a chunk of so many rows to; chunks ascending, all of this rank's leaves. */
float *tree_leaf(struct tree *t, int64_t chunk, int64_t rows, struct err *e);
/* tree_reduce - behind the last chunk: up to the root, which the owner of leaf 0 has then in *root (and t->half); all ranks
 * call it. On other ranks root->m is NULL and root->level is -1. The matrix is the caller's. */
int tree_reduce(struct tree *t, const struct links *l, struct tree_node *root, struct err *e);
/* tree_spread - a node from one rank to each rank with wants[rank]; all ranks call it. On the others node->m is NULL then. */
int tree_spread(struct tree_node *node, int64_t k, bool full, const struct links *l, int from,
                const bool *wants, struct err *e);
void tree_release(struct tree *t);
uint64_t tree_bytes(int64_t k); /* peak, for plans */
#endif
