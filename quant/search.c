/* search.c - ranges of cells: the least and greatest value, or the shrunken range with the least sum |q - x|^norm.
 *
 * Work is cut into rows: a row gives one partial result for each of its param_cols cells, and a cell adds its rows in
 * ascending order, so nothing depends on threads. The search is that of llm-compressor 0.14 on a CPU
 * (observers/mse_quant.py, imatrix.py): patience counts over the whole tensor, so all cells try a candidate before
 * anybody tries the next. Where its sums are float32 in torch's order, ours are float64 in eight lanes. */
#include "quant/search.h"
#include "base/mem.h"
#include "kernels/kernels.h"
#include "quant/grid.h"
#include "quant/grids/round.h"
#include "quant/inner.h"
#include <float.h>

enum { SPAN = 256, LANES = 8 };

union part {
    float range[2];
    double error;
};
struct cell {
    float lo, hi;           /* what the cell holds */
    float best_lo, best_hi; /* the best range so far */
    float best, error;
};
struct fit {
    const struct search *s;
    const struct grid *grid;
    const float *w;
    struct qtensor *q;
    struct grid_layout trial; /* what candidates are judged on */
    union part *part;         /* [rows, param_cols] */
    struct cell *cell;        /* [param_rows, param_cols] */
    uint8_t *improved;        /* [param_rows] */
    float p;
};

static void round_all(enum dtype t, int64_t n, float *x)
{
    if (t == DT_BF16)
        for (int64_t i = 0; i < n; i++)
            x[i] = round_bf16(x[i]);
    if (t == DT_F16)
        for (int64_t i = 0; i < n; i++)
            x[i] = round_f16(x[i]);
}

static int64_t span_end(const struct grid_layout *l, int64_t cell_col)
{
    int64_t end = (cell_col + 1) * l->cell_cols;
    return end < l->cols ? end : l->cols;
}

static int64_t rows_end(const struct grid_layout *l, int64_t cell_row)
{
    int64_t end = (cell_row + 1) * l->cell_rows;
    return end < l->rows ? end : l->rows;
}

static void row_range(void *arg, int64_t r)
{
    const struct fit *f = arg;
    const struct grid_layout *l = &f->q->layout;
    for (int64_t c = 0; c < l->param_cols; c++) {
        int64_t from = c * l->cell_cols;
        float *range = f->part[r * l->param_cols + c].range;
        k_minmax(span_end(l, c) - from, f->w + r * l->cols + from, &range[0], &range[1]);
    }
}

static void cells_range(void *arg, int64_t pr)
{
    const struct fit *f = arg;
    const struct grid_layout *l = &f->q->layout;
    for (int64_t c = 0; c < l->param_cols; c++) {
        float lo = 0.0f, hi = 0.0f; /* zero is always in range: a block's padding adds nothing */
        for (int64_t r = pr * l->cell_rows; r < rows_end(l, pr); r++) {
            const float *range = f->part[r * l->param_cols + c].range;
            lo = range[0] < lo ? range[0] : lo;
            hi = range[1] > hi ? range[1] : hi;
        }
        lo = round_to(l->scale_dtype, lo);
        hi = round_to(l->scale_dtype, hi);
        f->cell[pr * l->param_cols + c] = (struct cell){ lo, hi, lo, hi, FLT_MAX, 0.0f };
    }
}

static void set_params(const struct fit *f, const struct grid_layout *l, int64_t i, float lo, float hi)
{
    f->grid->params(l, f->q->global_scale, lo, hi, &f->q->scale[i], f->q->zero ? &f->q->zero[i] : NULL);
}

static void cells_candidate(void *arg, int64_t pr)
{
    const struct fit *f = arg;
    const struct grid_layout *l = &f->q->layout;
    for (int64_t i = pr * l->param_cols; i < (pr + 1) * l->param_cols; i++)
        set_params(f, &f->trial, i, round_to(l->scale_dtype, f->cell[i].lo * f->p),
                   round_to(l->scale_dtype, f->cell[i].hi * f->p));
}

static void cells_best(void *arg, int64_t pr)
{
    const struct fit *f = arg;
    for (int64_t i = pr * f->q->layout.param_cols; i < (pr + 1) * f->q->layout.param_cols; i++)
        set_params(f, &f->q->layout, i, f->cell[i].best_lo, f->cell[i].best_hi);
}

/* d = |q - x|^norm, weighted, for m <= SPAN values of cell i. */
static void errors_of(const struct fit *f, const float *x, const float *weight, int64_t m, int64_t i,
                      float *d)
{
    const struct grid_layout *l = &f->q->layout;
    enum dtype own = f->s->own_arithmetic ? l->scale_dtype : DT_F32;
    int8_t codes[SPAN];
    f->grid->round_own(&f->trial, x, m, f->q->scale[i], f->q->zero ? f->q->zero[i] : 0, codes, d);
    for (int64_t j = 0; j < m; j++)
        d[j] = fabsf(d[j] - x[j]);
    round_all(own, m, d);
    power_each(m, d, f->s->norm);
    round_all(own, m, d);
    if (weight)
        for (int64_t j = 0; j < m; j++)
            d[j] *= weight[j];
}

/* Sum over one row of a cell; x, weight: n values of it. */
static double span_error(const struct fit *f, const float *x, const float *weight, int64_t n, int64_t i)
{
    float d[SPAN];
    double lane[LANES] = { 0 };
    for (int64_t at = 0; at < n; at += SPAN) {
        int64_t m = n - at < SPAN ? n - at : SPAN, j = 0;
        errors_of(f, x + at, weight ? weight + at : NULL, m, i, d);
        for (; j + LANES <= m; j += LANES)
            for (int v = 0; v < LANES; v++)
                lane[v] += (double)d[j + v];
        for (; j < m; j++)
            lane[j % LANES] += (double)d[j];
    }
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

static void row_error(void *arg, int64_t r)
{
    const struct fit *f = arg;
    const struct grid_layout *l = &f->q->layout;
    for (int64_t c = 0; c < l->param_cols; c++) {
        int64_t from = c * l->cell_cols, i = r / l->cell_rows * l->param_cols + c;
        const float *weight = f->s->weight ? f->s->weight + from : NULL;
        f->part[r * l->param_cols + c].error =
            span_error(f, f->w + r * l->cols + from, weight, span_end(l, c) - from, i);
    }
}

static void cells_decide(void *arg, int64_t pr)
{
    const struct fit *f = arg;
    const struct grid_layout *l = &f->q->layout;
    enum dtype own = f->s->own_arithmetic ? l->scale_dtype : DT_F32;
    f->improved[pr] = 0;
    for (int64_t c = 0; c < l->param_cols; c++) {
        struct cell *cell = &f->cell[pr * l->param_cols + c];
        double sum = 0;
        for (int64_t r = pr * l->cell_rows; r < rows_end(l, pr); r++)
            sum += f->part[r * l->param_cols + c].error;
        cell->error = round_to(own, (float)sum);
        if (!(cell->error < cell->best))
            continue;
        cell->best = cell->error;
        cell->best_lo = round_to(l->scale_dtype, cell->lo * f->p);
        cell->best_hi = round_to(l->scale_dtype, cell->hi * f->p);
        f->improved[pr] = 1;
    }
}

static int any(const uint8_t *flag, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (flag[i])
            return 1;
    return 0;
}

static void run_search(struct fit *f)
{
    const struct grid_layout *l = &f->q->layout;
    int64_t idle = 0;
    for (int64_t i = 0; i < f->s->steps; i++) {
        f->p = (float)(1.0 - (double)i / f->s->grid);
        k_parallel(l->param_rows, cells_candidate, f);
        k_parallel(l->rows, row_error, f);
        k_parallel(l->param_rows, cells_decide, f);
        idle = any(f->improved, l->param_rows) ? 0 : idle + 1;
        if (idle && f->s->patience > 0 && idle >= f->s->patience)
            break;
    }
}

static int check_scales(const struct qtensor *q, struct err *e)
{
    const struct grid_layout *l = &q->layout;
    for (int64_t i = 0; i < l->param_rows * l->param_cols; i++) {
        if (isfinite(q->scale[i]))
            continue;
        err_set(e, ERR_INPUT, "the range of rows %lld.., columns %lld.. does not fit a scale of dtype %s",
                (long long)(l->row0 + i / l->param_cols * l->cell_rows),
                (long long)(i % l->param_cols * l->cell_cols), dtypes[l->scale_dtype].name);
        return err_hint(e, "Quantize from a checkpoint in float32 or bfloat16.");
    }
    return 0;
}

/* The largest end of a range, and from it the matrix's own global scale, where the caller has not set one for several. */
static void own_global(struct fit *f)
{
    const struct grid_layout *l = &f->q->layout;
    float most = 0.0f;
    for (int64_t i = 0; i < l->param_rows * l->param_cols; i++) {
        const struct cell *c = &f->cell[i];
        float m = c->best_hi > -c->best_lo ? c->best_hi : -c->best_lo;
        most = m > most ? m : most;
    }
    f->q->range_max = most;
    if (f->grid->global_scale && !(f->q->global_scale > 0.0f))
        f->q->global_scale = f->grid->global_scale(l, most);
}

/* Ranges beyond what the cells hold, where the search begins. */
static void expand(struct fit *f)
{
    const struct grid_layout *l = &f->q->layout;
    for (int64_t i = 0; f->s->expand > 1 && i < l->param_rows * l->param_cols; i++) {
        struct cell *c = &f->cell[i];
        c->lo = c->best_lo = round_to(l->scale_dtype, c->lo * (float)f->s->expand);
        c->hi = c->best_hi = round_to(l->scale_dtype, c->hi * (float)f->s->expand);
    }
}

int range_fit(const struct search *s, const float *w, struct qtensor *q, struct err *e)
{
    const struct grid_layout *l = &q->layout;
    size_t parts = (size_t)(l->rows * l->param_cols), cells = (size_t)(l->param_rows * l->param_cols);
    struct fit f = { .s = s, .w = w, .q = q, .grid = grid_for(&l->args, e) };
    int rc = -1;
    if (!f.grid || rows_finite(w, l->rows, l->cols, l->row0, e))
        goto done;
    f.part = mem_array(parts, sizeof *f.part, e);
    f.cell = mem_array(cells, sizeof *f.cell, e);
    f.improved = mem_array((size_t)l->param_rows, 1, e);
    if (!f.part || !f.cell || !f.improved)
        goto done;
    k_parallel(l->rows, row_range, &f);
    k_parallel(l->param_rows, cells_range, &f);
    f.trial = *l;
    if (f.grid->trial)
        f.grid->trial(l, &f.trial);
    if (s) {
        expand(&f);
        run_search(&f);
    }
    own_global(&f);
    k_parallel(l->param_rows, cells_best, &f);
    rc = check_scales(q, e);
done:
    mem_free(f.part);
    mem_free(f.cell);
    mem_free(f.improved);
    return rc;
}
