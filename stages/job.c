/* job.c - the plan of a run, stage after stage. */
#include "cluster/comm.h"
#include "stages/activations.h"
#include "stages/rows.h"

#include "base/mem.h"

#include <stdarg.h>
#include <string.h>

int job_note(struct job *j, struct err *e, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return strs_has(&j->notes, text) ? 0 : strs_add(&j->notes, text, e);
}

int64_t job_budget(const struct job *j)
{
    return j->calibrate ? j->calibrate->activation_budget : INT64_C(2) << 30;
}

bool job_calibrates(const struct job *j) { return j->needs_data || j->smooth.n > 0; }

struct module_job *job_module(const struct job *j, const char *name)
{
    for (int64_t i = 0; i < j->load.model.n_modules; i++)
        if (!strcmp(j->module[i].module->name, name))
            return &j->module[i];
    return NULL;
}

static const struct stage *stage_of(const struct stage_spec *spec)
{
    for (const struct stage *const *s = stages; *s; s++)
        if (!strcmp((*s)->name, spec->name))
            return *s;
    return NULL;
}

static int plan_stages(struct job *j, struct err *e)
{
    for (size_t i = 0; i < j->recipe->n; i++) {
        const struct recipe_stage *rs = &j->recipe->stage[i];
        const struct stage *s = stage_of(rs->spec);
        BUG_ON(!s); /* recipe_refuse let it pass */
        if (s->plan(j, (int)i, e))
            return err_while(e, "planning stage %zu (%s)", i + 1, rs->spec->name);
    }
    return 0;
}

static int plan_unread(struct job *j, struct err *e)
{
    const struct strs *u = &j->load.model.unread;
    for (size_t i = 0; i < u->n && i < 8; i++)
        if (job_note(j, e, "tensor '%s' belongs to no module of the family; it is copied as it is", u->v[i]))
            return -1;
    if (u->n > 8)
        return job_note(j, e,
                        "%zu more tensors belong to no module of the family; they are copied as they are",
                        u->n - 8);
    return 0;
}

/* Without its architecture a model can not be run: not for calibration, not for held-out text. */
static int refuse_walk(const struct job *j, struct err *e)
{
    if (j->load.model.arch || (!job_calibrates(j) && !(j->verify && j->verify->dataset)))
        return 0;
    if (e) {
        *e = j->load.why;
        e->hint[0] = '\0'; /* ours says what works all the same */
    }
    err_while(
        e, "%s",
        job_calibrates(j)
            ? "planning a modifier that runs the model over calibration text"
            : "planning verify with a dataset, which runs the model; without one, weights are measured");
    return err_hint(
        e, "recipes that need no data work by tensor names: QuantizationModifier with weight observers "
           "without importance, verify without a dataset");
}

/* llm-compressor walks with the original weights where they are only rounded: it puts back what GPTQ solved, not what
 * rounding gave. One pass then does for all, and the scales of activations are its. */
static void plan_peer_walk(struct job *j)
{
    bool only_rounds = !j->recipe->native;
    for (size_t i = 0; i < j->recipe->n; i++) {
        const struct stage_spec *s = j->recipe->stage[i].spec;
        only_rounds = only_rounds && !(s->needs_data && !s->quantizes);
    }
    for (int64_t i = 0; i < j->load.model.n_modules; i++)
        only_rounds = only_rounds && !(j->module[i].scheme && j->module[i].solver->needs != NEED_NOTHING);
    if (only_rounds)
        j->mode = WALK_FALSE;
}

/* How ranks share the work (ranks.h). */
static int plan_sharding(struct job *j, struct err *e)
{
    enum sharding s = j->recipe->sharding;
    if (s == SHARD_LAYERS && j->needs_data && j->mode != WALK_FALSE) {
        err_set(e, ERR_INPUT,
                "%s: sharding: layers, and the walk is sequential: each block needs the one before it",
                j->recipe->path);
        return err_hint(e, "sharding: data, or calibrate: { sequential: false }");
    }
    if (s == SHARD_DATA && !j->needs_data) {
        err_set(e, ERR_INPUT, "%s: sharding: data, and no calibration data is needed", j->recipe->path);
        return err_hint(e, "leave it out: ranks share the modules");
    }
    j->by_layers = s == SHARD_LAYERS || !j->needs_data;
    return 0;
}

/* Modules that nobody targeted keep what they are; at least one must change. */
static int plan_finish(struct job *j, struct err *e)
{
    for (int64_t i = 0; i < j->load.model.n_modules; i++)
        j->n_quantized += j->module[i].scheme != NULL;
    bool quantizer = false;
    for (size_t i = 0; i < j->recipe->n; i++)
        quantizer = quantizer || j->recipe->stage[i].spec->quantizes;
    if (quantizer && !j->n_quantized)
        return err_set(e, ERR_INPUT, "%s: every module is ignored or unmatched; nothing would be quantized",
                       j->recipe->path);
    if (refuse_walk(j, e))
        return -1;
    if (smooth_check(j, e) || clip_plan(j, e))
        return -1;
    if (j->needs_data)
        plan_peer_walk(j);
    if (job_calibrates(j) && !j->calibrate)
        return err_set(e, ERR_INPUT,
                       "%s: a modifier needs calibration data and the recipe has no calibrate stage",
                       j->recipe->path);
    if (job_calibrates(j) && !j->calibrate->dataset) {
        err_set(e, ERR_INPUT, "%s: a modifier needs calibration text, and none is named", j->recipe->path);
        return err_hint(e, "give --dataset FILE, or calibrate: { dataset: FILE } in the recipe");
    }
    return plan_sharding(j, e) || calibrate_load(j, e) || verify_load(j, e) ? -1 : plan_unread(j, e);
}

int job_plan(const struct recipe *r, bool allow_unmatched, struct job *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    out->recipe = r;
    out->comm = comm_world();
    out->allow_unmatched = allow_unmatched;
    for (size_t i = 0; i < r->notes.n; i++)
        if (job_note(out, e, "%s", r->notes.v[i]))
            goto failed;
    if (!recipe_refuse(r, e) && !plan_stages(out, e) && !plan_finish(out, e))
        return 0;
failed:
    job_release(out);
    return -1;
}

void job_release(struct job *j)
{
    activations_job_release(j);
    dataset_release(&j->data);
    dataset_release(&j->heldout);
    saver_free(j->saver);
    digests_release(&j->inputs);
    mem_free(j->module);
    smooth_release(j);
    model_release(&j->load.model);
    checkpoint_close(&j->load.checkpoint);
    strs_release(&j->notes);
    memset(j, 0, sizeof *j);
}

bool job_asymmetric(const struct job *j)
{
    for (int64_t i = 0; i < j->load.model.n_modules; i++)
        if (j->module[i].scheme && j->module[i].solve.alpha > 0)
            return true;
    return false;
}
