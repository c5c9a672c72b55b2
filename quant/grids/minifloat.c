/* minifloat.c - codes of E2M1 and E4M3, and the rounding that the float grids share, without branches or calls inside the
 * loops, so that they become vector code. What nearest means: base/minifloat.h. */
#include "quant/grids/minifloat.h"
#include "base/minifloat.h"
#include "quant/grids/round.h"

float e4m3_round(float x) { return minifloat_nearest(E4M3, x); }

/* -- loops; k, arith and store are constants where these are inlined -- */

struct span {
    const float *x;
    int64_t n;
    int8_t *codes;
    float *decoded;
};

static inline float number(enum minifloat k, enum dtype arith, float x, float scale)
{
    return minifloat_nearest(k, round_to(arith, x / scale) + 0.0f);
}

static inline void span_of(enum minifloat k, enum dtype arith, enum dtype store, const struct span *s,
                           float scale)
{
    uint8_t *codes = (uint8_t *)s->codes;
    if (!s->decoded) {
        for (int64_t i = 0; i < s->n; i++)
            codes[i] = minifloat_code(k, number(k, arith, s->x[i], scale));
        return;
    }
    for (int64_t i = 0; i < s->n; i++) {
        float v = number(k, arith, s->x[i], scale);
        codes[i] = minifloat_code(k, v);
        s->decoded[i] = round_to(store, v * scale);
    }
}

static inline void span_in(enum minifloat k, enum dtype arith, enum dtype store, const struct span *s,
                           float scale)
{
    switch (store) {
    case DT_BF16:
        if (arith == DT_BF16)
            span_of(k, DT_BF16, DT_BF16, s, scale);
        else
            span_of(k, DT_F32, DT_BF16, s, scale);
        break;
    case DT_F16:
        if (arith == DT_F16)
            span_of(k, DT_F16, DT_F16, s, scale);
        else
            span_of(k, DT_F32, DT_F16, s, scale);
        break;
    default: span_of(k, DT_F32, DT_F32, s, scale); break;
    }
}

static void span_any(const struct grid_layout *l, enum dtype arith, const struct span *s, float scale)
{
    if (l->args.num_bits == 4)
        span_in(E2M1, arith, l->value_dtype, s, scale);
    else
        span_in(E4M3, arith, l->value_dtype, s, scale);
}

void float_round(const struct grid_layout *l, const float *x, int64_t n, float scale, int zero, int8_t *codes,
                 float *decoded)
{
    (void)zero;
    struct span s = { x, n, codes, decoded };
    span_any(l, DT_F32, &s, scale);
}

void float_round_own(const struct grid_layout *l, const float *x, int64_t n, float scale, int zero,
                     int8_t *codes, float *decoded)
{
    (void)zero;
    struct span s = { x, n, codes, decoded };
    span_any(l, l->param_dtype == l->scale_dtype ? l->scale_dtype : DT_F32, &s, scale);
}

void float_number(const struct grid_layout *l, struct k_number *out)
{
    bool four = l->args.num_bits == 4;
    *out = (struct k_number){ four ? K_FAKE_E2M1 : K_FAKE_E4M3_NUMBER, 0, 0, l->value_dtype };
}

int float_scale_dtype(const struct quant_args *a, enum dtype want, const char *format, struct err *e)
{
    if (a->scale_dtype == (int)want)
        return 0;
    err_set(e, ERR_INPUT, "scale_dtype: found %s%s, expected torch.%s for %s",
            a->scale_dtype < 0 ? "" : "torch.", a->scale_dtype < 0 ? "null" : dtypes[a->scale_dtype].torch,
            dtypes[want].torch, format);
    return err_hint(e, "Add scale_dtype: torch.%s to weights, or use a preset scheme.", dtypes[want].torch);
}

int float_accepts(const struct quant_args *a, struct err *e)
{
    if (a->dynamic != DYNAMIC_FALSE)
        return err_set(e, ERR_INPUT,
                       "dynamic: found true for weights, expected false: weights are rounded once");
    if (a->strategy == STRATEGY_TOKEN || a->strategy == STRATEGY_ATTN_HEAD)
        return err_set(e, ERR_INPUT,
                       "strategy: found %s for weights, expected tensor, channel, group or block",
                       strategy_words[a->strategy]);
    if (!a->symmetric)
        return err_set(e, ERR_UNBUILT, "asymmetric weights of type float");
    return 0;
}
