/* submit.c - `qpipe submit`: a recipe, several, or the variants of one, as a job of a batch scheduler. */
#include "pipeline/commands/rows.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "pipeline/submit.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* In the order of `batches`. */
static const char *const scheduler_words[] = { "slurm", "pbs", "sge", "local", NULL };

#define AT(f) CLI_AT(batch.f)
static const struct opt options[] = {
    { .name = "scheduler",
      .type = OPT_ENUM,
      .at = AT(scheduler),
      .words = scheduler_words,
      .doc = "slurm, pbs, sge, or local: this machine, in the background." },
    { .name = "nodes",
      .type = OPT_INT,
      .at = AT(nodes),
      .def = 1,
      .min = 1,
      .max = 100000,
      .doc = "Machines." },
    { .name = "ranks",
      .type = OPT_INT,
      .at = AT(ranks),
      .max = 1000000,
      .doc = "Processes in all, as many on each node; 0: one a node." },
    { .name = "time",
      .type = OPT_STR,
      .at = AT(time),
      .doc =
          "Limit of one job: 90m, 12h, 1-12:00:00; from the plan when left out. Too short for the work: a chain." },
    { .name = "warn",
      .type = OPT_STR,
      .at = AT(warn),
      .doc =
          "How long before the limit the run is asked to stop; 5m or a fifth of the limit when left out." },
    { .name = "chain",
      .type = OPT_STR,
      .at = AT(chain),
      .def_str = "auto",
      .doc = "Jobs that go on from one another: auto (as the plan and the limit ask for) or a number." },
    { .name = "mem",
      .type = OPT_BYTES,
      .at = AT(memory),
      .max = 1e15,
      .doc = "Memory of a node; 0: from the plan." },
    { .name = "partition", .type = OPT_STR, .at = AT(partition), .doc = "Partition or queue." },
    { .name = "account", .type = OPT_STR, .at = AT(account), .doc = "Account that is charged." },
    { .name = "pe",
      .type = OPT_STR,
      .at = AT(parallel_env),
      .doc = "Grid Engine's parallel environment; smp on one node and mpi on more when left out." },
    { .name = "launcher",
      .type = OPT_ENUM,
      .at = AT(launcher),
      .words = launcher_words,
      .doc = "What starts the ranks; auto: none for one rank, srun-pmix under Slurm, else openmpi." },
    { .name = "requeue",
      .type = OPT_BOOL,
      .at = AT(requeue),
      .def = 1,
      .doc = "The job may start again after preemption, a lost node, or its limit; --requeue=false: not." },
    { .name = "parallel",
      .type = OPT_INT,
      .at = AT(parallel),
      .max = 1000,
      .doc = "Runs of an array at once; 0: all." },
    { .name = "line",
      .type = OPT_STRS,
      .at = AT(line),
      .doc = "A directive as the scheduler has it (--qos=long); may be given again." },
    { .name = "setup",
      .type = OPT_STRS,
      .at = AT(setup),
      .doc = "A line of shell before the run (module load openmpi); may be given again." },
    { .name = "name",
      .type = OPT_STR,
      .at = AT(name),
      .doc = "Name of job, script and log; the output's when left out." },
    { .name = "rate",
      .type = OPT_REAL,
      .at = AT(rate),
      .def = 20,
      .min = 0.001,
      .max = 100000,
      .unit = "GFLOP/s",
      .doc = "What a core of that machine does in a run, for the prediction of time." },
    { .name = "margin",
      .type = OPT_REAL,
      .at = AT(margin),
      .def = 1.5,
      .min = 1,
      .max = 100,
      .doc = "Factor from predicted time to what is asked for." },
    { .name = "dry-run", .type = OPT_BOOL, .at = AT(dry_run), .doc = "Print the script and do nothing." },
    { .name = "variant",
      .type = OPT_STRS,
      .at = AT(variants),
      .doc = "Only this one of the recipe's variants; may be given again." },
    CLI_RECIPE_ROWS,
    { .name = "force",
      .type = OPT_BOOL,
      .at = CLI_AT(force),
      .doc = "Replace existing outputs once the new ones are complete." },
    CLI_JSON,
    { .name = NULL },
};

static int write_script(const char *path, const struct buf *text, struct err *e)
{
    char hash[65];
    if (unlink(path) && errno != ENOENT)
        return err_io(e, "replace", path);
    struct out_file *f = file_create(path, e);
    if (!f)
        return -1;
    if (file_put(f, text->p, text->len, e)) {
        file_abandon(f);
        return -1;
    }
    if (file_finish(f, hash, e))
        return -1;
    return chmod(path, 0755) ? err_io(e, "make executable", path) : 0;
}

/* How earlier jobs of this name ended is no matter to this one: the journal knows what is done. */
static int forget_states(const struct submission *s, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < s->job.n_tasks; i++) {
        char *path = submission_state(s, i, e);
        rc = path ? 0 : -1;
        if (path && unlink(path) && errno != ENOENT)
            rc = err_io(e, "remove", path);
        mem_free(path);
    }
    return rc;
}

static int report(const struct cli *c, const struct submission *s, const char *script, const struct buf *text,
                  const struct strs *ids, struct buf *out, struct err *e)
{
    if (!c->json) {
        int rc = c->batch.dry_run ? buf_add(out, text->p, text->len, e) : 0;
        for (size_t i = 0; !rc && i < ids->n; i++)
            rc = buf_printf(out, e, "%s\n", ids->v[i]);
        return rc;
    }
    struct jw w;
    jw_init(&w, out, 2);
    jw_object(&w);
    jw_kstr(&w, "scheduler", s->kind->name);
    jw_key(&w, "jobs");
    jw_array(&w);
    for (size_t i = 0; i < ids->n; i++)
        jw_str(&w, ids->v[i]);
    jw_end_array(&w);
    jw_kstr(&w, "script", script);
    if (c->batch.dry_run)
        jw_kstr(&w, "text", text->p);
    jw_key(&w, "outputs");
    jw_array(&w);
    for (size_t i = 0; i < s->job.n_tasks; i++)
        jw_str(&w, s->demand[i].output);
    jw_end_array(&w);
    jw_kint(&w, "links", s->job.links);
    jw_kreal(&w, "predicted_seconds", s->seconds);
    jw_kint(&w, "limit_seconds", s->job.seconds);
    jw_kint(&w, "memory_bytes", s->job.memory);
    jw_end_object(&w);
    return jw_done(&w, e);
}

static int hand_over(const struct submission *s, const char *script, const struct buf *text, struct strs *ids,
                     struct err *e)
{
    if (path_make_dir(s->job.folder, e) || write_script(script, text, e) || forget_states(s, e) ||
        batch_submit(s->kind, &s->job, path_base(script), ids, e))
        return -1;
    log_say(LOG_INFO, "script %s; `qpipe status` and the job's log %s/%s.submit*.log say how it goes", script,
            s->job.folder, s->job.name);
    if (ids->n > 1)
        log_say(LOG_INFO, "a chain: cancel all %zu jobs to stop it", ids->n);
    return 0;
}

static int run(struct cli *c, struct err *e)
{
    struct submission s;
    struct buf text = { 0 }, out = { 0 };
    struct strs ids = { 0 };
    if (submission_plan(c, &s, e))
        return -1;
    char *script = submission_script(&s, e);
    int rc = script ? batch_script(s.kind, &s.job, &text, e) : -1;
    if (!rc && !c->batch.dry_run)
        rc = hand_over(&s, script, &text, &ids, e);
    rc = rc || report(c, &s, script, &text, &ids, &out, e) || print_text(&out, e) ? -1 : 0;
    mem_free(script);
    buf_release(&text);
    buf_release(&out);
    strs_release(&ids);
    submission_release(&s);
    return rc;
}

static const char *const details[] = {
    "Writes a job script beside the output (OUTPUT.submit.sh), hands it to the scheduler, and prints the id of the job, one a line for a chain. Resources "
    "come from the plan; the script's comments say by which formula. It can be read, changed, and handed over by hand.",
    "Several recipes, and the `variants` of a recipe, become an array: one run a task, each with its own output. A limit that is shorter than the work gives "
    "a chain of jobs that go on from one another by the journal; the rest of a chain whose work is done ends at once.",
    "Before its limit, and on preemption, a run is asked to stop, and ends with status 75 at the next point of its journal; the job then starts again.",
    NULL,
};
const struct command command_submit = { "submit", "RECIPE...", "Run recipes as a job of a batch scheduler.",
                                        options,  1,           1000,
                                        details,  run,         false };
