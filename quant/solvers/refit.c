/* refit.c - scales fitted again to codes that a solver chose: each group's scale to its least-squares value given all else,
 * groups from left to right, kept where it lowers the row's loss tr((Q - W) H (Q - W)^T). n: the numbers of a group's codes
 * (code - zero); g = (Q - W) H. The scale moves by -g.n / n H n^T, is rounded to what can be stored, and decoded values are
 * rounded, too: their change d is judged by d (2 g + d H) < 0, then g of what follows moves by d H.
 *
 * A chunk of columns at a time, all rows together: products of rows n^2 inside, and one of rows x columns behind the chunk,
 * m k^2 multiply-adds / 2 for all. A channel has one scale: n H n^T is then a sum of loss.c. Columns behind a chunk do not
 * get their g: GPTQ follows, and makes a new one. */
#include "base/mem.h"
#include "base/round.h"
#include "kernels/compute.h"
#include "kernels/kernels.h"
#include "quant/inner.h"
#include "quant/solvers/tune.h"

struct job {
    const struct fitted_matrix *m;
    const struct grid *grid;
    float *grad;                   /* [rows, k] */
    float *number, *move, *spread; /* [rows, width]: n, d, and n H or d H */
    float *next;                   /* [rows]: scale of the group that is looked at */
    double *curve;                 /* [rows]: n H n^T of channels */
    int64_t from, n, width;        /* the chunk; the distance of rows in the scratch */
    int64_t a, b;                  /* the group, from the start of the chunk */
};

/* n of columns [from, from + n): one cell of one row as a matrix of its own, decoded with a scale of 1. */
static void number_row(void *arg, int64_t r)
{
    const struct job *job = arg;
    const struct qtensor *q = job->m->q;
    const struct grid_layout *l = &q->layout;
    float one_scale[1] = { 1.0f };
    for (int64_t at = job->from; at < job->from + job->n; at += l->cell_cols) {
        struct qtensor one = *q;
        int64_t left = job->from + job->n - at, n = left < l->cell_cols ? left : l->cell_cols;
        one.layout.rows = one.layout.param_rows = one.layout.param_cols = one.layout.cell_rows = 1;
        one.layout.cols = one.layout.cell_cols = n;
        one.layout.value_dtype = DT_F32;
        one.codes = q->codes + r * l->cols + at;
        one.scale = one_scale;
        one.zero = q->zero ? q->zero + r * l->param_cols + at / l->cell_cols : NULL;
        qtensor_decode(&one, 0, 1, job->number + r * job->width + at - job->from);
    }
}

/* The least-squares scale, and how far decoded values go with it. */
static void move_row(void *arg, int64_t r)
{
    const struct job *job = arg;
    const struct qtensor *q = job->m->q;
    int64_t n = job->b - job->a, k = q->layout.cols, at = r * job->width + job->a;
    const float *number = job->number + at, *w = job->m->w + r * k + job->from + job->a;
    float was = q->scale[r * q->layout.param_cols + (job->from + job->a) / q->layout.cell_cols];
    float *move = job->move + at;
    double slope = k_dot64(n, number, job->grad + r * k + job->from + job->a);
    double curve = job->curve ? job->curve[r] : k_dot64(n, number, job->spread + at);
    float next =
        curve > 0 ? scale_store(job->grid, &q->layout, q->global_scale, was - (float)(slope / curve)) : 0.0f;
    job->next[r] = next > 0.0f ? next : was;
    for (int64_t j = 0; j < n; j++)
        move[j] = round_to(q->layout.value_dtype, number[j] * job->next[r]) - w[j];
}

/* Keeps the move or takes it back; spread: d H of the chunk's columns from the group on. */
static void settle_row(void *arg, int64_t r)
{
    const struct job *job = arg;
    struct qtensor *q = job->m->q;
    int64_t k = q->layout.cols, n = job->b - job->a, at = r * job->width + job->a;
    float *w = job->m->w + r * k + job->from, *grad = job->grad + r * k + job->from;
    const float *spread = job->spread + r * job->width;
    double gain = 2 * k_dot64(n, job->move + at, grad + job->a) + k_dot64(n, job->move + at, spread + job->a);
    if (!(gain < 0)) {
        for (int64_t j = job->a; j < job->b; j++)
            job->move[r * job->width + j] = 0.0f;
        return;
    }
    q->scale[r * q->layout.param_cols + (job->from + job->a) / q->layout.cell_cols] = job->next[r];
    for (int64_t j = job->a; j < job->b; j++)
        w[j] += job->move[r * job->width + j];
    for (int64_t j = job->a; j < job->n; j++)
        grad[j] += spread[j];
}

static void refit_group(struct job *job)
{
    int64_t rows = job->m->q->layout.rows, k = job->m->q->layout.cols, n = job->b - job->a;
    const float *h = job->m->h + (job->from + job->a) * k + job->from + job->a;
    compute_now()->gemm_nn(rows, n, n, job->number + job->a, job->width, h, k, job->spread + job->a,
                           job->width, 0);
    k_parallel(rows, move_row, job);
    compute_now()->gemm_nn(rows, job->n - job->a, n, job->move + job->a, job->width, h, k,
                           job->spread + job->a, job->width, 0);
    k_parallel(rows, settle_row, job);
}

static void refit_chunk(struct job *job)
{
    const struct grid_layout *l = &job->m->q->layout;
    int64_t end = job->from + job->n, k = l->cols;
    k_parallel(l->rows, number_row, job);
    for (job->a = 0; job->a < job->n; job->a = job->b) {
        job->b = job->a + l->cell_cols < job->n ? job->a + l->cell_cols : job->n;
        refit_group(job);
    }
    if (end < k)
        compute_now()->gemm_nn(l->rows, k - end, job->n, job->move, job->width,
                               job->m->h + job->from * k + end, k, job->grad + end, k, 1);
}

/* One scale a row: the change of the loss is exact but for the rounding of decoded values, which the caller's comparison of
 * whole rows sees. */
static void channel_row(void *arg, int64_t r)
{
    const struct job *job = arg;
    struct qtensor *q = job->m->q;
    const float *number = job->number + r * job->width;
    float *w = job->m->w + r * q->layout.cols, was = q->scale[r];
    double slope = k_dot64(job->n, number, job->grad + r * job->n), curve = job->curve[r];
    float next =
        curve > 0 ? scale_store(job->grid, &q->layout, q->global_scale, was - (float)(slope / curve)) : 0.0f;
    double d = (double)next - (double)was;
    if (!(next > 0.0f) || !(2 * d * slope + d * d * curve < 0))
        return;
    q->scale[r] = next;
    for (int64_t j = 0; j < job->n; j++)
        w[j] = round_to(q->layout.value_dtype, number[j] * next);
}

static int take_scratch(struct job *job, bool channels, struct err *e)
{
    size_t rows = (size_t)job->m->q->layout.rows, n = rows * (size_t)job->width;
    job->number = mem_big(n, sizeof *job->number, e);
    if (channels) {
        job->curve = mem_array(rows, sizeof *job->curve, e);
        return job->number && job->curve ? 0 : -1;
    }
    job->move = mem_big(n, sizeof *job->move, e);
    job->spread = mem_big(n, sizeof *job->spread, e);
    job->next = mem_array(rows, sizeof *job->next, e);
    return job->number && job->move && job->spread && job->next ? 0 : -1;
}

int refit(const struct fitted_matrix *m, float *grad, struct err *e)
{
    const struct grid_layout *l = &m->q->layout;
    bool channels = l->param_cols == 1 && l->cols > CHUNK_MAX;
    int64_t step = l->cell_cols > CHUNK_MAX ? l->cell_cols : chunk_columns(l);
    struct job job = { .m = m, .grad = grad, .grid = grid_for(&l->args, e), .width = step };
    int rc = -1;
    BUG_ON(l->cell_rows != 1);
    if (!job.grid || take_scratch(&job, channels, e))
        goto done;
    for (job.from = 0; job.from < l->cols; job.from += step) {
        job.n = l->cols - job.from < step ? l->cols - job.from : step;
        if (channels) {
            k_parallel(l->rows, number_row, &job);
            errors_of_rows(l->cols, m->h, job.number, l->rows, job.curve);
            k_parallel(l->rows, channel_row, &job);
        } else
            refit_chunk(&job);
    }
    rc = 0;
done:
    mem_free(job.number);
    mem_free(job.move);
    mem_free(job.spread);
    mem_free(job.next);
    mem_free(job.curve);
    return rc;
}
