/* gptq.c - GPTQModifier: error feedback against the Gram matrix of the module's input (arXiv:2210.17323), with the
 * option meanings of llm-compressor. Embeddings have no such matrix: they are rounded, and the plan says so. */
#include "stages/rows.h"

#include <string.h>

enum { NONE, WEIGHT, STATIC, NOT_GIVEN };

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
    m->solve.damp_mode = o->damping ? DAMP_AUTO : DAMP_FIXED;
    m->solve.block_size = o->block_size;
    if (o->actorder != NOT_GIVEN)
        m->order = o->actorder == NONE ? ACTORDER_NONE : ACTORDER_STATIC;
    else if (!m->scheme->weights.actorder_given)
        m->order = ACTORDER_STATIC;
    j->needs_data = true;
    return 0;
}

static int plan(struct job *j, int index, struct err *e) { return plan_targets(j, index, fill, e); }

const struct stage stage_gptq = { "GPTQModifier", plan };
