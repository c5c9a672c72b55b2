/* gemm.c - matrix products: packing, cache blocks, threads. The order of sums is that of kernels.h: k runs in blocks of
 * KERNEL_KBLOCK in ascending order for every element of c, so blocking over m, n and threads cannot show in a bit. One pass
 * over k holds PASS of them: c is read and written once per block, but from the cache after the first.
 *
 * Scratch: one packing buffer per thread, mapped by kernels_init for the pool and at the first product of any other thread,
 * unmapped when the thread ends. Pages (7 MiB at most) come when they are touched. Where mmap fails, a small buffer on the
 * stack does the same work slower. Not from base/mem.h: which thread comes first is chance, and counted allocations are not. */
#include "kernels/dispatch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

enum {
    PASS = 2 * KERNEL_KBLOCK,
    ROWS_MAX = 336,    /* rows of a in one packed block: 672 KiB, a part of a level 2 cache */
    COLS_MAX = 3072,   /* columns of b packed at once on the pool: 6 MiB, shared, level 3 */
    COLS_ALONE = 1024, /* the same when every thread has its own */
    ROWS_BY_K = 8,     /* see pack */
    SLACK = 16,        /* what pack_t may write past its end */
    OWN_A = PASS * (ROWS_MAX + TILE_MAX_MR) + SLACK,
    OWN_B = PASS * (COLS_MAX + TILE_MAX_NR) + SLACK,
};
static const double POOL_FLOPS = 6e6; /* below, waking the pool costs more than it brings (5 to 50 us) */

struct buffers {
    float *a, *b;
    int64_t rows, cols; /* room of a and b */
};

static const size_t OWN_BYTES = ((size_t)OWN_A + OWN_B) * sizeof(float);
static _Thread_local float *own;
static pthread_key_t own_key;
static pthread_once_t own_once = PTHREAD_ONCE_INIT;
static void own_drop(void *p) { (void)munmap(p, OWN_BYTES); }
static void own_make(void) { (void)pthread_key_create(&own_key, own_drop); }

static struct buffers buffers_own(void)
{
    if (!own) {
        void *p = mmap(NULL, OWN_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return (struct buffers){ 0 };
        (void)pthread_once(&own_once, own_make);
        (void)pthread_setspecific(own_key, p);
        own = p;
    }
    return (struct buffers){ own, own + OWN_A, ROWS_MAX, COLS_MAX };
}
void gemm_scratch(void) { (void)buffers_own(); }

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

/* Panels of `w` rows or columns [begin, end) of an operand, steps [p0, p0 + kc) of k. An operand that lies by k is read row by
 * row, a few rows for all panels, then the next few: panel by panel each line would come from memory again and again. */
static void pack(const struct kern *kern, const float *src, int64_t ld, int by_k, int64_t w, int64_t begin,
                 int64_t end, int64_t p0, int64_t kc, int negate, float *dst)
{
    int64_t step = by_k ? ROWS_BY_K : kc;
    for (int64_t p = 0; p < kc; p += step)
        for (int64_t i = begin; i < end; i += w) {
            float *to = dst + (i - begin) * kc + p * w;
            if (by_k)
                kern->pack_n(w, min64(w, end - i), min64(step, kc - p), src + (p0 + p) * ld + i, ld, negate,
                             to);
            else
                kern->pack_t(w, min64(w, end - i), kc, src + i * ld + p0, ld, negate, to);
        }
}

/* One tile of c at (i, j) over the blocks of one pass. */
static void tile_blocks(const struct kern *kern, int64_t kc, const float *a, const float *b, float *c,
                        int64_t ldc, int first)
{
    for (int64_t p = 0; p < kc; p += KERNEL_KBLOCK)
        kern->tile(min64(KERNEL_KBLOCK, kc - p), a + p * kern->mr, b + p * kern->nr, c, ldc, first && p == 0);
}
/* The same where the tile leaves the matrix or crosses the diagonal: on a copy, of which only valid elements return. */
static void tile_edge(const struct kern *kern, const struct gemm *g, int64_t i, int64_t j, int64_t kc,
                      const float *a, const float *b, int first)
{
    float t[TILE_MAX_MR * TILE_MAX_NR];
    int64_t rows = min64(kern->mr, g->m - i), cols = min64(kern->nr, g->n - j);
    memset(t, 0, sizeof t);
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t r = 0; r < rows; r++) {
            int64_t from = g->tri == TRI_UPPER && i + r > j ? min64(cols, i + r - j) : 0;
            int64_t to = g->tri == TRI_LOWER && i + r < j + cols ? i + r - j + 1 : cols;
            float *c = g->c + (i + r) * g->ldc + j, *tr = t + r * kern->nr;
            if (to <= from)
                continue;
            if (pass == 0 && !first)
                memcpy(tr + from, c + from, (size_t)(to - from) * sizeof *c);
            if (pass == 1)
                memcpy(c + from, tr + from, (size_t)(to - from) * sizeof *c);
        }
        if (pass == 0)
            tile_blocks(kern, kc, a, b, t, kern->nr, first);
    }
}

/* All tiles of rows [i0, i1) and columns [j0, j1) from packed panels. */
static void tiles(const struct kern *kern, const struct gemm *g, int64_t i0, int64_t i1, int64_t j0,
                  int64_t j1, int64_t kc, const float *a, const float *b, int first)
{
    for (int64_t j = j0; j < j1; j += kern->nr)
        for (int64_t i = i0; i < i1; i += kern->mr) {
            int64_t ie = i + kern->mr, je = j + kern->nr;
            if ((g->tri == TRI_LOWER && ie <= j) || (g->tri == TRI_UPPER && je <= i))
                continue;
            const float *pa = a + (i - i0) * kc, *pb = b + (j - j0) * kc;
            int inside = ie <= g->m && je <= g->n && !(g->tri == TRI_LOWER && i < je - 1) &&
                         !(g->tri == TRI_UPPER && j < ie - 1);
            if (inside)
                tile_blocks(kern, kc, pa, pb, g->c + i * g->ldc + j, g->ldc, first);
            else
                tile_edge(kern, g, i, j, kc, pa, pb, first);
        }
}
static int outside(const struct gemm *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1)
{
    return (g->tri == TRI_LOWER && i1 <= j0) || (g->tri == TRI_UPPER && j1 <= i0);
}

static void clear(const struct gemm *g)
{
    for (int64_t i = 0; i < g->m; i++) {
        int64_t from = g->tri == TRI_UPPER ? min64(i, g->n) : 0,
                to = g->tri == TRI_LOWER ? min64(i + 1, g->n) : g->n;
        if (to > from)
            memset(g->c + i * g->ldc + from, 0, (size_t)(to - from) * sizeof(float));
    }
}

static void alone_in(const struct gemm *g, struct buffers buf)
{
    const struct kern *kern = kern_now();
    for (int64_t j0 = 0; j0 < g->n; j0 += buf.cols)
        for (int64_t p = 0; p < g->k; p += PASS) {
            int64_t kc = min64(PASS, g->k - p), j1 = min64(j0 + buf.cols, g->n);
            pack(kern, g->b, g->ldb, g->b_by_k, kern->nr, j0, j1, p, kc, 0, buf.b);
            for (int64_t i0 = 0; i0 < g->m; i0 += buf.rows) {
                int64_t i1 = min64(i0 + buf.rows, g->m);
                if (outside(g, i0, i1, j0, j1))
                    continue;
                pack(kern, g->a, g->lda, g->a_by_k, kern->mr, i0, i1, p, kc, g->negate, buf.a);
                tiles(kern, g, i0, i1, j0, j1, kc, buf.a, buf.b, p == 0 && !g->accumulate);
            }
        }
}
static void alone_small(const struct gemm *g)
{
    float a[PASS * TILE_MAX_MR + SLACK], b[PASS * TILE_MAX_NR + SLACK];
    alone_in(g, (struct buffers){ a, b, kern_now()->mr, kern_now()->nr });
}
void gemm_alone(const struct gemm *g)
{
    struct buffers buf = buffers_own();
    if (g->m <= 0 || g->n <= 0)
        return;
    if (g->k <= 0 && !g->accumulate)
        clear(g);
    if (!buf.a) {
        alone_small(g);
        return;
    }
    buf.rows = ROWS_MAX / kern_now()->mr * kern_now()->mr;
    buf.cols = COLS_ALONE;
    alone_in(g, buf);
}

/* How one pass over k is cut for a team: rows by columns of c, none of which shares an element with another. */
struct cut {
    const struct gemm *g;
    const struct kern *kern;
    float *b; /* packed by all, read by all */
    int64_t j0, j1, p, kc;
    int64_t rows, cols; /* of one piece, multiples of mr, nr */
    int64_t n_rows, n_cols, n_panels;
    _Atomic int64_t panel, piece; /* next to be handed out */
};
static void cut_pieces(struct cut *c, int width)
{
    int64_t most = ROWS_MAX / c->kern->mr * c->kern->mr, want = 4 * (int64_t)width;
    int64_t n = (c->g->m + most - 1) / most;
    c->rows = up((c->g->m + n - 1) / n, c->kern->mr);
    c->n_rows = (c->g->m + c->rows - 1) / c->rows;
    int64_t parts = (want + c->n_rows - 1) / c->n_rows, all = c->j1 - c->j0;
    c->cols = up((all + parts - 1) / parts, c->kern->nr);
    c->n_cols = (all + c->cols - 1) / c->cols;
}
/* Pieces of one row block follow one another: a worker that gets several packs a once (`last` is the block it holds). Without
 * its own buffer it packs mr rows at a time into `small`. */
static void piece(const struct cut *c, int64_t it, float *a, float *small, int64_t *last)
{
    /* a lower triangle has its longest rows at the end: they come first, so that the team ends together */
    int64_t r = c->g->tri == TRI_LOWER ? c->n_rows - 1 - it / c->n_cols : it / c->n_cols, i0 = r * c->rows,
            i1 = min64(i0 + c->rows, c->g->m);
    int64_t j0 = c->j0 + it % c->n_cols * c->cols, j1 = min64(j0 + c->cols, c->j1);
    if (outside(c->g, i0, i1, j0, j1))
        return;
    for (int64_t i = i0; !a && i < i1; i += c->kern->mr) {
        pack(c->kern, c->g->a, c->g->lda, c->g->a_by_k, c->kern->mr, i, min64(i + c->kern->mr, i1), c->p,
             c->kc, c->g->negate, small);
        tiles(c->kern, c->g, i, min64(i + c->kern->mr, i1), j0, j1, c->kc, small, c->b + (j0 - c->j0) * c->kc,
              c->p == 0 && !c->g->accumulate);
    }
    if (!a)
        return;
    if (*last != r)
        pack(c->kern, c->g->a, c->g->lda, c->g->a_by_k, c->kern->mr, i0, i1, c->p, c->kc, c->g->negate, a);
    *last = r;
    tiles(c->kern, c->g, i0, i1, j0, j1, c->kc, a, c->b + (j0 - c->j0) * c->kc,
          c->p == 0 && !c->g->accumulate);
}
static void pack_panel(const struct cut *c, int64_t i)
{
    int64_t nr = c->kern->nr, j = c->j0 + i * nr;
    pack(c->kern, c->g->b, c->g->ldb, c->g->b_by_k, nr, j, min64(j + nr, c->j1), c->p, c->kc, 0,
         c->b + i * nr * c->kc);
}
static void pack_team(void *arg, int worker)
{
    struct cut *c = arg;
    (void)worker;
    for (int64_t i; (i = atomic_fetch_add_explicit(&c->panel, 4, memory_order_relaxed)) < c->n_panels;)
        for (int64_t e = min64(i + 4, c->n_panels); i < e; i++)
            pack_panel(c, i);
}
static void piece_team(void *arg, int worker)
{
    struct cut *c = arg;
    struct buffers buf = buffers_own();
    float small[PASS * TILE_MAX_MR + SLACK];
    int64_t last = -1;
    (void)worker;
    for (int64_t i;
         (i = atomic_fetch_add_explicit(&c->piece, 1, memory_order_relaxed)) < c->n_rows * c->n_cols;)
        piece(c, i, buf.a, small, &last);
}
static void pass_on_pool(struct cut *c, int width)
{
    c->n_panels = (c->j1 - c->j0 + c->kern->nr - 1) / c->kern->nr;
    atomic_init(&c->panel, 0);
    atomic_init(&c->piece, 0);
    pool_team(width, pack_team, c);
    pool_team(width, piece_team, c);
}

void gemm_run(const struct gemm *g)
{
    struct cut c = { .g = g, .kern = kern_now() };
    int width = pool_width();
    if (width > 1 && 2.0 * (double)g->m * (double)g->n * (double)g->k >= POOL_FLOPS)
        c.b = buffers_own().b;
    if (!c.b) {
        gemm_alone(g);
        return;
    }
    for (c.j0 = 0; c.j0 < g->n; c.j0 = c.j1) {
        c.j1 = min64(c.j0 + COLS_MAX, g->n);
        cut_pieces(&c, width);
        for (c.p = 0; c.p < g->k; c.p += PASS) {
            c.kc = min64(PASS, g->k - c.p);
            pass_on_pool(&c, width);
        }
    }
}

void k_gemm_nt(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
               float *c, int64_t ldc, int accumulate)
{
    gemm_run(&(struct gemm){ .m = m,
                             .n = n,
                             .k = k,
                             .a = a,
                             .lda = lda,
                             .b = b,
                             .ldb = ldb,
                             .c = c,
                             .ldc = ldc,
                             .accumulate = accumulate });
}
void k_gemm_nn(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
               float *c, int64_t ldc, int accumulate)
{
    gemm_run(&(struct gemm){ .m = m,
                             .n = n,
                             .k = k,
                             .a = a,
                             .lda = lda,
                             .b = b,
                             .ldb = ldb,
                             .b_by_k = 1,
                             .c = c,
                             .ldc = ldc,
                             .accumulate = accumulate });
}
void k_gram(int64_t n, int64_t k, const float *x, int64_t ldx, float *g, int64_t ldg)
{
    gemm_run(&(struct gemm){ .m = k,
                             .n = k,
                             .k = n,
                             .a = x,
                             .lda = ldx,
                             .a_by_k = 1,
                             .b = x,
                             .ldb = ldx,
                             .b_by_k = 1,
                             .c = g,
                             .ldc = ldg,
                             .accumulate = 1,
                             .tri = TRI_LOWER });
}
void k_gram_cross(int64_t n, int64_t k1, int64_t k2, const float *x, int64_t ldx, const float *y, int64_t ldy,
                  float *c, int64_t ldc)
{
    gemm_run(&(struct gemm){ .m = k1,
                             .n = k2,
                             .k = n,
                             .a = x,
                             .lda = ldx,
                             .a_by_k = 1,
                             .b = y,
                             .ldb = ldy,
                             .b_by_k = 1,
                             .c = c,
                             .ldc = ldc,
                             .accumulate = 1 });
}
