/* power.c - x^norm for the error of a scale search, in loops that a compiler turns into vector code. Not a libm: the
 * argument is >= 0, and one part in a million is enough to rank candidates. */
#include "base/minifloat.h"
#include "quant/grids/round.h"
#include "quant/inner.h"
#include <math.h>
#include <string.h>

/* A power in (0, 1) as high + low, so that high * exponent is exact. */
struct fraction {
    float high, low;
};

/* x^f for f in (0, 1). x = m 2^e with m in [0.75, 1.5); log2 m = (2 / ln 2) atanh((m-1)/(m+1)), |argument| <= 0.2: the
 * series to the 9th power leaves 2e-9. f log2 x = n + g with n the integer next to f e; 2^g by Taylor to the 7th power,
 * |g| <= 1.1: below 4e-7. */
static inline float fraction_power(float x, struct fraction f)
{
    uint32_t u = bits_of(x), v = u + 0x00400000u; /* mantissas from 1.5 on count for the next exponent */
    int32_t ex = (int32_t)(v >> 23) - 127;
    float m = float_of(u - ((uint32_t)ex << 23)), e = (float)ex;
    float t = (m - 1.0f) / (m + 1.0f), t2 = t * t;
    float l = t * (2.88539008f +
                   t2 * (0.961796694f + t2 * (0.577078016f + t2 * (0.412198583f + t2 * 0.320598898f))));
    float y = f.high * e, n = round_whole(y);
    float g = (y - n) + (f.low * e + (f.high + f.low) * l);
    float p =
        1.0f +
        g * (0.693147181f +
             g * (0.240226507f +
                  g * (0.0555041087f +
                       g * (0.00961812911f +
                            g * (0.00133335581f +
                                 g * (0.000154035304f + g * (1.52527338e-05f + g * 1.32154868e-06f)))))));
    float r = float_of(bits_of(p) + ((uint32_t)(int32_t)n << 23));
    return u < 0x00800000u ? 0.0f : r;
}

static struct fraction fraction_of(double f)
{
    float high = (float)((int)(f * 4096)) / 4096.0f;
    return (struct fraction){ high, (float)(f - (double)high) };
}

/* In pieces, one simple loop after the other: each of them becomes vector code. */
enum { PIECE = 64 };

static void power_piece(int n, float *restrict x, int whole, struct fraction f, int more)
{
    float y[PIECE];
    for (int i = 0; i < n; i++)
        y[i] = 1.0f;
    for (int k = 0; k < whole; k++)
        for (int i = 0; i < n; i++)
            y[i] *= x[i];
    if (more)
        for (int i = 0; i < n; i++)
            y[i] *= fraction_power(x[i], f);
    for (int i = 0; i < n; i++)
        x[i] = y[i];
}

void power_each(int64_t n, float *x, double norm)
{
    int whole = (int)norm, more = norm > whole;
    struct fraction f = fraction_of(norm - whole);
    for (int64_t at = 0; at < n; at += PIECE)
        power_piece(n - at < PIECE ? (int)(n - at) : PIECE, x + at, whole, f, more);
}
