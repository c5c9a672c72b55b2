/* pass.c - the pass over the model: the walk with data, then what it does not reach (stream.c). What is decided per module
 * stands in its module_job; here it only happens. */
#include "stages/rows.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/phase.h"

#include <math.h>
#include <string.h>

float *importance_of(const struct gram *g, struct err *e)
{
    float *d = mem_array((size_t)g->k, sizeof *d, e);
    for (int64_t i = 0; d && i < g->k; i++)
        d[i] = g->sum[i * g->k + i] / (float)(g->rows ? g->rows : 1);
    return d;
}

/* "model.layers.0.mlp.up_proj.weight" -> "model.layers.0.mlp.up_proj" */
char *tensor_prefix(const struct module_job *m, struct err *e)
{
    const char *t = m->module->tensor;
    size_t n = strlen(t);
    return mem_strndup(t, str_ends(t, ".weight") ? n - 7 : n, e);
}

int refuse_overflow(const struct module_job *m, struct err *e)
{
    if (isfinite(m->result.solve.weight_error))
        return 0;
    err_set(e, ERR_INPUT, "the quantized weights overflow %s, in which they would be decoded",
            dtypes[m->layout.value_dtype].name);
    return err_hint(e, "its weights reach the end of that range: store it as BF16, or ignore the module");
}

static int fit_and_solve(struct module_job *m, float *w, const struct factor *f, const struct tune *t,
                         const struct gram *g, struct qtensor *q, struct err *e)
{
    float *importance = g && m->observer->needs_importance ? importance_of(g, e) : NULL;
    if (g && m->observer->needs_importance && !importance)
        return -1;
    int rc = m->clip.n_grid && g ? clip_fit(&m->clip, g, w, q, e)
                                 : m->observer->fit(&m->observer_params, w, importance, q, e);
    mem_free(importance);
    if (!rc)
        rc = f && t && tune_wanted(&m->solve) ? tune_solve(&m->solve, t, f, g, w, q, &m->result.solve, e)
                                              : m->solver->solve(&m->solve, f, g, w, q, &m->result.solve, e);
    if (rc)
        return -1;
    if (refuse_overflow(m, e))
        return -1;
    m->result.damp_frac = f ? f->damp_frac : 0;
    m->result.attempts = f ? f->attempts : 0;
    m->result.tokens = g ? g->rows : 0;
    m->done = true;
    return 0;
}

int solve_module(struct job *j, struct module_job *m, float *w, const struct factor *f, const struct tune *t,
                 const struct gram *g, struct err *e)
{
    struct qtensor q = { 0 };
    char *prefix = tensor_prefix(m, e);
    int rc = -1;
    enum phase before = phase_enter(PHASE_SOLVE);
    if (!prefix || qtensor_init(&q, &m->layout, e))
        goto done;
    q.global_scale = m->global_scale;
    if (fit_and_solve(m, w, f, t, g, &q, e) || j->container->pack(j->saver, prefix, m->scheme, &q, e))
        goto done;
    if (f && f->attempts > 1)
        log_say(LOG_WARN, "%s: the Hessian was not positive definite; dampening was raised to %g",
                m->module->name, f->damp_frac);
    rc = 0;
done:
    (void)phase_enter(before);
    qtensor_release(&q);
    mem_free(prefix);
    return rc ? err_while(e, "quantizing %s", m->module->name) : 0;
}

int pass_run(struct job *j, const char *spill_dir, struct err *e)
{
    if (smooth_run(j, spill_dir, e))
        return -1;
    if (j->needs_data && calibrated_run(j, spill_dir, e))
        return -1;
    return stream_run(j, e); /* all of them, or those that the walk does not reach (embeddings) */
}
