/* submit.h - recipes to a job of a batch scheduler: what each needs by its plan, and the job that has room for the largest. */
#ifndef QP_PIPELINE_SUBMIT_H
#define QP_PIPELINE_SUBMIT_H
#include "cluster/batch.h"
#include "pipeline/cli.h"

/* What one run needs, from its plan. */
struct demand {
    /* FLOP: of the walk alone, which every start of a run repeats up to where it goes on; with statistics and solves; of
     * verification, which is done in one piece */
    double forward, walk, verify;
    int64_t blocks;
    bool kept;            /* activations are kept between blocks: only what came behind is walked again */
    int64_t bytes, peak;  /* read and written; in memory */
    char *output, *label; /* absolute; "r.yaml" or "r.yaml, variant w8" */
};
struct submission {
    struct batch_job job;
    const struct batch_kind *kind;
    struct demand *demand; /* [job.n_tasks] */
    double seconds;        /* predicted for the largest task, without margin */
    char *owned[8];        /* texts that job borrows */
    size_t n_owned;
};
/* submission_plan - plans every recipe of the command line, chooses resources, fills job. ERR_INPUT for outputs that exist, that two
 * tasks share, or options that do not go together. */
int submission_plan(const struct cli *c, struct submission *out, struct err *e);
/* submission_tasks - the first step of it: job.task and demand. submission_absolute: a path from the root, without a slash at its
 * end; the caller frees. */
int submission_tasks(const struct cli *c, struct submission *out, struct err *e);
char *submission_absolute(const char *path, struct err *e);
void submission_release(struct submission *s);
/* Paths in job.folder; the caller frees. task: index into job.task. */
char *submission_script(const struct submission *s, struct err *e);
char *submission_state(const struct submission *s, size_t task, struct err *e);
#endif
