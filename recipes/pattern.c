/* pattern.c - Python's regular expressions in PCRE2's words. Most of a pattern is the same in both; what is not: escapes
 * that only one of them knows, \Z, references by number, {,n}, brackets inside classes, and the forms behind "(?". It is
 * no parser: what both read alike passes through, and PCRE2 refuses the rest. */
#include "recipes/pattern.h"

#include <string.h>

struct scan {
    const char *all, *p;
    struct buf *out;
    struct err *e;
};

static int bad(const struct scan *s, const char *at, const char *why)
{
    size_t chars = 0;
    for (const char *c = s->all; c < at; c++)
        chars += ((unsigned char)*c & 0xC0) != 0x80;
    err_set(s->e, ERR_INPUT, "pattern '%.80s' is malformed at position %zu: %s", s->all, chars, why);
    return err_hint(s->e, "patterns are those of Python's re module");
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_octal(char c) { return c >= '0' && c <= '7'; }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static int copy(struct scan *s, size_t n)
{
    const char *from = s->p;
    s->p += n;
    return buf_add(s->out, from, n, s->e);
}

static size_t hex_digits(const char *p, size_t want)
{
    size_t n = strspn(p, "0123456789abcdefABCDEF");
    return n < want ? 0 : want;
}

/* \x41, \u0041, \U00000041 */
static int by_hex(struct scan *s, size_t want)
{
    size_t n = hex_digits(s->p + 2, want);
    if (!n)
        return bad(s, s->p, "incomplete escape");
    const char *digits = s->p + 2;
    s->p += 2 + n;
    return buf_printf(s->out, s->e, "\\x{%.*s}", (int)n, digits);
}

/* \0, \012, \123: octal; \1 to \99: a reference, outside of classes. */
static int by_digits(struct scan *s, bool in_class)
{
    const char *p = s->p + 1;
    bool three = is_octal(p[0]) && is_octal(p[1]) && is_octal(p[2]);
    if (p[0] == '0' || three || (in_class && is_octal(p[0]))) {
        unsigned v = 0;
        size_t n = 0;
        for (; n < 3 && is_octal(p[n]); n++)
            v = v * 8 + (unsigned)(p[n] - '0');
        if (v > 0377)
            return bad(s, s->p, "octal escape outside of 0 to 0o377");
        s->p = p + n;
        return buf_printf(s->out, s->e, "\\x{%X}", v);
    }
    if (in_class)
        return bad(s, s->p, "bad escape");
    int n = is_digit(p[1]) ? 2 : 1;
    s->p = p + n;
    return buf_printf(s->out, s->e, "\\g{%.*s}", n, p);
}

static int escape(struct scan *s, bool in_class)
{
    const char c = s->p[1];
    if (!c)
        return bad(s, s->p, "bad escape (end of pattern)");
    if (is_digit(c))
        return by_digits(s, in_class);
    if (c == 'x' || c == 'u' || c == 'U')
        return by_hex(s, c == 'x' ? 2 : c == 'u' ? 4 : 8);
    if (c == 'v' || (c == 'Z' && !in_class)) { /* \v is a whole class to PCRE2; its \Z forgives a newline */
        s->p += 2;
        return buf_str(s->out, c == 'v' ? "\\x0b" : "\\z", s->e);
    }
    if (is_letter(c) && !strchr(in_class ? "abdDfnrsStwW" : "aAbBdDfnrsStwWz", c))
        return bad(s, s->p, "bad escape");
    return copy(s, 2);
}

static int class_of(struct scan *s)
{
    const char *from = s->p;
    size_t open = s->p[1] == '^' ? 2 : 1;
    if (copy(s, open + (s->p[open] == ']')))
        return -1;
    while (*s->p != ']') {
        int rc;
        if (!*s->p)
            return bad(s, from, "unterminated character set");
        if (*s->p == '\\')
            rc = escape(s, true);
        else if (*s->p == '[') { /* [:alpha:] means its letters to Python */
            s->p++;
            rc = buf_str(s->out, "\\[", s->e);
        } else
            rc = copy(s, 1);
        if (rc)
            return -1;
    }
    return copy(s, 1);
}

/* (?i) at the start, (?i:...), (?i-s:...) */
static int flags(struct scan *s)
{
    const char *from = s->p;
    size_t n = 2 + strspn(s->p + 2, "aiLmsux-");
    const char end = s->p[n];
    if (end != ')' && end != ':')
        return bad(s, from, "unknown extension behind (?");
    if (end == ')' && (from != s->all || memchr(from, '-', n)))
        return bad(s, from, "global flags not at the start of the expression");
    s->p += 2;
    if (buf_str(s->out, "(?", s->e))
        return -1;
    for (; *s->p != end; s->p++) {
        if (strchr("aLx", *s->p))
            return bad(s, s->p, "flags a, L and x are not taken over");
        if (*s->p != 'u' && buf_add(s->out, s->p, 1, s->e))
            return -1;
    }
    return copy(s, 1);
}

/* (?(1)yes|no) or by a name */
static int condition(struct scan *s)
{
    const char *name = s->p + 3;
    size_t n = strcspn(name, ")");
    if (!n || !name[n])
        return bad(s, s->p, "missing group name");
    s->p = name + n + 1;
    return buf_printf(s->out, s->e, is_digit(*name) ? "(?(%.*s)" : "(?(<%.*s>)", (int)n, name);
}

static int group(struct scan *s)
{
    static const char *const same[] = { "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?P<", "(?P=" };
    if (s->p[1] == '*')
        return bad(s, s->p + 1, "nothing to repeat");
    if (s->p[1] != '?')
        return copy(s, 1);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (str_starts(s->p, same[i]))
            return copy(s, strlen(same[i]));
    if (str_starts(s->p, "(?#")) {
        size_t n = strcspn(s->p, ")");
        return s->p[n] ? copy(s, n + 1) : bad(s, s->p, "missing ), unterminated comment");
    }
    return s->p[2] == '(' ? condition(s) : flags(s);
}

/* {,n} is {0,n} to Python; {,} is {0,}. */
static int brace(struct scan *s)
{
    size_t n = s->p[1] == ',' ? strspn(s->p + 2, "0123456789") : 0;
    if (s->p[1] != ',' || s->p[2 + n] != '}')
        return copy(s, 1);
    if (buf_str(s->out, "{0", s->e))
        return -1;
    s->p++;
    return copy(s, n + 2);
}

int python_to_pcre(const char *python, struct buf *out, struct err *e)
{
    struct scan s = { python, python, out, e };
    buf_release(out);
    int rc = buf_reserve(out, 1, e);
    while (!rc && *s.p) {
        switch (*s.p) {
        case '\\': rc = escape(&s, false); break;
        case '[': rc = class_of(&s); break;
        case '(': rc = group(&s); break;
        case '{': rc = brace(&s); break;
        default: rc = copy(&s, 1);
        }
    }
    return rc;
}

struct regex *pattern_new(const char *python, struct err *e)
{
    struct buf text = { 0 };
    struct regex *r = NULL;
    if (!python_to_pcre(python, &text, e)) {
        r = regex_new(text.p, text.len, REGEX_PYTHON_MATCH, e);
        if (!r && strcmp(text.p, python))
            err_while(e, "reading the pattern '%s'", python);
    }
    buf_release(&text);
    return r;
}
