/* compute.c - the table of compute.h, and its first row: our own products. */
#include "kernels/compute.h"
#include "kernels/kernels.h"

#include <stddef.h>
#include <string.h>

static const char *exact_version(void)
{
    return "qpipe exact 1";
} /* the number changes with the order of a sum */

static const struct compute exact = {
    .name = "exact",
    .doc = "own kernels: the same bits on every machine, at any number of threads",
    .exact = 1,
    .gemm_nt = k_gemm_nt,
    .gemm_nn = k_gemm_nn,
    .gram = k_gram,
    .gram_cross = k_gram_cross,
    .cholesky_rrt = k_cholesky_rrt,
    .version = exact_version,
};
#ifdef QPIPE_WITH_BLAS
extern const struct compute compute_blas;
#endif
const struct compute *const computes[] = {
    &exact,
#ifdef QPIPE_WITH_BLAS
    &compute_blas,
#endif
    NULL,
};

static const struct compute *current = &exact;

const struct compute *compute_find(const char *name)
{
    for (int i = 0; computes[i]; i++)
        if (strcmp(computes[i]->name, name) == 0)
            return computes[i];
    return NULL;
}
void compute_use(const struct compute *c) { current = c ? c : &exact; }
const struct compute *compute_now(void) { return current; }
