/* progress_read.c - how far an output is: its work folder, or its manifest. Reads only, and anything that is not there yet, or
 * is just being replaced, is a value that is not known. */
#include "pipeline/progress.h"

#include "base/file.h"
#include "base/mem.h"
#include "kernels/math.h"
#include "pipeline/manifest.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const progress_words[] = {
    [PROGRESS_NOTHING] = "nothing", [PROGRESS_RUNNING] = "running",   [PROGRESS_ELSEWHERE] = "elsewhere",
    [PROGRESS_STOPPED] = "stopped", [PROGRESS_REJECTED] = "rejected", [PROGRESS_FINISHED] = "finished",
};

static char *beside(const char *output, const char *tail, struct err *e)
{
    int n = (int)strlen(output);
    while (n > 1 && output[n - 1] == '/')
        n--;
    return mem_printf(e, "%.*s%s", n, output, tail);
}

/* ---- a work folder ---- */

static struct json *record(const struct journal *j, const char *key, struct err *e)
{
    size_t n = 0;
    const void *p = journal_get(j, key, &n);
    return p ? json_parse(p, n, key, e) : NULL;
}

static int64_t count_block(const struct journal *j, const struct json *names, struct err *e)
{
    int64_t done = 0;
    for (size_t i = 0; i < json_len(names); i++) {
        const char *name = json_str(json_item(names, i), NULL);
        char *key = mem_printf(e, "module/%s", name ? name : "");
        if (!key)
            return -1;
        done += journal_get(j, key, NULL) != NULL;
        mem_free(key);
    }
    return done;
}

static int take_plan(const struct journal *j, const struct json *plan, struct progress *p, struct err *e)
{
    const struct json *blocks = json_get(plan, "blocks");
    int64_t before = 0, time = 0;
    json_int(json_get(plan, "modules"), &p->modules);
    json_int(json_get(plan, "done"), &before);
    json_int(json_get(plan, "time"), &time);
    p->started = (double)time;
    for (size_t i = 0; i < json_len(blocks); i++) {
        const struct json *names = json_item(blocks, i);
        int64_t done = count_block(j, names, e), all = (int64_t)json_len(names);
        if (done < 0)
            return -1;
        p->done += done;
        p->blocks += all > 0;
        p->blocks_done += all > 0 && done == all;
    }
    double seconds = p->changed - p->started;
    if (p->done > before && seconds > 0)
        p->rate = (double)(p->done - before) / seconds;
    if (p->rate > 0)
        p->eta = (double)(p->modules - p->done) / p->rate;
    return 0;
}

static int take_error(const struct json *error, const struct json *plan, struct progress *p, struct err *e)
{
    int64_t of_error = 0, of_plan = 0;
    json_int(json_get(error, "start"), &of_error);
    json_int(json_get(plan, "start"), &of_plan);
    const char *what = json_str(json_get(error, "what"), NULL),
               *word = json_str(json_get(error, "error"), NULL);
    if (!what || !word)
        return 0;
    p->error_now = of_error >= of_plan;
    p->error = mem_strdup(what, e);
    p->error_word = mem_strdup(word, e);
    return p->error && p->error_word ? 0 : -1;
}

/* The time of the last record: files that are written to are the newest. */
static int last_change(const char *dir, struct progress *p, struct err *e)
{
    struct strs names = { 0 };
    int rc = path_list(dir, &names, e);
    for (size_t i = 0; !rc && i < names.n; i++) {
        struct stat st;
        char *path = str_starts(names.v[i], "journal.") ? path_join(dir, names.v[i], e) : NULL;
        if (path && !stat(path, &st) && (double)st.st_mtim.tv_sec > p->changed)
            p->changed = (double)st.st_mtim.tv_sec + 1e-9 * (double)st.st_mtim.tv_nsec;
        mem_free(path);
    }
    strs_release(&names);
    return rc;
}

static void take_owner(const char *dir, struct progress *p)
{
    struct err ignored = { 0 };
    struct buf b = { 0 };
    char *path = path_join(dir, "owner", &ignored);
    long long pid = 0;
    char restart[24] = "";
    if (path && !file_read(path, 1 << 12, &b, &ignored) && b.p &&
        sscanf(b.p, "job=%79s restart=%23s host=%127s pid=%lld", p->job, restart, p->host, &pid) == 4) {
        p->pid = pid;
        sscanf(restart, "%lld", &pid);
        p->restart = strcmp(restart, "-") ? pid : 0;
    }
    mem_free(path);
    buf_release(&b);
}

/* The number of a process is used again: its program has to be qpipe. Another user's can not be looked at. */
static bool alive(int64_t pid)
{
    char path[64], program[512];
    if (pid <= 0 || (kill((pid_t)pid, 0) && errno != EPERM))
        return false;
    snprintf(path, sizeof path, "/proc/%lld/exe", (long long)pid);
    ssize_t n = readlink(path, program, sizeof program - 1);
    program[n < 0 ? 0 : n] = '\0';
    return n < 0 || str_starts(path_base(program), "qpipe");
}

static void judge_owner(struct progress *p)
{
    char here[128] = "";
    gethostname(here, sizeof here - 1);
    if (!p->pid)
        p->state = PROGRESS_STOPPED;
    else if (strcmp(here, p->host))
        p->state = p->error_now ? PROGRESS_STOPPED : PROGRESS_ELSEWHERE;
    else
        p->state = alive(p->pid) ? PROGRESS_RUNNING : PROGRESS_STOPPED;
}

static int read_journal(const char *dir, struct progress *p, struct err *e)
{
    struct journal *j = journal_look(dir, e);
    struct err why = { 0 };
    if (!j)
        return -1;
    struct json *plan = record(j, "plan", &why), *error = record(j, "error", &why);
    int rc = plan ? take_plan(j, plan, p, e) : 0;
    if (!rc && error)
        rc = take_error(error, plan, p, e);
    json_free(plan);
    json_free(error);
    journal_close(j);
    return rc;
}

static int read_work(const char *dir, struct progress *p, struct err *e)
{
    if (last_change(dir, p, e) || read_journal(dir, p, e))
        return -1;
    take_owner(dir, p);
    judge_owner(p);
    return 0;
}

/* ---- a manifest ---- */

static void take_modules(const struct json *modules, struct progress *p)
{
    double sum = 0, v;
    for (void *it = json_first(modules); it; it = json_next(modules, it)) {
        p->quantized++;
        if (json_num(json_get(json_it_value(it), "weight_error"), &v))
            sum += v;
    }
    p->weight_error = p->quantized ? sum / (double)p->quantized : 0;
}

static void take_verification(const struct json *v, struct progress *p)
{
    const struct json *limits = json_get(v, "thresholds"), *model = json_get(v, "model");
    double ln = 0;
    bool met;
    json_num(json_get(model, "kl_mean"), &p->kl);
    if (json_num(json_get(model, "ln_perplexity_ratio"), &ln))
        p->perplexity_ratio = m_exp(ln);
    for (size_t i = 0; i < json_len(limits); i++) {
        p->thresholds++;
        p->met += json_bool(json_get(json_item(limits, i), "met"), &met) && met;
    }
}

static int read_manifest(const char *dir, struct progress *p, struct err *e)
{
    char *path = path_join(dir, MANIFEST_NAME, e);
    struct json *m = path ? json_read(path, JSON_BIG_LIMIT, e) : NULL;
    mem_free(path);
    if (!m)
        return -1;
    const struct json *of = json_get(m, "predicate");
    take_modules(json_get(of, "modules"), p);
    take_verification(json_get(of, "verification"), p);
    json_free(m);
    return 0;
}

static bool has_manifest(const char *dir)
{
    struct err ignored = { 0 };
    char *path = path_join(dir, MANIFEST_NAME, &ignored);
    bool has = path && path_exists(path);
    mem_free(path);
    return has;
}

/* "STATUS STARTS" that the job script of `qpipe submit` keeps. */
static void read_state(const char *path, struct progress *p)
{
    struct err ignored = { 0 };
    struct buf b = { 0 };
    long long status, starts;
    p->job_status = p->job_starts = -1;
    if (path_exists(path) && !file_read(path, 1 << 10, &b, &ignored) && b.p &&
        sscanf(b.p, "%lld %lld", &status, &starts) == 2) {
        p->job_status = status;
        p->job_starts = starts;
    }
    buf_release(&b);
}

static int read_any(const char *output, const char *work, const char *rejected, struct progress *p,
                    struct err *e)
{
    if (path_is_dir(work)) {
        struct err why = { 0 };
        int rc = read_work(work, p, &why);
        if (path_is_dir(work)) {
            if (rc && e)
                *e = why;
            return rc;
        }
        p->state = PROGRESS_NOTHING; /* the output appeared while its folder was read */
    }
    if (has_manifest(output)) {
        p->state = PROGRESS_FINISHED;
        return read_manifest(output, p, e);
    }
    if (!has_manifest(rejected))
        return 0;
    p->state = PROGRESS_REJECTED;
    return read_manifest(rejected, p, e);
}

int progress_read(const char *output, struct progress *p, struct err *e)
{
    memset(p, 0, sizeof *p);
    p->kl = p->perplexity_ratio = (double)NAN;
    p->output = mem_strdup(output, e);
    char *work = beside(output, ".work", e), *rejected = beside(output, ".rejected", e),
         *state = beside(output, ".submit.state", e);
    int rc = p->output && work && rejected && state ? 0 : -1;
    if (!rc) {
        read_state(state, p);
        rc = read_any(output, work, rejected, p, e);
    }
    mem_free(work);
    mem_free(rejected);
    mem_free(state);
    if (rc)
        progress_release(p);
    return rc;
}

void progress_release(struct progress *p)
{
    mem_free(p->output);
    mem_free(p->error);
    mem_free(p->error_word);
    memset(p, 0, sizeof *p);
}
