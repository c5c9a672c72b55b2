/* solvers.c - the table of solvers, and what they share. */
#include "base/mem.h"
#include "quant/inner.h"
#include "quant/solvers/solve.h"
#include <string.h>

extern const struct solver solver_rtn, solver_gptq;

const struct solver *const solvers[] = { &solver_rtn, &solver_gptq, NULL };

const struct solver *solver_find(const char *name)
{
    for (int i = 0; solvers[i]; i++)
        if (strcmp(solvers[i]->name, name) == 0)
            return solvers[i];
    return NULL;
}

const struct grid *solve_begin(const struct gram *g, const float *w, const struct qtensor *q, struct err *e)
{
    BUG_ON(g && g->k != q->layout.cols);
    const struct grid *grid = grid_for(&q->layout.args, e);
    if (!grid || rows_finite(w, q->layout.rows, q->layout.cols, q->layout.row0, e))
        return NULL;
    if (grid->unit != 1) {
        err_set(e, ERR_UNBUILT, "grid %s rounds %d columns together, which no solver of this version can",
                grid->name, grid->unit);
        return NULL;
    }
    return grid;
}

void sum_rows(const struct row_sums *rows, int64_t n, struct row_sums *out)
{
    struct row_sums s = { 0 };
    for (int64_t r = 0; r < n; r++) {
        s.error += rows[r].error;
        s.weight += rows[r].weight;
        s.peer += rows[r].peer;
    }
    *out = s;
}
