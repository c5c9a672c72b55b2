/* fakequant.c - rows of activations rounded as a runtime's quantizer would and back to float32: compressed-tensors 0.19,
 * fake_quantize (quantization/lifecycle/forward_helpers.py) with scales given or taken from the values
 * (quantization/utils/helpers.py, compute_dynamic_scales_and_zp). One version for all levels: loops of + - * / and integers
 * that compilers turn into vector code; + - * / of single values, so the bits depend on nothing else. */
#include "base/minifloat.h"
#include "kernels/kernels.h"

enum { GRAIN = 1 << 14 }; /* elements of a piece, at least */

struct job {
    const struct k_fake *q;
    int64_t n, d, piece;
    const float *x;
    float *y;
    int64_t ldx, ldy;
};

/* What a cell spans; zero is always inside. bad: it holds a NaN or an infinity. Comparing floats as ordered integers makes
 * the extremes independent of order, and a loop that vectorises. */
struct span {
    float lo, hi;
    int bad;
};

static struct span span_of(const float *x, int64_t n)
{
    int32_t lo = 0, hi = 0, mag = 0;
    for (int64_t i = 0; i < n; i++) {
        int32_t u = (int32_t)bits_of(x[i]), m = u & 0x7fffffff, v = u < 0 ? -m : m;
        lo = v < lo ? v : lo;
        hi = v > hi ? v : hi;
        mag = m > mag ? m : mag;
    }
    return (struct span){ -float_of((uint32_t)-lo), float_of((uint32_t)hi), mag >= 0x7f800000 };
}

/* 2^(floor(log2 m) - top), one more from a mantissa of 1.75 on; never below 2^-127 (quant/grids/mxfp4.c). */
static float power_of_two(float m, int top)
{
    int32_t byte = (int32_t)((bits_of(m) + (1u << 21)) >> 23) - top;
    return float_of(byte > 0 ? (uint32_t)byte << 23 : 1u << 22);
}

static float larger(struct span s) { return s.hi > -s.lo ? s.hi : -s.lo; }

/* Scale and zero point of a cell from what it holds. */
static float scale_of(const struct k_fake *q, struct span s, float *zero)
{
    float half = (q->most - q->least) / 2.0f;
    *zero = 0.0f;
    if (q->from == K_FAKE_E8M0)
        return power_of_two(larger(s), q->number == K_FAKE_E2M1 ? 2 : 8);
    if (q->from == K_FAKE_E4M3) {
        float e = minifloat_nearest(E4M3, q->global * (larger(s) / half));
        return (e > 0.0f ? e : 0.125f) / q->global;
    }
    if (!q->asymmetric) {
        float scale = larger(s) / half;
        return scale > 0.0f ? scale : 0x1p-23f;
    }
    float scale = (s.hi - s.lo) / (q->most - q->least);
    if (!(scale > 0.0f)) {
        *zero = q->least;
        return 0x1p-23f;
    }
    float z = q->least - s.lo / scale;
    z = z < q->least ? q->least : z > q->most ? q->most : z;
    *zero = (z + 12582912.0f) - 12582912.0f; /* half to even */
    return scale;
}

static void round_ints(const struct k_fake *q, const float *x, int64_t n, float scale, float zero, float *y)
{
    float least = q->least, most = q->most;
    for (int64_t i = 0; i < n; i++) {
        float v = x[i] / scale + zero;
        v = v < least ? least : v;
        v = v > most ? most : v;
        v = (v + 12582912.0f) - 12582912.0f;
        y[i] = (v - zero) * scale;
    }
}

static void round_e4m3(const float *x, int64_t n, float scale, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = minifloat_nearest(E4M3, x[i] / scale) * scale;
}

static void round_e2m1(const float *x, int64_t n, float scale, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = minifloat_nearest(E2M1, x[i] / scale) * scale;
}

/* A value that is no number makes its whole cell one: it must not come out as a harmless looking 448. */
static void cell(const struct k_fake *q, const float *x, int64_t n, float *y)
{
    struct span s = span_of(x, n);
    float zero = q->zero, scale = q->from == K_FAKE_GIVEN ? q->scale : scale_of(q, s, &zero);
    if (s.bad)
        for (int64_t i = 0; i < n; i++)
            y[i] = float_of(0x7fc00000u);
    else if (q->number == K_FAKE_INT)
        round_ints(q, x, n, scale, zero, y);
    else if (q->number == K_FAKE_E4M3_NUMBER)
        round_e4m3(x, n, scale, y);
    else
        round_e2m1(x, n, scale, y);
}

static void piece(void *arg, int64_t i)
{
    const struct job *j = arg;
    int64_t to = (i + 1) * j->piece < j->n ? (i + 1) * j->piece : j->n, g = j->q->group;
    g = g > 0 && g < j->d ? g : j->d;
    for (int64_t r = i * j->piece; r < to; r++)
        for (int64_t c = 0; c < j->d; c += g)
            cell(j->q, j->x + r * j->ldx + c, j->d - c < g ? j->d - c : g, j->y + r * j->ldy + c);
}

/* One scale for all rows: their extremes first. */
static struct k_fake of_all_rows(const struct job *j)
{
    struct k_fake q = *j->q;
    struct span all = { 0 };
    for (int64_t r = 0; r < j->n; r++) {
        struct span s = span_of(j->x + r * j->ldx, j->d);
        all.lo = s.lo < all.lo ? s.lo : all.lo;
        all.hi = s.hi > all.hi ? s.hi : all.hi;
    }
    q.scale = scale_of(&q, all, &q.zero);
    q.from = K_FAKE_GIVEN;
    return q;
}

void k_fake_quantize(const struct k_fake *q, int64_t n, int64_t d, const float *x, int64_t ldx, float *y,
                     int64_t ldy)
{
    struct job j = { .q = q, .n = n, .d = d, .x = x, .y = y, .ldx = ldx, .ldy = ldy };
    struct k_fake one;
    if (n < 1 || d < 1)
        return;
    if (q->all_rows && q->from != K_FAKE_GIVEN) {
        one = of_all_rows(&j);
        j.q = &one;
    }
    j.piece = d >= GRAIN ? 1 : GRAIN / d;
    k_parallel((n + j.piece - 1) / j.piece, piece, &j);
}
