/* identity.h - what must be equal for a run to go on with what another one has finished: recipe, build, input, calibration
 * tokens. Paths, threads, memory budgets and ranks are no part of it. */
#ifndef QP_PIPELINE_IDENTITY_H
#define QP_PIPELINE_IDENTITY_H
#include "cluster/journal.h"
#include "stages/job.h"

struct identity {
    struct journal_identity *line;
    size_t n;
    struct strs text; /* what the lines point to */
};
int identity_of(const struct job *j, struct identity *out, struct err *e); /* out: { 0 } */
void identity_release(struct identity *id);
#endif
