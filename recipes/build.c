/* build.c - one stage of a recipe: its table's options, the shared ones of quantizing modifiers, the peer's bookkeeping. */
#include "recipes/build.h"

#include "base/mem.h"
#include "recipes/quant_config.h"
#include "recipes/specs.h"

#include <stdarg.h>
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

int build_note(struct builder *b, struct src_pos at, struct err *e, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    int n = snprintf(text, sizeof text, "line %d: ", at.line);
    va_start(ap, fmt);
    vsnprintf(text + n, sizeof text - (size_t)n, fmt, ap);
    va_end(ap);
    return strs_has(&b->r->notes, text) ? 0 : strs_add(&b->r->notes, text, e);
}

bool build_needs_data(const struct recipe_stage *s)
{
    const struct quant_config *q = s->quant;
    if (s->spec->needs_data || (q && q->has_kv_cache))
        return true;
    for (size_t i = 0; q && i < q->n; i++) {
        const struct quant_scheme *g = &q->group[i].scheme;
        if ((g->has_input && g->input.dynamic != DYNAMIC_TRUE) ||
            (g->has_output && g->output.dynamic != DYNAMIC_TRUE) ||
            (g->has_weights && strstr(g->weights.observer, "imatrix")))
            return true;
    }
    return false;
}

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
    const struct node *mixin_key; /* the first of the shared options */
    bool old_form;                /* a transform that still carries scheme, targets, ignore */
    struct src_pos actorder_at;
};

static bool takes_mixin(const struct reading *d) { return d->spec->quantizes || d->old_form; }

/* An option of the release that the recipe pins, gone since: harmless when it says what is done anyway. */
static int former_option(struct builder *b, const struct former *f, const struct node *key,
                         const struct node *value, struct err *e)
{
    bool same = !f->same || (!strcmp(f->same, "null") && node_is_null(value)) ||
                (value->kind == NODE_SCALAR && str_same_nocase(f->same, value->text));
    if (same)
        return build_note(b, key->at, e, "%s: option '%s' of llm-compressor %s changes nothing here",
                          f->spec->name, key->text, b->r->dialect->name);
    err_at(e, ERR_INPUT, value->at, "%s: found %s, expected %s", key->text, node_what(value), f->same);
    return err_hint(e, "%s", f->instead);
}

const struct shorthand shorthands[] = { { "dampening_frac", "auto", "damping" }, { NULL, NULL, NULL } };

static const struct opt *own_option(const struct stage_spec *spec, const char *key, const struct node *value)
{
    for (size_t i = 0; shorthands[i].option; i++)
        if (!strcmp(shorthands[i].option, key) && value->kind == NODE_SCALAR &&
            !strcmp(shorthands[i].word, value->text) && opt_find(spec->options, shorthands[i].other))
            return opt_find(spec->options, shorthands[i].other);
    return opt_find(spec->options, key);
}

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
    const struct opt *o = own_option(d->spec, key->text, value);
    const struct former *f = specs_former(d->spec, key->text, b->r->dialect);
    if (!b->r->native && specs_refuse_new_option(d->spec, key, b->r->dialect, e))
        return -1;
    if (o) {
        bool *given = &d->stage->given[o - d->spec->options];
        if (o->flags & OPT_NATIVE && !b->r->native) {
            err_at(e, ERR_INPUT, key->at, "%s: %s is qpipe's own and unknown to llm-compressor's grammar",
                   key->text, o->name);
            return err_hint(e, "use it in a recipe with version: 1 and stages:");
        }
        if (*given)
            return err_at(e, ERR_INPUT, key->at, "%s: %s is said by another option, too", key->text, o->name);
        *given = true;
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
        if (!d->mixin_key)
            d->mixin_key = key;
        return opt_assign(o, &d->raw, value, b->base_dir, e);
    }
    if (d->spec->kind == STAGE_MODIFIER && !b->r->native && (o = opt_find(base_options, key->text)))
        return opt_assign(o, &d->base, value, b->base_dir, e);
    return f ? former_option(b, f, key, value, e) : unknown_key(d, key, e);
}

static bool names_observer(const struct quant_raw *raw)
{
    const struct node *groups = raw->config_groups;
    bool named = !node_is_null(raw->observer) || !node_is_null(raw->weight_observer);
    for (size_t i = 0; groups && groups->kind == NODE_MAP && i < groups->n; i++) {
        const struct node *w =
            groups->item[i]->kind == NODE_MAP ? node_get(groups->item[i], "weights") : NULL;
        named = named || (w && w->kind == NODE_MAP && !node_is_null(node_get(w, "observer")));
    }
    return named;
}

static int attach_quant(struct builder *b, struct reading *d, size_t index, struct err *e)
{
    struct recipe_stage *s = &b->r->stage[index];
    struct gptq_options *g = s->spec == &spec_gptq ? s->options : NULL;
    if (g)
        presets_apply(s->spec, g, s->given, b->r->native, names_observer(&d->raw));
    struct quant_context c = { .who = s->spec->name,
                               .at = s->at,
                               .dialect = b->r->dialect,
                               .native = b->r->native,
                               .gptq = g != NULL,
                               .actorder_given = d->actorder_at.line != 0,
                               .actorder = g ? g->actorder : GPTQ_NONE,
                               .actorder_at = d->actorder_at.line ? d->actorder_at : s->at,
                               .notes = &b->r->notes };
    s->quant = mem_alloc(sizeof *s->quant, e);
    if (!s->quant || quant_config_read(&d->raw, &c, s->quant, e))
        return -1;
    if (g && !c.actorder_given) /* its groups all say it by now */
        g->actorder = GPTQ_NOT_GIVEN;
    return 0;
}

/* The older one-modifier form of a transform: it and a QuantizationModifier behind it. */
static int split(struct builder *b, struct reading *d, struct src_pos at, struct err *e)
{
    const char *name = d->spec->name;
    if (node_is_null(d->raw.scheme) && node_is_null(d->raw.config_groups)) {
        err_at(e, ERR_INPUT, d->mixin_key->at, "found key '%s', expected an option of %s", d->mixin_key->text,
               name);
        return err_hint(e, "write it at the modifier that quantizes, or add a scheme to use the older form");
    }
    if (build_note(
            b, at, e,
            "%s with targets, ignore or a scheme is the older form; read as %s and QuantizationModifier",
            name, name) ||
        !add_stage(b->r, &spec_rtn, at, e))
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
    if (!rc && spec == &spec_awq && !b->r->native)
        ((struct awq_options *)d.stage->options)->search = AWQ_SEARCH_OUTPUT; /* what the peer does */
    if (!rc && options && !node_is_null(options) && options->kind != NODE_MAP)
        rc = err_at(e, ERR_INPUT, options->at, "%s: found %s, expected a mapping of options", spec->name,
                    node_what(options));
    for (size_t i = 0; !rc && options && options->kind == NODE_MAP && i < options->n; i++)
        rc = read_key(b, &d, options->key[i], options->item[i], e);
    const char *named = d.base.group ? d.base.group : group;
    if (!rc && named && !(d.stage->group = mem_strdup(named, e)))
        rc = -1;
    if (!rc)
        rc = specs_check(spec, d.stage->options, options, at, e);
    if (!rc && spec->quantizes)
        rc = attach_quant(b, &d, index, e);
    if (!rc && d.old_form && d.mixin_key)
        rc = split(b, &d, at, e);
    opt_release(base_options, &d.base);
    return rc;
}

int build_named(struct builder *b, const struct node *name, const struct node *options, const char *group,
                struct err *e)
{
    const struct stage_spec *spec = stage_spec_find(name->text);
    if (spec && (b->r->native || !strcmp(spec->name, name->text)) &&
        (b->r->native || spec->kind == STAGE_MODIFIER)) {
        if (!b->r->native && specs_refuse_new_modifier(spec, name->at, b->r->dialect, e))
            return -1;
        return build_stage(b, spec, options, name->at, group, e);
    }
    const char *names[64];
    size_t n = 0;
    for (const struct stage_spec *const *s = stage_specs; *s && n < 64; s++)
        if (b->r->native || (*s)->kind == STAGE_MODIFIER)
            names[n++] = (*s)->name;
    err_at(e, ERR_INPUT, name->at, "found '%.80s', expected %s", name->text,
           b->r->native ? "a stage or modifier" : "a modifier");
    const char *near = str_nearest(name->text, names, n, sizeof *names);
    return near ? err_hint(e, "did you mean '%s'?", near) : err_hint(e, "`qpipe list modifiers` prints them");
}
