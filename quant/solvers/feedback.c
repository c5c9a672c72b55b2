/* feedback.c - scales by the loss that GPTQ itself would have: columns in natural order, and when a group begins, every
 * candidate scale rounds the whole group with feedback inside it; the one with the least sum_j R_jj^2 (target_j - q_j)^2
 * stays (methods, "feedback search"). Work is cut in chunks of columns and panels of 32 rows, rows side by side. */
#include "base/mem.h"
#include "kernels/compute.h"
#include "kernels/panel.h"
#include "quant/solvers/tune.h"
#include <float.h>
#include <string.h>

enum { PANEL = K_PANEL, MOST = 24 };

/* Candidates: the scale found so far times a factor, its zero point moved by a step. */
struct candidate {
    float factor;
    int zero;
};
struct job {
    const struct grid *grid;
    struct k_number number;
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
    float w[CHUNK_MAX][PANEL], base[CHUNK_MAX][PANEL], target[CHUNK_MAX][PANEL];
    float q[CHUNK_MAX][PANEL], e[CHUNK_MAX][PANEL];
    int8_t code[CHUNK_MAX][PANEL];
    float scale[PANEL], zero[PANEL], best_scale[PANEL], best_zero[PANEL], best[PANEL];
};

static struct k_panel view(const struct job *job, struct panel *p, float (*target)[PANEL])
{
    return (struct k_panel){ .w = p->w[0],
                             .target = target[0],
                             .q = p->q[0],
                             .e = p->e[0],
                             .code = p->code[0],
                             .t = job->tt,
                             .ldt = CHUNK_MAX,
                             .rr = job->rr,
                             .scale = p->scale,
                             .zero = p->zero };
}

/* Rounds columns [a, b) of the chunk with the panel's scales; cost: what each row adds to the loss. */
static void round_group(const struct job *job, struct panel *p, int64_t a, int64_t b, float *cost)
{
    struct k_panel k = view(job, p, p->target);
    memcpy(p->target[a], p->base[a], (size_t)(b - a) * sizeof p->base[a]);
    k_panel_round(&job->number, &k, a, b);
    k_panel_cost(&k, a, b, cost);
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
    k_panel_load(rows, job->n, job->w + r0 * k + job->from, k, p.w[0]);
    k_panel_load(rows, job->n, job->target + r0 * CHUNK_MAX, CHUNK_MAX, p.base[0]);
    for (int64_t j = 0; j < job->n; j++) {
        if (job->f->dead[job->from + j])
            memset(p.w[j], 0, sizeof p.w[j]);
        for (int r = 0; r < PANEL; r++)
            p.base[j][r] += p.w[j][r];
    }
    for (int64_t a = 0; a < job->n; a += l->cell_cols) {
        int64_t b = a + l->cell_cols < job->n ? a + l->cell_cols : job->n;
        struct k_panel base = view(job, &p, p.base);
        k_panel_terms(&base, 0, a, a, b);
        search_group(job, &p, r0, rows, a, b);
    }
    for (int64_t at = 0; at < job->n; at += K_COLUMNS) {
        float flat[K_STORE];
        int64_t n = job->n - at < K_COLUMNS ? job->n - at : K_COLUMNS;
        k_panel_store(n, p.e[at], flat);
        for (int r = 0; r < rows; r++)
            memcpy(job->error + (r0 + r) * k + job->from + at, flat + r * K_COLUMNS,
                   (size_t)n * sizeof *flat);
    }
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
    job.grid->number(l, &job.number);
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
