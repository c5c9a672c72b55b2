/* inner.h - what the files of quant share with one another and with nobody else. */
#ifndef QP_QUANT_INNER_H
#define QP_QUANT_INNER_H
#include "base/err.h"
#include "quant/stats.h"
#include <stdint.h>

/* rows_finite - 0, or ERR_INPUT that names row and column of the first value of w [rows, cols] that is NaN or infinite;
 * row0 is added to the row. */
int rows_finite(const float *w, int64_t rows, int64_t cols, int64_t row0, struct err *e);

/* power_each - x[i] = x[i]^norm for x >= 0 and norm > 0: whole part by multiplication, the rest as 2^(f log2 x) by
 * polynomials in float32 (relative error below 1e-6 in the range of weights). + - * / only: the bits depend on the
 * arguments alone. Values below the smallest normal float32 give 0. */
enum { POWER_MAX = 64 }; /* largest norm */
void power_each(int64_t n, float *x, double norm);

/* error_against - tr(E H E^T) for H = scale * (symmetric matrix whose lower triangle is sum), e [rows, k]. */
double error_against(int64_t k, const float *sum, double scale, const float *e, int64_t rows);
/* errors_of_rows - the same for scale 1, row by row: error [rows]. */
void errors_of_rows(int64_t k, const float *sum, const float *e, int64_t rows, double *error);
#endif
