/* rebuild.c - an output made again: inputs held against the manifest, the job run as any other, digests compared. */
#include "pipeline/rebuild.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/version.h"
#include "kernels/compute.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Everything of one rebuild that has to be given back. */
struct state {
    const struct rebuild_options *o;
    struct rebuild *r;
    struct folder folder; /* of the manifest, unless that was named itself */
    char *path, *dir;     /* of the manifest */
    struct json *m;
    const struct json *predicate; /* of m */
    struct recipe recipe;
    bool has_recipe, has_job;
    struct job job;
    char *work; /* a temporary folder */
};

/* -- what is to be made again -- */

static int read_manifest(struct state *s, struct err *e)
{
    if (str_ends(s->o->manifest, ".json")) {
        s->path = mem_strdup(s->o->manifest, e);
        s->dir = s->path ? path_dir(s->path, e) : NULL;
    } else if (!folder_open(s->o->manifest, &s->folder, e)) {
        s->path = path_join(s->folder.dir, MANIFEST_NAME, e);
        s->dir = mem_strdup(s->folder.dir, e);
    }
    if (!s->dir || !s->path || hash_file(s->path, s->r->manifest_sha256, e))
        return -1;
    s->m = json_read(s->path, JSON_BIG_LIMIT, e);
    if (!s->m)
        return -1;
    s->predicate = json_get(s->m, "predicate");
    const char *type = json_str(json_get(s->m, "predicateType"), NULL);
    if (!type || strcmp(type, MANIFEST_PREDICATE) || json_type(s->predicate) != JSON_OBJECT)
        return err_set(e, ERR_INPUT, "%s: found predicateType '%s', expected '%s'", s->path,
                       type ? type : "nothing", MANIFEST_PREDICATE);
    s->r->of_modules = (int64_t)json_len(json_get(s->predicate, "modules"));
    return 0;
}

static const char *builder(const struct state *s, const char *key)
{
    const char *v = json_str(json_get(json_get(s->predicate, "builder"), key), NULL);
    return v ? v : "nothing";
}

/* Another version may well make the same bytes: it is said, and the bytes decide. */
static int compare_builder(struct state *s, struct err *e)
{
    const char *version = builder(s, "version"), *commit = builder(s, "commit"), *math = builder(s, "math");
    const struct compute *c = compute_now();
    const char *ours = c->exact ? "exact" : c->version();
    if (!strcmp(version, QP_VERSION) && !strcmp(commit, version_commit()) && !strcmp(math, ours))
        return 0;
    s->r->version = mem_printf(e, "made by %s, commit %s, math %s; this is %s, commit %s, math %s", version,
                               commit, math, QP_VERSION, version_commit(), ours);
    return s->r->version ? 0 : -1;
}

static struct verify_options *verify_of(struct recipe *r, size_t *at)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->stage[i].spec->kind == STAGE_VERIFY) {
            *at = i;
            return r->stage[i].options;
        }
    return NULL;
}

/* Numbers on a text need the text: without it the verify stage is not run, and its part of the manifest not compared. */
static int set_heldout(struct state *s, struct err *e)
{
    const struct json *v = json_get(s->predicate, "verification");
    bool on_text = json_str(json_get(v, "text_sha256"), NULL) != NULL;
    size_t at = 0;
    struct verify_options *o = verify_of(&s->recipe, &at);
    s->r->numbers = !on_text || s->o->heldout;
    if (s->o->heldout && !on_text)
        return err_set(e, ERR_INPUT, "--heldout %s: the manifest records no verification on text",
                       s->o->heldout);
    if (!o)
        return 0;
    if (s->o->heldout) {
        mem_free(o->dataset);
        o->dataset = mem_strdup(s->o->heldout, e);
        return o->dataset ? 0 : -1;
    }
    if (on_text) {
        o->max_kl = o->max_perplexity_ratio = o->min_top1 = (double)NAN; /* nothing to hold against them */
        mem_free(o->dataset);
        o->dataset = NULL;
    }
    return 0;
}

static int read_recipe(struct state *s, struct err *e)
{
    struct recheck wrong = { 0 };
    struct recipe_args args = { .model = s->o->model, .dataset = s->o->dataset };
    char *path = path_join(s->dir, RECIPE_NAME, e);
    int rc = path ? recheck_recipe(s->dir, json_get(s->predicate, "recipe"), &wrong, e) : -1;
    if (!rc && wrong.wrong.n)
        rc = err_set(e, ERR_INPUT, "%s: %s", s->dir, wrong.wrong.v[0]);
    recheck_release(&wrong);
    if (!rc)
        rc = recipe_read(path, &args, &s->recipe, e);
    s->has_recipe = !rc;
    mem_free(path);
    return rc ? -1 : set_heldout(s, e);
}

/* -- inputs -- */

static int refuse_input(const struct recheck *w, const char *model, struct err *e)
{
    if (!w->wrong.n)
        return 0;
    err_set(e, ERR_INPUT, "%s: %s", model, w->wrong.v[0]);
    return w->wrong.n > 1
               ? err_hint(e, "%zu more differ; a rebuild needs the recorded inputs", w->wrong.n - 1)
               : err_hint(e, "a rebuild needs the recorded inputs, byte for byte");
}

/* Everything that the whole output is made of; or, where a few modules need no data, config.json and their tensors. */
static int check_source(struct state *s, struct err *e)
{
    struct recheck w = { 0 };
    const struct json *inputs = json_get(s->predicate, "inputs");
    bool alone = s->o->sample && json_type(json_get(inputs, "calibration")) == JSON_NULL;
    if (json_type(inputs) != JSON_OBJECT)
        return err_set(e, ERR_INPUT, "%s: found no predicate.inputs", s->path);
    int rc = recheck_inputs(s->o->model, inputs, alone ? &s->r->module : NULL, &w, e);
    s->r->inputs = w.inputs + w.tensors;
    rc = rc || refuse_input(&w, s->o->model, e) ? -1 : 0;
    recheck_release(&w);
    return rc;
}

static int check_digest(const char *what, const char *found, const char *expected, struct err *e)
{
    if (!expected || !strcmp(found, expected))
        return 0;
    err_set(e, ERR_INPUT, "%s: found sha256 %s, expected %s", what, found, expected);
    return err_hint(e, "a rebuild needs the recorded inputs, byte for byte");
}

static int check_texts(const struct state *s, struct err *e)
{
    const struct json *c = json_get(json_get(s->predicate, "inputs"), "calibration");
    const struct json *v = json_get(s->predicate, "verification");
    const struct dataset *d = &s->job.data, *h = &s->job.heldout;
    if (d->n && (check_digest("the calibration text", d->source_sha256,
                              json_str(json_get(c, "source_sha256"), NULL), e) ||
                 check_digest("the calibration tokens", d->tokens_sha256,
                              json_str(json_get(c, "tokens_sha256"), NULL), e)))
        return -1;
    return h->n ? check_digest("the held-out text", h->source_sha256,
                               json_str(json_get(v, "text_sha256"), NULL), e)
                : 0;
}

/* -- the whole -- */

static int compare_lists(const struct json *then, const struct json *now, const char *what, const char *skip,
                         int64_t *count, int64_t *differ, struct rebuild *r, struct err *e)
{
    size_t i = 0, k = 0;
    while (i < json_len(then) || k < json_len(now)) {
        const struct json *a = json_item(then, i), *b = json_item(now, k);
        const char *x = json_str(json_get(a, "name"), NULL), *y = json_str(json_get(b, "name"), NULL);
        int order = x && y ? strcmp(x, y) : x ? -1 : 1;
        const char *name = order <= 0 ? x : y;
        i += order <= 0;
        k += order >= 0;
        if (!name || (skip && !strcmp(name, skip)))
            continue;
        const struct json *da = json_get(a, "digest"), *db = json_get(b, "digest");
        const char *sa = order <= 0 ? json_str(json_get(da ? da : a, "sha256"), NULL) : NULL;
        const char *sb = order >= 0 ? json_str(json_get(db ? db : b, "sha256"), NULL) : NULL;
        ++*count;
        if (sa && sb && !strcmp(sa, sb))
            continue;
        ++*differ;
        char *line = mem_printf(e, "%s %s: found sha256 %s, expected %s", what, name, sb ? sb : "nothing",
                                sa ? sa : "nothing");
        int rc = line ? strs_add(&r->wrong, line, e) : -1;
        mem_free(line);
        if (rc)
            return -1;
    }
    return 0;
}

/* All keys of the predicate but what is not a function of the inputs that were given. */
static int compare_predicates(const struct state *s, const struct json *now, struct err *e)
{
    for (void *it = json_first(s->predicate); it; it = json_next(s->predicate, it)) {
        const char *key = json_it_key(it);
        bool numbers =
            !strcmp(key, "verification") || !strcmp(key, "recipe"); /* its thresholds were taken out */
        bool left_out = !strcmp(key, "builder") || (numbers && !s->r->numbers);
        if (!left_out && diff_trees(json_it_value(it), json_get(now, key), key, &s->r->first, e))
            return -1;
    }
    return 0;
}

static int compare_output(struct state *s, const char *dir, struct err *e)
{
    struct rebuild *r = s->r;
    char *path = path_join(dir, MANIFEST_NAME, e);
    struct json *now = path ? json_read(path, JSON_BIG_LIMIT, e) : NULL;
    mem_free(path);
    if (!now)
        return -1;
    const struct json *p = json_get(now, "predicate");
    int rc = compare_lists(json_get(json_get(s->predicate, "outputs"), "tensors"),
                           json_get(json_get(p, "outputs"), "tensors"), "tensor", NULL, &r->tensors,
                           &r->tensors_differ, r, e) ||
                     compare_lists(json_get(s->m, "subject"), json_get(now, "subject"), "file",
                                   s->r->numbers ? NULL : RECIPE_NAME, /* its thresholds were taken out */
                                   &r->files, &r->files_differ, r, e) ||
                     compare_predicates(s, p, e)
                 ? -1
                 : 0;
    json_free(now);
    r->modules = r->of_modules;
    return rc;
}

static int rebuild_whole(struct state *s, struct err *e)
{
    struct run_report report;
    char *out = s->o->output ? mem_strdup(s->o->output, e) : path_join(s->work, "output", e);
    if (!out)
        return -1;
    mem_free(s->recipe.output);
    s->recipe.output = out;
    if (run_job(&s->job, false, RESUME_NEVER, &report, e))
        return -1;
    int rc = compare_output(s, report.output, e);
    run_report_release(&report);
    return rc;
}

/* -- all of it -- */

static int draw(struct state *s, struct err *e)
{
    const struct json *modules = json_get(s->predicate, "modules");
    int64_t *at = mem_array((size_t)s->o->sample, sizeof *at, e);
    int64_t k = at ? rebuild_draw(s->r->manifest_sha256, s->r->of_modules, s->o->sample, at, e) : -1, i = 0,
            next = 0;
    int rc = k < 0 ? -1 : 0;
    for (void *it = json_first(modules); !rc && it && next < k; it = json_next(modules, it), i++)
        if (at[next] == i) {
            rc = strs_add(&s->r->module, json_it_key(it), e);
            next++;
        }
    mem_free(at);
    return rc;
}

static int make_work(struct state *s, struct err *e)
{
    char *name = mem_printf(e, "%s/qpipe-rebuild.XXXXXX", path_temporary());
    if (name && mkdtemp(name))
        s->work = name;
    else if (name) {
        err_io(e, "make a folder in", path_temporary());
        mem_free(name);
    }
    return s->work ? 0 : -1;
}

static int rebuild_all(struct state *s, struct err *e)
{
    if (read_manifest(s, e) || read_recipe(s, e) || compare_builder(s, e))
        return -1;
    if (s->o->sample && draw(s, e))
        return -1;
    if (check_source(s, e) || job_plan(&s->recipe, true, &s->job, e))
        return -1;
    s->has_job = true;
    if (check_texts(s, e) || make_work(s, e))
        return -1;
    return s->o->sample ? rebuild_modules(&s->job, s->work, s->predicate, s->r, e) : rebuild_whole(s, e);
}

int rebuild_run(const struct rebuild_options *o, struct rebuild *out, struct err *e)
{
    struct state s = { .o = o, .r = out };
    memset(out, 0, sizeof *out);
    int rc = rebuild_all(&s, e);
    if (s.has_job)
        job_release(&s.job);
    if (s.has_recipe)
        recipe_release(&s.recipe);
    if (s.work && path_remove_tree(s.work, rc ? NULL : e))
        rc = -1;
    mem_free(s.work);
    mem_free(s.path);
    mem_free(s.dir);
    folder_close(&s.folder);
    json_free(s.m);
    if (!rc)
        return 0;
    rebuild_release(out);
    return err_while(e, "rebuilding %s", o->manifest);
}

void rebuild_release(struct rebuild *r)
{
    mem_free(r->version);
    mem_free(r->first.what);
    mem_free(r->first.a);
    mem_free(r->first.b);
    strs_release(&r->module);
    strs_release(&r->wrong);
    memset(r, 0, sizeof *r);
}

bool rebuild_equal(const struct rebuild *r) { return !r->wrong.n && !r->first.what; }

int rebuild_text(const struct rebuild *r, const struct rebuild_options *o, struct buf *out, struct err *e)
{
    int rc = buf_printf(out, e, "  manifest              %s (sha256 %s)\n", o->manifest, r->manifest_sha256);
    rc = rc || buf_printf(out, e, "  version               %s\n", r->version ? r->version : "the same");
    rc = rc || buf_printf(out, e, "  inputs                %lld files and tensors, as recorded\n",
                          (long long)r->inputs);
    rc = rc || buf_printf(out, e, "  modules               %lld of %lld made again\n", (long long)r->modules,
                          (long long)r->of_modules);
    for (size_t i = 0; !rc && i < r->module.n; i++)
        rc = buf_printf(out, e, "    %s\n", r->module.v[i]);
    rc = rc || buf_printf(out, e, "  tensors               %lld compared, %lld differ\n",
                          (long long)r->tensors, (long long)r->tensors_differ);
    if (!rc && !r->module.n)
        rc = buf_printf(out, e,
                        "  files                 %lld compared, %lld differ\n  numbers               %s\n",
                        (long long)r->files, (long long)r->files_differ,
                        r->numbers ? "made again" : "not made again (no --heldout)");
    for (size_t i = 0; !rc && i < r->wrong.n; i++)
        rc = buf_printf(out, e, "%s\n", r->wrong.v[i]);
    if (!rc && r->first.what)
        rc = buf_printf(out, e, "manifest, %s: recorded %s, made again %s\n", r->first.what, r->first.a,
                        r->first.b);
    return rc || buf_printf(out, e, "%s\n", rebuild_equal(r) ? "equal" : "NOT equal") ? -1 : 0;
}

void rebuild_json(const struct rebuild *r, struct jw *w)
{
    jw_object(w);
    jw_kbool(w, "equal", rebuild_equal(r));
    jw_kstr(w, "manifest_sha256", r->manifest_sha256);
    jw_kstr(w, "version", r->version);
    jw_kint(w, "inputs", r->inputs);
    jw_kint(w, "modules", r->modules);
    jw_kint(w, "of_modules", r->of_modules);
    jw_key(w, "sample");
    jw_array(w);
    for (size_t i = 0; i < r->module.n; i++)
        jw_str(w, r->module.v[i]);
    jw_end_array(w);
    jw_kint(w, "tensors", r->tensors);
    jw_kint(w, "tensors_differ", r->tensors_differ);
    jw_kint(w, "files", r->files);
    jw_kint(w, "files_differ", r->files_differ);
    jw_kbool(w, "numbers", r->numbers && !r->module.n);
    jw_key(w, "wrong");
    jw_array(w);
    for (size_t i = 0; i < r->wrong.n; i++)
        jw_str(w, r->wrong.v[i]);
    jw_end_array(w);
    jw_kstr(w, "first", r->first.what);
    jw_end_object(w);
}
