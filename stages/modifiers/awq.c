/* awq.c - AWQModifier: scales that lose least when the later quantizer's scheme rounds the balance layers to nearest, searched
 * on the Gram matrix of their input (quant/awq.h). */
#include "stages/rows.h"

#include "base/mem.h"
#include "quant/awq.h"

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
                     struct awq_matrix out[MAPPING_BALANCE])
{
    for (int i = 0; i < p->n; i++) {
        const struct module_job *m = planned(j, p->balance[i]);
        out[i] = (struct awq_matrix){ .rows = p->balance[i]->out };
        for (int k = 0; k < g->n; k++)
            if (g->module[k] == p->balance[i])
                out[i].w = g->weight[k];
        if (m) {
            out[i].grid = m->grid;
            out[i].layout = &m->layout;
        }
        BUG_ON(!out[i].w);
    }
}

static int search(const struct awq_problem *p, const struct gram *gram, struct smooth_result *r, float *out,
                  struct err *e)
{
    struct awq_result res;
    if (awq_search(p, gram, out, &res, e))
        return -1;
    r->searched = true;
    r->ratio = p->candidate[res.index].ratio;
    r->duo = p->candidate[res.index].duo;
    r->before = res.before;
    r->after = res.loss;
    return 0;
}

static int scales(const struct job *j, struct smooth_job *s, const struct walk_group *g,
                  const struct channel_stats *c, const struct gram *gram, float *out, struct err *e)
{
    const struct awq_options *o = options_of(j, s);
    struct awq_matrix m[MAPPING_BALANCE];
    struct awq_candidate *candidate = mem_array((size_t)o->n_grid, sizeof *candidate, e);
    int64_t *channel = mem_array((size_t)g->k, sizeof *channel, e);
    double *x_mean = mem_array((size_t)g->k, sizeof *x_mean, e);
    int rc = candidate && channel && x_mean ? 0 : -1;
    if (!rc) {
        matrices(j, &s->map, g, m);
        for (int64_t k = 0; k < g->k; k++)
            channel[k] = mapping_channel(&s->map, k);
        channel_stats_means(c, x_mean);
        struct awq_problem p = { .k = g->k,
                                 .channels = s->map.channels,
                                 .channel = channel,
                                 .x_mean = x_mean,
                                 .matrix = m,
                                 .n = s->map.n,
                                 .candidate = candidate };
        p.n_candidates = awq_candidates((enum awq_duo)o->duo_scaling, (int)o->n_grid, candidate);
        rc = search(&p, gram, &s->result, out, e);
    }
    mem_free(candidate);
    mem_free(channel);
    mem_free(x_mean);
    return rc;
}

static double flops(const struct job *j, const struct smooth_job *s)
{
    double sum = 0;
    for (int i = 0; i < s->map.n; i++) {
        double k = (double)s->map.balance[i]->in;
        sum += planned(j, s->map.balance[i]) ? (double)s->map.balance[i]->out * k * k : 0;
    }
    return sum * (double)options_of(j, s)->n_grid;
}

static int64_t bytes(const struct job *j, const struct smooth_job *s)
{
    int64_t most = 0, k = s->map.balance[0]->in;
    for (int i = 0; i < s->map.n; i++) {
        const struct module_job *m = planned(j, s->map.balance[i]);
        int64_t n = m ? awq_bytes(&m->layout) : 0;
        most = n > most ? n : most;
    }
    return most + 4 * options_of(j, s)->n_grid * s->map.channels + 48 * k;
}

static const struct smoother smoother = { true, scales, flops, bytes };

static int plan(struct job *j, int index, struct err *e)
{
    const struct awq_options *o = j->recipe->stage[index].options;
    struct smooth_wants w = { .mappings = o->mappings, .grouped = o->grouped_values };
    return smooth_plan(j, index, &smoother, &w, e);
}

const struct stage stage_awq = { "AWQModifier", plan };
