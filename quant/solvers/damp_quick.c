/* damp_quick.c - the choice of damping by held-out tokens for a fraction of the work of damp.c: solved on one half, scored
 * on the other, one way only, on every stride-th column. What damping a matrix needs follows from the spectrum of H and
 * from tokens per column. Every second column on half of the tokens has as many tokens a column as the whole problem; every
 * fourth or eighth has more of them, and needs less damping: by a factor of 2^0.45 for each doubling, between what flat and
 * steep spectra ask for (docs/methods.md, "Quick damping"). Rounding errors are those of plain 4-bit channels on a few rows:
 * the choice hardly depends on the grid. Fractions are tried from 0.03 outwards until both neighbours are worse; the
 * answer is where the parabola through the best three losses has its minimum.
 *
 * Cost: 3 to 7 factorizations of (k/stride)^3/3 and as many solves and scores of 64 rows a matrix. */
#include "base/mem.h"
#include "kernels/kernels.h"
#include "kernels/math.h"
#include "quant/observer.h"
#include "quant/solvers/solve.h"
#include <math.h>
#include <string.h>

static const double fractions[] = { 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0 };
static const double more = 1.3660402567543954; /* 2^0.45 */
enum { FRACTIONS = sizeof fractions / sizeof fractions[0], START = 3, ROWS = 64 };

/* At least 256 columns stay. */
static int64_t stride_of(int64_t k) { return k < 1024 ? 2 : k < 2048 ? 4 : 8; }

struct check {
    int64_t stride;
    struct gram half[2]; /* of every stride-th column */
    struct qtensor q;
    float *w, *solved, *error; /* [rows, k/stride]: rows of all matrices one after the other */
    enum actorder order;
    double loss[FRACTIONS];
    bool tried[FRACTIONS];
};

struct take {
    const struct gram *g;
    float *first, *rest;
    int64_t k, stride;
};

static void take_row(void *arg, int64_t i)
{
    const struct take *t = arg;
    for (int64_t j = 0; j <= i; j++) {
        int64_t at = t->stride * (i * t->g->k + j);
        t->first[i * t->k + j] = t->g->half[at];
        t->rest[i * t->k + j] = t->g->sum[at] - t->g->half[at];
    }
}

static int check_init(struct check *c, const struct gram *g, const float *const *w,
                      const struct grid_layout *const *l, int n, struct err *e)
{
    int64_t k = (g->k + c->stride - 1) / c->stride, rows = 0, at = 0;
    struct quant_args a = {
        .num_bits = 4, .type = QUANT_INT, .symmetric = true, .strategy = STRATEGY_CHANNEL
    };
    struct grid_layout part;
    const struct observer *o = observer_find("memoryless_minmax");
    struct observer_params p = { 0 };
    for (int i = 0; i < n; i++)
        rows += damp_quick_rows(l[i]->rows);
    a.scale_dtype = a.zp_dtype = -1;
    c->half[0] = (struct gram){ .k = k, .chunks = 1, .rows = g->half_rows, .sequences = 1 };
    c->half[1] = (struct gram){ .k = k, .chunks = 1, .rows = g->rows - g->half_rows, .sequences = 1 };
    for (int i = 0; i < 2; i++)
        c->half[i].sum = mem_big((size_t)(k * k), sizeof(float), e);
    c->w = mem_big((size_t)(rows * k), sizeof *c->w, e);
    c->solved = mem_big((size_t)(rows * k), sizeof *c->solved, e);
    c->error = mem_big((size_t)(rows * k), sizeof *c->error, e);
    if (!c->half[0].sum || !c->half[1].sum || !c->w || !c->solved || !c->error ||
        layout_init(&part, &a, rows, k, DT_F32, e) || qtensor_init(&c->q, &part, e))
        return -1;
    struct take t = { g, c->half[0].sum, c->half[1].sum, k, c->stride };
    k_parallel(k, take_row, &t);
    for (int i = 0; i < n; i++) {
        int64_t some = damp_quick_rows(l[i]->rows);
        for (int64_t r = 0; r < some; r++, at++)
            for (int64_t j = 0; j < k; j++)
                c->w[at * k + j] = w[i][r * l[i]->rows / some * l[i]->cols + c->stride * j];
    }
    return o->fit(&p, c->w, NULL, &c->q, e);
}

/* Held-out loss of fraction i, once; infinite where the first half can not be factored or solved with it. */
static int try_fraction(struct check *c, int i, struct err *e)
{
    int64_t rows = c->q.layout.rows, k = c->q.layout.cols;
    struct solve_options o = { .block_size = 128 };
    if (c->tried[i])
        return 0;
    c->tried[i] = true;
    struct factor f;
    struct err why = { 0 };
    memcpy(c->solved, c->w, (size_t)(rows * k) * sizeof *c->w);
    int rc = factor_init(&f, &c->half[0], c->order, fractions[i], &why) ||
             solver_find("gptq")->solve(&o, &f, NULL, c->solved, &c->q, NULL, &why);
    factor_release(&f);
    if (rc && why.code != ERR_INPUT) {
        *e = why;
        return -1;
    }
    for (int64_t j = 0; j < rows * k; j++)
        c->error[j] = c->w[j] - c->solved[j];
    c->loss[i] = rc ? (double)INFINITY : weighted_error(&c->half[1], c->error, rows);
    return 0;
}

/* The minimum of the parabola through the losses beside fraction `at`, fractions a half of a decade apart; at the ends of the
 * list, or where a neighbour failed: that fraction. */
static double between(const struct check *c, int at)
{
    if (at == 0 || at + 1 == FRACTIONS || !isfinite(c->loss[at - 1]) || !isfinite(c->loss[at + 1]))
        return fractions[at];
    double down = c->loss[at - 1], up = c->loss[at + 1], bend = down - 2 * c->loss[at] + up;
    return bend > 0 ? fractions[at] * m_exp((down - up) / (2 * bend) * 1.1512925464970229) : fractions[at];
}

/* Downhill from START; of equals the larger fraction. */
static int descend(struct check *c, double *frac, struct err *e)
{
    int at = START;
    for (;;) {
        int up = at + 1 < FRACTIONS ? at + 1 : at, down = at > 0 ? at - 1 : at;
        if (try_fraction(c, at, e) || try_fraction(c, up, e))
            return -1;
        if (up != at && c->loss[up] <= c->loss[at]) {
            at = up;
            continue;
        }
        if (try_fraction(c, down, e))
            return -1;
        if (down == at || !(c->loss[down] < c->loss[at]))
            break;
        at = down;
    }
    if (!isfinite(c->loss[at]))
        return err_set(e, ERR_INPUT, "no dampening from %g to %g can factor half of the calibration tokens",
                       fractions[0], fractions[FRACTIONS - 1]);
    *frac = between(c, at);
    for (int64_t s = c->stride; s > 2; s /= 2)
        *frac *= more;
    return 0;
}

/* Two Gram matrices and a factor; three copies of the rows, their codes and parameters; a solve. */
int64_t damp_quick_bytes(int64_t k, int64_t rows)
{
    int64_t s = stride_of(k), n = (k + s - 1) / s;
    struct grid_layout l = { .rows = rows, .cols = n, .param_rows = rows, .param_cols = 1 };
    return 12 * n * n + 25 * n + 13 * rows * n + 5 * rows + gptq_bytes(&l);
}

int64_t damp_quick_rows(int64_t rows) { return rows < ROWS ? rows : ROWS; }

int damp_quick(const struct gram *g, enum actorder order, const float *const *w,
               const struct grid_layout *const *l, int n, double *frac, struct err *e)
{
    struct check c = { .order = order, .stride = stride_of(g->k) };
    int rc = -1;
    if (!g->half || g->half_rows < 1 || g->rows - g->half_rows < 1) {
        *frac = 0.01; /* one sequence: nothing to hold back */
        return 0;
    }
    if (!check_init(&c, g, w, l, n, e))
        rc = descend(&c, frac, e);
    for (int i = 0; i < 2; i++)
        mem_free(c.half[i].sum);
    mem_free(c.w);
    mem_free(c.solved);
    mem_free(c.error);
    qtensor_release(&c.q);
    return rc;
}
