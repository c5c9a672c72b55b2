/* pattern.h - inside recipes: a `re:` pattern, which is Python's, for the regular expressions of base (PCRE2's). */
#ifndef QP_RECIPES_PATTERN_H
#define QP_RECIPES_PATTERN_H
#include "base/regex.h"
#include "base/str.h"

/* pattern_new - python: the text behind `re:`. ERR_INPUT where Python's re.compile refuses, with the offset in characters, and
 * for the few forms that are not taken over: flags a and x, and characters by name. */
struct regex *pattern_new(const char *python, struct err *e);
/* python_to_pcre - the same pattern in PCRE2's words; out is replaced. */
int python_to_pcre(const char *python, struct buf *out, struct err *e);
#endif
