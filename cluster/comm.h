/* comm.h - the door to "who else runs this job": ranks that send one another bytes. A communicator is one row of a table:
 * `single`, one process; `mpi`, ranks started by mpirun or srun, through a plugin that is loaded only then (a plain run pays
 * nothing for MPI). What it is not: no arithmetic (sums over ranks have an order of their own and are built on top), no
 * knowledge of quantization.
 *
 * Waiting is patient: a waiting rank sleeps and leaves its core to others. A rank that hears nothing from the others for
 * longer than the deadline ends its process with ERR_RESUME: a stopped rank or a cut link never hangs a job. */
#ifndef QP_CLUSTER_COMM_H
#define QP_CLUSTER_COMM_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct comm {
    const struct comm_kind *kind;
    int rank, size; /* 0 <= rank < size */
    int first;      /* the job's number of rank 0: 0 but for comm_sub */
};
struct comm_kind {
    const char *name, *doc;
    int (*open)(struct comm *c, struct err *e);
    /* Any length (also above 2^31), between two different ranks; messages of a pair arrive in the order in which they were
     * sent, and both sides say the same length. send returns when data may be changed. to, from: the job's numbers. */
    int (*send)(const struct comm *c, int to, const void *data, size_t n_bytes, struct err *e);
    int (*recv)(const struct comm *c, int from, void *data, size_t n_bytes, struct err *e);
    void (*close)(struct comm *c);
    void (*abort)(const struct comm *c, int status); /* ends every rank of the job */
};
extern const struct comm_kind comm_single;
extern const struct comm_kind *const comms[]; /* the rows of this build, ends with NULL */

/* What the environment says about the launcher: name NULL, rank 0 of 1 when there is none. */
struct comm_launch {
    const char *name;   /* "mpirun (Open MPI)", "srun", ... */
    const char *plugin; /* "openmpi", "mpich"; NULL: the launcher speaks no MPI that qpipe knows */
    int rank, size;
};
int comm_launched(struct comm_launch *l, struct err *e) QP_MUST_CHECK;

/* comm_open - the communicator of this process, once, by main. Close with comm_close. comm_world: the one that is open, or
 * `single` when none is. */
int comm_open(struct comm *c, struct err *e) QP_MUST_CHECK;
void comm_close(struct comm *c);
const struct comm *comm_world(void);
void comm_abort(const struct comm *c, int status) __attribute__((noreturn));

int comm_send(const struct comm *c, int to, const void *data, size_t n_bytes, struct err *e) QP_MUST_CHECK;
int comm_recv(const struct comm *c, int from, void *data, size_t n_bytes, struct err *e) QP_MUST_CHECK;

/* ---- collectives (collect.c), built on send and recv: all ranks call them, in the same order ---- */
int comm_barrier(const struct comm *c, struct err *e) QP_MUST_CHECK;
int comm_bcast(const struct comm *c, void *data, size_t n_bytes, int root, struct err *e) QP_MUST_CHECK;
/* all: on root size * n_bytes bytes, rank r's part at r * n_bytes; ignored elsewhere and may be NULL there. */
int comm_gather(const struct comm *c, const void *part, size_t n_bytes, void *all, int root,
                struct err *e) QP_MUST_CHECK;
/* comm_share - a table of n rows of row_bytes each, row i filled in by rank owner[i]: afterwards every rank has all rows. */
int comm_share(const struct comm *c, void *rows, size_t row_bytes, int64_t n, const int *owner,
               struct err *e) QP_MUST_CHECK;
/* comm_agree - rc of all ranks: 0 when all are 0; else -1 everywhere, and e holds the error of the lowest rank that failed
 * (on that rank its own; on the others a copy that names the rank). A signal that any rank got is ERR_RESUME everywhere. */
int comm_agree(const struct comm *c, int rc, struct err *e) QP_MUST_CHECK;
bool comm_agreed(void); /* the last comm_agree of all ranks failed: the others know of it, and end too */
/* comm_sub - ranks first..first+n-1 as a communicator of their own, which borrows c; rank -1 in *out for those outside. */
struct comm comm_sub(const struct comm *c, int first, int n);
#endif
