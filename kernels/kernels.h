/* kernels.h - the hot loops. Plain C is the definition; AVX2 and AVX-512 versions give the same bits (tests/kernels).
 *
 * Rules of this room: no allocation that the caller does not see, no errors, no qpipe structs. Every function may use
 * up to kernels_threads() threads inside; results never depend on how many. All matrices are row-major float32 with
 * leading dimensions in elements.
 *
 * The sum of a product is defined as: over k cut in blocks of 256 in ascending order, S_b = an fma chain from 0 in
 * ascending k inside block b, and c = ((c0 + S_0) + S_1) + ..., where c0 is the old value (accumulate) or +0. Dot products
 * and sums of a row use 16 lanes (element i goes to lane i % 16 by fma or add), folded 16 -> 8 -> 4 -> 2 -> 1. */
#ifndef QP_KERNELS_KERNELS_H
#define QP_KERNELS_KERNELS_H
#include <stddef.h>
#include <stdint.h>

enum { KERNEL_KBLOCK = 256, KERNEL_LANES = 16 };

/* kernels_init - picks the fastest level this CPU has; force: NULL, or "c", "avx2", "avx512" (the value of
 * QPIPE_KERNELS). Returns the level's name, or NULL when force is unknown or not possible here. Sets MXCSR to IEEE
 * (no FTZ/DAZ) in every worker. threads <= 0: one per core of the affinity mask. */
const char *kernels_init(const char *force, int threads);
int kernels_threads(void);
const char *kernels_level(void);

/* ---- products (the compute table, see compute.h, lets a BLAS stand in) ---- */

/* C[m,n] (+)= A[m,k] * B[n,k]^T. accumulate 0: C is overwritten. The forward of a Linear: A activations, B weights. */
void k_gemm_nt(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
               float *c, int64_t ldc, int accumulate);
/* C[m,n] (+)= A[m,k] * B[k,n]. */
void k_gemm_nn(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
               float *c, int64_t ldc, int accumulate);
/* G[k,k] += X[n,k]^T X over n rows in ascending order; only the lower triangle (j <= i) is touched. */
void k_gram(int64_t n, int64_t k, const float *x, int64_t ldx, float *g, int64_t ldg);
/* C[k1,k2] += X[n,k1]^T Y[n,k2]. */
void k_gram_cross(int64_t n, int64_t k1, int64_t k2, const float *x, int64_t ldx, const float *y, int64_t ldy,
                  float *c, int64_t ldc);

/* k_cholesky_rrt - H = R R^T with R upper triangular (the form of GPTQ without inverse). On entry the lower triangle of
 * h [k,k] (symmetric); on exit its UPPER triangle with diagonal holds R, the strict lower triangle is undefined.
 * float32 storage, sums as defined above. Returns 0, or j+1 when pivot j (counted from the end) is not positive or not
 * finite: h is then destroyed. */
int64_t k_cholesky_rrt(int64_t k, float *h, int64_t ldh);

/* ---- rows: n rows of d elements each ---- */
void k_rmsnorm(int64_t n, int64_t d, const float *x, int64_t ldx, const float *w, float w_offset, double eps,
               float *y, int64_t ldy); /* w may be NULL */
void k_layernorm(int64_t n, int64_t d, const float *x, int64_t ldx, const float *w, const float *b,
                 float w_offset, double eps, float *y, int64_t ldy); /* w, b may be NULL */
void k_add_bias(int64_t n, int64_t d, float *y, int64_t ldy, const float *bias);
void k_axpy(int64_t n, float a, const float *x, float *y); /* y += a*x: mul, then add */
void k_mul(int64_t n, const float *x, float *y);           /* y *= x */
/* Activations in place; `act` is a row of k_acts. u == NULL: plain; else y = act(y) * u. */
enum k_act { ACT_SILU, ACT_GELU, ACT_GELU_TANH, ACT_QUICK_GELU, ACT_RELU, ACT_RELU2, ACT_COUNT };
void k_act(enum k_act act, int64_t n, float *y, const float *u);
/* k_rope - rotates `heads` heads of head_dim in each of n rows, in place. cos, sin: [n, rot/2] for the rows' positions.
 * pairs 0: (x_j, x_{j+rot/2}); 1: (x_2j, x_2j+1). Dims >= rot pass through. */
void k_rope(int64_t n, int64_t heads, int64_t head_dim, int64_t rot, int pairs, const float *cos,
            const float *sin, float *x, int64_t ldx);

/* k_attention - causal attention of one sequence. q [t, heads*d], k, v [t, kv_heads*d(v)], out [t, heads*dv]. scale multiplies
 * scores; window > 0: key > query - window; softcap > 0: cap*tanh(s/cap); sinks: NULL or [heads]; alibi: NULL or slopes
 * [heads], bias slope*key_position. scratch: k_attention_scratch() floats. */
struct k_attn {
    int64_t t, heads, kv_heads, d, dv;
    float scale, softcap;
    int64_t window; /* 0: none */
    const float *sinks, *alibi;
};
int64_t k_attention_scratch(const struct k_attn *p);
void k_attention(const struct k_attn *p, const float *q, int64_t ldq, const float *k, int64_t ldk,
                 const float *v, int64_t ldv, float *out, int64_t ldo, float *scratch);

/* k_logprob_rows - for each of n rows of logits [n, v]: log softmax at target[i] (double), argmax. lse may be NULL. */
void k_logprob_rows(int64_t n, int64_t v, const float *logits, int64_t ld, const int32_t *target,
                    double *logprob, double *lse, int32_t *argmax);
/* k_kl_rows - KL(p || q) of each row, natural log: p, q logits [n, v], float64 sums in 16 lanes. */
void k_kl_rows(int64_t n, int64_t v, const float *p, int64_t ldp, const float *q, int64_t ldq, double *kl);

/* k_fake_quantize - y = x rounded to a number format and back, n rows of d, as compressed-tensors' fake_quantize in float32:
 * (round(clamp(x / scale + zero)) - zero) * scale. Scales are given, or those of the values that share one. A NaN or an
 * infinity makes all values of its cell NaN. x and y may be the same. */
enum k_fake_number { K_FAKE_INT, K_FAKE_E4M3_NUMBER, K_FAKE_E2M1 };
enum k_fake_from {
    K_FAKE_GIVEN, /* scale, zero */
    K_FAKE_FLOAT, /* largest magnitude / half the range of numbers, or (max - min) / the range */
    K_FAKE_E4M3,  /* the same, times global, as E4M3, over global */
    K_FAKE_E8M0,  /* a power of two (MX) */
};
struct k_fake {
    enum k_fake_number number;
    enum k_fake_from from;
    float least, most; /* numbers there are: -128, 127; -448, 448; -6, 6 */
    int asymmetric;    /* K_FAKE_FLOAT: with a zero point (integers only) */
    int all_rows;      /* one scale for all rows; group is 0 then */
    int64_t group;     /* columns that share a scale; 0: the row */
    float scale, zero, global;
};
void k_fake_quantize(const struct k_fake *q, int64_t n, int64_t d, const float *x, int64_t ldx, float *y,
                     int64_t ldy);

/* ---- sums ---- */
float k_dot(int64_t n, const float *x, const float *y);
double k_dot64(int64_t n, const float *x, const float *y); /* products and sums in float64, 16 lanes */
void k_minmax(int64_t n, const float *x, float *min, float *max);
int k_all_finite(int64_t n, const float *x);

/* k_parallel - runs f(arg, i) for i in [0, n) on the pool, in any order; f must write only what belongs to i. */
void k_parallel(int64_t n, void (*f)(void *arg, int64_t i), void *arg);
int k_worker(void); /* which worker runs now, 0..kernels_threads()-1: for scratch, never for results */
#endif
