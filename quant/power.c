/* power.c - x^norm for the error of a scale search, in loops that a compiler turns into vector code. Not a libm: the
 * argument is >= 0, and one part in a million is enough to rank candidates. */
#include "quant/inner.h"
#include <math.h>
#include <string.h>

static inline uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* x^f for f in (0, 1). x = m 2^e with m in [0.75, 1.5); log2 m = (2 / ln 2) atanh((m-1)/(m+1)), |argument| <= 0.2: the
 * series to the 9th power leaves 2e-9. Then 2^(n + g), |g| <= 0.5, by Taylor to the 7th power: 5e-9. */
static inline float fraction_power(float x, float f)
{
    uint32_t u = bits_of(x), v = u + 0x00400000u; /* + 0.5 ulp of the exponent: mantissas from 1.5 on go up */
    int32_t ex = (int32_t)(v >> 23) - 127;
    float m = float_of(u - ((uint32_t)ex << 23));
    float t = (m - 1.0f) / (m + 1.0f), t2 = t * t;
    float l = t * (2.88539008f + t2 * (0.961796694f + t2 * (0.577078016f + t2 * (0.412198583f + t2 * 0.320598898f))));
    float y = f * ((float)ex + l);
    float n = (y + 12582912.0f) - 12582912.0f; /* nearest integer: 1.5 * 2^23 has a spacing of one */
    float g = y - n;
    float p = 1.0f + g * (0.693147181f + g * (0.240226507f + g * (0.0555041087f + g * (0.00961812911f +
              g * (0.00133335581f + g * (0.000154035304f + g * 1.52527338e-05f))))));
    float r = float_of(bits_of(p) + ((uint32_t)(int32_t)n << 23));
    return u < 0x00800000u ? 0.0f : r;
}

void power_each(int64_t n, float *x, double norm)
{
    int whole = (int)norm;
    float f = (float)(norm - whole);
    for (int64_t i = 0; i < n; i++) {
        float base = x[i], y = 1.0f;
        for (int k = 0; k < whole; k++)
            y *= base;
        x[i] = y;
        if (f > 0.0f)
            x[i] = y * fraction_power(base, f);
    }
}
