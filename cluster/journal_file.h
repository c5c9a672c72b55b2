/* journal_file.h - inside cluster: the bytes of one journal file, and who owns a job.
 *
 *   record   u32 magic "QPJ1", u32 bytes of the key, u64 bytes of the value, key, value,
 *            u64 checksum (base/sum.h) of all that, seeded with the checksum of the record before it (first: 0)
 *
 * All little-endian. The first record's key is "identity". */
#ifndef QP_CLUSTER_JOURNAL_FILE_H
#define QP_CLUSTER_JOURNAL_FILE_H
#include "base/err.h"
#include "base/str.h"
#include <stdint.h>

extern const char journal_identity_key[];
/* journal_encode - one record behind what `out` holds; *chain: the checksum of the last one, replaced. */
int journal_encode(struct buf *out, const char *key, const void *value, size_t n, uint64_t *chain,
                   struct err *e);
/* A file read so far. */
struct journal_cursor {
    uint64_t at, chain; /* offset behind the last whole record, its checksum */
};
/* journal_scan - the whole records of a file behind c, each to f, which may end it with -1. What is torn is left alone. A file
 * that is not there has none. key ends with a NUL and is borrowed, like value. */
int journal_scan(const char *path, struct journal_cursor *c,
                 int (*f)(void *arg, const char *key, const void *value, size_t n, struct err *e), void *arg,
                 struct err *e);

/* owner_take - writes a new token to dir/owner; owner_read - the one that is there ("" when there is none); owner_check -
 * ERR_RESUME when it is not `mine`. */
enum { OWNER_MAX = 512 };
int owner_take(const char *dir, char token[OWNER_MAX], struct err *e);
int owner_read(const char *dir, char token[OWNER_MAX], struct err *e);
int owner_check(const char *dir, const char *mine, struct err *e);
#endif
