/* grid.h - a grid is a finite set of values per cell and a way to find it: fit parameters to weights, round values to
 * codes, decode. It knows neither solver nor container. One file per grid in grids/, one row in grids/grids.c. */
#ifndef QP_QUANT_GRID_H
#define QP_QUANT_GRID_H
#include "base/qtensor.h"
#include "kernels/panel.h"

struct observer;
struct grid {
    const char *name, *doc;
    int unit; /* columns rounded together: 1 for scalars */
    /* 0: this grid realises args. -1: not mine (e says why, ERR_INPUT or ERR_UNBUILT). */
    int (*accepts)(const struct quant_args *a, struct err *e);
    /* NULL, or: the grid has one more scale, which all cells and all matrices that a runtime fuses (q, k, v; gate, up)
     * share. absmax: the largest |w| of all of them. The result goes into qtensor.global_scale before an observer fits;
     * where it is 0 then, the observer takes the matrix's own. */
    float (*global_scale)(const struct grid_layout *l, float absmax);
    /* NULL, or: the layout that searches judge candidates on, where that is not the layout itself. */
    void (*trial)(const struct grid_layout *l, struct grid_layout *out);
    /* Parameters of a cell whose values span [min, max] (both through 0): scale_dtype's arithmetic, exactly as
     * compressed-tensors' calculate_qparams does in that dtype, then as param_dtype holds them (qtensor.h). global: of the
     * qtensor, or 0. */
    void (*params)(const struct grid_layout *l, float global, float min, float max, float *scale,
                   int8_t *zero);
    /* What params would take for a scale of 1 from [0, reach]: the way from a wanted scale to the nearest one that can be
     * stored. factors: NULL (by bits), or what a search multiplies the range by, ending with 0. */
    float (*reach)(const struct grid_layout *l);
    const float *factors;
    /* n values with one (scale, zero) to codes and, if decoded is not NULL, back to values. float32: x / scale by true
     * division, + zero, clamp, round half to even. */
    void (*round)(const struct grid_layout *l, const float *x, int64_t n, float scale, int zero,
                  int8_t *codes, float *decoded);
    /* The same in the arithmetic of layout->scale_dtype: quotient and sum are rounded to it one after the other, as the
     * peer's data-free pass does in a weight's own dtype. F32: the same as round. Decoded: rounded to value_dtype. */
    void (*round_own)(const struct grid_layout *l, const float *x, int64_t n, float scale, int zero,
                      int8_t *codes, float *decoded);
    /* The numbers that scales multiply, as the kernels of solvers round to them (kernels/panel.h): round for values with a
     * scale and a zero point each. */
    void (*number)(const struct grid_layout *l, struct k_number *out);
};
extern const struct grid *const grids[]; /* ends with NULL */
/* grid_for - the grid that realises args, or NULL with ERR_UNBUILT naming the scheme and the grids there are. */
const struct grid *grid_for(const struct quant_args *a, struct err *e);
const struct grid *grid_find(const char *name);
#endif
