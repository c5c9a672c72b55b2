/* observer.h - how a cell's range is taken from weights (and importance): minmax, mse, imatrix_mse, ... with llm-compressor 0.14's
 * parameters, defaults and arithmetic. A row per observer. */
#ifndef QP_QUANT_OBSERVER_H
#define QP_QUANT_OBSERVER_H
#include "base/opt.h"
#include "base/qtensor.h"

struct observer_params {
    double maxshrink, patience, grid, norm, averaging_constant, expand;
};
struct observer {
    const char *name, *doc;
    const struct opt *options; /* rows over struct observer_params, with this observer's defaults */
    int needs_importance;      /* 1: uses E[x^2] per input column when there is any */
    /* Fill q->scale and q->zero (and q->global_scale, where the grid has one and it is 0) from w [rows, cols] (row-major, dense). importance: NULL or [cols]. */
    int (*fit)(const struct observer_params *p, const float *w, const float *importance, struct qtensor *q,
               struct err *e);
};
extern const struct observer *const observers[]; /* ends with NULL */
const struct observer *observer_find(
    const char *name); /* aliases of the peer too ("minmax" on weights = memoryless_minmax) */
/* observer_by_cell - a cell's range depends on its own values alone: rows may be fitted strip by strip. A search has one
 * patience for the whole matrix. */
int observer_by_cell(const struct observer *o);
/* observer_resolve - the observer of args->observer ("": memoryless_minmax) and its parameters: defaults, then the
 * ones given (args->obs_*, NAN = default). ERR_INPUT names a parameter that the observer has not. */
int observer_resolve(const struct quant_args *a, const struct observer **o, struct observer_params *p,
                     struct err *e);
#endif
