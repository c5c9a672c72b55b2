/* feedback.c - scales by the loss that GPTQ itself would have: columns in natural order, and when a group begins, every
 * candidate scale rounds the whole group with feedback inside it; the one with the least sum_j R_jj^2 (target_j - q_j)^2
 * stays (methods, "feedback search"). Work is cut in chunks of columns and panels of 32 rows, rows side by side. */
#include "base/mem.h"
#include "kernels/compute.h"
#include "kernels/kernels.h"
#include "quant/solvers/tune.h"
#include <float.h>
#include <string.h>

enum { PANEL = 32, MOST = 24 };

/* Candidates: the scale found so far times a factor, its zero point moved by a step. */
struct candidate {
    float factor;
    int zero;
};
struct job {
    const struct grid *grid;
    const struct factor *f;
    const float *w;
    struct qtensor *q;
    float *error, *target; /* [rows, k] and [rows, CHUNK_MAX] */
    float *tt, *rr;        /* [CHUNK_MAX, CHUNK_MAX] T of the chunk, transposed; [CHUNK_MAX] */
    struct candidate candidate[MOST];
    int n_candidates;
    int64_t from, n;
};
struct panel {
    float w[CHUNK_MAX][PANEL], base[CHUNK_MAX][PANEL], e[CHUNK_MAX][PANEL];
    float scale[PANEL], zero[PANEL], best_scale[PANEL], best_zero[PANEL], best[PANEL];
};

static void add_terms(int64_t from, int64_t to, float (*e)[PANEL], const float *t, float *target)
{
    float acc[PANEL];
    memcpy(acc, target, sizeof acc);
    for (int64_t i = from; i < to; i++)
        for (int r = 0; r < PANEL; r++)
            acc[r] += e[i][r] * t[i];
    memcpy(target, acc, sizeof acc);
}

/* Rounds columns [a, b) of the chunk with the panel's scales; cost: what each row adds to the loss. */
static void round_group(const struct job *job, struct panel *p, int64_t a, int64_t b, float *cost)
{
    float q[PANEL], target[PANEL];
    int8_t code[PANEL];
    memset(cost, 0, PANEL * sizeof *cost);
    for (int64_t j = a; j < b; j++) {
        memcpy(target, p->base[j], sizeof target);
        add_terms(a, j, p->e, job->tt + j * CHUNK_MAX, target);
        job->grid->round_each(&job->q->layout, PANEL, target, p->scale, p->zero, code, q);
        for (int r = 0; r < PANEL; r++) {
            float d = target[r] - q[r];
            cost[r] += job->rr[j] * (d * d);
            p->e[j][r] = p->w[j][r] - q[r];
        }
    }
}

static void set_candidate(const struct job *job, int64_t r0, int rows, int64_t cell,
                          const struct candidate *c, struct panel *p)
{
    const struct grid_layout *l = &job->q->layout;
    float lo = -(float)(1 << (l->args.num_bits - 1)), hi = -lo - 1.0f;
    for (int r = 0; r < rows; r++) {
        int64_t i = (r0 + r) * l->param_cols + cell;
        float z = job->q->zero ? (float)job->q->zero[i] + (float)c->zero : 0.0f;
        float s = scale_store(job->grid, l, job->q->global_scale, job->q->scale[i] * c->factor);
        p->scale[r] = s > 0.0f ? s : job->q->scale[i];
        p->zero[r] = z < lo ? lo : z > hi ? hi : z;
    }
}

static void search_group(const struct job *job, struct panel *p, int64_t r0, int rows, int64_t a, int64_t b)
{
    const struct grid_layout *l = &job->q->layout;
    int64_t cell = (job->from + a) / l->cell_cols;
    float cost[PANEL];
    for (int r = 0; r < PANEL; r++) {
        p->best[r] = FLT_MAX;
        p->scale[r] = p->best_scale[r] = 1.0f;
        p->zero[r] = p->best_zero[r] = 0.0f;
    }
    for (int i = 0; i < job->n_candidates; i++) {
        set_candidate(job, r0, rows, cell, &job->candidate[i], p);
        round_group(job, p, a, b, cost);
        for (int r = 0; r < rows; r++)
            if (cost[r] < p->best[r]) {
                p->best[r] = cost[r];
                p->best_scale[r] = p->scale[r];
                p->best_zero[r] = p->zero[r];
            }
    }
    for (int r = 0; r < rows; r++) {
        int64_t i = (r0 + r) * l->param_cols + cell;
        if (!(p->best[r] < FLT_MAX))
            continue;
        job->q->scale[i] = p->best_scale[r];
        if (job->q->zero)
            job->q->zero[i] = (int8_t)p->best_zero[r];
    }
    memcpy(p->scale, p->best_scale, sizeof p->scale);
    memcpy(p->zero, p->best_zero, sizeof p->zero);
    round_group(job, p, a, b, cost);
}

static void search_panel(void *arg, int64_t panel)
{
    const struct job *job = arg;
    const struct grid_layout *l = &job->q->layout;
    int64_t r0 = panel * PANEL, k = l->cols;
    int rows = l->rows - r0 < PANEL ? (int)(l->rows - r0) : PANEL;
    struct panel p;
    memset(&p, 0, sizeof p);
    for (int r = 0; r < rows; r++)
        for (int64_t j = 0; j < job->n; j++) {
            float v = job->f->dead[job->from + j] ? 0.0f : job->w[(r0 + r) * k + job->from + j];
            p.w[j][r] = v;
            p.base[j][r] = job->target[(r0 + r) * CHUNK_MAX + j] + v;
        }
    for (int64_t a = 0; a < job->n; a += l->cell_cols) {
        int64_t b = a + l->cell_cols < job->n ? a + l->cell_cols : job->n;
        for (int64_t j = a; j < b; j++)
            add_terms(0, a, p.e, job->tt + j * CHUNK_MAX, p.base[j]);
        search_group(job, &p, r0, rows, a, b);
    }
    for (int r = 0; r < rows; r++)
        for (int64_t j = 0; j < job->n; j++)
            job->error[(r0 + r) * k + job->from + j] = p.e[j][r];
}

static void search_chunk(struct job *job)
{
    int64_t rows = job->q->layout.rows, k = job->f->k;
    const float *t = job->f->r + job->from;
    if (job->from)
        compute_now()->gemm_nn(rows, job->n, job->from, job->error, k, t, k, job->target, CHUNK_MAX, 0);
    for (int64_t j = 0; j < job->n; j++) {
        for (int64_t i = 0; i < j; i++)
            job->tt[j * CHUNK_MAX + i] = t[(job->from + i) * k + j];
        float d = t[(job->from + j) * k + j];
        job->rr[j] = d * d;
    }
    k_parallel((rows + PANEL - 1) / PANEL, search_panel, job);
}

/* The scale in q comes first: of equals it stays. Powers of two have two neighbours; zero points matter at few bits. */
static void make_candidates(struct job *job)
{
    static const float fine[] = { 1.0f, 0.96f, 1.04f, 0.91f, 1.09f, 0.85f, 1.15f, 0.78f },
                       coarse[] = { 1.0f, 0.5f, 2.0f };
    int power = job->q->layout.param_dtype == DT_F8_E8M0, n = power ? 3 : 8;
    int side = job->q->zero && job->q->layout.args.num_bits <= 3 ? 1 : 0;
    for (int z = 0; z <= 2 * side; z++)
        for (int i = 0; i < n; i++)
            job->candidate[job->n_candidates++] =
                (struct candidate){ power ? coarse[i] : fine[i], z == 2 ? -1 : z };
}

int feedback_fit(const struct factor *f, const float *w, struct qtensor *q, struct err *e)
{
    const struct grid_layout *l = &q->layout;
    struct job job = { .f = f, .w = w, .q = q, .grid = grid_for(&l->args, e) };
    int64_t step = chunk_columns(l);
    int rc = -1;
    BUG_ON(l->cell_rows != 1 || l->cell_cols > CHUNK_MAX || f->k != l->cols);
    if (!job.grid)
        return -1;
    job.error = mem_big((size_t)(l->rows * l->cols), sizeof *job.error, e);
    job.target = mem_big((size_t)(l->rows * CHUNK_MAX), sizeof *job.target, e);
    job.tt = mem_big((size_t)CHUNK_MAX * CHUNK_MAX, sizeof *job.tt, e);
    job.rr = mem_array(CHUNK_MAX, sizeof *job.rr, e);
    if (!job.error || !job.target || !job.tt || !job.rr)
        goto done;
    make_candidates(&job);
    for (job.from = 0; job.from < l->cols; job.from += step) {
        job.n = l->cols - job.from < step ? l->cols - job.from : step;
        search_chunk(&job);
    }
    rc = 0;
done:
    mem_free(job.error);
    mem_free(job.target);
    mem_free(job.tt);
    mem_free(job.rr);
    return rc;
}
