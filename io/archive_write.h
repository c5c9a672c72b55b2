/* archive_write.h - the files of a folder as one archive whose bytes depend on their names and contents alone: names sorted, owner
 * and group 0 and nameless, mode 0644, one time for all; pax, uncompressed or through gzip, xz or zstd with every option
 * said. What a compressor makes of equal input depends on its version: only .tar has equal bytes everywhere. */
#ifndef QP_IO_ARCHIVE_WRITE_H
#define QP_IO_ARCHIVE_WRITE_H
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

extern const char *const archive_tails[]; /* ".tar", ".tar.gz", ...; ends with NULL */
bool archive_writable(const char *path);  /* ends with one of them */
/* archive_write - regular files of dir (no folders) into a new file at path, which must not exist; what the archive is, the end of
 * `name` says (that of path may be a temporary one). mtime: of every entry. sha256: of the archive. Nothing is left after an error. */
int archive_write(const char *dir, const char *path, const char *name, int64_t mtime, char sha256[65],
                  struct err *e);
#endif
