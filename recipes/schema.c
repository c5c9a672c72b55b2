/* schema.c - a JSON Schema (2020-12) of recipes, from the tables: what an editor shows and checks while one is written. It
 * says what stands where; what contradicts what is said by qpipe alone. A text with ${ in it may stand for any value. */
#include "recipes/build.h"
#include "recipes/quant_config.h"
#include "recipes/specs.h"

#include <math.h>
#include <string.h>

static void ref(struct jw *w, const char *to)
{
    jw_object(w);
    jw_kstr(w, "$ref", to);
    jw_end_object(w);
}

static void type(struct jw *w, const char *name)
{
    jw_object(w);
    jw_kstr(w, "type", name);
    jw_end_object(w);
}

/* ---- one option ---- */

static void number(const struct opt *o, struct jw *w)
{
    jw_object(w);
    jw_kstr(w, "type", o->type == OPT_INT ? "integer" : "number");
    jw_key(w, "minimum");
    o->type == OPT_INT ? jw_int(w, (int64_t)o->min) : jw_real(w, o->min);
    jw_key(w, "maximum");
    o->type == OPT_INT ? jw_int(w, (int64_t)o->max) : jw_real(w, o->max);
    jw_end_object(w);
}

/* Words that name what only the program says are no words of the grammar; true and false are truths to YAML. */
static void words(const struct opt *o, struct jw *w)
{
    jw_object(w);
    jw_key(w, "enum");
    jw_array(w);
    for (const char *const *word = o->words; *word; word++) {
        bool truth = !strcmp(*word, "true");
        if (truth || !strcmp(*word, "false"))
            jw_bool(w, truth);
        else if (strcmp(*word, "null") && strcmp(*word, "not given"))
            jw_str(w, *word);
    }
    jw_end_array(w);
    jw_end_object(w);
}

static void texts(struct jw *w)
{
    type(w, "string");
    jw_object(w);
    jw_kstr(w, "type", "array");
    jw_key(w, "items");
    type(w, "string");
    jw_end_object(w);
    type(w, "null");
}

/* Options that are read as nodes, by what they hold. */
static const struct {
    const char *name, *to;
} node_shapes[] = {
    { "targets", "#/$defs/entries" },
    { "ignore", "#/$defs/entries" },
    { "config_groups", "#/$defs/config_groups" },
    { "weights", "#/$defs/quant_args" },
    { "input_activations", "#/$defs/quant_args" },
    { "output_activations", "#/$defs/quant_args" },
    { "kv_cache_scheme", "#/$defs/quant_args" },
};

static void node_shape(const struct opt *o, struct jw *w)
{
    for (size_t i = 0; i < sizeof node_shapes / sizeof *node_shapes; i++)
        if (!strcmp(node_shapes[i].name, o->name)) {
            ref(w, node_shapes[i].to);
            type(w, "null");
            return;
        }
    jw_bool(w, true);
}

static void alternatives(const struct opt *o, struct jw *w)
{
    switch (o->type) {
    case OPT_INT:
    case OPT_REAL: number(o, w); break;
    case OPT_BOOL: type(w, "boolean"); break;
    case OPT_ENUM: words(o, w); break;
    case OPT_STR:
    case OPT_PATH: type(w, "string"); break;
    case OPT_BYTES:
        type(w, "integer");
        type(w, "string");
        break;
    case OPT_STRS: texts(w); break;
    case OPT_NODE: node_shape(o, w); break;
    }
    if (o->flags & OPT_NULLABLE && o->type != OPT_STRS && o->type != OPT_NODE)
        type(w, "null");
}

static void default_of(const struct opt *o, struct jw *w)
{
    if (o->type == OPT_INT || o->type == OPT_BYTES)
        jw_kint(w, "default", (int64_t)o->def);
    else if (o->type == OPT_REAL && isfinite(o->def))
        jw_kreal(w, "default", o->def);
    else if (o->type == OPT_BOOL)
        jw_kbool(w, "default", o->def != 0);
    else if (o->type == OPT_ENUM && strcmp(o->words[(int)o->def], "null") &&
             strcmp(o->words[(int)o->def], "not given"))
        jw_kstr(w, "default", o->words[(int)o->def]);
    else if (o->def_str && (o->type == OPT_STR || o->type == OPT_PATH))
        jw_kstr(w, "default", o->def_str);
}

/* A word that is short for another option of the table t. */
static void shorthand(const struct opt *t, const struct opt *o, struct jw *w)
{
    for (const struct shorthand *s = shorthands; s->option; s++)
        if (!strcmp(s->option, o->name) && opt_find(t, s->other)) {
            jw_object(w);
            jw_kstr(w, "const", s->word);
            jw_end_object(w);
        }
}

static void property(const struct opt *t, const struct opt *o, bool native, struct jw *w)
{
    jw_key(w, o->name);
    jw_object(w);
    jw_kstr(w, "description", o->doc);
    default_of(o, w);
    jw_key(w, "anyOf");
    jw_array(w);
    alternatives(o, w);
    if (native)
        shorthand(t, o, w);
    ref(w, "#/$defs/variable");
    jw_end_array(w);
    jw_end_object(w);
}

static void properties(const struct opt *t, bool native, struct jw *w)
{
    for (const struct opt *o = t; o && o->name; o++)
        if (native || !(o->flags & OPT_NATIVE))
            property(t, o, native, w);
}

/* ---- stages ---- */

static void object_of(const struct opt *const *tables, bool native, struct jw *w)
{
    jw_object(w);
    jw_kstr(w, "type", "object");
    jw_kbool(w, "additionalProperties", false);
    jw_key(w, "properties");
    jw_object(w);
    for (; *tables; tables++)
        properties(*tables, native, w);
    jw_end_object(w);
    jw_end_object(w);
}

static void stage_schema(const struct stage_spec *s, bool native, struct jw *w)
{
    const struct opt *tables[4] = { s->options };
    size_t n = 1;
    if (s->quantizes || s == &spec_awq) /* AWQ: its older form */
        tables[n++] = quant_mixin_options;
    if (!native && s->kind == STAGE_MODIFIER)
        tables[n] = base_options;
    jw_object(w);
    jw_kstr(w, "description", s->doc);
    jw_key(w, "anyOf");
    jw_array(w);
    type(w, "null");
    object_of(tables, native, w);
    jw_end_array(w);
    jw_end_object(w);
}

/* A mapping of names to options. native: stages and modifiers, short names too; else llm-compressor's modifiers. */
static void named(bool native, struct jw *w)
{
    jw_object(w);
    jw_kstr(w, "type", "object");
    jw_kbool(w, "additionalProperties", false);
    jw_key(w, "properties");
    jw_object(w);
    for (const struct stage_spec *const *s = stage_specs; *s; s++) {
        if (!native && (*s)->kind != STAGE_MODIFIER)
            continue;
        jw_key(w, (*s)->name);
        stage_schema(*s, native, w);
        if (native && *(*s)->aliases) {
            char to[96];
            snprintf(to, sizeof to, "#/$defs/stage/properties/%s", (*s)->name);
            jw_key(w, (*s)->aliases);
            ref(w, to);
        }
    }
    jw_end_object(w);
    jw_end_object(w);
}

static void one_of(const char *to, struct jw *w)
{
    jw_object(w);
    jw_kstr(w, "$ref", to);
    jw_kint(w, "minProperties", 1);
    jw_kint(w, "maxProperties", 1);
    jw_end_object(w);
}

/* A stage in the list: its name, or a mapping of one name to its options. */
static void stage_item(struct jw *w)
{
    jw_object(w);
    jw_key(w, "anyOf");
    jw_array(w);
    jw_object(w);
    jw_key(w, "enum");
    jw_array(w);
    for (const struct stage_spec *const *s = stage_specs; *s; s++) {
        jw_str(w, (*s)->name);
        if (*(*s)->aliases)
            jw_str(w, (*s)->aliases);
    }
    jw_end_array(w);
    jw_end_object(w);
    one_of("#/$defs/stage", w);
    jw_end_array(w);
    jw_end_object(w);
}

/* ---- a whole recipe ---- */

static void peer_group(struct jw *w)
{
    jw_object(w);
    jw_key(w, "anyOf");
    jw_array(w);
    ref(w, "#/$defs/modifiers");
    jw_object(w);
    jw_kstr(w, "type", "array");
    jw_key(w, "items");
    one_of("#/$defs/modifiers", w);
    jw_end_object(w);
    jw_end_array(w);
    jw_end_object(w);
}

static void peer_patterns(struct jw *w)
{
    jw_key(w, "patternProperties");
    jw_object(w);
    jw_key(w, "^x-");
    jw_bool(w, true);
    jw_key(w, "^(?!x-).+_stage$");
    jw_object(w);
    jw_kstr(w, "type", "object");
    jw_kbool(w, "additionalProperties", false);
    jw_key(w, "properties");
    jw_object(w);
    jw_key(w, "run_type");
    jw_bool(w, true);
    jw_end_object(w);
    jw_key(w, "patternProperties");
    jw_object(w);
    jw_key(w, ".+_modifiers$");
    peer_group(w);
    jw_end_object(w);
    jw_end_object(w);
    jw_end_object(w);
}

static void dialect_names(struct jw *w)
{
    jw_key(w, "dialect");
    jw_object(w);
    jw_kstr(w, "description", opt_find(head_options, "dialect")->doc);
    jw_kstr(w, "default", dialects->name);
    jw_key(w, "enum");
    jw_array(w);
    for (const struct dialect *d = dialects; d->name; d++)
        jw_str(w, d->name);
    jw_end_array(w);
    jw_end_object(w);
}

static void variants(struct jw *w)
{
    jw_key(w, "variants");
    jw_object(w);
    jw_kstr(w, "description", opt_find(head_options, "variants")->doc);
    jw_kstr(w, "type", "object");
    jw_kint(w, "minProperties", 1);
    jw_key(w, "additionalProperties");
    jw_object(w);
    jw_key(w, "type");
    jw_array(w);
    jw_str(w, "object");
    jw_str(w, "null");
    jw_end_array(w);
    jw_end_object(w);
    jw_end_object(w);
}

static void top(struct jw *w)
{
    jw_key(w, "properties");
    jw_object(w);
    for (const struct opt *o = head_options; o->name; o++)
        if (o->type != OPT_NODE && strcmp(o->name, "dialect"))
            property(head_options, o, true, w);
    dialect_names(w);
    static const struct opt *const serve[] = { serve_table, NULL };
    jw_key(w, "serve");
    object_of(serve, true, w);
    jw_key(w, "vars");
    jw_object(w);
    jw_kstr(w, "type", "object");
    jw_end_object(w);
    variants(w);
    jw_key(w, "stages");
    jw_object(w);
    jw_kstr(w, "type", "array");
    jw_kint(w, "minItems", 1);
    jw_key(w, "items");
    stage_item(w);
    jw_end_object(w);
    static const char *const own[] = { "calibrate", "verify", "save" };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        jw_key(w, own[i]);
        stage_schema(stage_spec_find(own[i]), false, w);
    }
    jw_end_object(w);
}

/* stages: needs version:, and keeps out the keys of the other grammar. */
static void native_needs(struct jw *w)
{
    jw_key(w, "dependentRequired");
    jw_object(w);
    jw_key(w, "stages");
    jw_array(w);
    jw_str(w, "version");
    jw_end_array(w);
    jw_end_object(w);
}

/* One entry of targets or ignore: a text, or { match: TEXT, optional: true }. */
static void entry(struct jw *w)
{
    jw_key(w, "entry");
    jw_object(w);
    jw_key(w, "anyOf");
    jw_array(w);
    type(w, "string");
    jw_object(w);
    jw_kstr(w, "type", "object");
    jw_kbool(w, "additionalProperties", false);
    jw_key(w, "required");
    jw_array(w);
    jw_str(w, "match");
    jw_end_array(w);
    jw_key(w, "properties");
    jw_object(w);
    jw_key(w, "match");
    type(w, "string");
    jw_key(w, "optional");
    type(w, "boolean");
    jw_end_object(w);
    jw_end_object(w);
    jw_end_array(w);
    jw_end_object(w);
}

static void entries(struct jw *w)
{
    entry(w);
    jw_key(w, "entries");
    jw_object(w);
    jw_key(w, "anyOf");
    jw_array(w);
    ref(w, "#/$defs/entry");
    jw_object(w);
    jw_kstr(w, "type", "array");
    jw_key(w, "items");
    ref(w, "#/$defs/entry");
    jw_end_object(w);
    jw_end_array(w);
    jw_end_object(w);
}

static void config_groups(struct jw *w)
{
    static const struct opt *const args[] = { quant_args_options, NULL }, *const scheme[] = {
        quant_scheme_options, NULL
    };
    jw_key(w, "quant_args");
    object_of(args, true, w);
    jw_key(w, "quant_scheme");
    object_of(scheme, true, w);
    jw_key(w, "config_groups");
    jw_object(w);
    jw_kstr(w, "type", "object");
    jw_key(w, "additionalProperties");
    jw_object(w);
    jw_key(w, "anyOf");
    jw_array(w);
    ref(w, "#/$defs/quant_scheme");
    ref(w, "#/$defs/entries");
    jw_end_array(w);
    jw_end_object(w);
    jw_end_object(w);
}

static void variable(struct jw *w)
{
    jw_key(w, "variable");
    jw_object(w);
    jw_kstr(w, "type", "string");
    jw_kstr(w, "pattern", "\\$\\{[^}]+\\}");
    jw_end_object(w);
}

void recipe_schema(struct jw *w)
{
    jw_object(w);
    jw_kstr(w, "$schema", "https://json-schema.org/draft/2020-12/schema");
    jw_kstr(w, "title", "qpipe recipe");
    jw_kstr(w, "type", "object");
    jw_kbool(w, "additionalProperties", false);
    top(w);
    peer_patterns(w);
    native_needs(w);
    jw_key(w, "$defs");
    jw_object(w);
    variable(w);
    jw_key(w, "stage");
    named(true, w);
    jw_key(w, "modifiers");
    named(false, w);
    entries(w);
    config_groups(w);
    jw_end_object(w);
    jw_end_object(w);
}
