/* comm.c - the table of communicators, the one-process row, which communicator is open, and how a launcher is recognised
 * from the environment. The MPI row is comm_mpi.c, the collectives are collect.c. */
#include "cluster/comm.h"
#include "base/num.h"
#include "cluster/place.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#ifdef QP_WITH_MPI
extern const struct comm_kind comm_mpi;
#endif
#ifndef QP_WITH_MPI
const char *comm_library(void) { return ""; }
#endif
const struct comm_kind *const comms[] = {
    &comm_single,
#ifdef QP_WITH_MPI
    &comm_mpi,
#endif
    NULL,
};

static struct comm world; /* what comm_open opened; kind NULL: nothing is open */

/* Who sets which variable, the surest first. An srun step also sets SLURM_STEP_NUM_TASKS where it has no working PMI: then
 * every process would take itself for rank 0 of 1 and write the same output. The variables of a batch script's own shell
 * (SLURM_NTASKS) say nothing about how many copies of this program run. */
static const struct launcher {
    const char *size, *rank, *name, *plugin;
    const char *with, *without; /* counts only with and without these variables */
} launchers[] = {
    { "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "mpirun (Open MPI)", "openmpi", NULL, NULL },
    { "PMI_SIZE", "PMI_RANK", "mpirun (MPICH, PMI)", "mpich", NULL, NULL },
    { "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "srun --mpi=pmix", "openmpi", "PMIX_RANK", "PMI_RANK" },
    { "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "srun", NULL, NULL, NULL },
};

static int from_environment(const char *variable, int64_t least, int64_t *out, struct err *e)
{
    const char *text = getenv(variable);
    if (text && num_int(text, out) && *out >= least && *out <= 1000000)
        return 0;
    err_set(e, ERR_INPUT, "environment variable %s is \"%.40s\", expected a number %s", variable,
            text ? text : "", least ? "of processes from 1 to 1000000" : "from 0 to 1000000");
    return err_hint(e, "Unset it, or start qpipe through its launcher.");
}

int comm_launched(struct comm_launch *l, struct err *e)
{
    *l = (struct comm_launch){ .size = 1 };
    for (size_t i = 0; i < sizeof launchers / sizeof launchers[0]; i++) {
        const struct launcher *k = &launchers[i];
        int64_t n = 0, r = 0;
        if (!getenv(k->size) || (k->with && !getenv(k->with)) || (k->without && getenv(k->without)))
            continue;
        if (from_environment(k->size, 1, &n, e) || (getenv(k->rank) && from_environment(k->rank, 0, &r, e)))
            return -1;
        /* one process, says an MPI, but srun started several: each believes itself alone */
        if (!l->name || (l->size == 1 && n > 1))
            *l = (struct comm_launch){ k->name, k->plugin, (int)r, (int)n };
    }
    return 0;
}

static int open_ranks(struct comm *c, const struct comm_launch *l, struct err *e)
{
    if (!l->plugin) {
        err_set(e, ERR_INPUT, "%s started %d processes, but told them nothing about one another", l->name,
                l->size);
        return err_hint(e, "Start with srun --mpi=pmix (Open MPI) or srun --mpi=pmi2 (MPICH).");
    }
#ifdef QP_WITH_MPI
    return comm_mpi.open(c, e);
#else
    (void)c;
    err_set(e, ERR_UNBUILT, "%s started %d processes, but this build of qpipe has no MPI", l->name, l->size);
    return err_hint(e, "Build it with -DQPIPE_WITH_MPI=ON, or start one process.");
#endif
}

int comm_open(struct comm *c, struct err *e)
{
    struct comm_launch l;
    BUG_ON(world.kind != NULL);
    *c = (struct comm){ 0 };
    if (comm_launched(&l, e) || (l.size > 1 ? open_ranks(c, &l, e) : comm_single.open(c, e))) {
        *c = (struct comm){ 0 };
        return -1;
    }
    world = *c;
    return 0;
}

void comm_close(struct comm *c)
{
    if (c->kind)
        c->kind->close(c);
    *c = world = (struct comm){ 0 };
}

const struct comm *comm_world(void)
{
    static const struct comm alone = { .kind = &comm_single, .size = 1 };
    return world.kind ? &world : &alone;
}

int comm_send(const struct comm *c, int to, const void *data, size_t n_bytes, struct err *e)
{
    BUG_ON(to < 0 || to >= c->size || to == c->rank);
    return c->kind->send(c, c->first + to, data, n_bytes, e);
}

int comm_recv(const struct comm *c, int from, void *data, size_t n_bytes, struct err *e)
{
    BUG_ON(from < 0 || from >= c->size || from == c->rank);
    return c->kind->recv(c, c->first + from, data, n_bytes, e);
}

struct comm comm_sub(const struct comm *c, int first, int n)
{
    BUG_ON(first < 0 || n < 1 || first > c->size - n);
    struct comm sub = { .kind = c->kind, .size = n, .first = c->first + first, .rank = -1 };
    if (c->rank >= first && c->rank < first + n)
        sub.rank = c->rank - first;
    return sub;
}

void comm_abort(const struct comm *c, int status)
{
    if (c->kind)
        c->kind->abort(c, status);
    exit(status); /* MPI's standard does not promise that MPI_Abort never returns */
}

static int single_open(struct comm *c, struct err *e)
{
    (void)e;
    *c = (struct comm){ .kind = &comm_single, .size = 1 };
    return 0;
}

/* There is no other rank: comm_send and comm_recv let nobody come here. */
static int single_send(const struct comm *c, int to, const void *data, size_t n_bytes, struct err *e)
{
    (void)to, (void)data, (void)n_bytes, (void)e;
    BUG_ON(c->size == 1);
    return -1;
}

static int single_recv(const struct comm *c, int from, void *data, size_t n_bytes, struct err *e)
{
    (void)from, (void)data, (void)n_bytes, (void)e;
    BUG_ON(c->size == 1);
    return -1;
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
    .send = single_send,
    .recv = single_recv,
    .close = single_close,
    .abort = single_abort,
};
