/* rtn.c - QuantizationModifier: every weight to its nearest value on the grid that the observer found. */
#include "stages/rows.h"

static int fill(struct job *j, int index, struct module_job *m, struct err *e)
{
    (void)j, (void)index, (void)e;
    m->solver = solver_find("rtn");
    m->order = ACTORDER_NONE;
    return 0;
}

static int plan(struct job *j, int index, struct err *e) { return plan_targets(j, index, fill, e); }

const struct stage stage_rtn = { "QuantizationModifier", plan };
