/* jw.c - the JSON writer: its bytes are part of the promise of equal outputs. */
#include "base/json.h"
#include "base/num.h"

#include <stdio.h>
#include <string.h>

static void put(struct jw *w, const char *p, size_t n)
{
    if (!w->failed && buf_add(w->out, p, n, &w->err))
        w->failed = true;
}

static void word(struct jw *w, const char *s) { put(w, s, strlen(s)); }

static void line(struct jw *w)
{
    if (w->indent < 0)
        return;
    word(w, "\n");
    for (int i = 0; i < w->depth * w->indent; i++)
        word(w, " ");
}

/* What stands before a value: nothing after a key, a comma and a line otherwise. */
static void before(struct jw *w)
{
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (!w->first)
        word(w, w->indent < 0 ? ", " : ",");
    if (w->depth)
        line(w);
    w->first = false;
}

void jw_init(struct jw *w, struct buf *out, int indent)
{
    memset(w, 0, sizeof *w);
    w->out = out;
    w->indent = indent;
    w->first = true;
}

static void open_(struct jw *w, const char *c)
{
    before(w);
    word(w, c);
    w->depth++;
    w->first = true;
}

static void close_(struct jw *w, const char *c)
{
    bool empty = w->first;
    w->depth--;
    if (!empty)
        line(w);
    word(w, c);
    w->first = false;
}

void jw_object(struct jw *w) { open_(w, "{"); }
void jw_end_object(struct jw *w) { close_(w, "}"); }
void jw_array(struct jw *w) { open_(w, "["); }
void jw_end_array(struct jw *w) { close_(w, "]"); }

static void quoted(struct jw *w, const char *s, size_t n)
{
    word(w, "\"");
    for (size_t i = 0; i < n;) {
        unsigned char c = (unsigned char)s[i];
        static const char plain[] = "\b\f\n\r\t\"\\", esc[] = "bfnrt\"\\";
        const char *p = c ? strchr(plain, c) : NULL;
        char text[8];
        int len = 1;
        if (p) {
            text[0] = '\\';
            text[1] = esc[p - plain];
            put(w, text, 2);
        } else if (c < 0x20 || c == 0x7F) {
            put(w, text, (size_t)snprintf(text, sizeof text, "\\u%04x", c));
        } else {
            unsigned u = utf8_get(s + i, n - i, &len);
            put(w, u == 0xFFFD && len == 1 ? "\xEF\xBF\xBD" : s + i,
                u == 0xFFFD && len == 1 ? 3 : (size_t)len);
        }
        i += (size_t)len;
    }
    word(w, "\"");
}

void jw_key(struct jw *w, const char *key)
{
    before(w);
    quoted(w, key, strlen(key));
    word(w, ": ");
    w->after_key = true;
}

void jw_strn(struct jw *w, const char *s, size_t n)
{
    before(w);
    quoted(w, s, n);
}

void jw_str(struct jw *w, const char *s)
{
    if (s)
        jw_strn(w, s, strlen(s));
    else
        jw_null(w);
}

void jw_int(struct jw *w, int64_t v)
{
    char t[32];
    before(w);
    put(w, t, (size_t)snprintf(t, sizeof t, "%lld", (long long)v));
}

void jw_real(struct jw *w, double v)
{
    char t[32];
    before(w);
    put(w, t, (size_t)num_shortest(v, t));
}

void jw_real_f(struct jw *w, float v)
{
    char t[32];
    before(w);
    put(w, t, (size_t)num_shortest_f(v, t));
}

void jw_bool(struct jw *w, bool v)
{
    before(w);
    word(w, v ? "true" : "false");
}

void jw_null(struct jw *w)
{
    before(w);
    word(w, "null");
}

void jw_json(struct jw *w, const struct json *j)
{
    int64_t i = 0;
    double d = 0;
    size_t n = 0;
    const char *s;
    switch (json_type(j)) {
    case JSON_NULL: jw_null(w); break;
    case JSON_FALSE: jw_bool(w, false); break;
    case JSON_TRUE: jw_bool(w, true); break;
    case JSON_INT:
        json_int(j, &i);
        jw_int(w, i);
        break;
    case JSON_REAL:
        json_num(j, &d);
        jw_real(w, d);
        break;
    case JSON_STRING:
        s = json_str(j, &n);
        jw_strn(w, s, n);
        break;
    case JSON_ARRAY:
        jw_array(w);
        for (size_t k = 0; k < json_len(j); k++)
            jw_json(w, json_item(j, k));
        jw_end_array(w);
        break;
    case JSON_OBJECT:
        jw_object(w);
        for (void *it = json_first(j); it; it = json_next(j, it)) {
            jw_key(w, json_it_key(it));
            jw_json(w, json_it_value(it));
        }
        jw_end_object(w);
        break;
    }
}

void jw_kstr(struct jw *w, const char *k, const char *s)
{
    jw_key(w, k);
    jw_str(w, s);
}

void jw_kint(struct jw *w, const char *k, int64_t v)
{
    jw_key(w, k);
    jw_int(w, v);
}

void jw_kreal(struct jw *w, const char *k, double v)
{
    jw_key(w, k);
    jw_real(w, v);
}

void jw_kbool(struct jw *w, const char *k, bool v)
{
    jw_key(w, k);
    jw_bool(w, v);
}

int jw_done(struct jw *w, struct err *e)
{
    BUG_ON(!w->failed && w->depth);
    if (!w->failed && w->indent >= 0)
        word(w, "\n");
    if (w->failed && e && !e->code)
        *e = w->err;
    return w->failed ? -1 : 0;
}
