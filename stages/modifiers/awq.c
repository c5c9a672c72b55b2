/* awq.c - AWQModifier: scales that lose least when the later quantizer's scheme rounds the balance layers to nearest, searched
 * on the Gram matrix of their input (quant/awq.h). */
#include "stages/modifiers/awq.h"

#include "base/mem.h"
#include "stages/ranks.h"

#include <string.h>

static const struct awq_options *options_of(const struct job *j, const struct smooth_job *s)
{
    return j->recipe->stage[s->stage].options;
}

static const struct module_job *planned(const struct job *j, const struct module *m)
{
    const struct module_job *o = &j->module[m - j->load.model.module];
    return o->scheme ? o : NULL;
}

static void matrices(const struct job *j, const struct mapping *p, const struct walk_group *g,
                     struct awq_matrix out[MAPPING_BALANCE], float *live[MAPPING_BALANCE])
{
    for (int i = 0; i < p->n; i++) {
        const struct module_job *m = planned(j, p->balance[i]);
        out[i] = (struct awq_matrix){ .rows = p->balance[i]->out };
        for (int k = 0; k < g->n; k++)
            if (g->module[k] == p->balance[i])
                out[i].w = live[i] = g->weight[k];
        if (m) {
            out[i].grid = m->grid;
            out[i].layout = &m->layout;
        }
        BUG_ON(!out[i].w);
    }
}

/* The module that holds all balance layers: what their names begin with, in whole words. */
static char *parent_of(const struct mapping *p, struct err *e)
{
    const char *first = p->balance[0]->name;
    size_t n = strlen(first);
    for (int i = 1; i < p->n; i++) {
        const char *name = p->balance[i]->name;
        size_t k = 0;
        while (k < n && name[k] == first[k])
            k++;
        if (k < n || name[k])
            while (k && first[k] != '.')
                k--;
        n = k;
    }
    return mem_strndup(first, n, e);
}

/* With one balance layer its output is the parent's, and both ways are the same number. */
static bool by_output(const struct job *j, const struct smooth_job *s)
{
    return options_of(j, s)->search == AWQ_SEARCH_OUTPUT && s->map.n > 1;
}

static bool needs_gram(const struct job *j, const struct smooth_job *s) { return !by_output(j, s); }

/* What a search is asked: arrays by column. */
struct question {
    struct awq_candidate *candidate;
    int64_t *channel;
    double *x_mean;
    struct awq_matrix matrix[MAPPING_BALANCE];
    float *live[MAPPING_BALANCE];
    struct awq_problem p;
};

static void question_release(struct question *q)
{
    mem_free(q->candidate);
    mem_free(q->channel);
    mem_free(q->x_mean);
}

static int question_init(const struct job *j, const struct smooth_job *s, const struct walk_group *g,
                         const struct channel_stats *c, struct question *q, struct err *e)
{
    const struct awq_options *o = options_of(j, s);
    q->candidate = mem_array((size_t)o->n_grid, sizeof *q->candidate, e);
    q->channel = mem_array((size_t)g->k, sizeof *q->channel, e);
    q->x_mean = mem_array((size_t)g->k, sizeof *q->x_mean, e);
    if (!q->candidate || !q->channel || !q->x_mean)
        return -1;
    matrices(j, &s->map, g, q->matrix, q->live);
    for (int64_t k = 0; k < g->k; k++)
        q->channel[k] = mapping_channel(&s->map, k);
    channel_stats_means(c, q->x_mean);
    q->p = (struct awq_problem){ .k = g->k,
                                 .channels = s->map.channels,
                                 .channel = q->channel,
                                 .x_mean = q->x_mean,
                                 .matrix = q->matrix,
                                 .n = s->map.n,
                                 .candidate = q->candidate };
    q->p.n_candidates = awq_candidates((enum awq_duo)o->duo_scaling, (int)o->n_grid, q->candidate);
    return 0;
}

static int search_output(const struct job *j, const struct smooth_job *s, struct walker *w,
                         const struct walk_group *g, struct question *q, float *out, struct awq_result *res,
                         struct err *e)
{
    char *parent = parent_of(&s->map, e);
    struct span own = ranks_chunks(j->comm, j->data.n);
    struct awq_target t = { w, parent, j->comm, own.first, own.end, j->data.n };
    int rc = parent ? awq_by_output(&q->p, q->matrix, q->live, &t, g, out, res, e) : -1;
    mem_free(parent);
    return rc;
}

static int scales(const struct job *j, struct smooth_job *s, struct walker *w, const struct walk_group *g,
                  const struct channel_stats *c, const struct gram *gram, float *out, struct err *e)
{
    struct question q = { 0 };
    struct awq_result res = { 0 };
    int rc = question_init(j, s, g, c, &q, e);
    if (!rc)
        rc = by_output(j, s) ? search_output(j, s, w, g, &q, out, &res, e)
                             : awq_search(&q.p, gram, out, &res, e);
    if (!rc) {
        s->result.searched = true;
        s->result.ratio = q.candidate[res.index].ratio;
        s->result.duo = q.candidate[res.index].duo;
        s->result.before = res.before;
        s->result.after = res.loss;
    }
    question_release(&q);
    return rc;
}

static double flops(const struct job *j, const struct smooth_job *s)
{
    double sum = 0;
    if (by_output(j, s)) /* about: the block again for each candidate */
        return model_forward_flops(&j->load.model, j->data.tokens, j->data.tokens / j->data.n) /
               (double)j->load.model.n_blocks / 2 * (double)options_of(j, s)->n_grid;
    for (int i = 0; i < s->map.n; i++) {
        double k = (double)s->map.balance[i]->in;
        sum += planned(j, s->map.balance[i]) ? (double)s->map.balance[i]->out * k * k : 0;
    }
    return sum * (double)options_of(j, s)->n_grid;
}

static int64_t longest(const struct job *j)
{
    int64_t n = 0;
    for (int64_t i = 0; i < j->data.n; i++)
        n = j->data.len[i] > n ? j->data.len[i] : n;
    return n;
}

static int64_t bytes(const struct job *j, const struct smooth_job *s)
{
    int64_t most = 0, k = s->map.balance[0]->in;
    for (int i = 0; i < s->map.n; i++) {
        const struct module_job *m = planned(j, s->map.balance[i]);
        int64_t n = m ? awq_bytes(&m->layout) : 0;
        most = n > most ? n : most;
    }
    if (by_output(j, s))
        most = awq_output_bytes(&s->map, longest(j), j->load.model.hidden);
    return most + 4 * options_of(j, s)->n_grid * s->map.channels + 24 * k + channel_stats_bytes(k);
}

static const struct smoother smoother = { true, needs_gram, by_output, scales, flops, bytes };

static int plan(struct job *j, int index, struct err *e)
{
    const struct awq_options *o = j->recipe->stage[index].options;
    struct smooth_wants w = { .mappings = o->mappings, .grouped = o->grouped_values };
    return smooth_plan(j, index, &smoother, &w, e);
}

const struct stage stage_awq = { "AWQModifier", plan };
