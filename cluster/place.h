/* place.h - where the ranks of a job are: hosts, cores, threads. The launchers' defaults differ (Open MPI binds a rank to
 * one core, and its threads with it), so the default number of threads follows from what is found, and is said once. */
#ifndef QP_CLUSTER_PLACE_H
#define QP_CLUSTER_PLACE_H
#include "cluster/comm.h"

/* comm_place - all ranks call it. threads: how many this rank should use: its cores of the affinity mask, a core that
 * several ranks of the host may use counting for its part. Rank 0 logs the placement, and warns when ranks are bound to one
 * core while others of their host are left over. wanted: --threads, 0 when not given. */
int comm_place(const struct comm *c, int wanted, int *threads, struct err *e) QP_MUST_CHECK;
/* comm_library - "Open MPI v4.1.4", ...; "" for one process. */
const char *comm_library(void);
#endif
