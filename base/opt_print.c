/* opt_print.c - what option rows say of themselves: help text, JSON Schema, values. */
#include "base/num.h"
#include "base/opt.h"

#include <math.h>
#include <string.h>

const char *opt_type_name(enum opt_type t)
{
    static const char *const names[] = { "integer", "number", "true|false", "word", "text",
                                         "path",    "size",   "list",       "value" };
    return names[t];
}

static void default_text(const struct opt *o, char out[64])
{
    switch (o->type) {
    case OPT_INT:
    case OPT_BYTES: snprintf(out, 64, "%lld", (long long)o->def); break;
    case OPT_REAL:
        if (isnan(o->def))
            snprintf(out, 64, "none");
        else
            num_shortest(o->def, out);
        break;
    case OPT_BOOL: snprintf(out, 64, "%s", o->def != 0 ? "true" : "false"); break;
    case OPT_ENUM: snprintf(out, 64, "%s", o->words[(int)o->def]); break;
    case OPT_STR:
    case OPT_PATH: snprintf(out, 64, "%s", o->def_str ? o->def_str : "none"); break;
    case OPT_STRS:
    case OPT_NODE: snprintf(out, 64, "none"); break;
    }
}

int opt_help(const struct opt *t, struct buf *out, struct err *e)
{
    for (const struct opt *o = t; o->name; o++) {
        char def[64];
        default_text(o, def);
        if (buf_printf(out, e, "  %-28s %-10s %s (%s%sdefault %s)\n", o->name, opt_type_name(o->type), o->doc,
                       o->unit ? o->unit : "", o->unit ? ", " : "", def))
            return -1;
        if (o->type == OPT_ENUM) {
            if (buf_str(out, "                                          one of", e))
                return -1;
            for (const char *const *w = o->words; *w; w++)
                if (buf_printf(out, e, "%s %s", w == o->words ? "" : ",", *w))
                    return -1;
            if (buf_str(out, "\n", e))
                return -1;
        }
    }
    return 0;
}

static void schema_type(const struct opt *o, struct jw *w)
{
    static const char *const types[] = { "integer", "number", "boolean", "string", "string",
                                         "string",  NULL,     NULL,      NULL };
    const char *type = types[o->type];
    if (o->type == OPT_BYTES || o->type == OPT_STRS) {
        jw_key(w, "type");
        jw_array(w);
        jw_str(w, o->type == OPT_BYTES ? "integer" : "array");
        jw_str(w, "string");
        if (o->flags & OPT_NULLABLE || o->type == OPT_STRS)
            jw_str(w, "null");
        jw_end_array(w);
    } else if (type && o->flags & OPT_NULLABLE) {
        jw_key(w, "type");
        jw_array(w);
        jw_str(w, type);
        jw_str(w, "null");
        jw_end_array(w);
    } else if (type)
        jw_kstr(w, "type", type);
}

void opt_schema(const struct opt *t, struct jw *w)
{
    for (const struct opt *o = t; o->name; o++) {
        char def[64];
        jw_key(w, o->name);
        jw_object(w);
        schema_type(o, w);
        jw_kstr(w, "description", o->doc);
        if (o->type == OPT_INT || o->type == OPT_REAL) {
            jw_key(w, "minimum");
            o->type == OPT_INT ? jw_int(w, (int64_t)o->min) : jw_real(w, o->min);
            jw_key(w, "maximum");
            o->type == OPT_INT ? jw_int(w, (int64_t)o->max) : jw_real(w, o->max);
        }
        if (o->type == OPT_ENUM) {
            jw_key(w, "enum");
            jw_array(w);
            for (const char *const *word = o->words; *word; word++)
                jw_str(w, *word);
            if (o->flags & OPT_NULLABLE)
                jw_null(w);
            jw_end_array(w);
        }
        if (o->type == OPT_BOOL)
            jw_kbool(w, "default", o->def != 0);
        else if (o->type == OPT_INT)
            jw_kint(w, "default", (int64_t)o->def);
        else if (o->type == OPT_REAL && isfinite(o->def))
            jw_kreal(w, "default", o->def);
        else if (o->type == OPT_ENUM) {
            default_text(o, def);
            jw_kstr(w, "default", def);
        }
        jw_end_object(w);
    }
}

void opt_values(const struct opt *t, const void *src, struct jw *w)
{
    for (const struct opt *o = t; o->name; o++) {
        const void *p = (const char *)src + o->at;
        if (o->type == OPT_NODE)
            continue;
        jw_key(w, o->name);
        switch (o->type) {
        case OPT_INT:
        case OPT_BYTES: jw_int(w, *(const int64_t *)p); break;
        case OPT_REAL: jw_real(w, *(const double *)p); break;
        case OPT_BOOL: jw_bool(w, *(const bool *)p); break;
        case OPT_ENUM: jw_str(w, o->words[*(const int *)p]); break;
        case OPT_STR:
        case OPT_PATH: jw_str(w, *(char *const *)p); break;
        case OPT_STRS: {
            const struct strs *l = p;
            jw_array(w);
            for (size_t i = 0; i < l->n; i++)
                jw_str(w, l->v[i]);
            jw_end_array(w);
            break;
        }
        case OPT_NODE: break;
        }
    }
}
