/* rows.c - the check that every reader of weights makes first: a NaN in a weight would otherwise come out as a
 * harmless looking code. */
#include "kernels/kernels.h"
#include "quant/inner.h"
#include <math.h>

struct scan {
    const float *w;
    int64_t rows, cols, bad[64];
};
enum { BANDS = 64 };

static void scan_band(void *arg, int64_t band)
{
    struct scan *s = arg;
    int64_t from = s->rows * band / BANDS, to = s->rows * (band + 1) / BANDS;
    s->bad[band] = -1;
    for (int64_t r = from; r < to && s->bad[band] < 0; r++)
        if (!k_all_finite(s->cols, s->w + r * s->cols))
            s->bad[band] = r;
}

int rows_finite(const float *w, int64_t rows, int64_t cols, int64_t row0, struct err *e)
{
    struct scan s = { .w = w, .rows = rows, .cols = cols };
    k_parallel(BANDS, scan_band, &s);
    for (int b = 0; b < BANDS; b++) {
        if (s.bad[b] < 0)
            continue;
        const float *row = w + s.bad[b] * cols;
        int64_t c = 0;
        while (c + 1 < cols && isfinite(row[c]))
            c++;
        err_set(e, ERR_INPUT, "weight is %s at row %lld, column %lld, expected finite numbers",
                isnan(row[c]) ? "NaN" : "infinite", (long long)(row0 + s.bad[b]), (long long)c);
        return err_hint(e, "The checkpoint is damaged, or a step before this one overflowed.");
    }
    return 0;
}
