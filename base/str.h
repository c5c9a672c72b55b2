/* str.h - growing byte buffers, string slices, lists of strings, and the nearest valid word. */
#ifndef QP_BASE_STR_H
#define QP_BASE_STR_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

/* A growing buffer of bytes, always NUL-terminated behind len. { 0 } is a valid empty one. */
struct buf {
    char *p;
    size_t len, cap;
};
int buf_add(struct buf *b, const void *p, size_t n, struct err *e);
int buf_str(struct buf *b, const char *s, struct err *e);
int buf_printf(struct buf *b, struct err *e, const char *fmt, ...) QP_PRINTF(3, 4);
int buf_reserve(struct buf *b, size_t more, struct err *e); /* room for `more` bytes behind len */
void buf_release(struct buf *b);

/* Borrowed bytes. */
struct slice {
    const char *p;
    size_t n;
};
static inline struct slice slice_of(const char *p, size_t n)
{
    struct slice s = { p, n };
    return s;
}
bool slice_is(struct slice s, const char *word);

/* A list of owned strings. { 0 } is a valid empty one. */
struct strs {
    char **v;
    size_t n, cap;
};
int strs_add(struct strs *l, const char *s, struct err *e);
bool strs_has(const struct strs *l, const char *s);
bool strs_has_sorted(const struct strs *l, const char *s); /* after strs_sort */
void strs_sort(struct strs *l);                            /* by bytes */
void strs_release(struct strs *l);

bool str_ends(const char *s, const char *tail);
bool str_starts(const char *s, const char *head);
bool str_same_nocase(const char *a, const char *b); /* ASCII */

/* str_nearest - the word of a list that is nearest to `word` by edits (an adjacent swap counts one), or NULL if
 * none is near enough (distance above 1/3 of its length + 1). words: n strings at `first`, `stride` bytes apart
 * (so that a table's name column can be searched). ASCII case is ignored. */
const char *str_nearest(const char *word, const char *const *first, size_t n, size_t stride);

/* utf8_valid - the number of leading bytes of p that are valid UTF-8 (n when all are). */
size_t utf8_valid(const char *p, size_t n);
/* utf8_get - decode the character at p (n > 0 bytes left); *len is set to its bytes. Invalid: 0xFFFD, *len = 1. */
unsigned utf8_get(const char *p, size_t n, int *len);
/* utf8_put - encode c into out[4]; returns its bytes. */
int utf8_put(unsigned c, char *out);
#endif
