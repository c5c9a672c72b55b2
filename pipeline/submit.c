/* submit.c - recipes to a job: tasks, resources with a margin, and the formulas as comments of the script. */
#include "pipeline/submit.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/version.h"
#include "kernels/kernels.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;
/* Files: a shared file system under load. Start: loading programs, reading tables and texts. Room: what is no tensor. */
enum {
    FILE_RATE = 200000000,
    START_SECONDS = 30,
    LEAST_LIMIT = 600,
    MOST_LINKS = 100,
    KEPT_EVERY = 10 /* s, stages/snapshot.h */
};
static const double ROOM = 1.15;
static const int64_t ROOM_BYTES = INT64_C(256) << 20;

static const char *keep(struct submission *s, char *text)
{
    BUG_ON(s->n_owned == sizeof s->owned / sizeof *s->owned);
    s->owned[s->n_owned++] = text;
    return text;
}

/* ---- resources ---- */

/* 90s, 30m, 12h, 2d; or [D-]HH:MM:SS. A bare number is minutes to one scheduler and seconds to another. */
static int read_time(const char *what, const char *text, int64_t *out, struct err *e)
{
    static const char units[] = "smhd";
    static const int64_t seconds[] = { 1, 60, 3600, 86400 };
    long long d = 0, h, m, s;
    size_t n = strlen(text);
    const char *unit = n ? strchr(units, text[n - 1]) : NULL;
    char number[24];
    int end = 0;
    *out = 0;
    if (n > 1 && n < sizeof number && unit && *unit) {
        snprintf(number, sizeof number, "%.*s", (int)n - 1, text);
        if (num_int(number, out) && *out > 0 && *out < 100000000)
            *out *= seconds[unit - units];
        else
            *out = 0;
    } else if (strspn(text, "0123456789:-") == n && n < 16 &&
               ((sscanf(text, "%lld-%lld:%lld:%lld%n", &d, &h, &m, &s, &end) == 4 && text[end] == '\0') ||
                (d = 0, sscanf(text, "%lld:%lld:%lld%n", &h, &m, &s, &end) == 3 && text[end] == '\0')))
        *out =
            d >= 0 && h >= 0 && m >= 0 && m < 60 && s >= 0 && s < 60 ? ((d * 24 + h) * 60 + m) * 60 + s : 0;
    if (*out > 0)
        return 0;
    err_set(e, ERR_INPUT, "--%s: found '%.40s', expected a time such as 90m, 12h, 2d, 12:00:00 or 1-12:00:00",
            what, text);
    return err_hint(e, "with its unit: 60 is an hour to one scheduler and a minute to another");
}

static double all_flop(const struct demand *d) { return d->walk + d->verify; }

/* Jobs that a chain needs, each with `limit` seconds for work. A job walks again through what was finished since activations were
 * kept (`forward` for all of it, at most `most`), goes on from there (`walk`), and verifies in one piece. 0: no number of jobs
 * is enough. */
static int64_t count_links(double limit, double forward, double most, double walk, double verify)
{
    double done = 0;
    for (int64_t n = 1; n <= MOST_LINKS; n++) {
        double left = limit - (done * forward < most ? done * forward : most);
        if (left >= (1 - done) * walk + verify)
            return n;
        double gain = left / walk;
        if (gain < 0.005 || (done >= 1 && left < verify))
            return 0;
        done = done + gain < 1 ? done + gain : 1;
    }
    return MOST_LINKS + 1;
}

static int chain_by_plan(const struct cli *c, struct submission *s, const struct demand *d, struct err *e)
{
    struct batch_job *j = &s->job;
    double flops = (double)(j->nodes * j->ranks_a_node * j->threads) * c->batch.rate * 1e9,
           files = (double)d->bytes / FILE_RATE, m = c->batch.margin;
    double limit = (double)(j->seconds - j->warn - START_SECONDS), forward = m * (d->forward / flops + files),
           verify = m * d->verify / flops;
    double most = d->kept ? forward / (double)d->blocks + KEPT_EVERY : forward;
    int64_t n = count_links(limit, forward, most, m * (d->walk / flops + files), verify);
    if (n && n <= MOST_LINKS) {
        j->links = n > 1 ? n + 1 : 1; /* what was begun when a job was stopped is done again */
        return 0;
    }
    if (n)
        err_set(e, ERR_LIMIT, "--time: the work is more than %d jobs of %lld s", MOST_LINKS,
                (long long)j->seconds);
    else
        err_set(
            e, ERR_LIMIT,
            "--time: no chain of jobs of %lld s can end: %.0f s are left for work, walking again through what is finished "
            "takes up to %.0f, verifying %.0f",
            (long long)j->seconds, limit > 0 ? limit : 0, most < forward ? most : forward, verify);
    return err_hint(
        e, "give more time or cores, or the --rate of that machine; --chain N asks for N jobs all the same");
}

static int read_links(const struct cli *c, struct submission *s, const struct demand *d, struct err *e)
{
    struct batch_job *j = &s->job;
    const char *text = c->batch.chain;
    j->links = 1;
    if (!strcmp(text, "auto"))
        return !c->batch.time || s->seconds * c->batch.margin <= (double)(j->seconds - j->warn)
                   ? 0
                   : chain_by_plan(c, s, d, e);
    if (num_int(text, &j->links) && j->links >= 1 && j->links <= MOST_LINKS)
        return 0;
    return err_set(e, ERR_INPUT, "--chain: found '%.40s', expected auto or a number in [1, %d]", text,
                   MOST_LINKS);
}

static const struct demand *largest(const struct submission *s)
{
    const struct demand *d = s->demand;
    for (size_t i = 1; i < s->job.n_tasks; i++)
        d = all_flop(s->demand + i) > all_flop(d) ? s->demand + i : d;
    return d;
}

static int time_limit(const struct cli *c, struct submission *s, struct err *e)
{
    struct batch_job *j = &s->job;
    const struct demand *d = largest(s);
    double cores = (double)(j->nodes * j->ranks_a_node * j->threads);
    s->seconds = all_flop(d) / (cores * c->batch.rate * 1e9) + (double)d->bytes / FILE_RATE + START_SECONDS;
    double with_margin = s->seconds * c->batch.margin;
    if (c->batch.time && read_time("time", c->batch.time, &j->seconds, e))
        return -1;
    if (!c->batch.time && s->kind->has_limit) {
        double minutes = ceil(with_margin / 60);
        if (minutes > 5e6) {
            err_set(e, ERR_LIMIT, "the plan asks for %.3g hours, expected a job that ends", minutes / 60);
            return err_hint(e, "give more cores, or --time for a chain of jobs");
        }
        j->seconds = (int64_t)minutes * 60;
        j->seconds = j->seconds < LEAST_LIMIT ? LEAST_LIMIT : j->seconds;
    }
    j->warn = j->seconds / 5 < 300 ? j->seconds / 5 : 300;
    if (c->batch.warn && read_time("warn", c->batch.warn, &j->warn, e))
        return -1;
    if (!j->seconds && c->batch.warn)
        return err_set(e, ERR_INPUT, "--warn: the scheduler '%s' has no time limit to warn of",
                       s->kind->name);
    return read_links(c, s, d, e);
}

static int resources(const struct cli *c, struct submission *s, struct err *e)
{
    struct batch_job *j = &s->job;
    const struct cli_batch *b = &c->batch;
    int64_t ranks = b->ranks ? b->ranks : b->nodes, peak = 0;
    if (ranks % b->nodes) {
        err_set(e, ERR_INPUT, "--ranks: found %lld on %lld nodes, expected as many on each", (long long)ranks,
                (long long)b->nodes);
        return err_hint(e, "take a multiple of --nodes");
    }
    j->nodes = b->nodes;
    j->ranks_a_node = ranks / b->nodes;
    j->threads = c->threads ? c->threads : kernels_threads();
    j->parallel = b->parallel;
    j->partition = b->partition;
    j->account = b->account;
    j->parallel_env = b->parallel_env;
    j->lines = b->line;
    j->setup = b->setup;
    j->requeue = b->requeue;
    j->launcher = b->launcher != LAUNCH_AUTO ? (enum launcher)b->launcher
                  : ranks > 1                ? s->kind->ranks_by
                                             : LAUNCH_NONE;
    for (size_t i = 0; i < j->n_tasks; i++)
        peak = s->demand[i].peak > peak ? s->demand[i].peak : peak;
    j->memory = b->memory ? b->memory : (int64_t)(ROOM * (double)(peak * j->ranks_a_node)) + ROOM_BYTES;
    for (size_t i = 0; i < j->n_tasks; i++) {
        char n[24];
        snprintf(n, sizeof n, "%lld", (long long)j->threads);
        struct strs *w = &j->task[i].words;
        if (strs_add(w, "--threads", e) || strs_add(w, n, e) || strs_add(w, "--resume", e) ||
            strs_add(w, "auto", e))
            return -1;
    }
    return time_limit(c, s, e);
}

/* ---- comments ---- */

static int say(struct submission *s, char *line, struct err *e)
{
    int rc = line ? strs_add(&s->job.about, line, e) : -1;
    mem_free(line);
    return rc;
}

static int about_tasks(struct submission *s, struct err *e)
{
    enum { SHOWN = 20 };
    size_t n = s->job.n_tasks;
    for (size_t i = 0; i < n && i < SHOWN; i++)
        if (say(s,
                mem_printf(e, "%s -> %s: %.3g FLOP", s->demand[i].label, path_base(s->demand[i].output),
                           all_flop(s->demand + i)),
                e))
            return -1;
    return n > SHOWN ? say(s, mem_printf(e, "and %zu more", n - SHOWN), e) : 0;
}

static int about(const struct cli *c, struct submission *s, struct err *e)
{
    const struct batch_job *j = &s->job;
    const struct demand *d = largest(s);
    char a[32], b[32];
    long long cores = (long long)(j->nodes * j->ranks_a_node * j->threads);
    int rc = say(s, mem_printf(e, "qpipe %s (commit %s)", QP_VERSION, version_commit()), e) ||
             about_tasks(s, e) || say(s, mem_printf(e, "%s", ""), e);
    rc =
        rc ||
        say(s,
            mem_printf(
                e,
                "time   = margin x (FLOP / (cores x rate) + bytes of files / (%d MB/s) + start), largest task",
                FILE_RATE / 1000000),
            e);
    rc =
        rc || say(s,
                  mem_printf(e, "       = %g x (%.3g / (%lld x %g GFLOP/s) + %s / (%d MB/s) + %d s) = %.0f s",
                             c->batch.margin, all_flop(d), cores, c->batch.rate,
                             num_human_bytes((double)d->bytes, a), FILE_RATE / 1000000, START_SECONDS,
                             s->seconds * c->batch.margin),
                  e);
    if (!rc && j->seconds)
        rc = say(s,
                 mem_printf(e, "limit  = %lld s%s, asked to stop %lld s before it; %lld job%s",
                            (long long)j->seconds, c->batch.time ? " by --time" : "", (long long)j->warn,
                            (long long)j->links, j->links > 1 ? "s that go on from one another" : ""),
                 e);
    if (!rc && c->batch.memory)
        rc = say(s, mem_printf(e, "memory = %s a node by --mem", num_human_bytes((double)j->memory, b)), e);
    else if (!rc) {
        int64_t peak = (int64_t)((double)(j->memory - ROOM_BYTES) / ROOM / (double)j->ranks_a_node);
        rc = say(s,
                 mem_printf(e, "memory = %lld rank%s a node x %s of the plan x %g + %lld MiB = %s a node",
                            (long long)j->ranks_a_node, j->ranks_a_node > 1 ? "s" : "",
                            num_human_bytes((double)peak, a), ROOM, (long long)(ROOM_BYTES >> 20),
                            num_human_bytes((double)j->memory, b)),
                 e);
    }
    return rc ? -1 : 0;
}

/* ---- where, and in what surroundings ---- */

static int record_environment(struct submission *s, struct err *e)
{
    static const char *const kept[] = { "PATH=",     "LD_LIBRARY_PATH=", "OMP_",
                                        "OMPI_MCA_", "OMPI_ALLOW_",      "UCX_",
                                        "QPIPE_",    "GLIBC_TUNABLES=" };
    int rc = 0;
    for (char **v = environ; !rc && *v; v++)
        for (size_t i = 0; !rc && i < sizeof kept / sizeof *kept; i++)
            if (str_starts(*v, kept[i]))
                rc = strs_add(&s->job.env, *v, e);
    strs_sort(&s->job.env);
    return rc;
}

/* One run: beside its output, by its name. Several: beside the first, by the first recipe's name. */
static int places(const struct cli *c, struct submission *s, struct err *e)
{
    struct batch_job *j = &s->job;
    char self[PATH_MAX], base[256];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        return err_io(e, "find", "this program");
    self[n] = '\0';
    if (j->n_tasks == 1)
        snprintf(base, sizeof base, "%s", path_base(s->demand->output));
    else {
        snprintf(base, sizeof base, "%s", path_base(c->word.v[0]));
        char *dot = strrchr(base, '.');
        if (dot && dot != base)
            *dot = '\0';
    }
    j->name = keep(s, batch_name(c->batch.name ? c->batch.name : base, e));
    j->folder = keep(s, path_dir(s->demand->output, e));
    j->workdir = keep(s, submission_absolute(".", e));
    j->program = keep(s, mem_strdup(self, e));
    if (!j->name || !j->folder || !j->workdir || !j->program)
        return -1;
    size_t len = strlen(j->workdir); /* "/here/." */
    if (len > 2)
        s->owned[2][len - 2] = '\0';
    return 0;
}

int submission_plan(const struct cli *c, struct submission *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    out->kind = batches[c->batch.scheduler];
    if (submission_tasks(c, out, e) || resources(c, out, e) || about(c, out, e) ||
        record_environment(out, e) || places(c, out, e)) {
        submission_release(out);
        return -1;
    }
    return 0;
}

void submission_release(struct submission *s)
{
    for (size_t i = 0; i < s->job.n_tasks; i++) {
        strs_release(&s->job.task[i].words);
        mem_free((void *)(uintptr_t)s->job.task[i].done);
        mem_free(s->demand[i].output);
        mem_free(s->demand[i].label);
    }
    mem_free(s->job.task);
    mem_free(s->demand);
    strs_release(&s->job.about);
    strs_release(&s->job.env);
    while (s->n_owned)
        mem_free(s->owned[--s->n_owned]);
    memset(s, 0, sizeof *s);
}

char *submission_script(const struct submission *s, struct err *e)
{
    return mem_printf(e, "%s/%s.submit.sh", s->job.folder, s->job.name);
}

char *submission_state(const struct submission *s, size_t task, struct err *e)
{
    if (s->job.n_tasks == 1)
        return mem_printf(e, "%s/%s.submit.state", s->job.folder, s->job.name);
    return mem_printf(e, "%s/%s.submit.%zu.state", s->job.folder, s->job.name,
                      task + (size_t)s->kind->first_index);
}
