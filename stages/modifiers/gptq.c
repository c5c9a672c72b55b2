/* gptq.c - GPTQModifier: error feedback against the Gram matrix of the module's input (arXiv:2210.17323), with the
 * option meanings of llm-compressor. Embeddings have no such matrix: they are rounded, and the plan says so. */
#include "stages/rows.h"

#include <string.h>

enum { NONE, WEIGHT, STATIC, NOT_GIVEN };

/* A search for scales, and what follows it; where cells have no scale of a row's own, or are too wide, the plan says what
 * happens instead. */
static int fill_tuning(struct job *j, const struct gptq_options *o, struct module_job *m, struct err *e)
{
    const char *strategy = strategy_words[m->layout.args.strategy];
    m->solve.scale_search = (enum scale_search)o->scale_search;
    m->solve.alpha = o->calibration && j->mode != WALK_FALSE ? o->alpha : 0;
    m->solve.refit = o->refit;
    m->solve.sweeps = o->sweeps;
    if (o->scale_search && m->observer != observer_find("memoryless_minmax") &&
        job_note(j, e, "'%s': scale_search decides about scales, observer %s does not", m->module->name,
                 m->observer->name))
        return -1;
    if (!tune_searches(&m->layout)) {
        m->solve.scale_search = SCALES_OBSERVER;
        m->solve.refit = 0;
        if (o->scale_search || o->refit)
            return job_note(
                j, e,
                "strategy %s has no scale of a row's own: its observer decides, without scale_search and refit",
                strategy);
    } else if (o->scale_search == SCALES_FEEDBACK && !tune_feeds_back(&m->layout)) {
        m->solve.scale_search = SCALES_IMPORTANCE;
        return job_note(
            j, e, "strategy %s: scale_search importance instead of feedback, which is for groups up to 256",
            strategy);
    }
    return 0;
}

static int fill(struct job *j, int index, struct module_job *m, struct err *e)
{
    const struct gptq_options *o = j->recipe->stage[index].options;
    if (!strcmp(m->module->classes[0], "Embedding")) {
        m->solver = solver_find("rtn");
        m->order = ACTORDER_NONE;
        return job_note(j, e, "'%s' is an embedding: GPTQModifier rounds it to nearest", m->module->name);
    }
    m->solver = solver_find("gptq");
    m->solve.dampening_frac = o->dampening_frac;
    m->solve.damp_mode = (enum damp_mode)o->damping;
    m->solve.block_size = o->block_size;
    if (o->actorder != NOT_GIVEN)
        m->order = o->actorder == NONE ? ACTORDER_NONE : ACTORDER_STATIC;
    else if (!m->scheme->weights.actorder_given)
        m->order = ACTORDER_STATIC;
    j->needs_data = true;
    return fill_tuning(j, o, m, e);
}

static int plan(struct job *j, int index, struct err *e)
{
    const struct gptq_options *o = j->recipe->stage[index].options;
    if (!o->calibration && o->alpha < 1) {
        err_at(e, ERR_INPUT, j->recipe->stage[index].at,
               "alpha: found %g, which means nothing with calibration: symmetric", o->alpha);
        return err_hint(e, "say calibration: asymmetric, or leave alpha out");
    }
    if (o->calibration && j->mode == WALK_FALSE &&
        job_note(j, e,
                 "calibration is symmetric: with `sequential: false`, inputs are the original model's own"))
        return -1;
    return plan_targets(j, index, fill, e);
}

const struct stage stage_gptq = { "GPTQModifier", plan };
