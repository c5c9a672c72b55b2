/* compute.h - the table of things that can multiply matrices. Row one, `exact`, is kernels.h; row two, `blas`, hands
 * products to a CBLAS and LAPACK found at build time (QPIPE_WITH_BLAS): faster on some machines, not reproducible across
 * them. Everything heavy in model and quant goes through the current row. */
#ifndef QP_KERNELS_COMPUTE_H
#define QP_KERNELS_COMPUTE_H
#include <stdint.h>
struct compute {
    const char *name, *doc;
    int exact; /* 1: the same bits everywhere */
    void (*gemm_nt)(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                    float *c, int64_t ldc, int accumulate);
    void (*gemm_nn)(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                    float *c, int64_t ldc, int accumulate);
    void (*gram)(int64_t n, int64_t k, const float *x, int64_t ldx, float *g, int64_t ldg);
    void (*gram_cross)(int64_t n, int64_t k1, int64_t k2, const float *x, int64_t ldx, const float *y,
                       int64_t ldy, float *c, int64_t ldc);
    int64_t (*cholesky_rrt)(int64_t k, float *h, int64_t ldh);
    const char *(*version)(void); /* library, version, kernel: for the manifest */
};
extern const struct compute *const computes[];        /* ends with NULL; a build without BLAS has one row */
const struct compute *compute_find(const char *name); /* NULL: not in this build */
void compute_use(const struct compute *c);
const struct compute *compute_now(void); /* exact unless compute_use said otherwise */
#endif
