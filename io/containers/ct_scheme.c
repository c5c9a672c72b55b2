/* ct_scheme.c - quantization_config of a compressed-tensors checkpoint: arguments, groups, targets and ignore. Written
 * for what 0.8 to 0.19 wrote: missing keys take the peer's defaults, unknown ones are ignored as it does at top level. */
#include "io/containers/ct.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* Where a value stands, for errors: FILE: config_groups 'NAME', key. */
struct place {
    const char *dir, *group, *part; /* part: "weights" */
};

static int wrong(const struct place *p, const char *key, const struct json *j, const char *expected,
                 struct err *e)
{
    return err_set(e, ERR_INPUT, "%s/config.json: config group '%s', %s%s%s: found %s, expected %s", p->dir,
                   p->group, p->part, *key ? "." : "", key, json_type_name(json_type(j)), expected);
}

/* Index of a word in a NULL-terminated list; absent or null: def. -1: e is set. */
static int word_of(const struct json *o, const char *key, const char *const *words, int def,
                   const struct place *p, struct err *e)
{
    const struct json *j = json_get(o, key);
    const char *s = json_str(j, NULL);
    if (json_type(j) == JSON_NULL)
        return def;
    for (int i = 0; s && words[i]; i++)
        if (!strcmp(words[i], s))
            return i;
    if (!s)
        return wrong(p, key, j, "a string", e);
    return err_set(e, ERR_INPUT, "%s/config.json: config group '%s', %s.%s: found '%s', which is not known",
                   p->dir, p->group, p->part, key, s);
}

static int int_of(const struct json *o, const char *key, int64_t min, int64_t max, int64_t def, int64_t *out,
                  const struct place *p, struct err *e)
{
    const struct json *j = json_get(o, key);
    *out = def;
    if (json_type(j) == JSON_NULL)
        return 0;
    if (json_type(j) != JSON_INT || !json_int(j, out) || *out < min || *out > max)
        return err_set(e, ERR_INPUT,
                       "%s/config.json: config group '%s', %s.%s: expected an integer in [%lld, %lld]",
                       p->dir, p->group, p->part, key, (long long)min, (long long)max);
    return 0;
}

static int dtype_of(const struct json *o, const char *key, int *out, const struct place *p, struct err *e)
{
    const struct json *j = json_get(o, key);
    const char *s = json_str(j, NULL);
    *out = -1;
    if (json_type(j) == JSON_NULL)
        return 0;
    *out = s ? dtype_find_torch(s) : -1;
    return *out < 0 ? wrong(p, key, j, "a name of a torch dtype", e) : 0;
}

/* [rows, cols], or "128x128" in old files. */
static int block_of(const struct json *o, int64_t out[2], const struct place *p, struct err *e)
{
    const struct json *j = json_get(o, "block_structure");
    const char *s = json_str(j, NULL);
    out[0] = out[1] = 0;
    if (json_type(j) == JSON_NULL)
        return 0;
    if (json_type(j) == JSON_ARRAY && json_len(j) == 2) {
        json_int(json_item(j, 0), &out[0]);
        json_int(json_item(j, 1), &out[1]);
    }
    for (int k = 0; s && *s && k < 2; s += *s == 'x', k++)
        for (; *s >= '0' && *s <= '9' && out[k] < 1 << 20; s++)
            out[k] = out[k] * 10 + (*s - '0');
    if (out[0] < 1 || out[1] < 1 || (s && *s))
        return wrong(p, "block_structure", j, "[rows, columns]", e);
    return 0;
}

static int dynamic_of(const struct json *o, enum dynamic *out, const struct place *p, struct err *e)
{
    const struct json *j = json_get(o, "dynamic");
    const char *s = json_str(j, NULL);
    bool on = false;
    *out = DYNAMIC_FALSE;
    if (s && !strcmp(s, "local"))
        *out = DYNAMIC_LOCAL;
    else if (json_bool(j, &on))
        *out = on ? DYNAMIC_TRUE : DYNAMIC_FALSE;
    else if (json_type(j) != JSON_NULL)
        return wrong(p, "dynamic", j, "true, false or 'local'", e);
    return 0;
}

static int read_shape(const struct json *o, struct quant_args *a, const struct place *p, struct err *e)
{
    int implied = STRATEGY_TENSOR;
    if (int_of(o, "group_size", -1, 1 << 30, 0, &a->group_size, p, e) || block_of(o, a->block, p, e))
        return -1;
    if (a->group_size)
        implied = a->group_size > 0 ? STRATEGY_GROUP : STRATEGY_CHANNEL;
    int s = word_of(o, "strategy", strategy_words, implied, p, e);
    if (s < 0)
        return -1;
    a->strategy = (enum strategy)s;
    if ((s == STRATEGY_GROUP || s == STRATEGY_TENSOR_GROUP) && a->group_size < 1)
        return wrong(p, "group_size", json_get(o, "group_size"), "a positive integer", e);
    if (s == STRATEGY_BLOCK && a->block[0] < 1)
        return wrong(p, "block_structure", json_get(o, "block_structure"), "[rows, columns]", e);
    return 0;
}

static int read_args(const struct json *o, struct quant_args *a, const struct place *p, struct err *e)
{
    static const char *const orders[] = { "none", "weight", "static", "group", "dynamic", NULL };
    int64_t bits;
    quant_args_default(a);
    if (json_type(o) != JSON_OBJECT)
        return wrong(p, "", o, "an object", e);
    int type = word_of(o, "type", quant_type_words, QUANT_INT, p, e);
    int order = word_of(o, "actorder", orders, 0, p, e);
    if (type < 0 || order < 0 || int_of(o, "num_bits", 1, 16, 8, &bits, p, e) || read_shape(o, a, p, e) ||
        dynamic_of(o, &a->dynamic, p, e) || dtype_of(o, "scale_dtype", &a->scale_dtype, p, e) ||
        dtype_of(o, "zp_dtype", &a->zp_dtype, p, e))
        return -1;
    const struct json *sym = json_get(o, "symmetric");
    if (json_type(sym) != JSON_NULL && !json_bool(sym, &a->symmetric))
        return wrong(p, "symmetric", sym, "true or false", e);
    a->num_bits = (int)bits;
    a->type = (enum quant_type)type;
    /* `group` and `dynamic` change nothing but through weight_g_idx, which ct_read.c looks for */
    a->actorder = order == 0 ? ACTORDER_NONE : order == 2 ? ACTORDER_STATIC : ACTORDER_WEIGHT;
    const char *observer = json_str(json_get(o, "observer"), NULL);
    snprintf(a->observer, sizeof a->observer, "%s", observer ? observer : "");
    return 0;
}

/* -- groups -- */

static int read_target(const struct json *j, const struct place *p, struct ct_target *out, struct err *e)
{
    out->word = json_str(j, NULL);
    if (!out->word)
        return wrong(p, "", j, "a string", e);
    if (!str_starts(out->word, "re:"))
        return 0;
    out->regex = regex_new(out->word + 3, strlen(out->word + 3), REGEX_PYTHON_MATCH, e);
    return out->regex
               ? 0
               : err_while(e, "reading %s of config group '%s' in %s/config.json", p->part, p->group, p->dir);
}

static int read_targets(const struct json *j, const struct place *p, struct ct_target **out, size_t *n,
                        struct err *e)
{
    if (json_type(j) == JSON_NULL)
        return 0;
    if (json_type(j) != JSON_ARRAY)
        return wrong(p, "", j, "a list of strings", e);
    *out = mem_array(json_len(j) ? json_len(j) : 1, sizeof **out, e);
    for (size_t i = 0; *out && i < json_len(j); i++) {
        ++*n;
        if (read_target(json_item(j, i), p, &(*out)[i], e))
            return -1;
    }
    return *out ? 0 : -1;
}

/* 0 and *out: enum ct_format, or -1 when null, absent, or mixed-precision. Named but unknown: ERR_UNBUILT. */
static int read_format(const struct json *j, const char *dir, int *out, struct err *e)
{
    const char *s = json_str(j, NULL);
    *out = -1;
    if (json_type(j) == JSON_NULL || (s && !strcmp(s, "mixed-precision")))
        return 0;
    *out = s && !strcmp(s, "fakequant") ? CT_DENSE : s ? ct_format_find(s) : -1;
    if (*out < 0)
        return err_set(e, ERR_UNBUILT, "%s/config.json: compressed-tensors format '%s' is not read", dir,
                       s ? s : "?");
    return 0;
}

static int read_scheme(const struct json *v, const struct place *at, struct quant_scheme *s, struct err *e)
{
    const struct {
        const char *key;
        bool *there;
        struct quant_args *args;
    } part[] = { { "weights", &s->has_weights, &s->weights },
                 { "input_activations", &s->has_input, &s->input },
                 { "output_activations", &s->has_output, &s->output } };
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        struct place p = { at->dir, at->group, part[i].key };
        const struct json *j = json_get(v, part[i].key);
        *part[i].there = json_type(j) != JSON_NULL;
        if (*part[i].there && read_args(j, part[i].args, &p, e))
            return -1;
    }
    return 0;
}

/* A group is an object, or a list of targets under the name of a preset. */
static int read_group(const char *name, const struct json *v, const char *dir, struct ct_group *g,
                      struct err *e)
{
    struct place p = { dir, name, "targets" };
    const struct preset *preset = json_type(v) == JSON_ARRAY ? preset_find(name) : NULL;
    g->name = name;
    g->format = -1;
    if (preset) {
        g->scheme = preset->scheme;
        return read_targets(v, &p, &g->target, &g->n_targets, e);
    }
    if (json_type(v) != JSON_OBJECT)
        return err_set(e, ERR_INPUT, "%s/config.json: config group '%s' is %s, expected an object", dir, name,
                       json_type_name(json_type(v)));
    if (read_scheme(v, &p, &g->scheme, e) || read_format(json_get(v, "format"), dir, &g->format, e))
        return -1;
    return read_targets(json_get(v, "targets"), &p, &g->target, &g->n_targets, e);
}

static int refuse_extras(const struct json *q, const char *dir, struct err *e)
{
    const struct json *sparse = json_get(q, "sparsity_config"), *turn = json_get(q, "transform_config");
    const char *kind = json_str(json_get(sparse, "format"), NULL);
    if (json_len(sparse) && (!kind || strcmp(kind, "dense")))
        return err_set(
            e, ERR_UNBUILT,
            "%s/config.json: sparsity_config '%s' is not built (removed from compressed-tensors too)", dir,
            kind ? kind : "?");
    if (json_len(json_get(turn, "config_groups")))
        return err_set(e, ERR_UNBUILT, "%s/config.json: transform_config (rotated weights) is not built yet",
                       dir);
    return 0;
}

int ct_config_read(const struct json *config_root, const char *dir, struct ct_config *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    const struct json *q = json_get(config_root, "quantization_config");
    if (json_type(q) != JSON_OBJECT)
        q = json_get(config_root, "compression_config");
    const struct json *groups = json_get(q, "config_groups");
    struct place p = { dir, "ignore", "ignore" };
    if (json_type(groups) != JSON_OBJECT && json_type(groups) != JSON_NULL)
        return err_set(e, ERR_INPUT, "%s/config.json: config_groups is %s, expected an object", dir,
                       json_type_name(json_type(groups)));
    int rc = refuse_extras(q, dir, e) || read_format(json_get(q, "format"), dir, &out->format, e) ||
             read_targets(json_get(q, "ignore"), &p, &out->ignore, &out->n_ignore, e);
    out->group = rc ? NULL : mem_array(json_len(groups) ? json_len(groups) : 1, sizeof *out->group, e);
    rc = rc || !out->group;
    const struct json *cache = json_get(q, "kv_cache_scheme");
    struct place at = { dir, "kv_cache_scheme", "kv_cache_scheme" };
    out->has_cache = json_type(cache) != JSON_NULL;
    rc = rc || (out->has_cache && read_args(cache, &out->cache, &at, e));
    for (void *it = rc ? NULL : json_first(groups); !rc && it; it = json_next(groups, it))
        rc = read_group(json_it_key(it), json_it_value(it), dir, &out->group[out->n_groups++], e);
    if (rc)
        ct_config_release(out);
    return rc ? -1 : 0;
}

static void free_targets(struct ct_target *t, size_t n)
{
    for (size_t i = 0; i < n; i++)
        regex_free(t[i].regex);
    mem_free(t);
}

void ct_config_release(struct ct_config *c)
{
    for (size_t i = 0; i < c->n_groups; i++)
        free_targets(c->group[i].target, c->group[i].n_targets);
    free_targets(c->ignore, c->n_ignore);
    mem_free(c->group);
    memset(c, 0, sizeof *c);
}

/* -- matching -- */

enum rank { BY_NAME, BY_REGEX, BY_CLASS, BY_NOTHING };

/* The file does not tell classes: an embedding is recognised by its usual names, everything else is a Linear. */
static const char *class_of(const char *module)
{
    static const char *const names[] = { "embed_tokens",    "wte",      "wpe",
                                         "word_embeddings", "embed_in", "embed_positions" };
    const char *last = strrchr(module, '.');
    last = last ? last + 1 : module;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i], last))
            return "Embedding";
    return "Linear";
}

/* How a target matches, most specific first. -1: the regular expression hit a limit. */
static int match(const struct ct_target *t, const char *module, struct err *e)
{
    size_t n = strlen(module), m = strlen(t->word), start, end;
    if (t->regex) {
        int rc = regex_find(t->regex, module, n, 0, &start, &end, e);
        return rc < 0 ? -1 : rc ? BY_REGEX : BY_NOTHING;
    }
    if (!strcmp(t->word, module) || (n > m && str_ends(module, t->word) && module[n - m - 1] == '.'))
        return BY_NAME;
    return strcmp(t->word, class_of(module)) ? BY_NOTHING : BY_CLASS;
}

static int is_ignored(const struct ct_config *c, const char *module, struct err *e)
{
    for (size_t i = 0; i < c->n_ignore; i++) {
        int how = match(&c->ignore[i], module, e);
        if (how != BY_NOTHING)
            return how < 0 ? -1 : how != BY_CLASS;
    }
    return 0;
}

const struct ct_group *ct_config_group(const struct ct_config *c, const char *module, struct err *e)
{
    const struct ct_group *best = NULL;
    const char *word = NULL;
    int least = BY_NOTHING, ignored = is_ignored(c, module, e);
    if (ignored) {
        if (ignored > 0)
            err_set(e, ERR_INPUT, "module '%s' has a weight_scale, but config.json says that it is ignored",
                    module);
        return NULL;
    }
    /* of equally specific targets the first by its text wins, as in the peer */
    for (size_t g = 0; g < c->n_groups; g++)
        for (size_t i = 0; i < c->group[g].n_targets; i++) {
            const struct ct_target *t = &c->group[g].target[i];
            int how = match(t, module, e);
            if (how < 0)
                return NULL;
            if (how < least || (how == least && how != BY_NOTHING && strcmp(t->word, word) < 0)) {
                best = &c->group[g];
                word = t->word;
                least = how;
            }
        }
    /* names in files and in models differ for some families: with one group there is no doubt */
    if (!best && c->n_groups == 1)
        best = &c->group[0];
    if (!best)
        err_set(e, ERR_INPUT,
                "module '%s' has a weight_scale, but no target of config.json's groups matches it", module);
    return best;
}
