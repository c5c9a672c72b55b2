/* mpi_plugin.c - MPI (3.0 or later) behind the table of mpi_door.h. Compiled by each MPI's own compiler wrapper into
 * qpipe-mpi-openmpi.so and qpipe-mpi-mpich.so; the only file that includes mpi.h. Nothing of qpipe's is called from here:
 * the program does not export it. */
#include "cluster/mpi_door.h"
#include <mpi.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(MPI_Request) <= sizeof(struct mpi_request), "a request of this MPI fits");

static MPI_Comm lane_comm[LANES];

static int failed(int rc, const char *call, char *why, size_t n_why)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int n = 0;
    MPI_Error_string(rc, text, &n);
    snprintf(why, n_why, "%s failed: %.200s", call, text);
    return -1;
}

static void describe(struct mpi_seen *out)
{
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = "", host[MPI_MAX_PROCESSOR_NAME] = "";
    int n = 0;
    MPI_Get_library_version(text, &n);
    for (char *p = text; *p; p++) /* MPICH's says "MPICH Version:<tab>4.0.2<newline>..." */
        *p = *p == '\t' ? ' ' : *p;
    text[strcspn(text, "\n,")] = '\0';
    snprintf(out->library, sizeof out->library, "%.127s", text);
    MPI_Get_processor_name(host, &n);
    snprintf(out->host, sizeof out->host, "%.127s", host);
}

static int door_open(struct mpi_seen *out, char *why, size_t n_why)
{
    int level = 0;
    int rc = MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &level);
    if (rc != MPI_SUCCESS)
        return failed(rc, "MPI_Init_thread", why, n_why);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN); /* duplicates inherit it */
    MPI_Comm_rank(MPI_COMM_WORLD, &out->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &out->size);
    out->threads = level == MPI_THREAD_MULTIPLE;
    describe(out);
    for (int lane = 0; lane < LANES; lane++)
        if ((rc = MPI_Comm_dup(MPI_COMM_WORLD, &lane_comm[lane])) != MPI_SUCCESS)
            return failed(rc, "MPI_Comm_dup", why, n_why);
    return 0;
}

static int door_start(enum mpi_lane lane, bool sending, int peer, void *data, int n, struct mpi_request *out,
                      char *why, size_t n_why)
{
    MPI_Request r;
    int rc = sending ? MPI_Isend(data, n, MPI_BYTE, peer, 0, lane_comm[lane], &r)
                     : MPI_Irecv(data, n, MPI_BYTE, peer, 0, lane_comm[lane], &r);
    if (rc != MPI_SUCCESS)
        return failed(rc, sending ? "MPI_Isend" : "MPI_Irecv", why, n_why);
    memcpy(out, &r, sizeof r);
    return 0;
}

static int door_test(struct mpi_request *request, bool *done, char *why, size_t n_why)
{
    MPI_Request r;
    int is = 0;
    memcpy(&r, request, sizeof r);
    int rc = MPI_Test(&r, &is, MPI_STATUS_IGNORE);
    if (rc != MPI_SUCCESS)
        return failed(rc, "MPI_Test", why, n_why);
    memcpy(request, &r, sizeof r);
    *done = is != 0;
    return 0;
}

static void door_close(void)
{
    for (int lane = 0; lane < LANES; lane++)
        MPI_Comm_free(&lane_comm[lane]);
    MPI_Finalize();
}

static void door_abort(int status) { MPI_Abort(MPI_COMM_WORLD, status); }

static const struct mpi_door door = {
    .version = MPI_DOOR_VERSION,
    .open = door_open,
    .start = door_start,
    .test = door_test,
    .close = door_close,
    .abort = door_abort,
};

mpi_door_fn qpipe_mpi_door;
__attribute__((visibility("default"))) const struct mpi_door *qpipe_mpi_door(void) { return &door; }
