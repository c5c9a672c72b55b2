/* run.h - the whole main job: plan, calibrate, walk, save, verify, manifest, publish. Output appears under its name only
 * when all of that is done and every threshold is met; a complete output that misses a threshold appears as
 * `<output>.rejected`, with its report. */
#ifndef QP_PIPELINE_RUN_H
#define QP_PIPELINE_RUN_H
#include "cluster/journal.h"
#include "pipeline/plan.h"
#include "stages/verify.h"

struct run_report {
    struct plan_cost cost;
    struct save_report files; /* what save wrote besides tensors */
    struct verify_report verify;
    bool verified, rejected, already; /* already: an earlier run did it all; nothing else is filled in */
    char *output;                     /* where it appeared */
    uint64_t bytes_in, bytes_out;
    double seconds; /* for people only */
};
/* run_job - job: planned (job_plan). ERR_INPUT before anything is computed when the output exists and !force. What it finishes is
 * kept in OUTPUT.work until the output appears, and taken from there by the next run (docs/resume.md). */
int run_job(struct job *j, bool force, enum resume resume, struct run_report *out, struct err *e);
void run_report_release(struct run_report *r);
int run_text(const struct job *j, const struct run_report *r, struct buf *out, struct err *e);
void run_json(const struct job *j, const struct run_report *r, struct jw *w);
#endif
