/* panel.h - the loops of the solvers: weights rounded to numbers times scales, 32 rows side by side ("a panel": [columns][32],
 * row r in lane r). As in kernels.h, plain C is the definition and every level gives the same bits; products that enter a
 * sum here are rounded before they are added (no fma). Each call works on its caller's thread. */
#ifndef QP_KERNELS_PANEL_H
#define QP_KERNELS_PANEL_H
#include "base/tensor.h"
#include "kernels/kernels.h"

enum { K_PANEL = 32, K_BLOCK = 16 };

/* What codes stand for: integers from least to most, E2M1 or E4M3; decoded values are rounded to store. */
struct k_number {
    enum k_fake_number kind;
    float least, most;
    enum dtype store; /* BF16, F16, else float32 */
};
/* k_round_each - x / scale by true division, + zero, clamped, half to even: the code and (number - zero) * scale. */
void k_round_each(const struct k_number *m, int64_t n, const float *x, const float *scale, const float *zero,
                  int8_t *code, float *q);

/* k_panel_load - to[j * 32 + r] = from[r * ld + j], j < n, zero for rows <= r < 32; writes up to 16 floats behind to[n * 32].
 * k_panel_store - the other way for n <= 128 columns: to[r * 128 + j] = from[j * 32 + r], zero for j >= n; to: K_STORE. */
enum { K_COLUMNS = 128, K_STORE = K_PANEL * K_COLUMNS + 16 };
void k_panel_load(int64_t rows, int64_t n, const float *from, int64_t ld, float *to);
void k_panel_store(int64_t n, const float *from, float *to);

/* Columns that are rounded one after the other, each with the errors of those before it in its target. */
struct k_panel {
    const float *w; /* [n][32] */
    float *target, *q,
        *e; /* [n][32]; target: what columns elsewhere made of w, and then what was rounded; e = w - q */
    int8_t *code;        /* [n][32] */
    const float *t, *rr; /* t[j * ldt + i]: what a unit of e in column i adds to column j; [n]: R_jj^2 */
    int64_t ldt;
    const float *scale, *zero; /* [cells][32] */
    const int64_t *cell;       /* [n], or NULL: all in cell 0 */
};
/* k_panel_terms - target_j += sum over i in [a, b), ascending, of e_i t_ij, for j in [from, to), from >= b. */
void k_panel_terms(const struct k_panel *p, int64_t a, int64_t b, int64_t from, int64_t to);
/* k_panel_round - columns [from, to): terms of [from, j) into column j, then its codes, values and errors. */
void k_panel_round(const struct k_number *m, const struct k_panel *p, int64_t from, int64_t to);
/* k_panel_cost - cost[32] = sum over columns [from, to), ascending, of rr (target - q)^2, float32. */
void k_panel_cost(const struct k_panel *p, int64_t from, int64_t to, float *cost);
/* k_panel_sums - adds columns [0, n) in float64: (w - q)^2 to error, w^2 to weight, rr (target - q)^2 to peer, [32] each. */
void k_panel_sums(const struct k_panel *p, int64_t n, double *error, double *weight, double *peer);

/* k_cell_error - sum of weight |q - x|^2.5 over one cell, q as above but by a product with 1 / scale; 16 lanes. */
float k_cell_error(const struct k_number *m, int64_t n, const float *x, const float *weight, float scale,
                   float zero);

/* Coordinate descent over the codes of up to 32 rows: value j goes to the number nearest q_j - g_j / h_jj where that is nearer
 * than q_j, and g = (Q - W) H follows. Columns ascend; a row depends on nothing but itself. */
struct k_descent {
    int64_t k, rows, ld; /* columns; rows at a distance of ld */
    const float *h;      /* [k, k], symmetric */
    const float
        *scale; /* row r has its own at scale + (row0 + r) / cell_rows * cells, columns cell_cols wide */
    const int8_t *zero; /* or NULL */
    int64_t row0, cell_rows, cell_cols, cells;
    float *g, *q;
    int8_t *code;
    const uint8_t *done; /* [rows]: 1: leave the row alone */
    int last;            /* no pass follows: columns behind need no g */
    double *gain;        /* [rows]: by how much the loss of the row fell */
};
void k_descend(const struct k_number *m, const struct k_descent *d);
#endif
