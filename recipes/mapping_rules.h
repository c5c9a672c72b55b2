/* mapping_rules.h - `mappings` of AWQModifier and SmoothQuantModifier as llm-compressor writes them: which layer is scaled and
 * which ones balance it, by name or by `re:` pattern (Python's re.match on the full name). */
#ifndef QP_RECIPES_MAPPING_RULES_H
#define QP_RECIPES_MAPPING_RULES_H
#include "base/node.h"
#include "base/regex.h"
#include <stdint.h>

struct name_pattern {
    const char *text;    /* borrowed from the recipe */
    struct regex *regex; /* NULL: the name itself */
    struct src_pos at;
};
struct name_patterns {
    struct name_pattern *v;
    size_t n;
};
struct mapping_rule {
    struct name_patterns smooth, balance;
    struct src_pos at;
};
struct mapping_rules {
    struct mapping_rule *v;
    size_t n;
};
/* mapping_rules_read - {smooth_layer: T, balance_layers: [T, ...]} or [[T, ...], T] each; n NULL or null: no rules. ERR_INPUT
 * with place. */
int mapping_rules_read(const struct node *n, struct mapping_rules *out, struct err *e);
void mapping_rules_release(struct mapping_rules *r);
/* name_patterns_read - one text or a list of them; NULL or null: none. */
int name_patterns_read(const struct node *n, struct name_patterns *out, struct err *e);
void name_patterns_release(struct name_patterns *p);
/* name_patterns_find - index of the first entry that means the name; n: none of them; -1: a pattern gave up. */
int64_t name_patterns_find(const struct name_patterns *p, const char *name, struct err *e);
#endif
