/* mxfp8.c - E4M3 numbers in groups of 32 with scales that are powers of two (E8M0); mxfp4.c has the rule, which here
 * leaves room up to 448: the largest weight of a group lies in [224, 448). Presets MXFP8A16, MXFP8. */
#include "quant/grids/minifloat.h"

extern const struct grid grid_mxfp8;

static int mxfp8_accepts(const struct quant_args *a, struct err *e)
{
    if (a->type != QUANT_FLOAT || a->num_bits != 8 || a->strategy != STRATEGY_GROUP ||
        a->scale_dtype != DT_U8)
        return err_set(e, ERR_UNBUILT, "the mxfp8 grid holds E4M3 by group with E8M0 scales");
    if (a->group_size != 32)
        return err_set(e, ERR_INPUT, "group_size: found %lld, expected 32 for MXFP8",
                       (long long)a->group_size);
    return float_accepts(a, e);
}

static void mxfp8_params(const struct grid_layout *l, float global, float min, float max, float *scale,
                         int8_t *zero)
{
    (void)l;
    (void)global;
    (void)zero;
    *scale = mx_scale(magnitude(min, max), 8);
}

/* The rule rounds up from 1.75 times a power of two; from this, it is the nearest power of two by ratio. */
static float mxfp8_reach(const struct grid_layout *l)
{
    (void)l;
    return 316.8f;
}

static const float mxfp8_factors[] = { 0.5f, 1.0f, 2.0f, 0 };

const struct grid grid_mxfp8 = {
    .name = "mxfp8",
    .doc = "mxfp8 (E4M3; group 32, E8M0 scales)",
    .unit = 1,
    .accepts = mxfp8_accepts,
    .trial = mx_trial,
    .reach = mxfp8_reach,
    .factors = mxfp8_factors,
    .params = mxfp8_params,
    .round = float_round,
    .round_own = float_round_own,
    .number = float_number,
};
