/* digests.h - SHA-256 of every file and tensor of the source, for the manifest; taken while the output is written. */
#ifndef QP_STAGES_DIGESTS_H
#define QP_STAGES_DIGESTS_H
#include "stages/job.h"

/* digests_run - finishes the saver and fills j->inputs. */
int digests_run(struct job *j, struct err *e);
#endif
