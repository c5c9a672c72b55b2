/* statement.c - the table of statements, and three that are in-toto's. The bill of materials is bom.c. */
#include "pipeline/statement.h"

#include "base/file.h"
#include "base/mem.h"
#include "pipeline/manifest.h"

#include <string.h>

const struct statement statements[] = {
    { "oms", "oms.json", "OpenSSF model signing 1.0: what model_signing signs, unsigned", false, write_oms },
    { "slsa", "slsa.json", "SLSA provenance 1: how the output was made, from what", false, write_slsa },
    { "test-result", "test-result.json", "in-toto test result 0.1: the thresholds of verify", false,
      write_test_result },
    { "cyclonedx", "cyclonedx.json", "CycloneDX 1.6 bill of materials of a machine-learning model", true,
      write_cyclonedx },
    { NULL, NULL, NULL, false, NULL },
};

/* -- the files of an output -- */

int attested_files(const struct attested *a,
                   int (*f)(void *arg, const char *name, const char *sha256, struct err *e), void *arg,
                   struct err *e)
{
    const struct json *list = json_get(a->manifest, "subject");
    bool own = false;
    for (size_t i = 0; i <= json_len(list); i++) {
        const struct json *s = json_item(list, i);
        const char *name = NULL, *sha = NULL;
        if (s && (json_want_str(s, MANIFEST_NAME, "name", &name, e) ||
                  json_want_str(json_get(s, "digest"), MANIFEST_NAME, "sha256", &sha, e)))
            return -1;
        if (!own && (!s || strcmp(name, MANIFEST_NAME) > 0)) {
            own = true;
            if (f(arg, MANIFEST_NAME, a->manifest_sha256, e))
                return -1;
        }
        if (s && f(arg, name, sha, e))
            return -1;
    }
    return 0;
}

static void descriptor(struct jw *w, const char *name, const char *sha)
{
    jw_object(w);
    jw_kstr(w, "name", name);
    jw_key(w, "digest");
    jw_object(w);
    jw_kstr(w, "sha256", sha);
    jw_end_object(w);
    jw_end_object(w);
}

static int put_descriptor(void *arg, const char *name, const char *sha, struct err *e)
{
    (void)e;
    descriptor(arg, name, sha);
    return 0;
}

static void begin(struct jw *w)
{
    jw_object(w);
    jw_kstr(w, "_type", "https://in-toto.io/Statement/v1");
    jw_key(w, "subject");
    jw_array(w);
}

static void begin_predicate(struct jw *w, const char *type)
{
    jw_end_array(w);
    jw_kstr(w, "predicateType", type);
    jw_key(w, "predicate");
    jw_object(w);
}

static void end(struct jw *w)
{
    jw_end_object(w);
    jw_end_object(w);
}

/* -- OpenSSF model signing -- */

static int hex_value(char c) { return c >= 'a' ? c - 'a' + 10 : c - '0'; }

static int add_raw(void *arg, const char *name, const char *sha, struct err *e)
{
    unsigned char raw[32];
    if (strlen(sha) != 64 || strspn(sha, "0123456789abcdef") != 64)
        return err_set(e, ERR_INPUT, "%s: found '%.80s' as sha256 of %s", MANIFEST_NAME, sha, name);
    for (size_t i = 0; i < sizeof raw; i++)
        raw[i] = (unsigned char)(hex_value(sha[2 * i]) << 4 | hex_value(sha[2 * i + 1]));
    return hash_add(arg, raw, sizeof raw, e);
}

static int put_resource(void *arg, const char *name, const char *sha, struct err *e)
{
    struct jw *w = arg;
    (void)e;
    jw_object(w);
    jw_kstr(w, "name", name);
    jw_kstr(w, "algorithm", "sha256");
    jw_kstr(w, "digest", sha);
    jw_end_object(w);
    return 0;
}

/* The subject is SHA-256 over the raw digests of all files in the order of their names. */
int write_oms(const struct attested *a, struct jw *w, struct err *e)
{
    char root[HASH_HEX];
    struct hash *h = hash_new(e);
    if (!h)
        return -1;
    if (attested_files(a, add_raw, h, e)) {
        hash_free(h);
        return -1;
    }
    if (hash_hex(h, root, e))
        return -1;
    begin(w);
    descriptor(w, a->name, root);
    begin_predicate(w, "https://model_signing/signature/v1.0");
    jw_key(w, "serialization");
    jw_object(w);
    jw_kstr(w, "method", "files");
    jw_kstr(w, "hash_type", "sha256");
    jw_kbool(w, "allow_symlinks", false);
    jw_key(w, "ignore_paths");
    jw_array(w);
    jw_end_array(w);
    jw_end_object(w);
    jw_key(w, "resources");
    jw_array(w);
    if (attested_files(a, put_resource, w, e))
        return -1;
    jw_end_array(w);
    end(w);
    return 0;
}

/* -- SLSA provenance -- */

static void dependency(struct jw *w, const char *name, const struct json *sha)
{
    if (json_str(sha, NULL))
        descriptor(w, name, json_str(sha, NULL));
}

static void dependencies(const struct json *predicate, struct jw *w)
{
    const struct json *inputs = json_get(predicate, "inputs"), *files = json_get(inputs, "files");
    const struct json *commit = json_get(json_get(predicate, "builder"), "commit");
    jw_key(w, "resolvedDependencies");
    jw_array(w);
    if (json_str(commit, NULL) && strcmp(json_str(commit, NULL), "unknown") != 0) {
        jw_object(w);
        jw_kstr(w, "name", "qpipe");
        jw_key(w, "digest");
        jw_object(w);
        jw_kstr(w, "gitCommit", json_str(commit, NULL));
        jw_end_object(w);
        jw_end_object(w);
    }
    for (size_t i = 0; i < json_len(files); i++) {
        char name[512];
        const char *file = json_str(json_get(json_item(files, i), "name"), NULL);
        snprintf(name, sizeof name, "model/%s", file ? file : "");
        dependency(w, name, json_get(json_item(files, i), "sha256"));
    }
    dependency(w, "calibration", json_get(json_get(inputs, "calibration"), "source_sha256"));
    dependency(w, "heldout", json_get(json_get(predicate, "verification"), "text_sha256"));
    jw_end_array(w);
}

int write_slsa(const struct attested *a, struct jw *w, struct err *e)
{
    const struct json *b = json_get(a->predicate, "builder");
    begin(w);
    if (attested_files(a, put_descriptor, w, e))
        return -1;
    begin_predicate(w, "https://slsa.dev/provenance/v1");
    jw_key(w, "buildDefinition");
    jw_object(w);
    jw_kstr(w, "buildType", MANIFEST_PREDICATE);
    jw_key(w, "externalParameters");
    jw_object(w);
    jw_key(w, "recipe");
    jw_json(w, json_get(a->predicate, "recipe"));
    jw_end_object(w);
    jw_key(w, "internalParameters");
    jw_object(w);
    jw_kstr(w, "math", json_str(json_get(b, "math"), NULL));
    jw_end_object(w);
    dependencies(a->predicate, w);
    jw_end_object(w);
    jw_key(w, "runDetails"); /* no startedOn, no invocationId: the same output has the same provenance */
    jw_object(w);
    jw_key(w, "builder");
    jw_object(w);
    jw_kstr(w, "id", "urn:qpipe:builder:v1");
    jw_key(w, "version");
    jw_object(w);
    jw_kstr(w, "qpipe", json_str(json_get(b, "version"), NULL));
    jw_end_object(w);
    jw_end_object(w);
    jw_end_object(w);
    end(w);
    return 0;
}

/* -- test result -- */

static void tests_that(const struct json *thresholds, bool met, const char *key, struct jw *w)
{
    jw_key(w, key);
    jw_array(w);
    for (size_t i = 0; i < json_len(thresholds); i++) {
        bool v = false;
        if (json_bool(json_get(json_item(thresholds, i), "met"), &v) && v == met)
            jw_str(w, json_str(json_get(json_item(thresholds, i), "name"), NULL));
    }
    jw_end_array(w);
}

static int put_recipe(void *arg, const char *name, const char *sha, struct err *e)
{
    (void)e;
    if (!strcmp(name, RECIPE_NAME))
        descriptor(arg, name, sha);
    return 0;
}

int write_test_result(const struct attested *a, struct jw *w, struct err *e)
{
    const struct json *v = json_get(a->predicate, "verification"), *t = json_get(v, "thresholds");
    bool passed = false;
    if (!json_bool(json_get(v, "passed"), &passed)) {
        err_set(e, ERR_INPUT, "test-result: the manifest records no verification");
        return err_hint(e, "add a verify stage to the recipe");
    }
    begin(w);
    if (attested_files(a, put_descriptor, w, e))
        return -1;
    begin_predicate(w, "https://in-toto.io/attestation/test-result/v0.1");
    jw_kstr(w, "result",
            !passed       ? "FAILED"
            : json_len(t) ? "PASSED"
                          : "WARNED"); /* measured, with nothing to meet */
    jw_key(w, "configuration");
    jw_array(w);
    if (attested_files(a, put_recipe, w, e))
        return -1;
    jw_end_array(w);
    tests_that(t, true, "passedTests", w);
    jw_key(w, "warnedTests");
    jw_array(w);
    jw_end_array(w);
    tests_that(t, false, "failedTests", w);
    end(w);
    return 0;
}

/* -- files -- */

static const struct statement *find(const char *name, bool bom)
{
    for (const struct statement *s = statements; s->name; s++)
        if (s->bom == bom && !strcmp(s->name, name))
            return s;
    return NULL;
}

static int check_words(const struct strs *words, bool bom, const char *option, const char *expected,
                       struct err *e)
{
    for (size_t i = 0; i < words->n; i++)
        if (!find(words->v[i], bom))
            return err_set(e, ERR_INPUT, "--%s: found '%s', expected %s", option, words->v[i], expected);
    return 0;
}

int statements_check(const struct strs *wanted, const struct strs *boms, struct err *e)
{
    return check_words(wanted, false, "statement", "oms, slsa or test-result", e) ||
                   check_words(boms, true, "bom", "cyclonedx", e)
               ? -1
               : 0;
}

static int write_one(const struct statement *s, const struct attested *a, const char *stem,
                     struct strs *files, struct err *e)
{
    struct buf text = { 0 };
    struct jw w;
    char *path = mem_printf(e, "%s.%s", stem, s->tail);
    jw_init(&w, &text, 2);
    int rc = path && !s->write(a, &w, e) && !jw_done(&w, e) && !file_replace(path, text.p, text.len, e) &&
                     !strs_add(files, path, e)
                 ? 0
                 : -1;
    buf_release(&text);
    mem_free(path);
    return rc;
}

static int write_words(const struct strs *words, bool bom, const struct attested *a, const char *stem,
                       struct strs *files, struct err *e)
{
    for (size_t i = 0; i < words->n; i++)
        if (write_one(find(words->v[i], bom), a, stem, files, e))
            return -1;
    return 0;
}

/* A statement about something else than what stands there would be worse than none. */
static int refuse_changed(const char *dir, struct err *e)
{
    struct recheck r;
    if (recheck_dir(dir, NULL, NULL, &r, e))
        return -1;
    int rc = r.wrong.n ? err_set(e, ERR_INPUT, "%s is not what its manifest says: %s", dir, r.wrong.v[0]) : 0;
    recheck_release(&r);
    return rc;
}

int statements_write(const char *dir, const struct strs *wanted, const struct strs *boms, struct strs *files,
                     struct err *e)
{
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/')
        n--;
    char *stem = mem_strndup(dir, n, e), *path = path_join(dir, MANIFEST_NAME, e),
         *config = path_join(dir, "config.json", e);
    struct json *m = NULL, *c = NULL;
    struct attested a = { 0 };
    int rc = stem && path && config && !statements_check(wanted, boms, e) && !refuse_changed(dir, e) &&
                     !hash_file(path, a.manifest_sha256, e) && (m = json_read(path, JSON_BIG_LIMIT, e)) &&
                     (c = json_read(config, JSON_DEFAULT_LIMIT, e))
                 ? 0
                 : -1;
    a.manifest = m;
    a.predicate = json_get(m, "predicate");
    a.config = c;
    a.name = stem ? path_base(stem) : NULL;
    rc = rc || write_words(wanted, false, &a, stem, files, e) || write_words(boms, true, &a, stem, files, e)
             ? -1
             : 0;
    json_free(m);
    json_free(c);
    mem_free(stem);
    mem_free(path);
    mem_free(config);
    return rc ? err_while(e, "attesting %s", dir) : 0;
}
