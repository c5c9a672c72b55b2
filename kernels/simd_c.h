/* simd_c.h - sixteen lanes in plain C: the definition of every vector operation. vf is float32, vd float64. Nothing here
 * rounds twice: f_fma is exact without FMA hardware (the product of two float32 is exact in float64; the sum is rounded to
 * odd, after which the rounding to float32 is the only one that counts: Boldo & Melquiond, IEEE TC 57(4), 2008). */
#ifndef QP_KERNELS_SIMD_C_H
#define QP_KERNELS_SIMD_C_H
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    float v[16];
} vf;
typedef struct {
    double v[16];
} vd;

static inline float soft_fmaf(float a, float b, float c)
{
    double p = (double)a * (double)b, s = p + (double)c;
    double t = s - p, err = (p - (s - t)) + ((double)c - t);
    uint64_t u;
    memcpy(&u, &s, 8);
    /* inexact, finite, last bit even: move to the odd neighbour on the side of the error */
    int odd = (int)(u & 1), finite = (u >> 52 & 0x7ff) != 0x7ff;
    if (finite && !odd && err != 0.0)
        u += (uint64_t)((err > 0.0) == (s > 0.0) ? 1 : -1);
    memcpy(&s, &u, 8);
    return (float)s;
}

#define EACH(T, expr)            \
    T r;                         \
    for (int l = 0; l < 16; l++) \
        r.v[l] = (expr);         \
    return r
static inline vf f_set(float a) { EACH(vf, a); }
static inline vf f_load(const float *p) { EACH(vf, p[l]); }
static inline vf f_load_n(const float *p, int64_t n) { EACH(vf, l < n ? p[l] : 0.0F); }
static inline vf f_add(vf a, vf b) { EACH(vf, a.v[l] + b.v[l]); }
static inline vf f_sub(vf a, vf b) { EACH(vf, a.v[l] - b.v[l]); }
static inline vf f_mul(vf a, vf b) { EACH(vf, a.v[l] * b.v[l]); }
static inline vf f_div(vf a, vf b) { EACH(vf, a.v[l] / b.v[l]); }
static inline vf f_max(vf a, vf b) { EACH(vf, a.v[l] > b.v[l] ? a.v[l] : b.v[l]); }
static inline vf f_min(vf a, vf b) { EACH(vf, a.v[l] < b.v[l] ? a.v[l] : b.v[l]); }
static inline vf f_fma(vf a, vf b, vf c) { EACH(vf, soft_fmaf(a.v[l], b.v[l], c.v[l])); }
static inline vf f_first(int64_t n, vf a, vf b) { EACH(vf, l < n ? a.v[l] : b.v[l]); }
static inline void f_store(float *p, vf a) { memcpy(p, a.v, sizeof a.v); }
static inline void f_store_n(float *p, vf a, int64_t n)
{
    memcpy(p, a.v, n < 16 ? (size_t)n * 4 : sizeof a.v);
}

/* 2^i as float32, -126 <= i <= 127; garbage in, garbage out (the caller multiplies a NaN by it then) */
static inline float pow2_f(uint32_t i)
{
    uint32_t u = (i + 127U) << 23;
    float f;
    memcpy(&f, &u, 4);
    return f;
}
/* p * 2^(t - 1.5 * 2^23) in two steps, so that a subnormal result is rounded once */
static inline float scale_f(float p, float t)
{
    uint32_t u;
    memcpy(&u, &t, 4);
    uint32_t n = u - 0x4b400000U, half = ((n + 4096U) >> 1) - 2048U;
    return p * pow2_f(half) * pow2_f(n - half);
}
static inline vf f_scale(vf p, vf t) { EACH(vf, scale_f(p.v[l], t.v[l])); }

static inline vd d_set(double a) { EACH(vd, a); }
static inline vd d_of(vf a) { EACH(vd, (double)a.v[l]); }
static inline vf d_round(vd a) { EACH(vf, (float)a.v[l]); }
static inline vd d_add(vd a, vd b) { EACH(vd, a.v[l] + b.v[l]); }
static inline vd d_sub(vd a, vd b) { EACH(vd, a.v[l] - b.v[l]); }
static inline vd d_mul(vd a, vd b) { EACH(vd, a.v[l] * b.v[l]); }
static inline vd d_div(vd a, vd b) { EACH(vd, a.v[l] / b.v[l]); }
static inline vd d_max(vd a, vd b) { EACH(vd, a.v[l] > b.v[l] ? a.v[l] : b.v[l]); }
static inline vd d_min(vd a, vd b) { EACH(vd, a.v[l] < b.v[l] ? a.v[l] : b.v[l]); }
static inline vd d_fma(vd a, vd b, vd c) { EACH(vd, fma(a.v[l], b.v[l], c.v[l])); }
static inline vd d_first(int64_t n, vd a, vd b) { EACH(vd, l < n ? a.v[l] : b.v[l]); }
static inline vd d_abs(vd a) { EACH(vd, fabs(a.v[l])); }
static inline vd d_if_neg(vd x, vd a, vd b) { EACH(vd, x.v[l] < 0.0 ? a.v[l] : b.v[l]); }
static inline vd d_if_zero(vd x, vd a, vd b) { EACH(vd, x.v[l] == 0.0 ? a.v[l] : b.v[l]); }
static inline void d_store(double *p, vd a) { memcpy(p, a.v, sizeof a.v); }

static inline double pow2_d(uint64_t i)
{
    uint64_t u = (i + 1023U) << 52;
    double f;
    memcpy(&f, &u, 8);
    return f;
}
/* p * 2^(t - 1.5 * 2^52) */
static inline double scale_d(double p, double t)
{
    uint64_t u;
    memcpy(&u, &t, 8);
    uint64_t n = u - UINT64_C(0x4338000000000000), half = ((n + 8192U) >> 1) - 4096U;
    return p * pow2_d(half) * pow2_d(n - half);
}
static inline vd d_scale(vd p, vd t) { EACH(vd, scale_d(p.v[l], t.v[l])); }
#undef EACH
#endif
