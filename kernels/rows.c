/* rows.c - the doors of kernels.h for rows and elements: fill a struct rows, cut it for the pool, call the level. Pieces are
 * whole rows, or elements of loops where each stands for itself. */
#include "kernels/dispatch.h"

enum { GRAIN = 1 << 15 }; /* elements a piece has at least: some 10 us of memory traffic */

static int64_t rows_grain(int64_t d) { return d >= GRAIN ? 1 : d > 0 ? GRAIN / d : GRAIN; }

void k_rmsnorm(int64_t n, int64_t d, const float *x, int64_t ldx, const float *w, float w_offset, double eps,
               float *y, int64_t ldy)
{
    struct rows j = {
        .d = d, .x = x, .ldx = ldx, .w = w, .w_offset = w_offset, .eps = eps, .y = y, .ldy = ldy
    };
    pool_ranges(&j, n, rows_grain(d), kern_now()->rmsnorm);
}
void k_layernorm(int64_t n, int64_t d, const float *x, int64_t ldx, const float *w, const float *b,
                 float w_offset, double eps, float *y, int64_t ldy)
{
    struct rows j = {
        .d = d, .x = x, .ldx = ldx, .w = w, .b = b, .w_offset = w_offset, .eps = eps, .y = y, .ldy = ldy
    };
    pool_ranges(&j, n, rows_grain(d), kern_now()->layernorm);
}
void k_add_bias(int64_t n, int64_t d, float *y, int64_t ldy, const float *bias)
{
    struct rows j = { .d = d, .y = y, .ldy = ldy, .b = bias };
    pool_ranges(&j, n, rows_grain(d), kern_now()->add_bias);
}
void k_axpy(int64_t n, float a, const float *x, float *y)
{
    struct rows j = { .a = a, .x = x, .y = y };
    pool_ranges(&j, n, GRAIN, kern_now()->axpy);
}
void k_mul(int64_t n, const float *x, float *y)
{
    struct rows j = { .x = x, .y = y };
    pool_ranges(&j, n, GRAIN, kern_now()->mul);
}
void k_act(enum k_act act, int64_t n, float *y, const float *u)
{
    struct rows j = { .act = act, .x = u, .y = y };
    pool_ranges(&j, n, GRAIN / 4, kern_now()->act);
}
void k_rope(int64_t n, int64_t heads, int64_t head_dim, int64_t rot, int pairs, const float *cos,
            const float *sin, float *x, int64_t ldx)
{
    struct rows j = { .heads = heads,
                      .head_dim = head_dim,
                      .rot = rot,
                      .pairs = pairs,
                      .cos = cos,
                      .sin = sin,
                      .y = x,
                      .ldy = ldx };
    pool_ranges(&j, n, rows_grain(heads * rot), kern_now()->rope);
}
void k_logprob_rows(int64_t n, int64_t v, const float *logits, int64_t ld, const int32_t *target,
                    double *logprob, double *lse, int32_t *argmax)
{
    struct rows j = {
        .d = v, .x = logits, .ldx = ld, .target = target, .out64 = logprob, .lse = lse, .argmax = argmax
    };
    pool_ranges(&j, n, rows_grain(v), kern_now()->logprob);
}
void k_kl_rows(int64_t n, int64_t v, const float *p, int64_t ldp, const float *q, int64_t ldq, double *kl)
{
    struct rows j = { .d = v, .x = p, .ldx = ldp, .w = q, .ldy = ldq, .out64 = kl };
    pool_ranges(&j, n, rows_grain(v), kern_now()->kl);
}
float k_dot(int64_t n, const float *x, const float *y) { return kern_now()->dot(n, x, y); }
double k_dot64(int64_t n, const float *x, const float *y) { return kern_now()->dot64(n, x, y); }
void k_minmax(int64_t n, const float *x, float *min, float *max) { kern_now()->minmax(n, x, min, max); }
int k_all_finite(int64_t n, const float *x) { return kern_now()->all_finite(n, x); }
