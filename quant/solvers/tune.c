/* tune.c - GPTQ with what stands around it: scales searched first, then rounds of (scales fitted to the codes, GPTQ
 * again), then sweeps. A row keeps a round's result only where its damped loss is lower than before. The gradient
 * (Q - W) H goes from one to the next, so that none of them begins with a full product. */
#include "quant/solvers/tune.h"
#include "base/mem.h"
#include "kernels/kernels.h"
#include "quant/inner.h"
#include <math.h>
#include <string.h>

bool tune_searches(const struct grid_layout *l) { return l->cell_rows == 1; }

bool tune_feeds_back(const struct grid_layout *l) { return l->cell_rows == 1 && l->cell_cols <= CHUNK_MAX; }

bool tune_wanted(const struct solve_options *o)
{
    return o->scale_search != SCALES_OBSERVER || o->refit || o->sweeps;
}

struct symmetric {
    float *h;
    const struct gram *g;
    const struct factor *f;
};

static void symmetric_row(void *arg, int64_t i)
{
    const struct symmetric *s = arg;
    int64_t k = s->g->k;
    float scale = (float)(2.0 / (double)s->g->sequences), damp = (float)(s->f->damp_frac * s->f->mean_diag);
    for (int64_t j = 0; j < k; j++)
        s->h[i * k + j] = s->g->sum[i > j ? i * k + j : j * k + i] * scale;
    s->h[i * k + i] = (s->f->dead[i] ? 1.0f : s->h[i * k + i]) + damp;
}

int tune_init(struct tune *t, const struct solve_options *o, const struct grid_layout *l,
              const struct factor *f, const struct gram *g, struct err *e)
{
    bool feedback = o->scale_search == SCALES_FEEDBACK && tune_feeds_back(l);
    if (feedback && !t->natural.k && factor_init(&t->natural, g, ACTORDER_NONE, f->damp_frac, e))
        return -1;
    if ((!o->refit && !o->sweeps) || t->h)
        return 0;
    t->h = mem_big((size_t)(g->k * g->k), sizeof *t->h, e);
    if (!t->h)
        return -1;
    struct symmetric s = { t->h, g, f };
    k_parallel(g->k, symmetric_row, &s);
    return 0;
}

void tune_release(struct tune *t)
{
    factor_release(&t->natural);
    mem_free(t->h);
    memset(t, 0, sizeof *t);
}

static int search(const struct solve_options *o, const struct tune *t, const struct gram *g, const float *w,
                  struct qtensor *q, struct err *e)
{
    float *weight = NULL;
    if (o->scale_search == SCALES_OBSERVER || !tune_searches(&q->layout))
        return 0;
    if (o->scale_search != SCALES_MSE) {
        weight = mem_array((size_t)g->k, sizeof *weight, e);
        if (!weight)
            return -1;
        for (int64_t j = 0; j < g->k; j++)
            weight[j] = g->sum[j * g->k + j] / (float)(g->rows ? g->rows : 1);
    }
    int rc = scales_fit(w, weight, q, e);
    mem_free(weight);
    if (!rc && o->scale_search == SCALES_FEEDBACK && t->natural.k)
        rc = feedback_fit(&t->natural, w, q, e);
    return rc;
}

/* The best so far of every row. */
struct best {
    struct qtensor *q;
    float *want, *w;
    float *grad, *kept_grad; /* [rows, k]: (w - want) H */
    float *kept_scale;
    int8_t *kept_codes;
    double *loss, *now;
};

static int best_init(struct best *b, struct qtensor *q, const float *w, int rounds, struct err *e)
{
    const struct grid_layout *l = &q->layout;
    size_t all = (size_t)(l->rows * l->cols), rows = (size_t)l->rows;
    b->q = q;
    b->want = mem_big(all, sizeof *b->want, e);
    b->grad = mem_big(all, sizeof *b->grad, e);
    b->loss = mem_array(rows, sizeof *b->loss, e);
    b->now = mem_array(rows, sizeof *b->now, e);
    if (!b->want || !b->grad || !b->loss || !b->now)
        return -1;
    memcpy(b->want, w, all * sizeof *w);
    if (!rounds)
        return 0;
    b->kept_grad = mem_big(all, sizeof *b->kept_grad, e);
    b->kept_codes = mem_big(all, 1, e);
    b->kept_scale = mem_array((size_t)(l->param_rows * l->param_cols), sizeof *b->kept_scale, e);
    return b->kept_grad && b->kept_codes && b->kept_scale ? 0 : -1;
}

static void best_release(struct best *b)
{
    mem_free(b->want);
    mem_free(b->grad);
    mem_free(b->kept_grad);
    mem_free(b->kept_scale);
    mem_free(b->kept_codes);
    mem_free(b->loss);
    mem_free(b->now);
}

static void keep_row(void *arg, int64_t r)
{
    const struct best *b = arg;
    const struct grid_layout *l = &b->q->layout;
    size_t k = (size_t)l->cols, c = (size_t)l->param_cols;
    memcpy(b->kept_grad + r * l->cols, b->grad + r * l->cols, k * sizeof *b->grad);
    memcpy(b->kept_codes + r * l->cols, b->q->codes + r * l->cols, k);
    memcpy(b->kept_scale + r * l->param_cols, b->q->scale + r * l->param_cols, c * sizeof *b->kept_scale);
}

static void settle_row(void *arg, int64_t r)
{
    const struct best *b = arg;
    const struct grid_layout *l = &b->q->layout;
    size_t k = (size_t)l->cols, c = (size_t)l->param_cols;
    if (b->now[r] < b->loss[r]) {
        b->loss[r] = b->now[r];
        return;
    }
    memcpy(b->grad + r * l->cols, b->kept_grad + r * l->cols, k * sizeof *b->grad);
    memcpy(b->q->codes + r * l->cols, b->kept_codes + r * l->cols, k);
    memcpy(b->q->scale + r * l->param_cols, b->kept_scale + r * l->param_cols, c * sizeof *b->kept_scale);
    qtensor_decode(b->q, r, 1, b->w + r * l->cols);
}

static int rounds(const struct solve_options *o, const struct tune *t, const struct factor *f, struct best *b,
                  float *w, struct err *e)
{
    const struct grid_layout *l = &b->q->layout;
    const struct fitted_matrix m = { t->h, b->want, w, b->q };
    struct solve_options again = *o;
    again.row_loss = b->now;
    b->w = w;
    for (int64_t i = 0; i < o->refit; i++) {
        k_parallel(l->rows, keep_row, b);
        if (refit(&m, b->grad, e))
            return -1;
        memcpy(w, b->want, (size_t)(l->rows * l->cols) * sizeof *w);
        if (gptq_solve_with(&again, f, NULL, w, b->q, b->grad, NULL, e))
            return -1;
        k_parallel(l->rows, settle_row, b);
    }
    return o->sweeps ? sweep(&m, b->grad, b->loss, o->sweeps, e) : 0;
}

static void result_of(const struct gram *g, const struct best *b, const float *w, struct solve_result *res,
                      float *error)
{
    const struct grid_layout *l = &b->q->layout;
    int64_t n = l->rows * l->cols;
    for (int64_t j = 0; j < n; j++)
        error[j] = b->want[j] - w[j];
    double whole = k_dot64(n, b->want, b->want);
    res->loss = weighted_error(g, error, l->rows);
    res->weight_error = whole > 0 ? sqrt(k_dot64(n, error, error) / whole) : 0;
}

/* See what is allocated in: scales.c (a weight a column), feedback.c, refit.c, best_init, result_of and its loss. */
static int64_t search_bytes(const struct solve_options *o, const struct grid_layout *l)
{
    int64_t weights = o->scale_search != SCALES_OBSERVER ? 4 * l->cols : 0;
    if (o->scale_search != SCALES_FEEDBACK || !tune_feeds_back(l))
        return weights;
    return weights + 4 * l->rows * (l->cols + CHUNK_MAX) + 4 * CHUNK_MAX * (CHUNK_MAX + 1);
}

static int64_t refit_bytes(const struct grid_layout *l)
{
    if (l->param_cols == 1 && l->cols > CHUNK_MAX)
        return 4 * l->rows * l->cols + (8 + 4 * CHUNK) * l->rows;
    return 12 * l->rows * (l->cell_cols > CHUNK_MAX ? l->cell_cols : chunk_columns(l)) + 4 * l->rows;
}

int64_t solve_bytes(const struct solve_options *o, const struct grid_layout *l)
{
    int64_t n = l->rows * l->cols, kept = 0, loss = (8 + 4 * CHUNK) * l->rows;
    int64_t then = gptq_bytes(l) + loss, searched = search_bytes(o, l);
    if (o->refit || o->sweeps) {
        int64_t result = 4 * n + loss;
        kept = 8 * n + 16 * l->rows;
        then = then > result ? then : result;
    }
    if (o->refit) {
        kept += 5 * n + 4 * l->param_rows * l->param_cols;
        then = then > refit_bytes(l) ? then : refit_bytes(l);
    }
    return searched > kept + then ? searched : kept + then;
}

int tune_solve(const struct solve_options *o, const struct tune *t, const struct factor *f,
               const struct gram *g, float *w, struct qtensor *q, struct solve_result *res, struct err *e)
{
    struct best b = { 0 };
    struct solve_options first = *o;
    int rc = -1;
    if (rows_finite(w, q->layout.rows, q->layout.cols, q->layout.row0, e) || search(o, t, g, w, q, e))
        return -1;
    if (!o->refit && !o->sweeps)
        return gptq_solve_with(o, f, g, w, q, NULL, res, e);
    if (best_init(&b, q, w, o->refit > 0, e))
        goto done;
    first.row_loss = b.loss;
    if (gptq_solve_with(&first, f, g, w, q, b.grad, res, e) || rounds(o, t, f, &b, w, e))
        goto done;
    if (res) {
        float *error = mem_big((size_t)(q->layout.rows * q->layout.cols), sizeof *error, e);
        if (!error)
            goto done;
        result_of(g, &b, w, res, error);
        mem_free(error);
    }
    rc = 0;
done:
    best_release(&b);
    return rc;
}
