/* level_avx512.c - 512-bit registers (F, VL, DQ, BW): tiles of 14 x 32, 28 accumulators of the 32 registers. Compiled with
 * these options; only reached when the CPU has all four. */
#include "kernels/simd_avx512.h"

#include "kernels/rows_tmpl.h"

#include "kernels/panel_tmpl.h"

enum { MR = 14, NR = 32 };
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

static void tile(int64_t k, const float *a, const float *b, float *c, int64_t ldc, int first)
{
    __m512 s[MR][2];
    UNROLL
    for (int i = 0; i < MR; i++) {
        s[i][0] = s[i][1] = _mm512_setzero_ps();
        _mm_prefetch((const char *)(c + i * ldc), _MM_HINT_T0);
        _mm_prefetch((const char *)(c + i * ldc + 16), _MM_HINT_T0);
    }
    for (int64_t p = 0; p < k; p++, a += MR, b += NR) {
        __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16);
        UNROLL
        for (int i = 0; i < MR; i++) {
            __m512 v = _mm512_set1_ps(a[i]);
            s[i][0] = _mm512_fmadd_ps(v, b0, s[i][0]);
            s[i][1] = _mm512_fmadd_ps(v, b1, s[i][1]);
        }
    }
    UNROLL
    for (int i = 0; i < MR; i++) {
        float *ci = c + i * ldc;
        __m512 c0 = first ? _mm512_setzero_ps() : _mm512_loadu_ps(ci);
        __m512 c1 = first ? _mm512_setzero_ps() : _mm512_loadu_ps(ci + 16);
        _mm512_storeu_ps(ci, _mm512_add_ps(c0, s[i][0]));
        _mm512_storeu_ps(ci + 16, _mm512_add_ps(c1, s[i][1]));
    }
}

/* r[16] becomes its transpose: pairs, quads, then 128-bit blocks twice */
static inline void transpose16(__m512 *r)
{
    __m512 t[16], u[16];
    UNROLL
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    UNROLL
    for (int i = 0; i < 16; i += 4) {
        u[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
        u[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
        u[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        u[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    UNROLL
    for (int i = 0; i < 4; i++) { /* u[4g + i] holds columns i, 4+i, 8+i, 12+i of rows 4g..4g+3 */
        __m512 lo01 = _mm512_shuffle_f32x4(u[i], u[4 + i], 0x44),
               hi01 = _mm512_shuffle_f32x4(u[i], u[4 + i], 0xee);
        __m512 lo23 = _mm512_shuffle_f32x4(u[8 + i], u[12 + i], 0x44),
               hi23 = _mm512_shuffle_f32x4(u[8 + i], u[12 + i], 0xee);
        r[i] = _mm512_shuffle_f32x4(lo01, lo23, 0x88);
        r[4 + i] = _mm512_shuffle_f32x4(lo01, lo23, 0xdd);
        r[8 + i] = _mm512_shuffle_f32x4(hi01, hi23, 0x88);
        r[12 + i] = _mm512_shuffle_f32x4(hi01, hi23, 0xdd);
    }
}
static void pack_t(int64_t w, int64_t rows, int64_t k, const float *src, int64_t ld, int negate, float *dst)
{
    const __m512 sign = _mm512_set1_ps(negate ? -0.0F : 0.0F);
    for (int64_t i = 0; i < w; i += 16) {
        const __mmask16 wide = mask16(w - i);
        int64_t have = rows - i;
        for (int64_t p = 0; p < k; p += 16) {
            const __mmask16 cols = mask16(k - p);
            __m512 r[16];
            UNROLL
            for (int64_t q = 0; q < 16; q++)
                r[q] = q < have ? _mm512_xor_ps(sign, _mm512_maskz_loadu_ps(cols, src + (i + q) * ld + p))
                                : _mm512_setzero_ps();
            transpose16(r);
            UNROLL
            for (int64_t q = 0; q < 16; q++)
                if (q < k - p)
                    _mm512_mask_storeu_ps(dst + (p + q) * w + i, wide, r[q]);
        }
    }
}

const struct kern kern_avx512 = {
    .name = "avx512", .panel = &panel_kern, .mr = MR, .nr = NR, .tile = tile, .pack_t = pack_t, KERN_INIT
};
