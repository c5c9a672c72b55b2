/* solver.h - how codes are chosen for a grid whose parameters an observer fits: rtn (round to nearest), gptq. A row per
 * solver. Pure functions on memory: no files, no recipes, no MPI.
 *
 * GPTQ in the form of one Cholesky (design: H = R R^T, T = R with unit diagonal, target_j = W_j + sum_{i<j} E_i T_ij,
 * E = W - Q): codes equal those of the inverse-based form of arXiv:2210.17323. Conventions of llm-compressor 0.14:
 * H is 2/sequences * sum x x^T; dead columns (diag == 0): diag := 1, W := 0; dampening_frac * mean(diag) on the diagonal;
 * actorder weight = static: columns by falling diagonal (stable), parameters from the original columns. */
#ifndef QP_QUANT_SOLVER_H
#define QP_QUANT_SOLVER_H
#include "base/err.h"
#include "base/qtensor.h"
#include "quant/stats.h"
#include <stdbool.h>

enum solver_needs { NEED_NOTHING, NEED_DIAGONAL, NEED_GRAM };
/* auto: a two-fold check on half Grams, every fraction on up to 512 rows; quick: on half of the columns and 64 rows, too */
enum damp_mode { DAMP_FIXED, DAMP_AUTO, DAMP_QUICK };
/* Where scales come from: the observer; or a search for the least squared error, the least error weighted by E[x^2], or
 * the least loss of GPTQ itself inside each group. */
enum scale_search { SCALES_OBSERVER, SCALES_MSE, SCALES_IMPORTANCE, SCALES_FEEDBACK };
struct solve_options {
    double dampening_frac;
    enum damp_mode damp_mode;
    int64_t
        block_size; /* >= 1; the peer's word. Passes are 128 columns wide whatever it says: no bit depends on it */
    enum scale_search scale_search; /* the rest is tune_solve's */
    int64_t refit;                  /* rounds of (scales fitted to the codes, GPTQ again) */
    int64_t sweeps;                 /* passes of coordinate descent; with refit, over scales, too */
    double alpha;                   /* above 0: the target is moved by cross_target first (cross.h) */
    double *row_loss;               /* NULL, or [rows]: each row's damped loss comes here */
};
/* One factorization serves every matrix that reads the same input with the same order and dampening. */
struct factor {
    int64_t k;
    float *r;       /* [k, k]: R_jj on the diagonal, T above it; the lower triangle means nothing */
    int64_t *order; /* [k]: column visited j-th */
    uint8_t *dead;  /* [k], by original column */
    double mean_diag, damp_frac; /* damping used after the ladder, as a fraction of the mean diagonal */
    int attempts; /* 1: the first one held; more: the ladder of dampening was climbed (x10 each) */
};
/* factor_new - ERR_INPUT when no dampening up to 1.0 makes H positive definite. */
int factor_init(struct factor *f, const struct gram *g, enum actorder order, double damp_frac, struct err *e);
void factor_release(struct factor *f);
/* damp_auto - a fraction from {0.003 ... 3} chosen by the two-fold check of the project's methods notes: solve on one half of the tokens,
 * score on the other, both ways; w: the matrices of the group. Needs gram.half. */
int damp_auto(const struct gram *g, enum actorder order, const float *const *w,
              const struct grid_layout *const *l, int n, double *frac, struct err *e);

/* damp_quick - the same question, asked of every second (fourth, eighth) column, for less than a tenth of a solve; neighbours of
 * the best fraction so far are tried until both are worse. Any fraction may come out. damp_quick_bytes: what it allocates
 * at most, rows: the sum of damp_quick_rows over the matrices. */
int damp_quick(const struct gram *g, enum actorder order, const float *const *w,
               const struct grid_layout *const *l, int n, double *frac, struct err *e);
int64_t damp_quick_rows(int64_t rows);
int64_t damp_quick_bytes(int64_t k, int64_t rows);

struct solve_result {
    double loss;         /* tr(E H E^T) with H = 2/sequences * sum x x^T, undamped; 0 without a Gram matrix */
    double weight_loss;  /* tr(W H W^T): loss / weight_loss is the relative output error */
    double weight_error; /* |E|_F / |W|_F */
    double error2, weight2; /* rtn: |E|_F^2 and |W|_F^2, so that strips of rows can be added */
    double peer_loss;       /* sum over rows, columns of R_jj^2 (target - q)^2 / 2: what the peer reports */
};
struct solver {
    const char *name, *doc;
    enum solver_needs needs;
    /* w [rows, cols] float32, changed in place to the decoded values; q: parameters are filled already (observer), codes
     * are written. f: NULL unless needs is NEED_GRAM. res may be NULL. */
    int (*solve)(const struct solve_options *o, const struct factor *f, const struct gram *g, float *w,
                 struct qtensor *q, struct solve_result *res, struct err *e);
};
extern const struct solver *const solvers[]; /* ends with NULL */
const struct solver *solver_find(const char *name);
/* tune_solve - gptq with the search, the rounds and the sweeps of its options. t: what the matrices of a group share. */
struct tune {
    struct factor natural; /* columns as they stand, for the feedback search; k == 0: not made */
    float *h;              /* [k, k]: damped H; NULL: not needed yet */
};
bool tune_wanted(const struct solve_options *o);
/* What makes sense for cells of this shape: any search, refit and sweeps of scales; the feedback search. */
bool tune_searches(const struct grid_layout *l);
bool tune_feeds_back(const struct grid_layout *l);
int tune_init(struct tune *t, const struct solve_options *o, const struct grid_layout *l,
              const struct factor *f, const struct gram *g, struct err *e);
void tune_release(struct tune *t);
int tune_solve(const struct solve_options *o, const struct tune *t, const struct factor *f,
               const struct gram *g, float *w, struct qtensor *q, struct solve_result *res, struct err *e);
/* solve_bytes - what a solver that needs a Gram matrix, with all that o asks for around it, allocates at most beside w, q, the
 * factor and the [k, k] of a tune. */
int64_t solve_bytes(const struct solve_options *o, const struct grid_layout *l);
/* weighted_error - tr(E H E^T), H = 2/sequences * (lower triangle of g->sum), float64; e: [rows, k]. */
double weighted_error(const struct gram *g, const float *e, int64_t rows);
#endif
