/* simd_avx512.h - simd_c.h with 512-bit registers: one for sixteen float32, two for sixteen float64. */
#ifndef QP_KERNELS_SIMD_AVX512_H
#define QP_KERNELS_SIMD_AVX512_H
#include <immintrin.h>
#include <stdint.h>

typedef __m512 vf;
typedef struct {
    __m512d a, b;
} vd;

static inline __mmask16 mask16(int64_t n)
{
    return (__mmask16)(n >= 16 ? 0xffffU : n <= 0 ? 0U : (1U << n) - 1U);
}
static inline __mmask8 mask8(int64_t n) { return (__mmask8)(n >= 8 ? 0xffU : n <= 0 ? 0U : (1U << n) - 1U); }
static inline vf f_set(float x) { return _mm512_set1_ps(x); }
static inline vf f_load(const float *p) { return _mm512_loadu_ps(p); }
static inline vf f_load_n(const float *p, int64_t n) { return _mm512_maskz_loadu_ps(mask16(n), p); }
static inline vf f_add(vf x, vf y) { return _mm512_add_ps(x, y); }
static inline vf f_sub(vf x, vf y) { return _mm512_sub_ps(x, y); }
static inline vf f_mul(vf x, vf y) { return _mm512_mul_ps(x, y); }
static inline vf f_div(vf x, vf y) { return _mm512_div_ps(x, y); }
static inline vf f_max(vf x, vf y) { return _mm512_max_ps(x, y); }
static inline vf f_min(vf x, vf y) { return _mm512_min_ps(x, y); }
static inline vf f_fma(vf x, vf y, vf z) { return _mm512_fmadd_ps(x, y, z); }
static inline vf f_first(int64_t n, vf x, vf y) { return _mm512_mask_blend_ps(mask16(n), y, x); }
static inline void f_store(float *p, vf x) { _mm512_storeu_ps(p, x); }
static inline void f_store_n(float *p, vf x, int64_t n) { _mm512_mask_storeu_ps(p, mask16(n), x); }
static inline vf f_scale(vf p, vf t)
{
    __m512i n = _mm512_sub_epi32(_mm512_castps_si512(t), _mm512_set1_epi32(0x4b400000));
    __m512i half = _mm512_sub_epi32(_mm512_srli_epi32(_mm512_add_epi32(n, _mm512_set1_epi32(4096)), 1),
                                    _mm512_set1_epi32(2048));
    __m512i bias = _mm512_set1_epi32(127);
    __m512i s = _mm512_slli_epi32(_mm512_add_epi32(half, bias), 23);
    __m512i r = _mm512_slli_epi32(_mm512_add_epi32(_mm512_sub_epi32(n, half), bias), 23);
    return _mm512_mul_ps(_mm512_mul_ps(p, _mm512_castsi512_ps(s)), _mm512_castsi512_ps(r));
}

#define D2(lo, hi) ((vd){ (lo), (hi) })
static inline vd d_set(double x) { return D2(_mm512_set1_pd(x), _mm512_set1_pd(x)); }
static inline vd d_of(vf x)
{
    return D2(_mm512_cvtps_pd(_mm512_castps512_ps256(x)), _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1)));
}
static inline vf d_round(vd x)
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(x.a)), _mm512_cvtpd_ps(x.b), 1);
}
static inline vd d_add(vd x, vd y) { return D2(_mm512_add_pd(x.a, y.a), _mm512_add_pd(x.b, y.b)); }
static inline vd d_sub(vd x, vd y) { return D2(_mm512_sub_pd(x.a, y.a), _mm512_sub_pd(x.b, y.b)); }
static inline vd d_mul(vd x, vd y) { return D2(_mm512_mul_pd(x.a, y.a), _mm512_mul_pd(x.b, y.b)); }
static inline vd d_div(vd x, vd y) { return D2(_mm512_div_pd(x.a, y.a), _mm512_div_pd(x.b, y.b)); }
static inline vd d_max(vd x, vd y) { return D2(_mm512_max_pd(x.a, y.a), _mm512_max_pd(x.b, y.b)); }
static inline vd d_min(vd x, vd y) { return D2(_mm512_min_pd(x.a, y.a), _mm512_min_pd(x.b, y.b)); }
static inline vd d_fma(vd x, vd y, vd z)
{
    return D2(_mm512_fmadd_pd(x.a, y.a, z.a), _mm512_fmadd_pd(x.b, y.b, z.b));
}
static inline vd d_first(int64_t n, vd x, vd y)
{
    return D2(_mm512_mask_blend_pd(mask8(n), y.a, x.a), _mm512_mask_blend_pd(mask8(n - 8), y.b, x.b));
}
static inline vd d_abs(vd x) { return D2(_mm512_abs_pd(x.a), _mm512_abs_pd(x.b)); }
static inline vd d_if_neg(vd x, vd a, vd b)
{
    __m512d z = _mm512_setzero_pd();
    return D2(_mm512_mask_blend_pd(_mm512_cmp_pd_mask(x.a, z, _CMP_LT_OQ), b.a, a.a),
              _mm512_mask_blend_pd(_mm512_cmp_pd_mask(x.b, z, _CMP_LT_OQ), b.b, a.b));
}
static inline vd d_if_zero(vd x, vd a, vd b)
{
    __m512d z = _mm512_setzero_pd();
    return D2(_mm512_mask_blend_pd(_mm512_cmp_pd_mask(x.a, z, _CMP_EQ_OQ), b.a, a.a),
              _mm512_mask_blend_pd(_mm512_cmp_pd_mask(x.b, z, _CMP_EQ_OQ), b.b, a.b));
}
static inline void d_store(double *p, vd x)
{
    _mm512_storeu_pd(p, x.a);
    _mm512_storeu_pd(p + 8, x.b);
}
static inline __m512d scale8(__m512d p, __m512d t)
{
    __m512i n = _mm512_sub_epi64(_mm512_castpd_si512(t), _mm512_set1_epi64(INT64_C(0x4338000000000000)));
    __m512i half = _mm512_sub_epi64(_mm512_srli_epi64(_mm512_add_epi64(n, _mm512_set1_epi64(8192)), 1),
                                    _mm512_set1_epi64(4096));
    __m512i bias = _mm512_set1_epi64(1023);
    __m512i s = _mm512_slli_epi64(_mm512_add_epi64(half, bias), 52);
    __m512i r = _mm512_slli_epi64(_mm512_add_epi64(_mm512_sub_epi64(n, half), bias), 52);
    return _mm512_mul_pd(_mm512_mul_pd(p, _mm512_castsi512_pd(s)), _mm512_castsi512_pd(r));
}
static inline vd d_scale(vd p, vd t) { return D2(scale8(p.a, t.a), scale8(p.b, t.b)); }
#endif
