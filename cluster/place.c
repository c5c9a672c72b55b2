/* place.c - ranks, hosts, cores and threads, gathered once. */
#include "cluster/place.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include <sched.h>
#include <string.h>
#include <unistd.h>

enum { CORES = 1024 };
struct place {
    char host[128];
    unsigned char core[CORES / 8]; /* bit: this rank may use that core */
    int cores, online;             /* of the mask, of the host */
};

static bool has(const struct place *p, int core) { return (p->core[core / 8] >> (core % 8) & 1) != 0; }
static bool together(const struct place *a, const struct place *b) { return !strcmp(a->host, b->host); }

static void look_around(struct place *p)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    *p = (struct place){ 0 };
    if (gethostname(p->host, sizeof p->host - 1))
        snprintf(p->host, sizeof p->host, "unknown");
    p->online = (int)sysconf(_SC_NPROCESSORS_ONLN);
    p->online = p->online > 0 ? p->online : 1;
    if (sched_getaffinity(0, sizeof set, &set)) /* more than 1024 cores: counted, not told apart */
        for (size_t i = 0; i < (size_t)p->online && i < CORES; i++)
            CPU_SET(i, &set);
    for (size_t i = 0; i < CORES; i++)
        if (CPU_ISSET(i, &set)) {
            p->core[i / 8] = (unsigned char)(p->core[i / 8] | 1 << i % 8);
            p->cores++;
        }
}

/* Cores of rank r, each shared among the ranks of its host that may use it; at least 1. */
static int share_of(const struct place *all, int size, int r)
{
    double sum = 0;
    for (int i = 0; i < CORES; i++) {
        int users = 0;
        for (int k = 0; k < size && has(&all[r], i); k++)
            users += together(&all[k], &all[r]) && has(&all[k], i);
        sum += users ? 1.0 / users : 0;
    }
    return sum > 1 ? (int)(sum + 1e-6) : 1;
}

/* "node1 2 x 4 threads, node2 1 x 8 threads": hosts in the order of their first ranks. */
static int say(const struct comm *c, const struct place *all, const int *threads, struct err *e)
{
    struct buf b = { 0 };
    int hosts = 0, rc = 0;
    for (int r = 0; r < c->size; r++) {
        int first = 0, n = 0, least = threads[r], most = threads[r];
        while (!together(&all[first], &all[r]))
            first++;
        if (first < r)
            continue;
        for (int k = r; k < c->size; k++)
            if (together(&all[k], &all[r])) {
                n++;
                least = threads[k] < least ? threads[k] : least;
                most = threads[k] > most ? threads[k] : most;
            }
        if (hosts++ < 8)
            rc =
                rc || buf_printf(&b, e, least == most ? "%s%s %d x %d threads" : "%s%s %d x %d to %d threads",
                                 hosts > 1 ? ", " : "", all[r].host, n, least, most);
    }
    if (!rc)
        log_say(LOG_INFO, "%d ranks on %d host%s (%s): %s%s", c->size, hosts, hosts > 1 ? "s" : "",
                comm_library(), b.p, hosts > 8 ? ", ..." : "");
    buf_release(&b);
    return rc;
}

/* The first rank that is bound to one core although cores of its host belong to no rank, or although it has more threads
 * than that; -1: none. */
static int bound(const struct comm *c, const struct place *all, const int *threads)
{
    for (int r = 0; r < c->size; r++) {
        int used = 0;
        for (int i = 0; i < CORES; i++) {
            bool of_one = false;
            for (int k = 0; k < c->size && !of_one; k++)
                of_one = together(&all[k], &all[r]) && has(&all[k], i);
            used += of_one;
        }
        if (all[r].cores == 1 && (used < all[r].online || threads[r] > 1))
            return r;
        while (r + 1 < c->size && together(&all[r + 1], &all[r]) && all[r + 1].cores == all[r].cores)
            r++; /* its neighbours are bound alike */
    }
    return -1;
}

int comm_place(const struct comm *c, int wanted, int *threads, struct err *e)
{
    struct place mine, *all = mem_array((size_t)c->size, sizeof *all, e);
    int *widths = mem_array((size_t)c->size, sizeof *widths, e);
    int rc = all && widths ? 0 : -1, width = 0, r = -1;
    look_around(&mine);
    if (!rc)
        rc = comm_gather(c, &mine, sizeof mine, all, 0, e);
    if (!rc)
        rc = comm_bcast(c, all, (size_t)c->size * sizeof *all, 0, e);
    if (!rc) {
        width = wanted > 0 ? wanted : share_of(all, c->size, c->rank);
        rc = comm_gather(c, &width, sizeof width, widths, 0, e);
    }
    if (!rc && !c->rank && !(rc = say(c, all, widths, e)) && (r = bound(c, all, widths)) >= 0)
        log_say(
            LOG_WARN,
            "rank %d is bound to one of the %d cores of %s, and its threads with it (mpirun of Open MPI: --bind-to none "
            "or --map-by slot:PE=N; srun: --cpus-per-task=N)",
            r, all[r].online, all[r].host);
    *threads = width;
    mem_free(all);
    mem_free(widths);
    return rc;
}
