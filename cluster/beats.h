/* beats.h - signs of life: a thread that sends one byte to both neighbours in the ring of ranks ten times a deadline, and
 * tells the watchdog (watch.h) when theirs arrive. A ring is enough: where ranks are lost, those beside them end, the launcher
 * ends the rest, and where it can not reach them each end makes the next neighbour silent. */
#ifndef QP_CLUSTER_BEATS_H
#define QP_CLUSTER_BEATS_H
#include "base/err.h"
#include "cluster/mpi_door.h"

int beats_start(const struct mpi_door *door, int rank, int size, double deadline,
                struct err *e) QP_MUST_CHECK;
/* beats_stop - says goodbye, and waits for the neighbours' goodbye: all ranks call it. */
void beats_stop(void);
#endif
