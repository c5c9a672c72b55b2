/* tree.c - nodes wait on a stack as in a binary counter: a new node is added to the one on top when they are siblings. What
 * is left when a rank's leaves are done goes up level by level; rows of a matrix travel in pieces, which are added while the next
 * are on their way. */
#include "quant/tree.h"
#include "base/mem.h"
#include "kernels/kernels.h"
#include <string.h>

enum { PIECE = 1 << 18 }; /* floats of a message, about */

const struct links links_none = { .rank = 0, .size = 1 };

void tree_span(int rank, int size, int *first, int *end)
{
    *first = (int)((int64_t)TREE_LEAVES * rank / size);
    *end = (int)((int64_t)TREE_LEAVES * (rank + 1) / size);
}

int tree_owner(int leaf, int size)
{
    int rank = (int)((int64_t)leaf * size / TREE_LEAVES), first, end;
    for (tree_span(rank, size, &first, &end); end <= leaf; tree_span(rank, size, &first, &end))
        rank++;
    return rank;
}

/* Chunk c is of leaf floor(c LEAVES / n): the first chunk of leaf i is ceil(i n / LEAVES). */
void tree_chunks(int rank, int size, int64_t n, int64_t *first, int64_t *end)
{
    int a, b;
    tree_span(rank, size, &a, &b);
    *first = (a * n + TREE_LEAVES - 1) / TREE_LEAVES;
    *end = (b * n + TREE_LEAVES - 1) / TREE_LEAVES;
}

static size_t elems(int64_t k) { return (size_t)k * (size_t)k; }

int tree_init(struct tree *t, int64_t k, int64_t chunks, bool full, bool keep_half, const struct links *l,
              struct err *e)
{
    memset(t, 0, sizeof *t);
    if (k < 1 || chunks < 1 || chunks > INT64_MAX / TREE_LEAVES)
        return err_set(e, ERR_INPUT,
                       "statistics of %lld inputs over %lld chunks: expected at least one of each",
                       (long long)k, (long long)chunks);
    t->k = k;
    t->chunks = chunks;
    t->full = full;
    t->keep_half = keep_half;
    tree_span(l->rank, l->size, &t->at, &t->end);
    return 0;
}

void tree_release(struct tree *t)
{
    for (int i = 0; i < t->n; i++)
        if (t->node[i].m != t->half.m)
            mem_free(t->node[i].m);
    mem_free(t->half.m);
    mem_free(t->leaf.m);
    mem_free(t->spare);
    memset(t, 0, sizeof *t);
}

/* -- on one rank -- */

struct rows {
    float *to;
    const float *from;
    int64_t k;
    bool full;
};

static int64_t width(const struct rows *a, int64_t i) { return a->full ? a->k : i + 1; }

static void add_row(void *arg, int64_t i)
{
    const struct rows *a = arg;
    for (int64_t j = 0, n = width(a, i); j < n; j++)
        a->to[i * a->k + j] += a->from[i * a->k + j];
}

static void zero_row(void *arg, int64_t i)
{
    const struct rows *a = arg;
    memset(a->to + i * a->k, 0, (size_t)width(a, i) * sizeof *a->to);
}

static float *new_leaf(struct tree *t, struct err *e)
{
    if (!t->spare)
        return mem_big(elems(t->k), sizeof(float), e);
    struct rows a = { t->spare, NULL, t->k, t->full };
    k_parallel(t->k, zero_row, &a);
    t->spare = NULL;
    return a.to;
}

/* left + right in the memory of one of them; the other is spare unless it is the half that is kept. */
static float *sum(struct tree *t, float *left, float *right)
{
    if (!left || !right)
        return left ? left : right;
    bool kept = left == t->half.m;
    struct rows a = { kept ? right : left, kept ? left : right, t->k, t->full };
    k_parallel(t->k, add_row, &a);
    if (!kept) {
        mem_free(t->spare);
        t->spare = right;
    }
    return a.to;
}

static void note_half(struct tree *t, const struct tree_node *node)
{
    if (t->keep_half && node->level == TREE_LEVELS - 1 && node->index == 0)
        t->half = *node;
}

static struct tree_node parent(const struct tree_node *left, const struct tree_node *right, float *m)
{
    return (struct tree_node){ left->level + 1, left->index / 2, m, left->rows + right->rows,
                               left->sequences + right->sequences };
}

static void push(struct tree *t, struct tree_node node)
{
    while (t->n && node.index % 2 && t->node[t->n - 1].level == node.level &&
           t->node[t->n - 1].index == node.index - 1) {
        const struct tree_node *left = &t->node[--t->n];
        node = parent(left, &node, sum(t, left->m, node.m));
        note_half(t, &node);
    }
    BUG_ON(t->n == (int)(sizeof t->node / sizeof *t->node));
    t->node[t->n++] = node;
}

static void close_leaf(struct tree *t)
{
    struct tree_node node = t->leaf;
    node.level = 0;
    node.index = t->at++;
    memset(&t->leaf, 0, sizeof t->leaf);
    push(t, node);
}

float *tree_leaf(struct tree *t, int64_t chunk, int64_t rows, struct err *e)
{
    int64_t leaf = chunk * TREE_LEAVES / t->chunks;
    BUG_ON(chunk < t->next_chunk || chunk >= t->chunks || leaf >= t->end || leaf < t->at);
    while (t->at < leaf)
        close_leaf(t);
    if (!t->leaf.m)
        t->leaf.m = new_leaf(t, e);
    if (!t->leaf.m) {
        err_while(e, "adding chunk %lld to the statistics of %lld inputs", (long long)chunk, (long long)t->k);
        return NULL;
    }
    t->next_chunk = chunk + 1;
    t->leaf.rows += rows;
    t->leaf.sequences++;
    return t->leaf.m;
}

/* -- between ranks -- */

/* What a message says first of a node. */
struct header {
    int64_t present, rows, sequences;
};

/* Rows [from, *end) that go in one message; returns their floats. */
static int64_t cut(const struct rows *a, int64_t from, int64_t *end)
{
    int64_t n = 0;
    for (*end = from; *end < a->k && (!n || n + width(a, *end) <= PIECE); (*end)++)
        n += width(a, *end);
    return n;
}

static int send_node(const struct tree_node *node, int64_t k, bool full, const struct links *l, int to,
                     struct err *e)
{
    struct header h = { node->m != NULL, node->rows, node->sequences };
    struct rows a = { NULL, node->m, k, full };
    if (l->send(l->arg, to, &h, sizeof h, e))
        return -1;
    if (!h.present)
        return 0;
    float *buf = mem_big((size_t)(PIECE + k), sizeof *buf, e);
    int rc = buf ? 0 : -1;
    for (int64_t r = 0, end; !rc && r < k; r = end) {
        int64_t n = cut(&a, r, &end), at = 0;
        for (int64_t i = r; i < end; at += width(&a, i++))
            memcpy(buf + at, node->m + i * k, (size_t)width(&a, i) * sizeof *buf);
        rc = l->send(l->arg, to, buf, (size_t)n * sizeof *buf, e);
    }
    mem_free(buf);
    return rc;
}

struct piece {
    struct rows rows;
    const float *buf;
    int64_t first;
    bool add;
};

/* How many floats lie before row i in a message that begins with row `first`. */
static int64_t before(const struct piece *p, int64_t i)
{
    return p->rows.full ? (i - p->first) * p->rows.k : i * (i + 1) / 2 - p->first * (p->first + 1) / 2;
}

static void take_row(void *arg, int64_t r)
{
    const struct piece *p = arg;
    int64_t i = p->first + r, n = width(&p->rows, i);
    const float *from = p->buf + before(p, i);
    float *to = p->rows.to + i * p->rows.k;
    if (!p->add)
        memcpy(to, from, (size_t)n * sizeof *to);
    for (int64_t j = 0; p->add && j < n; j++)
        to[j] += from[j];
}

static int recv_header(struct header *h, const struct links *l, int from, struct err *e)
{
    return l->recv(l->arg, from, h, sizeof *h, e);
}

/* The rows of a node into m: added to it, or instead of what is there. */
static int recv_rows(float *m, int64_t k, bool full, bool add, const struct links *l, int from, struct err *e)
{
    float *buf = mem_big((size_t)(PIECE + k), sizeof *buf, e);
    struct piece p = { { m, NULL, k, full }, buf, 0, add };
    int rc = buf ? 0 : -1;
    for (int64_t end; !rc && p.first < k; p.first = end) {
        int64_t n = cut(&p.rows, p.first, &end);
        rc = l->recv(l->arg, from, buf, (size_t)n * sizeof *buf, e);
        if (!rc)
            k_parallel(end - p.first, take_row, &p);
    }
    mem_free(buf);
    return rc;
}

static float *copy_of(const float *m, int64_t k, struct err *e)
{
    float *copy = mem_big(elems(k), sizeof *copy, e);
    if (copy)
        memcpy(copy, m, elems(k) * sizeof *copy);
    return copy;
}

/* The right sibling of `left` arrives from another rank; *left becomes their parent. */
static int join_remote(struct tree *t, struct tree_node *left, const struct links *l, int from, struct err *e)
{
    struct header h;
    if (recv_header(&h, l, from, e))
        return -1;
    struct tree_node right = { .rows = h.rows, .sequences = h.sequences };
    float *m = left->m;
    if (h.present && !m)
        m = mem_big(elems(t->k), sizeof *m, e);
    else if (h.present && m == t->half.m)
        m = copy_of(m, t->k, e);
    if (h.present && (!m || recv_rows(m, t->k, t->full, left->m != NULL, l, from, e))) {
        if (m != left->m)
            mem_free(m);
        return -1;
    }
    struct tree_node old = *left;
    *left = parent(&old, &right, m);
    note_half(t, left);
    return 0;
}

static struct tree_node *find(struct tree *t, int level, int index)
{
    for (int i = 0; i < t->n; i++)
        if (t->node[i].level == level && t->node[i].index == index)
            return &t->node[i];
    return NULL;
}

static void drop(struct tree *t, struct tree_node *node)
{
    if (node->m != t->half.m)
        mem_free(node->m);
    *node = t->node[--t->n];
}

/* The pair (2 index, 2 index + 1) of a level, whose parent lies on more than one rank. */
static int join_pair(struct tree *t, int level, int index, const struct links *l, struct err *e)
{
    int to = tree_owner((2 * index) << level, l->size), from = tree_owner((2 * index + 1) << level, l->size);
    struct tree_node *left = to == l->rank ? find(t, level, 2 * index) : NULL,
                     *right = from == l->rank ? find(t, level, 2 * index + 1) : NULL;
    BUG_ON((to == l->rank && !left) || (from == l->rank && !right));
    if (left && right) {
        *left = parent(left, right, sum(t, left->m, right->m));
        right->m = NULL;
        drop(t, right);
        note_half(t, find(t, level + 1, index));
        return 0;
    }
    if (left)
        return join_remote(t, left, l, from, e);
    if (!right)
        return 0;
    int rc = send_node(right, t->k, t->full, l, to, e);
    drop(t, right);
    return rc;
}

/* Does the node lie inside one rank's leaves? Then it was made there already. */
static bool inside(int level, int index, int size)
{
    return tree_owner(index << level, size) == tree_owner(((index + 1) << level) - 1, size);
}

int tree_reduce(struct tree *t, const struct links *l, struct tree_node *root, struct err *e)
{
    *root = (struct tree_node){ .level = -1 };
    while (t->at < t->end)
        close_leaf(t);
    mem_free(t->spare);
    t->spare = NULL;
    for (int level = 0; level < TREE_LEVELS; level++)
        for (int i = 0; i < TREE_LEAVES >> (level + 1); i++)
            if (!inside(level + 1, i, l->size) && join_pair(t, level, i, l, e))
                return err_while(e, "adding up the statistics of %lld inputs", (long long)t->k);
    if (l->rank != tree_owner(0, l->size))
        return 0;
    BUG_ON(t->n != 1 || t->node[0].level != TREE_LEVELS);
    *root = t->node[0];
    t->n = 0;
    if (root->m && root->m == t->half.m) /* nothing came behind the first half */
        root->m = copy_of(t->half.m, t->k, e);
    else
        return 0;
    return root->m ? 0 : -1;
}

int tree_spread(struct tree_node *node, int64_t k, bool full, const struct links *l, int from,
                const bool *wants, struct err *e)
{
    for (int to = 0; l->rank == from && to < l->size; to++)
        if (to != from && wants[to] && send_node(node, k, full, l, to, e))
            return -1;
    if (!wants[l->rank]) {
        mem_free(node->m);
        node->m = NULL;
    }
    if (l->rank == from || !wants[l->rank])
        return 0;
    struct header h;
    if (recv_header(&h, l, from, e))
        return -1;
    *node = (struct tree_node){ .level = TREE_LEVELS, .rows = h.rows, .sequences = h.sequences };
    if (!h.present)
        return 0;
    node->m = mem_big(elems(k), sizeof *node->m, e);
    return node->m && !recv_rows(node->m, k, full, false, l, from, e) ? 0 : -1;
}

/* Fifteen leaves closed: nodes of levels 3, 2, 1 and 0 wait while the last leaf grows. The half is one of them. */
uint64_t tree_bytes(int64_t k)
{
    return (uint64_t)(TREE_LEVELS + 1) * (uint64_t)k * (uint64_t)k * sizeof(float);
}
