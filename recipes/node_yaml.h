/* node_yaml.h - YAML text to a tree of nodes with positions (libyaml's events): one document, limits on size, depth
 * and expanded aliases, duplicate keys refused with both places, variables substituted. Knows nothing of recipes. */
#ifndef QP_RECIPES_NODE_YAML_H
#define QP_RECIPES_NODE_YAML_H
#include "base/node.h"

struct var {
    const char *name, *value;
};
struct yaml_doc;
/* yaml_doc_parse - name: what positions say (kept as a copy). ERR_INPUT, ERR_LIMIT (above 1 MiB, depth 64, 100 000 nodes
 * after alias expansion), ERR_NOMEM. "<<" merges a mapping or a list of mappings, as YAML 1.1 does. */
struct yaml_doc *yaml_doc_parse(const char *text, size_t n, const char *name, struct err *e);
const struct node *yaml_doc_root(
    const struct yaml_doc *d); /* never NULL; an empty document is ERR_INPUT at parse */
void yaml_doc_free(struct yaml_doc *d);
/* yaml_doc_substitute - ${name} in every scalar value (not keys) by vars, `$$` for a dollar; an unknown name is ERR_INPUT
 * with its place and the nearest one. */
int yaml_doc_substitute(struct yaml_doc *d, const struct var *vars, size_t n, struct err *e);
#endif
