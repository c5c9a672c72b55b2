/* smooth.c - statistics of input channels, and SmoothQuant's scales. */
#include "quant/smooth.h"
#include "base/mem.h"
#include "kernels/kernels.h"
#include "kernels/math.h"
#include <math.h>
#include <string.h>

enum { BAND = 64 }; /* channels that one worker sums, over all rows in order */

/* A row of s->leaf, taken apart. */
struct leaf {
    int64_t *tokens;
    double *sum;
    float *min, *max;
};

static struct leaf leaf_at(const struct channel_stats *s, int64_t i)
{
    unsigned char *p = s->leaf + (size_t)i * channel_stats_row(s);
    struct leaf l = { .tokens = (int64_t *)(void *)p, .sum = (double *)(void *)(p + sizeof(int64_t)) };
    l.min = (float *)(void *)(l.sum + s->k);
    l.max = l.min + s->k;
    return l;
}

struct add {
    struct leaf leaf;
    const float *x;
    int64_t k, rows, ldx;
};

size_t channel_stats_row(const struct channel_stats *s) { return 8 + (size_t)s->k * 16; }

int64_t channel_stats_bytes(int64_t k) { return TREE_LEAVES * (8 + k * 16); }

int channel_stats_init(struct channel_stats *s, int64_t k, int64_t chunks, struct err *e)
{
    *s = (struct channel_stats){ .k = k, .chunks = chunks };
    s->leaf = mem_array(TREE_LEAVES, channel_stats_row(s), e);
    return s->leaf ? 0 : -1;
}

static void add_band(void *arg, int64_t band)
{
    const struct add *a = arg;
    int64_t from = band * BAND, end = from + BAND < a->k ? from + BAND : a->k;
    double *sum = a->leaf.sum;
    float *lo = a->leaf.min, *hi = a->leaf.max;
    for (int64_t c = from; c < end && !*a->leaf.tokens; c++) {
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

int channel_stats_add(struct channel_stats *s, int64_t chunk, const float *x, int64_t rows, int64_t ldx,
                      struct err *e)
{
    struct add a = { leaf_at(s, chunk * TREE_LEAVES / s->chunks), x, s->k, rows, ldx };
    if (!rows)
        return 0;
    k_parallel((s->k + BAND - 1) / BAND, add_band, &a);
    *a.leaf.tokens += rows;
    for (int64_t c = 0; c < s->k; c++)
        if (!isfinite(a.leaf.sum[c])) {
            err_set(e, ERR_INPUT, "the inputs of column %lld are not finite", (long long)c);
            return err_hint(
                e, "A layer before this one overflows; check the checkpoint and the calibration text.");
        }
    return 0;
}

void channel_stats_release(struct channel_stats *s)
{
    mem_free(s->leaf);
    memset(s, 0, sizeof *s);
}

int64_t channel_stats_tokens(const struct channel_stats *s)
{
    int64_t n = 0;
    for (int i = 0; i < TREE_LEAVES; i++)
        n += *leaf_at(s, i).tokens;
    return n;
}

void channel_stats_means(const struct channel_stats *s, double *out)
{
    int64_t n = channel_stats_tokens(s);
    for (int64_t c = 0; c < s->k; c++) {
        double sum = 0;
        for (int i = 0; i < TREE_LEAVES; i++)
            sum += leaf_at(s, i).sum[c];
        out[c] = n ? sum / (double)n : 0;
    }
}

void channel_stats_ranges(const struct channel_stats *s, float *out)
{
    for (int64_t c = 0; c < s->k; c++) {
        float lo = INFINITY, hi = -INFINITY;
        for (int i = 0; i < TREE_LEAVES; i++) {
            struct leaf l = leaf_at(s, i);
            lo = *l.tokens && l.min[c] < lo ? l.min[c] : lo;
            hi = *l.tokens && l.max[c] > hi ? l.max[c] : hi;
        }
        out[c] = hi >= lo ? hi - lo : 0;
    }
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
