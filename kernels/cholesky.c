/* cholesky.c - H = R R^T, R upper triangular, in place and blocked, from the last column to the first.
 *
 * Order of the sum of element (i, j), i <= j, c = h(i, j): blocks of 256 columns are cut from column 0. For each block right
 * of j's, last first: c -= chain over its columns ascending (one block sum of kernels.h). Inside j's block, blocks of 32:
 * c -= chain over the columns between j's 32 and the end of the 256, ascending. Inside j's 32, columns descending, each one
 * fma onto c. Then R(j, j) = sqrt c, R(i, j) = c / R(j, j). Threads take rows or tiles: nothing depends on how many. */
#include "kernels/dispatch.h"

enum { OUTER = KERNEL_KBLOCK, INNER = CHOL_INNER, ROWS = 64, MIRROR = 32 };

struct chol {
    int64_t k, ld, j0, j1; /* order, leading dimension, the outer block */
    float *h;
};
static float *at(const struct chol *c, int64_t i, int64_t j) { return c->h + i * c->ld + j; }
static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

/* rows [i, i + MIRROR) of the upper triangle from columns of the lower one */
static void mirror(void *arg, int64_t block)
{
    const struct chol *c = arg;
    int64_t i0 = block * MIRROR, i1 = min64(i0 + MIRROR, c->k);
    for (int64_t j0 = i0; j0 < c->k; j0 += MIRROR)
        for (int64_t j = j0; j < min64(j0 + MIRROR, c->k); j++)
            for (int64_t i = i0; i < min64(i1, j); i++)
                *at(c, i, j) = *at(c, j, i);
}

/* columns [j, e) of rows [i0, i1) lose their part of the columns from e to the end of the outer block */
static void update_inner(const struct chol *c, int64_t i0, int64_t i1, int64_t j, int64_t e)
{
    if (e < c->j1)
        gemm_alone(&(struct gemm){ .m = i1 - i0,
                                   .n = e - j,
                                   .k = c->j1 - e,
                                   .a = at(c, i0, e),
                                   .lda = c->ld,
                                   .b = at(c, j, e),
                                   .ldb = c->ld,
                                   .c = at(c, i0, j),
                                   .ldc = c->ld,
                                   .accumulate = 1,
                                   .negate = 1 });
}
static int64_t last_inner(const struct chol *c) { return c->j0 + (c->j1 - c->j0 - 1) / INNER * INNER; }

static int64_t factor_outer(const struct chol *c)
{
    for (int64_t j = last_inner(c); j >= c->j0; j -= INNER) {
        int64_t e = min64(j + INNER, c->j1);
        update_inner(c, c->j0, e, j, e);
        int64_t bad = kern_now()->factor(e - j, at(c, j, j), c->ld);
        if (bad)
            return j + bad;
        kern_now()->solve(j - c->j0, e - j, at(c, c->j0, j), c->ld, at(c, j, j), c->ld);
    }
    return 0;
}
/* ROWS rows above the outer block */
static void solve_outer(void *arg, int64_t block)
{
    const struct chol *c = arg;
    int64_t i0 = block * ROWS, i1 = min64(i0 + ROWS, c->j0);
    for (int64_t j = last_inner(c); j >= c->j0; j -= INNER) {
        int64_t e = min64(j + INNER, c->j1);
        update_inner(c, i0, i1, j, e);
        kern_now()->solve(i1 - i0, e - j, at(c, i0, j), c->ld, at(c, j, j), c->ld);
    }
}

int64_t k_cholesky_rrt(int64_t k, float *h, int64_t ldh)
{
    struct chol c = { .k = k, .ld = ldh, .h = h };
    k_parallel((k + MIRROR - 1) / MIRROR, mirror, &c);
    for (c.j1 = k; c.j1 > 0; c.j1 = c.j0) {
        c.j0 = (c.j1 - 1) / OUTER * OUTER;
        int64_t bad = factor_outer(&c);
        if (bad)
            return k - (bad - 1);
        k_parallel((c.j0 + ROWS - 1) / ROWS, solve_outer, &c);
        gemm_run(&(struct gemm){ .m = c.j0,
                                 .n = c.j0,
                                 .k = c.j1 - c.j0,
                                 .a = at(&c, 0, c.j0),
                                 .lda = ldh,
                                 .b = at(&c, 0, c.j0),
                                 .ldb = ldh,
                                 .c = h,
                                 .ldc = ldh,
                                 .accumulate = 1,
                                 .negate = 1,
                                 .tri = TRI_UPPER });
    }
    return 0;
}
