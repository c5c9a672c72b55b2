/* manifest.c - writing manifest.json. Reading it again is recheck.c. */
#include "pipeline/manifest.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/version.h"
#include "kernels/compute.h"

#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct side_file *)a)->name, ((const struct side_file *)b)->name);
}

static void digest(struct jw *w, const char *sha)
{
    jw_key(w, "digest");
    jw_object(w);
    jw_kstr(w, "sha256", sha);
    jw_end_object(w);
}

static void subjects(const struct run_report *r, struct jw *w)
{
    qsort(r->files.file, r->files.n, sizeof *r->files.file, by_name);
    jw_key(w, "subject");
    jw_array(w);
    for (size_t i = 0; i < r->files.n; i++) {
        jw_object(w);
        jw_kstr(w, "name", r->files.file[i].name);
        digest(w, r->files.file[i].sha256);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void shape(struct jw *w, enum dtype t, int rank, const int64_t *dim)
{
    jw_kstr(w, "dtype", dtypes[t].name);
    jw_key(w, "shape");
    jw_array(w);
    for (int i = 0; i < rank; i++)
        jw_int(w, dim[i]);
    jw_end_array(w);
}

static void input_files(const struct job *j, struct jw *w)
{
    jw_key(w, "files");
    jw_array(w);
    for (int64_t i = 0; i < j->inputs.n_files; i++) {
        jw_object(w);
        jw_kstr(w, "name", j->inputs.file[i].name);
        jw_kstr(w, "sha256", j->inputs.file[i].sha256);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void input_tensors(const struct job *j, struct jw *w)
{
    const struct tensor_source *t = &j->load.checkpoint.stored;
    jw_key(w, "tensors");
    jw_array(w);
    for (int64_t i = 0; i < t->count; i++) {
        const struct tensor_info *info = t->at(t->self, i);
        jw_object(w);
        jw_kstr(w, "name", info->name);
        shape(w, info->dtype, info->rank, info->dim);
        jw_kstr(w, "sha256", j->inputs.tensor[i].sha256);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void calibration(const struct job *j, struct jw *w)
{
    const struct dataset *d = &j->data;
    jw_key(w, "calibration");
    if (!job_calibrates(j)) {
        jw_null(w);
        return;
    }
    jw_object(w);
    jw_kstr(w, "source_sha256", d->source_sha256);
    jw_kstr(w, "tokens_sha256", d->tokens_sha256);
    jw_kstr(w, "format", d->format);
    jw_kint(w, "records", d->records);
    jw_kint(w, "skipped_short", d->skipped_short);
    jw_kint(w, "skipped_empty", d->skipped_empty);
    jw_kint(w, "cut", d->cut);
    jw_kint(w, "sequences", d->n);
    jw_kint(w, "tokens", d->tokens);
    jw_end_object(w);
}

static void output_tensors(const struct job *j, struct jw *w)
{
    int64_t n = 0;
    const struct saved_tensor *t = saver_tensors(j->saver, &n);
    jw_key(w, "tensors");
    jw_array(w);
    for (int64_t i = 0; i < n; i++) {
        jw_object(w);
        jw_kstr(w, "name", t[i].name);
        jw_kstr(w, "file", t[i].file);
        shape(w, t[i].dtype, t[i].rank, t[i].dim);
        jw_kstr(w, "sha256", t[i].sha256);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void module(const struct job *j, const struct module_job *m, struct jw *w)
{
    const struct module_result *r = &m->result;
    jw_object(w);
    jw_kstr(w, "rule", m->match.rule);
    jw_key(w, "weights");
    quant_args_json(&m->scheme->weights, w);
    jw_kstr(w, "grid", m->grid->name);
    jw_kstr(w, "solver", m->solver->name);
    jw_kstr(w, "observer", m->observer->name);
    if (m->clip.n_grid)
        jw_kbool(w, "clip", true); /* ranges are AWQ's clip search's */
    if (smooth_changes(j, m->module))
        jw_kbool(w, "smoothed", true); /* errors are those of the scaled weights */
    jw_kreal(w, "weight_error", r->solve.weight_error);
    if (r->tokens) {
        jw_kint(w, "tokens_seen", r->tokens);
        jw_kreal(w, "weighted_error", r->solve.loss);
        jw_kreal(w, "output_error", r->solve.weight_loss > 0 ? r->solve.loss / r->solve.weight_loss : 0);
    }
    if (r->attempts) {
        jw_kstr(w, "order", m->order == ACTORDER_NONE ? "natural" : "falling diagonal");
        jw_kreal(w, "dampening_frac", r->damp_frac);
        jw_kint(w, "factor_attempts", r->attempts);
        jw_kreal(w, "solver_loss", r->solve.peer_loss);
    }
    jw_end_object(w);
}

static void modules(const struct job *j, struct jw *w)
{
    jw_key(w, "modules");
    jw_object(w);
    for (int64_t i = 0; i < j->load.model.n_modules; i++)
        if (j->module[i].scheme) {
            jw_key(w, j->module[i].module->name);
            module(j, &j->module[i], w);
        }
    jw_end_object(w);
    jw_key(w, "kept");
    jw_object(w);
    for (int64_t i = 0; i < j->load.model.n_modules; i++)
        if (!j->module[i].scheme && j->module[i].module->quantizable)
            jw_kstr(w, j->module[i].module->name, j->module[i].match.rule);
    jw_end_object(w);
}

static void predicate(const struct job *j, const struct run_report *r, struct jw *w)
{
    jw_key(w, "predicate");
    jw_object(w);
    jw_key(w, "builder");
    jw_object(w);
    jw_kstr(w, "name", "qpipe");
    jw_kstr(w, "version", QP_VERSION);
    jw_kstr(w, "commit", version_commit());
    jw_kstr(w, "math", compute_now()->exact ? "exact" : compute_now()->version());
    jw_end_object(w);
    jw_key(w, "recipe");
    recipe_json(j->recipe, w);
    jw_key(w, "inputs");
    jw_object(w);
    input_files(j, w);
    input_tensors(j, w);
    calibration(j, w);
    jw_end_object(w);
    jw_key(w, "outputs");
    jw_object(w);
    jw_kstr(w, "container", j->container->name);
    output_tensors(j, w);
    jw_end_object(w);
    if (j->smooth.n) {
        jw_key(w, "smoothing");
        smooth_json(j, w);
    }
    modules(j, w);
    jw_key(w, "verification");
    if (r->verified)
        verify_json(j, &r->verify, w);
    else
        jw_null(w);
    jw_key(w, "notes");
    jw_array(w);
    for (size_t i = 0; i < j->notes.n; i++)
        jw_str(w, j->notes.v[i]);
    jw_end_array(w);
    jw_end_object(w);
}

int manifest_text(const struct job *j, const struct run_report *r, struct buf *out, struct err *e)
{
    struct jw w;
    jw_init(&w, out, 2);
    jw_object(&w);
    jw_kstr(&w, "_type", "https://in-toto.io/Statement/v1");
    subjects(r, &w);
    jw_kstr(&w, "predicateType", MANIFEST_PREDICATE);
    predicate(j, r, &w);
    jw_end_object(&w);
    return jw_done(&w, e);
}
