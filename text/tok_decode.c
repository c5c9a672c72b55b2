/* tok_decode.c - decoders: a list of tokens (one piece each, empty ones kept) to text. */
#include "text/tok.h"

#include "base/mem.h"

#include <string.h>

/* The piece that ends at the end of w->next.text. */
static int token_end(struct work *w, size_t at, struct err *e)
{
    return pieces_add(&w->next, at, w->next.text.len - at, 0, false, e);
}

/* Room for a NUL: no buffer is NULL, even when nothing is left. */
static int begin(struct work *w, struct err *e)
{
    w->next.n = w->next.text.len = 0;
    return buf_reserve(&w->next.text, 1, e);
}

typedef int token_fn(const struct part *p, size_t i, const char *s, size_t n, struct buf *out, struct err *e);

static int each_token(const struct part *p, struct work *w, token_fn *put, struct err *e)
{
    if (begin(w, e))
        return -1;
    for (size_t i = 0; i < w->cur.n; i++) {
        size_t at = w->next.text.len;
        if (put(p, i, w->cur.text.p + w->cur.v[i].at, w->cur.v[i].n, &w->next.text, e) || token_end(w, at, e))
            return -1;
    }
    work_swap_all(w);
    return 0;
}

/* A token with a character outside of the table is its own bytes (added tokens are). */
static int put_bytes(const struct part *p, size_t i, const char *s, size_t n, struct buf *out, struct err *e)
{
    (void)p, (void)i;
    size_t before = out->len;
    for (size_t k = 0; k < n;) {
        int len, b = byte_char_get(utf8_get(s + k, n - k, &len));
        if (b < 0) {
            out->len = before;
            return buf_add(out, s, n, e);
        }
        char c = (char)b;
        if (buf_add(out, &c, 1, e))
            return -1;
        k += (size_t)len;
    }
    return 0;
}

int dec_bytes_run(const struct part *p, struct work *w, struct err *e)
{
    if (each_token(p, w, put_bytes, e))
        return -1;
    if (begin(w, e))
        return -1;
    if (utf8_repair(w->cur.text.p, w->cur.text.len, &w->next.text, e) || token_end(w, 0, e))
        return -1;
    work_swap_all(w);
    return 0;
}

int dec_replace_parse(struct part *p, const struct json *j, struct part_reader *r, struct err *e)
{
    return part_pattern(p, j, r, e) || part_content(p, j, "content", r, e) ? -1 : 0;
}

int dec_replace_run(const struct part *p, struct work *w, struct err *e)
{
    if (begin(w, e))
        return -1;
    for (size_t i = 0; i < w->cur.n; i++) {
        const char *s = w->cur.text.p + w->cur.v[i].at;
        size_t at = w->next.text.len;
        if (pattern_spans(&p->pattern, s, w->cur.v[i].n, false, &w->spans, e))
            return -1;
        for (size_t k = 0; k < w->spans.n; k++) {
            const struct span *x = &w->spans.v[k];
            if (x->match ? buf_add(&w->next.text, p->content, p->n_content, e)
                         : buf_add(&w->next.text, s + x->at, x->end - x->at, e))
                return -1;
        }
        if (token_end(w, at, e))
            return -1;
    }
    work_swap_all(w);
    return 0;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* <0xNN>, NN as Rust parses it: "+F" is a number too. */
static int byte_token(const char *s, size_t n)
{
    if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>' || hex(s[4]) < 0)
        return -1;
    if (s[3] == '+')
        return hex(s[4]);
    return hex(s[3]) < 0 ? -1 : hex(s[3]) * 16 + hex(s[4]);
}

/* A run of byte tokens that is no valid UTF-8 gives one U+FFFD per byte. */
static int flush_bytes(struct work *w, struct buf *run, struct err *e)
{
    size_t at = w->next.text.len;
    if (!run->len)
        return 0;
    if (utf8_valid(run->p, run->len) == run->len) {
        if (buf_add(&w->next.text, run->p, run->len, e))
            return -1;
    } else {
        for (size_t i = 0; i < run->len; i++)
            if (buf_add(&w->next.text, "\xEF\xBF\xBD", 3, e))
                return -1;
    }
    run->len = 0;
    return token_end(w, at, e);
}

int dec_fallback_run(const struct part *p, struct work *w, struct err *e)
{
    (void)p;
    if (begin(w, e))
        return -1;
    w->norm.len = 0;
    for (size_t i = 0; i < w->cur.n; i++) {
        const char *s = w->cur.text.p + w->cur.v[i].at;
        int b = byte_token(s, w->cur.v[i].n);
        char c = (char)b;
        if (b >= 0) {
            if (buf_add(&w->norm, &c, 1, e))
                return -1;
            continue;
        }
        if (flush_bytes(w, &w->norm, e))
            return -1;
        size_t at = w->next.text.len;
        if (buf_add(&w->next.text, s, w->cur.v[i].n, e) || token_end(w, at, e))
            return -1;
    }
    if (flush_bytes(w, &w->norm, e))
        return -1;
    work_swap_all(w);
    return 0;
}

/* Tokens lie behind one another already. */
int dec_fuse_run(const struct part *p, struct work *w, struct err *e)
{
    (void)p;
    w->next.n = 0;
    if (pieces_add(&w->next, 0, w->cur.text.len, 0, false, e))
        return -1;
    work_swap_list(w);
    return 0;
}

int dec_strip_parse(struct part *p, const struct json *j, struct part_reader *r, struct err *e)
{
    char where[600];
    int len = 0;
    if (part_content(p, j, "content", r, e))
        return -1;
    if (p->n_content)
        utf8_get(p->content, p->n_content, &len);
    if (!len || (size_t)len != p->n_content)
        return err_set(e, ERR_INPUT, "%s: %s: key 'content': found '%s', expected one character", r->file,
                       r->where, p->content);
    snprintf(where, sizeof where, "%s: %s", r->file, r->where);
    return json_want_int(j, where, "start", 0, INT32_MAX, &p->start, e) ||
                   json_want_int(j, where, "stop", 0, INT32_MAX, &p->stop, e)
               ? -1
               : 0;
}

static int put_stripped(const struct part *p, size_t i, const char *s, size_t n, struct buf *out,
                        struct err *e)
{
    (void)i;
    size_t c = p->n_content;
    for (int64_t k = 0; k < p->start && n >= c && !memcmp(s, p->content, c); k++) {
        s += c;
        n -= c;
    }
    for (int64_t k = 0; k < p->stop && n >= c && !memcmp(s + n - c, p->content, c); k++)
        n -= c;
    return buf_add(out, s, n, e);
}

int dec_strip_run(const struct part *p, struct work *w, struct err *e)
{
    return each_token(p, w, put_stripped, e);
}

int dec_metaspace_parse(struct part *p, const struct json *j, struct part_reader *r, struct err *e)
{
    return pre_metaspace_parse(p, j, r, e);
}

static int put_spaces(const struct part *p, size_t i, const char *s, size_t n, struct buf *out, struct err *e)
{
    for (size_t k = 0; k < n;) {
        bool hit = n - k >= p->n_content && !memcmp(s + k, p->content, p->n_content);
        bool gone = hit && i == 0 && p->scheme != SCHEME_NEVER;
        if (!gone && buf_add(out, hit ? " " : s + k, 1, e))
            return -1;
        k += hit ? p->n_content : 1;
    }
    return 0;
}

int dec_metaspace_run(const struct part *p, struct work *w, struct err *e)
{
    return each_token(p, w, put_spaces, e);
}
