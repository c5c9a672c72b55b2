/* minifloat.h - nearest numbers of 4 and 8 bits as float32, without branches or calls, so that loops over them become
 * vector code: E2M1 (0, 0.5, 1, 1.5, 2, 3, 4, 6) and E4M3 (448 at most, no infinity), with their negatives. Nearest means
 * half to even in the number's own mantissa; for E2M1 that is the peer's list of thresholds (0.25, 0.75, 1.25, 1.75, 2.5,
 * 3.5, 5; compressed-tensors 0.19, quantization/utils/fp4_utils.py). The sign of zero stays; NaN gives the largest. */
#ifndef QP_BASE_MINIFLOAT_H
#define QP_BASE_MINIFLOAT_H
#include <math.h>
#include <stdint.h>
#include <string.h>

enum minifloat { E2M1, E4M3 };

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

/* Magnitudes from the smallest normal number up keep `keep` mantissa bits of float32; below it they are multiples of the
 * spacing at `anchor`, which the sum with it leaves. */
static inline float minifloat_nearest(enum minifloat k, float x)
{
    const float most = k == E2M1 ? 6.0f : 448.0f, normal = k == E2M1 ? 1.0f : 0x1p-6f;
    const float anchor = k == E2M1 ? 0x1p22f : 0x1p14f;
    const unsigned drop = k == E2M1 ? 22 : 20;
    float a = fabsf(x);
    a = a < most ? a : most;
    uint32_t u = bits_of(a);
    u = (u + (1u << (drop - 1)) - 1 + (u >> drop & 1u)) >> drop << drop;
    float small = (a + anchor) - anchor;
    return copysignf(a < normal ? small : float_of(u), x);
}

/* The code of a value that nearest gave. */
static inline uint8_t minifloat_code(enum minifloat k, float v)
{
    uint32_t u = bits_of(v), sign = u >> 31, mag = u & 0x7fffffffu;
    float a = float_of(mag);
    if (k == E2M1) {
        uint32_t c = a < 1.0f ? (uint32_t)(int32_t)(a * 2.0f) : (mag >> 22) - 252;
        return (uint8_t)(c | sign << 3);
    }
    uint32_t c = a < 0x1p-6f ? (uint32_t)(int32_t)(a * 512.0f) : (mag >> 20) - 960;
    return (uint8_t)(c | sign << 7);
}
#endif
