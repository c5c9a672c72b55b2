/* table.h - names to integers, in memory: open addressing, never shrinks, no removal. */
#ifndef QP_BASE_TABLE_H
#define QP_BASE_TABLE_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_entry {
    char *key; /* owned; NULL: free */
    int64_t value;
};
struct table {
    struct table_entry *slot;
    size_t n, cap; /* cap: 0 or a power of two */
};
int table_put(struct table *t, const char *key, int64_t value,
              struct err *e); /* an older value is replaced */
bool table_get(const struct table *t, const char *key, int64_t *value);
void table_release(struct table *t); /* { 0 } is a valid empty one */
#endif
