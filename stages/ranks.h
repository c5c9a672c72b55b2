/* ranks.h - how the ranks of a job share it. Three cuts that go together:
 *
 *   data      a rank walks the calibration chunks of its leaves (quant/tree.h); sums over chunks go up the tree
 *   modules   the matrices of an input group are solved by different ranks, their decoded weights go to all
 *   layers    a rank quantizes a run of blocks by itself (sequential: false), a run of modules (no data), a run of windows
 *             (eval, verify), every size-th shard and digest (save)
 *
 * Whatever the cut, numbers are the same: it decides who computes, never what. On one rank all of this is nothing. */
#ifndef QP_STAGES_RANKS_H
#define QP_STAGES_RANKS_H
#include "cluster/comm.h"
#include "model/walk.h"
#include "quant/tree.h"
#include "text/dataset.h"
#include <stdbool.h>

/* A rank's part of something that is cut into chunks: [first, end) of n. */
struct span {
    int64_t first, end;
};
struct span ranks_chunks(const struct comm *c, int64_t n);
/* The sequences of a span, for a walk; borrowed from d. */
struct chunks ranks_sequences(const struct dataset *d, struct span s);
/* Messages of the tree over a communicator, which is borrowed. */
struct links ranks_links(const struct comm *c);
/* ranks_share_chunks - rows[n], of which each rank has filled those of its chunks: afterwards all of them everywhere. */
int ranks_share_chunks(const struct comm *c, void *rows, size_t row_bytes, int64_t n, struct err *e);
/* The same for rows that go around the ranks: row i is of rank i % size. */
int ranks_share_around(const struct comm *c, void *rows, size_t row_bytes, int64_t n, struct err *e);
/* ranks_by_cost - owner[i] in [0, size) for n tasks: each to the rank with the least so far, the first of equal ones. */
void ranks_by_cost(const double *cost, int64_t n, int size, int *owner);
/* ranks_runs - owner[i] ascending: runs of about equal cost. */
void ranks_runs(const double *cost, int64_t n, int size, int *owner);
#endif
