/* str.c - growing buffers, lists of strings, edit distance, UTF-8. */
#include "base/str.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int buf_reserve(struct buf *b, size_t more, struct err *e)
{
    if (more > SIZE_MAX / 4 || b->len > SIZE_MAX / 4)
        return err_nomem(e);
    size_t want = b->len + more + 1;
    if (want <= b->cap)
        return 0;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < want)
        cap += cap / 2 + 64;
    char *p = mem_resize(b->p, cap, e);
    if (!p)
        return -1;
    b->p = p;
    b->cap = cap;
    b->p[b->len] = '\0';
    return 0;
}

int buf_add(struct buf *b, const void *p, size_t n, struct err *e)
{
    if (buf_reserve(b, n, e))
        return -1;
    if (n)
        memcpy(b->p + b->len, p, n);
    b->len += n;
    b->p[b->len] = '\0';
    return 0;
}

int buf_str(struct buf *b, const char *s, struct err *e) { return buf_add(b, s, strlen(s), e); }

int buf_printf(struct buf *b, struct err *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || buf_reserve(b, (size_t)n, e))
        return err_nomem(e);
    va_start(ap, fmt);
    vsnprintf(b->p + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
    return 0;
}

void buf_release(struct buf *b)
{
    mem_free(b->p);
    memset(b, 0, sizeof *b);
}

bool slice_is(struct slice s, const char *word) { return strlen(word) == s.n && !memcmp(s.p, word, s.n); }

int strs_add(struct strs *l, const char *s, struct err *e)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 8;
        char **v = mem_resize(l->v, cap * sizeof *v, e);
        if (!v)
            return -1;
        l->v = v;
        l->cap = cap;
    }
    char *copy = mem_strdup(s, e);
    if (!copy)
        return -1;
    l->v[l->n++] = copy;
    return 0;
}

bool strs_has(const struct strs *l, const char *s)
{
    for (size_t i = 0; i < l->n; i++)
        if (!strcmp(l->v[i], s))
            return true;
    return false;
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

void strs_sort(struct strs *l)
{
    if (l->n > 1)
        qsort(l->v, l->n, sizeof *l->v, by_bytes);
}

bool strs_has_sorted(const struct strs *l, const char *s)
{
    return l->n && bsearch(&s, l->v, l->n, sizeof *l->v, by_bytes);
}

void strs_release(struct strs *l)
{
    for (size_t i = 0; i < l->n; i++)
        mem_free(l->v[i]);
    mem_free(l->v);
    memset(l, 0, sizeof *l);
}

bool str_starts(const char *s, const char *head) { return !strncmp(s, head, strlen(head)); }

bool str_ends(const char *s, const char *tail)
{
    size_t n = strlen(s), m = strlen(tail);
    return n >= m && !strcmp(s + n - m, tail);
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

bool str_same_nocase(const char *a, const char *b)
{
    while (*a && lower(*a) == lower(*b))
        a++, b++;
    return lower(*a) == lower(*b);
}

enum { WORD_MAX_LEN = 63 };
/* Edits (insert, delete, replace, swap of neighbours) between two words of at most 63 letters; 99 for longer ones. */
static int distance(const char *a, const char *b)
{
    int row[3][WORD_MAX_LEN + 2];
    size_t na = strlen(a), nb = strlen(b);
    if (na > WORD_MAX_LEN || nb > WORD_MAX_LEN)
        return 99;
    for (size_t j = 0; j <= nb; j++)
        row[0][j] = (int)j;
    for (size_t i = 1; i <= na; i++) {
        int *now = row[i % 3], *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];
        now[0] = (int)i;
        for (size_t j = 1; j <= nb; j++) {
            char x = lower(a[i - 1]), y = lower(b[j - 1]);
            int best = up[j - 1] + (x != y);
            if (up[j] + 1 < best)
                best = up[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && x == lower(b[j - 2]) && lower(a[i - 2]) == y && up2[j - 2] + 1 < best)
                best = up2[j - 2] + 1;
            now[j] = best;
        }
    }
    return row[na % 3][nb];
}

const char *str_nearest(const char *word, const char *const *first, size_t n, size_t stride)
{
    const char *best = NULL;
    int least = (int)(strlen(word) / 3) + 2;
    for (size_t i = 0; i < n; i++) {
        const char *w = *(const char *const *)(const void *)((const char *)first + i * stride);
        int d = w ? distance(word, w) : 99;
        if (d < least) {
            least = d;
            best = w;
        }
    }
    return best;
}

unsigned utf8_get(const char *p, size_t n, int *len)
{
    const unsigned char *u = (const unsigned char *)p;
    *len = 1;
    if (u[0] < 0x80)
        return u[0];
    int more = u[0] >= 0xF0 ? 3 : u[0] >= 0xE0 ? 2 : 1;
    if (u[0] < 0xC2 || u[0] > 0xF4 || n < (size_t)more + 1)
        return 0xFFFD;
    unsigned c = u[0] & (0x3Fu >> more);
    for (int i = 1; i <= more; i++) {
        if ((u[i] & 0xC0) != 0x80)
            return 0xFFFD;
        c = c << 6 | (u[i] & 0x3Fu);
    }
    if ((more == 2 && c < 0x800) || (more == 3 && c < 0x10000) || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
        return 0xFFFD;
    *len = more + 1;
    return c;
}

size_t utf8_valid(const char *p, size_t n)
{
    size_t i = 0;
    while (i < n) {
        int len;
        unsigned c = utf8_get(p + i, n - i, &len);
        if (c == 0xFFFD && len == 1)
            return i;
        i += (size_t)len;
    }
    return n;
}

int utf8_put(unsigned c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    for (int i = more; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)((0x780 >> more & 0xFF) | c); /* 0xC0, 0xE0, 0xF0 */
    return more + 1;
}
