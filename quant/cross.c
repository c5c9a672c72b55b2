/* cross.c - asymmetric calibration as a change of target: W* = W (C + lambda I)(H + lambda I)^-1 = W + W D (H + lambda
 * I)^-1, C = X0^T X, D = C - H (GPTAQ, arXiv:2504.02692, and Qronos, arXiv:2505.11695, are ways to the same objective).
 * D is summed from differences, so that nothing cancels. With H = R R^T (factor.c), the inverse is two triangular
 * solves, in blocks of 128 columns: one product for what is done, then rows by themselves. 2 rows k^2 multiply-adds. */
#include "quant/cross.h"
#include "base/mem.h"
#include "kernels/compute.h"
#include "kernels/kernels.h"
#include "quant/solver.h"
#include <math.h>
#include <string.h>

enum { BLOCK = 128 };

int cross_init(struct cross *c, int64_t k, int64_t chunks, const struct links *l, struct err *e)
{
    *c = (struct cross){ .k = k };
    return tree_init(&c->tree, k, chunks, true, false, l, e);
}

void cross_release(struct cross *c)
{
    tree_release(&c->tree);
    mem_free(c->sum);
    memset(c, 0, sizeof *c);
}

struct difference {
    const float *x, *x0;
    float *d;
    int64_t k, ldx;
};

static void difference_row(void *arg, int64_t i)
{
    const struct difference *p = arg;
    for (int64_t j = 0; j < p->k; j++)
        p->d[i * p->k + j] = p->x0[i * p->ldx + j] - p->x[i * p->ldx + j];
}

int cross_add(struct cross *c, int64_t chunk, const float *x, const float *x0, int64_t rows, int64_t ldx,
              struct err *e)
{
    struct difference p = { x, x0, NULL, c->k, ldx };
    float *leaf = tree_leaf(&c->tree, chunk, rows, e);
    if (!leaf)
        return -1;
    if (!rows)
        return 0;
    p.d = mem_big((size_t)(rows * c->k), sizeof *p.d, e);
    if (!p.d)
        return -1;
    k_parallel(rows, difference_row, &p);
    compute_now()->gram_cross(rows, c->k, c->k, p.d, c->k, x, ldx, leaf, c->k);
    mem_free(p.d);
    return 0;
}

int cross_finish(struct cross *c, const struct links *l, const bool *wants, struct err *e)
{
    struct tree_node root;
    if (tree_reduce(&c->tree, l, &root, e) ||
        tree_spread(&root, c->k, true, l, tree_owner(0, l->size), wants, e)) {
        mem_free(root.m);
        return -1;
    }
    c->sequences = root.sequences;
    c->sum = root.m;
    if (wants[l->rank] && !c->sum)
        c->sum = mem_big((size_t)(c->k * c->k), sizeof *c->sum, e);
    return wants[l->rank] && !c->sum ? -1 : 0;
}

struct solve {
    const struct factor *f;
    int64_t rows, from, n;
    float *y; /* [rows, k], columns in the factor's order: W D, then what it becomes */
    float *p; /* [rows, BLOCK] */
};

/* u_j = y_j - sum_{i > j} T_ji u_i, a block from its last column. */
static void backward_row(void *arg, int64_t r)
{
    const struct solve *s = arg;
    int64_t k = s->f->k;
    float *y = s->y + r * k + s->from;
    const float *p = s->p + r * BLOCK;
    for (int64_t j = s->n; j-- > 0;) {
        const float *t = s->f->r + (s->from + j) * k + s->from;
        float v = y[j] - p[j];
        for (int64_t i = j + 1; i < s->n; i++)
            v -= t[i] * y[i];
        y[j] = v;
    }
}

/* x_j = u_j / R_jj^2 - sum_{i < j} x_i T_ij. */
static void forward_row(void *arg, int64_t r)
{
    const struct solve *s = arg;
    int64_t k = s->f->k;
    float *y = s->y + r * k + s->from;
    const float *p = s->p + r * BLOCK, *t = s->f->r + s->from * k + s->from;
    for (int64_t j = 0; j < s->n; j++)
        y[j] = y[j] / (t[j * k + j] * t[j * k + j]) - p[j];
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t j = i + 1; j < s->n; j++)
            y[j] -= y[i] * t[i * k + j];
}

static void solve_rows(struct solve *s)
{
    int64_t k = s->f->k, blocks = (k + BLOCK - 1) / BLOCK;
    const float *t = s->f->r;
    for (int64_t b = blocks; b-- > 0;) {
        s->from = b * BLOCK;
        s->n = k - s->from < BLOCK ? k - s->from : BLOCK;
        int64_t end = s->from + s->n;
        if (end < k)
            compute_now()->gemm_nt(s->rows, s->n, k - end, s->y + end, k, t + s->from * k + end, k, s->p,
                                   BLOCK, 0);
        else
            memset(s->p, 0, (size_t)(s->rows * BLOCK) * sizeof *s->p);
        k_parallel(s->rows, backward_row, s);
    }
    for (int64_t b = 0; b < blocks; b++) {
        s->from = b * BLOCK;
        s->n = k - s->from < BLOCK ? k - s->from : BLOCK;
        if (b)
            compute_now()->gemm_nn(s->rows, s->n, s->from, s->y, k, t + s->from, k, s->p, BLOCK, 0);
        else
            memset(s->p, 0, (size_t)(s->rows * BLOCK) * sizeof *s->p);
        k_parallel(s->rows, forward_row, s);
    }
}

struct apply {
    const struct factor *f;
    const float *from;
    float *to;
    float scale;
};

static void order_row(void *arg, int64_t r)
{
    const struct apply *a = arg;
    int64_t k = a->f->k;
    for (int64_t j = 0; j < k; j++)
        a->to[r * k + j] = a->from[r * k + a->f->order[j]] * a->scale;
}

static void add_row(void *arg, int64_t r)
{
    const struct apply *a = arg;
    int64_t k = a->f->k;
    for (int64_t j = 0; j < k; j++)
        a->to[r * k + a->f->order[j]] += a->from[r * k + j] * a->scale;
}

int64_t cross_target_bytes(int64_t rows, int64_t k) { return 4 * rows * (2 * k + BLOCK); }

int cross_target(const struct cross *c, const struct factor *f, double alpha, float *w, int64_t rows,
                 struct err *e)
{
    int64_t k = c->k;
    BUG_ON(f->k != k || c->sequences < 1);
    float *product = mem_big((size_t)(rows * k), sizeof *product, e);
    struct solve s = { .f = f, .rows = rows };
    s.y = mem_big((size_t)(rows * k), sizeof *s.y, e);
    s.p = mem_big((size_t)(rows * BLOCK), sizeof *s.p, e);
    int rc = product && s.y && s.p ? 0 : -1;
    if (!rc) {
        compute_now()->gemm_nn(rows, k, k, w, k, c->sum, k, product, k, 0);
        struct apply in = { f, product, s.y, (float)(2.0 / (double)c->sequences) };
        k_parallel(rows, order_row, &in);
        solve_rows(&s);
        struct apply out = { f, s.y, w, (float)alpha };
        k_parallel(rows, add_row, &out);
    }
    mem_free(product);
    mem_free(s.y);
    mem_free(s.p);
    return rc;
}
