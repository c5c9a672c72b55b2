/* panel_tmpl.h - the loops of panel.h, compiled once per level like rows_tmpl.h. Where sixteen lanes must stay in registers
 * they are vf; the rest is plain C over a fixed number of lanes, which compilers turn into vector code. */
#ifndef QP_KERNELS_PANEL_TMPL_H
#define QP_KERNELS_PANEL_TMPL_H
#include "base/minifloat.h"
#include "base/round.h"
#include "kernels/dispatch.h"
#include "kernels/panel.h"

/* ---- one column of numbers; kind and store are constants where these are inlined ---- */
static inline float nearest_number(const struct k_number *m, enum k_fake_number kind, float t)
{
    if (kind != K_FAKE_INT)
        return minifloat_nearest(kind == K_FAKE_E2M1 ? E2M1 : E4M3, t + 0.0F);
    t = t > m->least ? t : m->least; /* NaN goes to the least, where the conversion is defined */
    t = t < m->most ? t : m->most;
    return round_whole(t);
}
static inline int8_t number_code(enum k_fake_number kind, float v)
{
    return kind == K_FAKE_INT ? (int8_t)(int32_t)v
                              : (int8_t)minifloat_code(kind == K_FAKE_E2M1 ? E2M1 : E4M3, v);
}
static inline void round_span(const struct k_number *m, enum k_fake_number kind, enum dtype store, int64_t n,
                              const float *restrict x, const float *restrict scale,
                              const float *restrict zero, int8_t *restrict code, float *restrict q)
{
    for (int64_t i = 0; i < n; i++) {
        float v = nearest_number(m, kind, kind == K_FAKE_INT ? x[i] / scale[i] + zero[i] : x[i] / scale[i]);
        code[i] = number_code(kind, v);
        q[i] = round_to(store, (kind == K_FAKE_INT ? v - zero[i] : v) * scale[i]);
    }
}
#define STORES(kind)                                                               \
    switch (m->store) {                                                            \
    case DT_BF16: round_span(m, kind, DT_BF16, n, x, scale, zero, code, q); break; \
    case DT_F16: round_span(m, kind, DT_F16, n, x, scale, zero, code, q); break;   \
    default: round_span(m, kind, DT_F32, n, x, scale, zero, code, q); break;       \
    }
static inline void round_numbers(const struct k_number *m, int64_t n, const float *x, const float *scale,
                                 const float *zero, int8_t *code, float *q)
{
    switch (m->kind) {
    case K_FAKE_INT: STORES(K_FAKE_INT) break;
    case K_FAKE_E2M1: STORES(K_FAKE_E2M1) break;
    default: STORES(K_FAKE_E4M3_NUMBER) break;
    }
}
#undef STORES
static void panel_round_each(const struct k_number *m, int64_t n, const float *x, const float *scale,
                             const float *zero, int8_t *code, float *q)
{
    round_numbers(m, n, x, scale, zero, code, q);
}

/* ---- feedback ---- */
static void terms_of_two(const struct k_panel *p, int64_t a, int64_t b, int64_t j)
{
    const float *t0 = p->t + j * p->ldt, *t1 = t0 + p->ldt;
    float *x = p->target + j * K_PANEL;
    vf s0 = f_load(x), s1 = f_load(x + 16), s2 = f_load(x + 32), s3 = f_load(x + 48);
    for (int64_t i = a; i < b; i++) {
        const float *e = p->e + i * K_PANEL;
        vf e0 = f_load(e), e1 = f_load(e + 16), u0 = f_set(t0[i]), u1 = f_set(t1[i]);
        s0 = f_add(s0, f_mul(e0, u0));
        s1 = f_add(s1, f_mul(e1, u0));
        s2 = f_add(s2, f_mul(e0, u1));
        s3 = f_add(s3, f_mul(e1, u1));
    }
    f_store(x, s0);
    f_store(x + 16, s1);
    f_store(x + 32, s2);
    f_store(x + 48, s3);
}
static void terms_of_one(const struct k_panel *p, int64_t a, int64_t b, int64_t j)
{
    const float *t = p->t + j * p->ldt;
    float *x = p->target + j * K_PANEL;
    vf s0 = f_load(x), s1 = f_load(x + 16);
    for (int64_t i = a; i < b; i++) {
        const float *e = p->e + i * K_PANEL;
        vf u = f_set(t[i]);
        s0 = f_add(s0, f_mul(f_load(e), u));
        s1 = f_add(s1, f_mul(f_load(e + 16), u));
    }
    f_store(x, s0);
    f_store(x + 16, s1);
}
static void panel_terms(const struct k_panel *p, int64_t a, int64_t b, int64_t from, int64_t to)
{
    for (; from + 1 < to; from += 2)
        terms_of_two(p, a, b, from);
    if (from < to)
        terms_of_one(p, a, b, from);
}
static void panel_round(const struct k_number *m, const struct k_panel *p, int64_t from, int64_t to)
{
    for (int64_t a = from; a < to; a += K_BLOCK) {
        int64_t b = a + K_BLOCK < to ? a + K_BLOCK : to;
        for (int64_t j = a; j < b; j++) {
            float *target = p->target + j * K_PANEL, *q = p->q + j * K_PANEL, *e = p->e + j * K_PANEL;
            const float *w = p->w + j * K_PANEL;
            int64_t cell = p->cell ? p->cell[j] * K_PANEL : 0;
            terms_of_one(p, a, j, j);
            round_numbers(m, K_PANEL, target, p->scale + cell, p->zero + cell, p->code + j * K_PANEL, q);
            for (int r = 0; r < K_PANEL; r++)
                e[r] = w[r] - q[r];
        }
        panel_terms(p, a, b, b, to);
    }
}
static void panel_cost(const struct k_panel *p, int64_t from, int64_t to, float *cost)
{
    vf c0 = f_set(0.0F), c1 = f_set(0.0F);
    for (int64_t j = from; j < to; j++) {
        const float *t = p->target + j * K_PANEL, *q = p->q + j * K_PANEL;
        vf d0 = f_sub(f_load(t), f_load(q)), d1 = f_sub(f_load(t + 16), f_load(q + 16)), rr = f_set(p->rr[j]);
        c0 = f_add(c0, f_mul(rr, f_mul(d0, d0)));
        c1 = f_add(c1, f_mul(rr, f_mul(d1, d1)));
    }
    f_store(cost, c0);
    f_store(cost + 16, c1);
}
static void panel_sums(const struct k_panel *p, int64_t n, double *restrict error, double *restrict weight,
                       double *restrict peer)
{
    for (int64_t j = 0; j < n; j++) {
        const float *w = p->w + j * K_PANEL, *t = p->target + j * K_PANEL, *q = p->q + j * K_PANEL;
        double rr = (double)p->rr[j];
        for (int r = 0; r < K_PANEL; r++) {
            double was = (double)w[r], is = (double)q[r], d = (double)t[r] - is;
            error[r] += (was - is) * (was - is);
            weight[r] += was * was;
            peer[r] += rr * (d * d);
        }
    }
}

/* ---- the error of a cell under a scale ---- */
/* |d|^2.5: squares clip too much (quant/solvers/scales.c) */
static inline float cell_term(const struct k_number *m, enum k_fake_number kind, float x, float weight,
                              float scale, float inv, float zero)
{
    float d = kind == K_FAKE_INT ? (nearest_number(m, kind, x * inv + zero) - zero) * scale - x
                                 : nearest_number(m, kind, x * inv) * scale - x;
    return d * d * sqrtf(fabsf(d)) * weight;
}
static inline float cell_sum(const struct k_number *m, enum k_fake_number kind, int64_t n,
                             const float *restrict x, const float *restrict weight, float scale, float zero)
{
    float lane[16] = { 0 }, inv = 1.0F / scale;
    int64_t j = 0;
    for (; j + 16 <= n; j += 16)
        for (int l = 0; l < 16; l++)
            lane[l] += cell_term(m, kind, x[j + l], weight[j + l], scale, inv, zero);
    for (; j < n; j++)
        lane[j % 16] += cell_term(m, kind, x[j], weight[j], scale, inv, zero);
    for (int half = 8; half; half /= 2)
        for (int l = 0; l < half; l++)
            lane[l] += lane[l + half];
    return lane[0];
}
static float panel_cell_error(const struct k_number *m, int64_t n, const float *x, const float *weight,
                              float scale, float zero)
{
    switch (m->kind) {
    case K_FAKE_INT: return cell_sum(m, K_FAKE_INT, n, x, weight, scale, zero);
    case K_FAKE_E2M1: return cell_sum(m, K_FAKE_E2M1, n, x, weight, scale, zero);
    default: return cell_sum(m, K_FAKE_E4M3_NUMBER, n, x, weight, scale, zero);
    }
}

/* ---- coordinate descent ---- */
/* Sixteen columns of a row. diagonal 0: a column past the end. */
struct descent_block {
    float g[K_BLOCK], q[K_BLOCK], scale[K_BLOCK], zero[K_BLOCK], diagonal[K_BLOCK];
    float next[K_BLOCK], gain[K_BLOCK];
    int8_t code[K_BLOCK];
};
static void descent_look(const struct k_number *m, struct descent_block *b)
{
    float t[K_BLOCK];
    for (int i = 0; i < K_BLOCK; i++)
        t[i] = b->diagonal[i] > 0.0F ? b->q[i] - b->g[i] / b->diagonal[i] : b->q[i];
    round_numbers(m, K_BLOCK, t, b->scale, b->zero, b->code, b->next);
    for (int i = 0; i < K_BLOCK; i++) {
        float was = b->q[i] - t[i], is = b->next[i] - t[i];
        b->gain[i] = was * was - is * is;
    }
}
static void descent_load(const struct k_descent *d, int64_t r, int64_t j0, int n, struct descent_block *b)
{
    int64_t cells = (d->row0 + r) / d->cell_rows * d->cells, cell = j0 / d->cell_cols;
    int64_t left = (cell + 1) * d->cell_cols - j0;
    for (int i = 0; i < K_BLOCK; i++) {
        int there = i < n;
        if (there && left-- == 0) {
            cell++;
            left = d->cell_cols - 1;
        }
        b->g[i] = there ? d->g[r * d->ld + j0 + i] : 0.0F;
        b->q[i] = there ? d->q[r * d->ld + j0 + i] : 0.0F;
        b->scale[i] = d->scale[cells + cell];
        b->zero[i] = d->zero ? (float)d->zero[cells + cell] : 0.0F;
    }
}
/* Rows' moves inside a block: how far, and which columns. */
struct descent_moves {
    float far[K_BLOCK];
    int column[K_BLOCK], n;
};
static void descent_row(const struct k_number *m, const struct k_descent *d, int64_t r, int64_t j0, int n,
                        struct descent_block *b, struct descent_moves *moves)
{
    descent_load(d, r, j0, n, b);
    descent_look(m, b);
    for (int i = 0; i < n; i++) {
        if (!(b->gain[i] > 0.0F))
            continue;
        const float *h = d->h + (j0 + i) * d->k + j0;
        float far = b->next[i] - b->q[i];
        b->q[i] = d->q[r * d->ld + j0 + i] = b->next[i];
        d->code[r * d->ld + j0 + i] = b->code[i];
        d->gain[r] += (double)b->diagonal[i] * (double)b->gain[i];
        moves->far[moves->n] = far;
        moves->column[moves->n++] = i;
        for (int l = 0; l < n; l++)
            b->g[l] += far * h[l];
        descent_look(m, b);
    }
    if (moves->n)
        for (int i = 0; i < n; i++)
            d->g[r * d->ld + j0 + i] = b->g[i];
}
/* g[from, to) += moves times their rows of h, one after the other */
static void descent_spread(const struct k_descent *d, const struct descent_moves *moves, int64_t j0,
                           int64_t from, int64_t to, float *g)
{
    int64_t j = from;
    for (; j + 16 <= to; j += 16) {
        vf s = f_load(g + j);
        for (int i = 0; i < moves->n; i++)
            s = f_add(s, f_mul(f_set(moves->far[i]), f_load(d->h + (j0 + moves->column[i]) * d->k + j)));
        f_store(g + j, s);
    }
    for (; j < to; j++)
        for (int i = 0; i < moves->n; i++)
            g[j] += moves->far[i] * d->h[(j0 + moves->column[i]) * d->k + j];
}
static void panel_descend(const struct k_number *m, const struct k_descent *d)
{
    enum { STRIP = 512 };
    struct descent_moves moves[K_PANEL];
    struct descent_block b;
    for (int64_t j0 = 0; j0 < d->k; j0 += K_BLOCK) {
        int n = d->k - j0 < K_BLOCK ? (int)(d->k - j0) : K_BLOCK;
        for (int i = 0; i < K_BLOCK; i++)
            b.diagonal[i] = i < n ? d->h[(j0 + i) * d->k + j0 + i] : 0.0F;
        for (int64_t r = 0; r < d->rows; r++) {
            moves[r].n = 0;
            if (!d->done[r])
                descent_row(m, d, r, j0, n, &b, &moves[r]);
        }
        for (int64_t at = d->last ? j0 + n : 0; at < d->k; at += STRIP)
            for (int64_t r = 0; r < d->rows; r++) {
                int64_t to = at + STRIP < d->k ? at + STRIP : d->k;
                if (!moves[r].n)
                    continue;
                if (at < j0)
                    descent_spread(d, &moves[r], j0, at, to < j0 ? to : j0, d->g + r * d->ld);
                if (to > j0 + n)
                    descent_spread(d, &moves[r], j0, at > j0 + n ? at : j0 + n, to, d->g + r * d->ld);
            }
    }
}

static const struct panel_kern panel_kern = { .round_each = panel_round_each,
                                              .terms = panel_terms,
                                              .round = panel_round,
                                              .cost = panel_cost,
                                              .sums = panel_sums,
                                              .cell_error = panel_cell_error,
                                              .descend = panel_descend };
#endif
