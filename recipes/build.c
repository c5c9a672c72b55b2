/* build.c - one stage of a recipe: its table's options, the shared ones of quantizing modifiers, the peer's bookkeeping. */
#include "recipes/build.h"

#include "base/mem.h"
#include "recipes/quant_config.h"
#include "recipes/specs.h"

#include <stddef.h>
#include <string.h>

#define AT(f) offsetof(struct quant_raw, f)
#define NODE(n, f, t)                                      \
    {                                                      \
        .name = n, .type = OPT_NODE, .at = AT(f), .doc = t \
    }
const struct opt quant_mixin_options[] = {
    NODE("scheme", scheme, "A preset's name, or a mapping of names to targets."),
    NODE("config_groups", config_groups, "Groups of targets with their own arguments."),
    NODE("targets", targets, "Classes, module names or re: patterns; Linear when left out."),
    NODE("ignore", ignore, "What stays as it is, in the same words."),
    NODE("kv_cache_scheme", kv_cache, "How a runtime quantizes keys and values."),
    NODE("observer", observer, "Observer of weights, or a mapping of weights, input, output."),
    NODE("weight_observer", weight_observer, "Observer of weights."),
    NODE("input_observer", input_observer, "Observer of inputs."),
    NODE("output_observer", output_observer, "Observer of outputs."),
    { .name = "bypass_divisibility_checks",
      .type = OPT_BOOL,
      .at = AT(bypass_divisibility_checks),
      .flags = OPT_PEER_ONLY,
      .doc = "Group sizes must divide the features here." },
    { .name = NULL },
};

bool build_has(const struct recipe *r, enum stage_kind kind)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->stage[i].spec->kind == kind)
            return true;
    return false;
}

static struct recipe_stage *add_stage(struct recipe *r, const struct stage_spec *spec, struct src_pos at,
                                      struct err *e)
{
    struct recipe_stage *s = mem_resize(r->stage, (r->n + 1) * sizeof *s, e);
    if (!s)
        return NULL;
    r->stage = s;
    s += r->n;
    memset(s, 0, sizeof *s);
    s->spec = spec;
    s->at = at;
    s->options = mem_alloc(spec->size, e);
    s->given = s->options ? mem_array(opt_count(spec->options) + 1, sizeof(bool), e) : NULL;
    if (!s->given || opt_defaults(spec->options, s->options, e)) {
        mem_free(s->options);
        mem_free(s->given);
        return NULL;
    }
    specs_drift(spec, r->dialect, s->options);
    r->n++;
    return s;
}

/* The three tables that a modifier's keys may come from, and what each fills. */
struct reading {
    const struct stage_spec *spec;
    struct recipe_stage *stage;
    struct quant_raw raw;
    struct base_fields base;
    bool mixin_used;
    bool old_form; /* a transform that still carries scheme, targets, ignore */
    struct src_pos actorder_at;
};

static bool takes_mixin(const struct reading *d) { return d->spec->quantizes || d->old_form; }

static int unknown_key(const struct reading *d, const struct node *key, struct err *e)
{
    for (const struct opt_gone *g = d->spec->gone; g && g->name; g++)
        if (!strcmp(g->name, key->text))
            return opt_unknown(d->spec->options, d->spec->gone, key, d->spec->name, e);
    const char *near =
        str_nearest(key->text, &d->spec->options->name, opt_count(d->spec->options), sizeof(struct opt));
    if (!near && takes_mixin(d))
        near = str_nearest(key->text, &quant_mixin_options->name, opt_count(quant_mixin_options),
                           sizeof(struct opt));
    err_at(e, ERR_INPUT, key->at, "found key '%s', expected an option of %s", key->text, d->spec->name);
    return near ? err_hint(e, "did you mean '%s'?", near)
                : err_hint(e, "`qpipe help %s` lists them", d->spec->name);
}

static int read_key(struct builder *b, struct reading *d, const struct node *key, const struct node *value,
                    struct err *e)
{
    const struct opt *o = opt_find(d->spec->options, key->text);
    if (o) {
        if (o->flags & OPT_NATIVE && !b->r->native && d->spec->kind == STAGE_MODIFIER)
            return unknown_key(d, key, e);
        d->stage->given[o - d->spec->options] = true;
        if (!strcmp(o->name, "actorder"))
            d->actorder_at = value->at;
        if (value->kind == NODE_SCALAR && !strcmp(o->name, "actorder") &&
            (!strcmp(value->text, "group") || !strcmp(value->text, "dynamic"))) {
            err_at(e, ERR_INPUT, value->at, "actorder: found '%s', expected static, weight or null",
                   value->text);
            return err_hint(e, "runtimes no longer load weight_g_idx; static has the same gain without it");
        }
        return opt_assign(o, d->stage->options, value, b->base_dir, e);
    }
    if (takes_mixin(d) && (o = opt_find(quant_mixin_options, key->text))) {
        d->mixin_used = true;
        return opt_assign(o, &d->raw, value, b->base_dir, e);
    }
    if (d->spec->kind == STAGE_MODIFIER && !b->r->native && (o = opt_find(base_options, key->text)))
        return opt_assign(o, &d->base, value, b->base_dir, e);
    return unknown_key(d, key, e);
}

static int attach_quant(struct builder *b, struct reading *d, size_t index, struct err *e)
{
    struct recipe_stage *s = &b->r->stage[index];
    const struct gptq_options *g = s->spec == &spec_gptq ? s->options : NULL;
    struct quant_context c = { .who = s->spec->name,
                               .at = s->at,
                               .dialect = b->r->dialect,
                               .gptq = g != NULL,
                               .actorder = g ? g->actorder : GPTQ_NONE,
                               .actorder_at = d->actorder_at.line ? d->actorder_at : s->at,
                               .notes = &b->r->notes };
    s->quant = mem_alloc(sizeof *s->quant, e);
    return s->quant ? quant_config_read(&d->raw, &c, s->quant, e) : -1;
}

/* The older one-modifier form of a transform: it and a QuantizationModifier behind it. */
static int split(struct builder *b, struct reading *d, struct src_pos at, struct err *e)
{
    char text[200];
    snprintf(
        text, sizeof text,
        "line %d: %s with targets, ignore or a scheme is the older form; read as %s and QuantizationModifier",
        at.line, d->spec->name, d->spec->name);
    if (strs_add(&b->r->notes, text, e) || !add_stage(b->r, &spec_rtn, at, e))
        return -1;
    return attach_quant(b, d, b->r->n - 1, e);
}

int build_stage(struct builder *b, const struct stage_spec *spec, const struct node *options,
                struct src_pos at, const char *group, struct err *e)
{
    struct reading d = { .spec = spec, .old_form = spec == &spec_awq };
    size_t index = b->r->n;
    if (opt_defaults(base_options, &d.base, e))
        return -1;
    d.stage = add_stage(b->r, spec, at, e);
    int rc = d.stage ? 0 : -1;
    if (!rc && options && !node_is_null(options) && options->kind != NODE_MAP)
        rc = err_at(e, ERR_INPUT, options->at, "%s: found %s, expected a mapping of options", spec->name,
                    node_what(options));
    for (size_t i = 0; !rc && options && options->kind == NODE_MAP && i < options->n; i++)
        rc = read_key(b, &d, options->key[i], options->item[i], e);
    if (!rc && group && !(d.stage->group = mem_strdup(group, e)))
        rc = -1;
    if (!rc && spec->quantizes)
        rc = attach_quant(b, &d, index, e);
    if (!rc && d.old_form && d.mixin_used)
        rc = split(b, &d, at, e);
    opt_release(base_options, &d.base);
    return rc;
}

int build_named(struct builder *b, const struct node *name, const struct node *options, const char *group,
                struct err *e)
{
    const struct stage_spec *spec = stage_spec_find(name->text);
    if (spec)
        return build_stage(b, spec, options, name->at, group, e);
    const char *names[64];
    size_t n = 0;
    for (; stage_specs[n] && n < 64; n++)
        names[n] = stage_specs[n]->name;
    err_at(e, ERR_INPUT, name->at, "found '%s', expected a stage or modifier", name->text);
    const char *near = str_nearest(name->text, names, n, sizeof *names);
    return near ? err_hint(e, "did you mean '%s'?", near) : err_hint(e, "`qpipe list modifiers` prints them");
}
