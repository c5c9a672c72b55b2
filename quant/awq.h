/* awq.h - AWQ's search for scales (arXiv:2306.00978) with llm-compressor 0.14's grid and arithmetic, its loss taken from the
 * Gram matrix of the input instead of repeated forward passes.
 *
 *   x = mean |input| by channel; w = mean over all rows of |W| / (largest |W| of its cell + 1e-6)
 *   plain: s = max(x^r, 1e-4)      duo: s = max(x^r / (w^(1-r) + 1e-4), 1e-4)      then s /= sqrt(max s * min s)
 *   grid: duo false: r = i/(n-1), plain; true: (0, plain), then r = i/(n-2), duo; both: n/2 ratios i/(n/2-1), plain then duo
 *   loss: mean over tokens and outputs of ((W - Q(W s) / s) x)^2 = tr(E H E^T) / (tokens * rows), over the matrices that have
 *   a grid; Q rounds to nearest with ranges from minimum and maximum
 *
 * The least loss wins, the first of equal ones. With one matrix this is the peer's loss itself; with several (q, k, v; gate,
 * up) it is that of their outputs, where the peer takes the output of their parent. */
#ifndef QP_QUANT_AWQ_H
#define QP_QUANT_AWQ_H
#include "quant/grid.h"
#include "quant/stats.h"

struct awq_matrix {
    const float *w; /* [rows, k] */
    int64_t rows;
    const struct grid *grid; /* NULL: not quantized, no part of the loss */
    const struct grid_layout *layout;
};
enum awq_duo { AWQ_PLAIN, AWQ_DUO, AWQ_BOTH };
struct awq_candidate {
    double ratio;
    bool duo;
};
struct awq_problem {
    int64_t k, channels;
    const int64_t *channel; /* [k]: the channel of a column */
    const double *x_mean;   /* [k] */
    const struct awq_matrix *matrix;
    int n;
    const struct awq_candidate *candidate;
    int n_candidates;
};
struct awq_result {
    int index;           /* of the candidate */
    double loss, before; /* of it, and without scales */
};
/* awq_candidates - the grid; returns how many (at most n_grid). n_grid >= 2, duo >= 3. */
int awq_candidates(enum awq_duo duo, int n_grid, struct awq_candidate *out);
/* awq_weight_means - out [k]: w above. ERR_NOMEM. */
int awq_weight_means(const struct awq_problem *p, double *out, struct err *e);
/* awq_scales - out [channels]. w_mean [k]. */
void awq_scales(const struct awq_problem *p, const double *w_mean, const struct awq_candidate *c, float *out);
/* awq_search - scales [channels] of the best candidate. Candidate 0 must be that without scales (it is in every grid).
 * Candidates whose loss exceeds the best on some of the rows are given up there: the choice is the same. Cost: at most a
 * rounding and rows * k^2 multiply-adds a candidate. ERR_INPUT when no loss is finite. */
int awq_search(const struct awq_problem *p, const struct gram *g, float *scales, struct awq_result *res,
               struct err *e);
/* awq_round - out [rows, k] = Q(W s) / s of one matrix that has a grid; out may not overlap p's weights. ERR_NOMEM. */
int awq_round(const struct awq_problem *p, const float *scales, int matrix, float *out, struct err *e);
/* awq_distance - sum of (a - b)^2 over n values, in float64, in a fixed order. */
double awq_distance(int64_t n, const float *a, const float *b);
int64_t awq_bytes(const struct grid_layout *l); /* scratch of a search, for plans */
#endif
