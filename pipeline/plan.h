/* plan.h - what a run will cost, from the shapes alone, and the plan as text or JSON. The formulas are those that the
 * rooms are held to (model_block_bytes, gram_bytes, ...); tests compare the predicted peak with the measured one. */
#ifndef QP_PIPELINE_PLAN_H
#define QP_PIPELINE_PLAN_H
#include "stages/job.h"

struct plan_cost {
    int64_t tokens; /* of calibration, at most: samples x sequence_length */
    int64_t bytes_in, bytes_out;
    double forward, gram, factor, solve;                 /* FLOP */
    int64_t block, grams, solver, store, scratch, fixed; /* bytes in memory */
    int64_t spill;                                       /* bytes of activations beyond the budget */
    int64_t peak; /* bytes: the sum of what is alive at the worst moment */
};
void plan_cost(const struct job *j, struct plan_cost *out);
int plan_text(const struct job *j, const struct plan_cost *c, struct buf *out, struct err *e);
void plan_json(const struct job *j, const struct plan_cost *c, struct jw *w);
#endif
