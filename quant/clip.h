/* clip.h - AWQ's search for clipped ranges (arXiv:2306.00978, its auto_clip), on a Gram matrix instead of inputs.
 *
 * A cell (a group of a row, a row, a block) tries the bounds b_i = max |w| (1 - i / n_grid), i = 0 ... < max_shrink * n_grid. Its
 * range is then [max(least w, -b_i), min(greatest w, b_i)], and the least error of the cell's own part of the output wins,
 * the first of equal ones:
 *
 *   loss of a cell = sum over its rows of e H_cc e^T,   e = Q(w) - w, H_cc = the diagonal block of sum x x^T of its columns
 *
 * The paper clamps the weights; here the grid's range is what shrinks, and the weights stay: rounding to nearest gives the same
 * codes, and GPTQ's feedback still sees what clipping took away. */
#ifndef QP_QUANT_CLIP_H
#define QP_QUANT_CLIP_H
#include "base/qtensor.h"
#include "quant/stats.h"

struct clip_options {
    int64_t n_grid; /* 0: no search */
    double max_shrink;
};
/* clip_candidates - ranges that are tried, the whole one among them. */
int64_t clip_candidates(const struct clip_options *o);
/* clip_fit - q->scale and q->zero (and q->global_scale, where the grid has one and it is 0) of w [rows, cols], for inputs
 * whose Gram matrix is g (finished). ERR_INPUT, ERR_NOMEM. Cost: candidates * rows * cols * columns of a cell multiply-adds. */
int clip_fit(const struct clip_options *o, const struct gram *g, const float *w, struct qtensor *q,
             struct err *e);
int64_t clip_bytes(const struct grid_layout *l); /* scratch of a search, for plans */
#endif
