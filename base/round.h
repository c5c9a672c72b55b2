/* round.h - rounding of float32 values to BF16, F16 and whole numbers without branches or calls, so that loops over
 * them become vector code. Equal to dtype_round and rintf for every value (tests/quant/grid.c). */
#ifndef QP_BASE_ROUND_H
#define QP_BASE_ROUND_H
#include "base/tensor.h"
#include <math.h>
#include <string.h>

static inline float round_bf16(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    u = (u + 0x7fffu + ((u >> 16) & 1u)) &
        0xffff0000u; /* half to even; a carry beyond the largest gives infinity */
    float y;
    memcpy(&y, &u, sizeof y);
    return x - x == 0.0f ? y : x; /* NaN and infinity as they are */
}

static inline float round_f16(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    u = (u + 0xfffu + ((u >> 13) & 1u)) & 0xffffe000u;
    float y, a = fabsf(x);
    memcpy(&y, &u, sizeof y);
    float small = copysignf((a + 0.5f) - 0.5f,
                            x); /* below 2^-14 the values of F16 are 2^-24 apart, as float32 at 0.5 */
    y = a < 0x1p-14f ? small : y;
    return a >= 65520.0f ? (x - x == 0.0f ? copysignf(INFINITY, x) : x) : a >= 0.0f ? y : x;
}

static inline float round_to(enum dtype t, float x)
{
    return t == DT_BF16 ? round_bf16(x) : t == DT_F16 ? round_f16(x) : x;
}

/* Half to even for |x| < 2^22: at 1.5 * 2^23 float32 has a spacing of one. */
static inline float round_whole(float x) { return (x + 12582912.0f) - 12582912.0f; }
#endif
