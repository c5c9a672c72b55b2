/* clip.c - clipped ranges by cell (clip.h). Work goes column of cells by column of cells, and in bands of rows: errors of a
 * candidate, one product with the block of the Gram matrix, and each cell adds its rows in ascending order. Nothing depends
 * on threads; a band is a matter of memory. */
#include "quant/clip.h"
#include "base/mem.h"
#include "kernels/compute.h"
#include "kernels/kernels.h"
#include "quant/grid.h"
#include "quant/grids/round.h"
#include "quant/observer.h"
#include <math.h>

enum { SPAN = 256, BAND = 1024 };

struct cell {
    float lo, hi, most; /* what it holds; the largest magnitude */
    float scale;        /* of the candidate */
    double best;
    int8_t zero;
};
struct clip {
    const struct grid *grid;
    const float *w;
    struct qtensor *q;
    int64_t at, n;    /* columns [at, at + n) of the cells now */
    int64_t row, end; /* rows of the band */
    float part;       /* of the largest magnitude: the candidate's bound */
    struct cell *cell;
    const float *corner; /* the block of the Gram matrix: its lower triangle, rows as long as the matrix's */
    float *h;            /* [n, n]: the block, both triangles */
    float *e, *p;        /* [band, n]: errors, and their product with h */
};

int64_t clip_candidates(const struct clip_options *o)
{
    int64_t n = (int64_t)(o->max_shrink * (double)o->n_grid);
    return n > 1 ? n : 1;
}

static int64_t band_rows(const struct grid_layout *l)
{
    int64_t n = l->cell_rows > BAND ? l->cell_rows : BAND / l->cell_rows * l->cell_rows;
    return n < l->rows ? n : l->rows;
}

int64_t clip_bytes(const struct grid_layout *l)
{
    int64_t cells = (band_rows(l) + l->cell_rows - 1) / l->cell_rows;
    return (l->cell_cols * l->cell_cols + 2 * band_rows(l) * l->cell_cols) * (int64_t)sizeof(float) +
           cells * (int64_t)sizeof(struct cell);
}

static void block_row(void *arg, int64_t i)
{
    const struct clip *c = arg;
    int64_t k = c->q->layout.cols;
    for (int64_t j = 0; j < c->n; j++)
        c->h[i * c->n + j] = j <= i ? c->corner[i * k + j] : c->corner[j * k + i];
}

/* Rows of cell i of the band. */
static int64_t first_row(const struct clip *c, int64_t i) { return c->row + i * c->q->layout.cell_rows; }
static int64_t last_row(const struct clip *c, int64_t i)
{
    int64_t end = first_row(c, i) + c->q->layout.cell_rows;
    return end < c->end ? end : c->end;
}

static int64_t param_at(const struct clip *c, int64_t i)
{
    const struct grid_layout *l = &c->q->layout;
    return (c->row / l->cell_rows + i) * l->param_cols + c->at / l->cell_cols;
}

static void open_cell(void *arg, int64_t i)
{
    const struct clip *c = arg;
    const struct grid_layout *l = &c->q->layout;
    struct cell *cell = &c->cell[i];
    *cell = (struct cell){ .best = (double)INFINITY };
    for (int64_t r = first_row(c, i); r < last_row(c, i); r++) {
        float lo, hi;
        k_minmax(c->n, c->w + r * l->cols + c->at, &lo, &hi);
        cell->lo = lo < cell->lo ? lo : cell->lo;
        cell->hi = hi > cell->hi ? hi : cell->hi;
    }
    cell->lo = round_to(l->scale_dtype, cell->lo);
    cell->hi = round_to(l->scale_dtype, cell->hi);
    cell->most = cell->hi > -cell->lo ? cell->hi : -cell->lo;
}

/* Parameters of the candidate, and the errors of the cell's rows with them. */
static void try_cell(void *arg, int64_t i)
{
    const struct clip *c = arg;
    const struct grid_layout *l = &c->q->layout;
    struct cell *cell = &c->cell[i];
    float bound = round_to(l->scale_dtype, cell->most * c->part);
    float lo = cell->lo > -bound ? cell->lo : -bound, hi = cell->hi < bound ? cell->hi : bound;
    int8_t codes[SPAN];
    cell->zero = 0;
    c->grid->params(l, c->q->global_scale, lo, hi, &cell->scale, c->q->zero ? &cell->zero : NULL);
    for (int64_t r = first_row(c, i); r < last_row(c, i); r++) {
        const float *w = c->w + r * l->cols + c->at;
        float *e = c->e + (r - c->row) * c->n;
        for (int64_t j = 0; j < c->n; j += SPAN)
            c->grid->round_own(l, w + j, c->n - j < SPAN ? c->n - j : SPAN, cell->scale, cell->zero, codes,
                               e + j);
        for (int64_t j = 0; j < c->n; j++)
            e[j] -= w[j];
    }
}

static void judge_cell(void *arg, int64_t i)
{
    const struct clip *c = arg;
    struct cell *cell = &c->cell[i];
    double loss = 0;
    for (int64_t r = first_row(c, i) - c->row; r < last_row(c, i) - c->row; r++)
        loss += k_dot64(c->n, c->e + r * c->n, c->p + r * c->n);
    if (!(loss < cell->best) || !isfinite(cell->scale))
        return;
    cell->best = loss;
    c->q->scale[param_at(c, i)] = cell->scale;
    if (c->q->zero)
        c->q->zero[param_at(c, i)] = cell->zero;
}

static void search_band(struct clip *c, const struct clip_options *o)
{
    int64_t cells = (c->end - c->row + c->q->layout.cell_rows - 1) / c->q->layout.cell_rows;
    k_parallel(cells, open_cell, c);
    for (int64_t i = 0; i < clip_candidates(o); i++) {
        c->part = (float)(1.0 - (double)i / (double)o->n_grid);
        k_parallel(cells, try_cell, c);
        compute_now()->gemm_nn(c->end - c->row, c->n, c->n, c->e, c->n, c->h, c->n, c->p, c->n, 0);
        k_parallel(cells, judge_cell, c);
    }
}

static void search_columns(struct clip *c, const struct clip_options *o, const struct gram *g)
{
    const struct grid_layout *l = &c->q->layout;
    int64_t step = band_rows(l);
    c->n = l->cols - c->at < l->cell_cols ? l->cols - c->at : l->cell_cols;
    c->corner = g->sum + c->at * g->k + c->at;
    k_parallel(c->n, block_row, c);
    for (c->row = 0; c->row < l->rows; c->row += step) {
        c->end = c->row + step < l->rows ? c->row + step : l->rows;
        search_band(c, o);
    }
}

/* The whole range is what the observer takes; its errors are this search's, too. */
int clip_fit(const struct clip_options *o, const struct gram *g, const float *w, struct qtensor *q,
             struct err *e)
{
    const struct grid_layout *l = &q->layout;
    const struct observer *whole = observer_find("memoryless_minmax");
    struct observer_params none = { 0 };
    struct clip c = { .w = w, .q = q, .grid = grid_for(&l->args, e) };
    size_t rows = (size_t)band_rows(l), n = (size_t)l->cell_cols;
    int rc = -1;
    BUG_ON(g->k != l->cols);
    if (!c.grid || whole->fit(&none, w, NULL, q, e))
        return -1;
    c.cell = mem_array(rows, sizeof *c.cell, e);
    c.h = mem_big(n * n, sizeof *c.h, e);
    c.e = mem_big(rows * n, sizeof *c.e, e);
    c.p = mem_big(rows * n, sizeof *c.p, e);
    if (c.cell && c.h && c.e && c.p) {
        for (c.at = 0; c.at < l->cols; c.at += l->cell_cols)
            search_columns(&c, o, g);
        rc = 0;
    }
    mem_free(c.cell);
    mem_free(c.h);
    mem_free(c.e);
    mem_free(c.p);
    return rc;
}
