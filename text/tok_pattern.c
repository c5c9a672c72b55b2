/* tok_pattern.c - what to look for: a literal, or a regular expression as tokenizer.json writes it.
 *
 * The library that defines the ids runs Oniguruma with Ruby's syntax; we have PCRE2. Where the two read the same text
 * differently the pattern is rewritten, and where no rewriting is known to be right it is refused (ERR_UNBUILT), never
 * guessed:
 *   \s \S \w \W   Unicode's White_Space and word property; PCRE2's \s has U+180E too, its \w lacks marks
 *   \p{Han} ...   the script itself; PCRE2 would take Script_Extensions
 *   [a[bc]]       sets inside sets are unions; PCRE2 reads '[' as itself
 *   ^ $           match at every line in Ruby
 *   \h            a hex digit in Ruby, horizontal space in PCRE2
 *   (?m)          Ruby's "dot matches newline"; refused, as (?i) in the middle of a group is
 *   X{n,m}+       possessive in PCRE2, a repeated repeat in Ruby; refused */
#include "text/tok.h"

#include "base/mem.h"

#include <string.h>

#define SPACE_IN_SET \
    "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
/* All characters that SPACE_IN_SET does not hold. */
#define NOT_SPACE_IN_SET                                                                                    \
    "\\x00-\\x08\\x0e-\\x1f!-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}" \
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{d7ff}\\x{e000}-\\x{10ffff}"
const char pattern_gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

struct scan {
    const char *p, *where;
    size_t n, i;
    struct buf *out;
    struct err *e;
};

static int refuse(struct scan *s, const char *what)
{
    err_set(s->e, ERR_UNBUILT, "%s: pattern '%.*s': %s at byte %zu is not built", s->where,
            (int)(s->n > 200 ? 200 : s->n), s->p, what, s->i);
    return err_hint(
        s->e,
        "This piece of Oniguruma's syntax is not known to mean the same in PCRE2 (text/tok_pattern.c).");
}

static int put(struct scan *s, const char *text) { return buf_str(s->out, text, s->e); }
static bool next_is(const struct scan *s, const char *word)
{
    size_t n = strlen(word);
    return s->n - s->i >= n && !memcmp(s->p + s->i, word, n);
}

static int put_class(struct scan *s, bool in_set, bool negated, const char *category)
{
    if ((!in_set && put(s, negated ? "[^" : "[")) || buf_printf(s->out, s->e, "\\p{%s}", category) ||
        unicode_added(category, s->out, s->e))
        return -1;
    return in_set ? 0 : put(s, "]");
}

/* \w as a set: Unicode's word characters; the circled letters are Alphabetic without being letters,
 * and below U+0100 Oniguruma counts all numbers, but not inside brackets. */
static int put_word(struct scan *s, bool in_set, bool negated)
{
    static const char *const cats[] = { "L", "M", "Nd", "Nl", "Pc" };
    if (!in_set && put(s, negated ? "[^" : "["))
        return -1;
    for (size_t i = 0; i < sizeof cats / sizeof *cats; i++)
        if (put_class(s, true, false, cats[i]))
            return -1;
    if (!in_set && put(s, "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"))
        return -1;
    if (put(s, "\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"))
        return -1;
    return in_set ? 0 : put(s, "]");
}

/* \p{X}, \P{X}, \p{^X}: general categories with the characters that PCRE2's table lacks, names of scripts as `sc:`. */
static int property(struct scan *s, bool in_set)
{
    static const char cats[] =
        " L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp C Cc Cf Cn Co Cs ";
    static const struct {
        const char *onig, *pcre;
    } names[] = { { "Han", "sc:Han" },
                  { "Hiragana", "sc:Hiragana" },
                  { "Katakana", "sc:Katakana" },
                  { "Hangul", "sc:Hangul" },
                  { "Latin", "sc:Latin" },
                  { "Greek", "sc:Greek" },
                  { "Cyrillic", "sc:Cyrillic" },
                  { "Arabic", "sc:Arabic" },
                  { "Hebrew", "sc:Hebrew" },
                  { "Thai", "sc:Thai" },
                  { "Devanagari", "sc:Devanagari" },
                  { "Letter", "L" },
                  { "Number", "N" },
                  { "Mark", "M" },
                  { "Punctuation", "P" },
                  { "Symbol", "S" },
                  { "Separator", "Z" } };
    const char *open = s->p + s->i + 2, *close = s->n - s->i > 3 ? memchr(open, '}', s->n - s->i - 2) : NULL;
    if (!close || *open != '{' || close - open > 24)
        return refuse(s, "a property without braces");
    bool caret = open[1] == '^';
    char name[32] = "", word[40] = " ";
    size_t n = (size_t)(close - open) - 1 - caret;
    memcpy(name, open + 1 + caret, n);
    memcpy(word + 1, name, n);
    word[n + 1] = ' ';
    const char *to = n && n < 3 && strstr(cats, word) ? name : NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i].onig, name))
            to = names[i].pcre;
    if (!to)
        return refuse(s, "this property");
    bool negated = (s->p[s->i + 1] == 'P') != caret;
    if (negated && in_set)
        return refuse(s, "a negated property inside brackets");
    s->i += (size_t)(close - open) + 3;
    return put_class(s, in_set, negated, to);
}

/* Escapes that stand for one character or a class. in_set: between brackets. */
static int escape(struct scan *s, bool in_set)
{
    if (s->i + 1 >= s->n)
        return put(s, "\\"); /* PCRE2 reports it */
    char c = s->p[s->i + 1];
    static const struct {
        char c;
        const char *set, *alone;
    } classes[] = { { 's', SPACE_IN_SET, "[" SPACE_IN_SET "]" },
                    { 'S', NOT_SPACE_IN_SET, "[^" SPACE_IN_SET "]" },
                    { 'h', "0-9A-Fa-f", "[0-9A-Fa-f]" } };
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (classes[i].c == c) {
            s->i += 2;
            return put(s, in_set ? classes[i].set : classes[i].alone);
        }
    if (c == 'p' || c == 'P')
        return property(s, in_set);
    if (in_set && (c == 'W' || c == 'D'))
        return refuse(s, "a negated class inside brackets");
    if (c == 'w' || c == 'W' || c == 'd' || c == 'D') {
        s->i += 2;
        return c == 'w' || c == 'W' ? put_word(s, in_set, c == 'W') : put_class(s, in_set, c == 'D', "Nd");
    }
    if (c == 'u' && s->n - s->i >= 6) {
        if (buf_printf(s->out, s->e, "\\x{%.4s}", s->p + s->i + 2))
            return -1;
        s->i += 6;
        return 0;
    }
    if (c == 'x' && s->n - s->i > 3 && s->p[s->i + 2] == '{') {
        const char *close = memchr(s->p + s->i, '}', s->n - s->i);
        size_t n = close ? (size_t)(close - s->p) - s->i + 1 : s->n - s->i;
        s->i += n;
        return buf_add(s->out, s->p + s->i - n, n, s->e);
    }
    bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (word && !strchr(in_set ? "tnrfvaex" : "tnrfvaexAzZ", c))
        return refuse(s, "this escape");
    int len;
    utf8_get(s->p + s->i + 1, s->n - s->i - 1, &len); /* an escaped non-ASCII character is itself */
    if (buf_add(s->out, s->p + s->i + (len > 1), (size_t)len + (len == 1), s->e))
        return -1;
    s->i += (size_t)len + 1;
    return 0;
}

/* A bracketed set; nested sets are flattened, which is right for unions only. */
static int set(struct scan *s)
{
    int depth = 1;
    s->i++;
    if (put(s, "["))
        return -1;
    if (s->i < s->n && s->p[s->i] == '^' && ++s->i && put(s, "^"))
        return -1;
    if (next_is(s, "]"))
        return refuse(s, "']' first in brackets");
    while (s->i < s->n && depth) {
        char c = s->p[s->i];
        int rc = 0;
        if (c == '\\')
            rc = escape(s, true);
        else if (next_is(s, "[:") || next_is(s, "[^") || next_is(s, "&&"))
            rc = refuse(s,
                        next_is(s, "[:") ? "a POSIX class" : "a negated or intersected set inside brackets");
        else {
            depth += c == '[' ? 1 : c == ']' ? -1 : 0;
            s->i++;
            if (c != '[' && (c != ']' || !depth))
                rc = buf_add(s->out, &c, 1, s->e);
        }
        if (rc)
            return -1;
    }
    return 0; /* an open set is PCRE2's to report */
}

static int group(struct scan *s)
{
    static const char *const same[] = { "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:" };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (next_is(s, same[i])) {
            s->i += strlen(same[i]);
            return put(s, same[i]);
        }
    if (next_is(s, "(?i)") && s->i == 0) {
        s->i += 4;
        return put(s, "(?i)");
    }
    if (next_is(s, "(?") || next_is(s, "(*"))
        return refuse(s, "this kind of group");
    s->i++;
    return put(s, "(?:"); /* captures are never used */
}

static int one(struct scan *s)
{
    char c = s->p[s->i];
    if (c == '\\')
        return escape(s, false);
    if (c == '[')
        return set(s);
    if (c == '(')
        return group(s);
    if (c == '^' || c == '$') {
        s->i++;
        return put(s, c == '^' ? "(?m:^)" : "(?m:$)");
    }
    if (c == '}' && s->i + 1 < s->n && s->p[s->i + 1] == '+')
        return refuse(s, "a repeat of a repeat");
    s->i++;
    return buf_add(s->out, &c, 1, s->e);
}

int pattern_translate(const char *p, size_t n, const char *where, struct buf *out, struct err *e)
{
    struct scan s = { p, where, n, 0, out, e };
    while (s.i < s.n)
        if (one(&s))
            return -1;
    return 0;
}

int pattern_init(struct pattern *p, const char *text, size_t n, bool is_regex, const char *where,
                 struct err *e)
{
    *p = (struct pattern){ 0 };
    if (!is_regex) {
        if (!n)
            return err_set(e, ERR_UNBUILT, "%s: an empty pattern is not built", where);
        p->lit = mem_strndup(text, n, e);
        p->n = n;
        return p->lit ? 0 : -1;
    }
    struct buf b = { 0 };
    if (utf8_valid(text, n) != n)
        return err_set(e, ERR_INPUT, "%s: the pattern is not valid UTF-8", where);
    if (!pattern_translate(text, n, where, &b, e) && !buf_reserve(&b, 1, e))
        p->re = regex_new(b.p, b.len, REGEX_UNICODE, e);
    buf_release(&b);
    return p->re ? 0 : err_while(e, "reading %s", where);
}

void pattern_release(struct pattern *p)
{
    regex_free(p->re);
    mem_free(p->lit);
    *p = (struct pattern){ 0 };
}

int spans_add(struct spans *l, size_t at, size_t end, bool match, struct err *e)
{
    if (grow((void **)&l->v, &l->cap, l->n + 1, sizeof *l->v, e))
        return -1;
    l->v[l->n++] = (struct span){ at, end, match };
    return 0;
}

static int find(const struct pattern *p, const char *s, size_t n, size_t from, size_t *at, size_t *end,
                struct err *e)
{
    if (p->re)
        return regex_find(p->re, s, n, from, at, end, e);
    const char *hit = from < n ? memmem(s + from, n - from, p->lit, p->n) : NULL;
    if (!hit)
        return 0;
    *at = (size_t)(hit - s);
    *end = *at + p->n;
    return 1;
}

int pattern_spans(const struct pattern *p, const char *s, size_t n, bool invert, struct spans *out,
                  struct err *e)
{
    size_t from = 0, done = 0, at, end;
    bool any = false;
    out->n = 0;
    while (from <= n) {
        int rc = find(p, s, n, from, &at, &end, e);
        if (rc < 0)
            return -1;
        if (!rc)
            break;
        if (at == end && any && at == done) { /* empty, right behind the last match */
            int len = 1;
            if (from < n)
                utf8_get(s + from, n - from, &len);
            from += (size_t)len;
            continue;
        }
        if (done != at && spans_add(out, done, at, invert, e))
            return -1;
        if (spans_add(out, at, end, !invert, e))
            return -1;
        from = done = end;
        any = true;
    }
    return done != n ? spans_add(out, done, n, invert, e) : 0;
}
