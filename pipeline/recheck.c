/* recheck.c - a manifest held against what stands on disk. */
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "pipeline/manifest.h"

#include <stdarg.h>
#include <string.h>

int recheck_wrong(struct recheck *r, struct err *e, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    return strs_add(&r->wrong, line, e);
}

static int want_object(const struct json *j, const char *file, const char *what, enum json_type t,
                       struct err *e)
{
    if (json_type(j) == t)
        return 0;
    return err_set(e, ERR_INPUT, "%s: found %s as %s, expected %s", file,
                   j ? json_type_name(json_type(j)) : "nothing", what, json_type_name(t));
}

static int compare_file(const char *dir, const char *name, const char *sha, const char *what,
                        struct recheck *r, struct err *e)
{
    char hex[HASH_HEX];
    struct err why = { 0 };
    if (strchr(name, '/') || !strcmp(name, "..") || !sha)
        return err_set(e, ERR_INPUT, "%s/%s: found the file name '%s', expected a plain name with a sha256",
                       dir, MANIFEST_NAME, name);
    char *path = path_join(dir, name, e);
    if (!path)
        return -1;
    int rc = hash_file(path, hex, &why);
    mem_free(path);
    if (rc)
        return recheck_wrong(r, e, "%s file %s: %s", what, name, why.what);
    if (strcmp(hex, sha))
        return recheck_wrong(r, e, "%s file %s: found sha256 %s, expected %s", what, name, hex, sha);
    return 0;
}

static int check_subjects(const char *dir, const struct json *subject, struct strs *known, struct recheck *r,
                          struct err *e)
{
    for (size_t i = 0; i < json_len(subject); i++) {
        const struct json *s = json_item(subject, i);
        const char *name = NULL, *sha = NULL;
        if (json_want_str(s, MANIFEST_NAME, "name", &name, e) ||
            json_want_str(json_get(s, "digest"), MANIFEST_NAME, "sha256", &sha, e) ||
            compare_file(dir, name, sha, "output", r, e) || strs_add(known, name, e))
            return -1;
        r->files++;
    }
    return 0;
}

static int check_strangers(const char *dir, const struct strs *known, struct recheck *r, struct err *e)
{
    struct strs names = { 0 };
    int rc = path_list(dir, &names, e);
    for (size_t i = 0; !rc && i < names.n; i++)
        if (strcmp(names.v[i], MANIFEST_NAME) && !str_ends(names.v[i], ".sig") &&
            !strs_has(known, names.v[i]))
            rc = recheck_wrong(r, e, "file %s stands in the folder and not in the manifest", names.v[i]);
    strs_release(&names);
    return rc;
}

static int check_tensor(const struct tensor_source *t, const struct json *row, const char *what,
                        struct recheck *r, struct err *e)
{
    const char *name = NULL, *sha = NULL;
    char hex[HASH_HEX];
    struct tensor_view v;
    if (json_want_str(row, MANIFEST_NAME, "name", &name, e) ||
        json_want_str(row, MANIFEST_NAME, "sha256", &sha, e))
        return -1;
    r->tensors++;
    if (!t->find(t->self, name))
        return recheck_wrong(r, e, "%s tensor %s: is not there", what, name);
    if (t->view(t->self, name, &v, e) || hash_bytes(v.data, (size_t)view_bytes(&v), hex, e))
        return -1;
    return strcmp(hex, sha)
               ? recheck_wrong(r, e, "%s tensor %s: found sha256 %s, expected %s", what, name, hex, sha)
               : 0;
}

static int check_tensors(const struct tensor_source *t, const struct json *list, const char *what,
                         struct recheck *r, struct err *e)
{
    for (size_t i = 0; i < json_len(list); i++)
        if (check_tensor(t, json_item(list, i), what, r, e))
            return -1;
    if (t->count != (int64_t)json_len(list))
        return recheck_wrong(r, e, "%s: found %lld tensors, expected %zu", what, (long long)t->count,
                             json_len(list));
    return 0;
}

/* A tensor of one of the modules: "MODULE.weight", "MODULE.bias". */
static bool of_modules(const struct strs *modules, const char *tensor)
{
    for (size_t i = 0; i < modules->n; i++) {
        size_t n = strlen(modules->v[i]);
        if (!strncmp(tensor, modules->v[i], n) && tensor[n] == '.' && !strchr(tensor + n + 1, '.'))
            return true;
    }
    return false;
}

/* A family whose modules are not called as their tensors are is checked whole. */
static bool all_listed(const struct strs *modules, const struct json *tensors)
{
    size_t listed = 0;
    for (size_t i = 0; i < json_len(tensors); i++) {
        const char *name = json_str(json_get(json_item(tensors, i), "name"), NULL);
        listed += name && str_ends(name, ".weight") && of_modules(modules, name);
    }
    return listed == modules->n;
}

/* Of these modules alone: files that hold no weights, and their tensors. */
static int check_some_inputs(const char *model, const struct json *inputs, const struct strs *modules,
                             struct recheck *r, struct err *e)
{
    struct checkpoint c = { 0 };
    const struct json *list = json_get(inputs, "tensors");
    int rc = checkpoint_open(model, &c, e);
    for (size_t i = 0; !rc && i < json_len(list); i++) {
        const char *name = NULL;
        rc = json_want_str(json_item(list, i), MANIFEST_NAME, "name", &name, e);
        if (!rc && of_modules(modules, name))
            rc = check_tensor(&c.stored, json_item(list, i), "input", r, e);
    }
    checkpoint_close(&c);
    return rc;
}

static int check_inputs(const char *model, const struct json *inputs, const struct strs *modules,
                        struct recheck *r, struct err *e)
{
    struct checkpoint c = { 0 };
    const struct json *files = json_get(inputs, "files");
    if (modules && !all_listed(modules, json_get(inputs, "tensors")))
        modules = NULL;
    for (size_t i = 0; i < json_len(files); i++) {
        const char *file = json_str(json_get(json_item(files, i), "name"), NULL);
        if (modules && file && (str_ends(file, ".safetensors") || str_ends(file, ".index.json")))
            continue;
        const char *name = NULL, *sha = NULL;
        if (json_want_str(json_item(files, i), MANIFEST_NAME, "name", &name, e) ||
            json_want_str(json_item(files, i), MANIFEST_NAME, "sha256", &sha, e) ||
            compare_file(model, name, sha, "input", r, e))
            return -1;
        r->inputs++;
    }
    if (modules)
        return check_some_inputs(model, inputs, modules, r, e);
    if (checkpoint_open(model, &c, e))
        return -1;
    int rc = check_tensors(&c.stored, json_get(inputs, "tensors"), "input", r, e);
    checkpoint_close(&c);
    return rc;
}

int recheck_inputs(const char *model, const struct json *inputs, const struct strs *modules,
                   struct recheck *r, struct err *e)
{
    struct folder f;
    if (folder_open(model, &f, e))
        return -1;
    int rc = check_inputs(f.dir, inputs, modules, r, e);
    folder_close(&f);
    return rc;
}

static int json_text(const struct json *j, struct buf *out, struct err *e)
{
    struct jw w;
    jw_init(&w, out, -1);
    jw_json(&w, j);
    return jw_done(&w, e);
}

/* The resolved recipe beside the manifest says the same as the manifest. */
int recheck_recipe(const char *dir, const struct json *recorded, struct recheck *r, struct err *e)
{
    struct recipe recipe;
    struct buf ours = { 0 }, theirs = { 0 };
    struct jw w;
    struct recipe_args none = { 0 };
    char *path = path_join(dir, RECIPE_NAME, e);
    int rc = path ? recipe_read(path, &none, &recipe, e) : -1;
    mem_free(path);
    if (rc)
        return -1;
    jw_init(&w, &ours, -1);
    recipe_json(&recipe, &w);
    rc = jw_done(&w, e) || json_text(recorded, &theirs, e) ? -1 : 0;
    if (!rc && strcmp(ours.p, theirs.p))
        rc = recheck_wrong(r, e, "%s says something else than the manifest's recipe", RECIPE_NAME);
    buf_release(&ours);
    buf_release(&theirs);
    recipe_release(&recipe);
    return rc;
}

static int check_all(const char *dir, const char *model, const char *text, const struct json *m,
                     const char *path, struct recheck *r, struct err *e)
{
    const struct json *subject = json_get(m, "subject"), *p = json_get(m, "predicate");
    const struct json *outputs = json_get(json_get(p, "outputs"), "tensors"), *inputs = json_get(p, "inputs");
    const char *type = json_str(json_get(m, "predicateType"), NULL);
    if (!type || strcmp(type, MANIFEST_PREDICATE))
        return err_set(e, ERR_INPUT, "%s: found predicateType '%s', expected '%s'", path,
                       type ? type : "nothing", MANIFEST_PREDICATE);
    if (want_object(subject, path, "subject", JSON_ARRAY, e) ||
        want_object(outputs, path, "predicate.outputs.tensors", JSON_ARRAY, e) ||
        want_object(inputs, path, "predicate.inputs", JSON_OBJECT, e))
        return -1;
    struct strs known = { 0 };
    int rc = check_subjects(dir, subject, &known, r, e) || check_strangers(dir, &known, r, e) ? -1 : 0;
    strs_release(&known);
    struct checkpoint c = { 0 };
    if (rc || r->wrong.n) /* a changed file says enough; its tensors may not even parse */
        return rc;
    rc = recheck_recipe(dir, json_get(p, "recipe"), r, e) || checkpoint_open(dir, &c, e) ? -1 : 0;
    if (!rc)
        rc = check_tensors(&c.stored, outputs, "output", r, e);
    checkpoint_close(&c);
    if (!rc && model)
        rc = recheck_inputs(model, inputs, NULL, r, e);
    return !rc && model && !r->wrong.n ? remeasure(dir, model, text, m, r, e) : rc;
}

int recheck_dir(const char *where, const char *model, const char *text, struct recheck *out, struct err *e)
{
    struct folder f;
    memset(out, 0, sizeof *out);
    if (folder_open(where, &f, e))
        return -1;
    char *path = path_join(f.dir, MANIFEST_NAME, e);
    struct json *m = path ? json_read(path, JSON_BIG_LIMIT, e) : NULL;
    int rc = m ? check_all(f.dir, model, text, m, path, out, e) : -1;
    json_free(m);
    mem_free(path);
    folder_close(&f);
    if (rc)
        recheck_release(out);
    return rc;
}

void recheck_release(struct recheck *r)
{
    strs_release(&r->wrong);
    memset(r, 0, sizeof *r);
}
