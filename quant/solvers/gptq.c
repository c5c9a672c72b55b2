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
#include "kernels/panel.h"
#include "quant/solvers/solve.h"
#include <math.h>
#include <string.h>

extern const struct solver solver_gptq;

enum { BLOCK = K_COLUMNS, PANEL = K_PANEL };

struct job {
    struct k_number number;
    const struct factor *f;
    struct qtensor *q;
    float *w;     /* [rows, k]; while blocks are solved: decoded values, columns in the order of the solve */
    float *error; /* [rows, k], the same order: E, and behind it the weights that are still to come */
    float *residual;     /* NULL, or [rows, k], the same order: R_jj^2 (q - target) */
    float *target;       /* [rows, BLOCK]: the product for this block */
    float *tt;           /* [BLOCK, BLOCK]: T of this block, transposed */
    float *rr;           /* [BLOCK]: R_jj^2 */
    float *scale, *zero; /* [panels, param_cols, PANEL]: parameters, rows side by side */
    int64_t *cell;       /* [BLOCK]: column of cells */
    struct row_sums *sums;
    int64_t from, n; /* this block */
};

/* A block of a panel, columns first: 32 rows side by side make vectors, and memory is read and written row by row (a
 * column of w is a walk in steps of a power of two, which throws itself out of the cache). Lanes without a row hold
 * zeros. With a block to transpose 86 KiB, on the stack of its thread. */
struct panel {
    float w[BLOCK][PANEL], target[BLOCK][PANEL], q[BLOCK][PANEL], e[BLOCK][PANEL];
    int8_t code[BLOCK][PANEL];
    double error[PANEL], weight[PANEL], peer[PANEL];
};

static void load(const struct job *job, int64_t r0, int rows, struct panel *p)
{
    k_panel_load(rows, job->n, job->error + r0 * job->f->k + job->from, job->f->k, p->w[0]);
    k_panel_load(rows, job->n, job->target + r0 * BLOCK, BLOCK, p->target[0]);
    for (int64_t j = 0; j < job->n; j++)
        for (int r = 0; r < PANEL; r++)
            p->target[j][r] += p->w[j][r];
    for (int r = 0; r < PANEL; r++) {
        struct row_sums was = { 0 };
        if (r < rows)
            was = job->sums[r0 + r];
        p->error[r] = was.error;
        p->weight[r] = was.weight;
        p->peer[r] = was.peer;
    }
}

static void store_floats(const struct job *job, int64_t r0, int rows, float (*from)[PANEL], float *to)
{
    float flat[K_STORE];
    k_panel_store(job->n, from[0], flat);
    for (int r = 0; r < rows; r++)
        memcpy(to + (r0 + r) * job->f->k + job->from, flat + r * K_COLUMNS, (size_t)job->n * sizeof *to);
}

static void store(const struct job *job, int64_t r0, int rows, struct panel *p)
{
    store_floats(job, r0, rows, p->e, job->error);
    store_floats(job, r0, rows, p->q, job->w);
    for (int r = 0; r < rows; r++) {
        int8_t *codes = job->q->codes + (r0 + r) * job->f->k + job->from;
        for (int64_t j = 0; j < job->n; j++)
            codes[j] = p->code[j][r];
        job->sums[r0 + r] = (struct row_sums){ p->error[r], p->weight[r], p->peer[r] };
    }
    if (!job->residual)
        return;
    for (int64_t j = 0; j < job->n; j++)
        for (int r = 0; r < PANEL; r++)
            p->q[j][r] = job->rr[j] * (p->q[j][r] - p->target[j][r]);
    store_floats(job, r0, rows, p->q, job->residual);
}

/* Dead columns count as 0 while they are rounded (dead 1), and as what they were in the sums (dead 0). */
static void dead_columns(const struct job *job, int64_t r0, int rows, int dead, struct panel *p)
{
    const int64_t *order = job->f->order + job->from;
    for (int64_t j = 0; j < job->n; j++)
        for (int r = 0; job->f->dead[order[j]] && r < rows; r++) {
            p->w[j][r] = dead ? 0.0f : job->error[(r0 + r) * job->f->k + job->from + j];
            if (dead)
                p->target[j][r] = job->target[(r0 + r) * BLOCK + j] + 0.0f;
        }
}

static void solve_panel(void *arg, int64_t panel)
{
    const struct job *job = arg;
    const struct grid_layout *l = &job->q->layout;
    int64_t r0 = panel * PANEL, cells = panel * l->param_cols * PANEL;
    int rows = l->rows - r0 < PANEL ? (int)(l->rows - r0) : PANEL;
    struct panel p;
    struct k_panel k = { .w = p.w[0],
                         .target = p.target[0],
                         .q = p.q[0],
                         .e = p.e[0],
                         .code = p.code[0],
                         .t = job->tt,
                         .ldt = BLOCK,
                         .rr = job->rr,
                         .scale = job->scale + cells,
                         .zero = job->zero + cells,
                         .cell = job->cell };
    load(job, r0, rows, &p);
    dead_columns(job, r0, rows, 1, &p);
    k_panel_round(&job->number, &k, 0, job->n);
    dead_columns(job, r0, rows, 0, &p);
    k_panel_sums(&k, job->n, p.error, p.weight, p.peer);
    store(job, r0, rows, &p);
}

/* Parameters of a panel, rows side by side; lanes without a row: scale 1. */
static void params_panel(void *arg, int64_t panel)
{
    const struct job *job = arg;
    const struct grid_layout *l = &job->q->layout;
    int64_t cells = panel * l->param_cols * PANEL;
    float *scale = job->scale + cells, *zero = job->zero + cells;
    for (int lane = 0; lane < PANEL; lane++) {
        int64_t r = panel * PANEL + lane, at = r / l->cell_rows * l->param_cols;
        for (int64_t c = 0; c < l->param_cols; c++) {
            scale[c * PANEL + lane] = r < l->rows ? job->q->scale[at + c] : 1.0f;
            zero[c * PANEL + lane] = r < l->rows && job->q->zero ? (float)job->q->zero[at + c] : 0.0f;
        }
    }
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

/* The gradient (Q - W) H in original columns: R_jj^2 (q - target) is column j of (Q - W) R, scaled by R_jj, so that the
 * product with the transpose of T is what is missing. It lands where E was; rows k^2 multiply-adds / 2. */
static void gradient_row(void *arg, int64_t r)
{
    const struct job *job = arg;
    int64_t k = job->f->k;
    for (int64_t j = 0; j < k; j++)
        job->residual[r * k + job->f->order[j]] = job->error[r * k + j];
}

static void gradient(struct job *job)
{
    int64_t rows = job->q->layout.rows, k = job->f->k;
    for (int64_t from = 0; from < k; from += BLOCK) {
        int64_t n = k - from < BLOCK ? k - from : BLOCK, end = from + n;
        const float *t = job->f->r + from * k;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++)
                job->tt[i * BLOCK + j] = j > i ? t[i * k + from + j] : j == i ? 1.0f : 0.0f;
        compute_now()->gemm_nt(rows, n, n, job->residual + from, k, job->tt, BLOCK, job->error + from, k, 0);
        if (end < k)
            compute_now()->gemm_nt(rows, n, k - end, job->residual + end, k, t + end, k, job->error + from, k,
                                   1);
    }
    k_parallel(rows, gradient_row, job);
}

/* Columns are put into the order of the solve once, and back at the end: blocks then touch memory in one piece. */
static void order_row(void *arg, int64_t r)
{
    const struct job *job = arg;
    int64_t k = job->f->k;
    for (int64_t j = 0; j < k; j++)
        job->error[r * k + j] = job->w[r * k + job->f->order[j]];
}

/* E is not needed any more: its row serves as the copy. */
static void original_row(void *arg, int64_t r)
{
    const struct job *job = arg;
    int64_t k = job->f->k;
    float *copy = job->error + r * k, *w = job->w + r * k;
    int8_t *codes = job->q->codes + r * k;
    BUG_ON(k < 1);
    memcpy(copy, w, (size_t)k * sizeof *copy);
    for (int64_t j = 0; j < k; j++)
        w[job->f->order[j]] = copy[j];
    memcpy(copy, codes, (size_t)k);
    for (int64_t j = 0; j < k; j++)
        codes[job->f->order[j]] = ((const int8_t *)copy)[j];
}

static int take_scratch(struct job *job, struct err *e)
{
    size_t rows = (size_t)job->q->layout.rows, k = (size_t)job->f->k;
    size_t panels = (rows + PANEL - 1) / PANEL, params = panels * (size_t)job->q->layout.param_cols * PANEL;
    job->scale = mem_big(params, sizeof *job->scale, e);
    job->zero = mem_big(params, sizeof *job->zero, e);
    job->error = mem_big(rows * k, sizeof *job->error, e);
    job->target = mem_big(rows * BLOCK, sizeof *job->target, e);
    job->tt = mem_big((size_t)BLOCK * BLOCK, sizeof *job->tt, e);
    job->rr = mem_array(BLOCK, sizeof *job->rr, e);
    job->cell = mem_array(BLOCK, sizeof *job->cell, e);
    job->sums = mem_array(rows, sizeof *job->sums, e);
    return job->scale && job->zero && job->error && job->target && job->tt && job->rr && job->cell &&
                   job->sums
               ? 0
               : -1;
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

/* E [rows, k] and a block of targets [rows, 128] in float32, sums of rows, parameters side by side, T of a block. */
int64_t gptq_bytes(const struct grid_layout *l)
{
    int64_t panels = (l->rows + PANEL - 1) / PANEL, row = (int64_t)sizeof(struct row_sums);
    return 4 * l->rows * (l->cols + BLOCK) + row * l->rows + 8 * panels * PANEL * l->param_cols +
           4 * BLOCK * (BLOCK + 3);
}

int gptq_solve_with(const struct solve_options *o, const struct factor *f, const struct gram *g, float *w,
                    struct qtensor *q, float *grad, struct solve_result *res, struct err *e)
{
    struct job job = { .f = f, .q = q, .w = w, .residual = grad };
    const struct grid *grid;
    double weight_loss = 0;
    int rc = -1;
    BUG_ON(!f || f->k != q->layout.cols);
    if (o && o->block_size < 1)
        return err_set(e, ERR_INPUT, "block_size: found %lld, expected at least 1", (long long)o->block_size);
    grid = solve_begin(g, w, q, e);
    if (!grid || take_scratch(&job, e))
        goto done;
    if (res && g)
        weight_loss = weighted_error(g, w, q->layout.rows);
    grid->number(&q->layout, &job.number);
    k_parallel((q->layout.rows + PANEL - 1) / PANEL, params_panel, &job);
    k_parallel(q->layout.rows, order_row, &job);
    for (job.from = 0; job.from < f->k; job.from += BLOCK) {
        job.n = f->k - job.from < BLOCK ? f->k - job.from : BLOCK;
        solve_block(&job);
    }
    for (int64_t r = 0; o && o->row_loss && r < q->layout.rows; r++)
        o->row_loss[r] = job.sums[r].peer;
    rc = finish(&job, weight_loss, res, e);
    if (!rc && grad)
        gradient(&job);
    k_parallel(q->layout.rows, original_row, &job);
done:
    mem_free(job.error);
    mem_free(job.target);
    mem_free(job.tt);
    mem_free(job.rr);
    mem_free(job.scale);
    mem_free(job.zero);
    mem_free(job.cell);
    mem_free(job.sums);
    return rc;
}

static int gptq_solve(const struct solve_options *o, const struct factor *f, const struct gram *g, float *w,
                      struct qtensor *q, struct solve_result *res, struct err *e)
{
    return gptq_solve_with(o, f, g, w, q, NULL, res, e);
}

const struct solver solver_gptq = { "gptq", "columns in order, each error absorbed by the columns after it",
                                    NEED_GRAM, gptq_solve };
