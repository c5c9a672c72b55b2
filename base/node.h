/* node.h - a value of a recipe with its place in the file: what recipes reads, and what option tables take.
 * Scalars keep their text and whether they were quoted; what they mean is decided by the option that takes them
 * (base/opt.h), never guessed. */
#ifndef QP_BASE_NODE_H
#define QP_BASE_NODE_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };
struct node {
    enum node_kind kind;
    struct src_pos at;
    const char *text;   /* scalar: NUL-terminated text (no NUL inside) */
    bool quoted;        /* scalar: '...' or "..." or a block scalar: always text */
    size_t n;           /* list, map: children */
    struct node **item; /* list: items; map: values */
    struct node **key;  /* map: keys, always scalars */
    bool substituted;   /* variables are in place (nodes of aliases are shared) */
};
/* An unquoted empty scalar, `~`, `null`, `Null`, `NULL`. */
bool node_is_null(const struct node *n);
const struct node *node_get(const struct node *map, const char *key); /* NULL: absent or no map */
const struct node *node_key(const struct node *map, const char *key); /* the key's own node, for positions */
const char *node_what(
    const struct node *n); /* "a mapping", "a list", "'text'", "null": for errors; static buffer per thread */
#endif
