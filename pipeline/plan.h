/* plan.h - what a run will cost, from the shapes alone, and the plan as text or JSON. The formulas are those that the
 * rooms are held to (model_block_bytes, gram_bytes, ...); tests compare the predicted peak with the measured one. */
#ifndef QP_PIPELINE_PLAN_H
#define QP_PIPELINE_PLAN_H
#include "stages/job.h"

struct plan_cost {
    int64_t tokens;                      /* of calibration */
    int64_t bytes_in, bytes_out;         /* of tensors */
    double forward, gram, factor, solve; /* FLOP */
    /* bytes in memory while weights are quantized */
    int64_t fixed;            /* what the plan itself holds: tables, token ids */
    int64_t block;            /* float32 weights of the largest block */
    int64_t work;             /* Gram matrices while they grow, or factor and solve of one module */
    int64_t store;            /* activations that wait, up to the budget */
    int64_t scratch;          /* registers of the longest sequence */
    int64_t spill;            /* bytes of activations that go through a file instead */
    int64_t quantize, verify; /* peaks of the two phases */
    int64_t peak;             /* the larger of them */
};
void plan_cost(const struct job *j, struct plan_cost *out);
int plan_text(const struct job *j, const struct plan_cost *c, struct buf *out, struct err *e);
struct prediction;
/* p: NULL, or what `--ranks` asked for. */
void plan_json(const struct job *j, const struct plan_cost *c, const struct prediction *p, struct jw *w);
#endif
