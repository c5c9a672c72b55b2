/* level_avx2.c - 256-bit registers with FMA (x86-64-v3): tiles of 6 x 16, twelve accumulators, two registers of b and two of
 * a. Compiled with -mavx2 -mfma; only reached when the CPU has both. */
#include "kernels/simd_avx2.h"

#include "kernels/rows_tmpl.h"

#include "kernels/panel_tmpl.h"

enum { MR = 6, NR = 16 };
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

static void tile(int64_t k, const float *a, const float *b, float *c, int64_t ldc, int first)
{
    __m256 s[MR][2];
    UNROLL
    for (int i = 0; i < MR; i++) {
        s[i][0] = s[i][1] = _mm256_setzero_ps();
        _mm_prefetch((const char *)(c + i * ldc), _MM_HINT_T0);
    }
    for (int64_t p = 0; p < k; p++, a += MR, b += NR) {
        __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);
        UNROLL
        for (int i = 0; i < MR; i++) {
            __m256 v = _mm256_broadcast_ss(a + i);
            s[i][0] = _mm256_fmadd_ps(v, b0, s[i][0]);
            s[i][1] = _mm256_fmadd_ps(v, b1, s[i][1]);
        }
    }
    UNROLL
    for (int i = 0; i < MR; i++) {
        float *ci = c + i * ldc;
        __m256 c0 = first ? _mm256_setzero_ps() : _mm256_loadu_ps(ci);
        __m256 c1 = first ? _mm256_setzero_ps() : _mm256_loadu_ps(ci + 8);
        _mm256_storeu_ps(ci, _mm256_add_ps(c0, s[i][0]));
        _mm256_storeu_ps(ci + 8, _mm256_add_ps(c1, s[i][1]));
    }
}

/* r[8] becomes its transpose */
static inline void transpose8(__m256 *r)
{
    __m256 t[8], u[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        u[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        u[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        u[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        u[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
    }
}
/* Steps [p, p + 8) of rows [i, i + 8): a narrower panel is written with eight floats per step in ascending order, so that each
 * store overwrites the surplus of the one before it (and the last spills past the panel, as dispatch.h allows). */
static inline void store8(__m256 *r, int64_t steps, int64_t w, float *dst)
{
    transpose8(r);
    UNROLL
    for (int64_t q = 0; q < 8; q++)
        if (q < steps)
            _mm256_storeu_ps(dst + q * w, r[q]);
}
/* Where all eight rows exist, whole lines of memory are read at once: rows whose distance is a power of two share the few
 * places of one set of the cache, and would throw each other out between two visits. Returns where the rest begins. */
static int64_t pack_lines(int64_t w, int64_t k, const float *src, int64_t ld, __m256 sign, float *dst)
{
    int64_t p = 0;
    for (; p + 16 <= k; p += 16) {
        __m256 r[8], s[8];
        UNROLL
        for (int64_t q = 0; q < 8; q++) {
            r[q] = _mm256_xor_ps(sign, _mm256_loadu_ps(src + q * ld + p));
            s[q] = _mm256_xor_ps(sign, _mm256_loadu_ps(src + q * ld + p + 8));
        }
        store8(r, 8, w, dst + p * w);
        store8(s, 8, w, dst + (p + 8) * w);
    }
    return p;
}
/* Six rows: the same, the last two registers are not stored for long. */
static int64_t pack_lines6(int64_t w, int64_t k, const float *src, int64_t ld, __m256 sign, float *dst)
{
    int64_t p = 0;
    for (; p + 16 <= k; p += 16) {
        __m256 r[8], s[8];
        UNROLL
        for (int64_t q = 0; q < 6; q++) {
            r[q] = _mm256_xor_ps(sign, _mm256_loadu_ps(src + q * ld + p));
            s[q] = _mm256_xor_ps(sign, _mm256_loadu_ps(src + q * ld + p + 8));
        }
        r[6] = r[7] = s[6] = s[7] = _mm256_setzero_ps();
        store8(r, 8, w, dst + p * w);
        store8(s, 8, w, dst + (p + 8) * w);
    }
    return p;
}
static void pack_t(int64_t w, int64_t rows, int64_t k, const float *src, int64_t ld, int negate, float *dst)
{
    const __m256 sign = negate ? _mm256_set1_ps(-0.0F) : _mm256_setzero_ps();
    for (int64_t i = 0; i < w; i += 8) {
        int64_t have = rows - i, p = 0;
        if (have >= 8)
            p = pack_lines(w, k, src + i * ld, ld, sign, dst + i);
        else if (have == 6)
            p = pack_lines6(w, k, src + i * ld, ld, sign, dst + i);
        for (; p < k; p += 8) {
            const __m256i cols = mask8(k - p);
            __m256 r[8];
            UNROLL
            for (int64_t q = 0; q < 8; q++)
                r[q] = q < have ? _mm256_xor_ps(sign, _mm256_maskload_ps(src + (i + q) * ld + p, cols))
                                : _mm256_setzero_ps();
            store8(r, k - p, w, dst + p * w + i);
        }
    }
}

const struct kern kern_avx2 = {
    .name = "avx2", .panel = &panel_kern, .mr = MR, .nr = NR, .tile = tile, .pack_t = pack_t, KERN_INIT
};
