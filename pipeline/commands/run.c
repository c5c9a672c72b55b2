/* run.c - `qpipe run` and `qpipe plan`: the same plan, executed or shown. */
#include "pipeline/commands/rows.h"

#include "base/log.h"
#include "cluster/comm.h"
#include "kernels/kernels.h"
#include "pipeline/predict.h"
#include "pipeline/run.h"
#include "pipeline/work.h"

#include <string.h>

static const struct opt run_options[] = {
    CLI_RECIPE_ROWS,
    CLI_VARIANT,
    { .name = "force",
      .type = OPT_BOOL,
      .at = CLI_AT(force),
      .doc = "Replace an existing output once the new one is complete." },
    { .name = "resume",
      .type = OPT_ENUM,
      .at = CLI_AT(resume),
      .def = RESUME_AUTO,
      .words = resume_words,
      .doc = "What an earlier run has finished (OUTPUT.work): go on with it, insist on it, or forget it." },
    CLI_JSON,
    { .name = NULL },
};
static const struct opt plan_options[] = {
    CLI_RECIPE_ROWS,
    CLI_VARIANT,
    { .name = "ranks",
      .type = OPT_INT,
      .at = CLI_AT(batch.ranks),
      .max = 1000000,
      .doc = "Predict time, memory and traffic on so many ranks." },
    { .name = "rate",
      .type = OPT_REAL,
      .at = CLI_AT(batch.rate),
      .max = 1e9,
      .unit = "GFLOP/s",
      .doc = "Of one rank's matrix products, for --ranks; measured on this machine when left out." },
    { .name = "network",
      .type = OPT_REAL,
      .at = CLI_AT(network),
      .def = 25,
      .min = 1e-3,
      .max = 1e6,
      .unit = "Gbit/s",
      .doc = "Between two ranks, for --ranks." },
    { .name = "rank-memory",
      .type = OPT_BYTES,
      .at = CLI_AT(rank_memory),
      .doc = "What a rank may use, for --ranks: a plan that needs more is refused." },
    CLI_JSON,
    { .name = NULL },
};

static void say_notes(const struct job *j)
{
    for (size_t i = 0; i < j->notes.n; i++)
        log_say(LOG_INFO, "note: %s", j->notes.v[i]);
}

static int execute(struct cli *c, struct job *j, struct err *e)
{
    struct run_report r;
    struct buf text = { 0 };
    say_notes(j);
    if (run_job(j, c->force, (enum resume)c->resume, &r, e))
        return -1;
    int rc = 0;
    if (j->comm->rank)
        ; /* rank 0 speaks for all */
    else if (c->json) {
        struct jw w;
        jw_init(&w, &text, 2);
        run_json(j, &r, &w);
        rc = jw_done(&w, e);
    } else
        rc = run_text(j, &r, &text, e);
    if (!rc)
        rc = print_text(&text, e);
    int status = r.rejected ? ERR_CHECK : ERR_OK;
    buf_release(&text);
    run_report_release(&r);
    return rc ? -1 : status;
}

/* --ranks: false when it was not asked for. */
static bool foresee(const struct cli *c, struct job *j, const struct plan_cost *cost, struct prediction *p,
                    struct machine *m)
{
    if (!c->batch.ranks)
        return false;
    *m = (struct machine){ c->batch.rate * 1e9, c->network * 1e9 / 8, (double)c->rank_memory };
    predict(j, cost, (int)c->batch.ranks, m, p);
    return true;
}

static int show(struct cli *c, struct job *j, struct err *e)
{
    struct plan_cost cost;
    struct prediction p;
    struct machine m;
    struct buf text = { 0 };
    plan_cost(j, &cost);
    bool ranks = foresee(c, j, &cost, &p, &m);
    int rc;
    if (c->json) {
        struct jw w;
        jw_init(&w, &text, 2);
        plan_json(j, &cost, ranks ? &p : NULL, &w);
        rc = jw_done(&w, e);
    } else {
        rc = plan_text(j, &cost, &text, e);
        rc = rc || (ranks && predict_text(&p, &text, e)) ? -1 : 0;
    }
    if (!rc && ranks && predict_fits(&p, &m, e)) {
        (void)print_text(&text, NULL);
        rc = -1;
    }
    if (!rc)
        rc = print_text(&text, e);
    buf_release(&text);
    return rc;
}

/* The recipe's `threads:`, unless the command line has said a number. */
static void use_threads(const struct cli *c, const struct recipe *r)
{
    if (!c->threads && r->threads_hint && !kernels_init(kernels_level(), r->threads_hint))
        BUG_ON(1); /* the level runs already */
    log_say(LOG_DEBUG, "kernels: %s, %d threads", kernels_level(), kernels_threads());
}

static int prepare(struct cli *c, bool runs, struct recipe *r, struct job *j, struct err *e)
{
    if (cli_recipe(c, r, e))
        return -1;
    use_threads(c, r);
    /* before texts are read: the commonest mistake of a second run */
    return (runs && work_refuse_existing(r->output, c->force, e)) || job_plan(r, c->allow_unmatched, j, e)
               ? -1
               : 0;
}

/* Ranks plan alike, and none of them begins before all have. */
static int with_job(struct cli *c, int (*f)(struct cli *c, struct job *j, struct err *e), struct err *e)
{
    struct recipe r;
    struct job j;
    memset(&r, 0, sizeof r);
    memset(&j, 0, sizeof j);
    int rc = comm_agree(comm_world(), prepare(c, f == execute, &r, &j, e), e);
    if (!rc)
        rc = f(c, &j, e);
    job_release(&j);
    recipe_release(&r);
    return rc;
}

static int run(struct cli *c, struct err *e) { return with_job(c, execute, e); }
static int plan(struct cli *c, struct err *e) { return with_job(c, show, e); }

static const char *const run_details[] = {
    "Runs a recipe: reads the checkpoint, calibrates, quantizes block after block, saves, verifies what stands on disk, and writes "
    "manifest.json. The recipe is qpipe's own or an llm-compressor one, unchanged.",
    "The output appears under its name only when it is complete and every threshold of the verify stage is met; one that misses a "
    "threshold appears as OUTPUT.rejected and the exit status is 1.",
    "What is finished is kept in OUTPUT.work until then: a run that ended early, by a signal (status 75), a full disk, a kill or "
    "a power cut, goes on when the same command runs again, with any number of threads, and gives the same bytes.",
    NULL,
};
static const char *const plan_details[] = {
    "Shows what `qpipe run` would do: stages, every module with the rule that decided it, sizes, peak memory, arithmetic. Nothing is "
    "computed and nothing is written.",
    NULL,
};
const struct command command_run = { "run",       "RECIPE", "Compress a checkpoint as a recipe says.",
                                     run_options, 1,        1,
                                     run_details, run,      true };
const struct command command_plan = { "plan",       "RECIPE", "Show what a run would do and cost.",
                                      plan_options, 1,        1,
                                      plan_details, plan,     false };
