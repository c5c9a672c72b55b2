/* quant_config.c - scheme or config_groups to groups with resolved arguments; targets and ignore with positions. */
#include "recipes/quant_config.h"

#include "base/mem.h"
#include "recipes/quant_args.h"
#include "recipes/specs.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

enum { MAX_GROUP_NAME = 200 };
struct scheme_raw {
    const struct node *targets, *weights, *input, *output;
    char *preset, *format;
};
static const char *const formats[] = {
    "pack-quantized", "int-quantized",        "naive-quantized",      "float-quantized", "dense",
    "marlin-24",      "nvfp4-pack-quantized", "mxfp4-pack-quantized", "mxfp8-quantized",
};
enum { N_FORMATS = sizeof formats / sizeof *formats };
#define S     scheme_raw
#define AT(f) offsetof(struct S, f)
const struct opt quant_scheme_options[] = {
    { .name = "targets", .type = OPT_NODE, .at = AT(targets), .doc = "Classes, module names, re: patterns." },
    { .name = "weights", .type = OPT_NODE, .at = AT(weights), .doc = "How weights are quantized." },
    { .name = "input_activations",
      .type = OPT_NODE,
      .at = AT(input),
      .doc = "How a runtime quantizes inputs." },
    { .name = "output_activations",
      .type = OPT_NODE,
      .at = AT(output),
      .doc = "How a runtime quantizes outputs." },
    { .name = "preset",
      .type = OPT_STR,
      .at = AT(preset),
      .flags = OPT_NULLABLE | OPT_NATIVE,
      .doc = "A preset whose parts hold where the group has none of its own." },
    { .name = "format",
      .type = OPT_STR,
      .at = AT(format),
      .flags = OPT_NULLABLE,
      .doc = "Layout in the file; inferred when left out." },
    { .name = NULL },
};
#undef S

/* One entry: a text, or { match: TEXT, optional: true }. */
static int entry(const struct node *n, const char *what, struct strs *list, struct src_pos *at,
                 struct strs *optional, struct err *e)
{
    const struct node *match = node_get(n, "match"), *opt = node_get(n, "optional");
    bool flag = false;
    const struct opt row = { .name = "optional", .type = OPT_BOOL };
    if (n->kind == NODE_MAP && !match && n->n == 1 && !strcmp(n->key[0]->text, "re")) {
        err_at(e, ERR_INPUT, n->at, "%s: found a mapping, expected a text", what);
        return err_hint(e, "a pattern has no space after re: write 're:%s'",
                        n->item[0]->kind == NODE_SCALAR ? n->item[0]->text : "...");
    }
    if (n->kind == NODE_MAP && match && match->kind == NODE_SCALAR && n->n == 1 + (size_t)(opt != NULL)) {
        if (opt && opt_assign(&row, &flag, opt, NULL, e))
            return -1;
        if (flag && strs_add(optional, match->text, e))
            return -1;
        n = match;
    }
    if (n->kind != NODE_SCALAR || !*n->text || (!n->quoted && node_is_null(n)))
        return err_at(e, ERR_INPUT, n->at, "%s: found %s, expected a class, a module name or a re: pattern",
                      what, node_what(n));
    at[list->n] = n->at;
    return strs_add(list, n->text, e);
}

static int entries(const struct node *n, const char *what, struct strs *list, struct src_pos **at,
                   struct strs *optional, struct err *e)
{
    size_t count = !n || node_is_null(n) ? 0 : n->kind == NODE_LIST ? n->n : 1;
    if (n && n->kind == NODE_LIST && !count && !strcmp(what, "targets"))
        return err_at(e, ERR_INPUT, n->at, "targets: found an empty list, expected what is to be quantized");
    *at = mem_array(count + 1, sizeof **at, e);
    if (!*at)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (entry(n->kind == NODE_LIST ? n->item[i] : n, what, list, *at, optional, e))
            return -1;
    return 0;
}

static struct config_group *add_group(struct quant_config *q, const char *name, struct src_pos at,
                                      struct err *e)
{
    struct config_group *g = mem_resize(q->group, (q->n + 1) * sizeof *g, e);
    if (!g)
        return NULL;
    q->group = g;
    g += q->n;
    memset(g, 0, sizeof *g);
    quant_args_default(&g->scheme.weights);
    quant_args_default(&g->scheme.input);
    quant_args_default(&g->scheme.output);
    g->at = at;
    q->n++;
    g->name = mem_strdup(name, e);
    return g->name ? g : NULL;
}

static int bad_name(const struct node *n, struct err *e)
{
    return err_at(e, ERR_LIMIT, n->at, "the name of a config group has %zu bytes, expected at most %d",
                  strlen(n->text), MAX_GROUP_NAME);
}

static const struct preset *find_preset(const struct node *n, struct err *e)
{
    const struct preset *p = preset_find(n->text);
    if (p)
        return p;
    size_t count = 0;
    while (presets[count].name)
        count++;
    const char *near = str_nearest(n->text, &presets->name, count, sizeof *presets);
    err_at(e, ERR_INPUT, n->at, "scheme: found '%s', expected the name of a preset", n->text);
    if (near)
        err_hint(e, "did you mean '%s'? `qpipe list schemes` prints all", near);
    else
        err_hint(e, "`qpipe list schemes` prints all");
    return NULL;
}

/* group: the name of the group; NULL: the next number, as the peer counts. */
static int preset_group(const struct node *name, const char *group, const struct node *targets,
                        struct quant_config *q, struct err *e)
{
    char numbered[32];
    const struct preset *p = find_preset(name, e);
    if (!p)
        return -1;
    snprintf(numbered, sizeof numbered, "group_%zu", q->n);
    struct config_group *g = add_group(q, group ? group : numbered, name->at, e);
    if (!g)
        return -1;
    g->scheme = p->scheme;
    if (targets && !node_is_null(targets))
        return entries(targets, "targets", &g->targets, &g->target_at, &q->optional, e);
    g->target_at = mem_array(1, sizeof *g->target_at, e); /* the peer's default: every Linear */
    if (!g->target_at)
        return -1;
    g->target_at[0] = name->at;
    return strs_add(&g->targets, "Linear", e);
}

/* scheme: NAME, or scheme: { NAME: targets, ... } */
static int read_scheme(const struct quant_raw *raw, struct quant_config *q, struct err *e)
{
    const struct node *s = raw->scheme;
    if (s->kind == NODE_SCALAR)
        return preset_group(s, NULL, raw->targets, q, e);
    if (s->kind != NODE_MAP)
        return err_at(e, ERR_INPUT, s->at,
                      "scheme: found %s, expected a preset's name or a mapping of names to targets",
                      node_what(s));
    if (node_get(s, "weights") || node_get(s, "input_activations")) {
        err_at(e, ERR_INPUT, s->at, "scheme: found arguments, expected a preset's name");
        return err_hint(e, "write config_groups: { group_0: { targets: [Linear], weights: {...} } }");
    }
    for (size_t i = 0; i < s->n; i++)
        if (preset_group(s->key[i], NULL, s->item[i], q, e))
            return -1;
    return 0;
}

static int set_format(const struct node *n, const char *word, struct config_group *g, struct err *e)
{
    for (size_t i = 0; i < N_FORMATS; i++)
        if (!strcmp(formats[i], word)) {
            snprintf(g->scheme.format, sizeof g->scheme.format, "%s", word);
            return 0;
        }
    err_at(e, ERR_INPUT, node_get(n, "format")->at, "format: found '%.80s', expected a layout's name", word);
    const char *near = str_nearest(word, formats, N_FORMATS, sizeof *formats);
    return near ? err_hint(e, "did you mean '%s'?", near)
                : err_hint(e, "leave it out; it follows from the scheme");
}

static int refuse_new_observer(const struct quant_args *a, struct src_pos at, const struct quant_context *c,
                               struct err *e)
{
    return c->native ? 0 : specs_refuse_new_observer(a->observer, at, c->dialect, e);
}

static int scheme_from(const struct node *n, const struct scheme_raw *r, struct config_group *g,
                       const struct quant_context *c, struct err *e)
{
    const struct {
        const struct node *n;
        bool *has;
        struct quant_args *a;
        enum args_role role;
    } part[] = { { r->weights, &g->scheme.has_weights, &g->scheme.weights, ARGS_WEIGHTS },
                 { r->input, &g->scheme.has_input, &g->scheme.input, ARGS_INPUT },
                 { r->output, &g->scheme.has_output, &g->scheme.output, ARGS_OUTPUT } };
    for (size_t i = 0; i < 3; i++) {
        if (node_is_null(part[i].n))
            continue;
        const struct node *observer = node_get(part[i].n, "observer");
        if (quant_args_read(part[i].n, part[i].role, part[i].a, c->notes, e) ||
            (!node_is_null(observer) && refuse_new_observer(part[i].a, observer->at, c, e)))
            return err_while(e, "reading config group '%s'", g->name);
        *part[i].has = true;
    }
    if (!g->scheme.has_weights && !g->scheme.has_input && !g->scheme.has_output && !g->scheme.preset[0])
        return err_at(e, ERR_INPUT, n->at, "config group '%s' quantizes nothing: no weights, no activations",
                      g->name);
    return r->format ? set_format(n, r->format, g, e) : 0;
}

static int base_preset(const struct node *n, const struct scheme_raw *r, bool native, struct config_group *g,
                       struct err *e)
{
    if (!r->preset)
        return 0;
    if (!native) {
        err_at(e, ERR_INPUT, node_key(n, "preset")->at,
               "found key 'preset', which is qpipe's own and unknown to llm-compressor's grammar");
        return err_hint(e, "write scheme: { %s: [targets] }, or a recipe with version: 1", r->preset);
    }
    const struct preset *p = find_preset(node_get(n, "preset"), e);
    if (p)
        g->scheme = p->scheme;
    return p ? 0 : -1;
}

static int read_group(const struct node *key, const struct node *n, const struct quant_context *c,
                      struct quant_config *q, struct err *e)
{
    struct scheme_raw r;
    if (strlen(key->text) > MAX_GROUP_NAME)
        return bad_name(key, e);
    struct config_group *g = add_group(q, key->text, key->at, e);
    if (!g || opt_defaults(quant_scheme_options, &r, e))
        return -1;
    int rc = quant_keys_known(quant_scheme_options, n, "a config group", e);
    if (!rc)
        rc = opt_assign_map(quant_scheme_options, NULL, &r, n, key->text, NULL, NULL, e);
    if (!rc)
        rc = base_preset(n, &r, c->native, g, e);
    if (!rc && node_is_null(r.targets))
        rc = err_at(e, ERR_INPUT, key->at, "config group '%s' has no targets", key->text);
    if (!rc)
        rc = entries(r.targets, "targets", &g->targets, &g->target_at, &q->optional, e);
    if (!rc)
        rc = scheme_from(n, &r, g, c, e);
    opt_release(quant_scheme_options, &r);
    return rc;
}

/* A group's value may be a list of targets with a preset's name as key, as config.json files write it. */
static int read_groups(const struct quant_raw *raw, const struct quant_context *c, struct quant_config *q,
                       struct err *e)
{
    const struct node *groups = raw->config_groups;
    if (groups->kind != NODE_MAP || !groups->n)
        return err_at(e, ERR_INPUT, groups->at, "config_groups: found %s, expected a mapping of groups",
                      node_what(groups));
    for (size_t i = 0; i < groups->n; i++) {
        const struct node *n = groups->item[i];
        int rc = n->kind == NODE_LIST && preset_find(groups->key[i]->text)
                     ? preset_group(groups->key[i], groups->key[i]->text, n, q, e)
                     : read_group(groups->key[i], n, c, q, e);
        if (rc)
            return -1;
    }
    return 0;
}

static int note_order(const struct quant_context *c, const struct config_group *g, struct err *e)
{
    char text[200];
    snprintf(
        text, sizeof text,
        "line %d: actorder: null in a group says nothing to llm-compressor; columns are ordered (say it at the modifier)",
        g->at.line);
    return strs_add(c->notes, text, e);
}

/* Column order: the modifier's word, a group's word, or static; both and different is an error. */
static int resolve_order(const struct quant_context *c, struct config_group *g, struct err *e)
{
    static const enum actorder as[] = { ACTORDER_NONE, ACTORDER_WEIGHT, ACTORDER_STATIC };
    struct quant_args *a = &g->scheme.weights;
    if (!g->scheme.has_weights)
        return 0;
    if (!c->gptq)
        return 0;
    if (!c->native && a->actorder_given && a->actorder == ACTORDER_NONE) {
        a->actorder_given = false; /* null in a group says nothing to the peer */
        if (c->actorder != GPTQ_NONE && note_order(c, g, e))
            return -1;
    }
    if (a->actorder_given && c->actorder_given && c->actorder != GPTQ_NOT_GIVEN &&
        (a->actorder == ACTORDER_NONE) != (c->actorder == GPTQ_NONE)) {
        err_at(e, ERR_INPUT, c->actorder_at, "actorder: the modifier says %s and config group '%s' says %s",
               c->actorder == GPTQ_NONE ? "null" : actorder_words[as[c->actorder]], g->name,
               a->actorder == ACTORDER_NONE ? "null" : actorder_words[a->actorder]);
        return err_hint(e, "say it in one place");
    }
    if (!a->actorder_given)
        a->actorder = c->actorder == GPTQ_NOT_GIVEN ? ACTORDER_STATIC : as[c->actorder];
    a->actorder_given = true;
    return 0;
}

/* observer: NAME (weights), or { weights: ..., input: ..., output: ... }. */
static int resolve_observers(const struct quant_raw *raw, const struct quant_context *c,
                             struct config_group *g, struct err *e)
{
    const struct node *o = raw->observer;
    const struct node *w = raw->weight_observer, *in = raw->input_observer, *out = raw->output_observer;
    if (o && o->kind == NODE_SCALAR && !w)
        w = o;
    if (o && o->kind == NODE_LIST)
        return err_at(e, ERR_INPUT, o->at,
                      "observer: found a list, expected a name or a mapping of weights, input, output");
    for (size_t i = 0; o && o->kind == NODE_MAP && i < o->n; i++) {
        const struct node **slot = !strcmp(o->key[i]->text, "weights")  ? &w
                                   : !strcmp(o->key[i]->text, "input")  ? &in
                                   : !strcmp(o->key[i]->text, "output") ? &out
                                                                        : NULL;
        if (!slot)
            return err_at(e, ERR_INPUT, o->key[i]->at,
                          "observer: found '%s', expected weights, input or output", o->key[i]->text);
        if (*slot)
            return err_at(e, ERR_INPUT, o->key[i]->at, "observer: %s is said by another option, too",
                          o->key[i]->text);
        *slot = o->item[i];
    }
    double shrink = specs_maxshrink(c->dialect);
    struct quant_scheme *s = &g->scheme;
    if (w && o && o->kind == NODE_SCALAR && w != o)
        return err_at(e, ERR_INPUT, w->at,
                      "weight_observer: the observer of weights is said by observer, too");
    if (s->has_weights && quant_observer_set(w, &s->weights, e))
        return -1;
    if (s->has_input && quant_observer_set(in, &s->input, e))
        return -1;
    if (s->has_output && quant_observer_set(out, &s->output, e))
        return -1;
    if ((s->has_weights && !node_is_null(w) && refuse_new_observer(&s->weights, w->at, c, e)) ||
        (s->has_input && !node_is_null(in) && refuse_new_observer(&s->input, in->at, c, e)) ||
        (s->has_output && !node_is_null(out) && refuse_new_observer(&s->output, out->at, c, e)))
        return -1;
    quant_observer_default(&s->weights, ARGS_WEIGHTS, shrink);
    quant_observer_default(&s->input, ARGS_INPUT, (double)NAN);
    quant_observer_default(&s->output, ARGS_OUTPUT, (double)NAN);
    const struct src_pos at = w ? w->at : in ? in->at : out ? out->at : g->at;
    if ((s->has_weights && quant_observer_check(&s->weights, at, e)) ||
        (s->has_input && quant_observer_check(&s->input, at, e)) ||
        (s->has_output && quant_observer_check(&s->output, at, e)))
        return -1;
    return 0;
}

/* `targets` beside groups that have their own is what saved recipes look like; it means nothing there. */
static int note_targets(const struct quant_raw *raw, const struct quant_context *c, struct err *e)
{
    char text[200];
    bool grouped = !node_is_null(raw->config_groups) || (raw->scheme && raw->scheme->kind == NODE_MAP);
    if (node_is_null(raw->targets) || !grouped)
        return 0;
    snprintf(text, sizeof text, "line %d: targets is not used, as every group names its own",
             raw->targets->at.line);
    return strs_add(c->notes, text, e);
}

/* An observer of a part that no group quantizes: the peer takes it without a word. */
static int note_observers(const struct quant_raw *raw, const struct quant_context *c,
                          const struct quant_config *q, struct err *e)
{
    bool has[3] = { false };
    for (size_t i = 0; i < q->n; i++) {
        has[0] = has[0] || q->group[i].scheme.has_weights;
        has[1] = has[1] || q->group[i].scheme.has_input;
        has[2] = has[2] || q->group[i].scheme.has_output;
    }
    static const char *const parts[] = { "weights", "input", "output" };
    const struct node *given[3] = { raw->weight_observer, raw->input_observer, raw->output_observer };
    for (size_t i = 0; q->n && i < 3; i++) {
        const struct node *n = given[i] ? given[i] : node_get(raw->observer, parts[i]);
        char text[160];
        if (node_is_null(n) || has[i])
            continue;
        snprintf(text, sizeof text, "line %d: an observer of %s, which no group quantizes, is not used",
                 n->at.line, parts[i]);
        if (strs_add(c->notes, text, e))
            return -1;
    }
    return 0;
}

/* targets: Linear by default, but for the releases whose default was nothing. */
static int refuse_no_targets(const struct quant_raw *raw, const struct quant_context *c, struct err *e)
{
    bool named = !node_is_null(raw->scheme) && raw->scheme->kind == NODE_SCALAR;
    if (!named || !node_is_null(raw->targets) || (c->dialect->order >= 5 && c->dialect->order != 8))
        return 0;
    err_at(e, ERR_INPUT, raw->scheme->at, "%s: targets has no default in llm-compressor %s", c->who,
           c->dialect->name);
    return err_hint(e, "write targets: [Linear]");
}

/* Without a scheme a modifier takes over an earlier one's modules, all of them: targets of its own would be read and
 * not used. [Linear] is what saved recipes have there. */
static int refuse_bare_targets(const struct quant_raw *raw, const struct quant_context *c,
                               const struct quant_config *q, struct err *e)
{
    const struct node *t = raw->targets;
    const struct node *only = t && t->kind == NODE_LIST && t->n == 1 ? t->item[0] : t;
    if (q->n || !c->gptq || node_is_null(t) || (only->kind == NODE_SCALAR && !strcmp(only->text, "Linear")))
        return 0;
    err_at(e, ERR_INPUT, t->at, "targets: %s has no scheme for them", c->who);
    return err_hint(e,
                    "add a scheme; or leave targets out to take over all modules of an earlier modifier but "
                    "those in ignore");
}

static int read_all(const struct quant_raw *raw, const struct quant_context *c, struct quant_config *q,
                    struct err *e)
{
    if (raw->scheme && raw->config_groups && !node_is_null(raw->scheme) &&
        !node_is_null(raw->config_groups)) {
        err_at(e, ERR_INPUT, raw->config_groups->at,
               "%s: found scheme and config_groups, expected one of them", c->who);
        return err_hint(
            e, "a preset can be a group: config_groups: { group_0: { targets: ..., weights: ... } }");
    }
    if (refuse_no_targets(raw, c, e) || (!node_is_null(raw->scheme) && read_scheme(raw, q, e)))
        return -1;
    if (!node_is_null(raw->config_groups) && read_groups(raw, c, q, e))
        return -1;
    if (refuse_bare_targets(raw, c, q, e) || note_targets(raw, c, e) || note_observers(raw, c, q, e) ||
        entries(raw->ignore, "ignore", &q->ignore, &q->ignore_at, &q->optional, e))
        return -1;
    if (!node_is_null(raw->kv_cache)) {
        q->has_kv_cache = true;
        if (quant_args_read(raw->kv_cache, ARGS_KV, &q->kv_cache, NULL, e))
            return -1;
    }
    q->bypass_divisibility_checks = raw->bypass_divisibility_checks;
    for (size_t i = 0; i < q->n; i++)
        if (resolve_order(c, &q->group[i], e) || resolve_observers(raw, c, &q->group[i], e))
            return -1;
    return 0;
}

int quant_config_read(const struct quant_raw *raw, const struct quant_context *c, struct quant_config *out,
                      struct err *e)
{
    memset(out, 0, sizeof *out);
    if (!read_all(raw, c, out, e))
        return 0;
    quant_config_release(out);
    return -1;
}

void quant_config_release(struct quant_config *q)
{
    for (size_t i = 0; i < q->n; i++) {
        mem_free(q->group[i].name);
        strs_release(&q->group[i].targets);
        mem_free(q->group[i].target_at);
    }
    mem_free(q->group);
    strs_release(&q->ignore);
    mem_free(q->ignore_at);
    strs_release(&q->optional);
    memset(q, 0, sizeof *q);
}
