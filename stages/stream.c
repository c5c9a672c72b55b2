/* stream.c - the pass without data: module after module, and where nothing needs the whole matrix, strip after strip of its
 * rows: read, fitted, rounded and packed while they are in a core's cache. A strip's size depends on the shape alone, and
 * its sums are added in order, so that neither bytes nor numbers depend on threads. */
#include "stages/ranks.h"
#include "stages/rows.h"
#include "stages/units.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

enum {
    STRIP = 1 << 16, /* elements of a strip, about */
    LANES = 8,       /* strips in work at once: memory is theirs, not the threads' */
    BATCH = 32,      /* strips whose packed bytes are written together */
};

struct strip_result {
    double error2, weight2;
    float lo, hi;
    bool failed;
};
/* A matrix while it streams. */
struct stream {
    struct job *j;
    struct module_job *m;
    struct qtensor q; /* parameters of all rows; no codes */
    bool whole_range; /* strategy tensor: the one cell's range comes first */
    int64_t rows, n;  /* rows of a strip, strips */
    int64_t lanes, batch, row_bytes;
    int64_t first, count; /* strips of this batch */
    int64_t done;         /* bytes that wait to be written */
    float *w;             /* [lanes, rows, cols] */
    int8_t *codes;        /* the same */
    uint8_t *bytes[2];    /* [batch, rows, row_bytes]: being filled, being written */
    struct strip_result *result;
    struct err *err; /* [lanes] */
};

/* Nothing but a row's own cells is needed to choose its codes. */
static bool in_strips(const struct module_job *m)
{
    return m->solver->needs == NEED_NOTHING && observer_by_cell(m->observer);
}

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

static void shape(struct stream *s, const struct job *j, const struct module_job *m)
{
    const struct grid_layout *l = &m->layout;
    s->whole_range = l->args.strategy == STRATEGY_TENSOR;
    int64_t unit = s->whole_range ? 1 : l->cell_rows, most = STRIP / l->cols;
    s->rows = most > unit ? most / unit * unit : unit;
    s->rows = min64(s->rows, l->rows);
    s->n = (l->rows + s->rows - 1) / s->rows;
    s->lanes = min64(s->n, LANES);
    s->batch = min64(s->n, BATCH);
    s->row_bytes = j->container->row_bytes(m->scheme, l);
}

/* Held while it streams: lanes with what observer and solver take (33 bytes a cell, 25 a row), two batches of packed rows,
 * the parameters and their copy as they are stored. */
int64_t stream_bytes(const struct job *j, const struct module_job *m)
{
    struct stream s = { 0 };
    const struct grid_layout *l = &m->layout;
    if (!in_strips(m))
        return 0;
    shape(&s, j, m);
    int64_t strip = s.rows * l->cols, cells = s.rows * l->param_cols, all = l->param_rows * l->param_cols;
    return s.lanes * (5 * strip + 33 * cells + 25 * s.rows + (int64_t)sizeof(struct err)) +
           2 * s.batch * s.rows * s.row_bytes + all * (l->args.symmetric ? 8 : 12);
}

static void strip_of(const struct stream *s, int64_t k, int64_t *row, int64_t *rows)
{
    *row = k * s->rows;
    *rows = min64(s->rows, s->m->layout.rows - *row);
}

static int read_strip(const struct stream *s, int64_t k, float *w, struct err *e)
{
    const struct tensor_source *t = job_tensors(s->j);
    int64_t row, rows;
    strip_of(s, k, &row, &rows);
    return t->read_f32(t->self, s->m->module->tensor, row, rows, w, e);
}

static int range_strip(struct stream *s, int64_t k, float *w, struct err *e)
{
    struct strip_result *r = &s->result[k - s->first];
    int64_t row, rows;
    strip_of(s, k, &row, &rows);
    if (read_strip(s, k, w, e))
        return -1;
    k_minmax(rows * s->m->layout.cols, w, &r->lo, &r->hi);
    return 0;
}

/* The strip's part of the parameters; its codes and values in this lane. */
static int quantize_strip(struct stream *s, int64_t k, float *w, int8_t *codes, struct err *e)
{
    const struct module_job *m = s->m;
    const struct grid_layout *l = &m->layout;
    struct strip_result *r = &s->result[k - s->first];
    struct solve_result solved;
    struct qtensor q = { .codes = codes, .global_scale = s->q.global_scale };
    int64_t row, rows;
    strip_of(s, k, &row, &rows);
    layout_strip(l, row, rows, &q.layout);
    int64_t cell = s->whole_range ? 0 : row / l->cell_rows * l->param_cols;
    q.scale = s->q.scale + cell;
    q.zero = s->q.zero ? s->q.zero + cell : NULL;
    if (read_strip(s, k, w, e) ||
        (!s->whole_range && m->observer->fit(&m->observer_params, w, NULL, &q, e)) ||
        m->solver->solve(&m->solve, NULL, NULL, w, &q, &solved, e))
        return -1;
    r->error2 = solved.error2;
    r->weight2 = solved.weight2;
    s->j->container->pack_rows(m->scheme, &q, s->bytes[0] + (k - s->first) * s->rows * s->row_bytes);
    return 0;
}

struct lane_work {
    struct stream *s;
    int (*strip)(struct stream *s, int64_t k, float *w, int8_t *codes, struct err *e);
    bool write;
    struct err *write_err;
    bool write_failed;
};

/* Lane i does strips i, i + lanes, ... of the batch. One more piece writes what the batch before has left. */
static void work_lane(void *arg, int64_t i)
{
    struct lane_work *a = arg;
    struct stream *s = a->s;
    if (i == s->lanes) {
        a->write_failed = saver_append(s->j->saver, s->bytes[1], (uint64_t)s->done, a->write_err) != 0;
        return;
    }
    size_t at = (size_t)(i * s->rows * s->m->layout.cols);
    for (int64_t k = i; k < s->count; k += s->lanes) {
        s->result[k].failed = a->strip(s, s->first + k, s->w + at, s->codes + at, &s->err[i]) != 0;
        if (s->result[k].failed)
            return;
    }
}

static int do_range(struct stream *s, int64_t k, float *w, int8_t *codes, struct err *e)
{
    (void)codes;
    return range_strip(s, k, w, e);
}

/* The first strip that failed, by its place, so that the error does not depend on who was faster. */
static int failure_of(const struct stream *s, struct err *e)
{
    for (int64_t k = 0; k < s->count; k++)
        if (s->result[k].failed) {
            if (e)
                *e = s->err[k % s->lanes];
            return -1;
        }
    return 0;
}

static int run_batch(struct stream *s, int64_t first,
                     int (*strip)(struct stream *s, int64_t k, float *w, int8_t *codes, struct err *e),
                     struct err *e)
{
    struct lane_work a = { .s = s, .strip = strip, .write_err = e };
    s->first = first;
    s->count = min64(s->batch, s->n - first);
    memset(s->result, 0, (size_t)s->count * sizeof *s->result);
    k_parallel(s->lanes + (s->done > 0), work_lane, &a);
    s->done = 0;
    if (a.write_failed)
        return -1;
    return failure_of(s, e);
}

static int find_range(struct stream *s, struct err *e)
{
    const struct grid_layout *l = &s->m->layout;
    float lo = 0.0f, hi = 0.0f;
    for (int64_t first = 0; first < s->n; first += s->batch) {
        if (run_batch(s, first, do_range, e))
            return -1;
        for (int64_t k = 0; k < s->count; k++) {
            lo = s->result[k].lo < lo ? s->result[k].lo : lo;
            hi = s->result[k].hi > hi ? s->result[k].hi : hi;
        }
    }
    s->m->grid->params(l, s->q.global_scale, lo, hi, s->q.scale, s->q.zero);
    if (isfinite(s->q.scale[0]))
        return 0;
    err_set(e, ERR_INPUT, "the range of the matrix does not fit a scale of dtype %s",
            dtypes[l->scale_dtype].name);
    return err_hint(e, "Quantize from a checkpoint in float32 or bfloat16.");
}

static int run_strips(struct stream *s, struct err *e)
{
    double error2 = 0, weight2 = 0;
    if (s->whole_range && find_range(s, e))
        return -1;
    for (int64_t first = 0; first < s->n; first += s->batch) {
        if (check_interrupt(e) || run_batch(s, first, quantize_strip, e))
            return -1;
        for (int64_t k = 0; k < s->count; k++) {
            error2 += s->result[k].error2;
            weight2 += s->result[k].weight2;
        }
        int64_t rows = min64(s->count * s->rows, s->m->layout.rows - first * s->rows);
        uint8_t *filled = s->bytes[0];
        s->bytes[0] = s->bytes[1];
        s->bytes[1] = filled;
        s->done = rows * s->row_bytes;
    }
    s->m->result.solve.weight_error = weight2 > 0 ? sqrt(error2 / weight2) : 0;
    return saver_append(s->j->saver, s->bytes[1], (uint64_t)s->done, e);
}

static int stream_init(struct stream *s, struct err *e)
{
    const struct grid_layout *l = &s->m->layout;
    size_t strip = (size_t)(s->rows * l->cols), cells = (size_t)(l->param_rows * l->param_cols);
    size_t bytes = (size_t)(s->batch * s->rows * s->row_bytes);
    s->q.layout = *l;
    s->q.global_scale = s->m->global_scale;
    s->q.scale = mem_array(cells, sizeof *s->q.scale, e);
    if (!l->args.symmetric)
        s->q.zero = mem_array(cells, sizeof *s->q.zero, e);
    s->w = mem_big((size_t)s->lanes * strip, sizeof *s->w, e);
    s->codes = mem_big((size_t)s->lanes * strip, sizeof *s->codes, e);
    s->bytes[0] = mem_big(bytes, 1, e);
    s->bytes[1] = mem_big(bytes, 1, e);
    s->result = mem_array((size_t)s->batch, sizeof *s->result, e);
    s->err = mem_array((size_t)s->lanes, sizeof *s->err, e);
    return s->q.scale && (s->q.zero || l->args.symmetric) && s->w && s->codes && s->bytes[0] && s->bytes[1] &&
                   s->result && s->err
               ? 0
               : -1;
}

static void stream_free(struct stream *s)
{
    mem_free(s->q.scale);
    mem_free(s->q.zero);
    mem_free(s->w);
    mem_free(s->codes);
    mem_free(s->bytes[0]);
    mem_free(s->bytes[1]);
    mem_free(s->result);
    mem_free(s->err);
}

static int stream_strips(struct job *j, struct module_job *m, struct err *e)
{
    struct stream s = { .j = j, .m = m };
    char *prefix = tensor_prefix(m, e);
    shape(&s, j, m);
    int rc = prefix && !stream_init(&s, e) &&
                     !j->container->pack_begin(j->saver, prefix, m->scheme, &m->layout, e) &&
                     !run_strips(&s, e) && !refuse_overflow(m, e) &&
                     !j->container->pack_end(j->saver, prefix, m->scheme, &s.q, e)
                 ? 0
                 : -1;
    m->done = !rc;
    stream_free(&s);
    mem_free(prefix);
    return rc ? err_while(e, "quantizing %s", m->module->name) : 0;
}

static int stream_whole(struct job *j, struct module_job *m, struct err *e)
{
    const struct tensor_source *t = job_tensors(j);
    float *w = mem_big((size_t)(m->module->out * m->module->in), sizeof *w, e);
    int rc = w ? t->read_f32(t->self, m->module->tensor, 0, m->module->out, w, e) : -1;
    if (!rc)
        rc = solve_module(j, m, w, NULL, NULL, NULL, e);
    mem_free(w);
    return rc;
}

static int stream_module(struct job *j, struct module_job *m, struct err *e)
{
    const struct tensor_source *t = &j->load.checkpoint.stored;
    struct tensor_view v;
    if (unit_module_done(j, m))
        return unit_module_take(j, m, e);
    /* before the matrix, which is larger: a plan counts that alone */
    if (fused_scale(j, m, NULL, NULL, e) || unit_module_begin(j, m, e) ||
        (in_strips(m) ? stream_strips(j, m, e) : stream_whole(j, m, e)) || unit_module_end(j, m, e))
        return -1;
    if (!t->view(t->self, m->module->tensor, &v, NULL))
        file_drop(v.data, (uint64_t)view_bytes(&v));
    return 0;
}

/* Which rank streams a module: runs of about equal size, so that a rank reads neighbouring parts of the files. */
static int *owners(const struct job *j, struct err *e)
{
    int64_t n = j->load.model.n_modules;
    double *cost = mem_array((size_t)n + 1, sizeof *cost, e);
    int *owner = cost ? mem_array((size_t)n + 1, sizeof *owner, e) : NULL;
    for (int64_t i = 0; owner && i < n; i++) {
        const struct module_job *m = &j->module[i];
        cost[i] = m->scheme && !m->done ? (double)m->module->out * (double)m->module->in : 0;
    }
    if (owner)
        ranks_runs(cost, n, j->comm->size, owner);
    mem_free(cost);
    return owner;
}

int stream_run(struct job *j, struct err *e)
{
    int *owner = owners(j, e);
    int64_t n = 0, done = 0;
    if (!owner)
        return -1;
    for (int64_t i = 0; i < j->load.model.n_modules; i++)
        n += j->module[i].scheme && !j->module[i].done && owner[i] == j->comm->rank;
    progress_start("quantize", n, "modules");
    int rc = 0;
    for (int64_t i = 0; !rc && i < j->load.model.n_modules; i++) {
        if (!j->module[i].scheme || j->module[i].done || owner[i] != j->comm->rank)
            continue;
        rc = check_interrupt(e) ? -1 : stream_module(j, &j->module[i], e);
        progress_at(++done, j->module[i].module->name);
    }
    progress_end();
    mem_free(owner);
    return rc;
}
