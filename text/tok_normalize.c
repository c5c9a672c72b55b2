/* tok_normalize.c - normalizers: each takes w->norm and leaves the changed text there. Normalization forms use
 * utf8proc's tables character by character; the ordering of marks is our own, because utf8proc's is quadratic in the
 * length of a run of marks. */
#include "text/tok.h"

#include "base/mem.h"

#include <string.h>
#include <utf8proc.h>

static void swap_norm(struct work *w)
{
    struct buf b = w->norm;
    w->norm = w->norm_next;
    w->norm_next = b;
}

static bool is_ascii(const struct buf *b)
{
    for (size_t i = 0; i < b->len; i++)
        if ((unsigned char)b->p[i] >= 0x80)
            return false;
    return true;
}

/* The combining class, 0 for characters that the library's tables do not have. */
static int class_of(int32_t c)
{
    int cc = c < 0x300 ? 0 : utf8proc_get_property(c)->combining_class & 0xff;
    return cc && unicode_is_late_form((unsigned)c) ? 0 : cc;
}

/* order_marks - stable sort by combining class of each run of characters whose class is not 0 (Unicode D109): one
 * counting pass per class that occurs, so linear for any text. */
static void order_run(int32_t *c, int32_t *tmp, size_t n)
{
    bool has[256] = { 0 }, sorted = true;
    int before = 0;
    for (size_t i = 0; i < n; i++) {
        int cc = class_of(c[i]);
        has[cc] = true;
        sorted = sorted && cc >= before;
        before = cc;
    }
    if (sorted)
        return;
    size_t k = 0;
    for (int cc = 0; cc < 256; cc++)
        for (size_t i = 0; has[cc] && i < n; i++)
            if (class_of(c[i]) == cc)
                tmp[k++] = c[i];
    memcpy(c, tmp, n * sizeof *c);
}

static void order_marks(int32_t *c, int32_t *tmp, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t from = i;
        while (i < n && class_of(c[i]))
            i++;
        if (i - from > 1)
            order_run(c + from, tmp, i - from);
        i += i == from;
    }
}

/* decompose - w->norm as code points in w->chars, marks in order; behind them lies as much scratch. */
static int decompose(struct work *w, bool compat, struct err *e)
{
    enum { LONGEST = 18 }; /* U+FDFA */
    utf8proc_option_t how = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    if (compat)
        how |= UTF8PROC_COMPAT;
    w->n_chars = 0;
    for (size_t i = 0; i < w->norm.len;) {
        int len, boundary = 0;
        unsigned c = utf8_get(w->norm.p + i, w->norm.len - i, &len);
        if (grow((void **)&w->chars, &w->cap_chars, w->n_chars + LONGEST, sizeof *w->chars, e))
            return -1;
        i += (size_t)len;
        utf8proc_ssize_t n =
            utf8proc_decompose_char((utf8proc_int32_t)c, w->chars + w->n_chars, LONGEST, how, &boundary);
        BUG_ON(n < 0 || n > LONGEST);
        if ((n != 1 || w->chars[w->n_chars] != (int32_t)c) && unicode_is_late_form(c)) {
            w->chars[w->n_chars] = (int32_t)c;
            n = 1;
        }
        w->n_chars += (size_t)n;
    }
    if (grow((void **)&w->chars, &w->cap_chars, 2 * w->n_chars, sizeof *w->chars, e))
        return -1;
    order_marks(w->chars, w->chars + w->n_chars, w->n_chars);
    return 0;
}

/* compose_chars - between the characters that the library does not know, in place. */
static void compose_chars(struct work *w)
{
    size_t to = 0;
    for (size_t i = 0; i < w->n_chars;) {
        size_t from = i;
        while (i < w->n_chars && !unicode_is_late_form((unsigned)w->chars[i]))
            i++;
        utf8proc_ssize_t n = utf8proc_normalize_utf32(w->chars + from, (utf8proc_ssize_t)(i - from),
                                                      UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        BUG_ON(n < 0);
        memmove(w->chars + to, w->chars + from, (size_t)n * sizeof *w->chars);
        to += (size_t)n;
        if (i < w->n_chars)
            w->chars[to++] = w->chars[i++];
    }
    w->n_chars = to;
}

static int form(struct work *w, bool compat, bool compose, struct err *e)
{
    if (is_ascii(&w->norm))
        return 0;
    if (decompose(w, compat, e))
        return -1;
    if (compose)
        compose_chars(w);
    w->norm_next.len = 0;
    if (buf_reserve(&w->norm_next, 4 * w->n_chars + 1, e))
        return -1;
    for (size_t i = 0; i < w->n_chars; i++)
        w->norm_next.len += (size_t)utf8_put((unsigned)w->chars[i], w->norm_next.p + w->norm_next.len);
    w->norm_next.p[w->norm_next.len] = 0;
    swap_norm(w);
    return 0;
}

int norm_nfc_run(const struct part *p, struct work *w, struct err *e)
{
    return (void)p, form(w, false, true, e);
}
int norm_nfd_run(const struct part *p, struct work *w, struct err *e)
{
    return (void)p, form(w, false, false, e);
}
int norm_nfkc_run(const struct part *p, struct work *w, struct err *e)
{
    return (void)p, form(w, true, true, e);
}
int norm_nfkd_run(const struct part *p, struct work *w, struct err *e)
{
    return (void)p, form(w, true, false, e);
}

int norm_replace_parse(struct part *p, const struct json *j, struct part_reader *r, struct err *e)
{
    return part_pattern(p, j, r, e) || part_content(p, j, "content", r, e) ? -1 : 0;
}

int norm_replace_run(const struct part *p, struct work *w, struct err *e)
{
    if (pattern_spans(&p->pattern, w->norm.p, w->norm.len, false, &w->cuts, e))
        return -1;
    w->norm_next.len = 0;
    if (buf_reserve(&w->norm_next, w->norm.len, e))
        return -1;
    for (size_t i = 0; i < w->cuts.n; i++) {
        const struct span *s = &w->cuts.v[i];
        if (s->match ? buf_add(&w->norm_next, p->content, p->n_content, e)
                     : buf_add(&w->norm_next, w->norm.p + s->at, s->end - s->at, e))
            return -1;
    }
    swap_norm(w);
    return 0;
}

int norm_prepend_parse(struct part *p, const struct json *j, struct part_reader *r, struct err *e)
{
    return part_content(p, j, "prepend", r, e);
}

int norm_prepend_run(const struct part *p, struct work *w, struct err *e)
{
    if (!w->norm.len)
        return 0;
    w->norm_next.len = 0;
    if (buf_add(&w->norm_next, p->content, p->n_content, e) ||
        buf_add(&w->norm_next, w->norm.p, w->norm.len, e))
        return -1;
    swap_norm(w);
    return 0;
}

int norm_strip_parse(struct part *p, const struct json *j, struct part_reader *r, struct err *e)
{
    return part_bool(j, "strip_left", true, r, &p->a, e) || part_bool(j, "strip_right", true, r, &p->b, e)
               ? -1
               : 0;
}

int norm_strip_run(const struct part *p, struct work *w, struct err *e)
{
    size_t at = 0, end = w->norm.len;
    int len;
    while (p->a && at < end && char_is_space(utf8_get(w->norm.p + at, end - at, &len)))
        at += (size_t)len;
    while (p->b && end > at) {
        size_t c = end - 1;
        while (c > at && ((unsigned char)w->norm.p[c] & 0xC0) == 0x80)
            c--;
        if (!char_is_space(utf8_get(w->norm.p + c, end - c, &len)))
            break;
        end = c;
    }
    w->norm_next.len = 0;
    if (buf_add(&w->norm_next, w->norm.p + at, end - at, e))
        return -1;
    swap_norm(w);
    return 0;
}

/* each_char - w->norm through a function that writes at most 8 bytes for a character. */
static int each_char(struct work *w, int (*put)(unsigned c, char *out), struct err *e)
{
    w->norm_next.len = 0;
    for (size_t i = 0; i < w->norm.len;) {
        int len;
        char out[8];
        unsigned c = utf8_get(w->norm.p + i, w->norm.len - i, &len);
        i += (size_t)len;
        if (buf_add(&w->norm_next, out, (size_t)put(c, out), e))
            return -1;
    }
    swap_norm(w);
    return 0;
}

/* U+0130 is the one character whose full small form is two characters without conditions (SpecialCasing.txt). */
static int put_lower(unsigned c, char *out)
{
    if (c != 0x130) {
        unsigned low = (unsigned)utf8proc_tolower((utf8proc_int32_t)c);
        return utf8_put(low == c && c > 0x7F ? unicode_late_lower(c) : low, out);
    }
    memcpy(out, "i\xCC\x87", 3);
    return 3;
}

/* U+1CF2 and U+1CF3 are letters since Unicode 12, and marks to the library. */
static int put_unless_mark(unsigned c, char *out)
{
    bool mark = (char_is_mark(c) && !unicode_is_late_mark(c)) || c == 0x1CF2 || c == 0x1CF3;
    return mark ? 0 : utf8_put(c, out);
}

int norm_lowercase_run(const struct part *p, struct work *w, struct err *e)
{
    return (void)p, each_char(w, put_lower, e);
}
int norm_strip_accents_run(const struct part *p, struct work *w, struct err *e)
{
    return (void)p, each_char(w, put_unless_mark, e);
}

int norm_bytes_run(const struct part *p, struct work *w, struct err *e)
{
    (void)p;
    w->norm_next.len = 0;
    if (bytes_map(w->norm.p, w->norm.len, &w->norm_next, e))
        return -1;
    swap_norm(w);
    return 0;
}

int tokenizer_normalize(const struct part *chain, struct work *w, const char *p, size_t n, struct err *e)
{
    w->norm.len = w->norm_next.len = 0;
    if (buf_reserve(&w->norm_next, 1, e) ||
        buf_add(&w->norm, p, n, e)) /* no buffer is NULL, even when nothing is left */
        return -1;
    return part_run(chain, w, e);
}
