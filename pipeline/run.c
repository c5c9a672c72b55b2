/* run.c - the main job. */
#include "pipeline/run.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/phase.h"
#include "cluster/comm.h"
#include "kernels/compute.h"
#include "kernels/math.h"
#include "pipeline/manifest.h"
#include "pipeline/work.h"
#include "stages/archive.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int add_saved_files(struct job *j, struct run_report *r, struct err *e)
{
    int64_t n = 0;
    const struct saved_file *f = saver_files(j->saver, &n);
    for (int64_t i = 0; i < n; i++)
        if (save_report_add(&r->files, f[i].name, f[i].bytes, f[i].sha256, e))
            return -1;
    return 0;
}

static int write_recipe(struct job *j, const char *dir, struct run_report *r, struct err *e)
{
    struct buf text = { 0 };
    int rc = recipe_resolved(j->recipe, false, &text, e);
    if (!rc)
        rc = write_file(dir, RECIPE_NAME, &text, &r->files, e);
    buf_release(&text);
    return rc;
}

static int write_manifest(struct job *j, const char *dir, struct run_report *r, struct err *e)
{
    struct buf text = { 0 };
    int rc = manifest_text(j, r, &text, e);
    if (!rc)
        rc = write_file(dir, MANIFEST_NAME, &text, &r->files, e);
    buf_release(&text);
    return rc;
}

/* What rank 0 writes beside the shards, before the folder is verified. */
static int write_small(struct job *j, const char *dir, struct run_report *r, struct err *e)
{
    return j->comm->rank ? 0 : add_saved_files(j, r, e) || write_recipe(j, dir, r, e) ? -1 : 0;
}

/* Everything that happens inside the folder that nobody sees yet. */
static int fill(struct job *j, const char *dir, struct run_report *r, struct err *e)
{
    if (pass_run(j, dir, e) || save_run(j, dir, &r->files, e) || write_small(j, dir, r, e) ||
        comm_agree(j->comm, 0, e)) /* all files are there */
        return -1;
    if (j->verify) {
        if (verify_run(j, dir, dir, &r->verify, e))
            return -1;
        r->verified = true;
        r->rejected = !r->verify.passed;
    }
    for (size_t i = 0; i < r->files.n; i++)
        r->bytes_out += r->files.file[i].bytes;
    return j->comm->rank ? 0 : write_manifest(j, dir, r, e);
}

static int use_math(const struct job *j, struct err *e)
{
    const struct compute *c = compute_find(j->recipe->math ? j->recipe->math : "exact");
    if (!c) {
        err_set(e, ERR_UNBUILT, "math: found '%s', and this build of qpipe has none", j->recipe->math);
        return err_hint(e, "build with -DQPIPE_WITH_BLAS=ON, or say math: exact");
    }
    compute_use(c);
    if (!c->exact)
        log_say(LOG_WARN, "math: %s (%s) promises equal bytes only with this library, version and processor",
                c->name, c->version());
    return 0;
}

static bool is_ours(const char *dir)
{
    struct err ignored = { 0 };
    char *manifest = path_join(dir, MANIFEST_NAME, &ignored);
    bool ours = manifest && path_exists(manifest);
    mem_free(manifest);
    return ours;
}

/* --force replaces what a run of qpipe has left, and never the checkpoint that is being read. */
static int may_replace(const struct job *j, struct err *e)
{
    const char *name = j->recipe->output;
    char out[PATH_MAX], model[PATH_MAX];
    if (!realpath(name, out))
        return 0; /* nothing there; or dir_create says what is wrong with it */
    size_t n = strlen(out);
    if (realpath(j->load.checkpoint.dir, model) && !strncmp(model, out, n) &&
        (model[n] == '/' || !model[n] || n == 1)) {
        err_set(e, ERR_INPUT, "output '%s' holds the source checkpoint '%s', which --force would remove",
                name, j->load.checkpoint.dir);
        return err_hint(e, "give another output");
    }
    if (is_ours(name))
        return 0;
    err_set(e, ERR_INPUT, "output '%s' exists, and is no output of qpipe: it has no %s", name, MANIFEST_NAME);
    return err_hint(
        e, "--force replaces only what qpipe has written; remove it yourself or give another output");
}

static int begin(struct job *j, bool force, enum resume resume, struct work *w, struct err *e)
{
    if (!j->recipe->output) {
        err_set(e, ERR_INPUT, "%s: no output is named", j->recipe->path);
        return err_hint(e, "give --output DIR, or `output:` in the recipe");
    }
    return use_math(j, e) || archive_refuse(j, force, e) || (force && may_replace(j, e))
               ? -1
               : work_open(j, force, resume, w, e);
}

/* A finished output that misses a threshold must not be found under the name that a release would take. An older rejected
 * one is replaced; a folder that is not qpipe's is left alone and the next name taken. */
static char *rejected_name(const char *output, struct err *e)
{
    int n = (int)strlen(output);
    while (n > 1 && output[n - 1] == '/')
        n--;
    char *name = mem_printf(e, "%.*s.rejected", n, output);
    for (int i = 2; name && path_exists(name) && !is_ours(name); i++) {
        mem_free(name);
        name = mem_printf(e, "%.*s.rejected-%d", n, output, i);
    }
    return name;
}

static int publish(struct job *j, struct work *w, struct run_report *out, struct err *e)
{
    struct out_dir *d = w->out;
    if (j->comm->rank)
        return 0;
    out->output = out->rejected ? rejected_name(j->recipe->output, e) : mem_strdup(j->recipe->output, e);
    if (!out->output || work_published(w, e) ||
        (out->rejected && path_exists(out->output) && path_remove_tree(out->output, e)))
        return -1;
    struct archived a = { 0 };
    if (!out->rejected && archive_make(j, dir_path(d), &a, e))
        return -1;
    w->out = NULL;
    if (!(out->rejected ? dir_publish_as(d, out->output, e) : dir_publish(d, e)))
        return archive_publish(j, &a, e);
    archive_abandon(&a);
    return -1;
}

int run_job(struct job *j, bool force, enum resume resume, struct run_report *out, struct err *e)
{
    double start = clock_seconds();
    struct work w;
    (void)phase_enter(PHASE_REST);
    memset(out, 0, sizeof *out);
    plan_cost(j, &out->cost);
    out->bytes_in = (uint64_t)out->cost.bytes_in;
    if (begin(j, force, resume, &w, e))
        return -1;
    int rc = 0;
    if (w.finished) {
        out->already = true;
        out->output = mem_strdup(j->recipe->output, e);
        rc = out->output ? 0 : -1;
    } else {
        rc = fill(j, w.path, out, e) ? err_while(e, "running %s", j->recipe->path) : 0;
        if (!rc)
            rc = comm_agree(j->comm, publish(j, &w, out, e), e); /* the others go when the output is there */
    }
    work_close(j, &w, !rc, e);
    out->seconds = clock_seconds() - start;
    phase_report();
    if (rc)
        run_report_release(out);
    return rc;
}

void run_report_release(struct run_report *r)
{
    save_report_release(&r->files);
    verify_release(&r->verify);
    mem_free(r->output);
    r->output = NULL;
}

/* Sums over the quantized modules for the closing table. */
static void totals(const struct job *j, double *loss, double *mean_error, double *worst)
{
    size_t n = 0;
    *loss = *mean_error = *worst = 0;
    for (int64_t i = 0; i < j->load.model.n_modules; i++) {
        const struct module_job *m = &j->module[i];
        if (!m->scheme)
            continue;
        double err = m->result.solve.weight_error;
        *loss += m->result.solve.loss;
        *mean_error += err;
        *worst = err > *worst ? err : *worst;
        n++;
    }
    *mean_error = n ? *mean_error / (double)n : 0;
}

static int verify_text(const struct verify_report *v, struct buf *out, struct err *e)
{
    int rc = 0;
    if (v->has_text) {
        const struct kl_result *k = &v->kl;
        rc = buf_printf(out, e, "  held-out text         %lld tokens in %lld windows\n",
                        (long long)k->base.tokens, (long long)k->base.windows);
        rc = rc || buf_printf(out, e, "  perplexity            %.4f before, %.4f after (ratio %.5f)\n",
                              k->base.perplexity, k->q.perplexity, m_exp(k->ln_ratio));
        rc = rc ||
             buf_printf(out, e, "  KL divergence         %.6f +- %.6f (median %.6f, 99 %% %.5f, max %.4f)\n",
                        k->mean, k->se_windows, k->median, k->p99, k->max);
        rc = rc ||
             buf_printf(out, e, "  same top token        %.2f %% +- %.2f\n", 100 * k->top1, 100 * k->top1_se);
    }
    for (int i = 0; !rc && i < v->n_thresholds; i++)
        rc =
            buf_printf(out, e, "  threshold             %s %g: found %g, %s\n", v->threshold[i].name,
                       v->threshold[i].limit, v->threshold[i].found, v->threshold[i].met ? "met" : "NOT MET");
    return rc ? -1 : 0;
}

int run_text(const struct job *j, const struct run_report *r, struct buf *out, struct err *e)
{
    char a[32], b[32], c[32];
    double loss, mean, worst;
    totals(j, &loss, &mean, &worst);
    struct mem_use use = mem_use();
    int rc = buf_printf(out, e, "\n  output                %s\n", r->output);
    if (r->already)
        return rc || buf_str(out, "  complete              by an earlier run of the same job\n", e) ? -1 : 0;
    if (!rc && j->save->archive && !r->rejected)
        rc = buf_printf(out, e, "  archive               %s\n", j->save->archive);
    rc = rc || buf_printf(out, e, "  modules               %zu quantized of %lld\n", j->n_quantized,
                          (long long)j->load.model.n_modules);
    rc = rc || buf_printf(out, e, "  tensors               %s before, %s after (with all files)\n",
                          num_human_bytes((double)r->bytes_in, a), num_human_bytes((double)r->bytes_out, b));
    if (!rc && job_calibrates(j))
        rc = buf_printf(
            out, e,
            "  calibration           %lld tokens in %lld sequences\n  weighted error        %.6g (sum over modules)\n",
            (long long)j->data.tokens, (long long)j->data.n, loss);
    rc = rc || buf_printf(out, e, "  weight error          %.5f mean, %.5f worst (relative Frobenius)\n",
                          mean, worst);
    if (!rc && r->verified)
        rc = verify_text(&r->verify, out, e);
    rc = rc || buf_printf(out, e, "  time, peak memory     %.1f s, %s (planned %s)\n", r->seconds,
                          num_human_bytes((double)use.peak, b), num_human_bytes((double)r->cost.peak, c));
    if (!rc && r->rejected)
        rc = buf_printf(out, e, "\na threshold was not met: nothing appears as '%s'\n", j->recipe->output);
    return rc ? -1 : 0;
}

void run_json(const struct job *j, const struct run_report *r, struct jw *w)
{
    double loss, mean, worst;
    totals(j, &loss, &mean, &worst);
    jw_object(w);
    jw_kstr(w, "output", r->output);
    jw_kbool(w, "rejected", r->rejected);
    jw_kbool(w, "already", r->already);
    if (r->already) {
        jw_end_object(w);
        return;
    }
    if (j->save->archive && !r->rejected)
        jw_kstr(w, "archive", j->save->archive);
    jw_kint(w, "modules_quantized", (int64_t)j->n_quantized);
    jw_kint(w, "bytes_in", (int64_t)r->bytes_in);
    jw_kint(w, "bytes_out", (int64_t)r->bytes_out);
    jw_kreal(w, "weighted_error", loss);
    jw_kreal(w, "weight_error_mean", mean);
    jw_kreal(w, "weight_error_worst", worst);
    jw_kreal(w, "seconds", r->seconds);
    jw_kint(w, "peak_bytes", (int64_t)mem_use().peak);
    jw_kint(w, "planned_peak_bytes", r->cost.peak);
    if (r->verified) {
        jw_key(w, "verify");
        verify_json(j, &r->verify, w);
    }
    jw_end_object(w);
}
