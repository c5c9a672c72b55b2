/* opt.h - option tables: one row per option gives parser, default, range, help, JSON Schema, docs. A table describes a
 * plain struct; everything that takes options (stages, modifiers, commands) has one. */
#ifndef QP_BASE_OPT_H
#define QP_BASE_OPT_H
#include "base/json.h"
#include "base/node.h"
#include "base/str.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum opt_type {
    OPT_INT,   /* int64_t */
    OPT_REAL,  /* double */
    OPT_BOOL,  /* bool; only true and false (yes, on, 1 are errors that say so) */
    OPT_ENUM,  /* int: index into words; case counts unless OPT_NOCASE */
    OPT_STR,   /* char * (owned by the struct, NULL = not given) */
    OPT_PATH,  /* char *; relative ones are taken from the folder of the recipe */
    OPT_BYTES, /* int64_t; 512M, 2GiB */
    OPT_STRS,  /* struct strs; one string or a list of strings; null = empty */
    OPT_NODE,  /* const struct node *; checked by the stage itself (borrowed from the recipe) */
};
enum opt_flags {
    OPT_NULLABLE = 1, /* null is allowed and sets the `null_value` (INT, REAL, ENUM) or NULL/empty */
    OPT_REQUIRED = 2,
    OPT_NOCASE = 4,
    OPT_NATIVE = 8, /* a word of qpipe's own, unknown to llm-compressor */
    OPT_PEER_ONLY =
        16, /* read for compatibility, without meaning here: accepted only with its default value */
};
struct opt {
    const char *name;
    enum opt_type type;
    size_t at;                /* offsetof in the struct */
    double def, min, max;     /* INT, REAL, BYTES: numbers; ENUM: def is the index; BOOL: 0 or 1 */
    const char *const *words; /* ENUM: NULL-terminated */
    const char *unit;         /* "tokens", "of mean(diag H)", or NULL */
    const char *doc;          /* one sentence */
    unsigned flags;
    double null_value;
    const char *def_str; /* STR, PATH: default text or NULL */
};
/* A table ends with name == NULL. An option that a release removed is a row of `struct opt_gone`. */
struct opt_gone {
    const char *name,
        *why; /* "was removed in llm-compressor 0.8; true sequential order is `sequential: true`" */
};

/* opt_defaults - writes every row's default (strings are copied). opt_release - frees strings and lists. */
int opt_defaults(const struct opt *t, void *dst, struct err *e);
void opt_release(const struct opt *t, void *dst);
/* opt_assign - one value. base_dir: for OPT_PATH. Errors name option, what was found, what was expected. */
int opt_assign(const struct opt *o, void *dst, const struct node *v, const char *base_dir, struct err *e);
/* opt_assign_map - every key of a map; unknown keys are errors with the nearest name; required ones are checked.
 * given: NULL or an array of bool, one per row, set true for the keys that were there. gone may be NULL. */
int opt_assign_map(const struct opt *t, const struct opt_gone *gone, void *dst, const struct node *map,
                   const char *who, const char *base_dir, bool *given, struct err *e);
/* opt_assign_text - the same from a command line word (lists: comma-separated). */
int opt_assign_text(const struct opt *o, void *dst, const char *text, struct err *e);
const struct opt *opt_find(const struct opt *t, const char *name);
int opt_unknown(const struct opt *t, const struct opt_gone *gone, const struct node *key, const char *who,
                struct err *e);
/* Output of the rows: a JSON Schema object's "properties" members; a help text; the values of a struct as JSON. */
void opt_schema(const struct opt *t, struct jw *w);
int opt_help(const struct opt *t, struct buf *out, struct err *e);
void opt_values(const struct opt *t, const void *src,
                struct jw *w); /* members "name": value (OPT_NODE left out) */
size_t opt_count(const struct opt *t);
const char *opt_type_name(enum opt_type t);
#endif
