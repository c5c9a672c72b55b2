/* loss.c - tr(E H E^T) from the lower triangle of H: for each block of 128 columns J, twice E_J against E times the part
 * of H below the diagonal block, once against the diagonal block made symmetric. m k^2 multiply-adds, half of E H.
 * Products are float32 (the compute table), what is summed over columns and rows is float64: row by row, so that the
 * result depends neither on threads nor on how many rows share a product. */
#include "base/mem.h"
#include "kernels/compute.h"
#include "kernels/kernels.h"
#include "quant/inner.h"
#include "quant/solver.h"

enum { BLOCK = 128, FEW = 32 };

struct panel {
    const float *e; /* rows of E */
    const float *p; /* [rows, BLOCK]: 2 E H_below + E H_block */
    int64_t k, from, n;
    double *sum; /* [rows] */
};

static void add_products(void *arg, int64_t r)
{
    const struct panel *a = arg;
    a->sum[r] += k_dot64(a->n, a->e + r * a->k + a->from, a->p + r * BLOCK);
}

/* d = the block at `from` made symmetric, halved: the product below it then counts once and all is doubled. */
static void diagonal_block(int64_t k, const float *h, int64_t from, int64_t n, float *d)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++)
            d[i * BLOCK + j] = d[j * BLOCK + i] = h[(from + i) * k + from + j] * 0.5f;
}

/* rows of E at a time: p [rows, BLOCK], sum [rows], d [BLOCK, BLOCK] are scratch. */
static void panel_error(int64_t k, const float *h, struct panel *a, int64_t rows, float *p, float *d)
{
    for (int64_t r = 0; r < rows; r++)
        a->sum[r] = 0;
    for (a->from = 0; a->from < k; a->from += BLOCK) {
        int64_t from = a->from, end = from + BLOCK < k ? from + BLOCK : k;
        a->n = end - from;
        diagonal_block(k, h, from, a->n, d);
        compute_now()->gemm_nn(rows, a->n, a->n, a->e + from, k, d, BLOCK, p, BLOCK, 0);
        if (end < k)
            compute_now()->gemm_nn(rows, a->n, k - end, a->e + end, k, h + end * k + from, k, p, BLOCK, 1);
        k_parallel(rows, add_products, a);
    }
}

/* Half the loss of each row to sum. Memory for all rows at once is a matter of speed: without it, 32 rows at a time give
 * the same bits. */
static void half_errors(int64_t k, const float *h, const float *e, int64_t rows, double *sum)
{
    float d[BLOCK * BLOCK], few[FEW * BLOCK];
    float *p = mem_big((size_t)rows * BLOCK, sizeof *p, NULL);
    int64_t step = p ? rows : FEW;
    for (int64_t at = 0; at < rows; at += step) {
        int64_t n = rows - at < step ? rows - at : step;
        struct panel a = { .e = e + at * k, .k = k, .p = p ? p : few, .sum = sum + at };
        panel_error(k, h, &a, n, p ? p : few, d);
    }
    mem_free(p);
}

void errors_of_rows(int64_t k, const float *h, const float *e, int64_t rows, double *error)
{
    half_errors(k, h, e, rows, error);
    for (int64_t r = 0; r < rows; r++)
        error[r] *= 2.0;
}

double error_against(int64_t k, const float *h, double scale, const float *e, int64_t rows)
{
    double few[FEW], total = 0;
    double *sum = mem_array((size_t)rows, sizeof *sum, NULL);
    int64_t step = sum ? rows : FEW;
    for (int64_t at = 0; at < rows; at += step) {
        int64_t n = rows - at < step ? rows - at : step;
        half_errors(k, h, e + at * k, n, sum ? sum : few);
        for (int64_t r = 0; r < n; r++)
            total += (sum ? sum : few)[r];
    }
    mem_free(sum);
    return 2.0 * scale * total;
}

double weighted_error(const struct gram *g, const float *e, int64_t rows)
{
    if (!g->sequences)
        return 0;
    return error_against(g->k, g->sum, 2.0 / (double)g->sequences, e, rows);
}
