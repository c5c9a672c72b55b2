/* compute_blas.c - the row `blas`: products by the CBLAS and LAPACK that this build found. The library runs on one thread per
 * call (its own threads spin while they wait, and change results from call to call); row blocks go to our pool instead.
 * Results depend on the library, its version, its kernel and the shapes: the manifest names them (version). */
#include "kernels/compute.h"
#include "kernels/kernels.h"

#include <cblas.h>
#include <dlfcn.h>
#include <stdio.h>

void spotrf_(const char *uplo, const int *n, float *a, const int *lda, int *info); /* LAPACK, Fortran */

/* OpenBLAS only; looked up at run time, since any CBLAS may stand behind the soname */
static void one_thread(void)
{
    void (*set)(int) = NULL;
    *(void **)&set = dlsym(RTLD_DEFAULT, "openblas_set_num_threads");
    if (set)
        set(1);
}
static const char *blas_version(void)
{
    static char text[256];
    const char *(*config)(void) = NULL, *(*core)(void) = NULL;
    *(void **)&config = dlsym(RTLD_DEFAULT, "openblas_get_config");
    *(void **)&core = dlsym(RTLD_DEFAULT, "openblas_get_corename");
    if (!config)
        return "cblas (unknown library)";
    (void)snprintf(text, sizeof text, "%s, kernel %s", config(), core ? core() : "?");
    return text;
}

enum { ROWS = 256 };
struct job {
    int trans_a, trans_b, tri;
    int64_t m, n, k, lda, ldb, ldc;
    const float *a, *b;
    float *c, beta;
};
static void row_block(void *arg, int64_t i)
{
    const struct job *j = arg;
    int64_t i0 = i * ROWS, rows = j->m - i0 < ROWS ? j->m - i0 : ROWS, n = j->tri ? i0 : j->n;
    const float *a = j->a + (j->trans_a ? i0 : i0 * j->lda);
    float *c = j->c + i0 * j->ldc;
    if (n > 0)
        cblas_sgemm(CblasRowMajor, j->trans_a ? CblasTrans : CblasNoTrans,
                    j->trans_b ? CblasTrans : CblasNoTrans, (int)rows, (int)n, (int)j->k, 1.0F, a,
                    (int)j->lda, j->b, (int)j->ldb, j->beta, c, (int)j->ldc);
    if (j->tri)
        cblas_ssyrk(CblasRowMajor, CblasLower, CblasTrans, (int)rows, (int)j->k, 1.0F, a, (int)j->lda,
                    j->beta, c + i0, (int)j->ldc);
}
static void run(struct job *j)
{
    one_thread();
    k_parallel((j->m + ROWS - 1) / ROWS, row_block, j);
}
static void blas_nt(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                    float *c, int64_t ldc, int accumulate)
{
    run(&(struct job){ 0, 1, 0, m, n, k, lda, ldb, ldc, a, b, c, accumulate ? 1.0F : 0.0F });
}
static void blas_nn(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                    float *c, int64_t ldc, int accumulate)
{
    run(&(struct job){ 0, 0, 0, m, n, k, lda, ldb, ldc, a, b, c, accumulate ? 1.0F : 0.0F });
}
static void blas_gram(int64_t n, int64_t k, const float *x, int64_t ldx, float *g, int64_t ldg)
{
    run(&(struct job){ 1, 0, 1, k, k, n, ldx, ldx, ldg, x, x, g, 1.0F });
}
static void blas_cross(int64_t n, int64_t k1, int64_t k2, const float *x, int64_t ldx, const float *y,
                       int64_t ldy, float *c, int64_t ldc)
{
    run(&(struct job){ 1, 0, 0, k1, k2, n, ldx, ldy, ldc, x, y, c, 1.0F });
}

static void swap(float *a, float *b)
{
    float t = *a;
    *a = *b;
    *b = t;
}
/* H with both axes reversed goes into the upper triangle; row-major upper is LAPACK's column-major lower, so spotrf leaves L
 * with H' = L L^T as U(j, i) = L(i, j); R(i, j) = L(k-1-i, k-1-j) is U mirrored on its other diagonal. No scratch. */
static int64_t blas_cholesky(int64_t k, float *h, int64_t ldh)
{
    int n = (int)k, ld = (int)ldh, info = 0;
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < i; j++)
            h[(k - 1 - i) * ldh + (k - 1 - j)] = h[i * ldh + j];
    for (int64_t i = 0; i < k / 2; i++)
        swap(h + i * ldh + i, h + (k - 1 - i) * ldh + (k - 1 - i));
    one_thread();
    spotrf_("L", &n, h, &ld, &info);
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = i; j < k - 1 - i; j++)
            swap(h + i * ldh + j, h + (k - 1 - j) * ldh + (k - 1 - i));
    for (int64_t i = 0; info == 0 && i < k; i++) /* an infinite pivot passes spotrf */
        if (!(h[i * ldh + i] > 0.0F && h[i * ldh + i] < __builtin_inff()))
            return k - i;
    return info;
}

extern const struct compute compute_blas;
const struct compute compute_blas = {
    .name = "blas",
    .doc = "CBLAS and LAPACK of this machine: not the same bits elsewhere",
    .exact = 0,
    .gemm_nt = blas_nt,
    .gemm_nn = blas_nn,
    .gram = blas_gram,
    .gram_cross = blas_cross,
    .cholesky_rrt = blas_cholesky,
    .version = blas_version,
};
