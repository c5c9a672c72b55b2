/* panel.c - the doors of panel.h: the level's own. */
#include "kernels/panel.h"
#include "kernels/dispatch.h"

void k_round_each(const struct k_number *m, int64_t n, const float *x, const float *scale, const float *zero,
                  int8_t *code, float *q)
{
    kern_now()->panel->round_each(m, n, x, scale, zero, code, q);
}
void k_panel_load(int64_t rows, int64_t n, const float *from, int64_t ld, float *to)
{
    kern_now()->pack_t(K_PANEL, rows, n, from, ld, 0, to);
}
void k_panel_store(int64_t n, const float *from, float *to)
{
    kern_now()->pack_t(K_COLUMNS, n, K_PANEL, from, K_PANEL, 0, to);
}
void k_panel_terms(const struct k_panel *p, int64_t a, int64_t b, int64_t from, int64_t to)
{
    kern_now()->panel->terms(p, a, b, from, to);
}
void k_panel_round(const struct k_number *m, const struct k_panel *p, int64_t from, int64_t to)
{
    kern_now()->panel->round(m, p, from, to);
}
void k_panel_cost(const struct k_panel *p, int64_t from, int64_t to, float *cost)
{
    kern_now()->panel->cost(p, from, to, cost);
}
void k_panel_sums(const struct k_panel *p, int64_t n, double *error, double *weight, double *peer)
{
    kern_now()->panel->sums(p, n, error, weight, peer);
}
float k_cell_error(const struct k_number *m, int64_t n, const float *x, const float *weight, float scale,
                   float zero)
{
    return kern_now()->panel->cell_error(m, n, x, weight, scale, zero);
}
void k_descend(const struct k_number *m, const struct k_descent *d) { kern_now()->panel->descend(m, d); }
