/* archive.h - text files that may be compressed or lie inside tar and zip archives (libarchive): read as a stream, with
 * limits on size, count and ratio; absolute names, "..", links and devices are refused. */
#ifndef QP_IO_ARCHIVE_H
#define QP_IO_ARCHIVE_H
#include "base/err.h"
#include "base/str.h"
#include <stdint.h>

struct archive_entry_info {
    const char *name; /* inside the archive; for a compressed single file: its name without .gz, .zst, ... */
    int64_t index;
};
/* archive_each - calls f for every regular file of path in archive order with its whole content (a plain file: once,
 * with its own name). f returns 0 to go on, 1 to stop, -1 with e set to fail. limit: bytes of content altogether. */
int archive_each(const char *path, uint64_t limit,
                 int (*f)(void *arg, const struct archive_entry_info *info, const char *p, size_t n,
                          struct err *e),
                 void *arg, struct err *e);
/* The same for bytes in memory; path is only its name. */
int archive_each_in(const unsigned char *p, uint64_t n, const char *path, uint64_t limit,
                    int (*f)(void *arg, const struct archive_entry_info *info, const char *p, size_t n,
                             struct err *e),
                    void *arg, struct err *e);
#endif
