/* match.h - which modules a quant_config means. Semantics of compressed-tensors utils/match.py: an entry is `re:PATTERN`
 * (Python's re.match on the full name), a full module name, or the name of the class or one of its bases. Among groups:
 * exact names first, then regexes in byte order, then class names in byte order; the same entry in two groups: the
 * later group. Ignore beats targets. */
#ifndef QP_RECIPES_MATCH_H
#define QP_RECIPES_MATCH_H
#include "recipes/options.h"

struct match_module {
    const char *name;
    const char *const *classes; /* own class, then bases, NULL-terminated: "Linear", "Module" */
    bool quantizable;           /* Linear or Embedding */
};
struct match_result {
    int group; /* index in the config, or -1 */
    const char
        *rule; /* the entry that decided ("Linear", "re:.*lm_head"), borrowed; NULL: no entry matched */
    struct src_pos at; /* its place */
    bool ignored;      /* rule is an ignore entry */
};
/* match_modules - result[n]. ERR_INPUT with position: an entry that matches nothing (unless listed optional or
 * allow_unmatched), an invalid pattern with its offset, a target that matches only modules which can not be
 * quantized, nothing left to quantize. notes: overlaps worth a line in the plan; may be NULL. */
int match_modules(const struct quant_config *c, const struct match_module *m, size_t n, bool allow_unmatched,
                  struct match_result *result, struct strs *notes, struct err *e);
#endif
