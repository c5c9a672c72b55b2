/* damp.c - how much damping? A two-fold check: factor and solve on one half of the calibration tokens, score on the
 * other, both ways, for each fraction; the least summed loss wins. No constant serves few and many tokens, or flat and
 * steep spectra, alike (docs: methods, "Tokens and damping").
 *
 * Cost: 14 factorizations of k^3/3, and for each matrix 14 solves and 14 scores of rows k^2 multiply-adds, where at most
 * 512 evenly spread rows stand for a matrix: rows share the damping and nothing else. Memory: the second half's
 * Gram matrix and one factor (2 k^2 floats), and four copies of 512 rows. */
#include "base/mem.h"
#include "kernels/kernels.h"
#include "quant/inner.h"
#include "quant/observer.h"
#include "quant/solver.h"
#include <math.h>
#include <string.h>

static const double fractions[] = { 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0 };
enum { FRACTIONS = sizeof fractions / sizeof fractions[0], ROWS = 512 };

/* One matrix of the group, or the rows that stand for it. */
struct sample {
    float *w; /* [rows, k] */
    struct qtensor q;
};
struct check {
    struct gram half[2]; /* views of sum; sequences = 1: only ratios count */
    struct sample *sample;
    int n;
    enum actorder order;
    float *scratch, *error; /* [ROWS, k] */
};

struct difference {
    const float *all, *half;
    float *rest;
    int64_t k;
};

static void subtract_row(void *arg, int64_t i)
{
    const struct difference *d = arg;
    for (int64_t j = 0; j <= i; j++)
        d->rest[i * d->k + j] = d->all[i * d->k + j] - d->half[i * d->k + j];
}

static int sample_init(struct sample *s, const float *w, const struct grid_layout *l, const struct gram *g,
                       struct err *e)
{
    struct grid_layout part;
    const struct observer *o;
    struct observer_params p;
    float *importance = NULL;
    int64_t rows = l->rows < ROWS ? l->rows : ROWS;
    int rc = -1;
    if (layout_init(&part, &l->args, rows, l->cols, l->scale_dtype, e) || qtensor_init(&s->q, &part, e) ||
        observer_resolve(&l->args, &o, &p, e))
        goto done;
    s->w = mem_big((size_t)(rows * l->cols), sizeof *s->w, e);
    importance = mem_array((size_t)l->cols, sizeof *importance, e);
    if (!s->w || !importance)
        goto done;
    for (int64_t r = 0; r < rows; r++)
        memcpy(s->w + r * l->cols, w + r * l->rows / rows * l->cols, (size_t)l->cols * sizeof *s->w);
    for (int64_t c = 0; c < l->cols; c++)
        importance[c] = g->sum[c * g->k + c] / (float)g->rows;
    rc = o->fit(&p, s->w, o->needs_importance ? importance : NULL, &s->q, e);
done:
    mem_free(importance);
    return rc;
}

/* Solve every sample with f, add its loss under `held`. */
static int score(const struct check *c, const struct factor *f, const struct gram *held, double *loss,
                 struct err *e)
{
    struct solve_options o = { .dampening_frac = f->damp_frac, .block_size = 128 };
    for (int i = 0; i < c->n; i++) {
        const struct sample *s = &c->sample[i];
        struct qtensor q = s->q;
        int64_t rows = q.layout.rows, k = q.layout.cols;
        memcpy(c->scratch, s->w, (size_t)(rows * k) * sizeof *c->scratch);
        if (solver_find("gptq")->solve(&o, f, NULL, c->scratch, &q, NULL, e))
            return -1;
        for (int64_t j = 0; j < rows * k; j++)
            c->error[j] = s->w[j] - c->scratch[j];
        *loss += weighted_error(held, c->error, rows);
    }
    return 0;
}

/* Summed held-out loss of one fraction; infinite where a half can not be factored or solved with it. */
static int try_fraction(const struct check *c, double frac, double *loss, struct err *e)
{
    *loss = 0;
    for (int side = 0; side < 2; side++) {
        struct factor f;
        struct err why = { 0 };
        int rc = factor_init(&f, &c->half[side], c->order, frac, &why);
        if (!rc)
            rc = score(c, &f, &c->half[1 - side], loss, &why);
        factor_release(&f);
        if (rc && why.code != ERR_INPUT) {
            *e = why;
            return -1;
        }
        if (rc)
            *loss = (double)INFINITY;
    }
    return 0;
}

static int choose(const struct check *c, double *frac, struct err *e)
{
    double best = (double)INFINITY;
    int found = 0;
    for (int i = 0; i < FRACTIONS; i++) {
        double loss;
        if (try_fraction(c, fractions[i], &loss, e))
            return -1;
        if (isfinite(loss) && loss <= best) { /* equal: the larger one */
            best = loss;
            *frac = fractions[i];
            found = 1;
        }
    }
    if (!found)
        return err_set(e, ERR_INPUT,
                       "no dampening from %g to %g can factor both halves of the calibration tokens",
                       fractions[0], fractions[FRACTIONS - 1]);
    return 0;
}

static int check_init(struct check *c, const struct gram *g, struct err *e)
{
    int64_t k = g->k, rest = g->rows - g->half_rows;
    c->half[0] = (struct gram){ .k = k, .chunks = 1, .rows = g->half_rows, .sequences = 1, .sum = g->half };
    c->half[1] = (struct gram){ .k = k, .chunks = 1, .rows = rest, .sequences = 1 };
    c->half[1].sum = mem_big((size_t)(k * k), sizeof(float), e);
    c->sample = mem_array((size_t)c->n, sizeof *c->sample, e);
    c->scratch = mem_big((size_t)(ROWS * k), sizeof(float), e);
    c->error = mem_big((size_t)(ROWS * k), sizeof(float), e);
    if (!c->half[1].sum || !c->sample || !c->scratch || !c->error)
        return -1;
    struct difference d = { g->sum, g->half, c->half[1].sum, k };
    k_parallel(k, subtract_row, &d);
    return 0;
}

int damp_auto(const struct gram *g, enum actorder order, const float *const *w,
              const struct grid_layout *const *l, int n, double *frac, struct err *e)
{
    struct check c = { .n = n, .order = order };
    int rc = -1;
    if (!g->half || g->half_rows < 1 || g->rows - g->half_rows < 1) {
        err_set(e, ERR_INPUT,
                "dampening_frac auto needs calibration tokens in both halves: found %lld and %lld",
                (long long)g->half_rows, (long long)(g->rows - g->half_rows));
        return err_hint(e, "Use at least 2 calibration samples, or give dampening_frac as a number.");
    }
    if (check_init(&c, g, e))
        goto done;
    for (int i = 0; i < n; i++) {
        BUG_ON(l[i]->cols != g->k);
        if (sample_init(&c.sample[i], w[i], l[i], g, e))
            goto done;
    }
    rc = choose(&c, frac, e);
done:
    for (int i = 0; c.sample && i < n; i++) {
        mem_free(c.sample[i].w);
        qtensor_release(&c.sample[i].q);
    }
    mem_free(c.half[1].sum);
    mem_free(c.sample);
    mem_free(c.scratch);
    mem_free(c.error);
    return rc;
}
