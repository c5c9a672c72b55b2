/* scales.c - scales by search: for each cell the candidate with the least sum of weight_j |q_j - w_j|^2.5, weight = E[x^2]
 * of the input (importance) or 1. Squares clip too much: what GPTQ's feedback can not absorb are the few large errors
 * (held-out KL divergence of squares, 2.5 and 3: docs/methods.md). Quotients are products with 1 / scale: the solver
 * divides later, and ties do not matter here. Candidates are the range of the cell times factors from a coarse and then a fine grid,
 * each with the zero point that belongs to it and its neighbours, all of them storable. Rows are independent. */
#include "base/mem.h"
#include "kernels/panel.h"
#include "quant/solvers/tune.h"
#include <float.h>
#include <math.h>

int64_t chunk_columns(const struct grid_layout *l)
{
    if (l->cell_cols > CHUNK)
        return l->cell_cols <= CHUNK_MAX ? l->cell_cols : CHUNK;
    return CHUNK / l->cell_cols * l->cell_cols;
}

float scale_store(const struct grid *grid, const struct grid_layout *l, float global, float s)
{
    float out = 0.0f;
    if (!(s > 0.0f) || !isfinite(s))
        return 0.0f;
    grid->params(l, global, 0.0f, s * grid->reach(l), &out, NULL);
    return isfinite(out) && out > 0.0f ? out : 0.0f;
}

struct cell {
    struct k_number number;
    const struct grid *grid;
    const struct qtensor *q;
    const float *x, *weight; /* [n]; weight may be NULL */
    int64_t n;
    float lo, hi, scale; /* scale: of the whole range */
    int zero;
    float best_scale;
    int best_zero;
    float best, factor; /* least sum, and the factor it came with */
    float last;         /* least sum of the last factor */
};

static void judge(struct cell *c, float scale, int zero, float factor)
{
    float err = k_cell_error(&c->number, c->n, c->x, c->weight, scale, (float)zero);
    c->last = err < c->last ? err : c->last;
    if (!(err < c->best))
        return;
    c->best = err;
    c->best_scale = scale;
    c->best_zero = zero;
    c->factor = factor;
}

static void try_factor(struct cell *c, float factor)
{
    const struct grid_layout *l = &c->q->layout;
    float s = scale_store(c->grid, l, c->q->global_scale, c->scale * factor);
    c->last = FLT_MAX;
    if (s == 0.0f)
        return;
    if (!c->q->zero) {
        judge(c, s, 0, factor);
        return;
    }
    int lo = -(1 << (l->args.num_bits - 1)), hi = -lo - 1;
    int side = l->args.num_bits <= 4 ? 1 : 0;
    /* the zero points that keep the middle of the range in the middle of the codes, and what stood before */
    float middle = -0.5f - (c->lo + c->hi) / 2.0f / s;
    int z = (int)(middle < (float)lo ? (float)lo : middle > (float)hi ? (float)hi : rintf(middle));
    for (int d = -side; d <= side; d++)
        if (z + d >= lo && z + d <= hi)
            judge(c, s, z + d, factor);
    if (c->zero < z - side || c->zero > z + side)
        judge(c, s, c->zero, factor);
}

/* Smallest factor by bits: what few levels gain by clipping. */
static float least_factor(int bits)
{
    static const float least[] = { 0, 0, 0.35f, 0.45f, 0.55f, 0.7f, 0.8f, 0.88f, 0.92f };
    return least[bits < 2 ? 2 : bits > 8 ? 8 : bits];
}

/* A range whose sum is this much above the best clips too much, and smaller ones clip more. */
static const float enough = 1.5f;

static void search_cell(struct cell *c)
{
    const float *given = c->grid->factors;
    for (int i = 0; given && given[i] > 0.0f; i++)
        try_factor(c, given[i]);
    if (given)
        return;
    enum { STEPS = 10 };
    float top = 1.05f, step = (top - least_factor(c->q->layout.args.num_bits)) / (float)STEPS;
    for (int i = 0; i <= STEPS && !(i > 2 && c->last > enough * c->best); i++)
        try_factor(c, top - step * (float)i);
    float near = c->factor;
    for (int i = -2; i <= 2; i++)
        if (i)
            try_factor(c, near + step * (float)i / 3.0f);
}

struct fit {
    const struct grid *grid;
    const float *w, *weight;
    struct qtensor *q;
    struct k_number number;
};

static void fit_row(void *arg, int64_t r)
{
    const struct fit *f = arg;
    const struct grid_layout *l = &f->q->layout;
    for (int64_t g = 0; g < l->param_cols; g++) {
        int64_t from = g * l->cell_cols, i = r * l->param_cols + g;
        int64_t n = l->cols - from < l->cell_cols ? l->cols - from : l->cell_cols;
        struct cell c = { .number = f->number,
                          .grid = f->grid,
                          .q = f->q,
                          .x = f->w + r * l->cols + from,
                          .weight = f->weight + from,
                          .n = n,
                          .scale = f->q->scale[i],
                          .zero = f->q->zero ? f->q->zero[i] : 0,
                          .best = FLT_MAX,
                          .factor = 1.0f };
        k_minmax(n, c.x, &c.lo, &c.hi);
        c.lo = c.lo < 0.0f ? c.lo : 0.0f;
        c.hi = c.hi > 0.0f ? c.hi : 0.0f;
        judge(&c, c.scale, c.zero, 1.0f); /* the observer's own */
        if (c.best > 0.0f)
            search_cell(&c);
        if (!(c.best < FLT_MAX))
            continue; /* sums beyond float32: as the observer says */
        f->q->scale[i] = c.best_scale;
        if (f->q->zero)
            f->q->zero[i] = (int8_t)c.best_zero;
    }
}

int scales_fit(const float *w, const float *weight, struct qtensor *q, struct err *e)
{
    struct fit f = { .grid = grid_for(&q->layout.args, e), .w = w, .weight = weight, .q = q };
    float *ones = NULL;
    BUG_ON(q->layout.cell_rows != 1);
    if (!f.grid)
        return -1;
    f.grid->number(&q->layout, &f.number);
    if (!weight) {
        f.weight = ones = mem_array((size_t)q->layout.cols, sizeof *ones, e);
        for (int64_t j = 0; ones && j < q->layout.cols; j++)
            ones[j] = 1.0f;
    }
    if (f.weight)
        k_parallel(q->layout.rows, fit_row, &f);
    mem_free(ones);
    return f.weight ? 0 : -1;
}
