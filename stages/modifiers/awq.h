/* awq.h - inside modifiers: the search by the parent's output (awq_output.c). */
#ifndef QP_STAGES_MODIFIERS_AWQ_H
#define QP_STAGES_MODIFIERS_AWQ_H
#include "quant/awq.h"
#include "stages/rows.h"

/* Where the parent runs: over this rank's chunks [first, end) of all. */
struct awq_target {
    struct walker *walker;
    const char *parent;
    const struct comm *comm;
    int64_t first, end, chunks;
};
/* awq_by_output - as awq_search; all ranks call it. live [p->n]: the walker's matrices of p, which are changed on the way and put back; m: p's
 * matrices. */
int awq_by_output(struct awq_problem *p, struct awq_matrix *m, float **live, const struct awq_target *t,
                  const struct walk_group *g, float *out, struct awq_result *res, struct err *e);
/* awq_output_bytes - what it holds, for plans. length: of the longest sequence; width: of the parent's output. */
int64_t awq_output_bytes(const struct mapping *p, int64_t length, int64_t width);
#endif
