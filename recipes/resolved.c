/* resolved.c - a recipe written out: as a native YAML file with nothing left to defaults, and as JSON. Deterministic. */
#include "recipes/recipe.h"

#include "base/num.h"
#include "base/tensor.h"
#include "recipes/specs.h"

#include <math.h>
#include <string.h>

/* YAML out: every text in double quotes with JSON's escapes, which YAML reads alike. */
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

static void text(struct yaml_out *y, const char *s)
{
    struct buf q = { 0 };
    struct jw w;
    jw_init(&w, &q, -1);
    jw_str(&w, s);
    if (jw_done(&w, y->e))
        y->rc = -1;
    else
        put(y, q.p);
    buf_release(&q);
}

static void key(struct yaml_out *y, int depth, const char *name)
{
    indent(y, depth);
    put(y, name);
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
        return !*(char *const *)p;
    if (o->type == OPT_REAL)
        return isnan(*(const double *)p);
    return o->type == OPT_NODE;
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
    case OPT_NODE: break;
    }
}

static void args(struct yaml_out *y, int depth, const char *name, const struct quant_args *a)
{
    static const char *const dynamics[] = { "false", "true", "local" };
    const struct {
        const char *name;
        double v;
    } kw[] = { { "averaging_constant", a->obs_averaging },
               { "grid", a->obs_grid },
               { "maxshrink", a->obs_maxshrink },
               { "norm", a->obs_norm },
               { "patience", a->obs_patience } };
    char t[48];
    key(y, depth, name);
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
        text(y, g->name);
        put(y, ":\n");
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

/* With config groups that say their order, the modifier's own word would only repeat or contradict it. */
static bool said_by_groups(const struct recipe_stage *s, const struct opt *o)
{
    return s->spec == &spec_gptq && !strcmp(o->name, "actorder") && s->quant && s->quant->n;
}

static void null_or_value(struct yaml_out *y, const struct opt *o, const void *p)
{
    if (o->type == OPT_ENUM && o->flags & OPT_NULLABLE && *(const int *)p == (int)o->null_value)
        put(y, "null");
    else
        value(y, o, p);
}

/* Options that the file shall not repeat. */
static bool left_out(const struct recipe_stage *s, const struct opt *o, bool with_paths)
{
    const void *p = (const char *)s->options + o->at;
    bool no_word =
        s->spec == &spec_gptq && o->type == OPT_ENUM && !strcmp(o->words[*(const int *)p], "not given");
    return absent(o, p) || said_by_groups(s, o) || (o->type == OPT_PATH && !with_paths) || no_word;
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
    put(&y, "# A resolved recipe: nothing is left to defaults.\nversion: 1\n");
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
    key(&y, 0, "seed");
    integer(&y, (int64_t)r->seed);
    put(&y, "\ndialect: ");
    text(&y, r->dialect->name);
    put(&y, "\nmath: ");
    put(&y, r->math);
    put(&y, "\nstages:\n");
    for (size_t i = 0; i < r->n; i++)
        stage(&y, &r->stage[i], with_paths);
    return y.rc;
}

static void group_json(const struct config_group *g, struct jw *w)
{
    jw_object(w);
    jw_key(w, "targets");
    jw_array(w);
    for (size_t i = 0; i < g->targets.n; i++)
        jw_str(w, g->targets.v[i]);
    jw_end_array(w);
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

static void stage_json(const struct recipe_stage *s, struct jw *w)
{
    jw_object(w);
    jw_kstr(w, "name", s->spec->name);
    jw_key(w, "options");
    jw_object(w);
    for (const struct opt *o = s->spec->options; o->name; o++)
        if (o->type != OPT_PATH) { /* no path goes into what is hashed */
            struct opt one[2] = { *o, { .name = NULL } };
            opt_values(one, s->options, w);
        }
    jw_end_object(w);
    if (s->quant) {
        jw_key(w, "config_groups");
        jw_object(w);
        for (size_t i = 0; i < s->quant->n; i++) {
            jw_key(w, s->quant->group[i].name);
            group_json(&s->quant->group[i], w);
        }
        jw_end_object(w);
        jw_key(w, "ignore");
        jw_array(w);
        for (size_t i = 0; i < s->quant->ignore.n; i++)
            jw_str(w, s->quant->ignore.v[i]);
        jw_end_array(w);
    }
    jw_end_object(w);
}

void recipe_json(const struct recipe *r, struct jw *w)
{
    jw_object(w);
    jw_kint(w, "version", 1);
    jw_kint(w, "seed", (int64_t)r->seed);
    jw_kstr(w, "dialect", r->dialect->name);
    jw_kstr(w, "math", r->math);
    jw_key(w, "stages");
    jw_array(w);
    for (size_t i = 0; i < r->n; i++)
        stage_json(&r->stage[i], w);
    jw_end_array(w);
    jw_end_object(w);
}
