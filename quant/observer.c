/* observer.c - the table of observers with llm-compressor 0.14's names, parameters and defaults (observers/min_max.py,
 * mse.py, imatrix.py), for weights: a weight is seen once, so the moving averages of `minmax` and `mse` and the running
 * extremes of `static_minmax` are those of one observation. The arithmetic is in search.c. */
#include "quant/observer.h"
#include "base/mem.h"
#include "base/str.h"
#include "quant/inner.h"
#include "quant/search.h"
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#define AT(field) offsetof(struct observer_params, field)
#define REAL(name, field, def, min, max, doc)                                 \
    {                                                                         \
        name, OPT_REAL, AT(field), def, min, max, NULL, NULL, doc, 0, 0, NULL \
    }

#define EXPAND(def) REAL("expand", expand, def, 1, 100, "Where the search begins: so many times the range.")

static const struct opt minmax_options[] = { { 0 } };
static const struct opt mse_options[] = {
    REAL("maxshrink", maxshrink, 0.20, 0, 1, "Largest part of the range that the search gives up."),
    REAL("patience", patience, 5, 0, 1e6, "Candidates in a row that may improve no cell of the tensor."),
    REAL("grid", grid, 100, 1e-3, 1e6, "Candidates for each whole range: steps of 1/grid."),
    REAL("norm", norm, 2.4, 1e-3, POWER_MAX, "Power of the differences that are summed."),
    EXPAND(1),
    { 0 },
};
/* 1.8 times the range down to 0.8 times, in 112 steps. */
static const struct opt expanded_options[] = {
    REAL("maxshrink", maxshrink, 1 - 0.8 / 1.8, 0, 1,
         "Largest part of the expanded range that the search gives up."),
    REAL("patience", patience, 1000, 0, 1e6, "Candidates in a row that may improve no cell of the tensor."),
    REAL("grid", grid, 200, 1e-3, 1e6, "Candidates for each whole range: steps of 1/grid."),
    REAL("norm", norm, 2.4, 1e-3, POWER_MAX, "Power of the differences that are summed."),
    EXPAND(1.8),
    { 0 },
};
static const struct opt imatrix_options[] = {
    REAL("maxshrink", maxshrink, 0.95, 0, 1, "Largest part of the range that the search gives up."),
    REAL("patience", patience, 5, 0, 1e6,
         "Candidates in a row that may improve no cell of the tensor; 0: all are tried."),
    REAL("grid", grid, 20, 1e-3, 1e6, "Candidates for each whole range: steps of 1/grid."),
    REAL("norm", norm, 3.0, 1e-3, POWER_MAX, "Power of the differences that are summed."),
    EXPAND(1),
    { 0 },
};

static int fit_minmax(const struct observer_params *p, const float *w, const float *importance,
                      struct qtensor *q, struct err *e)
{
    (void)p;
    (void)importance;
    return range_fit(NULL, w, q, e);
}

static int fit_mse(const struct observer_params *p, const float *w, const float *importance,
                   struct qtensor *q, struct err *e)
{
    (void)importance;
    struct search s = { .steps = (int64_t)(p->maxshrink * p->grid),
                        .grid = p->grid,
                        .norm = p->norm,
                        .expand = p->expand,
                        .own_arithmetic = 1 };
    s.patience =
        p->patience < 1 ? 1 : (int64_t)p->patience; /* the peer stops at the first idle step for 0 and 1 */
    return range_fit(&s, w, q, e);
}

/* importance / mean(importance). *out stays NULL when all of it is zero: then every column counts the same. */
static int normalise(const float *importance, int64_t cols, float **out, struct err *e)
{
    double sum = 0;
    for (int64_t c = 0; c < cols; c++) {
        if (!(importance[c] >= 0.0f) || !isfinite(importance[c]))
            return err_set(e, ERR_INPUT, "importance of column %lld is %g, expected a finite number >= 0",
                           (long long)c, (double)importance[c]);
        sum += (double)importance[c];
    }
    if (sum == 0)
        return 0;
    float mean = (float)(sum / (double)cols) + FLT_MIN;
    float *v = mem_array((size_t)cols, sizeof *v, e);
    if (!v)
        return -1;
    for (int64_t c = 0; c < cols; c++)
        v[c] = importance[c] / mean;
    *out = v;
    return 0;
}

/* The peer weighs columns for channel and groups only; tensor and block are searched as if all columns were equal. */
static int fit_imatrix(const struct observer_params *p, const float *w, const float *importance,
                       struct qtensor *q, struct err *e)
{
    struct search s = {
        .grid = p->grid, .norm = p->norm, .expand = p->expand, .patience = (int64_t)p->patience
    };
    int64_t shrink = (int64_t)(p->maxshrink * p->grid);
    enum strategy how = q->layout.args.strategy;
    float *weight = NULL;
    s.steps = (shrink > 1 ? shrink : 1) + 1;
    if (importance && (how == STRATEGY_CHANNEL || how == STRATEGY_GROUP || how == STRATEGY_TENSOR_GROUP) &&
        normalise(importance, q->layout.cols, &weight, e))
        return -1;
    s.weight = weight;
    int rc = range_fit(&s, w, q, e);
    mem_free(weight);
    return rc;
}

static const struct observer memoryless_minmax = { "memoryless_minmax", "least and greatest value of a cell",
                                                   minmax_options, 0, fit_minmax };
static const struct observer memoryless_mse = { "memoryless_mse", "the shrunken range with the least error",
                                                mse_options, 0, fit_mse };
static const struct observer nvfp4_expanded_mse = { "nvfp4_expanded_mse",
                                                    "memoryless_mse from 1.8 times the range on, for NVFP4",
                                                    expanded_options, 0, fit_mse };
static const struct observer imatrix_mse = {
    "imatrix_mse", "the shrunken range with the least error, columns weighted by E[x^2]", imatrix_options, 1,
    fit_imatrix
};
static const struct observer nvfp4_expanded_imatrix = { "nvfp4_expanded_imatrix",
                                                        "imatrix_mse from 1.8 times the range on, for NVFP4",
                                                        expanded_options, 1, fit_imatrix };

const struct observer *const observers[] = { &memoryless_minmax, &memoryless_mse,         &nvfp4_expanded_mse,
                                             &imatrix_mse,       &nvfp4_expanded_imatrix, NULL };

/* Words of the peer that mean the same on weights. averages: it has `averaging_constant`, of which one observation
 * makes no use. */
static const struct {
    const char *name;
    const struct observer *is;
    int averages;
} aliases[] = {
    { "minmax", &memoryless_minmax, 1 },
    { "static_minmax", &memoryless_minmax, 0 },
    { "mse", &memoryless_mse, 1 },
    { "fouroversix", &nvfp4_expanded_mse, 0 },
};
enum { ALIASES = sizeof aliases / sizeof aliases[0] };

const struct observer *observer_find(const char *name)
{
    for (int i = 0; observers[i]; i++)
        if (strcmp(observers[i]->name, name) == 0)
            return observers[i];
    for (int i = 0; i < ALIASES; i++)
        if (strcmp(aliases[i].name, name) == 0)
            return aliases[i].is;
    return NULL;
}

int observer_by_cell(const struct observer *o) { return o->fit == fit_minmax; }

static int unknown_observer(const char *name, struct err *e)
{
    const char *words[16];
    size_t n = 0;
    for (int i = 0; observers[i]; i++)
        words[n++] = observers[i]->name;
    for (int i = 0; i < ALIASES; i++)
        words[n++] = aliases[i].name;
    const char *near = str_nearest(name, words, n, sizeof words[0]);
    err_set(e, ERR_INPUT, "observer: found '%s', expected memoryless_minmax, memoryless_mse or imatrix_mse",
            name);
    return near ? err_hint(e, "Did you mean '%s'?", near) : -1;
}

static int set_param(const struct observer *o, const char *name, double v, struct observer_params *p,
                     struct err *e)
{
    const struct opt *row = o->options;
    while (row->name && strcmp(row->name, name) != 0)
        row++;
    if (!row->name)
        return err_set(e, ERR_INPUT, "observer_kwargs: %s has no parameter '%s'", o->name, name);
    if (!(v >= row->min && v <= row->max))
        return err_set(e, ERR_INPUT, "observer_kwargs: %s: found %g, expected %g to %g", name, v, row->min,
                       row->max);
    memcpy((char *)p + row->at, &v, sizeof v);
    return 0;
}

static int averages(const char *name)
{
    for (int i = 0; i < ALIASES; i++)
        if (strcmp(aliases[i].name, name) == 0)
            return aliases[i].averages;
    return 0;
}

int observer_resolve(const struct quant_args *a, const struct observer **o, struct observer_params *p,
                     struct err *e)
{
    const char *name = a->observer[0] ? a->observer : "memoryless_minmax";
    const struct {
        const char *name;
        double v;
    } given[] = {
        { "maxshrink", a->obs_maxshrink },
        { "patience", a->obs_patience },
        { "grid", a->obs_grid },
        { "norm", a->obs_norm },
        { "averaging_constant", a->obs_averaging },
        { "expand", a->obs_expand },
    };
    struct observer_params made = { .averaging_constant = 0.01, .expand = 1 };
    const struct observer *found = observer_find(name);
    if (!found)
        return unknown_observer(name, e);
    for (const struct opt *row = found->options; row->name; row++)
        memcpy((char *)&made + row->at, &row->def, sizeof row->def);
    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++) {
        if (isnan(given[i].v))
            continue;
        if (i == 4 && averages(name))
            made.averaging_constant = given[i].v;
        else if (set_param(found, given[i].name, given[i].v, &made, e))
            return -1;
    }
    *o = found;
    *p = made;
    return 0;
}
