/* snapshot.h - inside stages: the activations between two blocks of a calibrated walk, kept in the work folder from time to time,
 * so that a run that goes on need not walk again what is finished. Any number of ranks may take what any number has kept. */
#ifndef QP_STAGES_SNAPSHOT_H
#define QP_STAGES_SNAPSHOT_H
#include "stages/ranks.h"
#include "stages/units.h"

/* Of one walk: when activations were kept last, how long that took, in which file. */
struct snapshots {
    double last, took; /* s */
    char file[80];
    bool off; /* the disk had no room for the last one */
};
/* All ranks call these; own: this rank's chunks. snapshot_keep - behind block `block - 1`, whose units are committed: writes the
 * residual streams to a file, when ten seconds have passed since the last one, or twenty times as long as that took. */
int snapshot_keep(struct job *j, struct snapshots *s, struct span own, struct walker *w, int64_t block,
                  struct err *e);
/* snapshot_find - the last block before which every chunk's stream is on disk and sound, and all modules are finished; 0: none. */
int snapshot_find(struct job *j, struct span own, int64_t *block, struct err *e);
/* snapshot_take - into a new walker, which then stands before that block. ERR_INPUT when the file changed since it was found. */
int snapshot_take(struct job *j, struct span own, int64_t block, struct walker *w, struct err *e);
#endif
