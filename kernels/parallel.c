/* parallel.c - loops on the pool: k_parallel and the row doors. Work is cut by data, pieces are handed out by a counter; which
 * worker runs a piece never shows in a result. Inside a job every door runs on its caller's thread (no nested teams). */
#include "kernels/dispatch.h"

#include <stdatomic.h>
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

int pool_width(void) { return pool_inside() ? 1 : kernels_threads(); }

struct loop {
    _Atomic int64_t next;
    int64_t n;
    void (*f)(void *arg, int64_t i);
    void *arg;
};
static void loop_work(void *arg, int worker)
{
    struct loop *l = arg;
    (void)worker;
    for (int64_t i; (i = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed)) < l->n;)
        l->f(l->arg, i);
}
void k_parallel(int64_t n, void (*f)(void *arg, int64_t i), void *arg)
{
    struct loop l = { .n = n, .f = f, .arg = arg };
    int width = pool_width();
    if (n < 2 || width < 2) { /* one piece: what it calls may still use the pool */
        for (int64_t i = 0; i < n; i++)
            f(arg, i);
        return;
    }
    pool_team(n < width ? (int)n : width, loop_work, &l);
}

struct ranges {
    const struct rows *j;
    rows_fn *f;
    int64_t n, pieces;
};
static void range(void *arg, int64_t i)
{
    const struct ranges *r = arg;
    r->f(r->j, r->n * i / r->pieces, r->n * (i + 1) / r->pieces);
}
void pool_ranges(const struct rows *j, int64_t n, int64_t grain, rows_fn *f)
{
    int64_t most = 4 * (int64_t)pool_width(), pieces = grain > 0 ? n / grain : n;
    struct ranges r = { .j = j, .f = f, .n = n, .pieces = pieces > most ? most : pieces };
    if (r.pieces < 2)
        f(j, 0, n);
    else
        k_parallel(r.pieces, range, &r);
}
