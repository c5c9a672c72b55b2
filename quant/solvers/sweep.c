/* sweep.c - coordinate descent over codes on tr((Q - W) H (Q - W)^T) after a solver (QuantEase, arXiv:2309.01885): column
 * after column to the number nearest q_j - g_j / H_jj, g = (Q - W) H. Nothing is accepted that raises a row's loss.
 *
 * g stays whole between columns and passes: only a code that changes costs something, one row of H into one row of g. After
 * GPTQ a few codes in a hundred still change, so that all passes together cost less than one product (Q - W) H. A row
 * rests when a pass gained less than a thousandth of its loss. */
#include "base/mem.h"
#include "kernels/panel.h"
#include "quant/solvers/tune.h"

static const double worth = 1e-3; /* of a row's loss */

struct job {
    const struct fitted_matrix *m;
    const double *loss; /* [rows] */
    struct k_number number;
    float *grad;
    int64_t passes;
};

static void sweep_panel(void *arg, int64_t panel)
{
    const struct job *job = arg;
    struct qtensor *q = job->m->q;
    const struct grid_layout *l = &q->layout;
    int64_t r0 = panel * K_PANEL, rows = l->rows - r0 < K_PANEL ? l->rows - r0 : K_PANEL;
    uint8_t done[K_PANEL] = { 0 };
    double gain[K_PANEL];
    struct k_descent d = { .k = l->cols,
                           .rows = rows,
                           .ld = l->cols,
                           .h = job->m->h,
                           .scale = q->scale,
                           .zero = q->zero,
                           .row0 = r0,
                           .cell_rows = l->cell_rows,
                           .cell_cols = l->cell_cols,
                           .cells = l->param_cols,
                           .g = job->grad + r0 * l->cols,
                           .q = job->m->w + r0 * l->cols,
                           .code = q->codes + r0 * l->cols,
                           .done = done,
                           .gain = gain };
    for (int64_t i = 0; i < job->passes; i++) {
        int64_t left = 0;
        for (int64_t r = 0; r < rows; r++)
            gain[r] = 0;
        d.last = i + 1 == job->passes;
        k_descend(&job->number, &d);
        for (int64_t r = 0; r < rows; r++) {
            done[r] = done[r] || !(gain[r] > worth * job->loss[r0 + r]);
            left += !done[r];
        }
        if (!left)
            return;
    }
}

int sweep(const struct fitted_matrix *m, float *grad, const double *loss, int64_t passes, struct err *e)
{
    const struct grid_layout *l = &m->q->layout;
    const struct grid *grid = grid_for(&l->args, e);
    struct job job = { .m = m, .grad = grad, .loss = loss, .passes = passes };
    if (!grid)
        return -1;
    grid->number(l, &job.number);
    k_parallel((l->rows + K_PANEL - 1) / K_PANEL, sweep_panel, &job);
    return 0;
}
