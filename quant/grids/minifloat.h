/* minifloat.h - numbers of 4 and 8 bits for the float grids: E2M1 (0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives) and E4M3
 * (448 at most, no infinity), and the rounding that grids share. A grid is what surrounds them: which scales there are. */
#ifndef QP_QUANT_GRIDS_MINIFLOAT_H
#define QP_QUANT_GRIDS_MINIFLOAT_H
#include "quant/grid.h"

/* e4m3_round - the nearest E4M3 value, half to even, at most +-448; NaN gives +-448. */
float e4m3_round(float x);

/* Largest magnitude of a cell that spans [min, max]. */
static inline float magnitude(float min, float max) { return max > -min ? max : -min; }

/* What every float grid says of args that are of its width: 0, or ERR_INPUT, or ERR_UNBUILT. */
int float_accepts(const struct quant_args *a, struct err *e);

/* ERR_INPUT unless args.scale_dtype is `want`: the peer takes others, and writes scales that it did not round with. */
int float_scale_dtype(const struct quant_args *a, enum dtype want, const char *format, struct err *e);

/* round, round_own and number of every float grid (grid.h): E2M1 for 4 bits, E4M3 for 8, decoded to value_dtype. A
 * quotient is rounded to scale_dtype in round_own, and only where scales are of that dtype; by scales of a byte the peer
 * divides in float32 (F8_E4M3, through the float32 global scale) or exactly (F8_E8M0). A quotient of -0 counts as 0: the
 * peer adds a zero point of 0 first. A negative one that rounds to zero gives the code of -0. */
void float_round(const struct grid_layout *l, const float *x, int64_t n, float scale, int zero, int8_t *codes,
                 float *decoded);
void float_round_own(const struct grid_layout *l, const float *x, int64_t n, float scale, int zero,
                     int8_t *codes, float *decoded);
void float_number(const struct grid_layout *l, struct k_number *out);

/* params and trial of the MX grids (mxfp4.c, mxfp8.c); top: the exponent of the largest number, 2 or 8. */
float mx_scale(float magnitude, int top);
void mx_trial(const struct grid_layout *l, struct grid_layout *out);
#endif
