/* level_c.c - the definition: plain C, any machine. Its fma is exact without hardware (simd_c.h), so it is slow (about
 * 1 GFLOP/s) and has the bits of the other levels. It is compiled without any instruction set option. */
#include "kernels/simd_c.h"

#include "kernels/rows_tmpl.h"

#include "kernels/panel_tmpl.h"

enum { MR = 4, NR = 16 };

static void tile(int64_t k, const float *a, const float *b, float *c, int64_t ldc, int first)
{
    for (int i = 0; i < MR; i++) {
        vf s = f_set(0.0F);
        for (int64_t p = 0; p < k; p++)
            s = f_fma(f_set(a[p * MR + i]), f_load(b + p * NR), s);
        float *ci = c + i * ldc;
        f_store(ci, f_add(first ? f_set(0.0F) : f_load(ci), s));
    }
}

static void pack_t(int64_t w, int64_t rows, int64_t k, const float *src, int64_t ld, int negate, float *dst)
{
    const float sign = negate ? -1.0F : 1.0F;
    for (int64_t i = 0; i < w; i++)
        for (int64_t p = 0; p < k; p++)
            dst[p * w + i] = i < rows ? sign * src[i * ld + p] : 0.0F;
}

const struct kern kern_c = {
    .name = "c", .panel = &panel_kern, .mr = MR, .nr = NR, .tile = tile, .pack_t = pack_t, KERN_INIT
};
