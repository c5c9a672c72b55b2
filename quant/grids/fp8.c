/* fp8.c - E4M3 numbers with scales in the weights' dtype: scale = max / 448. Parameters and rounding are those of
 * compressed-tensors 0.19 in the dtype of the weights; presets FP8, FP8_DYNAMIC, FP8_BLOCK. */
#include "quant/grids/minifloat.h"
#include "quant/grids/round.h"

extern const struct grid grid_fp8;

static int fp8_accepts(const struct quant_args *a, struct err *e)
{
    int t = a->scale_dtype;
    if (a->type != QUANT_FLOAT || a->num_bits != 8 || (t >= 0 && t != DT_F32 && t != DT_BF16 && t != DT_F16))
        return err_set(e, ERR_UNBUILT, "the fp8 grid holds E4M3 with scales of 16 or 32 bits");
    if (a->strategy == STRATEGY_TENSOR_GROUP)
        return err_set(e, ERR_UNBUILT, "strategy tensor_group with 8 bits of type float");
    return float_accepts(a, e);
}

static void fp8_params(const struct grid_layout *l, float global, float min, float max, float *scale,
                       int8_t *zero)
{
    (void)global;
    (void)zero;
    float s = round_to(l->scale_dtype, round_to(l->scale_dtype, magnitude(min, max)) / 448.0f);
    *scale = s > 0.0f ? s : scale_epsilon(l->scale_dtype);
}

static float fp8_reach(const struct grid_layout *l)
{
    (void)l;
    return 448.0f;
}

const struct grid grid_fp8 = {
    .name = "fp8",
    .doc = "fp8 (E4M3; tensor, channel, group, block; symmetric)",
    .unit = 1,
    .accepts = fp8_accepts,
    .reach = fp8_reach,
    .params = fp8_params,
    .round = float_round,
    .round_own = float_round_own,
    .number = float_number,
};
