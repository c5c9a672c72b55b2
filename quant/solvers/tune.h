/* tune.h - what surrounds GPTQ when a recipe asks for more than an observer's scales: a search for scales, scales fitted
 * again to the codes, coordinate descent over codes. Inside quant/solvers; stages call tune_solve (solver.h). */
#ifndef QP_QUANT_SOLVERS_TUNE_H
#define QP_QUANT_SOLVERS_TUNE_H
#include "quant/solvers/solve.h"

enum {
    CHUNK = 128,    /* columns that a product serves */
    CHUNK_MAX = 256 /* the largest group that is searched with feedback or fitted inside a chunk */
};
/* chunk_columns - columns of a pass: whole groups, about CHUNK; cells wider than CHUNK_MAX: CHUNK. */
int64_t chunk_columns(const struct grid_layout *l);
/* scale_store - the storable scale nearest to s (> 0), or 0 when there is none. */
float scale_store(const struct grid *grid, const struct grid_layout *l, float global, float s);

/* scales_fit - q->scale, q->zero of every cell with the least sum of weight_j |q - w|^2.5 over candidates; weight NULL: 1
 * each. Cells of one row only. */
int scales_fit(const float *w, const float *weight, struct qtensor *q, struct err *e);
/* feedback_fit - the scales around those in q whose greedy rounding inside their group, errors of the columns before
 * absorbed, adds least to the loss. f: columns in natural order. Allocates 4 bytes a weight and a chunk of targets. */
int feedback_fit(const struct factor *f, const float *w, struct qtensor *q, struct err *e);

/* A matrix that is solved, and what it should be. */
struct fitted_matrix {
    const float *h;    /* [k, k], symmetric, damped */
    const float *want; /* [rows, k] */
    float *w;          /* [rows, k]: decoded values, always those of q */
    struct qtensor *q;
};
/* refit - each group's scale to its least-squares value given all else (rounded to what can be stored), from left to right;
 * grad [rows, k] = (w - want) h is used up. Never raises a row's loss (channels: but for the rounding of decoded values).
 * Allocates three chunks of columns, or a copy of the matrix for channels. */
int refit(const struct fitted_matrix *m, float *grad, struct err *e);
/* sweep - passes over all columns: each code to the number with the least loss given all else. Never raises a row's loss;
 * loss [rows]: to know what is worth another pass. grad as above. Allocates nothing. */
int sweep(const struct fitted_matrix *m, float *grad, const double *loss, int64_t passes, struct err *e);
#endif
