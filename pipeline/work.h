/* work.h - the folder beside an output in which a run keeps what it has finished, `OUTPUT.work`: journal, spools, and out/,
 * the output being filled. It goes when the output appears, and stays when the run ended before: the next one goes on. */
#ifndef QP_PIPELINE_WORK_H
#define QP_PIPELINE_WORK_H
#include "cluster/journal.h"
#include "stages/job.h"

struct out_dir;
struct work {
    char *dir;
    struct journal *journal;
    struct out_dir *out; /* rank 0's: freed by whoever publishes it, who sets NULL */
    char *path;          /* where all ranks write */
    bool finished;       /* an earlier run published this output and died before it removed the folder */
};
/* work_refuse_existing - ERR_INPUT when something stands under the output's name and may not be replaced; not where a work
 * folder stands beside it: work_open knows more then. */
int work_refuse_existing(const char *output, bool force, struct err *e);
/* All ranks of a job call these two. work_open - takes the output's work folder, new or left by an earlier run; j->units and
 * j->saver are set. force: an existing output is replaced at the end. ERR_INPUT when the output exists, or what was left is
 * another job's. */
int work_open(struct job *j, bool force, enum resume resume, struct work *w, struct err *e);
/* work_published - to be called before the output takes its name: a run that dies in between is known as such. ERR_RESUME when
 * another process owns the job. */
int work_published(struct work *w, struct err *e);
/* work_close - the end: the folder goes when `published`, or when nothing is in it that a next run could take. e: why the run
 * failed, or NULL; what was finished is committed first. */
void work_close(struct job *j, struct work *w, bool published, struct err *e);
/* work_done - modules that were finished before this run. */
int64_t work_done(const struct job *j);
#endif
