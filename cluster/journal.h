/* journal.h - what is finished, on disk, so that a job that ended anywhere goes on: records (key -> bytes) appended to one
 * file a rank, `journal.RANK`, in a folder beside the output. Safe on file systems like NFS: nobody appends to another's
 * file, no lock is relied on, readers open files anew; a record counts when its checksum holds and everything that it speaks
 * of was fsynced before it. A torn record at the end of a file is cut off and forgotten.
 *
 * An owner token (file `owner`: job id, restart count, host, pid, random) is read again before every append: of two copies
 * of one job (a scheduler may start the second while the first still runs) the older one stops with ERR_RESUME. */
#ifndef QP_CLUSTER_JOURNAL_H
#define QP_CLUSTER_JOURNAL_H
#include "base/err.h"
#include "base/str.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum resume { RESUME_AUTO, RESUME_REQUIRED, RESUME_NEVER };
extern const char *const resume_words[]; /* "auto", "required", "never", NULL */

struct journal;
/* One line of what must be equal when a job goes on: "recipe", "build", "input model-00001.safetensors", ... */
struct journal_identity {
    const char *what, *value;
};
struct journal_options {
    const char *dir; /* exists; rank 0 makes it before the others open */
    int rank, size;
    enum resume resume;
    const struct journal_identity *identity;
    size_t n_identity;
};
/* journal_open - reads all records of all ranks of earlier runs. ERR_INPUT when RESUME_AUTO or RESUME_REQUIRED finds records
 * of another identity (naming the first line that differs, what was found and expected), or RESUME_REQUIRED finds none.
 * RESUME_NEVER: records that are there are forgotten. */
struct journal *journal_open(const struct journal_options *o, struct err *e);
/* journal_put - one record; it is safe only after journal_commit. The last record of a key counts. */
int journal_put(struct journal *j, const char *key, const void *value, size_t n, struct err *e);
/* journal_commit - fsync of this rank's file, after `sync` (NULL: nothing else is spoken of) has made safe what the records
 * point to. ERR_RESUME when another process owns the job now. */
int journal_commit(struct journal *j, int (*sync)(void *arg, struct err *e), void *arg, struct err *e);
/* journal_get - the value of a key, from whichever rank; NULL: none. Borrowed until journal_refresh or journal_close. */
const void *journal_get(const struct journal *j, const char *key, size_t *n);
/* journal_refresh - reads again what other ranks have committed since: behind a barrier. */
int journal_refresh(struct journal *j, struct err *e);
bool journal_resumed(const struct journal *j); /* records of an earlier run were found */
void journal_close(struct journal *j);         /* NULL is allowed */
#endif
