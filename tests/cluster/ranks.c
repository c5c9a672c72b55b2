/* ranks.c - run by mpirun on several ranks (no cmocka: each rank is a process). `rows`: the MPI communicator moves the
 * right bytes. `door`: comm_open takes one rank, refuses more, and never initialises MPI. */
#include "cluster/comm.h"
#include <mpi.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

extern const struct comm_kind comm_mpi;

static int expect(int cond, const char *what, const struct err *e)
{
    if (!cond) {
        fprintf(stderr, "ranks: wrong: %s\n", what);
        err_print(e, stderr);
    }
    return cond ? 0 : 1;
}

static int rows(void)
{
    struct comm c;
    struct err e = { 0 };
    uint64_t all[64] = { 0 }, part = 0, word = 0;
    int wrong = 0;
    if (comm_mpi.open(&c, &e)) {
        err_print(&e, stderr);
        return 1;
    }
    const char *n = getenv("OMPI_COMM_WORLD_SIZE");
    wrong += expect(!n || strtol(n, NULL, 10) == c.size, "size is what the launcher said", &e);
    wrong += expect(!comm_barrier(&c, &e), "barrier", &e);
    for (int root = 0; root < c.size; root++) {
        word = c.rank == root ? UINT64_C(0x1122334455667700) + (uint64_t)root : 0;
        wrong += expect(!comm_bcast(&c, &word, sizeof word, root, &e), "bcast", &e);
        wrong +=
            expect(word == UINT64_C(0x1122334455667700) + (uint64_t)root, "bcast gives the root's bytes", &e);
        part = (uint64_t)(100 * root + c.rank);
        memset(all, 0xff, sizeof all);
        wrong +=
            expect(!comm_gather(&c, &part, sizeof part, c.rank == root ? all : NULL, root, &e), "gather", &e);
        for (int r = 0; c.rank == root && r < c.size && r < 64; r++)
            wrong += expect(all[r] == (uint64_t)(100 * root + r), "gather has rank r's part at r", &e);
    }
    wrong += expect(!comm_bcast(&c, NULL, 0, 0, &e), "bcast of nothing", &e);
    comm_close(&c);
    return wrong != 0;
}

static int door(void)
{
    struct comm c;
    struct err e = { 0 };
    int started = 0, wrong = 0;
    const char *n = getenv("OMPI_COMM_WORLD_SIZE");
    int rc = comm_open(&c, &e);
    if (n && strcmp(n, "1") != 0) {
        wrong += expect(rc == -1 && e.code == ERR_UNBUILT, "several ranks are refused as not built", &e);
        wrong += expect(strstr(e.what, "running on 2 ranks is not built yet; start one process") != NULL,
                        "by name", &e);
        wrong += expect(c.kind == NULL, "nothing is open", &e);
    } else {
        wrong += expect(rc == 0 && c.kind == &comm_single && c.size == 1 && c.rank == 0,
                        "one rank is `single`", &e);
        comm_close(&c);
    }
    MPI_Initialized(&started);
    return wrong + expect(!started, "MPI is not initialised", &e) != 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "rows") == 0)
        return rows();
    if (argc == 2 && strcmp(argv[1], "door") == 0)
        return door();
    fprintf(stderr, "use: cluster_ranks rows|door\n");
    return 2;
}
