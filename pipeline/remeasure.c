/* remeasure.c - the numbers of a manifest, computed again from the folder, the original and the held-out text. qpipe's sums
 * have one order, so they are equal as texts, or something is not what it was. */
#include "base/file.h"
#include "base/mem.h"
#include "base/num.h"
#include "pipeline/manifest.h"
#include "stages/simulate.h"

#include <math.h>
#include <string.h>

struct pair {
    struct checkpoint base_files, q_files;
    struct model base, q;
    struct activations activations;
    bool *wanted;
    struct module_metric *metric;
};

static int open_pair(const char *dir, const char *model, struct pair *p, struct err *e)
{
    struct err why;
    if (checkpoint_open(model, &p->base_files, e) || checkpoint_open(dir, &p->q_files, e) ||
        model_open_any(p->base_files.config, &p->base_files.tensors, model, &p->base, &why, e) ||
        model_open_any(p->q_files.config, &p->q_files.tensors, dir, &p->q, &why, e))
        return -1;
    p->wanted = mem_array((size_t)p->base.n_modules, sizeof *p->wanted, e);
    p->metric = mem_array((size_t)p->base.n_modules, sizeof *p->metric, e);
    return p->wanted && p->metric ? 0 : -1;
}

static void close_pair(struct pair *p)
{
    activations_release(&p->activations);
    model_release(&p->base);
    model_release(&p->q);
    checkpoint_close(&p->base_files);
    checkpoint_close(&p->q_files);
    mem_free(p->wanted);
    mem_free(p->metric);
}

static int compare_number(const char *what, const char *key, const struct json *recorded, double now,
                          struct recheck *r, struct err *e)
{
    char a[32], b[32];
    double then;
    r->numbers++;
    if (!json_num(json_get(recorded, key), &then))
        then = (double)NAN;
    num_shortest(then, a);
    num_shortest(now, b);
    return strcmp(a, b) ? recheck_wrong(r, e, "%s: %s is recorded as %s and measured as %s", what, key, a, b)
                        : 0;
}

static int compare_modules(const struct pair *p, const struct json *recorded, bool outputs, struct recheck *r,
                           struct err *e)
{
    for (int64_t i = 0; i < p->base.n_modules; i++) {
        const char *name = p->base.module[i].name;
        if (!p->wanted[i])
            continue;
        const struct json *row = json_get(recorded, name);
        if (compare_number(name, "weight_error", row, p->metric[i].weight_error, r, e) ||
            (outputs && compare_number(name, "output_error", row, p->metric[i].output_error, r, e)))
            return -1;
    }
    return 0;
}

/* The quantizers of activations that the recorded numbers were measured with. */
static int open_activations(struct pair *p, const struct json *v, struct err *e)
{
    const char *how = json_str(json_get(v, "activations"), NULL);
    bool as_floats = !how || !strcmp(how, simulate_words[ACTIVATIONS_FLOAT]); /* older recipes do not say */
    return simulate_open(&p->q_files, as_floats ? ACTIVATIONS_FLOAT : ACTIVATIONS_SIMULATE, &p->q,
                         &p->activations, e);
}

/* The options of the verify stage as the manifest's recipe has them. */
static const struct json *verify_options(const struct json *recipe)
{
    const struct json *list = json_get(recipe, "stages");
    for (size_t i = 0; i < json_len(list); i++) {
        const char *name = json_str(json_get(json_item(list, i), "name"), NULL);
        if (name && !strcmp(name, "verify"))
            return json_get(json_item(list, i), "options");
    }
    return NULL;
}

static int read_text(const char *model, const char *text, const struct json *recipe, const struct model *m,
                     struct dataset *d, struct err *e)
{
    const struct json *v = verify_options(recipe);
    struct dataset_options o = { .path = text,
                                 .field = json_str(json_get(v, "field"), NULL),
                                 .min_length = 2,
                                 .pack = PACK_CONCATENATE,
                                 .special = true };
    int64_t seed = 0;
    if (json_want_int(v, MANIFEST_NAME, "samples", 0, INT64_MAX, &o.samples, e) ||
        json_want_int(v, MANIFEST_NAME, "sequence_length", 2, INT64_MAX, &o.sequence_length, e) ||
        json_want_int(recipe, MANIFEST_NAME, "seed", 0, INT64_MAX, &seed, e))
        return -1;
    o.seed = (uint64_t)seed;
    struct err why = { 0 };
    struct tokenizer *t = tokenizer_open(model, &why);
    int rc = dataset_load(&o, t, m->vocab, d, e);
    if (rc && !t)
        err_hint(e, "no tokenizer: %s:%d: %.220s", why.at.line ? why.file : model, why.at.line, why.what);
    tokenizer_free(t);
    return rc;
}

static int compare_text(struct pair *p, const char *model, const char *text, const struct json *manifest,
                        struct recheck *r, struct err *e)
{
    const struct json *predicate = json_get(manifest, "predicate"), *v = json_get(predicate, "verification");
    const char *sha = json_str(json_get(v, "text_sha256"), NULL);
    struct dataset d = { 0 };
    struct kl_result kl;
    struct buf now = { 0 }, then = { 0 };
    struct metrics_options o = { UINT64_C(2) << 30, path_temporary() };
    if (!sha)
        return recheck_wrong(r, e, "the manifest records no verification on text");
    int rc = open_activations(p, verify_options(json_get(predicate, "recipe")), e);
    if (!rc)
        rc = read_text(model, text, json_get(predicate, "recipe"), &p->base, &d, e);
    if (!rc && strcmp(sha, d.source_sha256))
        rc =
            recheck_wrong(r, e, "held-out text %s: found sha256 %s, expected %s", text, d.source_sha256, sha);
    else if (!rc)
        rc = compare_models(&p->base, &p->q, &d, &o, p->wanted, p->metric, &kl, e);
    dataset_release(&d);
    if (rc || r->wrong.n)
        return rc;
    struct jw a, b;
    jw_init(&a, &now, -1);
    kl_json(&kl, &a);
    jw_init(&b, &then, -1);
    jw_json(&b, json_get(v, "model"));
    rc = jw_done(&a, e) || jw_done(&b, e) ? -1 : 0;
    r->numbers += (int64_t)json_len(json_get(v, "model"));
    if (!rc && strcmp(now.p, then.p))
        rc = recheck_wrong(r, e, "the model's numbers are recorded as %s and measured as %s", then.p, now.p);
    buf_release(&now);
    buf_release(&then);
    return rc ? -1 : compare_modules(p, json_get(v, "modules"), true, r, e);
}

int remeasure(const char *dir, const char *model, const char *text, const struct json *manifest,
              struct recheck *r, struct err *e)
{
    const struct json *predicate = json_get(manifest, "predicate"), *modules = json_get(predicate, "modules");
    const struct json *recorded = json_get(json_get(predicate, "verification"), "modules");
    struct pair p = { 0 };
    int rc = open_pair(dir, model, &p, e);
    for (int64_t i = 0; !rc && i < p.base.n_modules; i++) {
        const struct json *row = json_get(modules, p.base.module[i].name);
        p.wanted[i] = row && !json_get(row, "smoothed"); /* those were measured against scaled weights */
    }
    if (!rc && recorded)
        rc = weight_errors(&p.base, &p.q, p.wanted, p.metric, e);
    if (!rc && recorded)
        rc = text ? compare_text(&p, p.base_files.dir, text, manifest, r, e)
                  : compare_modules(&p, recorded, false, r, e);
    else if (!rc && text)
        rc = recheck_wrong(r, e, "the manifest records no verification");
    close_pair(&p);
    return rc;
}
