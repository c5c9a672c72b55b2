/* sweep.c - coordinate descent on tr((Q - W) H (Q - W)^T) after a solver: scales of groups and codes of columns, one after
 * the other, each to its best value given all else (QuantEase, arXiv:2309.01885, for the codes; least squares for the
 * scales). Nothing is accepted that raises a row's loss, so a pass never does.
 *
 * A chunk of columns J: G = (Q - W) H[:, J] for all rows, fresh; then panels of 32 rows, rows side by side. A group's
 * scale moves by -G.n / n H n^T with n the numbers of its codes; column j's code to the value nearest q_j - G_j / H_jj;
 * each change d adds d H to the G of the columns after it. Cells wider than CHUNK_MAX (channels) get their scale in a
 * pass of its own. 2 rows k^2 multiply-adds a pass for the products, and rows k CHUNK / 2 inside. */
#include "base/mem.h"
#include "kernels/compute.h"
#include "kernels/kernels.h"
#include "quant/grids/round.h"
#include "quant/solvers/tune.h"
#include <string.h>

enum { PANEL = 32 };

struct job {
    const struct fitted_matrix *m;
    const struct grid *grid;
    int moves;
    float *error;  /* [rows, k]: Q - W */
    float *number; /* [rows, k]: code - zero, what scales multiply */
    float *grad;   /* [rows, CHUNK_MAX] */
    float *curve;  /* [rows, CHUNK_MAX]: number H, for channels */
    double *slope; /* [rows, 2]: sums of number * grad and number * curve, for channels */
    int64_t from, n;
};
struct panel {
    float q[CHUNK_MAX][PANEL], number[CHUNK_MAX][PANEL], grad[CHUNK_MAX][PANEL], d[CHUNK_MAX][PANEL];
    float scale[PANEL], zero[PANEL];
    int8_t code[CHUNK_MAX][PANEL];
    int8_t moved[CHUNK_MAX][PANEL]; /* 1: code is new */
};

static const float *h_row(const struct job *job, int64_t j)
{
    return job->m->h + (job->from + j) * job->m->q->layout.cols + job->from;
}

/* out[j] = sum over i in [a, b) of d[i] H_ij, for j in [a, to). */
static void times_h(const struct job *job, float (*d)[PANEL], int64_t a, int64_t b, int64_t j, float *out)
{
    float acc[PANEL] = { 0 };
    for (int64_t i = a; i < b; i++) {
        float h = h_row(job, i)[j];
        for (int r = 0; r < PANEL; r++)
            acc[r] += d[i][r] * h;
    }
    memcpy(out, acc, sizeof acc);
}

/* The change of each decoded value when the group's scale goes to its least-squares value. */
static void wanted_scales(const struct job *job, struct panel *p, int64_t a, int64_t b, int rows, float *next)
{
    const struct grid_layout *l = &job->m->q->layout;
    float num[PANEL] = { 0 }, den[PANEL] = { 0 }, u[PANEL];
    for (int64_t j = a; j < b; j++) {
        times_h(job, p->number, a, b, j, u);
        for (int r = 0; r < PANEL; r++) {
            num[r] += p->number[j][r] * p->grad[j][r];
            den[r] += p->number[j][r] * u[r];
        }
    }
    for (int r = 0; r < PANEL; r++) {
        next[r] = r < rows && den[r] > 0.0f
                      ? scale_store(job->grid, l, job->m->q->global_scale, p->scale[r] - num[r] / den[r])
                      : 0.0f;
        if (!(next[r] > 0.0f))
            next[r] = p->scale[r];
    }
}

static void move_scales(const struct job *job, struct panel *p, int64_t a, int64_t b, int rows)
{
    enum dtype t = job->m->q->layout.value_dtype;
    float next[PANEL], u[PANEL], gain[PANEL] = { 0 };
    wanted_scales(job, p, a, b, rows, next);
    for (int64_t j = a; j < b; j++)
        for (int r = 0; r < PANEL; r++)
            p->d[j][r] = round_to(t, p->number[j][r] * next[r]) - p->q[j][r];
    for (int64_t j = a; j < b; j++) {
        times_h(job, p->d, a, b, j, u);
        for (int r = 0; r < PANEL; r++)
            gain[r] += p->d[j][r] * (2.0f * p->grad[j][r] + u[r]);
    }
    for (int r = 0; r < PANEL; r++)
        if (!(gain[r] < 0.0f)) {
            next[r] = p->scale[r];
            for (int64_t j = a; j < b; j++)
                p->d[j][r] = 0.0f;
        }
    memcpy(p->scale, next, sizeof next);
    for (int64_t j = a; j < job->n; j++) {
        times_h(job, p->d, a, b, j, u);
        for (int r = 0; r < PANEL; r++)
            p->grad[j][r] += u[r];
    }
    /* the product itself, not q + d: a zero keeps its sign */
    for (int64_t j = a; j < b; j++)
        for (int r = 0; r < PANEL; r++)
            if (gain[r] < 0.0f)
                p->q[j][r] = round_to(t, p->number[j][r] * p->scale[r]);
}

static void move_code(const struct job *job, struct panel *p, int64_t j)
{
    const float *h = h_row(job, j);
    float t[PANEL], q[PANEL], d[PANEL];
    int8_t code[PANEL];
    if (!(h[j] > 0.0f))
        return;
    for (int r = 0; r < PANEL; r++)
        t[r] = p->q[j][r] - p->grad[j][r] / h[j];
    job->grid->round_each(&job->m->q->layout, PANEL, t, p->scale, p->zero, code, q);
    for (int r = 0; r < PANEL; r++) {
        float was = p->q[j][r] - t[r], is = q[r] - t[r];
        int better = is * is < was * was;
        d[r] = better ? q[r] - p->q[j][r] : 0.0f;
        p->q[j][r] = better ? q[r] : p->q[j][r];
        p->code[j][r] = code[r];
        p->moved[j][r] = (int8_t)better;
    }
    for (int64_t i = j + 1; i < job->n; i++)
        for (int r = 0; r < PANEL; r++)
            p->grad[i][r] += d[r] * h[i];
}

static void load_panel(const struct job *job, int64_t r0, int rows, struct panel *p)
{
    int64_t k = job->m->q->layout.cols;
    memset(p, 0, sizeof *p);
    for (int r = 0; r < rows; r++)
        for (int64_t j = 0; j < job->n; j++) {
            int64_t at = (r0 + r) * k + job->from + j;
            p->q[j][r] = job->m->w[at];
            p->number[j][r] = job->number ? job->number[at] : 0.0f;
            p->grad[j][r] = job->grad[(r0 + r) * CHUNK_MAX + j];
        }
}

static void store_panel(const struct job *job, int64_t r0, int rows, const struct panel *p)
{
    struct qtensor *q = job->m->q;
    int64_t k = q->layout.cols;
    for (int r = 0; r < rows; r++)
        for (int64_t j = 0; j < job->n; j++) {
            int64_t at = (r0 + r) * k + job->from + j;
            if (p->moved[j][r])
                q->codes[at] = p->code[j][r];
            job->m->w[at] = p->q[j][r];
            job->error[at] = p->q[j][r] - job->m->want[at];
        }
}

static void sweep_panel(void *arg, int64_t panel)
{
    const struct job *job = arg;
    struct qtensor *q = job->m->q;
    const struct grid_layout *l = &q->layout;
    int64_t r0 = panel * PANEL;
    int rows = l->rows - r0 < PANEL ? (int)(l->rows - r0) : PANEL;
    struct panel p;
    load_panel(job, r0, rows, &p);
    for (int64_t a = 0; a < job->n;) {
        int64_t cell = (job->from + a) / l->cell_cols, b = (cell + 1) * l->cell_cols - job->from;
        b = b < job->n ? b : job->n;
        for (int r = 0; r < PANEL; r++) {
            int64_t i = (r < rows ? r0 + r : r0) / l->cell_rows * l->param_cols + cell;
            p.scale[r] = q->scale[i];
            p.zero[r] = q->zero ? (float)q->zero[i] : 0.0f;
        }
        if (job->moves & SWEEP_SCALES && l->cell_cols <= CHUNK_MAX) {
            move_scales(job, &p, a, b, rows);
            for (int r = 0; r < rows; r++)
                q->scale[(r0 + r) * l->param_cols + cell] = p.scale[r];
        }
        for (int64_t j = a; job->moves & SWEEP_CODES && j < b; j++)
            move_code(job, &p, j);
        a = b;
    }
    store_panel(job, r0, rows, &p);
}

/* number = code - zero of every element: decoded with a scale of 1. */
static void decode_row(void *arg, int64_t r)
{
    const struct job *job = arg;
    struct qtensor q = *job->m->q;
    const struct grid_layout *l = &q.layout;
    int64_t from = r / l->cell_rows * l->param_cols;
    float row_scale[1] = { 1.0f };
    for (int64_t c = 0; c < l->param_cols; c++) {
        /* one cell of one row as a matrix of its own */
        struct qtensor one = q;
        int64_t at = c * l->cell_cols, n = l->cols - at < l->cell_cols ? l->cols - at : l->cell_cols;
        one.layout.rows = one.layout.param_rows = one.layout.param_cols = one.layout.cell_rows = 1;
        one.layout.cols = one.layout.cell_cols = n;
        one.layout.value_dtype = DT_F32;
        one.codes = q.codes + r * l->cols + at;
        one.scale = row_scale;
        one.zero = q.zero ? q.zero + from + c : NULL;
        qtensor_decode(&one, 0, 1, job->number + r * l->cols + at);
    }
}

static void error_row(void *arg, int64_t r)
{
    const struct job *job = arg;
    int64_t k = job->m->q->layout.cols;
    for (int64_t j = r * k; j < (r + 1) * k; j++)
        job->error[j] = job->m->w[j] - job->m->want[j];
}

static void gradient(const struct job *job, const float *of, float *out)
{
    int64_t k = job->m->q->layout.cols;
    compute_now()->gemm_nn(job->m->q->layout.rows, job->n, k, of, k, job->m->h + job->from, k, out, CHUNK_MAX,
                           0);
}

static void slope_row(void *arg, int64_t r)
{
    const struct job *job = arg;
    const float *number = job->number + r * job->m->q->layout.cols + job->from;
    job->slope[2 * r] += k_dot64(job->n, number, job->grad + r * CHUNK_MAX);
    job->slope[2 * r + 1] += k_dot64(job->n, number, job->curve + r * CHUNK_MAX);
}

static void channel_row(void *arg, int64_t r)
{
    const struct job *job = arg;
    struct qtensor *q = job->m->q;
    int64_t k = q->layout.cols;
    double num = job->slope[2 * r], den = job->slope[2 * r + 1];
    float was = q->scale[r];
    float next =
        den > 0 ? scale_store(job->grid, &q->layout, q->global_scale, was - (float)(num / den)) : 0.0f;
    double d = (double)next - (double)was;
    if (!(next > 0.0f) || !(2 * d * num + d * d * den < 0))
        return;
    q->scale[r] = next;
    for (int64_t j = r * k; j < (r + 1) * k; j++)
        job->m->w[j] = round_to(q->layout.value_dtype, job->number[j] * next);
}

static int channel_scales(struct job *job, struct err *e)
{
    const struct grid_layout *l = &job->m->q->layout;
    job->curve = mem_big((size_t)(l->rows * CHUNK_MAX), sizeof *job->curve, e);
    job->slope = mem_array((size_t)(l->rows * 2), sizeof *job->slope, e);
    if (!job->curve || !job->slope)
        return -1;
    for (job->from = 0; job->from < l->cols; job->from += CHUNK) {
        job->n = l->cols - job->from < CHUNK ? l->cols - job->from : CHUNK;
        gradient(job, job->error, job->grad);
        gradient(job, job->number, job->curve);
        k_parallel(l->rows, slope_row, job);
    }
    k_parallel(l->rows, channel_row, job);
    k_parallel(l->rows, error_row, job);
    return 0;
}

/* Allocates two copies of the matrix and two chunks of columns. */
int sweep(const struct fitted_matrix *m, int moves, struct err *e)
{
    const struct grid_layout *l = &m->q->layout;
    struct job job = { .m = m, .moves = moves, .grid = grid_for(&l->args, e) };
    size_t all = (size_t)(l->rows * l->cols);
    int64_t step = chunk_columns(l);
    int rc = -1;
    BUG_ON(moves & SWEEP_SCALES && l->cell_rows != 1);
    if (!job.grid)
        return -1;
    job.error = mem_big(all, sizeof *job.error, e);
    job.grad = mem_big((size_t)(l->rows * CHUNK_MAX), sizeof *job.grad, e);
    if (moves & SWEEP_SCALES)
        job.number = mem_big(all, sizeof *job.number, e);
    if (!job.error || !job.grad || (moves & SWEEP_SCALES && !job.number))
        goto done;
    k_parallel(l->rows, error_row, &job);
    if (job.number)
        k_parallel(l->rows, decode_row, &job);
    if (moves & SWEEP_SCALES && l->cell_cols > CHUNK_MAX && channel_scales(&job, e))
        goto done;
    if (moves & SWEEP_CODES || l->cell_cols <= CHUNK_MAX)
        for (job.from = 0; job.from < l->cols; job.from += step) {
            job.n = l->cols - job.from < step ? l->cols - job.from : step;
            gradient(&job, job.error, job.grad);
            k_parallel((l->rows + PANEL - 1) / PANEL, sweep_panel, &job);
        }
    rc = 0;
done:
    mem_free(job.error);
    mem_free(job.number);
    mem_free(job.grad);
    mem_free(job.curve);
    mem_free(job.slope);
    return rc;
}
