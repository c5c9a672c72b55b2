/* simd_avx2.h - simd_c.h with 256-bit registers and FMA: two to hold sixteen float32, four for sixteen float64. */
#ifndef QP_KERNELS_SIMD_AVX2_H
#define QP_KERNELS_SIMD_AVX2_H
#include <immintrin.h>
#include <stdint.h>

typedef struct {
    __m256 a, b;
} vf;
typedef struct {
    __m256d v[4];
} vd;

/* lanes [0, n) of eight: all ones */
static inline __m256i mask8(int64_t n)
{
    int m = n < 0 ? 0 : n > 8 ? 8 : (int)n;
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(m), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline __m256i mask4(int64_t n)
{
    int64_t m = n < 0 ? 0 : n > 4 ? 4 : n;
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(m), _mm256_setr_epi64x(0, 1, 2, 3));
}
#define F2(lo, hi) ((vf){ (lo), (hi) })
static inline vf f_set(float x) { return F2(_mm256_set1_ps(x), _mm256_set1_ps(x)); }
static inline vf f_load(const float *p) { return F2(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)); }
static inline vf f_load_n(const float *p, int64_t n)
{
    return F2(_mm256_maskload_ps(p, mask8(n)),
              n > 8 ? _mm256_maskload_ps(p + 8, mask8(n - 8)) : _mm256_setzero_ps());
}
static inline vf f_add(vf x, vf y) { return F2(_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)); }
static inline vf f_sub(vf x, vf y) { return F2(_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)); }
static inline vf f_mul(vf x, vf y) { return F2(_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)); }
static inline vf f_div(vf x, vf y) { return F2(_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)); }
static inline vf f_max(vf x, vf y) { return F2(_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)); }
static inline vf f_min(vf x, vf y) { return F2(_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)); }
static inline vf f_fma(vf x, vf y, vf z)
{
    return F2(_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b));
}
static inline vf f_first(int64_t n, vf x, vf y)
{
    return F2(_mm256_blendv_ps(y.a, x.a, _mm256_castsi256_ps(mask8(n))),
              _mm256_blendv_ps(y.b, x.b, _mm256_castsi256_ps(mask8(n - 8))));
}
static inline void f_store(float *p, vf x)
{
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
static inline void f_store_n(float *p, vf x, int64_t n)
{
    _mm256_maskstore_ps(p, mask8(n), x.a);
    if (n > 8)
        _mm256_maskstore_ps(p + 8, mask8(n - 8), x.b);
}
static inline __m256 scale8(__m256 p, __m256 t)
{
    __m256i n = _mm256_sub_epi32(_mm256_castps_si256(t), _mm256_set1_epi32(0x4b400000));
    __m256i half = _mm256_sub_epi32(_mm256_srli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(4096)), 1),
                                    _mm256_set1_epi32(2048));
    __m256i bias = _mm256_set1_epi32(127);
    __m256i s = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    __m256i r = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(n, half), bias), 23);
    return _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(s)), _mm256_castsi256_ps(r));
}
static inline vf f_scale(vf p, vf t) { return F2(scale8(p.a, t.a), scale8(p.b, t.b)); }

#define EACH4(expr)             \
    vd r;                       \
    for (int l = 0; l < 4; l++) \
        r.v[l] = (expr);        \
    return r
static inline vd d_set(double x) { EACH4(_mm256_set1_pd(x)); }
static inline vd d_of(vf x)
{
    return (vd){
        { _mm256_cvtps_pd(_mm256_castps256_ps128(x.a)), _mm256_cvtps_pd(_mm256_extractf128_ps(x.a, 1)),
          _mm256_cvtps_pd(_mm256_castps256_ps128(x.b)), _mm256_cvtps_pd(_mm256_extractf128_ps(x.b, 1)) }
    };
}
static inline vf d_round(vd x)
{
    return F2(_mm256_set_m128(_mm256_cvtpd_ps(x.v[1]), _mm256_cvtpd_ps(x.v[0])),
              _mm256_set_m128(_mm256_cvtpd_ps(x.v[3]), _mm256_cvtpd_ps(x.v[2])));
}
static inline vd d_add(vd x, vd y) { EACH4(_mm256_add_pd(x.v[l], y.v[l])); }
static inline vd d_sub(vd x, vd y) { EACH4(_mm256_sub_pd(x.v[l], y.v[l])); }
static inline vd d_mul(vd x, vd y) { EACH4(_mm256_mul_pd(x.v[l], y.v[l])); }
static inline vd d_div(vd x, vd y) { EACH4(_mm256_div_pd(x.v[l], y.v[l])); }
static inline vd d_max(vd x, vd y) { EACH4(_mm256_max_pd(x.v[l], y.v[l])); }
static inline vd d_min(vd x, vd y) { EACH4(_mm256_min_pd(x.v[l], y.v[l])); }
static inline vd d_fma(vd x, vd y, vd z) { EACH4(_mm256_fmadd_pd(x.v[l], y.v[l], z.v[l])); }
static inline vd d_first(int64_t n, vd x, vd y)
{
    EACH4(_mm256_blendv_pd(y.v[l], x.v[l], _mm256_castsi256_pd(mask4(n - 4 * l))));
}
static inline vd d_abs(vd x) { EACH4(_mm256_andnot_pd(_mm256_set1_pd(-0.0), x.v[l])); }
static inline vd d_if_neg(vd x, vd a, vd b)
{
    EACH4(_mm256_blendv_pd(b.v[l], a.v[l], _mm256_cmp_pd(x.v[l], _mm256_setzero_pd(), _CMP_LT_OQ)));
}
static inline vd d_if_zero(vd x, vd a, vd b)
{
    EACH4(_mm256_blendv_pd(b.v[l], a.v[l], _mm256_cmp_pd(x.v[l], _mm256_setzero_pd(), _CMP_EQ_OQ)));
}
static inline void d_store(double *p, vd x)
{
    for (int l = 0; l < 4; l++)
        _mm256_storeu_pd(p + 4 * l, x.v[l]);
}
static inline __m256d scale4(__m256d p, __m256d t)
{
    __m256i n = _mm256_sub_epi64(_mm256_castpd_si256(t), _mm256_set1_epi64x(INT64_C(0x4338000000000000)));
    __m256i half = _mm256_sub_epi64(_mm256_srli_epi64(_mm256_add_epi64(n, _mm256_set1_epi64x(8192)), 1),
                                    _mm256_set1_epi64x(4096));
    __m256i bias = _mm256_set1_epi64x(1023);
    __m256i s = _mm256_slli_epi64(_mm256_add_epi64(half, bias), 52);
    __m256i r = _mm256_slli_epi64(_mm256_add_epi64(_mm256_sub_epi64(n, half), bias), 52);
    return _mm256_mul_pd(_mm256_mul_pd(p, _mm256_castsi256_pd(s)), _mm256_castsi256_pd(r));
}
static inline vd d_scale(vd p, vd t) { EACH4(scale4(p.v[l], t.v[l])); }
#endif
