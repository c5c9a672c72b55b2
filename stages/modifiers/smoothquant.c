/* smoothquant.c - SmoothQuantModifier and its old name for the logarithmic rule: scales from the range of a norm's output and
 * the largest weights that read it (quant/smooth.h). */
#include "stages/rows.h"

#include "base/mem.h"

static int scales(const struct job *j, struct smooth_job *s, struct walker *w, const struct walk_group *g,
                  const struct channel_stats *c, const struct gram *gram, float *out, struct err *e)
{
    const struct smoothquant_options *o = j->recipe->stage[s->stage].options;
    float *range = mem_array((size_t)g->k, sizeof *range, e),
          *most = mem_array((size_t)g->k, sizeof *most, e);
    int rc = range && most ? 0 : -1;
    (void)gram;
    (void)w;
    if (!rc) {
        channel_stats_ranges(c, range);
        for (int i = 0; i < s->map.n; i++)
            for (int k = 0; k < g->n; k++)
                if (g->module[k] == s->map.balance[i])
                    column_absmax(g->weight[k], g->module[k]->out, g->k, most);
        smooth_scales((enum smooth_rule)o->algorithm, o->smoothing_strength, g->k, range, most, out);
    }
    mem_free(range);
    mem_free(most);
    return rc;
}

static double flops(const struct job *j, const struct smooth_job *s)
{
    (void)j, (void)s;
    return 0; /* a glance at each weight */
}

static int64_t bytes(const struct job *j, const struct smooth_job *s)
{
    (void)j;
    return channel_stats_bytes(s->map.balance[0]->in) + 8 * s->map.balance[0]->in;
}

static bool needs_gram(const struct job *j, const struct smooth_job *s)
{
    (void)j, (void)s;
    return false;
}

static const struct smoother smoother = { false, needs_gram, NULL, scales, flops, bytes };

static int plan(struct job *j, int index, struct err *e)
{
    const struct smoothquant_options *o = j->recipe->stage[index].options;
    struct smooth_wants w = { .mappings = o->mappings, .ignore = o->ignore, .norms = true };
    return smooth_plan(j, index, &smoother, &w, e);
}

const struct stage stage_smoothquant = { "SmoothQuantModifier", plan };
const struct stage stage_logeq = { "LogarithmicEqualizationModifier", plan };
