/* fuzz_archive.c - any bytes as a text, a compressed text or an archive: an error with a text, or contents within the limit
 * under names that stay inside a folder. */
#include "base/mem.h"
#include "io/archive.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIMIT = 1 << 20 };

static int take(void *arg, const struct archive_entry_info *info, const char *p, size_t n, struct err *e)
{
    uint64_t *total = arg;
    (void)e;
    *total += n;
    BUG_ON(*total > LIMIT || info->name[0] == '/' || !strncmp(info->name, "../", 3));
    /* content is one block: its first and last byte are there */
    if (n)
        *total += (uint64_t)((p[0] ^ p[n - 1]) & 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = { 0 };
    uint64_t total = 0;
    if (archive_each_in(data, size, "input", LIMIT, take, &total, &e)) {
        BUG_ON(e.code != ERR_INPUT && e.code != ERR_LIMIT);
        BUG_ON(!e.what[0]);
    }
    return 0;
}
