/* level_avx2.c - 256-bit registers with FMA (x86-64-v3): tiles of 6 x 16, twelve accumulators, two registers of b and two of
 * a. Compiled with -mavx2 -mfma; only reached when the CPU has both. */
#include "kernels/simd_avx2.h"

#include "kernels/rows_tmpl.h"

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
/* Eight rows at a time; a narrower panel is written with eight floats per step in ascending order, so that each store
 * overwrites the surplus of the one before it (and the last spills past the panel, as dispatch.h allows). */
static void pack_t(int64_t w, int64_t rows, int64_t k, const float *src, int64_t ld, int negate, float *dst)
{
    const __m256 sign = negate ? _mm256_set1_ps(-0.0F) : _mm256_setzero_ps();
    for (int64_t i = 0; i < w; i += 8) {
        int64_t have = rows - i;
        for (int64_t p = 0; p < k; p += 8) {
            const __m256i cols = mask8(k - p);
            __m256 r[8];
            UNROLL
            for (int64_t q = 0; q < 8; q++)
                r[q] = q < have ? _mm256_xor_ps(sign, _mm256_maskload_ps(src + (i + q) * ld + p, cols))
                                : _mm256_setzero_ps();
            transpose8(r);
            UNROLL
            for (int64_t q = 0; q < 8; q++)
                if (q < k - p)
                    _mm256_storeu_ps(dst + (p + q) * w + i, r[q]);
        }
    }
}

const struct kern kern_avx2 = {
    .name = "avx2", .mr = MR, .nr = NR, .tile = tile, .pack_t = pack_t, KERN_INIT
};
