/* json.c - jansson behind our own names. A struct json is a json_t; nobody else knows. The library's enum has our
 * names, so it is renamed while its header is read. */
#define json_type   jansson_type
#define JSON_OBJECT JANSSON_OBJECT
#define JSON_ARRAY  JANSSON_ARRAY
#define JSON_STRING JANSSON_STRING
#define JSON_REAL   JANSSON_REAL
#define JSON_TRUE   JANSSON_TRUE
#define JSON_FALSE  JANSSON_FALSE
#define JSON_NULL   JANSSON_NULL
#define json_real   jansson_real
#include <jansson.h>
#undef json_type
#undef JSON_OBJECT
#undef JSON_ARRAY
#undef JSON_STRING
#undef JSON_REAL
#undef JSON_TRUE
#undef JSON_FALSE
#undef JSON_NULL
#undef json_real

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

#include <pthread.h>
#include <string.h>

/* The library reports most failed allocations as some other error: this remembers that one was refused. */
static _Thread_local bool starved;

static void *take(size_t n)
{
    void *p = mem_alloc(n, NULL);
    starved |= !p;
    return p;
}
static void use_our_heap(void) { json_set_alloc_funcs(take, mem_free); }

static const json_t *in(const struct json *j) { return (const json_t *)(const void *)j; }
static json_t *rw(const struct json *j)
{
    return (json_t *)(uintptr_t)j;
} /* the library's readers are not const */
static struct json *as_json(const json_t *j) { return (struct json *)(uintptr_t)j; }

struct json *json_parse(const char *p, size_t n, const char *name, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, use_our_heap);
    json_error_t je = { 0 };
    starved = false;
    json_t *root = json_loadb(p, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &je);
    if (root && !starved) /* a failed allocation can also just drop a character */
        return as_json(root);
    json_decref(root);
    enum json_error_code why = json_error_code(&je);
    if (starved || why == json_error_out_of_memory) {
        err_nomem(e);
        return NULL;
    }
    struct src_pos at = { name, je.line < 1 ? 1 : je.line, je.column < 0 ? 0 : je.column };
    err_at(e, why == json_error_stack_overflow ? ERR_LIMIT : ERR_INPUT, at, "not valid JSON: %s", je.text);
    return NULL;
}

struct json *json_read(const char *path, uint64_t limit, struct err *e)
{
    struct buf b = { 0 };
    struct json *j = file_read(path, limit, &b, e) ? NULL : json_parse(b.p ? b.p : "", b.len, path, e);
    buf_release(&b);
    return j;
}

void json_free(struct json *root) { json_decref(rw(root)); }

enum json_type json_type(const struct json *j)
{
    if (!j)
        return JSON_NULL;
    switch (json_typeof(in(j))) {
    case JANSSON_OBJECT: return JSON_OBJECT;
    case JANSSON_ARRAY: return JSON_ARRAY;
    case JANSSON_STRING: return JSON_STRING;
    case JSON_INTEGER: return JSON_INT;
    case JANSSON_REAL: return JSON_REAL;
    case JANSSON_TRUE: return JSON_TRUE;
    case JANSSON_FALSE: return JSON_FALSE;
    case JANSSON_NULL: return JSON_NULL;
    }
    return JSON_NULL;
}

const char *json_type_name(enum json_type t)
{
    static const char *const names[] = { "null",          "false",    "true",   "an integer",
                                         "a real number", "a string", "a list", "an object" };
    return names[t];
}

const struct json *json_get(const struct json *object, const char *key)
{
    return as_json(json_object_get(in(object), key));
}

size_t json_len(const struct json *j)
{
    return json_type(j) == JSON_ARRAY    ? json_array_size(in(j))
           : json_type(j) == JSON_OBJECT ? json_object_size(in(j))
                                         : 0;
}

const struct json *json_item(const struct json *array, size_t i)
{
    return as_json(json_array_get(in(array), i));
}
void *json_first(const struct json *object) { return json_object_iter(rw(object)); }
void *json_next(const struct json *object, void *it) { return json_object_iter_next(rw(object), it); }
const char *json_it_key(void *it) { return json_object_iter_key(it); }
const struct json *json_it_value(void *it) { return as_json(json_object_iter_value(it)); }

bool json_int(const struct json *j, int64_t *out)
{
    enum json_type t = json_type(j);
    if (t == JSON_INT)
        *out = json_integer_value(in(j));
    else if (t == JSON_REAL) {
        double v = json_real_value(in(j));
        if (!(v >= -9007199254740992.0 && v <= 9007199254740992.0) || v != (double)(int64_t)v)
            return false;
        *out = (int64_t)v;
    } else
        return false;
    return true;
}

bool json_num(const struct json *j, double *out)
{
    enum json_type t = json_type(j);
    if (t != JSON_INT && t != JSON_REAL)
        return false;
    *out = json_number_value(in(j));
    return true;
}

bool json_bool(const struct json *j, bool *out)
{
    enum json_type t = json_type(j);
    if (t != JSON_TRUE && t != JSON_FALSE)
        return false;
    *out = t == JSON_TRUE;
    return true;
}

const char *json_str(const struct json *j, size_t *n)
{
    if (json_type(j) != JSON_STRING)
        return NULL;
    if (n)
        *n = json_string_length(in(j));
    return json_string_value(in(j));
}

int json_want_int(const struct json *o, const char *file, const char *key, int64_t min, int64_t max,
                  int64_t *out, struct err *e)
{
    const struct json *j = json_get(o, key);
    int64_t v;
    if (!j)
        return err_set(e, ERR_INPUT, "%s: key '%s' is missing, expected an integer in [%lld, %lld]", file,
                       key, (long long)min, (long long)max);
    if (!json_int(j, &v))
        return err_set(e, ERR_INPUT, "%s: key '%s': found %s, expected an integer in [%lld, %lld]", file, key,
                       json_type_name(json_type(j)), (long long)min, (long long)max);
    if (v < min || v > max)
        return err_set(e, ERR_INPUT, "%s: key '%s': found %lld, expected an integer in [%lld, %lld]", file,
                       key, (long long)v, (long long)min, (long long)max);
    *out = v;
    return 0;
}

int json_want_str(const struct json *o, const char *file, const char *key, const char **out, struct err *e)
{
    const struct json *j = json_get(o, key);
    const char *s = json_str(j, NULL);
    if (!s)
        return err_set(e, ERR_INPUT, "%s: key '%s': found %s, expected a string", file, key,
                       j ? json_type_name(json_type(j)) : "nothing");
    *out = s;
    return 0;
}
