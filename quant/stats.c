/* stats.c - the tree of Gram matrices (stats.h). Finished leaves wait on a stack as the digits of a binary counter: a
 * node of level v covers 2^v leaves, and a new node of the level of the top is added to it. So at most one node of each
 * level and one growing leaf exist. A leaf without chunks has no matrix and counts as zero. */
#include "quant/stats.h"
#include "base/mem.h"
#include "kernels/compute.h"
#include "kernels/kernels.h"
#include <limits.h>
#include <math.h>
#include <string.h>

enum { LEVELS = 4 }; /* 2^4 leaves */
_Static_assert(1 << LEVELS == GRAM_LEAVES, "the tree is complete");

struct gram_tree {
    float *node[LEVELS + 1]; /* waiting nodes by level; NULL: none, or all zero */
    int full[LEVELS + 1];    /* 1: a node of this level waits */
    float *leaf;             /* growing; NULL: no chunk yet */
    float *spare;       /* of a node that was joined: the next leaf, whose pages need not be mapped anew */
    int64_t leaf_index; /* leaves closed so far */
    int64_t next_chunk;
    int keep_half;
};

static size_t elems(const struct gram *g) { return (size_t)g->k * (size_t)g->k; }

int gram_init(struct gram *g, int64_t k, int64_t chunks, int keep_half, struct err *e)
{
    memset(g, 0, sizeof *g);
    if (k < 1 || chunks < 1 || chunks > INT64_MAX / GRAM_LEAVES)
        return err_set(e, ERR_INPUT,
                       "statistics of %lld inputs over %lld chunks: expected at least one of each",
                       (long long)k, (long long)chunks);
    g->k = k;
    g->chunks = chunks;
    g->tree = mem_alloc(sizeof *g->tree, e);
    if (!g->tree)
        return -1;
    g->tree->keep_half = keep_half;
    return 0;
}

struct addition {
    float *to;
    const float *from;
    int64_t k;
};

static void add_row(void *arg, int64_t i)
{
    const struct addition *a = arg;
    for (int64_t j = 0; j <= i; j++)
        a->to[i * a->k + j] += a->from[i * a->k + j];
}

static void zero_row(void *arg, int64_t i)
{
    const struct addition *a = arg;
    memset(a->to + i * a->k, 0, (size_t)(i + 1) * sizeof *a->to); /* the lower triangle is all that is read */
}

static float *new_leaf(struct gram *g, struct err *e)
{
    struct gram_tree *t = g->tree;
    if (!t->spare)
        return mem_big(elems(g), sizeof *t->leaf, e);
    struct addition a = { t->spare, NULL, g->k };
    k_parallel(g->k, zero_row, &a);
    t->spare = NULL;
    return a.to;
}

/* left + right into one of them; the other is spare unless it is the half that is kept. */
static float *join(struct gram *g, float *left, float *right)
{
    if (!left || !right)
        return left ? left : right;
    int kept = left == g->half;
    struct addition a = { kept ? right : left, kept ? left : right, g->k };
    k_parallel(g->k, add_row, &a);
    if (!kept) {
        mem_free(g->tree->spare);
        g->tree->spare = right;
    }
    return a.to;
}

/* The half is the node over the first eight leaves; it stays while the root is made from it. */
static void keep_half(struct gram *g, float *node)
{
    g->half = node;
    g->half_rows = g->rows;
}

static void close_leaf(struct gram *g)
{
    struct gram_tree *t = g->tree;
    float *node = t->leaf;
    int level = 0;
    t->leaf = NULL;
    for (; level < LEVELS && t->full[level]; level++) {
        node = join(g, t->node[level], node);
        t->full[level] = 0;
        t->node[level] = NULL;
    }
    t->full[level] = 1;
    t->node[level] = node;
    t->leaf_index++;
    if (t->keep_half && t->leaf_index == GRAM_LEAVES / 2)
        keep_half(g, node);
}

int gram_add(struct gram *g, int64_t chunk, const float *x, int64_t rows, int64_t ldx, struct err *e)
{
    struct gram_tree *t = g->tree;
    BUG_ON(!t || chunk < t->next_chunk || chunk >= g->chunks || rows < 0 || ldx < g->k);
    int64_t leaf = chunk * GRAM_LEAVES / g->chunks;
    while (t->leaf_index < leaf)
        close_leaf(g);
    if (!t->leaf)
        t->leaf = new_leaf(g, e);
    if (!t->leaf)
        return err_while(e, "adding chunk %lld to the statistics of %lld inputs", (long long)chunk,
                         (long long)g->k);
    if (rows)
        compute_now()->gram(rows, g->k, x, ldx, t->leaf, g->k);
    t->next_chunk = chunk + 1;
    g->rows += rows;
    g->sequences++;
    return 0;
}

int gram_finish(struct gram *g, struct err *e)
{
    struct gram_tree *t = g->tree;
    BUG_ON(!t);
    while (t->leaf_index < GRAM_LEAVES)
        close_leaf(g);
    mem_free(t->spare); /* before a copy is made */
    t->spare = NULL;
    g->sum = t->node[LEVELS];
    t->node[LEVELS] = NULL;
    int whole = g->half && g->sum == g->half; /* nothing came behind the first half */
    if (!g->sum || whole) {
        float *copy = mem_big(elems(g), sizeof *copy, e);
        if (!copy) {
            g->sum = NULL;
            return -1;
        }
        if (whole)
            memcpy(copy, g->half, elems(g) * sizeof *copy);
        g->sum = copy;
    }
    mem_free(t);
    g->tree = NULL;
    for (int64_t j = 0; j < g->k; j++)
        if (!isfinite(g->sum[j * g->k + j])) {
            err_set(e, ERR_INPUT, "the inputs of column %lld are not finite, or too large to square",
                    (long long)j);
            return err_hint(
                e, "A layer before this one overflows; check the checkpoint and the calibration text.");
        }
    return 0;
}

void gram_release(struct gram *g)
{
    struct gram_tree *t = g->tree;
    for (int i = 0; t && i <= LEVELS; i++)
        if (t->node[i] != g->half)
            mem_free(t->node[i]);
    if (t) {
        mem_free(t->leaf);
        mem_free(t->spare);
    }
    mem_free(t);
    mem_free(g->sum);
    mem_free(g->half);
    memset(g, 0, sizeof *g);
}

/* Fifteen leaves closed: nodes of levels 3, 2, 1 and 0 wait while the last leaf grows. The half is one of them. */
uint64_t gram_bytes(int64_t k) { return (uint64_t)(LEVELS + 1) * (uint64_t)k * (uint64_t)k * sizeof(float); }
