/* nvfp4.c - E2M1 numbers in groups of 16 with E4M3 scales, which a float32 global scale brings into E4M3's range:
 * scale = E4M3(global * max / 6) / global, global = 448 * 6 / max of all matrices that share it. compressed-tensors 0.19
 * (calculate_qparams, generate_gparam) in the dtype of the weights; presets NVFP4A16, NVFP4. */
#include "quant/grids/minifloat.h"
#include "quant/grids/round.h"
#include <float.h>

extern const struct grid grid_nvfp4;

static int nvfp4_accepts(const struct quant_args *a, struct err *e)
{
    if (a->type != QUANT_FLOAT || a->num_bits != 4 || a->strategy != STRATEGY_TENSOR_GROUP)
        return err_set(e, ERR_UNBUILT, "the nvfp4 grid holds E2M1 by tensor_group");
    if (a->group_size != 16)
        return err_set(e, ERR_INPUT, "group_size: found %lld, expected 16 for NVFP4",
                       (long long)a->group_size);
    return float_scale_dtype(a, DT_F8_E4M3, "NVFP4", e) ? -1 : float_accepts(a, e);
}

/* The peer divides a number by a tensor, which torch does as a product with the reciprocal: two roundings, to BF16 for
 * weights in it. In F16 the peer's overflows to 1 where all weights are below 0.04, and most groups are lost; float32
 * serves there. */
static float nvfp4_global(const struct grid_layout *l, float absmax)
{
    enum dtype t = l->scale_dtype == DT_BF16 ? DT_BF16 : DT_F32;
    float g = round_to(t, 2688.0f * round_to(t, 1.0f / (absmax > FLT_MIN ? absmax : FLT_MIN)));
    return isfinite(g) ? g : 1.0f;
}

/* With param_dtype F8_E4M3: the stored scale. Else (a candidate of a search): the local scale by itself. */
static void nvfp4_params(const struct grid_layout *l, float global, float min, float max, float *scale,
                         int8_t *zero)
{
    (void)zero;
    float s = round_to(l->scale_dtype, round_to(l->scale_dtype, magnitude(min, max)) / 6.0f);
    if (l->param_dtype != DT_F8_E4M3) {
        *scale = s > 0.0f ? s : scale_epsilon(l->scale_dtype);
        return;
    }
    float e = e4m3_round(global * s);
    *scale = (e > 0.0f ? e : 0.125f) / global;
}

/* The peer's searches leave the global scale and the rounding of scales out. */
static void nvfp4_trial(const struct grid_layout *l, struct grid_layout *out)
{
    *out = *l;
    out->param_dtype = out->value_dtype = l->scale_dtype;
}

static float nvfp4_reach(const struct grid_layout *l)
{
    (void)l;
    return 6.0f;
}

/* E4M3 has eight steps in an octave. 1.5: the largest weight at 4 rather than 6 (arXiv:2512.02010). */
static const float nvfp4_factors[] = { 0.6f,   0.65f, 0.7f,  0.75f, 0.8f,  0.85f, 0.9f, 0.95f, 1.0f, 1.06f,
                                       1.125f, 1.19f, 1.25f, 1.31f, 1.37f, 1.44f, 1.5f, 1.6f,  0 };

const struct grid grid_nvfp4 = {
    .name = "nvfp4",
    .doc = "nvfp4 (E2M1; tensor_group 16, E4M3 scales)",
    .unit = 1,
    .accepts = nvfp4_accepts,
    .global_scale = nvfp4_global,
    .trial = nvfp4_trial,
    .reach = nvfp4_reach,
    .factors = nvfp4_factors,
    .params = nvfp4_params,
    .round = float_round,
    .round_own = float_round_own,
    .number = float_number,
};
