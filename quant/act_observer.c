/* act_observer.c - the table of observers of activations, and the search of `mse` over one sequence. */
#include "quant/act_observer.h"

#include "base/mem.h"
#include "base/str.h"
#include "kernels/kernels.h"
#include "quant/grid.h"
#include "quant/inner.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum memory { KEEP_ALL, KEEP_AVERAGE, KEEP_LAST };
struct act_observer_kind {
    const char *name;
    enum memory memory;
    bool searches;
};
static const struct act_observer_kind kinds[] = {
    { "minmax", KEEP_AVERAGE, false },         { "static_minmax", KEEP_ALL, false },
    { "memoryless_minmax", KEEP_LAST, false }, { "mse", KEEP_AVERAGE, true },
    { "memoryless_mse", KEEP_LAST, true },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static const struct act_observer_kind *kind_of(const struct quant_args *a)
{
    for (int i = 0; i < KINDS; i++)
        if (!strcmp(kinds[i].name, a->observer[0] ? a->observer : kinds[0].name))
            return &kinds[i];
    return NULL;
}

const char *act_observer_name(const struct quant_args *a)
{
    return a->observer[0] ? a->observer : kinds[0].name;
}

static int unknown(const struct quant_args *a, struct err *e)
{
    err_set(
        e, ERR_INPUT,
        "observer of activations: found '%s', expected minmax, static_minmax, memoryless_minmax, mse or memoryless_mse",
        a->observer);
    const char *near = str_nearest(a->observer, &kinds->name, KINDS, sizeof *kinds);
    return near ? err_hint(e, "did you mean '%s'?", near) : -1;
}

/* A parameter that is given: 0 and *out where the observer has it and it is in range. */
static int param(const struct act_observer_kind *k, const char *name, bool has, double given, double least,
                 double most, double *out, struct err *e)
{
    if (isnan(given))
        return 0;
    if (!has)
        return err_set(e, ERR_INPUT, "observer_kwargs: %s of activations has no parameter '%s'", k->name,
                       name);
    if (!(given >= least && given <= most))
        return err_set(e, ERR_INPUT, "observer_kwargs: %s: found %g, expected %g to %g", name, given, least,
                       most);
    *out = given;
    return 0;
}

static int read_params(const struct act_observer_kind *k, const struct quant_args *a, struct act_observer *o,
                       struct err *e)
{
    bool s = k->searches;
    o->averaging = 0.01;
    o->maxshrink = 0.20;
    o->patience = 5;
    o->grid = 100;
    o->norm = 2.4;
    o->expand = 1;
    return param(k, "averaging_constant", k->memory == KEEP_AVERAGE, a->obs_averaging, 0, 1, &o->averaging,
                 e) ||
                   param(k, "maxshrink", s, a->obs_maxshrink, 0, 1, &o->maxshrink, e) ||
                   param(k, "patience", s, a->obs_patience, 0, 1e6, &o->patience, e) ||
                   param(k, "grid", s, a->obs_grid, 1e-3, 1e6, &o->grid, e) ||
                   param(k, "norm", s, a->obs_norm, 1e-3, POWER_MAX, &o->norm, e) ||
                   param(k, "expand", s, a->obs_expand, 1, 100, &o->expand, e)
               ? -1
               : 0;
}

int act_observer_check(const struct quant_args *a, struct err *e)
{
    struct act_observer o = { 0 };
    const struct act_observer_kind *k = kind_of(a);
    if (!k)
        return unknown(a, e);
    if (k->searches && a->strategy != STRATEGY_TENSOR) {
        err_set(e, ERR_UNBUILT, "observer '%s' is built for activations of strategy tensor, found %s",
                k->name, strategy_words[a->strategy]);
        return err_hint(e, "observer: static_minmax");
    }
    return read_params(k, a, &o, e);
}

int act_observer_init(struct act_observer *o, const struct quant_args *a, enum dtype t, int64_t n,
                      int64_t sequences, struct err *e)
{
    memset(o, 0, sizeof *o);
    if (act_observer_check(a, e))
        return -1;
    o->kind = kind_of(a);
    o->args = a;
    o->dtype = t;
    o->n = n;
    o->sequences = sequences;
    o->seen = mem_array((size_t)sequences, (size_t)(2 * n) * sizeof *o->seen, e);
    if (!o->seen) {
        act_observer_release(o);
        return -1;
    }
    for (int64_t i = 0; i < sequences * 2 * n; i += 2 * n)
        o->seen[i] = 1; /* least above greatest */
    return read_params(o->kind, a, o, e);
}

size_t act_observer_row(const struct act_observer *o) { return (size_t)(2 * o->n) * sizeof *o->seen; }

void act_observer_release(struct act_observer *o)
{
    mem_free(o->seen);
    memset(o, 0, sizeof *o);
}

/* -- the search -- */

enum { BANDS = 64, SPAN = 1024 };
struct trial {
    const float *x;
    int64_t rows, cols, ldx;
    struct k_fake fake;
    double norm;
    double sum[BANDS];
};

/* Rows are cut in BANDS whatever the number of threads is, and every band adds in order. */
static void band_error(void *arg, int64_t band)
{
    struct trial *t = arg;
    float y[SPAN];
    double sum = 0;
    for (int64_t r = t->rows * band / BANDS; r < t->rows * (band + 1) / BANDS; r++)
        for (int64_t c = 0; c < t->cols; c += SPAN) {
            int64_t n = t->cols - c < SPAN ? t->cols - c : SPAN;
            const float *x = t->x + r * t->ldx + c;
            k_fake_quantize(&t->fake, 1, n, x, n, y, n);
            for (int64_t i = 0; i < n; i++)
                y[i] = fabsf(y[i] - x[i]);
            power_each(n, y, t->norm);
            for (int64_t i = 0; i < n; i++)
                sum += (double)y[i];
        }
    t->sum[band] = sum;
}

static double error_of(struct trial *t)
{
    double sum = 0;
    k_parallel(BANDS, band_error, t);
    for (int b = 0; b < BANDS; b++)
        sum += t->sum[b];
    return sum;
}

/* The peer takes a candidate only when it is strictly better, and starts from the greatest float32. */
static void search(const struct act_observer *o, struct trial *t, float *min, float *max)
{
    const struct quant_args *a = o->args;
    float lo = dtype_round(o->dtype, *min * (float)o->expand),
          hi = dtype_round(o->dtype, *max * (float)o->expand), best = FLT_MAX;
    int64_t steps = (int64_t)(o->maxshrink * o->grid), idle = 0;
    t->norm = o->norm;
    *min = lo;
    *max = hi;
    t->fake.number = a->type == QUANT_INT ? K_FAKE_INT : a->num_bits == 8 ? K_FAKE_E4M3_NUMBER : K_FAKE_E2M1;
    activation_range(a, &t->fake.least, &t->fake.most);
    for (int64_t i = 0; i < steps; i++) {
        float p = (float)(1.0 - (double)i / o->grid), l = dtype_round(o->dtype, lo * p),
              h = dtype_round(o->dtype, hi * p);
        int8_t zero = 0;
        activation_params(a, o->dtype, l, h, &t->fake.scale, &zero);
        t->fake.zero = (float)zero;
        float error = (float)error_of(t);
        if (error < best) {
            best = error;
            *min = l;
            *max = h;
            idle = 0;
        } else if (++idle >= (o->patience < 1 ? 1 : (int64_t)o->patience))
            break;
    }
}

/* -- one sequence -- */

static float mixed(enum dtype t, float old, float now, double c)
{
    float a = dtype_round(t, old * (float)(1.0 - c)), b = dtype_round(t, now * (float)c);
    return dtype_round(t, a + b);
}

/* What is remembered so far, and one sequence more. */
static void remember(const struct act_observer *o, bool first, float *min, float *max, float lo, float hi)
{
    enum memory m = first ? KEEP_LAST : o->kind->memory;
    if (m == KEEP_ALL) {
        lo = lo < *min ? lo : *min;
        hi = hi > *max ? hi : *max;
    } else if (m == KEEP_AVERAGE) {
        lo = mixed(o->dtype, *min, lo, o->averaging);
        hi = mixed(o->dtype, *max, hi, o->averaging);
    }
    *min = lo;
    *max = hi;
}

int act_observer_add(struct act_observer *o, int64_t sequence, const float *x, int64_t rows, int64_t cols,
                     int64_t ldx, struct err *e)
{
    int64_t width = cols / o->n;
    float *row = o->seen + sequence * 2 * o->n;
    BUG_ON(sequence < 0 || sequence >= o->sequences);
    for (int64_t i = 0; rows && i < o->n; i++) {
        const float *part = x + i * width;
        float min = part[0], max = part[0], lo, hi;
        for (int64_t r = 0; r < rows; r++) {
            if (!k_all_finite(width, part + r * ldx))
                return err_set(e, ERR_INPUT, "row %lld of the activations holds a value that is not finite",
                               (long long)r);
            k_minmax(width, part + r * ldx, &lo, &hi);
            min = lo < min ? lo : min;
            max = hi > max ? hi : max;
        }
        min = dtype_round(o->dtype, min);
        max = dtype_round(o->dtype, max);
        if (o->kind->searches) {
            struct trial t = { .x = part, .rows = rows, .cols = width, .ldx = ldx };
            search(o, &t, &min, &max);
        }
        row[i] = min;
        row[o->n + i] = max;
    }
    return 0;
}

bool act_observer_range(const struct act_observer *o, int64_t i, float *min, float *max)
{
    bool any = false;
    for (int64_t s = 0; s < o->sequences; s++) {
        const float *row = o->seen + s * 2 * o->n;
        if (row[0] > row[o->n])
            continue;
        remember(o, !any, min, max, row[i], row[o->n + i]);
        any = true;
    }
    return any;
}

/* The divisor of local scales: what the grid of NVFP4 weights does with its largest magnitude. */
static int finish_global(const struct act_observer *o, float min, float max, struct activation *out,
                         struct err *e)
{
    const struct grid *g = grid_find("nvfp4");
    struct grid_layout l = { .args = *o->args, .scale_dtype = o->dtype };
    if (activation_init(out, o->args, 0, e))
        return -1;
    out->global = g->global_scale(&l, max > -min ? max : -min);
    return 0;
}

int act_observer_finish(const struct act_observer *o, struct activation *out, struct err *e)
{
    float min = 0, max = 0;
    if (!act_observer_range(o, 0, &min, &max))
        return err_set(e, ERR_INPUT, "no sequence was seen: a static scale needs calibration data");
    if (o->args->strategy == STRATEGY_TENSOR_GROUP)
        return finish_global(o, min, max, out, e);
    if (activation_init(out, o->args, o->n, e))
        return -1;
    for (int64_t i = 0; i < o->n; i++) {
        (void)act_observer_range(o, i, &min, &max);
        activation_params(o->args, o->dtype, min, max, &out->scale[i], out->zero ? &out->zero[i] : NULL);
        if (isfinite(out->scale[i]))
            continue;
        activation_release(out);
        return err_set(e, ERR_INPUT, "activations of %g to %g do not fit a scale of dtype %s", (double)min,
                       (double)max, dtypes[o->dtype].name);
    }
    return 0;
}
