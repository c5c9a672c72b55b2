/* node.c - reading the tree of a recipe. */
#include "base/node.h"

#include <stdio.h>
#include <string.h>

bool node_is_null(const struct node *n)
{
    static const char *const words[] = { "", "~", "null", "Null", "NULL" };
    if (!n)
        return true;
    if (n->kind != NODE_SCALAR || n->quoted)
        return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(n->text, words[i]))
            return true;
    return false;
}

static size_t find(const struct node *map, const char *key)
{
    if (map && map->kind == NODE_MAP)
        for (size_t i = 0; i < map->n; i++)
            if (!strcmp(map->key[i]->text, key))
                return i;
    return (size_t)-1;
}

const struct node *node_get(const struct node *map, const char *key)
{
    size_t i = find(map, key);
    return i == (size_t)-1 ? NULL : map->item[i];
}

const struct node *node_key(const struct node *map, const char *key)
{
    size_t i = find(map, key);
    return i == (size_t)-1 ? NULL : map->key[i];
}

const char *node_what(const struct node *n)
{
    static _Thread_local char text[96];
    if (node_is_null(n))
        return "null";
    if (n->kind == NODE_MAP)
        return "a mapping";
    if (n->kind == NODE_LIST)
        return "a list";
    snprintf(text, sizeof text, "'%.80s'", n->text);
    return text;
}
