/* int.c - the integer grid: code in [-2^(b-1), 2^(b-1)-1], value = (code - zero) * scale. Parameters and rounding are
 * those of compressed-tensors 0.19 (quantization/utils/helpers.py calculate_qparams, lifecycle/forward_helpers.py), in
 * the dtype of the weights: a result is rounded to it after every operation. Not here: how min and max are found
 * (observer.h), where codes go (io/containers). */
#include "quant/grid.h"
#include "quant/grids/round.h"

extern const struct grid grid_int;

static int int_accepts(const struct quant_args *a, struct err *e)
{
    if (a->type != QUANT_INT)
        return err_set(e, ERR_UNBUILT, "type float: the int grid holds integers");
    if (a->num_bits < 2 || a->num_bits > 8)
        return err_set(e, ERR_INPUT, "num_bits: found %d, expected 2 to 8 for type int", a->num_bits);
    if (a->dynamic != DYNAMIC_FALSE)
        return err_set(e, ERR_INPUT,
                       "dynamic: found true for weights, expected false: weights are rounded once");
    switch (a->strategy) {
    case STRATEGY_TENSOR:
    case STRATEGY_CHANNEL:
    case STRATEGY_GROUP:
    case STRATEGY_BLOCK: break;
    case STRATEGY_TENSOR_GROUP: return err_set(e, ERR_UNBUILT, "strategy tensor_group with type int");
    default:
        return err_set(e, ERR_INPUT,
                       "strategy: found %s for weights, expected tensor, channel, group or block",
                       strategy_words[a->strategy]);
    }
    if (a->scale_dtype >= 0 && a->scale_dtype != DT_F32 && a->scale_dtype != DT_BF16 &&
        a->scale_dtype != DT_F16)
        return err_set(e, ERR_UNBUILT, "scale_dtype %s with type int", dtypes[a->scale_dtype].name);
    if (!a->symmetric && a->zp_dtype >= 0 && a->zp_dtype != DT_I8)
        return err_set(e, ERR_UNBUILT, "zp_dtype %s with type int", dtypes[a->zp_dtype].name);
    return 0;
}

static float code_min(const struct grid_layout *l) { return -(float)(1 << (l->args.num_bits - 1)); }

static float code_max(const struct grid_layout *l) { return (float)((1 << (l->args.num_bits - 1)) - 1); }

static void int_params(const struct grid_layout *l, float global, float min, float max, float *scale,
                       int8_t *zero)
{
    (void)global;
    enum dtype t = l->scale_dtype;
    float lo = code_min(l), hi = code_max(l), s, z = 0.0f;
    min = round_to(t, min < 0.0f ? min : 0.0f);
    max = round_to(t, max > 0.0f ? max : 0.0f);
    if (l->args.symmetric) {
        s = round_to(t, (max > -min ? max : -min) / ((hi - lo) / 2.0f));
    } else {
        s = round_to(t, round_to(t, max - min) / (hi - lo));
        z = round_to(t, lo - round_to(t, min / s));
        z = z > hi ? hi : z > lo ? z : lo;
        if (min / s != min / s) /* 0 / 0: a cell of zeros */
            z = 0.0f;
    }
    *scale = s == 0.0f ? scale_epsilon(t) : s;
    if (zero)
        *zero = (int8_t)round_whole(z);
}

/* One value, with arithmetic in `arith` and the decoded value in `store`; both are constants where this is inlined, so
 * every combination becomes its own loop. `v > lo ? v : lo` sends NaN to lo, where the conversion is defined. */
static inline float one_code(enum dtype arith, float x, float scale, float zero, float lo, float hi)
{
    float v = round_to(arith, round_to(arith, x / scale) + zero);
    v = v > lo ? v : lo;
    v = v < hi ? v : hi;
    return round_whole(v);
}

static inline void round_span(enum dtype arith, enum dtype store, const struct grid_layout *l, const float *x,
                              int64_t n, const float par[2], int8_t *codes, float *decoded)
{
    float lo = code_min(l), hi = code_max(l), scale = par[0], zero = par[1];
    if (!decoded) {
        for (int64_t i = 0; i < n; i++)
            codes[i] = (int8_t)(int32_t)one_code(arith, x[i], scale, zero, lo, hi);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        float c = one_code(arith, x[i], scale, zero, lo, hi);
        codes[i] = (int8_t)(int32_t)c;
        decoded[i] = round_to(store, (c - zero) * scale);
    }
}

static void int_round(const struct grid_layout *l, const float *x, int64_t n, float scale, int zero,
                      int8_t *codes, float *decoded)
{
    const float par[2] = { scale, (float)zero };
    switch (l->scale_dtype) {
    case DT_BF16: round_span(DT_F32, DT_BF16, l, x, n, par, codes, decoded); break;
    case DT_F16: round_span(DT_F32, DT_F16, l, x, n, par, codes, decoded); break;
    default: round_span(DT_F32, DT_F32, l, x, n, par, codes, decoded); break;
    }
}

static void int_round_own(const struct grid_layout *l, const float *x, int64_t n, float scale, int zero,
                          int8_t *codes, float *decoded)
{
    const float par[2] = { scale, (float)zero };
    switch (l->scale_dtype) {
    case DT_BF16: round_span(DT_BF16, DT_BF16, l, x, n, par, codes, decoded); break;
    case DT_F16: round_span(DT_F16, DT_F16, l, x, n, par, codes, decoded); break;
    default: round_span(DT_F32, DT_F32, l, x, n, par, codes, decoded); break;
    }
}

static void int_number(const struct grid_layout *l, struct k_number *out)
{
    *out = (struct k_number){ K_FAKE_INT, code_min(l), code_max(l), l->scale_dtype };
}

static float int_reach(const struct grid_layout *l)
{
    float span = code_max(l) - code_min(l);
    return l->args.symmetric ? span / 2.0f : span;
}

const struct grid grid_int = {
    .name = "int",
    .doc = "int (2 to 8 bits; tensor, channel, group, block; symmetric or not)",
    .unit = 1,
    .accepts = int_accepts,
    .reach = int_reach,
    .params = int_params,
    .round = int_round,
    .round_own = int_round_own,
    .number = int_number,
};
