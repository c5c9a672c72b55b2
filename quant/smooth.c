/* smooth.c - statistics of input channels, and SmoothQuant's scales. */
#include "quant/smooth.h"
#include "base/mem.h"
#include "kernels/kernels.h"
#include "kernels/math.h"
#include <math.h>
#include <string.h>

enum { BAND = 64 }; /* channels that one worker sums, over all rows in order */

struct add {
    struct channel_stats *s;
    const float *x;
    int64_t rows, ldx;
};

int channel_stats_init(struct channel_stats *s, int64_t k, struct err *e)
{
    memset(s, 0, sizeof *s);
    s->k = k;
    s->abs_sum = mem_array((size_t)k, sizeof *s->abs_sum, e);
    s->min = mem_array((size_t)k, sizeof *s->min, e);
    s->max = mem_array((size_t)k, sizeof *s->max, e);
    if (s->abs_sum && s->min && s->max)
        return 0;
    channel_stats_release(s);
    return -1;
}

static void add_band(void *arg, int64_t band)
{
    const struct add *a = arg;
    int64_t from = band * BAND, end = from + BAND < a->s->k ? from + BAND : a->s->k;
    double *sum = a->s->abs_sum;
    float *lo = a->s->min, *hi = a->s->max;
    for (int64_t c = from; c < end && !a->s->rows; c++) {
        lo[c] = INFINITY;
        hi[c] = -INFINITY;
    }
    for (int64_t r = 0; r < a->rows; r++) {
        const float *x = a->x + r * a->ldx;
        for (int64_t c = from; c < end; c++) {
            sum[c] += fabs((double)x[c]);
            lo[c] = x[c] < lo[c] ? x[c] : lo[c];
            hi[c] = x[c] > hi[c] ? x[c] : hi[c];
        }
    }
}

int channel_stats_add(struct channel_stats *s, const float *x, int64_t rows, int64_t ldx, struct err *e)
{
    struct add a = { s, x, rows, ldx };
    if (!rows)
        return 0;
    k_parallel((s->k + BAND - 1) / BAND, add_band, &a);
    s->rows += rows;
    for (int64_t c = 0; c < s->k; c++)
        if (!isfinite(s->abs_sum[c])) {
            err_set(e, ERR_INPUT, "the inputs of column %lld are not finite", (long long)c);
            return err_hint(
                e, "A layer before this one overflows; check the checkpoint and the calibration text.");
        }
    return 0;
}

void channel_stats_release(struct channel_stats *s)
{
    mem_free(s->abs_sum);
    mem_free(s->min);
    mem_free(s->max);
    memset(s, 0, sizeof *s);
}

void channel_stats_means(const struct channel_stats *s, double *out)
{
    for (int64_t c = 0; c < s->k; c++)
        out[c] = s->rows ? s->abs_sum[c] / (double)s->rows : 0;
}

void channel_stats_ranges(const struct channel_stats *s, float *out)
{
    for (int64_t c = 0; c < s->k; c++)
        out[c] = s->rows ? s->max[c] - s->min[c] : 0;
}

void column_absmax(const float *w, int64_t rows, int64_t k, float *most)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < k; c++) {
            float a = fabsf(w[r * k + c]);
            most[c] = a > most[c] ? a : most[c];
        }
}

static double positive_pow(double x, double y) { return x > 0 ? m_pow(x, y) : y > 0 ? 0 : 1; }

void smooth_scales(enum smooth_rule rule, double strength, int64_t n, const float *range, const float *absmax,
                   float *out)
{
    for (int64_t i = 0; i < n; i++) {
        double r = (double)range[i], w = 2 * (double)absmax[i], s = r;
        if (rule == SMOOTH_LOG)
            s = r * m_log(2) / m_log(2 + r);
        else if (w > 0)
            s = positive_pow(r, strength) / positive_pow(w, 1 - strength);
        out[i] = (float)(s > 1e-5 ? s : 1e-5);
    }
}
