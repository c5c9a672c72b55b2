/* round.h - what the grids' rounding shares: base/round.h, and what stands in for a scale of 0. */
#ifndef QP_QUANT_GRIDS_ROUND_H
#define QP_QUANT_GRIDS_ROUND_H
#include "base/round.h"

/* The distance from 1 to the next value. */
static inline float scale_epsilon(enum dtype t)
{
    return t == DT_BF16 ? 0x1p-7f : t == DT_F16 ? 0x1p-10f : 0x1p-23f;
}
#endif
