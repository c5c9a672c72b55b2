/* store.h - where activations wait: one parcel of floats a chunk, in memory while the budget lasts, else in a file that
 * has no name any more. What is read back never depends on the budget. */
#ifndef QP_MODEL_STORE_H
#define QP_MODEL_STORE_H
#include "base/err.h"
#include <stdint.h>

struct store;
struct store_piece {
    float *p;
    int64_t n;
};
/* store_new - n chunks; most[i]: the largest parcel of chunk i, in floats. spill_dir may be NULL: then more than the
 * budget is ERR_LIMIT. The file is created when the first chunk spills. */
struct store *store_new(int64_t n, const int64_t *most, uint64_t budget, const char *spill_dir,
                        struct err *e);
/* store_save - replaces the parcel of a chunk by the pieces, in order. ERR_IO: the disk refused. */
int store_save(struct store *s, int64_t chunk, const struct store_piece *piece, int n, struct err *e);
/* store_load - the pieces that were saved last, with the same sizes. */
int store_load(struct store *s, int64_t chunk, const struct store_piece *piece, int n, struct err *e);
uint64_t store_spilled(const struct store *s); /* bytes written to the file so far */
void store_free(struct store *s);              /* NULL is allowed */
#endif
