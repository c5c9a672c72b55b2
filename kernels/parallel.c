/* parallel.c - the pool: OpenMP behind k_parallel and the row doors. Work is cut by data; which worker runs a piece never
 * shows in a result. Inside a parallel region every door runs on its caller's thread (no nested teams). */
#include "kernels/dispatch.h"

#include <omp.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* MXCSR: round to nearest, no flush to zero, no denormals are zero, exceptions masked. A thread inherits it from its
 * creator, but a library built with -ffast-math may have changed it since (crtfastmath.o). */
void pool_enter(void)
{
#if defined(__x86_64__)
    if ((_mm_getcsr() & 0xffc0U) != 0x1f80U)
        _mm_setcsr(0x1f80U);
#endif
}

int pool_width(void) { return omp_in_parallel() ? 1 : kernels_threads(); }

int k_worker(void) { return omp_get_thread_num(); }

void k_parallel(int64_t n, void (*f)(void *arg, int64_t i), void *arg)
{
    int width = n < 2 ? 1 : pool_width();
    if (width == 1) {
        for (int64_t i = 0; i < n; i++)
            f(arg, i);
        return;
    }
#pragma omp parallel num_threads(width) default(none) shared(n, f, arg)
    {
        pool_enter();
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < n; i++)
            f(arg, i);
    }
}

void pool_ranges(const struct rows *j, int64_t n, int64_t grain, rows_fn *f)
{
    int width = n <= grain ? 1 : pool_width();
    int64_t pieces = grain > 0 ? n / grain : n;
    pieces = pieces > 4 * (int64_t)width ? 4 * (int64_t)width : pieces;
    if (width == 1 || pieces < 2) {
        f(j, 0, n);
        return;
    }
#pragma omp parallel num_threads(width) default(none) shared(j, n, f, pieces)
    {
        pool_enter();
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < pieces; i++)
            f(j, n * i / pieces, n * (i + 1) / pieces);
    }
}
