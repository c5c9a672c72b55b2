/* solve.h - what the files of solvers share. */
#ifndef QP_QUANT_SOLVERS_SOLVE_H
#define QP_QUANT_SOLVERS_SOLVE_H
#include "quant/grid.h"
#include "quant/solver.h"

/* solve_begin - the grid of q, after the checks that every solver makes: finite weights, shapes that agree. */
const struct grid *solve_begin(const struct gram *g, const float *w, const struct qtensor *q, struct err *e);

/* Sums of squares of one row, added over rows in ascending order at the end. */
struct row_sums {
    double error, weight, peer; /* (w - q)^2, w^2, R_jj^2 (target - q)^2 */
};
void sum_rows(const struct row_sums *rows, int64_t n, struct row_sums *out);

/* gptq_bytes - what it allocates at most, but for the losses that a result asks for. */
int64_t gptq_bytes(const struct grid_layout *l);
/* gptq_solve_with - gptq; grad: NULL, or [rows, k]: (Q - W) H comes there, damped as the factor is, for half of a product. */
int gptq_solve_with(const struct solve_options *o, const struct factor *f, const struct gram *g, float *w,
                    struct qtensor *q, float *grad, struct solve_result *res, struct err *e);
#endif
