/* archive.h - `save: { archive: FILE }`: the output as one file beside the folder. It is written while nobody sees the output yet, and
 * takes its name right behind the folder, so that a full disk is known before anything appears. */
#ifndef QP_STAGES_ARCHIVE_H
#define QP_STAGES_ARCHIVE_H
#include "stages/job.h"

struct archived {
    char *partial; /* written and not named yet, or NULL */
    char sha256[HASH_HEX];
};
/* archive_plan - ERR_INPUT with its place: a name that says no known archive. */
int archive_plan(const struct job *j, int index, struct err *e);
/* archive_refuse - before anything is computed: ERR_INPUT when the file exists and !force, or SOURCE_DATE_EPOCH is no number. */
int archive_refuse(const struct job *j, bool force, struct err *e);
/* archive_make - dir: the whole output. Does nothing where no archive is asked for. */
int archive_make(const struct job *j, const char *dir, struct archived *out, struct err *e);
int archive_publish(const struct job *j, struct archived *a, struct err *e); /* releases a, also on failure */
void archive_abandon(struct archived *a);
#endif
