/* regex.h - regular expressions (PCRE2, UTF-8, Unicode properties) behind one small door, with limits, so that a
 * hostile pattern ends in an error. Used for recipe targets (Python's re.match) and pre-tokenizers. */
#ifndef QP_BASE_REGEX_H
#define QP_BASE_REGEX_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

struct regex;
enum regex_flags {
    REGEX_PYTHON_MATCH = 1, /* anchored at the start only, as re.match; \d, \w, \s by Unicode */
    REGEX_UNICODE = 2,      /* \d, \w, \s, \b and (?i) by Unicode (what tokenizers' oniguruma does) */
};
/* regex_new - ERR_INPUT with the offset and the library's words when the pattern is malformed. */
struct regex *regex_new(const char *pattern, size_t n, unsigned flags, struct err *e);
void regex_free(struct regex *r);
/* regex_find - first match in p[from, n): 1 found ([*start, *end) set), 0 none, -1 limit exceeded (ERR_LIMIT) or no
 * memory. Empty matches are found too. Not thread-safe per regex object. */
int regex_find(struct regex *r, const char *p, size_t n, size_t from, size_t *start, size_t *end,
               struct err *e);
#endif
