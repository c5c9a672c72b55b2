/* qtensor.h - a quantized matrix between solver and container: codes and parameters on a grid, not yet packed.
 *
 * Codes are signed as compressed-tensors counts them, [-2^(b-1), 2^(b-1)-1] for integer grids (symmetric or not), the
 * bit pattern for float grids: E4M3 as the byte it is, E2M1 as 0..15 (8 is -0). Parameters are one per cell; cells tile the matrix:
 *
 *   strategy   cells (param_rows x param_cols)              cell of element (r, c)
 *   tensor     1 x 1                                        (0, 0)
 *   channel    rows x 1                                     (r, 0)
 *   group      rows x ceil(cols / group_size)               (r, c / group_size)
 *   block      ceil(rows / bh) x ceil(cols / bw)            (r / bh, c / bw)
 *
 * value = (number of the code - zero) * scale, the product rounded once to value_dtype (compressed-tensors).
 *
 * `scale` is always what codes are multiplied by. Where parameters are stored as bytes it is still that:
 *   param_dtype F8_E8M0   a power of two, 2^-127 .. 2^127
 *   param_dtype F8_E4M3   e / global_scale in float32, e a positive E4M3 value; scale * global_scale rounded to E4M3 is
 *                         e again, for every finite global_scale > 0 (tests/quant/float_grid.c) */
#ifndef QP_BASE_QTENSOR_H
#define QP_BASE_QTENSOR_H
#include "base/err.h"
#include "base/scheme.h"
#include "base/tensor.h"

struct grid_layout {
    const char *grid;       /* row of the grids table: "int" */
    struct quant_args args; /* as resolved */
    int64_t rows, cols;
    int64_t row0;                   /* of a strip: its first row in the matrix, for errors; else 0 */
    int64_t cell_rows, cell_cols;   /* elements a cell spans at most */
    int64_t param_rows, param_cols; /* cells */
    enum dtype scale_dtype;         /* the weights' arithmetic: F32, BF16 or F16 */
    enum dtype param_dtype;         /* how scales are stored: scale_dtype, F8_E4M3 or F8_E8M0 */
    enum dtype value_dtype; /* what decoded values are rounded to: scale_dtype; BF16 for scales of a byte */
};
struct qtensor {
    struct grid_layout layout;
    int8_t *codes;      /* [rows, cols] */
    float *scale;       /* [param_rows, param_cols], as above */
    int8_t *zero;       /* [param_rows, param_cols]; NULL: symmetric */
    float range_max;    /* of the observer: the largest end of a cell's range, >= 0 */
    float global_scale; /* param_dtype F8_E4M3: scales are divided by it, > 0; 0: not chosen yet. Else 0 */
};
/* layout_init - fills cells from args and shape. ERR_INPUT when the shape does not fit (cols not divisible by the
 * group size, group larger than cols): the text names both numbers. param_dtype and value_dtype follow from
 * args.scale_dtype: torch.uint8 means F8_E8M0, torch.float8_e4m3fn F8_E4M3. */
int layout_init(struct grid_layout *l, const struct quant_args *a, int64_t rows, int64_t cols,
                enum dtype scale_dtype, struct err *e);
/* layout_strip - rows [row, row + rows) of l as a layout of its own; row is a multiple of cell_rows, and so is rows but at
 * the end. A strip of strategy tensor is one cell, whose parameters the caller has from all rows. */
void layout_strip(const struct grid_layout *l, int64_t row, int64_t rows, struct grid_layout *out);
int qtensor_init(struct qtensor *q, const struct grid_layout *l, struct err *e); /* zeroed arrays */
void qtensor_release(struct qtensor *q);
/* qtensor_decode - rows [row, row+n) as float32 [n, cols], each product rounded to value_dtype. */
void qtensor_decode(const struct qtensor *q, int64_t row, int64_t n, float *out);
#endif
