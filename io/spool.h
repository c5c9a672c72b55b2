/* spool.h - inside io: files that tensors wait in on their way out, read by place. They may still grow: a saver's own, and
 * those of other processes, whose bytes count from the moment that somebody says they are safe. */
#ifndef QP_IO_SPOOL_H
#define QP_IO_SPOOL_H
#include "base/err.h"
#include <stdint.h>

struct spools;
struct spools *spools_new(struct err *e);
int spools_add(struct spools *s, const char *path,
               struct err *e); /* its number, the same for the same path; -1 */
const char *spools_path(const struct spools *s, int file);
/* spools_view - the bytes [at, at + n) of a file; valid until spools_free. ERR_INPUT when it is shorter. */
int spools_view(struct spools *s, int file, uint64_t at, uint64_t n, const unsigned char **out,
                struct err *e);
void spools_free(struct spools *s); /* NULL is allowed */
#endif
