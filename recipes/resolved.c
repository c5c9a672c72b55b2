/* resolved.c - a recipe written out: as a native YAML file with nothing left to defaults, and as JSON. Deterministic. */
#include "recipes/recipe.h"

#include "base/num.h"
#include "base/tensor.h"
#include "recipes/specs.h"

#include <math.h>
#include <string.h>

/* YAML out: every text in double quotes, whatever is not plain printable escaped. */
struct yaml_out {
    struct buf *b;
    struct err *e;
    int rc;
};
static void put(struct yaml_out *y, const char *s) { y->rc = y->rc || buf_str(y->b, s, y->e) ? -1 : 0; }

static void indent(struct yaml_out *y, int n)
{
    for (int i = 0; i < n; i++)
        put(y, "  ");
}

/* What YAML's reader refuses or folds when it stands bare inside quotes. */
static bool bare(unsigned c)
{
    return (c >= 0x20 && c < 0x7F && c != '"' && c != '\\') ||
           (c >= 0xA0 && c != 0x2028 && c != 0x2029 && c != 0xFEFF && c != 0xFFFE && c != 0xFFFF);
}

static void quoted(struct yaml_out *y, const char *s, bool dollars)
{
    const size_t n = strlen(s);
    int len;
    char t[16];
    put(y, "\"");
    for (size_t i = 0; i < n; i += (size_t)len) {
        unsigned c = utf8_get(s + i, n - i, &len);
        if (dollars && c == '$' && (s[i + 1] == '$' || s[i + 1] == '{'))
            put(y, "$");
        if (bare(c))
            snprintf(t, sizeof t, "%.*s", len, s + i);
        else if (c == '"' || c == '\\')
            snprintf(t, sizeof t, "\\%c", (char)c);
        else
            snprintf(t, sizeof t, c < 0x100 ? "\\x%02X" : "\\u%04X", c);
        put(y, t);
    }
    put(y, "\"");
}

/* A value: read back, $$ is one dollar again. Keys are not substituted. */
static void text(struct yaml_out *y, const char *s) { quoted(y, s, true); }
static void name(struct yaml_out *y, const char *s) { quoted(y, s, false); }

static void node(struct yaml_out *y, const struct node *n)
{
    bool truth =
        n->kind == NODE_SCALAR && !n->quoted && (!strcmp(n->text, "true") || !strcmp(n->text, "false"));
    if (node_is_null(n))
        put(y, "null");
    else if (truth)
        put(y, n->text);
    else if (n->kind == NODE_SCALAR)
        text(y, n->text);
    else {
        put(y, n->kind == NODE_MAP ? "{" : "[");
        for (size_t i = 0; i < n->n; i++) {
            put(y, i ? ", " : "");
            if (n->kind == NODE_MAP) {
                put(y, strlen(n->key[i]->text) > 100 ? "? " : "");
                name(y, n->key[i]->text);
                put(y, ": ");
            }
            node(y, n->item[i]);
        }
        put(y, n->kind == NODE_MAP ? "}" : "]");
    }
}

static void key(struct yaml_out *y, int depth, const char *k)
{
    indent(y, depth);
    put(y, k);
    put(y, ": ");
}

static void integer(struct yaml_out *y, int64_t v)
{
    char t[32];
    snprintf(t, sizeof t, "%lld", (long long)v);
    put(y, t);
}

static void real(struct yaml_out *y, double v)
{
    char t[32];
    num_shortest(v, t);
    put(y, t);
}

static void list(struct yaml_out *y, const struct strs *l, const struct strs *optional)
{
    put(y, "[");
    for (size_t i = 0; i < l->n; i++) {
        bool may = optional && strs_has(optional, l->v[i]);
        put(y, i ? ", " : "");
        put(y, may ? "{match: " : "");
        text(y, l->v[i]);
        put(y, may ? ", optional: true}" : "");
    }
    put(y, "]");
}

/* An option whose value is the table's "nothing given" is left out: there is no other word for it. */
static bool absent(const struct opt *o, const void *p)
{
    if (o->type == OPT_STR || o->type == OPT_PATH)
        return !*(char *const *)p && !o->def_str;
    if (o->type == OPT_REAL)
        return isnan(*(const double *)p);
    return o->type == OPT_NODE && !*(const struct node *const *)p;
}

static void value(struct yaml_out *y, const struct opt *o, const void *p)
{
    switch (o->type) {
    case OPT_INT:
    case OPT_BYTES: integer(y, *(const int64_t *)p); break;
    case OPT_REAL: real(y, *(const double *)p); break;
    case OPT_BOOL: put(y, *(const bool *)p ? "true" : "false"); break;
    case OPT_ENUM: put(y, o->words[*(const int *)p]); break;
    case OPT_STR:
    case OPT_PATH: text(y, *(char *const *)p); break;
    case OPT_STRS: list(y, p, NULL); break;
    case OPT_NODE: node(y, *(const struct node *const *)p); break;
    }
}

static void args(struct yaml_out *y, int depth, const char *which, const struct quant_args *a)
{
    static const char *const dynamics[] = { "false", "true", "local" };
    const struct {
        const char *name;
        double v;
    } kw[] = { { "averaging_constant", a->obs_averaging },
               { "expand", a->obs_expand },
               { "grid", a->obs_grid },
               { "maxshrink", a->obs_maxshrink },
               { "norm", a->obs_norm },
               { "patience", a->obs_patience } };
    char t[48];
    key(y, depth, which);
    put(y, "{num_bits: ");
    integer(y, a->num_bits);
    put(y, ", type: ");
    put(y, quant_type_words[a->type]);
    put(y, a->symmetric ? ", symmetric: true, strategy: " : ", symmetric: false, strategy: ");
    put(y, strategy_words[a->strategy]);
    if (a->group_size) {
        put(y, ", group_size: ");
        integer(y, a->group_size);
    }
    if (a->strategy == STRATEGY_BLOCK) {
        snprintf(t, sizeof t, ", block_structure: [%lld, %lld]", (long long)a->block[0],
                 (long long)a->block[1]);
        put(y, t);
    }
    put(y, ", dynamic: ");
    put(y, dynamics[a->dynamic]);
    if (a->actorder_given || a->actorder) {
        put(y, ", actorder: ");
        put(y, a->actorder ? actorder_words[a->actorder] : "null");
    }
    for (int i = 0; i < 2; i++) {
        int d = i ? a->zp_dtype : a->scale_dtype;
        if (d < 0)
            continue;
        snprintf(t, sizeof t, ", %s: torch.%s", i ? "zp_dtype" : "scale_dtype", dtypes[d].torch);
        put(y, t);
    }
    if (a->observer[0]) {
        put(y, ", observer: ");
        put(y, a->observer);
    }
    bool any = false;
    for (size_t i = 0; i < sizeof kw / sizeof *kw; i++) {
        if (isnan(kw[i].v))
            continue;
        put(y, any ? ", " : ", observer_kwargs: {");
        put(y, kw[i].name);
        put(y, ": ");
        real(y, kw[i].v);
        any = true;
    }
    put(y, any ? "}}\n" : "}\n");
}

static void quant(struct yaml_out *y, int depth, const struct quant_config *q)
{
    if (q->n) {
        indent(y, depth);
        put(y, "config_groups:\n");
    }
    for (size_t i = 0; i < q->n; i++) {
        const struct config_group *g = &q->group[i];
        indent(y, depth + 1);
        name(y, g->name);
        put(y, ":\n");
        if (g->scheme.preset[0]) {
            key(y, depth + 2, "preset");
            text(y, g->scheme.preset);
            put(y, "\n");
        }
        key(y, depth + 2, "targets");
        list(y, &g->targets, &q->optional);
        put(y, "\n");
        if (g->scheme.has_weights)
            args(y, depth + 2, "weights", &g->scheme.weights);
        if (g->scheme.has_input)
            args(y, depth + 2, "input_activations", &g->scheme.input);
        if (g->scheme.has_output)
            args(y, depth + 2, "output_activations", &g->scheme.output);
        if (g->scheme.format[0]) {
            key(y, depth + 2, "format");
            text(y, g->scheme.format);
            put(y, "\n");
        }
    }
    key(y, depth, "ignore");
    list(y, &q->ignore, &q->optional);
    put(y, "\n");
    if (q->has_kv_cache)
        args(y, depth, "kv_cache_scheme", &q->kv_cache);
}

static void null_or_value(struct yaml_out *y, const struct opt *o, const void *p)
{
    if (o->type == OPT_ENUM && o->flags & OPT_NULLABLE && *(const int *)p == (int)o->null_value)
        put(y, "null");
    else if ((o->type == OPT_STR || o->type == OPT_PATH) && !*(char *const *)p)
        put(y, "null");
    else
        value(y, o, p);
}

/* Where things stand and how much is used to make them: no part of what is made, and of its hash. */
static bool circumstance(const struct opt *o)
{
    return o->type == OPT_PATH || !strcmp(o->name, "activation_budget");
}

static bool left_out(const struct recipe_stage *s, const struct opt *o, bool with_paths)
{
    return absent(o, (const char *)s->options + o->at) || (circumstance(o) && !with_paths);
}

static void stage(struct yaml_out *y, const struct recipe_stage *s, bool with_paths)
{
    bool any = s->quant != NULL;
    put(y, "  - ");
    put(y, s->spec->name);
    for (const struct opt *o = s->spec->options; o->name; o++)
        any = any || !left_out(s, o, with_paths);
    put(y, any ? ":\n" : "\n");
    for (const struct opt *o = s->spec->options; o->name; o++) {
        if (left_out(s, o, with_paths))
            continue;
        key(y, 3, o->name);
        null_or_value(y, o, (const char *)s->options + o->at);
        put(y, "\n");
    }
    if (s->quant)
        quant(y, 3, s->quant);
}

int recipe_resolved(const struct recipe *r, bool with_paths, struct buf *out, struct err *e)
{
    struct yaml_out y = { out, e, 0 };
    put(&y, "# A resolved recipe: nothing is left to defaults.");
    put(&y, with_paths ? " Paths are as seen from the working folder.\n" : "\n");
    put(&y, "version: 1\n");
    if (with_paths && r->model) {
        key(&y, 0, "model");
        text(&y, r->model);
        put(&y, "\n");
    }
    if (with_paths && r->output) {
        key(&y, 0, "output");
        text(&y, r->output);
        put(&y, "\n");
    }
    if (with_paths && r->threads_hint) {
        key(&y, 0, "threads");
        integer(&y, r->threads_hint);
        put(&y, "\n");
    }
    if (with_paths && r->sharding) {
        key(&y, 0, "sharding");
        put(&y, sharding_words[r->sharding]);
        put(&y, "\n");
    }
    key(&y, 0, "seed");
    integer(&y, (int64_t)r->seed);
    put(&y, "\ndialect: ");
    text(&y, r->dialect->name);
    put(&y, "\nmath: ");
    put(&y, r->math);
    put(&y, "\n");
    if (r->serve.at.line) {
        put(&y, "serve: {tensor_parallel: ");
        integer(&y, r->serve.tensor_parallel);
        put(&y, ", fused: ");
        put(&y, serve_fused_words[r->serve.fused]);
        put(&y, "}\n");
    }
    put(&y, "stages:\n");
    for (size_t i = 0; i < r->n; i++)
        stage(&y, &r->stage[i], with_paths);
    return y.rc;
}

static void node_json(const struct node *n, struct jw *w)
{
    if (node_is_null(n))
        jw_null(w);
    else if (n->kind == NODE_SCALAR)
        jw_str(w, n->text);
    else if (n->kind == NODE_LIST) {
        jw_array(w);
        for (size_t i = 0; i < n->n; i++)
            node_json(n->item[i], w);
        jw_end_array(w);
    } else {
        jw_object(w);
        for (size_t i = 0; i < n->n; i++) {
            jw_key(w, n->key[i]->text);
            node_json(n->item[i], w);
        }
        jw_end_object(w);
    }
}

static void strs_json(const char *k, const struct strs *l, struct jw *w)
{
    jw_key(w, k);
    jw_array(w);
    for (size_t i = 0; i < l->n; i++)
        jw_str(w, l->v[i]);
    jw_end_array(w);
}

static void group_json(const struct config_group *g, struct jw *w)
{
    jw_object(w);
    jw_kstr(w, "preset", g->scheme.preset[0] ? g->scheme.preset : NULL);
    strs_json("targets", &g->targets, w);
    jw_kstr(w, "format", g->scheme.format[0] ? g->scheme.format : NULL);
    const struct {
        const char *name;
        bool has;
        const struct quant_args *a;
    } part[] = { { "weights", g->scheme.has_weights, &g->scheme.weights },
                 { "input_activations", g->scheme.has_input, &g->scheme.input },
                 { "output_activations", g->scheme.has_output, &g->scheme.output } };
    for (size_t i = 0; i < 3; i++) {
        jw_key(w, part[i].name);
        if (part[i].has)
            quant_args_json(part[i].a, w);
        else
            jw_null(w);
    }
    jw_end_object(w);
}

static void quant_json(const struct quant_config *q, struct jw *w)
{
    jw_key(w, "config_groups");
    jw_object(w);
    for (size_t i = 0; i < q->n; i++) {
        jw_key(w, q->group[i].name);
        group_json(&q->group[i], w);
    }
    jw_end_object(w);
    strs_json("ignore", &q->ignore, w);
    strs_json("optional", &q->optional, w);
    jw_key(w, "kv_cache_scheme");
    if (q->has_kv_cache)
        quant_args_json(&q->kv_cache, w);
    else
        jw_null(w);
}

static void stage_json(const struct recipe_stage *s, struct jw *w)
{
    jw_object(w);
    jw_kstr(w, "name", s->spec->name);
    jw_key(w, "options");
    jw_object(w);
    for (const struct opt *o = s->spec->options; o->name; o++) {
        const struct opt one[2] = { *o, { .name = NULL } };
        if (left_out(s, o, false))
            continue;
        if (o->type == OPT_NODE) {
            jw_key(w, o->name);
            node_json(*(const struct node *const *)(const void *)((const char *)s->options + o->at), w);
        } else
            opt_values(one, s->options, w);
    }
    jw_end_object(w);
    if (s->quant)
        quant_json(s->quant, w);
    jw_end_object(w);
}

void recipe_json(const struct recipe *r, struct jw *w)
{
    jw_object(w);
    jw_kint(w, "version", 1);
    jw_kint(w, "seed", (int64_t)r->seed);
    jw_kstr(w, "dialect", r->dialect->name);
    jw_kstr(w, "math", r->math);
    if (r->serve.at.line) {
        jw_key(w, "serve");
        jw_object(w);
        opt_values(serve_table, &r->serve, w);
        jw_end_object(w);
    }
    jw_key(w, "stages");
    jw_array(w);
    for (size_t i = 0; i < r->n; i++)
        stage_json(&r->stage[i], w);
    jw_end_array(w);
    jw_end_object(w);
}
