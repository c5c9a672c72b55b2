/* mpi_door.h - what a plugin qpipe-mpi-NAME.so offers: MPI behind a table of functions without a type of MPI's, so that one
 * qpipe serves MPIs whose binary interfaces differ. mpi_plugin.c is compiled once with each MPI and calls nothing of qpipe's;
 * comm_mpi.c loads one of them. Bytes only; no call waits for another rank except open and close. */
#ifndef QP_CLUSTER_MPI_DOOR_H
#define QP_CLUSTER_MPI_DOOR_H
#include <stdbool.h>
#include <stddef.h>

enum { MPI_DOOR_VERSION = 1 };

enum mpi_lane { LANE_DATA, LANE_BEATS, LANES }; /* messages of one lane never meet those of another */
struct mpi_seen {
    int rank, size;
    bool threads;      /* several threads may call at once (MPI_THREAD_MULTIPLE) */
    char library[128]; /* "Open MPI v4.1.4, ..." */
    char host[128];
};
struct mpi_request {
    void *word[2]; /* an MPI_Request, whatever it is */
};
struct mpi_door {
    int version; /* MPI_DOOR_VERSION of its build */
    /* All return 0, or -1 with the reason in why (n_why bytes). */
    int (*open)(struct mpi_seen *out, char *why, size_t n_why);
    int (*start)(enum mpi_lane lane, bool sending, int peer, void *data, int n, struct mpi_request *out,
                 char *why, size_t n_why);
    int (*test)(struct mpi_request *r, bool *done, char *why, size_t n_why);
    void (*close)(void);
    void (*abort)(int status);
};
/* The one symbol that a plugin exports. */
#define MPI_DOOR_SYMBOL "qpipe_mpi_door"
typedef const struct mpi_door *mpi_door_fn(void);
#endif
