/* batch_local.c - no scheduler: the script runs in the background of this machine, in a session of its own, its tasks one after
 * another. Its id is the process; TERM stops it at the next point of the journal. */
#include "cluster/batch.h"

static int head(const struct batch_job *j, struct buf *out, struct err *e)
{
    (void)j;
    (void)out;
    (void)e;
    return 0;
}

const struct batch_kind batch_local = {
    .name = "local",
    .doc = "this machine, in the background",
    .ranks_by = LAUNCH_OPENMPI,
    .has_ranks = true,
    .head = head,
    .id = "$$",
};
