/* gptq.c - GPTQ (arXiv:2210.17323) without an inverse, left-looking in blocks of 128 columns.
 *
 * With H = R R^T (R upper triangular) and T = R with unit diagonal, tr(E H E^T) = sum_j R_jj^2 (target_j - Q_j)^2 where
 * target_j = W_j + sum_{i<j} E_i T_ij and E = W - Q. Rounding each target in turn gives the codes of the inverse-based
 * form (whose U_jj is 1 / R_jj). For a block J: one product E[:, <J] T[<J, J] for all rows, then panels of 32 rows go
 * through the block column by column, 32 rows to a vector.
 *
 * The sum of a target: the product (order of kernels.h, from the first column), plus W_j, plus the terms of its own
 * block in ascending i, each a product rounded and then added. The block is 128 wide whatever solve_options says, so
 * codes depend on neither block_size nor threads. Rounding is the grid's: float32 quotient, true division. */
#include "base/mem.h"
#include "kernels/compute.h"
#include "kernels/kernels.h"
#include "quant/solvers/solve.h"
#include <math.h>
#include <string.h>

extern const struct solver solver_gptq;

enum { BLOCK = 128, PANEL = 32 };

struct job {
    const struct grid *grid;
    const struct factor *f;
    struct qtensor *q;
    float *w;      /* [rows, k], original columns; decoded values once a column is done */
    float *error;  /* [rows, k], columns in the order of the solve: E */
    float *target; /* [rows, BLOCK]: the product for this block */
    float *tt;     /* [BLOCK, BLOCK]: T of this block, transposed */
    float *rr;     /* [BLOCK]: R_jj^2 */
    int64_t *cell; /* [BLOCK]: column of cells */
    struct row_sums *sums;
    int64_t from, n; /* this block */
};

/* A block of a panel, columns first: 32 rows side by side make a vector, and memory is read and written row by row (a
 * column of w is a walk in steps of a power of two, which throws itself out of the cache). Lanes without a row hold
 * zeros and scale 1. 100 KiB, on the stack of its thread. */
struct panel {
    float w[BLOCK][PANEL], target[BLOCK][PANEL], scale[BLOCK][PANEL], zero[BLOCK][PANEL], q[BLOCK][PANEL];
    float e[BLOCK][PANEL];
    int8_t code[BLOCK][PANEL];
};

static void load_row(const struct job *job, int64_t r, int lane, struct panel *p)
{
    const struct grid_layout *l = &job->q->layout;
    const int64_t *order = job->f->order + job->from;
    const float *w = job->w + r * l->cols, *target = job->target + r * BLOCK;
    int64_t cells = r / l->cell_rows * l->param_cols;
    for (int64_t j = 0; j < job->n; j++) {
        int64_t i = cells + job->cell[j];
        float v = job->f->dead[order[j]] ? 0.0f : w[order[j]];
        p->w[j][lane] = v;
        p->target[j][lane] = target[j] + v;
        p->scale[j][lane] = job->q->scale[i];
        p->zero[j][lane] = job->q->zero ? (float)job->q->zero[i] : 0.0f;
    }
}

static void no_row(int64_t n, int lane, struct panel *p)
{
    for (int64_t j = 0; j < n; j++) {
        p->w[j][lane] = p->target[j][lane] = p->zero[j][lane] = 0.0f;
        p->scale[j][lane] = 1.0f;
    }
}

/* target += sum over the columns before j of this block: e [j][PANEL], t [j] = T_ij. */
static void add_block_terms(int64_t j, float (*e)[PANEL], const float *t, float *target)
{
    float acc[PANEL];
    memcpy(acc, target, sizeof acc);
    for (int64_t i = 0; i < j; i++)
        for (int r = 0; r < PANEL; r++)
            acc[r] += e[i][r] * t[i];
    memcpy(target, acc, sizeof acc);
}

static void store_row(const struct job *job, int64_t r, int lane, const struct panel *p)
{
    int64_t k = job->q->layout.cols;
    const int64_t *order = job->f->order + job->from;
    float *w = job->w + r * k, *error = job->error + r * k + job->from;
    int8_t *codes = job->q->codes + r * k;
    struct row_sums sums = job->sums[r];
    for (int64_t j = 0; j < job->n; j++) {
        double q = (double)p->q[j][lane], was = (double)w[order[j]], t = (double)p->target[j][lane] - q;
        sums.error += (was - q) * (was - q);
        sums.weight += was * was;
        sums.peer += (double)job->rr[j] * (t * t);
        error[j] = p->e[j][lane];
        codes[order[j]] = p->code[j][lane];
        w[order[j]] = p->q[j][lane];
    }
    job->sums[r] = sums;
}

static void solve_panel(void *arg, int64_t panel)
{
    const struct job *job = arg;
    const struct grid_layout *l = &job->q->layout;
    int64_t r0 = panel * PANEL;
    int rows = l->rows - r0 < PANEL ? (int)(l->rows - r0) : PANEL;
    struct panel p;
    for (int r = 0; r < rows; r++)
        load_row(job, r0 + r, r, &p);
    for (int r = rows; r < PANEL; r++)
        no_row(job->n, r, &p);
    for (int64_t j = 0; j < job->n; j++) {
        add_block_terms(j, p.e, job->tt + j * BLOCK, p.target[j]);
        job->grid->round_each(l, PANEL, p.target[j], p.scale[j], p.zero[j], p.code[j], p.q[j]);
        for (int r = 0; r < PANEL; r++)
            p.e[j][r] = p.w[j][r] - p.q[j][r];
    }
    for (int r = 0; r < rows; r++)
        store_row(job, r0 + r, r, &p);
}

static void solve_block(struct job *job)
{
    int64_t rows = job->q->layout.rows, k = job->f->k;
    const float *t = job->f->r + job->from; /* columns of this block */
    if (job->from)
        compute_now()->gemm_nn(rows, job->n, job->from, job->error, k, t, k, job->target, BLOCK, 0);
    else
        memset(job->target, 0, (size_t)(rows * BLOCK) * sizeof *job->target);
    for (int64_t j = 0; j < job->n; j++) {
        for (int64_t i = 0; i < j; i++)
            job->tt[j * BLOCK + i] = t[(job->from + i) * k + j];
        float d = t[(job->from + j) * k + j];
        job->rr[j] = d * d;
        job->cell[j] = job->f->order[job->from + j] / job->q->layout.cell_cols;
    }
    k_parallel((rows + PANEL - 1) / PANEL, solve_panel, job);
}

static int take_scratch(struct job *job, struct err *e)
{
    size_t rows = (size_t)job->q->layout.rows, k = (size_t)job->f->k;
    job->error = mem_big(rows * k, sizeof *job->error, e);
    job->target = mem_big(rows * BLOCK, sizeof *job->target, e);
    job->tt = mem_big((size_t)BLOCK * BLOCK, sizeof *job->tt, e);
    job->rr = mem_array(BLOCK, sizeof *job->rr, e);
    job->cell = mem_array(BLOCK, sizeof *job->cell, e);
    job->sums = mem_array(rows, sizeof *job->sums, e);
    return job->error && job->target && job->tt && job->rr && job->cell && job->sums ? 0 : -1;
}

/* Columns with a zero diagonal have e = 0, so that sum R_jj^2 (target - q)^2 is tr(E H E^T) plus the damping's part. */
static int finish(const struct job *job, double weight_loss, struct solve_result *res, struct err *e)
{
    const struct factor *f = job->f;
    const struct grid_layout *l = &job->q->layout;
    struct row_sums total;
    double live = 0;
    sum_rows(job->sums, l->rows, &total);
    if (!isfinite(total.peer)) {
        err_set(e, ERR_INPUT, "the errors of this solve grow beyond float32");
        return err_hint(e, "Raise dampening_frac, or use more calibration text.");
    }
    if (!res)
        return 0;
    for (int64_t r = 0; r < l->rows; r++)
        live += k_dot64(l->cols, job->error + r * l->cols, job->error + r * l->cols);
    double loss = total.peer - (double)(float)(f->damp_frac * f->mean_diag) * live;
    *res = (struct solve_result){ .loss = loss > 0 ? loss : 0,
                                  .weight_loss = weight_loss,
                                  .peer_loss = total.peer / 2 };
    res->weight_error = total.weight > 0 ? sqrt(total.error / total.weight) : 0;
    return 0;
}

/* Allocates E [rows, k] and a block of targets [rows, 128] in float32, 24 bytes a row, and 66 KiB for T of a block. */
static int gptq_solve(const struct solve_options *o, const struct factor *f, const struct gram *g, float *w,
                      struct qtensor *q, struct solve_result *res, struct err *e)
{
    struct job job = { .f = f, .q = q, .w = w };
    double weight_loss = 0;
    int rc = -1;
    BUG_ON(!f || f->k != q->layout.cols);
    if (o && o->block_size < 1)
        return err_set(e, ERR_INPUT, "block_size: found %lld, expected at least 1", (long long)o->block_size);
    job.grid = solve_begin(g, w, q, e);
    if (!job.grid || take_scratch(&job, e))
        goto done;
    if (res && g)
        weight_loss = weighted_error(g, w, q->layout.rows);
    for (job.from = 0; job.from < f->k; job.from += BLOCK) {
        job.n = f->k - job.from < BLOCK ? f->k - job.from : BLOCK;
        solve_block(&job);
    }
    for (int64_t r = 0; o && o->row_loss && r < q->layout.rows; r++)
        o->row_loss[r] = job.sums[r].peer;
    rc = finish(&job, weight_loss, res, e);
done:
    mem_free(job.error);
    mem_free(job.target);
    mem_free(job.tt);
    mem_free(job.rr);
    mem_free(job.cell);
    mem_free(job.sums);
    return rc;
}

const struct solver solver_gptq = { "gptq", "columns in order, each error absorbed by the columns after it",
                                    NEED_GRAM, gptq_solve };
