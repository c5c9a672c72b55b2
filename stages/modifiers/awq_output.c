/* awq_output.c - AWQ's search judged by the parent's output, as llm-compressor does: for each candidate the balance layers are
 * rounded and the parent runs again on every sequence. Sequences are taken in batches, whose float outputs wait. */
#include "stages/modifiers/awq.h"

#include "base/mem.h"
#include "stages/ranks.h"

#include <math.h>
#include <string.h>

enum { BATCH = 16 };

struct replay {
    const struct awq_problem *p;
    const struct walk_group *g;
    const struct awq_target *t;
    float **original;  /* [p->n]: what p's matrices point to */
    float **live;      /* [p->n]: the walker's */
    float *scales;     /* [candidates, channels] */
    double *loss;      /* [chunks, candidates + 1]: and values of the chunk's output */
    float *ref[BATCH]; /* float outputs of the batch */
    int64_t ref_cap[BATCH];
};

static double *losses(const struct replay *r, int64_t chunk)
{
    return r->loss + (r->t->first + chunk) * (r->p->n_candidates + 1);
}

static int one_output(struct replay *r, int64_t chunk, struct walk_output *out, struct err *e)
{
    return walker_replay(r->t->walker, r->g, r->t->parent, chunk, out, e);
}

static int keep_references(struct replay *r, int64_t from, int64_t n, struct err *e)
{
    for (int64_t i = 0; i < n; i++) {
        struct walk_output o;
        if (one_output(r, from + i, &o, e))
            return -1;
        int64_t size = o.rows * o.width;
        if (size > r->ref_cap[i]) {
            mem_free(r->ref[i]);
            r->ref[i] = mem_big((size_t)size, sizeof(float), e);
            if (!r->ref[i])
                return -1;
            r->ref_cap[i] = size;
        }
        memcpy(r->ref[i], o.x, (size_t)size * sizeof(float));
        losses(r, from + i)[r->p->n_candidates] = (double)size;
    }
    return 0;
}

static int round_all(struct replay *r, int candidate, struct err *e)
{
    for (int m = 0; m < r->p->n; m++)
        if (r->p->matrix[m].grid && awq_round(r->p, r->scales + candidate * r->p->channels, m, r->live[m], e))
            return -1;
    return 0;
}

static void restore(struct replay *r)
{
    for (int m = 0; m < r->p->n; m++)
        memcpy(r->live[m], r->original[m], (size_t)r->p->matrix[m].rows * (size_t)r->p->k * sizeof(float));
}

static int batch(struct replay *r, int64_t from, int64_t n, struct err *e)
{
    int rc = keep_references(r, from, n, e);
    for (int c = 0; !rc && c < r->p->n_candidates; c++) {
        rc = round_all(r, c, e);
        for (int64_t i = 0; !rc && i < n; i++) {
            struct walk_output o;
            rc = one_output(r, from + i, &o, e);
            if (!rc)
                losses(r, from + i)[c] = awq_distance(o.rows * o.width, o.x, r->ref[i]);
        }
    }
    restore(r);
    return rc;
}

/* Over the sequences in order, whoever ran them. */
static double total(const struct replay *r, int column)
{
    double sum = 0;
    for (int64_t i = 0; i < r->t->chunks; i++)
        sum += r->loss[i * (r->p->n_candidates + 1) + column];
    return sum;
}

static int choose(const struct replay *r, float *out, struct awq_result *res, struct err *e)
{
    int best = -1, n = r->p->n_candidates;
    double least = 0, values = total(r, n);
    for (int c = 0; c < n; c++) {
        double loss = total(r, c);
        if (!isfinite(loss) || (best >= 0 && !(loss < least)))
            continue;
        best = c;
        least = loss;
    }
    if (best < 0)
        return err_set(e, ERR_INPUT, "no scale gives a finite loss");
    *res = (struct awq_result){ best, least / values, total(r, 0) / values };
    memcpy(out, r->scales + best * r->p->channels, (size_t)r->p->channels * sizeof *out);
    return 0;
}

static int set_up(struct replay *r, struct awq_matrix *m, struct err *e)
{
    const struct awq_problem *p = r->p;
    double *w_mean = mem_array((size_t)p->k, sizeof *w_mean, e);
    r->scales = mem_array((size_t)p->n_candidates, (size_t)p->channels * sizeof(float), e);
    r->loss = mem_array((size_t)r->t->chunks, (size_t)(p->n_candidates + 1) * sizeof *r->loss, e);
    int rc = w_mean && r->scales && r->loss ? 0 : -1;
    for (int i = 0; !rc && i < p->n; i++) {
        size_t n = (size_t)m[i].rows * (size_t)p->k;
        r->original[i] = mem_big(n, sizeof(float), e);
        if (!r->original[i]) {
            rc = -1;
            break;
        }
        memcpy(r->original[i], r->live[i], n * sizeof(float));
        m[i].w = r->original[i];
    }
    if (!rc)
        rc = awq_weight_means(p, w_mean, e);
    for (int c = 0; !rc && c < p->n_candidates; c++)
        awq_scales(p, w_mean, &p->candidate[c], r->scales + c * p->channels);
    mem_free(w_mean);
    return rc;
}

int awq_by_output(struct awq_problem *p, struct awq_matrix *m, float **live, const struct awq_target *t,
                  const struct walk_group *g, float *out, struct awq_result *res, struct err *e)
{
    float *original[MAPPING_BALANCE] = { NULL };
    struct replay r = { .p = p, .g = g, .t = t, .original = original, .live = live };
    int rc = set_up(&r, m, e);
    int64_t own = t->end - t->first;
    for (int64_t c = 0; !rc && c < own; c += BATCH)
        rc = batch(&r, c, own - c < BATCH ? own - c : BATCH, e);
    if (!rc)
        rc =
            ranks_share_chunks(t->comm, r.loss, (size_t)(p->n_candidates + 1) * sizeof *r.loss, t->chunks, e);
    if (!rc)
        rc = choose(&r, out, res, e);
    for (int i = 0; i < MAPPING_BALANCE; i++)
        mem_free(original[i]);
    for (int i = 0; i < BATCH; i++)
        mem_free(r.ref[i]);
    mem_free(r.scales);
    mem_free(r.loss);
    return rc;
}

int64_t awq_output_bytes(const struct mapping *p, int64_t length, int64_t width)
{
    int64_t n = BATCH * length * width;
    for (int i = 0; i < p->n; i++)
        n += p->balance[i]->out * p->balance[i]->in;
    return 4 * n;
}
