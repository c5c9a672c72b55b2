/* batch.h - the door to batch schedulers: a table; a row turns a job into a complete, readable script, and says how the script is
 * handed over and how a job that waits for another is. What runs, with which resources, is the caller's: nothing here knows
 * of recipes.
 *
 * A script is bash, runs as it is when handed over by hand, and ends with the status of the program. 75 means that the journal has
 * more to do: the script puts itself back in the queue where the scheduler lets it, or the next of a chain goes on. How a task ended
 * is kept in its state file ("STATUS STARTS"), so that the rest of a chain does nothing. */
#ifndef QP_CLUSTER_BATCH_H
#define QP_CLUSTER_BATCH_H
#include "base/err.h"
#include "base/str.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum launcher { LAUNCH_AUTO, LAUNCH_NONE, LAUNCH_PMIX, LAUNCH_PMI2, LAUNCH_OPENMPI, LAUNCH_MPICH };
extern const char
    *const launcher_words[]; /* "auto", "none", "srun-pmix", "srun-pmi2", "openmpi", "mpich", NULL */

/* One run of the program: its words (without the program), and where its output appears. */
struct batch_task {
    const char *label;
    struct strs words;
    const char *done; /* a file of the finished output; NULL: may be there already */
};
/* Borrowed texts; lists are owned by the caller. */
struct batch_job {
    const char *name;         /* of the job, the script and its files; made by batch_name */
    const char *folder;       /* absolute: where script, log and state lie */
    const char *workdir;      /* absolute: where the tasks' relative paths start */
    const char *program;      /* absolute */
    struct strs about;        /* lines of comment */
    struct strs env;          /* NAME=VALUE */
    struct strs lines, setup; /* of the user: directives without their mark; shell lines before the program */
    int64_t nodes, ranks_a_node; /* 1 or more */
    int64_t threads;             /* of a rank */
    int64_t memory;              /* bytes a node */
    int64_t seconds, warn;       /* limit (0: none), and how long before it the program is asked to stop */
    int64_t links;               /* jobs of the chain; 1: none */
    int64_t parallel;            /* tasks of an array at once; 0: all */
    const char *partition, *account, *parallel_env; /* NULL: not said */
    enum launcher launcher;
    bool requeue;
    struct batch_task *task;
    size_t n_tasks;
};

struct batch_kind {
    const char *name, *doc;
    bool has_limit, has_ranks; /* of time; more than one rank or node */
    enum launcher ranks_by;    /* LAUNCH_AUTO for more than one rank */
    /* Directives below the first line. */
    int (*head)(const struct batch_job *j, struct buf *out, struct err *e);
    /* Shell words. index: the number of the array's task, from first_index. */
    const char *index, *id, *home;
    int first_index;
    bool own_log;      /* directives name the log; else the script opens it */
    const char *again; /* shell that puts the job back; NULL: only a chain goes on */
    bool timer;        /* no signal before the limit: the script has a clock of its own */
    /* Handing over. command: words before the script, ends with NULL; after: words for a dependency, %s is the job's id. A row without
     * a command starts the script in a session of its own: its id is the process. */
    const char *command[4], *after[3];
    char id_end[4]; /* the id is what stands before one of these characters */
};
extern const struct batch_kind batch_slurm, batch_pbs, batch_sge, batch_local;
extern const struct batch_kind *const batches[]; /* ends with NULL */
const struct batch_kind *batch_find(const char *name);

/* batch_name - text as the name of jobs and files: other characters than A-Z a-z 0-9 . _ - become '_'. */
char *batch_name(const char *text, struct err *e);
/* batch_script - the whole script. ERR_INPUT for names with control characters, and for what the row can not do. */
int batch_script(const struct batch_kind *k, const struct batch_job *j, struct buf *out, struct err *e);
/* batch_submit - hands the script over, j->links times, each but the first waiting for the one before. ids: one each. ERR_INPUT
 * when the scheduler's command is not on this machine. */
int batch_submit(const struct batch_kind *k, const struct batch_job *j, const char *script, struct strs *ids,
                 struct err *e);

/* For the rows. shell_quote - a word for the shell, in single quotes where it must be. */
int shell_quote(struct buf *out, const char *word, struct err *e);
/* batch_time - D-HH:MM:SS with days, HH:MM:SS without (hours may exceed 23). */
int batch_time(struct buf *out, int64_t seconds, bool days, struct err *e);
int batch_lines(const struct batch_job *j, const char *mark, struct buf *out, struct err *e);
static inline int64_t batch_mib(int64_t bytes) { return (bytes + (1 << 20) - 1) >> 20; }
#endif
