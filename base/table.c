/* table.c - linear probing, at most three quarters full. */
#include "base/table.h"

#include "base/mem.h"
#include "base/sum.h"

#include <string.h>

/* The slot of a key, or the free one where it would stand. */
static struct table_entry *find(struct table_entry *slot, size_t cap, const char *key)
{
    size_t at = (size_t)sum_bytes(key, strlen(key), 0) & (cap - 1);
    while (slot[at].key && strcmp(slot[at].key, key))
        at = (at + 1) & (cap - 1);
    return &slot[at];
}

static int grow(struct table *t, struct err *e)
{
    size_t cap = t->cap ? 2 * t->cap : 64;
    struct table_entry *slot = mem_array(cap, sizeof *slot, e);
    if (!slot)
        return -1;
    for (size_t i = 0; i < t->cap; i++)
        if (t->slot[i].key)
            *find(slot, cap, t->slot[i].key) = t->slot[i];
    mem_free(t->slot);
    t->slot = slot;
    t->cap = cap;
    return 0;
}

int table_put(struct table *t, const char *key, int64_t value, struct err *e)
{
    if (4 * (t->n + 1) > 3 * t->cap && grow(t, e))
        return -1;
    struct table_entry *at = find(t->slot, t->cap, key);
    if (!at->key) {
        at->key = mem_strdup(key, e);
        if (!at->key)
            return -1;
        t->n++;
    }
    at->value = value;
    return 0;
}

bool table_get(const struct table *t, const char *key, int64_t *value)
{
    const struct table_entry *at = t->cap ? find(t->slot, t->cap, key) : NULL;
    if (!at || !at->key)
        return false;
    *value = at->value;
    return true;
}

void table_release(struct table *t)
{
    for (size_t i = 0; i < t->cap; i++)
        mem_free(t->slot[i].key);
    mem_free(t->slot);
    memset(t, 0, sizeof *t);
}
