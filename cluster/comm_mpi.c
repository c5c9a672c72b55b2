/* comm_mpi.c - the communicator over MPI (3.0 or later: non-blocking collectives). Bytes only; no MPI sums, whose order
 * differs by rank count, algorithm and MPI. Compiled where the build found an MPI. Not reached by comm_open in this
 * version (see there); tests/cluster runs it on several ranks.
 *
 * Waiting is a loop of MPI_Test and short sleeps: blocking calls spin, and a node with more ranks than cores then loses
 * half to three quarters of its speed to ranks that wait (measured). */
#include "cluster/comm.h"
#include <limits.h>
#include <mpi.h>
#include <time.h>

extern const struct comm_kind comm_mpi;

static int failed(int rc, const char *call, struct err *e)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int n = 0;
    MPI_Error_string(rc, text, &n);
    return err_set(e, ERR_IO, "%s failed: %.200s", call, text);
}

/* Sleeps of 20 us, growing to 1 ms: about 0.1 ms for a short round trip, under 1 % of a core for a long wait. */
static int wait_patiently(MPI_Request *request, const char *call, struct err *e)
{
    struct timespec nap = { 0, 20000 };
    for (;;) {
        int done = 0;
        int rc = MPI_Test(request, &done, MPI_STATUS_IGNORE);
        if (rc != MPI_SUCCESS)
            return failed(rc, call, e);
        if (done)
            return 0;
        nanosleep(&nap, NULL);
        if (nap.tv_nsec < 1000000)
            nap.tv_nsec += nap.tv_nsec / 2;
    }
}

static int mpi_open(struct comm *c, struct err *e)
{
    struct comm_launch l;
    int level = 0;
    if (comm_launched(&l, e))
        return -1;
    int rc = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
    if (rc != MPI_SUCCESS)
        return failed(rc, "MPI_Init_thread", e);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    *c = (struct comm){ .kind = &comm_mpi };
    MPI_Comm_rank(MPI_COMM_WORLD, &c->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &c->size);
    if (c->size !=
        l.size) { /* another MPI's launcher: every process is "rank 0 of 1" and would write the same files */
        err_set(e, ERR_INPUT, "the launcher %s started %d processes, but this build's MPI sees %d",
                l.name ? l.name : "(none)", l.size, c->size);
        err_hint(e, "Use the mpirun of the MPI that qpipe was built with, or srun with its --mpi.");
        comm_close(c);
        return -1;
    }
    return 0;
}

static int mpi_barrier(const struct comm *c, struct err *e)
{
    MPI_Request r;
    (void)c;
    int rc = MPI_Ibarrier(MPI_COMM_WORLD, &r);
    return rc == MPI_SUCCESS ? wait_patiently(&r, "MPI_Ibarrier", e) : failed(rc, "MPI_Ibarrier", e);
}

/* Counts of MPI 3 are int: larger messages go in pieces of 1 GiB. */
static int mpi_bcast(const struct comm *c, void *data, size_t n_bytes, int root, struct err *e)
{
    const size_t most = (size_t)1 << 30;
    (void)c;
    for (size_t at = 0; at < n_bytes;) {
        size_t n = n_bytes - at < most ? n_bytes - at : most;
        MPI_Request r;
        int rc = MPI_Ibcast((char *)data + at, (int)n, MPI_BYTE, root, MPI_COMM_WORLD, &r);
        if (rc != MPI_SUCCESS)
            return failed(rc, "MPI_Ibcast", e);
        if (wait_patiently(&r, "MPI_Ibcast", e))
            return -1;
        at += n;
    }
    return 0;
}

static int mpi_gather(const struct comm *c, const void *part, size_t n_bytes, void *all, int root,
                      struct err *e)
{
    MPI_Request r;
    if (n_bytes > (size_t)(INT_MAX / c->size))
        return err_set(e, ERR_LIMIT, "gather of %zu bytes from each of %d ranks, at most %d bytes in all",
                       n_bytes, c->size, INT_MAX);
    int n = (int)n_bytes;
    int rc = MPI_Igather(part, n, MPI_BYTE, all, n, MPI_BYTE, root, MPI_COMM_WORLD, &r);
    return rc == MPI_SUCCESS ? wait_patiently(&r, "MPI_Igather", e) : failed(rc, "MPI_Igather", e);
}

static void mpi_close(struct comm *c)
{
    (void)c;
    MPI_Finalize();
}

static void mpi_abort(const struct comm *c, int status)
{
    (void)c;
    MPI_Abort(MPI_COMM_WORLD, status);
}

const struct comm_kind comm_mpi = {
    .name = "mpi",
    .doc = "processes started by mpirun or srun; more than one is refused in this version",
    .open = mpi_open,
    .barrier = mpi_barrier,
    .bcast = mpi_bcast,
    .gather = mpi_gather,
    .close = mpi_close,
    .abort = mpi_abort,
};
