/* mxfp4.c - E2M1 numbers in groups of 32 with scales that are powers of two (E8M0), and the rule for such scales, which
 * mxfp8.c shares. compressed-tensors 0.19 (quantization/utils/mxfp_utils.py); MLX and the OCP text choose other exponents
 * for the same weights. Presets MXFP4A16, MXFP4. */
#include "quant/grids/minifloat.h"
#include "quant/grids/round.h"

extern const struct grid grid_mxfp4;

static int mxfp4_accepts(const struct quant_args *a, struct err *e)
{
    if (a->type != QUANT_FLOAT || a->num_bits != 4 || a->strategy != STRATEGY_GROUP)
        return err_set(e, ERR_UNBUILT, "the mxfp4 grid holds E2M1 by group");
    if (a->group_size != 32)
        return err_set(e, ERR_INPUT, "group_size: found %lld, expected 32 for MXFP4",
                       (long long)a->group_size);
    return float_scale_dtype(a, DT_U8, "MXFP4", e) ? -1 : float_accepts(a, e);
}

/* 2^(floor(log2 m) - top), one more when m is 1.75 times its power of two or above. Zero and whatever would lie below the
 * smallest E8M0 get 2^-127, a subnormal of float32. */
float mx_scale(float m, int top)
{
    uint32_t u;
    memcpy(&u, &m, sizeof u);
    int32_t byte = (int32_t)((u + (1u << 21)) >> 23) - top;
    u = byte > 0 ? (uint32_t)byte << 23 : 1u << 22;
    memcpy(&m, &u, sizeof m);
    return m;
}

/* A search compares values in the weights' dtype; scales stay powers of two. */
void mx_trial(const struct grid_layout *l, struct grid_layout *out)
{
    *out = *l;
    out->value_dtype = l->scale_dtype;
}

static void mxfp4_params(const struct grid_layout *l, float global, float min, float max, float *scale,
                         int8_t *zero)
{
    (void)l;
    (void)global;
    (void)zero;
    *scale = mx_scale(magnitude(min, max), 2);
}

/* The rule rounds up from 1.75 times a power of two; from this, it is the nearest power of two by ratio. */
static float mxfp4_reach(const struct grid_layout *l)
{
    (void)l;
    return 4.95f;
}

static const float mxfp4_factors[] = { 0.5f, 1.0f, 2.0f, 0 };

const struct grid grid_mxfp4 = {
    .name = "mxfp4",
    .doc = "mxfp4 (E2M1; group 32, E8M0 scales)",
    .unit = 1,
    .accepts = mxfp4_accepts,
    .trial = mx_trial,
    .reach = mxfp4_reach,
    .factors = mxfp4_factors,
    .params = mxfp4_params,
    .round = float_round,
    .round_own = float_round_own,
    .number = float_number,
};
