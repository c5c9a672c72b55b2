/* help.h - what the tests of quant share: numbers to test with, layouts in a line, and sums done the plain way. */
#ifndef QP_TESTS_QUANT_HELP_H
#define QP_TESTS_QUANT_HELP_H
#include "base/err.h"
#include "base/mem.h"
#include "base/qtensor.h"
#include "kernels/kernels.h"
#include "quant/grid.h"
#include "quant/observer.h"
#include "quant/solver.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Roughly normal numbers (sum of four uniform ones) of a seed, scaled. Freed with mem_free. */
float *numbers(uint64_t seed, int64_t n, float scale);
/* Inputs [n, k] with correlation between neighbours and a few loud columns. */
float *inputs(uint64_t seed, int64_t n, int64_t k);
void fill_gram(struct gram *g, const float *x, int64_t n, int64_t k, int64_t chunks);

struct quant_args int_args(int bits, int symmetric, enum strategy s, int64_t group);
/* A quantized matrix whose parameters `observer` ("" or a name) took from w. */
void fitted(struct qtensor *q, const struct quant_args *a, const float *w, int64_t rows, int64_t cols,
            enum dtype t);
/* tr(E H E^T), H = 2/sequences * lower triangle of sum, in float64, term by term. */
double plain_error(const struct gram *g, const float *e, int64_t rows);
void no_error(const struct err *e); /* fails the test with the error's text */
void same_floats(const float *a, const float *b, int64_t n);
void same_codes(const int8_t *a, const int8_t *b, int64_t n);
#endif
