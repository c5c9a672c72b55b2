/* dispatch.h - what one CPU level provides, and the argument structs behind the doors of kernels.h. Inside this room only.
 *
 * A level is one file level_*.c: it includes a simd_*.h (sixteen float32 lanes, sixteen float64 lanes), then
 * rows_tmpl.h, and fills one `struct kern`. Level c is the definition; every member of another level must give the same
 * bits (tests/kernels). To add a member: declare it here, write it in rows_tmpl.h, name it in KERN_INIT. */
#ifndef QP_KERNELS_DISPATCH_H
#define QP_KERNELS_DISPATCH_H
#include "kernels/kernels.h"

/* One job on rows or elements; each function reads the fields that its door in kernels.h has arguments for. */
struct rows {
    int64_t n, d, ldx, ldy;
    const float *x, *w, *b;
    float *y;
    float a, w_offset;
    double eps;
    enum k_act act;
    int64_t heads, head_dim, rot;
    int pairs;
    const float *cos, *sin;
    const int32_t *target;
    double *out64, *lse;
    int32_t *argmax;
};
typedef void rows_fn(const struct rows *j, int64_t begin, int64_t end); /* rows or elements [begin, end) */

/* How a row of attention scores becomes weights. key0: position of s[0]. */
struct soft {
    float scale, softcap, slope, sink;
    int has_sink;
    int64_t key0;
};

enum { TILE_MAX_MR = 14, TILE_MAX_NR = 32, CHOL_INNER = 32 };

struct panel_kern; /* panel.h's doors */
struct kern {
    const char *name;
    const struct panel_kern *panel;
    int mr, nr; /* tile of the product */
    /* c[mr, nr] = (first ? +0 : c) + sum over p < k of a[p*mr + i] * b[p*nr + j]; k <= KERNEL_KBLOCK */
    void (*tile)(int64_t k, const float *a, const float *b, float *c, int64_t ldc, int first);
    /* dst[p*w + i] = src(i, p), zero for i >= rows; pack_t: src[i*ld + p], pack_n: src[p*ld + i]; negate flips signs.
     * May write up to 16 floats past dst[k*w]. */
    void (*pack_t)(int64_t w, int64_t rows, int64_t k, const float *src, int64_t ld, int negate, float *dst);
    void (*pack_n)(int64_t w, int64_t rows, int64_t k, const float *src, int64_t ld, int negate, float *dst);
    /* n rows h[r*ld .. +nb) become x with x * r^T = h, r upper triangular [nb, nb]: see cholesky.c */
    void (*solve)(int64_t n, int64_t nb, float *h, int64_t ldh, const float *r, int64_t ldr);
    /* r * r^T = h [nb, nb], nb <= CHOL_INNER, upper triangle (the lower may be read and rewritten as it was); returns 0, or
     * 1 + the column whose pivot fails */
    int64_t (*factor)(int64_t nb, float *h, int64_t ldh);
    rows_fn *rmsnorm, *layernorm, *add_bias, *axpy, *mul, *act, *rope, *logprob, *kl;
    float (*softmax)(const struct soft *p, int64_t n,
                     float *s); /* s = exp(score - max) in place; returns their sum */
    float (*dot)(int64_t n, const float *x, const float *y);
    double (*dot64)(int64_t n, const float *x, const float *y);
    void (*minmax)(int64_t n, const float *x, float *min, float *max);
    int (*all_finite)(int64_t n, const float *x);
};
struct k_number;
struct k_panel;
struct k_descent;
struct panel_kern {
    void (*round_each)(const struct k_number *m, int64_t n, const float *x, const float *scale,
                       const float *zero, int8_t *code, float *q);
    void (*terms)(const struct k_panel *p, int64_t a, int64_t b, int64_t from, int64_t to);
    void (*round)(const struct k_number *m, const struct k_panel *p, int64_t from, int64_t to);
    void (*cost)(const struct k_panel *p, int64_t from, int64_t to, float *cost);
    void (*sums)(const struct k_panel *p, int64_t n, double *error, double *weight, double *peer);
    float (*cell_error)(const struct k_number *m, int64_t n, const float *x, const float *weight, float scale,
                        float zero);
    void (*descend)(const struct k_number *m, const struct k_descent *d);
};
extern const struct kern kern_c;
#if defined(__x86_64__)
extern const struct kern kern_avx2, kern_avx512;
#endif
const struct kern *kern_now(void);

/* A product as gemm.c runs it: c[m, n] (+)= sum over p of a(i, p) * b(j, p). */
enum tri { TRI_FULL, TRI_LOWER, TRI_UPPER }; /* which elements of c are touched: all, j <= i, j >= i */
struct gemm {
    int64_t m, n, k;
    const float *a, *b;
    int64_t lda, ldb;
    int a_by_k, b_by_k; /* 0: a[i*lda + p]; 1: a[p*lda + i] */
    float *c;
    int64_t ldc;
    int accumulate, negate; /* negate: every product enters with the other sign */
    enum tri tri;
};
void gemm_run(const struct gemm *g);   /* on the pool when it is worth it */
void gemm_alone(const struct gemm *g); /* on the calling thread only */
void gemm_scratch(
    void); /* allocates the calling thread's packing buffer now instead of at its first product */

/* The pool: pool_threads.c or pool_openmp.c. f runs once on each of up to `width` threads, at least on the caller's; pieces of
 * work are handed out by a counter, so that any number of them finishes the job. Inside a job pool_team is a plain call. */
typedef void team_fn(void *arg, int worker);
void pool_team(int width, team_fn *f, void *arg);
int pool_inside(void); /* this thread works on a job now */
void pool_enter(void); /* first act of every worker: IEEE rounding, no FTZ or DAZ */

int pool_width(void); /* threads a loop may start here: 1 inside a job */
/* Runs f over [0, n) in pieces of at least `grain`, on the pool. */
void pool_ranges(const struct rows *j, int64_t n, int64_t grain, rows_fn *f);
#endif
