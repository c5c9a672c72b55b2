/* bench/kernels.c - rates of the heavy kernels per level and width, with the `blas` row beside them where it is built.
 *   bench_kernels [level|all|fastest] [threads|0] [repeats] [shapes|0]   prints GFLOP/s, the best of `repeats` runs (3). Target bench_kernels. */
#include "kernels/kernels.h"
#include "kernels/compute.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* One thread is measured by the time it had a processor, so that other programs disturb it less; a team by the clock. */
static clockid_t timer = CLOCK_MONOTONIC;
static double now(void)
{
    struct timespec t;
    (void)clock_gettime(timer, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static float *numbers(int64_t n)
{
    float *p = aligned_alloc(64, (size_t)(n + 16) / 16 * 64);
    uint32_t s = 12345;
    if (!p)
        exit(1);
    for (int64_t i = 0; i < n; i++) {
        s = s * 1664525U + 1013904223U;
        p[i] = (float)(s >> 8) * 0x1p-23F - 1.0F;
    }
    return p;
}

struct shape {
    const char *what;
    int64_t m, n, k;
};
/* first those of the walk over bench/run's model, a sequence of 512 tokens at a time, then larger and odd ones */
static const struct shape shapes[] = {
    { "nt", 512, 256, 1024 },   { "nt", 512, 1024, 1024 },     { "nt", 512, 2816, 1024 },
    { "nt", 512, 1024, 2816 },  { "gram", 0, 512, 1024 },      { "gram", 0, 512, 2816 },
    { "chol", 0, 0, 1024 },     { "chol", 0, 0, 2816 },        { "attn", 512, 16, 64 },
    { "nt", 64, 128, 128 },     { "nt", 512, 4096, 4096 },     { "nt", 2048, 2048, 2048 },
    { "nt", 2048, 4096, 4096 }, { "nt", 1, 4096, 4096 },       { "nn", 1024, 2048, 2048 },
    { "nn", 4096, 128, 2048 },  { "cross", 2048, 2048, 2048 }, { "gram", 0, 2048, 2048 },
    { "gram", 0, 2048, 4096 },  { "chol", 0, 0, 512 },         { "chol", 0, 0, 2048 },
    { "chol", 0, 0, 4096 },     { "attn", 512, 32, 128 },      { "attn", 2048, 8, 128 },
};

struct data {
    float *a, *b, *c, *spd;
};
static double flops(const struct shape *s)
{
    double m = (double)s->m, n = (double)s->n, k = (double)s->k;
    switch (s->what[0]) {
    case 'g': return n * k * k;
    case 'a': return 2.0 * m * m * n * k; /* causal half of two products */
    default: return s->what[1] == 'h' ? k * k * k / 3.0 : 2.0 * m * n * k;
    }
}
static void once(const struct compute *by, const struct shape *s, const struct data *d)
{
    if (strcmp(s->what, "nt") == 0)
        by->gemm_nt(s->m, s->n, s->k, d->a, s->k, d->b, s->k, d->c, s->n, 0);
    else if (strcmp(s->what, "nn") == 0)
        by->gemm_nn(s->m, s->n, s->k, d->a, s->k, d->b, s->n, d->c, s->n, 0);
    else if (strcmp(s->what, "cross") == 0)
        by->gram_cross(s->k, s->m, s->n, d->a, s->m, d->b, s->n, d->c, s->n);
    else if (strcmp(s->what, "gram") == 0)
        by->gram(s->n, s->k, d->a, s->k, d->c, s->k);
    else if (strcmp(s->what, "chol") == 0)
        (void)by->cholesky_rrt(s->k, d->c, s->k);
    else {
        struct k_attn p = {
            .t = s->m, .heads = s->n, .kv_heads = s->n / 4, .d = s->k, .dv = s->k, .scale = 0.09F
        };
        k_attention(&p, d->a, s->n * s->k, d->b, s->n / 4 * s->k, d->b + s->m * s->k * s->n / 4,
                    s->n / 4 * s->k, d->c, s->n * s->k, d->spd);
    }
}
/* diagonally dominant: cheap to make, as costly to factor as any */
static void refill(const struct shape *s, const struct data *d)
{
    if (strcmp(s->what, "chol") != 0)
        return;
    memcpy(d->c, d->a, (size_t)(s->k * s->k) * sizeof(float));
    for (int64_t i = 0; i < s->k; i++)
        d->c[i * s->k + i] = 2.0F * (float)s->k;
}
static double rate(const struct compute *by, const struct shape *s, const struct data *d, int repeats)
{
    double best = 1e9;
    for (int r = 0; r < repeats; r++) {
        refill(s, d);
        double t = now();
        once(by, s, d);
        t = now() - t;
        best = t < best ? t : best;
    }
    return flops(s) / best * 1e-9;
}

int main(int argc, char **argv)
{
    static const char *const names[] = { "c", "avx2", "avx512" };
    const char *only = argc > 1 ? argv[1] : "all";
    int threads = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0,
        repeats = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 3;
    timer = threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
    size_t n = argc > 4 ? (size_t)strtoul(argv[4], NULL, 10) : 0;
    n = n && n < sizeof shapes / sizeof *shapes ? n : sizeof shapes / sizeof *shapes;
    struct data d = { numbers(1 << 24), numbers(1 << 24), numbers(1 << 24), numbers(1 << 22) };
    const struct compute *blas = compute_find("blas");
    if (blas)
        printf("blas: %s\n", blas->version());
    if (strcmp(only, "fastest") == 0)
        only = kernels_init(NULL, threads);
    for (int l = 0; l < 3; l++) {
        int all = strcmp(only, "all") == 0;
        if ((!all && strcmp(only, names[l]) != 0) || !kernels_init(names[l], threads))
            continue;
        printf("level %s, %d threads, GFLOP/s\n%-6s %6s %6s %6s %8s %8s\n", kernels_level(),
               kernels_threads(), "what", "m", "n", "k", "exact", "blas");
        for (size_t i = 0; i < n; i++) {
            const struct shape *s = shapes + i;
            if (l == 0 && flops(s) > 3e9)
                continue; /* level c is the definition, not for speed */
            printf("%-6s %6ld %6ld %6ld %8.1f", s->what, (long)s->m, (long)s->n, (long)s->k,
                   rate(compute_find("exact"), s, &d, l == 0 ? 1 : repeats));
            if (blas && strcmp(s->what, "attn") != 0)
                printf(" %8.1f", rate(blas, s, &d, repeats));
            printf("\n");
        }
    }
    free(d.a);
    free(d.b);
    free(d.c);
    free(d.spd);
    return 0;
}
