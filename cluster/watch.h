/* watch.h - the watchdog of one rank: a thread that calls no MPI and ends the process when nothing was heard for longer than
 * the deadline. It says one line. Then the thread of signs of life has two seconds for MPI_Abort: launchers take that as the
 * end of the whole job, where they may wait for the other hosts after a mere exit. But MPI_Abort, like any MPI call, can
 * block for good when a rank is stopped or a link is cut: then it is _exit(ERR_RESUME), beside whatever hangs.
 *
 * Time in which this process was stopped itself (SIGSTOP, a suspended job) counts for nobody's silence. */
#ifndef QP_CLUSTER_WATCH_H
#define QP_CLUSTER_WATCH_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

enum { WATCH_PEERS = 2 };

/* watch_deadline - seconds: environment variable QPIPE_DEADLINE, 60 without it. */
int watch_deadline(double *out, struct err *e) QP_MUST_CHECK;
/* watch_start - from now on the process must come to watch_peers within `seconds`. rank: for what is said. */
int watch_start(int rank, double seconds, const char *doing, struct err *e) QP_MUST_CHECK;
/* watch_peers - from now on each of these ranks must be heard at least every `seconds`. */
void watch_peers(const int *peer, int n, double seconds);
void watch_heard(int k); /* peer[k] is alive */
bool watch_over(void);   /* the watchdog has given up: who can ends the job by MPI_Abort(ERR_RESUME) now */
/* watch_last - from now on nobody needs to be heard, but the process must come to watch_stop, or end, within `seconds`. */
void watch_last(double seconds, const char *doing, int status);
void watch_stop(void);
/* watch_waits - what the main thread waits for, for the line that says why; bytes 0: it computes. */
void watch_waits(bool sending, int peer, size_t bytes);
#endif
