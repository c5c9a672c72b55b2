/* verify.c - the verify stage: the saved folder opened as a user would, and its distance from the original. */
#include "stages/verify.h"

#include "base/file.h"
#include "base/mem.h"
#include "kernels/math.h"
#include "stages/rows.h"
#include "stages/simulate.h"

#include <math.h>
#include <string.h>

enum { OVERLAP_TOKENS = 64 }; /* a paragraph; shorter runs are boilerplate that honest texts share */

static int plan(struct job *j, int index, struct err *e)
{
    const struct recipe_stage *rs = &j->recipe->stage[index];
    const struct verify_options *v = rs->options;
    j->verify = v;
    if (v->dataset && !path_exists(v->dataset))
        return err_at(e, ERR_INPUT, rs->at, "dataset: found no file '%s'", v->dataset);
    bool text = !isnan(v->max_kl) || !isnan(v->max_perplexity_ratio) || !isnan(v->min_top1);
    if (!v->dataset && text) {
        err_at(e, ERR_INPUT, rs->at,
               "verify: a threshold on the model's output needs held-out text, and no dataset is named");
        return err_hint(e, "add dataset: FILE to the verify stage");
    }
    return 0;
}

static int check_overlap(const struct job *j, struct err *e)
{
    bool found = false;
    int64_t at = 0,
            run = j->verify->sequence_length < OVERLAP_TOKENS ? j->verify->sequence_length : OVERLAP_TOKENS;
    if (j->verify->allow_overlap || !j->data.n)
        return 0;
    if (dataset_overlap(&j->data, &j->heldout, run, &found, &at, e))
        return -1;
    if (!found)
        return 0;
    err_set(e, ERR_INPUT,
            "held-out text %s shares %lld tokens in a row with the calibration text (window %lld)",
            j->verify->dataset, (long long)run, (long long)at);
    return err_hint(e, "hold out other text, or say allow_overlap: true");
}

int verify_load(struct job *j, struct err *e)
{
    const struct verify_options *v = j->verify;
    if (!v || !v->dataset)
        return 0;
    struct dataset_options o = { .path = v->dataset,
                                 .field = v->field,
                                 .samples = v->samples,
                                 .sequence_length = v->sequence_length,
                                 .min_length = 2,
                                 .pack = PACK_CONCATENATE,
                                 .seed = j->recipe->seed,
                                 .special = true };
    if (dataset_of(j, &o, &j->heldout, e))
        return err_while(e, "reading held-out text from %s", v->dataset);
    return check_overlap(j, e);
}

static void threshold(struct verify_report *r, const char *name, double limit, double found, bool least)
{
    if (isnan(limit))
        return;
    struct threshold_result *t = &r->threshold[r->n_thresholds++];
    *t = (struct threshold_result){ name, limit, found, least ? found >= limit : found <= limit };
    r->passed = r->passed && t->met;
}

static void judge(struct job *j, struct verify_report *r)
{
    const struct verify_options *v = j->verify;
    double worst = 0;
    for (int64_t i = 0; i < r->n; i++) {
        bool smoothed = j->module[i].scheme && smooth_changes(j, j->module[i].module);
        double err = smoothed ? j->module[i].result.solve.weight_error : r->metric[i].weight_error;
        worst = err <= worst ? worst : err; /* a NaN stays */
    }
    r->passed = true;
    threshold(r, "max_weight_error", v->max_weight_error, worst, false);
    if (!r->has_text)
        return;
    threshold(r, "max_kl", v->max_kl, r->kl.mean, false);
    threshold(r, "max_perplexity_ratio", v->max_perplexity_ratio, m_exp(r->kl.ln_ratio), false);
    threshold(r, "min_top1", v->min_top1, r->kl.top1, true);
}

static int measure(struct job *j, const struct model *saved, const char *spill_dir, const bool *wanted,
                   struct verify_report *r, struct err *e)
{
    struct model base_model = j->load.model; /* the original, without scales */
    const struct model *base = &base_model;
    base_model.tensors = &j->load.checkpoint.tensors;
    if (weight_errors(base, saved, wanted, r->metric, e))
        return -1;
    for (int64_t i = 0; i < r->n; i++)
        r->metric[i].output_error = (double)NAN;
    if (!j->heldout.n)
        return 0;
    struct metrics_options o = { (uint64_t)job_budget(j), spill_dir };
    memcpy(r->text_sha256, j->heldout.source_sha256, 65);
    memcpy(r->tokens_sha256, j->heldout.tokens_sha256, 65);
    if (compare_models(base, saved, &j->heldout, &o, wanted, r->metric, &r->kl, e))
        return -1;
    r->has_text = true;
    return 0;
}

/* The container knows modules by the names of their tensors, which are not always transformers'. */
static bool stored_quantized(const struct checkpoint *c, const struct module *m)
{
    struct quant_args a;
    char stem[512];
    snprintf(stem, sizeof stem, "%.*s", (int)(strlen(m->tensor) - (str_ends(m->tensor, ".weight") ? 7 : 0)),
             m->tensor);
    return c->container->describe(c->decoder, stem, &a) || c->container->describe(c->decoder, m->name, &a);
}

static int open_saved(struct job *j, const char *dir, struct checkpoint *c, struct model *m, struct err *e)
{
    if (checkpoint_open(dir, c, e))
        return -1;
    struct err why;
    if (model_open_any(c->config, &c->tensors, dir, m, &why, e))
        return -1;
    for (int64_t i = 0; i < j->load.model.n_modules; i++) {
        const struct module_job *mj = &j->module[i];
        if (mj->scheme && (!c->container || !stored_quantized(c, mj->module)))
            return err_set(e, ERR_BUG,
                           "%s: module '%s' was saved quantized and is read back as if it were not", dir,
                           mj->module->name);
    }
    return 0;
}

int verify_run(struct job *j, const char *dir, const char *spill_dir, struct verify_report *out,
               struct err *e)
{
    struct checkpoint c = { 0 };
    struct model saved = { 0 };
    struct activations activations = { 0 };
    int64_t n = j->load.model.n_modules;
    memset(out, 0, sizeof *out);
    out->n = n;
    bool *wanted = mem_array((size_t)n, sizeof *wanted, e);
    out->metric = wanted ? mem_array((size_t)n, sizeof *out->metric, e) : NULL;
    int rc = -1;
    if (!out->metric || open_saved(j, dir, &c, &saved, e) ||
        simulate_open(&c, (enum simulate)j->verify->activations, &saved, &activations, e))
        goto done;
    for (int64_t i = 0; i < n; i++)
        /* what smoothing changed is not comparable with the original matrix by matrix */
        wanted[i] = j->module[i].scheme && !smooth_changes(j, j->module[i].module);
    for (int64_t i = 0; i < n; i++)
        if (j->module[i].scheme && !wanted[i])
            out->metric[i].weight_error = (double)NAN;
    rc = measure(j, &saved, spill_dir, wanted, out, e);
    if (!rc)
        judge(j, out);
done:
    activations_release(&activations);
    model_release(&saved);
    checkpoint_close(&c);
    mem_free(wanted);
    if (rc)
        verify_release(out);
    return rc ? err_while(e, "verifying what was saved") : 0;
}

void verify_release(struct verify_report *r)
{
    mem_free(r->metric);
    memset(r, 0, sizeof *r);
}

void verify_json(const struct job *j, const struct verify_report *r, struct jw *w)
{
    jw_object(w);
    jw_kbool(w, "passed", r->passed);
    jw_key(w, "thresholds");
    jw_array(w);
    for (int i = 0; i < r->n_thresholds; i++) {
        jw_object(w);
        jw_kstr(w, "name", r->threshold[i].name);
        jw_kreal(w, "limit", r->threshold[i].limit);
        jw_kreal(w, "found", r->threshold[i].found);
        jw_kbool(w, "met", r->threshold[i].met);
        jw_end_object(w);
    }
    jw_end_array(w);
    if (r->has_text) {
        jw_kstr(w, "text_sha256", r->text_sha256);
        jw_kstr(w, "tokens_sha256", r->tokens_sha256);
        jw_key(w, "model");
        kl_json(&r->kl, w);
    }
    jw_key(w, "modules");
    jw_object(w);
    for (int64_t i = 0; i < r->n; i++) {
        if (!j->module[i].scheme)
            continue;
        jw_key(w, j->module[i].module->name);
        jw_object(w);
        jw_kreal(w, "weight_error", r->metric[i].weight_error);
        jw_kreal(w, "output_error", r->metric[i].output_error);
        jw_end_object(w);
    }
    jw_end_object(w);
    jw_end_object(w);
}

const struct stage stage_verify = { "verify", plan };
