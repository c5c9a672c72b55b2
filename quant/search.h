/* search.h - the two ways of the observers to take a range from weights (search.c). Inside quant only. */
#ifndef QP_QUANT_SEARCH_H
#define QP_QUANT_SEARCH_H
#include "quant/observer.h"

struct search {
    int64_t steps; /* candidates: p = 1 - i / grid for i in [0, steps) */
    double grid, norm;
    double expand;       /* the search begins at so many times the cell's range, >= 1 */
    int64_t patience;    /* candidates in a row without any improvement that end the search; 0: never */
    int own_arithmetic;  /* 1: differences, powers and sums are rounded to the weights' dtype */
    const float *weight; /* NULL, or [cols]: factor of each column's error */
};
/* range_fit - q->scale, q->zero from the least and greatest value of each cell; with s, from the shrunken range whose
 * error is least. Allocates 8 bytes for each row and column of cells (rows * param_cols), and 24 a cell for a search. */
int range_fit(const struct search *s, const float *w, struct qtensor *q, struct err *e);
#endif
