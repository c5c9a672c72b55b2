/* stats.c - Gram matrices as trees of sums (stats.h). */
#include "quant/stats.h"
#include "base/mem.h"
#include "kernels/compute.h"
#include <math.h>
#include <string.h>

int gram_init_on(struct gram *g, int64_t k, int64_t chunks, int keep_half, const struct links *l,
                 struct err *e)
{
    memset(g, 0, sizeof *g);
    g->tree = mem_alloc(sizeof *g->tree, e);
    if (!g->tree || tree_init(g->tree, k, chunks, false, keep_half, l, e)) {
        gram_release(g);
        return -1;
    }
    g->k = k;
    g->chunks = chunks;
    return 0;
}

int gram_init(struct gram *g, int64_t k, int64_t chunks, int keep_half, struct err *e)
{
    return gram_init_on(g, k, chunks, keep_half, &links_none, e);
}

int gram_add(struct gram *g, int64_t chunk, const float *x, int64_t rows, int64_t ldx, struct err *e)
{
    BUG_ON(!g->tree || rows < 0 || ldx < g->k);
    float *leaf = tree_leaf(g->tree, chunk, rows, e);
    if (!leaf)
        return -1;
    if (rows)
        compute_now()->gram(rows, g->k, x, ldx, leaf, g->k);
    return 0;
}

/* A tree without any chunk sums up to nothing; a matrix of zeros is what readers expect. */
static int at_least_zeros(float **m, int64_t k, struct err *e)
{
    if (!*m)
        *m = mem_big((size_t)(k * k), sizeof **m, e);
    return *m ? 0 : -1;
}

static int check_finite(const struct gram *g, struct err *e)
{
    for (int64_t j = 0; j < g->k; j++)
        if (!isfinite(g->sum[j * g->k + j])) {
            err_set(e, ERR_INPUT, "the inputs of column %lld are not finite, or too large to square",
                    (long long)j);
            return err_hint(
                e, "A layer before this one overflows; check the checkpoint and the calibration text.");
        }
    return 0;
}

int gram_finish_on(struct gram *g, const struct links *l, const bool *wants, struct err *e)
{
    struct tree_node root;
    struct tree *t = g->tree;
    int from = tree_owner(0, l->size);
    BUG_ON(!t);
    bool keep = t->keep_half;
    int rc = tree_reduce(t, l, &root, e);
    struct tree_node half = t->half;
    memset(&t->half, 0, sizeof t->half);
    rc = rc || tree_spread(&root, g->k, false, l, from, wants, e) ||
                 (keep && tree_spread(&half, g->k, false, l, from, wants, e))
             ? -1
             : 0;
    tree_release(t);
    mem_free(t);
    g->tree = NULL;
    g->sum = root.m;
    g->half = half.m;
    g->rows = root.rows;
    g->sequences = root.sequences;
    g->half_rows = half.rows;
    if (rc)
        return -1;
    if (!wants[l->rank])
        return 0;
    return at_least_zeros(&g->sum, g->k, e) || check_finite(g, e) ? -1 : 0;
}

int gram_finish(struct gram *g, struct err *e)
{
    static const bool here[] = { true };
    return gram_finish_on(g, &links_none, here, e);
}

void gram_release(struct gram *g)
{
    if (g->tree)
        tree_release(g->tree);
    mem_free(g->tree);
    mem_free(g->sum);
    mem_free(g->half);
    memset(g, 0, sizeof *g);
}

uint64_t gram_bytes(int64_t k) { return tree_bytes(k); }
