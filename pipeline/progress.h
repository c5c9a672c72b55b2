/* progress.h - what a run writes into its journal for people who ask how it goes, and what `qpipe status` makes of it: keys
 * `plan` (the modules of every block, when this start began, what it found done) and `error` (how the last start ended). Both
 * are JSON; no work depends on them. */
#ifndef QP_PIPELINE_PROGRESS_H
#define QP_PIPELINE_PROGRESS_H
#include "cluster/journal.h"
#include "stages/job.h"

/* progress_plan - at the start of rank 0. done: modules that an earlier start has finished. */
int progress_plan(const struct job *j, struct journal *journal, int64_t done, struct err *e);
/* progress_error - why this start ends; nothing for a NULL or empty one. Not being able to say it is no error. */
void progress_error(struct journal *journal, const struct err *why);
/* progress_kept - something beside these two keys is in the journal. */
bool progress_kept(const struct journal *journal);

enum progress_state {
    PROGRESS_NOTHING,   /* neither an output nor a work folder */
    PROGRESS_RUNNING,   /* by a process of this machine */
    PROGRESS_ELSEWHERE, /* by another machine's: whether it lives is not known here */
    PROGRESS_STOPPED,   /* the process is gone; running again goes on */
    PROGRESS_REJECTED,  /* complete, and a threshold was missed */
    PROGRESS_FINISHED
};
extern const char *const progress_words[]; /* by state */
struct progress {
    enum progress_state state;
    char *output;
    /* while there is a work folder; times in seconds since 1970 */
    int64_t modules, done, blocks, blocks_done;
    double started, changed; /* this start; the last record */
    double rate, eta;        /* modules a second, seconds to the end of quantizing; 0: not known yet */
    char job[80], host[128]; /* of the owner; "-" without a scheduler */
    int64_t pid, restart;
    char *error, *error_word; /* of the last start that ended in one, or NULL */
    bool error_now;           /* no start has begun since */
    /* of a complete output, from its manifest */
    int64_t quantized;
    double weight_error;         /* mean over modules */
    double kl, perplexity_ratio; /* NAN: not measured */
    int64_t thresholds, met;
    /* of the last job that `qpipe submit` wrote for this output alone; -1: none */
    int64_t job_status, job_starts;
};
/* progress_read - output: as `output:` of a recipe says it. Nothing is written. */
int progress_read(const char *output, struct progress *out, struct err *e);
void progress_release(struct progress *p);
#endif
