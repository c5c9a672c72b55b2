/* tok_pre.c - pre-tokenizers: each cuts the text pieces of w->cur further, or rewrites them. Added tokens pass through.
 * Empty pieces vanish. */
#include "text/tok.h"

#include "base/mem.h"

#include <string.h>

int pieces_add(struct pieces *l, size_t at, size_t n, int32_t id, bool first, struct err *e)
{
    if (!n && id < 0)
        return 0;
    if (grow((void **)&l->v, &l->cap, l->n + 1, sizeof *l->v, e))
        return -1;
    l->v[l->n++] = (struct piece){ at, n, id, first };
    return 0;
}

void work_swap_list(struct work *w)
{
    struct pieces c = w->cur, n = w->next;
    w->cur = (struct pieces){ c.text, n.v, n.n, n.cap };
    w->next = (struct pieces){ n.text, c.v, c.n, c.cap };
}

void work_swap_all(struct work *w)
{
    struct pieces c = w->cur;
    w->cur = w->next;
    w->next = c;
}

/* merge - what a behavior makes of matches and gaps, in place. A match joins its neighbour at most once: in a run of
 * matches only the first (the last, for CUT_NEXT) does. */
static void merge(struct spans *s, enum behavior how)
{
    size_t n = 0;
    bool before = false;
    if (how == CUT_NEXT) {
        size_t k = s->n;
        for (size_t i = s->n; i-- > 0; before = s->v[i].match) {
            struct span x = s->v[i];
            if (x.match && !before && k < s->n)
                s->v[k].at = x.at;
            else
                s->v[--k] = x;
        }
        memmove(s->v, s->v + k, (s->n - k) * sizeof *s->v);
        s->n -= k;
        return;
    }
    for (size_t i = 0; i < s->n; i++) {
        struct span x = s->v[i];
        bool join = how == CUT_CONTIGUOUS ? x.match == before : how == CUT_PREVIOUS && x.match && !before;
        before = x.match;
        if (join && n)
            s->v[n - 1].end = x.end;
        else
            s->v[n++] = x;
    }
    s->n = n;
}

typedef int spans_fn(const struct part *p, const char *s, size_t n, struct spans *out, struct err *e);

/* cut_all - every text piece is cut where `find` says. */
static int cut_all(const struct part *p, struct work *w, spans_fn *find, enum behavior how, struct err *e)
{
    w->next.n = 0;
    for (size_t i = 0; i < w->cur.n; i++) {
        struct piece x = w->cur.v[i];
        if (x.id >= 0) {
            if (pieces_add(&w->next, x.at, x.n, x.id, x.first, e))
                return -1;
            continue;
        }
        if (find(p, w->cur.text.p + x.at, x.n, &w->spans, e))
            return -1;
        if (how != CUT_REMOVED && how != CUT_ISOLATED)
            merge(&w->spans, how);
        for (size_t k = 0; k < w->spans.n; k++) {
            const struct span *s = &w->spans.v[k];
            if ((how != CUT_REMOVED || !s->match) &&
                pieces_add(&w->next, x.at + s->at, s->end - s->at, -1, x.first && s->at == 0, e))
                return -1;
        }
    }
    work_swap_list(w);
    return 0;
}

typedef bool char_fn(unsigned c);

/* Each character that `is` accepts is a match of its own. */
static int char_spans(char_fn *is, const char *s, size_t n, struct spans *out, struct err *e)
{
    size_t done = 0;
    out->n = 0;
    for (size_t i = 0; i < n;) {
        int len;
        bool hit = is(utf8_get(s + i, n - i, &len));
        size_t end = i + (size_t)len;
        if (hit && ((done < i && spans_add(out, done, i, false, e)) || spans_add(out, i, end, true, e)))
            return -1;
        if (hit)
            done = end;
        i = end;
    }
    return done < n ? spans_add(out, done, n, false, e) : 0;
}

static int read_behavior(struct part *p, const struct json *j, const struct part_reader *r, enum behavior def,
                         struct err *e)
{
    static const char *const names[] = { "Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                                         "Contiguous" };
    const char *s;
    p->behavior = def;
    if (json_type(json_get(j, "behavior")) == JSON_NULL)
        return 0;
    if (part_str(j, "behavior", r, &s, NULL, e))
        return -1;
    for (int i = 0; i < 5; i++)
        if (!strcmp(s, names[i])) {
            p->behavior = (enum behavior)i;
            return 0;
        }
    return err_set(
        e, ERR_INPUT,
        "%s: %s: behavior '%s', expected Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous",
        r->file, r->where, s);
}

int pre_split_parse(struct part *p, const struct json *j, struct part_reader *r, struct err *e)
{
    if (part_pattern(p, j, r, e) || part_bool(j, "invert", false, r, &p->invert, e))
        return -1;
    return read_behavior(p, j, r, CUT_ISOLATED, e);
}

static int pattern_find(const struct part *p, const char *s, size_t n, struct spans *out, struct err *e)
{
    return pattern_spans(&p->pattern, s, n, p->invert, out, e);
}

int pre_split_run(const struct part *p, struct work *w, struct err *e)
{
    return cut_all(p, w, pattern_find, p->behavior, e);
}

/* rewrite - every text piece by a function that appends its new form to w->next.text. */
static int rewrite(const struct part *p, struct work *w,
                   int (*put)(const struct part *p, const char *s, const struct piece *x, struct buf *out,
                              struct err *e),
                   struct err *e)
{
    w->next.n = w->next.text.len = 0;
    for (size_t i = 0; i < w->cur.n; i++) {
        const struct piece *x = &w->cur.v[i];
        size_t at = w->next.text.len;
        if (x->id < 0 && put(p, w->cur.text.p + x->at, x, &w->next.text, e))
            return -1;
        if (pieces_add(&w->next, at, w->next.text.len - at, x->id, x->first, e))
            return -1;
    }
    work_swap_all(w);
    return 0;
}

int pre_bytes_parse(struct part *p, const struct json *j, struct part_reader *r, struct err *e)
{
    if (part_bool(j, "add_prefix_space", true, r, &p->a, e) || part_bool(j, "use_regex", true, r, &p->b, e))
        return -1;
    return p->b ? pattern_init(&p->pattern, pattern_gpt2, strlen(pattern_gpt2), true, r->where, e) : 0;
}

static int put_prefixed(const struct part *p, const char *s, const struct piece *x, struct buf *out,
                        struct err *e)
{
    (void)p;
    if (s[0] != ' ' && buf_add(out, " ", 1, e))
        return -1;
    return buf_add(out, s, x->n, e);
}

static int put_bytes(const struct part *p, const char *s, const struct piece *x, struct buf *out,
                     struct err *e)
{
    (void)p;
    return bytes_map(s, x->n, out, e);
}

int pre_bytes_run(const struct part *p, struct work *w, struct err *e)
{
    if (p->a && rewrite(p, w, put_prefixed, e))
        return -1;
    if (p->b && cut_all(p, w, pattern_find, CUT_ISOLATED, e))
        return -1;
    return rewrite(p, w, put_bytes, e);
}

/* Old files say add_prefix_space instead of prepend_scheme, and repeat the replacement as str_rep. */
int pre_metaspace_parse(struct part *p, const struct json *j, struct part_reader *r, struct err *e)
{
    static const char *const names[] = { "first", "always", "never" };
    const char *s;
    int len = 0;
    bool space;
    if (part_content(p, j, "replacement", r, e) || part_bool(j, "split", true, r, &p->b, e) ||
        part_bool(j, "add_prefix_space", true, r, &space, e))
        return -1;
    if (p->n_content)
        utf8_get(p->content, p->n_content, &len);
    if (!len || (size_t)len != p->n_content)
        return err_set(e, ERR_INPUT, "%s: %s: key 'replacement': found '%s', expected one character", r->file,
                       r->where, p->content);
    if (pattern_init(&p->pattern, p->content, p->n_content, false, r->where, e))
        return -1;
    p->scheme = space ? SCHEME_ALWAYS : SCHEME_NEVER;
    if (json_type(json_get(j, "prepend_scheme")) == JSON_NULL)
        return 0;
    if (part_str(j, "prepend_scheme", r, &s, NULL, e))
        return -1;
    for (int i = 0; i < 3; i++)
        if (!strcmp(s, names[i])) {
            if (!space && i != SCHEME_NEVER)
                return err_set(e, ERR_INPUT, "%s: %s: add_prefix_space false contradicts prepend_scheme '%s'",
                               r->file, r->where, s);
            p->scheme = i;
            return 0;
        }
    return err_set(e, ERR_INPUT, "%s: %s: prepend_scheme '%s', expected first, always or never", r->file,
                   r->where, s);
}

static int put_metaspace(const struct part *p, const char *s, const struct piece *x, struct buf *out,
                         struct err *e)
{
    bool marked = s[0] == ' ' || (x->n >= p->n_content && !memcmp(s, p->content, p->n_content));
    bool wanted = p->scheme == SCHEME_ALWAYS || (p->scheme == SCHEME_FIRST && x->first);
    if (wanted && !marked && buf_add(out, p->content, p->n_content, e))
        return -1;
    for (size_t i = 0, from = 0; i <= x->n; i++) {
        if (i < x->n && s[i] != ' ')
            continue;
        if (buf_add(out, s + from, i - from, e) || (i < x->n && buf_add(out, p->content, p->n_content, e)))
            return -1;
        from = i + 1;
    }
    return 0;
}

int pre_metaspace_run(const struct part *p, struct work *w, struct err *e)
{
    if (rewrite(p, w, put_metaspace, e))
        return -1;
    return p->b ? cut_all(p, w, pattern_find, CUT_NEXT, e) : 0;
}

int pre_digits_parse(struct part *p, const struct json *j, struct part_reader *r, struct err *e)
{
    return part_bool(j, "individual_digits", false, r, &p->a, e);
}

#define CHAR_SPANS(name, is)                                                                         \
    static int name(const struct part *p, const char *s, size_t n, struct spans *out, struct err *e) \
    {                                                                                                \
        return (void)p, char_spans(is, s, n, out, e);                                                \
    }
CHAR_SPANS(find_numeric, char_is_numeric)
CHAR_SPANS(find_space, char_is_space)
CHAR_SPANS(find_punct, char_is_punct)

int pre_digits_run(const struct part *p, struct work *w, struct err *e)
{
    return cut_all(p, w, find_numeric, p->a ? CUT_ISOLATED : CUT_CONTIGUOUS, e);
}

int pre_punctuation_parse(struct part *p, const struct json *j, struct part_reader *r, struct err *e)
{
    return read_behavior(p, j, r, CUT_ISOLATED, e);
}

int pre_punctuation_run(const struct part *p, struct work *w, struct err *e)
{
    return cut_all(p, w, find_punct, p->behavior, e);
}

int pre_delimiter_parse(struct part *p, const struct json *j, struct part_reader *r, struct err *e)
{
    if (part_content(p, j, "delimiter", r, e))
        return -1;
    return pattern_init(&p->pattern, p->content, p->n_content, false, r->where, e);
}

int pre_delimiter_run(const struct part *p, struct work *w, struct err *e)
{
    return cut_all(p, w, pattern_find, CUT_REMOVED, e);
}

/* Runs of \w and runs of neither \w nor \s; a "match" here is what goes. */
static int find_words(const struct part *p, const char *s, size_t n, struct spans *out, struct err *e)
{
    (void)p;
    int before = 0; /* 0: white space, 1: word, 2: other */
    size_t from = 0;
    out->n = 0;
    for (size_t i = 0; i < n;) {
        int len;
        unsigned c = utf8_get(s + i, n - i, &len);
        int now = char_is_space(c) ? 0 : char_is_word(c) ? 1 : 2;
        if (now != before && i > from) {
            if (spans_add(out, from, i, before == 0, e))
                return -1;
            from = i;
        }
        before = now;
        i += (size_t)len;
    }
    return spans_add(out, from, n, before == 0, e);
}

int pre_whitespace_run(const struct part *p, struct work *w, struct err *e)
{
    return cut_all(p, w, find_words, CUT_REMOVED, e);
}

int pre_whitespace_split_run(const struct part *p, struct work *w, struct err *e)
{
    return cut_all(p, w, find_space, CUT_REMOVED, e);
}

int pre_bert_run(const struct part *p, struct work *w, struct err *e)
{
    return cut_all(p, w, find_space, CUT_REMOVED, e) || cut_all(p, w, find_punct, CUT_ISOLATED, e) ? -1 : 0;
}
