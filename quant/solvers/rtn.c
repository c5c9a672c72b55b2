/* rtn.c - round to nearest, each weight by itself, in the arithmetic of the weights' dtype (grid round_own): what
 * llm-compressor's QuantizationModifier writes. Rows are independent. */
#include "base/mem.h"
#include "kernels/kernels.h"
#include "quant/solvers/solve.h"
#include <math.h>
#include <string.h>

extern const struct solver solver_rtn;

struct job {
    const struct grid *grid;
    struct qtensor *q;
    float *w;
    float *error; /* [rows, cols], or NULL */
    struct row_sums *sums;
};

enum { SPAN = 256, LANES = 8 };

static double sum_lanes(const double *v)
{
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

/* Squares of n errors and weights, in lanes that a compiler keeps in vectors. */
static void add_squares(int64_t n, const float *w, const float *q, struct row_sums *s)
{
    double error[LANES] = { 0 }, weight[LANES] = { 0 };
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (int v = 0; v < LANES; v++) {
            double x = (double)w[j + v], d = x - (double)q[j + v];
            error[v] += d * d;
            weight[v] += x * x;
        }
    for (; j < n; j++) {
        double x = (double)w[j], d = x - (double)q[j];
        error[j % LANES] += d * d;
        weight[j % LANES] += x * x;
    }
    s->error += sum_lanes(error);
    s->weight += sum_lanes(weight);
}

/* n <= SPAN values of row r from column `from`, all in one cell. */
static void solve_span(const struct job *job, int64_t r, int64_t from, int64_t n)
{
    const struct grid_layout *l = &job->q->layout;
    int64_t i = r / l->cell_rows * l->param_cols + from / l->cell_cols, at = r * l->cols + from;
    float q[SPAN], *w = job->w + at;
    struct row_sums *s = &job->sums[r];
    job->grid->round_own(l, w, n, job->q->scale[i], job->q->zero ? job->q->zero[i] : 0, job->q->codes + at,
                         q);
    add_squares(n, w, q, s);
    for (int64_t j = 0; job->error && j < n; j++)
        job->error[at + j] = w[j] - q[j];
    memcpy(w, q, (size_t)n * sizeof *w);
}

static void solve_row(void *arg, int64_t r)
{
    const struct job *job = arg;
    const struct grid_layout *l = &job->q->layout;
    for (int64_t from = 0; from < l->cols;) {
        int64_t cell_end = (from / l->cell_cols + 1) * l->cell_cols;
        int64_t end = cell_end < l->cols ? cell_end : l->cols;
        end = end - from < SPAN ? end : from + SPAN;
        solve_span(job, r, from, end - from);
        from = end;
    }
}

/* Allocates 24 bytes a row, and a copy of w for the errors when res and g are given. */
static int rtn_solve(const struct solve_options *o, const struct factor *f, const struct gram *g, float *w,
                     struct qtensor *q, struct solve_result *res, struct err *e)
{
    (void)o;
    (void)f;
    size_t rows = (size_t)q->layout.rows, cols = (size_t)q->layout.cols;
    struct job job = { .q = q, .w = w, .grid = solve_begin(g, w, q, e) };
    struct row_sums total;
    int rc = -1;
    if (!job.grid)
        goto done;
    job.sums = mem_array(rows, sizeof *job.sums, e);
    if (res && g)
        job.error = mem_big(rows * cols, sizeof *job.error, e);
    if (!job.sums || (res && g && !job.error))
        goto done;
    if (res) {
        memset(res, 0, sizeof *res);
        res->weight_loss = g ? weighted_error(g, w, q->layout.rows) : 0;
    }
    k_parallel(q->layout.rows, solve_row, &job);
    sum_rows(job.sums, q->layout.rows, &total);
    if (res) {
        res->loss = g ? weighted_error(g, job.error, q->layout.rows) : 0;
        res->error2 = total.error;
        res->weight2 = total.weight;
        res->weight_error = total.weight > 0 ? sqrt(total.error / total.weight) : 0;
    }
    rc = 0;
done:
    mem_free(job.sums);
    mem_free(job.error);
    return rc;
}

const struct solver solver_rtn = { "rtn", "round to nearest", NEED_NOTHING, rtn_solve };
