/* factor.c - H = 2/sequences * sum, its columns in order, damped, as R R^T with R upper triangular; kept as T = R with
 * unit diagonal and the R_jj. One k x k matrix is allocated, and 16 bytes a column while it is made.
 *
 * Conventions of llm-compressor 0.14 (modifiers/gptq/helpers.py): the order is by the diagonal as it came, dead columns
 * then get 1 there, the mean is taken, and the fraction of it is added. Where the peer falls back to rounding when the
 * factorization fails, the damping is raised tenfold here until it holds, and what was used is kept. */
#include "base/mem.h"
#include "kernels/compute.h"
#include "kernels/kernels.h"
#include "quant/solver.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct ranked {
    float diagonal;
    int64_t column;
};

static int by_falling_diagonal(const void *pa, const void *pb)
{
    const struct ranked *a = pa, *b = pb;
    if (a->diagonal != b->diagonal)
        return a->diagonal > b->diagonal ? -1 : 1;
    return a->column < b->column ? -1 : a->column > b->column;
}

static int fill_order(struct factor *f, const struct gram *g, enum actorder order, struct err *e)
{
    if (order == ACTORDER_NONE) {
        for (int64_t j = 0; j < f->k; j++)
            f->order[j] = j;
        return 0;
    }
    struct ranked *r = mem_array((size_t)f->k, sizeof *r, e);
    if (!r)
        return -1;
    for (int64_t j = 0; j < f->k; j++)
        r[j] = (struct ranked){ g->sum[j * f->k + j], j };
    qsort(r, (size_t)f->k, sizeof *r, by_falling_diagonal);
    for (int64_t j = 0; j < f->k; j++)
        f->order[j] = r[j].column;
    mem_free(r);
    return 0;
}

struct fill {
    struct factor *f;
    const float *sum;
    float scale, damp;
};

enum { FILL = 16 };

/* FILL rows of the permuted, damped H, lower triangle: side by side, because half of their elements stand in columns of the
 * lower triangle, 16 of which share the pages of a row. */
static void fill_rows(void *arg, int64_t block)
{
    const struct fill *p = arg;
    const int64_t *order = p->f->order;
    int64_t k = p->f->k, from = block * FILL, to = from + FILL < k ? from + FILL : k;
    for (int64_t j = 0; j < to; j++) {
        int64_t oj = order[j];
        for (int64_t i = j < from ? from : j; i < to; i++) {
            int64_t oi = order[i], row = oi > oj ? oi : oj,
                    column = oi + oj - row; /* no branch: a coin's toss */
            p->f->r[i * k + j] = p->sum[row * k + column] * p->scale;
        }
    }
    for (int64_t i = from; i < to; i++) {
        int64_t oi = order[i];
        p->f->r[i * k + i] = (p->f->dead[oi] ? 1.0f : p->sum[oi * k + oi] * p->scale) + p->damp;
    }
}

struct unit {
    float *r;
    const float *diagonal;
    int64_t k;
};

static void unit_row(void *arg, int64_t i)
{
    const struct unit *u = arg;
    for (int64_t j = i + 1; j < u->k; j++)
        u->r[i * u->k + j] /= u->diagonal[j];
}

static int to_unit_diagonal(struct factor *f, struct err *e)
{
    float *diagonal = mem_array((size_t)f->k, sizeof *diagonal, e);
    if (!diagonal)
        return -1;
    for (int64_t j = 0; j < f->k; j++)
        diagonal[j] = f->r[j * f->k + j];
    struct unit u = { f->r, diagonal, f->k };
    k_parallel(f->k, unit_row, &u);
    mem_free(diagonal);
    return 0;
}

/* Which columns are dead, and the mean of the diagonal once they count as 1. */
static int look_at_diagonal(struct factor *f, const struct gram *g, float scale, struct err *e)
{
    double sum = 0;
    for (int64_t j = 0; j < f->k; j++) {
        float d = g->sum[j * f->k + j];
        if (!isfinite(d) || d < 0)
            return err_set(e, ERR_INPUT,
                           "column %lld of the Gram matrix has %g on the diagonal, expected finite >= 0",
                           (long long)j, (double)d);
        f->dead[j] = d == 0.0f;
        sum += f->dead[j] ? 1.0 : (double)(d * scale);
    }
    f->mean_diag = sum / (double)f->k;
    return 0;
}

static double next_rung(double frac)
{
    double next = frac > 0 ? frac * 10 : 1e-4;
    return frac < 1.0 && next > 1.0 ? 1.0 : next;
}

/* The ladder: frac, 10 frac, ... up to 1. */
static int climb(struct factor *f, const struct gram *g, float scale, double frac, struct err *e)
{
    for (f->attempts = 1;; f->attempts++, frac = next_rung(frac)) {
        struct fill p = { f, g->sum, scale, (float)(frac * f->mean_diag) };
        k_parallel((f->k + FILL - 1) / FILL, fill_rows, &p);
        int64_t failed = compute_now()->cholesky_rrt(f->k, f->r, f->k);
        f->damp_frac = frac;
        if (!failed)
            return 0;
        if (!(frac < 1.0))
            break;
    }
    err_set(e, ERR_INPUT,
            "the Gram matrix of %lld inputs (%lld tokens) is not positive definite even with %g of its "
            "mean diagonal added",
            (long long)f->k, (long long)g->rows, f->damp_frac);
    return err_hint(e, "Use more calibration text, or round this module with solver rtn.");
}

int factor_init(struct factor *f, const struct gram *g, enum actorder order, double damp_frac, struct err *e)
{
    memset(f, 0, sizeof *f);
    if (!(damp_frac >= 0) || !isfinite(damp_frac))
        return err_set(e, ERR_INPUT, "dampening_frac: found %g, expected a number >= 0", damp_frac);
    if (g->sequences < 1 || g->rows < 1) {
        err_set(e, ERR_INPUT, "no calibration token reached these %lld inputs", (long long)g->k);
        return err_hint(e, "Use more calibration text, or round this module with solver rtn.");
    }
    float scale = (float)(2.0 / (double)g->sequences);
    size_t k = (size_t)g->k;
    f->k = g->k;
    f->order = mem_array(k, sizeof *f->order, e);
    f->dead = mem_array(k, 1, e);
    f->r = mem_big(k * k, sizeof *f->r, e);
    if (!f->order || !f->dead || !f->r || fill_order(f, g, order, e) || look_at_diagonal(f, g, scale, e) ||
        climb(f, g, scale, damp_frac, e) || to_unit_diagonal(f, e)) {
        factor_release(f);
        return -1;
    }
    return 0;
}

void factor_release(struct factor *f)
{
    mem_free(f->r);
    mem_free(f->order);
    mem_free(f->dead);
    memset(f, 0, sizeof *f);
}
