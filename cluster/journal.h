/* journal.h - what is finished, on disk, so that a job that ended anywhere goes on: records (key -> bytes) appended to one
 * file a rank and start, `journal.RANK.N`, in a folder beside the output. Safe on file systems like NFS: nobody appends to
 * another's file or to one of an earlier start, no lock is relied on, readers open files anew; a record counts when its
 * checksum holds and everything that it speaks of was fsynced before it. A torn record at the end of a file is forgotten.
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
/* One line of what must be equal when a job goes on: "recipe", "build", "input model-00001.safetensors", ... A value may have
 * several lines: the first that differs is named. */
struct journal_identity {
    const char *what, *value;
};
struct journal_options {
    const char *dir; /* exists; rank 0 opens it before the others do */
    int rank, size;
    enum resume resume;
    const struct journal_identity *identity;
    size_t n_identity;
};
/* journal_open - reads all records of all ranks of earlier runs, takes the job over (rank 0 writes the owner token, the
 * others read it) and begins a file of this start. ERR_INPUT when RESUME_AUTO or RESUME_REQUIRED finds records of another
 * identity (naming the first line that differs, what was found and expected; nothing is changed then), or RESUME_REQUIRED
 * finds none. RESUME_NEVER: rank 0 removes the files of earlier starts (journal.*, spool.*). */
struct journal *journal_open(const struct journal_options *o, struct err *e);
/* journal_put - one record; it is safe only after journal_commit. The last record of a key counts. A key with a '/' is work; one
 * without is a note, which alone is nothing to go on from, and no reason to refuse another job. */
int journal_put(struct journal *j, const char *key, const void *value, size_t n, struct err *e);
/* journal_note - a record that no unit is made of (snapshots): tests that count records do not count it. */
int journal_note(struct journal *j, const char *key, const void *value, size_t n, struct err *e);
/* journal_commit - fsync of this rank's file, after `sync` (NULL: nothing else is spoken of) has made safe what the records
 * point to. ERR_RESUME when another process owns the job now. Nothing put since the last one: does nothing. */
int journal_commit(struct journal *j, int (*sync)(void *arg, struct err *e), void *arg, struct err *e);
/* journal_due - records wait for a commit, and a second has passed since the last one, or ten times as long as it took. */
bool journal_due(const struct journal *j);
/* journal_owned - ERR_RESUME when another process owns the job now: before anything is renamed. */
int journal_owned(const struct journal *j, struct err *e);
/* journal_get - the value of a key, from whichever rank; NULL: none. Borrowed until journal_close. */
const void *journal_get(const struct journal *j, const char *key, size_t *n);
/* journal_refresh - reads again what other ranks have committed since: behind a barrier. */
int journal_refresh(struct journal *j, struct err *e);
bool journal_eager(
    const struct journal *j); /* every record is committed at once, for a test that kills behind one */
bool journal_resumed(const struct journal *j);  /* records of an earlier run were found */
int64_t journal_count(const struct journal *j); /* different keys */
const char *journal_key(const struct journal *j,
                        int64_t i);                 /* of 0 .. count - 1, in no order that means anything */
int64_t journal_committed(const struct journal *j); /* records, of any start, that are safe on disk */
int journal_start(const struct journal *j);         /* N of this rank's file, journal.RANK.N */
void journal_close(struct journal *j);              /* NULL is allowed */

/* journal_look - the records of a job that may be running, for people who ask about it: nothing is written, any identity. */
struct journal *journal_look(const char *dir, struct err *e);
/* journal_clear - removes journals and spools of `dir`. */
int journal_clear(const char *dir, struct err *e);
#endif
