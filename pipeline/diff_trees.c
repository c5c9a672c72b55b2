/* diff_trees.c - where two JSON values part. */
#include "base/mem.h"
#include "pipeline/diff.h"

#include <string.h>

enum { SHOWN = 160 }; /* bytes of a value that are shown; more is cut */

int difference_set(struct difference *d, const char *what, const char *a, const char *b, struct err *e)
{
    if (d->what)
        return 0;
    d->row = d->col = -1;
    d->a = mem_strdup(a, e);
    d->b = mem_strdup(b, e);
    d->what = mem_strdup(what, e);
    return d->a && d->b && d->what ? 0 : -1;
}

static int value_text(const struct json *j, bool there, struct buf *out, struct err *e)
{
    struct jw w;
    if (!there)
        return buf_str(out, "nothing", e);
    jw_init(&w, out, -1);
    jw_json(&w, j);
    if (jw_done(&w, e))
        return -1;
    if (out->len <= SHOWN)
        return 0;
    size_t n = SHOWN;
    while (n && ((unsigned char)out->p[n] & 0xC0) == 0x80)
        n--;
    out->p[n] = '\0';
    out->len = n;
    return buf_str(out, "...", e);
}

struct sides {
    const struct json *a, *b;
    bool has_a, has_b; /* a null is a value, too */
};

static int differ(struct sides s, const char *where, struct difference *out, struct err *e)
{
    struct buf a = { 0 }, b = { 0 };
    int rc = value_text(s.a, s.has_a, &a, e) || value_text(s.b, s.has_b, &b, e)
                 ? -1
                 : difference_set(out, *where ? where : "all of it", a.p, b.p, e);
    buf_release(&a);
    buf_release(&b);
    return rc;
}

static const char *name_of(const struct json *j) { return json_str(json_get(j, "name"), NULL); }

static int below(struct sides s, const char *where, const char *key, bool item, struct difference *out,
                 struct err *e)
{
    char *path = mem_printf(e, item ? "%s[%s]" : *where ? "%s.%s" : "%s%s", where, key);
    int rc = path ? 0 : -1;
    if (path && s.has_a && s.has_b)
        rc = diff_trees(s.a, s.b, path, out, e);
    else if (path)
        rc = differ(s, path, out, e);
    mem_free(path);
    return rc;
}

static int objects(const struct json *a, const struct json *b, const char *where, struct difference *out,
                   struct err *e)
{
    for (void *it = json_first(a); it && !out->what; it = json_next(a, it)) {
        const struct json *other = json_get(b, json_it_key(it));
        struct sides s = { json_it_value(it), other, true, other != NULL };
        if (below(s, where, json_it_key(it), false, out, e))
            return -1;
    }
    for (void *it = json_first(b); it && !out->what; it = json_next(b, it))
        if (!json_get(a, json_it_key(it)) && below((struct sides){ NULL, json_it_value(it), false, true },
                                                   where, json_it_key(it), false, out, e))
            return -1;
    return 0;
}

/* Items that have names are a set sorted by them: the list's own order puts nothing else in another place. */
static bool named(const struct json *list)
{
    for (size_t i = 0; i < json_len(list); i++) {
        const char *n = name_of(json_item(list, i)), *before = i ? name_of(json_item(list, i - 1)) : NULL;
        if (!n || (before && strcmp(before, n) >= 0))
            return false;
    }
    return json_len(list) > 0;
}

static int named_lists(const struct json *a, const struct json *b, const char *where, struct difference *out,
                       struct err *e)
{
    size_t i = 0, k = 0;
    while (!out->what && (i < json_len(a) || k < json_len(b))) {
        struct sides s = { json_item(a, i), json_item(b, k), i < json_len(a), k < json_len(b) };
        int order = s.has_a && s.has_b ? strcmp(name_of(s.a), name_of(s.b)) : s.has_a ? -1 : 1;
        s.has_a = order <= 0;
        s.has_b = order >= 0;
        if (below(s, where, name_of(s.has_a ? s.a : s.b), true, out, e))
            return -1;
        i += s.has_a;
        k += s.has_b;
    }
    return 0;
}

static int arrays(const struct json *a, const struct json *b, const char *where, struct difference *out,
                  struct err *e)
{
    if (named(a) && named(b))
        return named_lists(a, b, where, out, e);
    for (size_t i = 0; !out->what && (i < json_len(a) || i < json_len(b)); i++) {
        char index[24];
        snprintf(index, sizeof index, "%zu", i);
        struct sides s = { json_item(a, i), json_item(b, i), i < json_len(a), i < json_len(b) };
        if (below(s, where, index, true, out, e))
            return -1;
    }
    return 0;
}

static int same_text(const struct json *a, const struct json *b, bool *same, struct err *e)
{
    struct buf x = { 0 }, y = { 0 };
    struct jw w;
    jw_init(&w, &x, -1);
    jw_json(&w, a);
    int rc = jw_done(&w, e);
    jw_init(&w, &y, -1);
    jw_json(&w, b);
    rc = rc || jw_done(&w, e) ? -1 : 0;
    *same = !rc && x.len == y.len && !memcmp(x.p, y.p, x.len);
    buf_release(&x);
    buf_release(&y);
    return rc;
}

int diff_trees(const struct json *a, const struct json *b, const char *where, struct difference *out,
               struct err *e)
{
    bool same = false;
    enum json_type t = json_type(a);
    if (out->what)
        return 0;
    if (t == json_type(b) && t == JSON_OBJECT)
        return objects(a, b, where, out, e);
    if (t == json_type(b) && t == JSON_ARRAY)
        return arrays(a, b, where, out, e);
    if (same_text(a, b, &same, e))
        return -1;
    return same ? 0 : differ((struct sides){ a, b, true, true }, where, out, e);
}
