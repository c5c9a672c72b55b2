/* bom.c - a bill of materials for a machine-learning model, CycloneDX 1.6: the output, what it was made from, its files, its numbers. */
#include "base/num.h"
#include "pipeline/statement.h"

#include <string.h>

static void hashes(struct jw *w, const char *sha)
{
    jw_key(w, "hashes");
    jw_array(w);
    jw_object(w);
    jw_kstr(w, "alg", "SHA-256");
    jw_kstr(w, "content", sha);
    jw_end_object(w);
    jw_end_array(w);
}

static int put_file(void *arg, const char *name, const char *sha, struct err *e)
{
    struct jw *w = arg;
    (void)e;
    jw_object(w);
    jw_kstr(w, "type", "file");
    jw_kstr(w, "name", name);
    hashes(w, sha);
    jw_end_object(w);
    return 0;
}

static void ancestor(const struct json *inputs, struct jw *w)
{
    const struct json *files = json_get(inputs, "files");
    jw_key(w, "pedigree");
    jw_object(w);
    jw_key(w, "ancestors");
    jw_array(w);
    jw_object(w);
    jw_kstr(w, "type", "machine-learning-model");
    jw_kstr(w, "name", "source checkpoint");
    jw_key(w, "components");
    jw_array(w);
    for (size_t i = 0; i < json_len(files); i++) {
        const char *name = json_str(json_get(json_item(files, i), "name"), NULL);
        const char *sha = json_str(json_get(json_item(files, i), "sha256"), NULL);
        if (name && sha)
            put_file(w, name, sha, NULL);
    }
    jw_end_array(w);
    jw_end_object(w);
    jw_end_array(w);
    jw_end_object(w);
}

static void data_set(struct jw *w, const char *name, const char *what, const char *sha)
{
    if (!sha)
        return;
    jw_object(w);
    jw_kstr(w, "type", "dataset");
    jw_kstr(w, "name", name);
    jw_kstr(w, "description", what);
    jw_key(w, "contents");
    jw_object(w);
    jw_key(w, "properties");
    jw_array(w);
    jw_object(w);
    jw_kstr(w, "name", "sha256");
    jw_kstr(w, "value", sha);
    jw_end_object(w);
    jw_end_array(w);
    jw_end_object(w);
    jw_end_object(w);
}

static void metric(struct jw *w, const char *type, const struct json *value)
{
    double v;
    char text[32];
    if (!json_num(value, &v))
        return;
    num_shortest(v, text);
    jw_object(w);
    jw_kstr(w, "type", type);
    jw_kstr(w, "value", text);
    jw_end_object(w);
}

/* Numbers of the verification that are one value of the model each, under the names that the manifest has. */
static void metrics(const struct json *model, struct jw *w)
{
    jw_key(w, "quantitativeAnalysis");
    jw_object(w);
    jw_key(w, "performanceMetrics");
    jw_array(w);
    for (void *it = json_first(model); it; it = json_next(model, it))
        metric(w, json_it_key(it), json_it_value(it));
    jw_end_array(w);
    jw_end_object(w);
}

static void card(const struct attested *a, struct jw *w)
{
    const struct json *v = json_get(a->predicate, "verification");
    const char *family = json_str(json_get(a->config, "model_type"), NULL);
    const char *architecture = json_str(json_item(json_get(a->config, "architectures"), 0), NULL);
    jw_key(w, "modelCard");
    jw_object(w);
    jw_key(w, "modelParameters");
    jw_object(w);
    if (family)
        jw_kstr(w, "architectureFamily", family);
    if (architecture)
        jw_kstr(w, "modelArchitecture", architecture);
    jw_key(w, "datasets");
    jw_array(w);
    data_set(
        w, "calibration", "text that scales and codes were fitted to",
        json_str(json_get(json_get(json_get(a->predicate, "inputs"), "calibration"), "source_sha256"), NULL));
    data_set(w, "heldout", "text that the output was measured on",
             json_str(json_get(v, "text_sha256"), NULL));
    jw_end_array(w);
    jw_end_object(w);
    if (json_type(json_get(v, "model")) == JSON_OBJECT)
        metrics(json_get(v, "model"), w);
    jw_end_object(w);
}

static void property(struct jw *w, const char *name, const char *value)
{
    if (!value)
        return;
    jw_object(w);
    jw_kstr(w, "name", name);
    jw_kstr(w, "value", value);
    jw_end_object(w);
}

static void tool(const struct json *builder, struct jw *w)
{
    jw_key(w, "tools");
    jw_object(w);
    jw_key(w, "components");
    jw_array(w);
    jw_object(w);
    jw_kstr(w, "type", "application");
    jw_kstr(w, "name", "qpipe");
    jw_kstr(w, "version", json_str(json_get(builder, "version"), NULL));
    jw_end_object(w);
    jw_end_array(w);
    jw_end_object(w);
}

/* No serialNumber and no timestamp: both are optional, and would make two bills of one output differ. */
int write_cyclonedx(const struct attested *a, struct jw *w, struct err *e)
{
    const struct json *b = json_get(a->predicate, "builder");
    jw_object(w);
    jw_kstr(w, "bomFormat", "CycloneDX");
    jw_kstr(w, "specVersion", "1.6");
    jw_kint(w, "version", 1);
    jw_key(w, "metadata");
    jw_object(w);
    tool(b, w);
    jw_key(w, "component");
    jw_object(w);
    jw_kstr(w, "type", "machine-learning-model");
    jw_kstr(w, "name", a->name);
    ancestor(json_get(a->predicate, "inputs"), w);
    card(a, w);
    jw_key(w, "properties");
    jw_array(w);
    property(w, "qpipe:manifest.sha256", a->manifest_sha256);
    property(w, "qpipe:commit", json_str(json_get(b, "commit"), NULL));
    property(w, "qpipe:math", json_str(json_get(b, "math"), NULL));
    property(w, "qpipe:container", json_str(json_get(json_get(a->predicate, "outputs"), "container"), NULL));
    jw_end_array(w);
    jw_end_object(w);
    jw_end_object(w);
    jw_key(w, "components");
    jw_array(w);
    if (attested_files(a, put_file, w, e))
        return -1;
    jw_end_array(w);
    jw_end_object(w);
    return 0;
}
