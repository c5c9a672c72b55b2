/* status.c - `qpipe status`: how far outputs are, from their journals; finished ones from their manifests. */
#include "pipeline/commands/rows.h"

#include "base/log.h"
#include "base/mem.h"
#include "pipeline/progress.h"

#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct opt options[] = {
    { .name = "watch",
      .type = OPT_BOOL,
      .at = CLI_AT(watch),
      .doc = "Again and again, until every output is finished or rejected." },
    { .name = "interval",
      .type = OPT_INT,
      .at = CLI_AT(interval),
      .def = 5,
      .min = 1,
      .max = 86400,
      .unit = "seconds",
      .doc = "Between two looks of --watch." },
    CLI_JSON,
    { .name = NULL },
};

static bool complete(const struct progress *p)
{
    return p->state == PROGRESS_FINISHED || p->state == PROGRESS_REJECTED;
}

/* "3 d 4 h", "4 h 12 min", "12 min", "40 s" */
static const char *human_time(double s, char out[32])
{
    long long t = s < 0 ? 0 : s > 1e12 ? 1000000000000 : (long long)s;
    if (t >= 86400)
        snprintf(out, 32, "%lld d %lld h", t / 86400, t % 86400 / 3600);
    else if (t >= 3600)
        snprintf(out, 32, "%lld h %lld min", t / 3600, t % 3600 / 60);
    else if (t >= 60)
        snprintf(out, 32, "%lld min", t / 60);
    else
        snprintf(out, 32, "%lld s", t);
    return out;
}

static const char *phase(const struct progress *p)
{
    if (complete(p))
        return "done";
    return !p->modules ? "starting" : p->done < p->modules ? "quantizing" : "saving and verifying";
}

static const char *resumable(const struct progress *p)
{
    return p->state == PROGRESS_STOPPED ? "yes: run it again" : "";
}

static int result_text(const struct progress *p, struct buf *out, struct err *e)
{
    int rc = buf_printf(out, e, "  modules     %lld quantized, weight error %.5f mean\n",
                        (long long)p->quantized, p->weight_error);
    if (!rc && !isnan(p->kl))
        rc = buf_printf(out, e, "  model       KL divergence %.6f, perplexity ratio %.5f\n", p->kl,
                        p->perplexity_ratio);
    if (!rc && p->thresholds)
        rc = buf_printf(out, e, "  thresholds  %lld of %lld met\n", (long long)p->met,
                        (long long)p->thresholds);
    return rc;
}

static int work_text(const struct progress *p, struct buf *out, struct err *e)
{
    char t[32];
    double now = (double)time(NULL);
    int rc = buf_printf(out, e, "  phase       %s\n", phase(p));
    if (!rc && p->modules)
        rc = buf_printf(out, e, "  modules     %lld of %lld, blocks %lld of %lld\n", (long long)p->done,
                        (long long)p->modules, (long long)p->blocks_done, (long long)p->blocks);
    if (!rc && p->rate > 0 && p->state != PROGRESS_STOPPED)
        rc = buf_printf(out, e, "  rate        %.3g modules a minute, %s to the last\n", 60 * p->rate,
                        human_time(p->eta - (now - p->changed), t));
    if (!rc && p->changed > 0)
        rc = buf_printf(out, e, "  last record %s ago\n", human_time(now - p->changed, t));
    if (!rc && p->pid)
        rc = buf_printf(out, e, "  owner       process %lld on %s, job %s, restart %lld\n", (long long)p->pid,
                        p->host, p->job, (long long)p->restart);
    if (!rc && p->error)
        rc = buf_printf(out, e, "  %s %s: %s\n", p->error_now ? "ended with " : "once ended in",
                        p->error_word, p->error);
    if (!rc && p->state == PROGRESS_STOPPED)
        rc = buf_printf(out, e, "  resumable   %s\n", resumable(p));
    return rc;
}

static int one_text(const struct progress *p, struct buf *out, struct err *e)
{
    int rc = buf_printf(out, e, "%s: %s\n", p->output, progress_words[p->state]);
    if (!rc && complete(p))
        rc = result_text(p, out, e);
    else if (!rc && p->state != PROGRESS_NOTHING)
        rc = work_text(p, out, e);
    if (!rc && p->job_status >= 0 && !complete(p))
        rc = buf_printf(out, e, "  job         status %lld after %lld start%s: %s.submit.log\n",
                        (long long)p->job_status, (long long)p->job_starts, p->job_starts == 1 ? "" : "s",
                        p->output);
    return rc;
}

/* One row of a table of several. */
static int row_text(const struct progress *p, int width, struct buf *out, struct err *e)
{
    char modules[48] = "", note[64] = "", t[32];
    if (complete(p))
        snprintf(modules, sizeof modules, "%lld", (long long)p->quantized);
    else if (p->modules)
        snprintf(modules, sizeof modules, "%lld/%lld", (long long)p->done, (long long)p->modules);
    if (complete(p) && !isnan(p->kl))
        snprintf(note, sizeof note, "weights %.5f, KL %.6f", p->weight_error, p->kl);
    else if (complete(p))
        snprintf(note, sizeof note, "weights %.5f", p->weight_error);
    else if (p->rate > 0 && p->state != PROGRESS_STOPPED)
        snprintf(note, sizeof note, "%s left", human_time(p->eta - ((double)time(NULL) - p->changed), t));
    else if (p->error_now)
        snprintf(note, sizeof note, "%s", p->error_word);
    return buf_printf(out, e, "%-*s  %-9s  %-20s  %9s  %s\n", width, p->output, progress_words[p->state],
                      p->state == PROGRESS_NOTHING ? "" : phase(p), modules, note);
}

static int table_text(const struct progress *p, size_t n, struct buf *out, struct err *e)
{
    int width = 6, rc;
    for (size_t i = 0; i < n; i++) {
        int w = (int)strlen(p[i].output);
        width = w > width ? w : width;
    }
    rc = buf_printf(out, e, "%-*s  %-9s  %-20s  %9s  %s\n", width, "OUTPUT", "STATE", "PHASE", "MODULES", "");
    for (size_t i = 0; !rc && i < n; i++)
        rc = row_text(&p[i], width, out, e);
    return rc;
}

static void work_json(const struct progress *p, struct jw *w)
{
    jw_kint(w, "modules", p->modules);
    jw_kint(w, "modules_done", p->done);
    jw_kint(w, "blocks", p->blocks);
    jw_kint(w, "blocks_done", p->blocks_done);
    jw_kreal(w, "modules_per_second", p->rate);
    jw_kreal(w, "eta_seconds", p->rate > 0 ? p->eta : (double)NAN);
    jw_kreal(w, "last_record", p->changed);
    jw_kstr(w, "job", *p->job ? p->job : NULL);
    jw_kstr(w, "host", *p->host ? p->host : NULL);
    jw_kint(w, "pid", p->pid);
    jw_kint(w, "restart", p->restart);
    jw_kstr(w, "error", p->error);
    jw_kstr(w, "error_word", p->error_word);
    jw_kbool(w, "resumable", p->state == PROGRESS_STOPPED);
}

static void one_json(const struct progress *p, struct jw *w)
{
    jw_object(w);
    jw_kstr(w, "output", p->output);
    jw_kstr(w, "state", progress_words[p->state]);
    if (complete(p)) {
        jw_kint(w, "modules", p->quantized);
        jw_kreal(w, "weight_error_mean", p->weight_error);
        jw_kreal(w, "kl_divergence", p->kl);
        jw_kreal(w, "perplexity_ratio", p->perplexity_ratio);
        jw_kint(w, "thresholds", p->thresholds);
        jw_kint(w, "thresholds_met", p->met);
    } else if (p->state != PROGRESS_NOTHING) {
        jw_kstr(w, "phase", phase(p));
        work_json(p, w);
    }
    if (p->job_status >= 0) {
        jw_kint(w, "job_status", p->job_status);
        jw_kint(w, "job_starts", p->job_starts);
    }
    jw_end_object(w);
}

static int all_json(const struct progress *p, size_t n, struct buf *out, struct err *e)
{
    struct jw w;
    jw_init(&w, out, 2);
    jw_array(&w);
    for (size_t i = 0; i < n; i++)
        one_json(&p[i], &w);
    jw_end_array(&w);
    return jw_done(&w, e);
}

/* done: every output is complete. */
static int look(const struct cli *c, bool *done, struct err *e)
{
    size_t n = c->word.n, have = 0;
    struct buf out = { 0 };
    struct progress *p = mem_array(n, sizeof *p, e);
    int rc = p ? 0 : -1;
    *done = true;
    for (; !rc && have < n; have += !rc) {
        rc = progress_read(c->word.v[have], &p[have], e);
        *done = *done && !rc && complete(&p[have]);
    }
    if (!rc && c->watch && !c->json && isatty(STDOUT_FILENO))
        rc = buf_str(&out, "\033[H\033[2J", e);
    if (!rc)
        rc = c->json ? all_json(p, n, &out, e) : n == 1 ? one_text(p, &out, e) : table_text(p, n, &out, e);
    if (!rc)
        rc = print_text(&out, e);
    while (have)
        progress_release(&p[--have]);
    mem_free(p);
    buf_release(&out);
    return rc;
}

static int run(struct cli *c, struct err *e)
{
    bool done = false;
    int rc = look(c, &done, e);
    while (!rc && c->watch && !done && !interrupted) {
        sleep((unsigned)c->interval); /* a signal ends it */
        if (!interrupted)
            rc = look(c, &done, e);
    }
    return rc;
}

static const char *const details[] = {
    "Says of each output folder (as the recipe's `output` names it) what its work folder or its manifest says: running, elsewhere (by another machine's "
    "process), stopped, finished, rejected; modules and blocks done, rate and time left, who owns the work, the last error, whether running it again goes "
    "on. Several folders make a table.",
    "It only reads, and may look at a run on a shared file system from any machine.",
    NULL,
};
const struct command command_status = { "status", "DIR...", "Say how far runs are, from their journals.",
                                        options,  1,        1000,
                                        details,  run,      false };
