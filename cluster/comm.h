/* comm.h - the door to "who else is running this job": a communicator is one row of a table. `single` is always there;
 * `mpi` where the build found an MPI. What it is not: no arithmetic (sums over ranks need an order of their own and are
 * built on top of this), no knowledge of quantization.
 *
 * MPI is initialised only when the environment says that a launcher started more than one process, so a plain run does
 * not pay for it (0.03 to 0.5 s, measured). Waiting is patient: a waiting rank sleeps and leaves its core to others. */
#ifndef QP_CLUSTER_COMM_H
#define QP_CLUSTER_COMM_H
#include "base/err.h"
#include <stddef.h>

struct comm {
    const struct comm_kind *kind;
    int rank, size; /* 0 <= rank < size */
};

/* Every function is collective: all ranks call it, in the same order. Lengths are in bytes and equal on all ranks. */
struct comm_kind {
    const char *name, *doc;
    int (*open)(struct comm *c, struct err *e);
    int (*barrier)(const struct comm *c, struct err *e);
    int (*bcast)(const struct comm *c, void *data, size_t n_bytes, int root, struct err *e);
    /* all: on root size * n_bytes bytes, rank r's part at r * n_bytes; ignored elsewhere and may be NULL there. */
    int (*gather)(const struct comm *c, const void *part, size_t n_bytes, void *all, int root, struct err *e);
    void (*close)(struct comm *c);
    void (*abort)(const struct comm *c, int status); /* ends every rank of the job */
};
extern const struct comm_kind comm_single;
extern const struct comm_kind *const comms[]; /* the rows of this build, ends with NULL */

/* What the environment says about the launcher: name NULL and size 1 when there is none. */
struct comm_launch {
    const char *name; /* "mpirun (Open MPI)", "srun", ... */
    int size;
};
int comm_launched(struct comm_launch *l, struct err *e) QP_MUST_CHECK;

/* comm_open - the communicator of this process. More than one rank is ERR_UNBUILT in this version: nothing is opened,
 * nothing was written. Close with comm_close. */
int comm_open(struct comm *c, struct err *e) QP_MUST_CHECK;
void comm_close(struct comm *c);

int comm_barrier(const struct comm *c, struct err *e) QP_MUST_CHECK;
int comm_bcast(const struct comm *c, void *data, size_t n_bytes, int root, struct err *e) QP_MUST_CHECK;
int comm_gather(const struct comm *c, const void *part, size_t n_bytes, void *all, int root,
                struct err *e) QP_MUST_CHECK;
void comm_abort(const struct comm *c, int status) __attribute__((noreturn));
#endif
