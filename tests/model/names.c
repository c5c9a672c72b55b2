/* names.c - modules by the names of tensors alone, against transformers' own lists (fixtures): every Linear under its module
 * name with its shape, and no other; and the rules on names that no fixture has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/checkpoint.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

static const char shared[] = "../shared/fixtures";

/* Families that are not built, and built ones whose files carry transformers' prefix and no Conv1D. */
static const char *const folders[] = {
    "mixtral",     "deepseek-v2",  "deepseek-v2-lite",
    "deepseek-v3", "lfm2",         "qwen2-moe",
    "qwen3-moe",   "qwen3-next",   "olmoe",
    "llama2-gqa",  "llama32-tied", "llama-bias",
    "qwen3",       "gemma2",       "gemma3-text",
    "phi3-swa",    "olmo2",        "granite",
    "glm4",        "smollm3",      "gptj",
    "gpt-neo",     "gpt-neox",     "falcon-7b",
    "mpt",         "opt",          "phi",
    "starcoder2",  "stablelm",     "stablelm-qknorm",
    "nemotron",    "cohere",       "cohere2",
};

static int compare_folder(const char *folder)
{
    char path[300];
    struct err e = { 0 };
    struct checkpoint c;
    struct model m;
    int64_t want = 0, got = 0;
    snprintf(path, sizeof path, "%s/%s", shared, folder);
    if (checkpoint_open(path, &c, &e) || model_open_names(c.config, &c.tensors, path, &m, &e))
        fail_msg("%s: %s", folder, e.what);
    snprintf(path, sizeof path, "%s/%s/linears.json", shared, folder);
    struct json *list = json_read(path, JSON_DEFAULT_LIMIT, &e);
    assert_non_null(list);
    const struct json *modules = json_get(list, "modules");
    for (size_t i = 0; i < json_len(modules); i++) {
        const struct json *row = json_item(modules, i);
        const char *name = json_str(json_get(row, "name"), NULL);
        const struct module *o = model_module(&m, name);
        int64_t out = 0, in = 0;
        bool bias = false;
        assert_true(json_int(json_get(row, "out"), &out) && json_int(json_get(row, "in"), &in));
        json_bool(json_get(row, "bias"), &bias);
        if (!o || !o->quantizable || strcmp(o->classes[0], "Linear"))
            fail_msg("%s: '%s' is no Linear", folder, name);
        if (o->out != out || o->in != in || bias != (o->bias != NULL))
            fail_msg("%s: '%s' is [%lld, %lld]", folder, name, (long long)o->out, (long long)o->in);
        want++;
    }
    for (int64_t i = 0; i < m.n_modules; i++) {
        got += !strcmp(m.module[i].classes[0], "Linear");
        assert_non_null(m.module[i].rule);
    }
    if (got != want)
        fail_msg("%s: %lld Linears, expected %lld", folder, (long long)got, (long long)want);
    json_free(list);
    model_release(&m);
    checkpoint_close(&c);
    return (int)want;
}

static void linears_are_those_of_transformers(void **state)
{
    (void)state;
    if (!path_is_dir(shared)) {
        printf("skipped: lists of Linears (no ../shared)\n");
        skip();
    }
    int n = 0;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        n += compare_folder(folders[i]);
    assert_true(n > 700);
}

/* -- a source of names and shapes -- */

struct name {
    const char *name;
    int rank;
    int64_t dim[3];
};
struct fake {
    const struct name *name;
    struct tensor_info info;
};
static const struct tensor_info *fake_info(struct fake *f, const struct name *n)
{
    f->info = (struct tensor_info){ n->name, DT_BF16, n->rank, { n->dim[0], n->dim[1], n->dim[2] } };
    return &f->info;
}
static const struct tensor_info *fake_at(void *self, int64_t i)
{
    return fake_info(self, &((struct fake *)self)->name[i]);
}
static const struct tensor_info *fake_find(void *self, const char *name)
{
    struct fake *f = self;
    for (const struct name *n = f->name; n->name; n++)
        if (!strcmp(n->name, name))
            return fake_info(f, n);
    return NULL;
}
static int fake_view(void *self, const char *name, struct tensor_view *out, struct err *e)
{
    (void)self;
    (void)out;
    return err_set(e, ERR_INPUT, "no bytes of %s", name);
}

static void rules_by_name(void **state)
{
    (void)state;
    static const struct name names[] = {
        { "backbone.embeddings.weight", 2, { 32, 8 } },
        { "backbone.layers.0.mixer.A_log", 2, { 8, 4 } },
        { "backbone.layers.0.mixer.conv1d.weight", 3, { 8, 1, 4 } },
        { "backbone.layers.0.mixer.in_proj.weight", 2, { 16, 8 } },
        { "backbone.layers.0.norm.weight", 1, { 8 } },
        { "backbone.layers.10.mlp.gate.weight", 2, { 4, 8 } },
        { "backbone.layers.10.mlp.experts.gate_up_proj", 3, { 4, 8, 32 } },
        { "backbone.layers.9.router.classifier.weight", 2, { 4, 8 } },
        { "backbone.layers.9.shared_expert_gate.weight", 2, { 1, 8 } },
        { "model.layers.12.eh_proj.weight", 2, { 8, 16 } },
        { "mtp.fc.weight", 2, { 8, 16 } },
        { NULL, 0, { 0 } },
    };
    static const struct {
        const char *name, *cls;
        bool quantizable;
    } want[] = {
        { "backbone.embeddings", "Embedding", true },
        { "backbone.layers.0.mixer.conv1d", "Conv", false },
        { "backbone.layers.0.mixer.in_proj", "Linear", true },
        { "backbone.layers.0.norm", "Norm", false },
        { "backbone.layers.9.router.classifier", "Router", false },
        { "backbone.layers.9.shared_expert_gate", "Linear", true },
        { "backbone.layers.10.mlp.experts.gate_up_proj", "Linear", true },
        { "backbone.layers.10.mlp.gate", "Router", false },
    };
    struct fake f = { .name = names };
    struct tensor_source t = { .self = &f, .count = 11, .at = fake_at, .find = fake_find, .view = fake_view };
    struct err e = { 0 };
    struct model m;
    static const char config[] = "{\"model_type\": \"nonesuch\", \"num_hidden_layers\": 12}";
    struct json *j = json_parse(config, sizeof config - 1, "config.json", &e);
    assert_int_equal(model_open_names(j, &t, "m", &m, &e), 0);
    assert_int_equal(m.n_modules, 8); /* the head is tied by default, but to no embedding of a decoder */
    for (int i = 0; i < 8; i++) {     /* in natural order: layer 9 before layer 10 */
        assert_string_equal(m.module[i].name, want[i].name);
        assert_string_equal(m.module[i].classes[0], want[i].cls);
        assert_int_equal(m.module[i].quantizable, want[i].quantizable);
    }
    assert_int_equal(m.module[6].stack, 4);
    assert_int_equal(m.unread.n, 3); /* A_log, the layer behind the last, mtp */
    assert_null(m.arch);
    model_release(&m);
    json_free(j);
}

int main(void)
{
    log_setup(LOG_ERROR, LOG_TEXT);
    const struct CMUnitTest tests[] = { cmocka_unit_test(linears_are_those_of_transformers),
                                        cmocka_unit_test(rules_by_name) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
