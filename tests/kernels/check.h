/* check.h - what the tests of this room share: numbers, guarded buffers, walking over levels and widths. The level "c" is the
 * reference of the others; a level that the CPU lacks is skipped by name. */
#ifndef QP_TESTS_KERNELS_CHECK_H
#define QP_TESTS_KERNELS_CHECK_H
#include "kernels/kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const level_names[] = { "c", "avx2", "avx512" };
static const int widths[] = { 1, 2, 3, 7 };
enum { LEVELS = 3, WIDTHS = 4, GUARD = 32 };
#define GUARD_VALUE 123456.78F

/* 1 when the level is there and now in use */
static inline int level_use(int l, int threads)
{
    if (kernels_init(level_names[l], threads))
        return 1;
    static int said[LEVELS];
    if (!said[l]++)
        print_message("skipped: level %s is not on this CPU\n", level_names[l]);
    return 0;
}

static inline uint32_t next_random(uint32_t *s) { return *s = *s * 1664525U + 1013904223U; }
static inline float uniform(uint32_t *s) { return (float)(next_random(s) >> 8) * 0x1p-23F - 1.0F; }

/* n floats in [-1, 1) with GUARD guard values on either side; `odd` floats off alignment */
static inline float *guarded(int64_t n, int odd, uint32_t seed)
{
    float *p = malloc((size_t)(n + 2 * GUARD + 16) * sizeof *p);
    assert_non_null(p);
    for (int64_t i = 0; i < n + 2 * GUARD + 16; i++)
        p[i] = GUARD_VALUE;
    p += GUARD + odd;
    for (int64_t i = 0; i < n; i++)
        p[i] = uniform(&seed);
    return p;
}
static inline void guarded_check(const float *p, int64_t n)
{
    for (int64_t i = 1; i <= GUARD; i++) {
        assert_true(p[-i] == GUARD_VALUE);
        assert_true(p[n + i - 1] == GUARD_VALUE);
    }
}
static inline void guarded_free(float *p, int odd) { free(p - GUARD - odd); }

/* Same bits; any NaN equals any NaN (payload and sign of a NaN depend on operand order and are not promised). */
static inline int same_f(const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, 4) != 0 && !(a[i] != a[i] && b[i] != b[i])) {
            print_message("element %ld: %a %a\n", (long)i, (double)a[i], (double)b[i]);
            return 0;
        }
    return 1;
}
static inline int same_d(const double *a, const double *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, 8) != 0 && !(a[i] != a[i] && b[i] != b[i])) {
            print_message("element %ld: %a %a\n", (long)i, a[i], b[i]);
            return 0;
        }
    return 1;
}
/* values where shortcuts show: signed zeros, subnormals, huge, tiny; infinities and NaN when `wild` */
static inline void season(float *p, int64_t n, int wild, uint32_t seed)
{
    static const float odd[] = { 0.0F,   -0.0F,   1e-42F,   -1e-42F,   3e38F, -3e38F,
                                 1e-38F, -1e-30F, INFINITY, -INFINITY, NAN };
    uint32_t count = wild ? 11 : 8;
    for (int64_t i = 0; i < n; i++)
        if (next_random(&seed) >> 28 == 0)
            p[i] = odd[(next_random(&seed) >> 8) % count];
}
#endif
