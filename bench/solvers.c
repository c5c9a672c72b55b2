/* bench/solvers.c - CPU time of what GPTQModifier's presets do to one matrix, against plain GPTQ with its factorization.
 *   bench_solvers [rows] [cols] [bits] [repeats] [name]   CPU seconds of one thread (least of `repeats`) and ratios; a name:
 * that row alone, or `rates`. First the rate of products (512 x cols x cols) and what part of it plain GPTQ's solve reaches, counted
 * as rows cols^2 FLOP; the goal is 50 % on 4096 x 4096 and on 11008 x 4096. */
#include "base/mem.h"
#include "kernels/compute.h"
#include "kernels/kernels.h"
#include "quant/observer.h"
#include "quant/solver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct run {
    const char *name;
    struct solve_options o;
};
static const struct run runs[] = {
    { "none", { .dampening_frac = 0.01 } },
    { "quick", { .damp_mode = DAMP_QUICK } },
    { "importance", { .dampening_frac = 0.01, .scale_search = SCALES_IMPORTANCE } },
    { "fast", { .damp_mode = DAMP_QUICK, .scale_search = SCALES_IMPORTANCE } },
    { "feedback", { .dampening_frac = 0.01, .scale_search = SCALES_FEEDBACK } },
    { "sweep", { .dampening_frac = 0.01, .sweeps = 1 } },
    { "best", { .damp_mode = DAMP_QUICK, .scale_search = SCALES_FEEDBACK, .refit = 1, .sweeps = 3 } },
};

static float *numbers(int64_t n, float scale)
{
    float *p = mem_big((size_t)n, sizeof *p, NULL);
    uint32_t s = 12345;
    if (!p)
        exit(1);
    for (int64_t i = 0; i < n; i++) {
        s = s * 1664525U + 1013904223U;
        p[i] = ((float)(s >> 8) * 0x1p-23F - 1.0F) * scale;
    }
    return p;
}

static void must(int rc, const struct err *e)
{
    if (rc) {
        fprintf(stderr, "%s\n", e->what);
        exit(1);
    }
}

/* All that a module of a group of its own costs: damping, factorization, observer, solver. */
static double once(const struct run *r, const struct gram *g, const struct quant_args *a, const float *w,
                   float *copy, int64_t rows)
{
    struct err e = { 0 };
    struct grid_layout l;
    const struct grid_layout *ls[] = { &l };
    const struct observer *ob = observer_find("memoryless_minmax");
    struct observer_params p = { 0 };
    struct factor f;
    struct tune t = { 0 };
    struct qtensor q;
    struct solve_options o = r->o;
    double frac = o.dampening_frac;
    o.block_size = 128;
    must(layout_init(&l, a, rows, g->k, DT_BF16, &e) || qtensor_init(&q, &l, &e), &e);
    memcpy(copy, w, (size_t)(rows * g->k) * sizeof *w);
    clock_t from = clock();
    if (o.damp_mode == DAMP_QUICK)
        must(damp_quick(g, ACTORDER_STATIC, &w, ls, 1, &frac, &e), &e);
    must(factor_init(&f, g, ACTORDER_STATIC, frac, &e), &e);
    must(ob->fit(&p, copy, NULL, &q, &e), &e);
    if (tune_wanted(&o))
        must(tune_init(&t, &o, &l, &f, g, &e) || tune_solve(&o, &t, &f, g, copy, &q, NULL, &e), &e);
    else
        must(solver_find("gptq")->solve(&o, &f, NULL, copy, &q, NULL, &e), &e);
    double s = (double)(clock() - from) / CLOCKS_PER_SEC;
    tune_release(&t);
    factor_release(&f);
    qtensor_release(&q);
    return s;
}

/* GFLOP/s of A B^T, 512 x k x k, and of GPTQ's solve alone: least of `repeats`. */
static void print_rates(const struct gram *g, const struct quant_args *a, const float *x, const float *w,
                        float *copy, int64_t rows, int repeats)
{
    struct err e = { 0 };
    struct grid_layout l;
    struct observer_params p = { 0 };
    struct factor f;
    struct qtensor q;
    struct solve_options o = { .block_size = 128 };
    double k = (double)g->k, product = 1e30, solve = 1e30;
    float *c = numbers(512 * g->k, 0.0f);
    must(layout_init(&l, a, rows, g->k, DT_BF16, &e) || qtensor_init(&q, &l, &e) ||
             factor_init(&f, g, ACTORDER_STATIC, 0.01, &e) ||
             observer_find("memoryless_minmax")->fit(&p, w, NULL, &q, &e),
         &e);
    for (int i = 0; i < repeats; i++) {
        clock_t from = clock();
        compute_now()->gemm_nt(512, g->k, g->k, x, g->k, g->sum, g->k, c, g->k, 0);
        double s = (double)(clock() - from) / CLOCKS_PER_SEC;
        product = s < product ? s : product;
        memcpy(copy, w, (size_t)(rows * g->k) * sizeof *w);
        from = clock();
        must(solver_find("gptq")->solve(&o, &f, NULL, copy, &q, NULL, &e), &e);
        s = (double)(clock() - from) / CLOCKS_PER_SEC;
        solve = s < solve ? s : solve;
    }
    double rate = 2 * 512 * k * k / product / 1e9, reached = (double)rows * k * k / solve / 1e9;
    printf("products %.1f GFLOP/s, solve %.1f GFLOP/s: %.0f %% (goal 50 %%)\n", rate, reached,
           100 * reached / rate);
    mem_free(c);
    factor_release(&f);
    qtensor_release(&q);
}

int main(int argc, char **argv)
{
    int64_t rows = argc > 1 ? strtoll(argv[1], NULL, 10) : 4096,
            k = argc > 2 ? strtoll(argv[2], NULL, 10) : 4096, n = 2 * k;
    struct quant_args a;
    struct gram g;
    struct err e = { 0 };
    int repeats = argc > 4 ? (int)strtol(argv[4], NULL, 10) : 3;
    quant_args_default(&a);
    a.num_bits = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 4;
    a.type = QUANT_INT;
    a.symmetric = true;
    a.strategy = STRATEGY_GROUP;
    a.group_size = 128;
    printf("%lld x %lld, %d bits, groups of 128, level %s\n", (long long)rows, (long long)k, a.num_bits,
           kernels_init(NULL, 1));
    float *x = numbers(n * k, 1.0f), *w = numbers(rows * k, 0.05f), *copy = numbers(rows * k, 0.0f);
    must(gram_init(&g, k, 2, 1, &e) || gram_add(&g, 0, x, n / 2, k, &e) ||
             gram_add(&g, 1, x + n / 2 * k, n / 2, k, &e) || gram_finish(&g, &e),
         &e);
    const char *only = argc > 5 ? argv[5] : NULL;
    if (!only || !strcmp(only, "rates"))
        print_rates(&g, &a, x, w, copy, rows, repeats);
    double plain = 0;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        double least = 1e30;
        if (only && strcmp(runs[i].name, only) != 0)
            continue;
        for (int j = 0; j < repeats; j++) {
            double s = once(&runs[i], &g, &a, w, copy, rows);
            least = s < least ? s : least;
        }
        plain = plain > 0 ? plain : least;
        printf("%-12s %8.3f s  %5.2f\n", runs[i].name, least, least / plain);
        fflush(stdout);
    }
    gram_release(&g);
    mem_free(x);
    mem_free(w);
    mem_free(copy);
    return 0;
}
