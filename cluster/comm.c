/* comm.c - the table of communicators, the one-process row, and how a launcher is recognised from the environment.
 * The MPI row is comm_mpi.c. */
#include "cluster/comm.h"
#include "base/num.h"
#include <stdlib.h>
#include <string.h>

#ifdef QP_WITH_MPI
extern const struct comm_kind comm_mpi;
#endif
const struct comm_kind *const comms[] = {
    &comm_single,
#ifdef QP_WITH_MPI
    &comm_mpi,
#endif
    NULL,
};

/* Who sets which variable: Open MPI's mpirun; MPICH's, Intel's and srun --mpi=pmi2; any srun step (also without a
 * working PMI, where each process would take itself for rank 0 of 1 and write the same output). The variables of a
 * batch script's own shell (SLURM_NTASKS) say nothing about how many copies of this program run. */
static const struct {
    const char *variable, *launcher;
} launchers[] = {
    { "OMPI_COMM_WORLD_SIZE", "mpirun (Open MPI)" },
    { "PMI_SIZE", "mpirun (MPICH, PMI)" },
    { "SLURM_STEP_NUM_TASKS", "srun" },
};

int comm_launched(struct comm_launch *l, struct err *e)
{
    *l = (struct comm_launch){ NULL, 1 };
    for (size_t i = 0; i < sizeof launchers / sizeof launchers[0]; i++) {
        const char *text = getenv(launchers[i].variable);
        int64_t n = 0;
        if (!text)
            continue;
        if (!num_int(text, &n) || n < 1 || n > 1000000) {
            err_set(e, ERR_INPUT,
                    "environment variable %s is \"%.40s\", expected a number of processes from 1 to 1000000",
                    launchers[i].variable, text);
            return err_hint(e, "Unset it, or start qpipe through its launcher.");
        }
        if (n > l->size || !l->name)
            *l = (struct comm_launch){ launchers[i].launcher, (int)n };
    }
    return 0;
}

int comm_open(struct comm *c, struct err *e)
{
    struct comm_launch l;
    *c = (struct comm){ 0 };
    if (comm_launched(&l, e))
        return -1;
    if (l.size > 1) {
        err_set(e, ERR_UNBUILT, "running on %d ranks is not built yet; start one process (found: %s)", l.size,
                l.name);
        return err_hint(
            e, "One process uses all cores of its machine by threads: run qpipe without the launcher, or "
               "with -n 1.");
    }
    return comm_single.open(c, e);
}

void comm_close(struct comm *c)
{
    if (c->kind)
        c->kind->close(c);
    *c = (struct comm){ 0 };
}

int comm_barrier(const struct comm *c, struct err *e) { return c->kind->barrier(c, e); }

int comm_bcast(const struct comm *c, void *data, size_t n_bytes, int root, struct err *e)
{
    BUG_ON(root < 0 || root >= c->size);
    return c->kind->bcast(c, data, n_bytes, root, e);
}

int comm_gather(const struct comm *c, const void *part, size_t n_bytes, void *all, int root, struct err *e)
{
    BUG_ON(root < 0 || root >= c->size);
    return c->kind->gather(c, part, n_bytes, all, root, e);
}

void comm_abort(const struct comm *c, int status)
{
    c->kind->abort(c, status);
    exit(status); /* MPI's standard does not promise that MPI_Abort never returns */
}

static int single_open(struct comm *c, struct err *e)
{
    (void)e;
    *c = (struct comm){ &comm_single, 0, 1 };
    return 0;
}

static int single_barrier(const struct comm *c, struct err *e) { return (void)c, (void)e, 0; }

static int single_bcast(const struct comm *c, void *data, size_t n_bytes, int root, struct err *e)
{
    return (void)c, (void)data, (void)n_bytes, (void)root, (void)e, 0;
}

static int single_gather(const struct comm *c, const void *part, size_t n_bytes, void *all, int root,
                         struct err *e)
{
    (void)c, (void)root, (void)e;
    if (n_bytes)
        memmove(all, part, n_bytes);
    return 0;
}

static void single_close(struct comm *c) { (void)c; }

static void single_abort(const struct comm *c, int status)
{
    (void)c;
    exit(status);
}

const struct comm_kind comm_single = {
    .name = "single",
    .doc = "one process; threads use its cores",
    .open = single_open,
    .barrier = single_barrier,
    .bcast = single_bcast,
    .gather = single_gather,
    .close = single_close,
    .abort = single_abort,
};
