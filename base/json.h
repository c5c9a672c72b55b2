/* json.h - JSON by a library (jansson): duplicate keys refused, depth and size limited, errors with line and column;
 * and a writer whose bytes are fixed: keys in the order given, shortest round-trip numbers, indent by 2. */
#ifndef QP_BASE_JSON_H
#define QP_BASE_JSON_H
#include "base/err.h"
#include "base/str.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct
    json; /* a node, borrowed from its document (any other cast to the library's type stays inside json.c) */
enum json_type {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_INT,
    JSON_REAL,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};
enum { JSON_DEFAULT_LIMIT = 64 << 20, JSON_BIG_LIMIT = 512 << 20 };

/* name: what errors call the text (a path). The root is freed with json_free; nodes die with it. */
struct json *json_parse(const char *p, size_t n, const char *name, struct err *e);
struct json *json_read(const char *path, uint64_t limit, struct err *e);
void json_free(struct json *root);

enum json_type json_type(const struct json *j);                          /* NULL pointer: JSON_NULL */
const char *json_type_name(enum json_type t);                            /* "an object", "a string", ... */
const struct json *json_get(const struct json *object, const char *key); /* NULL: absent, or not an object */
size_t json_len(const struct json *j);                                   /* of an array or object, else 0 */
const struct json *json_item(const struct json *array, size_t i);
/* Object members in the order of the file: for (it = json_first(o); it; it = json_next(o, it)) */
void *json_first(const struct json *object);
void *json_next(const struct json *object, void *it);
const char *json_it_key(void *it);
const struct json *json_it_value(void *it);

/* Plain reads: false when j is NULL or of another type. json_num also takes integers; json_int takes 3.0 too. */
bool json_int(const struct json *j, int64_t *out);
bool json_num(const struct json *j, double *out);
bool json_bool(const struct json *j, bool *out);
const char *json_str(const struct json *j, size_t *n); /* NULL: not a string; n may be NULL */

/* Wanted members of an object, with errors "FILE: key 'K': found a string, expected an integer in [1, 65536]".
 * file: name for errors. Absent is an error, too. */
int json_want_int(const struct json *o, const char *file, const char *key, int64_t min, int64_t max,
                  int64_t *out, struct err *e);
int json_want_str(const struct json *o, const char *file, const char *key, const char **out, struct err *e);

/* The writer appends to a buffer. indent < 0: one line. Failure (no memory) sticks and is reported by jw_done. */
struct jw {
    struct buf *out;
    int indent, depth;
    bool first, after_key, failed;
    struct err err;
};
void jw_init(struct jw *w, struct buf *out, int indent);
void jw_object(struct jw *w);
void jw_end_object(struct jw *w);
void jw_array(struct jw *w);
void jw_end_array(struct jw *w);
void jw_key(struct jw *w, const char *key);
void jw_str(struct jw *w, const char *s); /* NULL writes null; invalid UTF-8 becomes U+FFFD */
void jw_strn(struct jw *w, const char *s, size_t n);
void jw_int(struct jw *w, int64_t v);
void jw_real(struct jw *w, double v); /* not finite: null */
void jw_real_f(struct jw *w, float v);
void jw_bool(struct jw *w, bool v);
void jw_null(struct jw *w);
void jw_json(struct jw *w, const struct json *j); /* a parsed node, key order kept */
/* key and value at once */
void jw_kstr(struct jw *w, const char *k, const char *s);
void jw_kint(struct jw *w, const char *k, int64_t v);
void jw_kreal(struct jw *w, const char *k, double v);
void jw_kbool(struct jw *w, const char *k, bool v);
int jw_done(struct jw *w, struct err *e);
#endif
