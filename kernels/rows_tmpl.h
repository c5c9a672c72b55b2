/* rows_tmpl.h - the element and row loops, written once over the sixteen lanes of a simd_*.h and compiled once per level.
 * Loops without fma or sums are plain C: the compiler may vectorise them, their bits cannot change (-ffp-contract=off).
 * Tails never pad a sum: f_first and d_first keep the old lanes where the row has ended. */
#ifndef QP_KERNELS_ROWS_TMPL_H
#define QP_KERNELS_ROWS_TMPL_H
#include "kernels/coefs.h"
#include "kernels/dispatch.h"
#include "kernels/math.h"
#include <string.h>

/* ---- lanes to one number: 16 -> 8 -> 4 -> 2 -> 1 ---- */
static float f_fold(vf a)
{
    float s[16];
    f_store(s, a);
    for (int w = 8; w > 0; w /= 2)
        for (int l = 0; l < w; l++)
            s[l] += s[l + w];
    return s[0];
}
static double d_fold(vd a)
{
    double s[16];
    d_store(s, a);
    for (int w = 8; w > 0; w /= 2)
        for (int l = 0; l < w; l++)
            s[l] += s[l + w];
    return s[0];
}
static float f_fold_max(vf a)
{
    float s[16], m;
    f_store(s, a);
    m = s[0];
    for (int l = 1; l < 16; l++)
        m = s[l] > m ? s[l] : m;
    return m;
}
static float f_fold_min(vf a)
{
    float s[16], m;
    f_store(s, a);
    m = s[0];
    for (int l = 1; l < 16; l++)
        m = s[l] < m ? s[l] : m;
    return m;
}

/* ---- functions of a lane: m_expf and m_exp of math.c, operation for operation ---- */
static inline vf f_exp(vf x)
{
    const vf magic = f_set(0x1.8p23F);
    x = f_min(f_set(89.0F), f_max(f_set(-104.0F), x)); /* NaN passes: the second operand wins */
    vf t = f_fma(x, f_set((float)LOG2E[0]), magic), n = f_sub(t, magic);
    vf h = f_fma(n, f_set(-LN2F[0]), x), r = f_fma(n, f_set(-LN2F[1]), h);
    vf rest = f_fma(n, f_set(-LN2F[1]), f_sub(h, r));
    vf q = f_set(EXPF_C[4]);
    for (int i = 3; i >= 0; i--)
        q = f_fma(q, r, f_set(EXPF_C[i]));
    return f_scale(f_add(f_set(1.0F), f_add(r, f_fma(f_mul(r, r), q, rest))), t);
}
static inline vd d_exp(vd x)
{
    const vd magic = d_set(0x1.8p52);
    x = d_min(d_set(710.0), d_max(d_set(-746.0), x));
    vd t = d_fma(x, d_set(LOG2E[0]), magic), n = d_sub(t, magic);
    vd h = d_fma(n, d_set(-LN2_EXP[0]), x), r = d_fma(n, d_set(-LN2_EXP[1]), h);
    vd rest = d_fma(n, d_set(-LN2_EXP[1]), d_sub(h, r));
    vd q = d_set(EXP_C[9]);
    for (int i = 8; i >= 0; i--)
        q = d_fma(q, r, d_set(EXP_C[i]));
    return d_scale(d_add(d_set(1.0), d_add(r, d_fma(d_mul(r, r), q, rest))), t);
}
/* tanh to float32: 1 - 2 / (e^2x + 1) in float64; beyond |x| = 20 the quotient is below half an ulp of 1 */
static inline vf f_tanh(vf x)
{
    vf c = f_min(f_set(20.0F), f_max(f_set(-20.0F), x));
    vd e = d_exp(d_add(d_of(c), d_of(c)));
    return d_round(d_sub(d_set(1.0), d_div(d_set(2.0), d_add(e, d_set(1.0)))));
}
/* x * Phi(x) with Phi from erfc (GELU_C): no cancellation in the left tail */
static inline vf f_gelu(vf x)
{
    vd v = d_of(x), z = d_abs(d_mul(v, d_set(0x1.6a09e667f3bcdp-1))); /* 1 / sqrt 2 */
    vd t = d_div(d_sub(z, d_set(2.0)), d_add(z, d_set(2.0))), q = d_set(GELU_C[15]);
    for (int i = 14; i >= 0; i--)
        q = d_fma(q, t, d_set(GELU_C[i]));
    vd e = d_mul(d_set(0.5), d_mul(q, d_exp(d_sub(d_set(0.0), d_mul(z, z)))));
    return d_round(d_mul(v, d_if_neg(v, e, d_sub(d_set(1.0), e))));
}

/* ---- sums of a row ---- */
static float row_dot(int64_t n, const float *x, const float *y)
{
    vf s = f_set(0.0F);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        s = f_fma(f_load(x + i), f_load(y + i), s);
    if (i < n)
        s = f_first(n - i, f_fma(f_load_n(x + i, n - i), f_load_n(y + i, n - i), s), s);
    return f_fold(s);
}
static double row_dot64(int64_t n, const float *x, const float *y)
{
    vd s = d_set(0.0); /* products of two float32 are exact in float64: mul and add round once, like fma */
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        s = d_add(s, d_mul(d_of(f_load(x + i)), d_of(f_load(y + i))));
    if (i < n)
        s = d_first(n - i, d_add(s, d_mul(d_of(f_load_n(x + i, n - i)), d_of(f_load_n(y + i, n - i)))), s);
    return d_fold(s);
}
static double row_sum64(int64_t n, const float *x)
{
    vd s = d_set(0.0);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        s = d_add(s, d_of(f_load(x + i)));
    if (i < n)
        s = d_first(n - i, d_add(s, d_of(f_load_n(x + i, n - i))), s);
    return d_fold(s);
}
static inline vd square_of_distance(vf x, vd mean)
{
    vd d = d_sub(d_of(x), mean);
    return d_mul(d, d);
}
static double row_variance64(int64_t n, const float *x, double mean)
{
    vd s = d_set(0.0), mu = d_set(mean);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        s = d_add(s, square_of_distance(f_load(x + i), mu));
    if (i < n)
        s = d_first(n - i, d_add(s, square_of_distance(f_load_n(x + i, n - i), mu)), s);
    return d_fold(s) / (double)n;
}
/* the greatest element, NaN skipped; -inf for an empty row */
static float row_max(int64_t n, const float *x)
{
    vf m = f_set(-__builtin_inff());
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        m = f_max(f_load(x + i), m);
    if (i < n)
        m = f_first(n - i, f_max(f_load_n(x + i, n - i), m), m);
    return f_fold_max(m);
}
static void row_minmax(int64_t n, const float *x, float *min, float *max)
{
    vf lo = f_set(__builtin_inff()), hi = f_set(-__builtin_inff());
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        lo = f_min(f_load(x + i), lo);
        hi = f_max(f_load(x + i), hi);
    }
    if (i < n) {
        lo = f_first(n - i, f_min(f_load_n(x + i, n - i), lo), lo);
        hi = f_first(n - i, f_max(f_load_n(x + i, n - i), hi), hi);
    }
    *min = f_fold_min(lo);
    *max = f_fold_max(hi);
}
static int row_all_finite(int64_t n, const float *x)
{
    for (int64_t i = 0; i < n;) {
        int64_t end = n - i < 4096 ? n : i + 4096;
        unsigned bad = 0;
        for (; i < end; i++) {
            uint32_t u;
            __builtin_memcpy(&u, x + i, 4);
            bad |= (u & 0x7f800000U) == 0x7f800000U;
        }
        if (bad)
            return 0;
    }
    return 1;
}

/* ---- norms: float64 inside, one rounding at the end ---- */
static inline vf norm_lane(vf x, vd mean, vd inv, vd w, vd b)
{
    return d_round(d_add(d_mul(d_mul(d_sub(d_of(x), mean), inv), w), b));
}
static void norm_row(const struct rows *j, const float *x, float *y, double mean, double inv)
{
    const vd mu = d_set(mean), s = d_set(inv), off = d_set((double)j->w_offset), one = d_set(1.0);
    for (int64_t i = 0; i < j->d; i += 16) {
        int64_t left = j->d - i;
        if (left >= 16) {
            vd w = j->w ? d_add(d_of(f_load(j->w + i)), off) : one;
            f_store(y + i, norm_lane(f_load(x + i), mu, s, w, j->b ? d_of(f_load(j->b + i)) : d_set(-0.0)));
        } else {
            vd w = j->w ? d_add(d_of(f_load_n(j->w + i, left)), off) : one;
            vd b = j->b ? d_of(f_load_n(j->b + i, left)) : d_set(-0.0);
            f_store_n(y + i, norm_lane(f_load_n(x + i, left), mu, s, w, b), left);
        }
    }
}
static void rows_rmsnorm(const struct rows *j, int64_t begin, int64_t end)
{
    for (int64_t r = begin; r < end; r++) {
        const float *x = j->x + r * j->ldx;
        double ms = row_dot64(j->d, x, x) / (double)j->d;
        norm_row(j, x, j->y + r * j->ldy, 0.0, 1.0 / __builtin_sqrt(ms + j->eps));
    }
}
static void rows_layernorm(const struct rows *j, int64_t begin, int64_t end)
{
    for (int64_t r = begin; r < end; r++) {
        const float *x = j->x + r * j->ldx;
        double mean = row_sum64(j->d, x) / (double)j->d;
        double inv = 1.0 / __builtin_sqrt(row_variance64(j->d, x, mean) + j->eps);
        norm_row(j, x, j->y + r * j->ldy, mean, inv);
    }
}

/* ---- elements ---- */
static void rows_add_bias(const struct rows *j, int64_t begin, int64_t end)
{
    for (int64_t r = begin; r < end; r++) {
        float *restrict y = j->y + r * j->ldy;
        const float *restrict b = j->b;
        for (int64_t i = 0; i < j->d; i++)
            y[i] += b[i];
    }
}
static void elems_axpy(const struct rows *j, int64_t begin, int64_t end)
{
    float *restrict y = j->y;
    const float *restrict x = j->x, a = j->a;
    for (int64_t i = begin; i < end; i++)
        y[i] += a * x[i];
}
static void elems_mul(const struct rows *j, int64_t begin, int64_t end)
{
    float *restrict y = j->y;
    const float *restrict x = j->x;
    for (int64_t i = begin; i < end; i++)
        y[i] *= x[i];
}
/* x * sigmoid(a) */
static inline vf gate(vf x, vf a) { return f_div(x, f_add(f_set(1.0F), f_exp(f_sub(f_set(0.0F), a)))); }
static inline vf act_lane(enum k_act act, vf x)
{
    vf r = f_max(f_set(0.0F), x);
    switch (act) {
    case ACT_SILU: return gate(x, x);
    case ACT_GELU: return f_gelu(x);
    case ACT_GELU_TANH: { /* 0.5 x (1 + tanh u) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3) */
        vf p = f_fma(f_mul(f_mul(x, x), x), f_set(0.044715F), x);
        return gate(x, f_mul(f_set(1.5957691216057308F), p));
    }
    case ACT_QUICK_GELU: return gate(x, f_mul(f_set(1.702F), x));
    case ACT_RELU: return r;
    case ACT_RELU2: return f_mul(r, r);
    case ACT_COUNT: break;
    }
    return x;
}
static inline void act_loop(enum k_act act, const struct rows *j, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i += 16) {
        int64_t left = end - i;
        if (left >= 16) {
            vf y = act_lane(act, f_load(j->y + i));
            f_store(j->y + i, j->x ? f_mul(y, f_load(j->x + i)) : y);
        } else {
            vf y = act_lane(act, f_load_n(j->y + i, left));
            f_store_n(j->y + i, j->x ? f_mul(y, f_load_n(j->x + i, left)) : y, left);
        }
    }
}
static void elems_act(const struct rows *j, int64_t begin, int64_t end)
{
    switch (j->act) { /* the switch outside the loop: one loop per function */
    case ACT_SILU: act_loop(ACT_SILU, j, begin, end); return;
    case ACT_GELU: act_loop(ACT_GELU, j, begin, end); return;
    case ACT_GELU_TANH: act_loop(ACT_GELU_TANH, j, begin, end); return;
    case ACT_QUICK_GELU: act_loop(ACT_QUICK_GELU, j, begin, end); return;
    case ACT_RELU: act_loop(ACT_RELU, j, begin, end); return;
    case ACT_RELU2: act_loop(ACT_RELU2, j, begin, end); return;
    case ACT_COUNT: return;
    }
}
static void rows_rope(const struct rows *j, int64_t begin, int64_t end)
{
    int64_t half = j->rot / 2;
    for (int64_t r = begin; r < end; r++) {
        const float *restrict c = j->cos + r * half, *restrict s = j->sin + r * half;
        for (int64_t h = 0; h < j->heads; h++) {
            float *restrict x = j->y + r * j->ldy + h * j->head_dim;
            for (int64_t i = 0; i < half; i++) {
                int64_t p = j->pairs ? 2 * i : i, q = j->pairs ? p + 1 : i + half;
                float a = x[p], b = x[q];
                x[p] = a * c[i] - b * s[i];
                x[q] = b * c[i] + a * s[i];
            }
        }
    }
}

/* ---- probabilities ---- */
/* lanes of sum over e^(x - max), float64 */
static double row_sumexp(int64_t n, const float *x, double max)
{
    vd s = d_set(0.0), m = d_set(max);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        s = d_add(s, d_exp(d_sub(d_of(f_load(x + i)), m)));
    if (i < n)
        s = d_first(n - i, d_add(s, d_exp(d_sub(d_of(f_load_n(x + i, n - i)), m))), s);
    return d_fold(s);
}
static int32_t row_find(int64_t n, const float *x, float value)
{
    for (int64_t i = 0; i < n; i += 256) {
        int64_t end = n - i < 256 ? n : i + 256;
        int any = 0;
        for (int64_t k = i; k < end; k++)
            any |= x[k] == value;
        for (int64_t k = i; any && k < end; k++)
            if (x[k] == value)
                return (int32_t)k;
    }
    return 0; /* a row of NaN only */
}

static void rows_logprob(const struct rows *j, int64_t begin, int64_t end)
{
    for (int64_t r = begin; r < end; r++) {
        const float *x = j->x + r * j->ldx;
        float max = row_max(j->d, x);
        double lse = (double)max + m_log(row_sumexp(j->d, x, (double)max));
        if (j->out64)
            j->out64[r] = (double)x[j->target[r]] - lse;
        if (j->lse)
            j->lse[r] = lse;
        if (j->argmax)
            j->argmax[r] = row_find(j->d, x, max);
    }
}
static inline vd kl_lane(vf p, vf q, vd max, vd shift)
{
    vd vp = d_of(p), e = d_exp(d_sub(vp, max));
    return d_if_zero(e, d_set(0.0), d_mul(e, d_sub(d_sub(vp, d_of(q)), shift)));
}
static void rows_kl(const struct rows *j, int64_t begin, int64_t end)
{
    for (int64_t r = begin; r < end; r++) {
        const float *p = j->x + r * j->ldx, *q = j->w + r * j->ldy;
        double mp = (double)row_max(j->d, p), mq = (double)row_max(j->d, q);
        double sp = row_sumexp(j->d, p, mp), sq = row_sumexp(j->d, q, mq);
        const vd max = d_set(mp), shift = d_set((mp - mq) + (m_log(sp) - m_log(sq)));
        vd s = d_set(0.0);
        int64_t i = 0;
        for (; i + 16 <= j->d; i += 16)
            s = d_add(s, kl_lane(f_load(p + i), f_load(q + i), max, shift));
        if (i < j->d)
            s = d_first(j->d - i,
                        d_add(s, kl_lane(f_load_n(p + i, j->d - i), f_load_n(q + i, j->d - i), max, shift)),
                        s);
        j->out64[r] = d_fold(s) / sp;
    }
}
static inline vf score_lane(const struct soft *p, vf s, vf key)
{
    s = f_mul(s, f_set(p->scale));
    if (p->softcap > 0.0F)
        s = f_mul(f_set(p->softcap), f_tanh(f_div(s, f_set(p->softcap))));
    if (p->slope != 0.0F)
        s = f_add(s, f_mul(f_set(p->slope), key));
    return s;
}
static float row_softmax(const struct soft *p, int64_t n, float *s)
{
    static const float iota[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
    vf key = f_add(f_set((float)p->key0), f_load(iota)); /* positions below 2^24: exact */
    for (int64_t i = 0; i < n; i += 16) {
        f_store_n(s + i, score_lane(p, f_load_n(s + i, n - i), key), n - i);
        key = f_add(key, f_set(16.0F));
    }
    float max = row_max(n, s);
    if (p->has_sink && p->sink > max)
        max = p->sink;
    vf sum = f_set(0.0F), m = f_set(max);
    for (int64_t i = 0; i < n; i += 16) {
        vf e = f_exp(f_sub(f_load_n(s + i, n - i), m));
        f_store_n(s + i, e, n - i);
        sum = f_first(n - i, f_add(sum, e), sum);
    }
    float total = f_fold(sum);
    if (p->has_sink)
        total += m_expf(p->sink - max);
    return total;
}

/* ---- packing for the product ---- */
/* w is a constant where this is expanded: the copies become moves of registers */
#define COPY_ROWS(w)                                     \
    case w:                                              \
        for (; p < k; p++, dst += (w), src += ld)        \
            memcpy(dst, src, (size_t)(w) * sizeof *dst); \
        return
static void pack_n(int64_t w, int64_t rows, int64_t k, const float *src, int64_t ld, int negate, float *dst)
{
    const float sign = negate ? -1.0F : 1.0F;
    int64_t p = 0;
    if (rows == w && !negate)
        switch (w) {
            COPY_ROWS(4);
            COPY_ROWS(6);
            COPY_ROWS(14);
            COPY_ROWS(16);
            COPY_ROWS(32);
        default: break;
        }
    for (; p < k; p++, dst += w, src += ld)
        for (int64_t i = 0; i < w; i++)
            dst[i] = i < rows ? sign * src[i] : 0.0F;
}
#undef COPY_ROWS
/* ---- blocks of at most CHOL_INNER columns of the Cholesky factor; see cholesky.c ---- */
static void pack_t(int64_t w, int64_t rows, int64_t k, const float *src, int64_t ld, int negate, float *dst);

/* sixteen rows in the lanes, columns from the last to the first */
static void solve16(int64_t nb, vf *x, const float *r, int64_t ldr)
{
    for (int64_t j = nb - 1; j >= 0; j--) {
        x[j] = f_div(x[j], f_set(r[j * ldr + j]));
        for (int64_t l = 0; l < j; l++)
            x[l] = f_fma(x[j], f_set(-r[l * ldr + j]), x[l]);
    }
}
static void rows_solve(int64_t n, int64_t nb, float *h, int64_t ldh, const float *r, int64_t ldr)
{
    for (int64_t i = 0; i < n; i += 16) {
        int64_t rows = n - i < 16 ? n - i : 16;
        float t[CHOL_INNER * 16 + 16], back[CHOL_INNER * 16 + 16];
        vf x[CHOL_INNER];
        pack_t(16, rows, nb, h + i * ldh, ldh, 0, t);
        for (int64_t j = 0; j < nb; j++)
            x[j] = f_load(t + j * 16);
        solve16(nb, x, r, ldr);
        for (int64_t j = 0; j < nb; j++)
            f_store(t + j * 16, x[j]);
        pack_t(CHOL_INNER, nb, 16, t, 16, 0, back);
        for (int64_t q = 0; q < rows; q++)
            __builtin_memcpy(h + (i + q) * ldh, back + q * CHOL_INNER, (size_t)nb * sizeof *h);
    }
}
/* row += x * (minus column j), columns [0, j) only; minus holds the column, -R(l, j) at l */
static inline void factor_row(int64_t j, float *row, float x, const float *minus)
{
    for (int64_t l = 0; l < j; l += 16) {
        vf old = f_load(row + l);
        f_store(row + l, f_first(j - l, f_fma(f_set(x), f_load(minus + l), old), old));
    }
}
static int64_t rows_factor(int64_t nb, float *h, int64_t ldh)
{
    float b[CHOL_INNER * CHOL_INNER] = { 0 }, minus[CHOL_INNER] = { 0 };
    for (int64_t i = 0; i < nb; i++)
        __builtin_memcpy(b + i * CHOL_INNER, h + i * ldh, (size_t)nb * sizeof *b);
    for (int64_t j = nb - 1; j >= 0; j--) {
        float d = b[j * CHOL_INNER + j], r = __builtin_sqrtf(d);
        if (!(d > 0.0F && d < __builtin_inff()))
            return j + 1;
        b[j * CHOL_INNER + j] = r;
        for (int64_t i = 0; i < j; i++) {
            b[i * CHOL_INNER + j] /= r;
            minus[i] = -b[i * CHOL_INNER + j];
        }
        for (int64_t i = 0; i < j; i++)
            factor_row(j, b + i * CHOL_INNER, b[i * CHOL_INNER + j], minus);
    }
    for (int64_t i = 0; i < nb; i++)
        __builtin_memcpy(h + i * ldh, b + i * CHOL_INNER, (size_t)nb * sizeof *b);
    return 0;
}

#define KERN_INIT                                                                                         \
    .solve = rows_solve, .factor = rows_factor, .rmsnorm = rows_rmsnorm, .layernorm = rows_layernorm,     \
    .add_bias = rows_add_bias, .axpy = elems_axpy, .mul = elems_mul, .act = elems_act, .rope = rows_rope, \
    .logprob = rows_logprob, .kl = rows_kl, .softmax = row_softmax, .dot = row_dot, .dot64 = row_dot64,   \
    .minmax = row_minmax, .all_finite = row_all_finite, .pack_n = pack_n
#endif
