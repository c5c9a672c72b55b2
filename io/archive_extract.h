/* archive_extract.h - a checkpoint in an archive, unpacked: tensors are read in any order and more than once, by mapping, which a
 * compressed stream can not give; so the files go to disk first, once, into a folder of their own. */
#ifndef QP_IO_ARCHIVE_EXTRACT_H
#define QP_IO_ARCHIVE_EXTRACT_H
#include "base/err.h"

/* archive_extract - the regular files of the archive at path (tar or zip; gzip, xz, zstd, bzip2, lz4) into dir, an existing empty
 * folder. root: where the checkpoint lies, dir or the only folder in it; owned. ERR_INPUT: no archive; a name that is absolute,
 * holds "..", or is there twice; a link or device. ERR_LIMIT: a million entries, names of 4096 bytes, folders 16 deep, 500 times the
 * bytes read once 16 MiB came out. */
int archive_extract(const char *path, const char *dir, char **root, struct err *e);
#endif
