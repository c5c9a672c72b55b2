/* schema.c - a JSON Schema (2020-12) of recipes, from the tables. */
#include "recipes/build.h"
#include "recipes/quant_config.h"

static void object_of(struct jw *w, const struct opt *a, const struct opt *b)
{
    jw_object(w);
    jw_kstr(w, "type", "object");
    jw_kbool(w, "additionalProperties", false);
    jw_key(w, "properties");
    jw_object(w);
    opt_schema(a, w);
    if (b)
        opt_schema(b, w);
    jw_end_object(w);
    jw_end_object(w);
}

static void stage_schema(const struct stage_spec *s, struct jw *w)
{
    jw_object(w);
    jw_kstr(w, "description", s->doc);
    jw_key(w, "anyOf");
    jw_array(w);
    jw_object(w);
    jw_kstr(w, "type", "null");
    jw_end_object(w);
    object_of(w, s->options, s->quantizes ? quant_mixin_options : NULL);
    jw_end_array(w);
    jw_end_object(w);
}

static void ref(struct jw *w, const char *to)
{
    jw_object(w);
    jw_kstr(w, "$ref", to);
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
    for (const struct stage_spec *const *s = stage_specs; *s; s++)
        jw_str(w, (*s)->name);
    jw_end_array(w);
    jw_end_object(w);
    ref(w, "#/$defs/named");
    jw_end_array(w);
    jw_end_object(w);
}

static void named(struct jw *w)
{
    jw_object(w);
    jw_kstr(w, "type", "object");
    jw_kbool(w, "additionalProperties", false);
    jw_key(w, "properties");
    jw_object(w);
    for (const struct stage_spec *const *s = stage_specs; *s; s++) {
        jw_key(w, (*s)->name);
        stage_schema(*s, w);
    }
    jw_end_object(w);
    jw_end_object(w);
}

static void peer_patterns(struct jw *w)
{
    jw_key(w, "patternProperties");
    jw_object(w);
    jw_key(w, "^x-");
    jw_bool(w, true);
    jw_key(w, "_stage$");
    jw_object(w);
    jw_kstr(w, "type", "object");
    jw_kbool(w, "additionalProperties", false);
    jw_key(w, "patternProperties");
    jw_object(w);
    jw_key(w, "_modifiers$");
    ref(w, "#/$defs/named");
    jw_end_object(w);
    jw_end_object(w);
    jw_end_object(w);
}

static void top(struct jw *w)
{
    jw_key(w, "properties");
    jw_object(w);
    for (const struct opt *o = head_options; o->name; o++) {
        struct opt one[2] = { *o, { .name = NULL } };
        if (o->type != OPT_NODE)
            opt_schema(one, w);
    }
    jw_key(w, "vars");
    jw_object(w);
    jw_kstr(w, "type", "object");
    jw_end_object(w);
    jw_key(w, "stages");
    jw_object(w);
    jw_kstr(w, "type", "array");
    jw_key(w, "items");
    stage_item(w);
    jw_end_object(w);
    static const char *const own[] = { "calibrate", "verify", "save" };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        jw_key(w, own[i]);
        stage_schema(stage_spec_find(own[i]), w);
    }
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
    jw_key(w, "$defs");
    jw_object(w);
    jw_key(w, "named");
    named(w);
    jw_key(w, "quant_args");
    object_of(w, quant_args_options, NULL);
    jw_key(w, "quant_scheme");
    object_of(w, quant_scheme_options, NULL);
    jw_end_object(w);
    jw_end_object(w);
}
