/* awq.c - AWQ's grid search on a Gram matrix (awq.h). Rows are taken in units of whole cells; the loss of a candidate is the
 * sum over units in one fixed order, so that it depends on nothing else, and the sum so far is a lower bound. */
#include "quant/awq.h"
#include "base/mem.h"
#include "kernels/kernels.h"
#include "kernels/math.h"
#include "quant/grids/round.h"
#include "quant/inner.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SPAN = 256, ROWS = 512, LEAD = 8, BAND = 64 }; /* ROWS: of a product, whose cost falls with them */

int awq_candidates(enum awq_duo duo, int n_grid, struct awq_candidate *out)
{
    int n = 0, half = n_grid / 2;
    if (duo == AWQ_BOTH) {
        for (int i = 0; i < half; i++)
            for (int d = 0; d < 2; d++)
                out[n++] = (struct awq_candidate){ half > 1 ? (double)i / (half - 1) : 0, d == 1 };
        return n;
    }
    if (duo == AWQ_DUO)
        out[n++] = (struct awq_candidate){ 0, false };
    int last = n_grid - n - 1;
    for (int i = 0; i <= last; i++)
        out[n++] = (struct awq_candidate){ (double)i / last, duo == AWQ_DUO };
    return n;
}

/* ---- means of weights ---- */
struct means {
    const struct awq_matrix *m;
    int64_t k;
    float *cell; /* largest |w| of each cell */
    double *sum; /* [k] */
};

static int64_t cell_rows(const struct awq_matrix *m) { return m->grid ? m->layout->cell_rows : 1; }
static int64_t cell_cols(const struct awq_matrix *m, int64_t k) { return m->grid ? m->layout->cell_cols : k; }

static void cell_row(void *arg, int64_t i)
{
    const struct means *a = arg;
    int64_t cr = cell_rows(a->m), cc = cell_cols(a->m, a->k), n = (a->k + cc - 1) / cc;
    int64_t end = (i + 1) * cr < a->m->rows ? (i + 1) * cr : a->m->rows;
    for (int64_t r = i * cr; r < end; r++)
        for (int64_t c = 0; c < n; c++) {
            int64_t at = c * cc, left = a->k - at < cc ? a->k - at : cc;
            float lo, hi, *most = &a->cell[i * n + c];
            k_minmax(left, a->m->w + r * a->k + at, &lo, &hi);
            hi = hi > -lo ? hi : -lo;
            *most = hi > *most ? hi : *most;
        }
}

static void sum_band(void *arg, int64_t band)
{
    const struct means *a = arg;
    int64_t cr = cell_rows(a->m), cc = cell_cols(a->m, a->k), n = (a->k + cc - 1) / cc;
    int64_t from = band * BAND, end = from + BAND < a->k ? from + BAND : a->k;
    for (int64_t r = 0; r < a->m->rows; r++)
        for (int64_t c = from; c < end; c++)
            a->sum[c] += (double)(fabsf(a->m->w[r * a->k + c]) / (a->cell[r / cr * n + c / cc] + 1e-6f));
}

int awq_weight_means(const struct awq_problem *p, double *out, struct err *e)
{
    int64_t rows = 0;
    memset(out, 0, (size_t)p->k * sizeof *out);
    for (int i = 0; i < p->n; i++) {
        struct means a = { .m = &p->matrix[i], .k = p->k, .sum = out };
        int64_t cr = cell_rows(a.m), cc = cell_cols(a.m, p->k);
        int64_t down = (a.m->rows + cr - 1) / cr, across = (p->k + cc - 1) / cc;
        a.cell = mem_array((size_t)down, (size_t)across * sizeof *a.cell, e);
        if (!a.cell)
            return -1;
        k_parallel(down, cell_row, &a);
        k_parallel((p->k + BAND - 1) / BAND, sum_band, &a);
        mem_free(a.cell);
        rows += a.m->rows;
    }
    for (int64_t c = 0; c < p->k; c++)
        out[c] /= (double)rows;
    return 0;
}

/* ---- scales ---- */
static double power(double x, double y) { return y == 0 ? 1 : x > 0 ? m_pow(x, y) : 0; }

/* mean [channels] of a statistic of columns: the columns of a channel are averaged. */
static double channel_mean(const struct awq_problem *p, const double *by_column, int64_t channel)
{
    double sum = 0;
    int64_t n = 0;
    if (p->k == p->channels)
        return by_column[channel];
    for (int64_t c = 0; c < p->k; c++)
        if (p->channel[c] == channel) {
            sum += by_column[c];
            n++;
        }
    return sum / (double)(n ? n : 1);
}

void awq_scales(const struct awq_problem *p, const double *w_mean, const struct awq_candidate *c, float *out)
{
    float least = INFINITY, most = 0;
    for (int64_t i = 0; i < p->channels; i++) {
        double s = power(channel_mean(p, p->x_mean, i), c->ratio);
        if (c->duo)
            s /= power(channel_mean(p, w_mean, i), 1 - c->ratio) + 1e-4;
        out[i] = (float)(s > 1e-4 ? s : 1e-4);
        least = out[i] < least ? out[i] : least;
        most = out[i] > most ? out[i] : most;
    }
    float by = (float)sqrt((double)most * (double)least);
    for (int64_t i = 0; i < p->channels; i++) {
        float s = out[i] / by;
        out[i] = isfinite(s) && s > 0 ? s : 1;
    }
}

/* ---- loss ---- */
struct unit {
    int matrix;
    int64_t row, n;
};
struct search {
    const struct awq_problem *p;
    const struct gram *g;
    struct unit *unit;
    int64_t n_units, unit_rows;
    float *scale;  /* [candidates, channels] */
    float *column; /* [k]: the candidate's scales by column */
    float *e;      /* [unit_rows, k] */
    float *global; /* [matrices]: of the candidate, 0: none */
    const struct unit *now;
    bool values; /* e is to hold Q(W s) / s, not its difference from W */
};

static void round_span(enum dtype t, int64_t n, float *x)
{
    if (t == DT_BF16)
        for (int64_t i = 0; i < n; i++)
            x[i] = round_bf16(x[i]);
    else
        for (int64_t i = 0; i < n; i++)
            x[i] = round_f16(x[i]);
}

/* Cells of one row of cells: weights times scales, rounded, back, and the difference. */
static void round_cells(void *arg, int64_t i)
{
    const struct search *s = arg;
    const struct awq_matrix *m = &s->p->matrix[s->now->matrix];
    const struct grid_layout *l = m->layout;
    int64_t k = s->p->k, from = i * l->cell_rows,
            end = from + l->cell_rows < s->now->n ? from + l->cell_rows : s->now->n;
    const float *w = m->w + s->now->row * k;
    for (int64_t r = from; r < end; r++)
        for (int64_t c = 0; c < k; c++)
            s->e[r * k + c] = w[r * k + c] * s->column[c];
    if (l->scale_dtype != DT_F32)
        round_span(l->scale_dtype, (end - from) * k, s->e + from * k);
    for (int64_t at = 0; at < k; at += l->cell_cols) {
        int64_t n = k - at < l->cell_cols ? k - at : l->cell_cols;
        float min = 0, max = 0, scale;
        int8_t zero = 0, codes[SPAN];
        for (int64_t r = from; r < end; r++) {
            float lo, hi;
            k_minmax(n, s->e + r * k + at, &lo, &hi);
            min = lo < min ? lo : min;
            max = hi > max ? hi : max;
        }
        m->grid->params(l, s->global[s->now->matrix], min, max, &scale, &zero);
        for (int64_t r = from; r < end; r++)
            for (int64_t c = 0; c < n; c += SPAN) {
                float *x = s->e + r * k + at + c;
                m->grid->round_own(l, x, n - c < SPAN ? n - c : SPAN, scale, zero, codes, x);
            }
    }
    for (int64_t r = from; r < end; r++)
        for (int64_t c = 0; c < k; c++)
            s->e[r * k + c] = s->e[r * k + c] / s->column[c] - (s->values ? 0.0f : w[r * k + c]);
}

static double unit_loss(struct search *s, int64_t u)
{
    const struct unit *now = &s->unit[u];
    const struct grid_layout *l = s->p->matrix[now->matrix].layout;
    s->now = now;
    k_parallel((now->n + l->cell_rows - 1) / l->cell_rows, round_cells, s);
    return error_against(s->p->k, s->g->sum, 1.0, s->e, now->n);
}

/* A grid with one more scale over all cells takes it from the scaled weights of all matrices on such a grid. */
static void use_scales(struct search *s, const float *scale)
{
    const struct awq_problem *p = s->p;
    float most = 0;
    for (int64_t i = 0; i < p->k; i++)
        s->column[i] = scale[p->channel[i]];
    for (int m = 0; m < p->n; m++) {
        const struct awq_matrix *a = &p->matrix[m];
        if (!a->grid || !a->grid->global_scale)
            continue;
        for (int64_t r = 0; r < a->rows; r++)
            for (int64_t i = 0; i < p->k; i++) {
                float v = fabsf(round_to(a->layout->scale_dtype, a->w[r * p->k + i] * s->column[i]));
                most = v > most ? v : most;
            }
    }
    for (int m = 0; m < p->n; m++)
        s->global[m] = p->matrix[m].grid && p->matrix[m].grid->global_scale
                           ? p->matrix[m].grid->global_scale(p->matrix[m].layout, most)
                           : 0;
}

static int64_t rows_of_unit(const struct grid_layout *l)
{
    int64_t n = l->cell_rows > ROWS ? l->cell_rows : ROWS / l->cell_rows * l->cell_rows;
    return n < l->rows ? n : l->rows;
}

int64_t awq_bytes(const struct grid_layout *l)
{
    return rows_of_unit(l) * (l->cols + 128) * (int64_t)sizeof(float);
}

static int make_units(struct search *s, struct err *e)
{
    int64_t n = 0;
    for (int pass = 0; pass < 2; pass++) {
        if (pass && !(s->unit = mem_array((size_t)n, sizeof *s->unit, e)))
            return -1;
        n = 0;
        for (int m = 0; m < s->p->n; m++) {
            const struct awq_matrix *a = &s->p->matrix[m];
            int64_t step = a->grid ? rows_of_unit(a->layout) : 0;
            for (int64_t r = 0; a->grid && r < a->rows; r += step, n++) {
                int64_t rows = a->rows - r < step ? a->rows - r : step;
                if (pass)
                    s->unit[n] = (struct unit){ m, r, rows };
                s->unit_rows = rows > s->unit_rows ? rows : s->unit_rows;
            }
        }
    }
    s->n_units = n;
    return 0;
}

static void search_release(struct search *s)
{
    mem_free(s->unit);
    mem_free(s->scale);
    mem_free(s->column);
    mem_free(s->e);
    mem_free(s->global);
}

static int search_init(struct search *s, struct err *e)
{
    const struct awq_problem *p = s->p;
    double *w_mean = mem_array((size_t)p->k, sizeof *w_mean, e);
    int rc = !w_mean || make_units(s, e) || awq_weight_means(p, w_mean, e) ? -1 : 0;
    if (!rc) {
        s->scale = mem_array((size_t)p->n_candidates, (size_t)p->channels * sizeof *s->scale, e);
        s->column = mem_array((size_t)p->k, sizeof *s->column, e);
        s->global = mem_array((size_t)p->n, sizeof *s->global, e);
        s->e = mem_big((size_t)s->unit_rows, (size_t)p->k * sizeof *s->e, e);
        rc = s->scale && s->column && s->global && s->e ? 0 : -1;
    }
    for (int c = 0; !rc && c < p->n_candidates; c++)
        awq_scales(p, w_mean, &p->candidate[c], s->scale + c * p->channels);
    mem_free(w_mean);
    return rc;
}

/* Units in the order of the sum: every LEAD-th first, which is a fair sample of the rows, then the others. */
static int64_t unit_at(int64_t n, int64_t i)
{
    int64_t lead = (n + LEAD - 1) / LEAD;
    if (i < lead)
        return i * LEAD;
    i -= lead;
    return i / (LEAD - 1) * LEAD + i % (LEAD - 1) + 1;
}

struct state {
    double loss;
    int index;
    bool whole;
};

/* The sum of candidate c goes on from unit `from` up to `to`, or until it exceeds limit. */
static void go_on(struct search *s, struct state *t, int64_t from, int64_t to, double limit)
{
    use_scales(s, s->scale + t->index * s->p->channels);
    for (int64_t i = from; i < to && !(t->loss > limit); i++)
        t->loss += unit_loss(s, unit_at(s->n_units, i));
    t->whole = to == s->n_units && !(t->loss > limit) && isfinite(t->loss);
}

static int by_loss(const void *a, const void *b)
{
    const struct state *x = a, *y = b;
    bool less = x->loss < y->loss, more = y->loss < x->loss;
    return less ? -1 : more ? 1 : (x->index > y->index) - (x->index < y->index);
}

/* Candidate 0 in full, the others on the sample, then in the order of what it gave. */
static int run(struct search *s, struct state *t, struct awq_result *res, struct err *e)
{
    int n = s->p->n_candidates;
    int64_t lead = (s->n_units + LEAD - 1) / LEAD;
    for (int c = 0; c < n; c++) {
        t[c] = (struct state){ 0, c, false };
        go_on(s, &t[c], 0, c ? lead : s->n_units, (double)INFINITY);
        t[c].loss = t[c].loss == t[c].loss ? t[c].loss : (double)INFINITY;
    }
    struct state best = t[0];
    res->before = t[0].loss;
    qsort(t + 1, (size_t)n - 1, sizeof *t, by_loss);
    for (int c = 1; c < n; c++) {
        go_on(s, &t[c], lead, s->n_units, best.whole ? best.loss : (double)INFINITY);
        if (t[c].whole &&
            (!best.whole || t[c].loss < best.loss || (!(best.loss < t[c].loss) && t[c].index < best.index)))
            best = t[c];
    }
    if (!best.whole)
        return err_set(e, ERR_INPUT, "no scale gives a finite loss");
    res->index = best.index;
    res->loss = best.loss;
    return 0;
}

int awq_search(const struct awq_problem *p, const struct gram *g, float *scales, struct awq_result *res,
               struct err *e)
{
    struct search s = { .p = p, .g = g };
    struct state *t = mem_array((size_t)p->n_candidates, sizeof *t, e);
    double outputs = 0;
    int rc = !t || search_init(&s, e) || run(&s, t, res, e) ? -1 : 0;
    if (!rc) {
        for (int64_t u = 0; u < s.n_units; u++)
            outputs += (double)s.unit[u].n;
        res->loss /= outputs * (double)g->rows;
        res->before /= outputs * (double)g->rows;
        memcpy(scales, s.scale + res->index * p->channels, (size_t)p->channels * sizeof *scales);
    }
    search_release(&s);
    mem_free(t);
    return rc;
}

struct distance {
    const float *a, *b;
    int64_t n;
    double sum[64];
};

static void distance_part(void *arg, int64_t part)
{
    struct distance *d = arg;
    for (int64_t i = d->n * part / 64; i < d->n * (part + 1) / 64; i++) {
        double x = (double)d->a[i] - (double)d->b[i];
        d->sum[part] += x * x;
    }
}

double awq_distance(int64_t n, const float *a, const float *b)
{
    struct distance d = { a, b, n, { 0 } };
    double sum = 0;
    k_parallel(64, distance_part, &d);
    for (int i = 0; i < 64; i++)
        sum += d.sum[i];
    return sum;
}

int awq_round(const struct awq_problem *p, const float *scales, int matrix, float *out, struct err *e)
{
    struct search s = { .p = p, .values = true };
    const struct awq_matrix *m = &p->matrix[matrix];
    s.column = mem_array((size_t)p->k, sizeof *s.column, e);
    s.global = mem_array((size_t)p->n, sizeof *s.global, e);
    int rc = s.column && s.global ? 0 : -1;
    if (!rc) {
        struct unit all = { matrix, 0, m->rows };
        use_scales(&s, scales);
        s.e = out;
        s.now = &all;
        k_parallel((m->rows + m->layout->cell_rows - 1) / m->layout->cell_rows, round_cells, &s);
    }
    mem_free(s.column);
    mem_free(s.global);
    return rc;
}
