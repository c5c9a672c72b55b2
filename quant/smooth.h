/* smooth.h - scales per channel that make weights easier to round, or activations: what they are computed from, and how.
 *
 * SmoothQuant (arXiv:2211.10438), llm-compressor 0.14's arithmetic: range = max - min of an input channel,
 * w = 2 * max |W[:, c]| over the matrices that read it;
 *   smoothquant:        s = range^a / w^(1-a); range where w is 0
 *   log_equalization:   s = range / log2(2 + range)
 * both at least 1e-5. */
#ifndef QP_QUANT_SMOOTH_H
#define QP_QUANT_SMOOTH_H
#include "quant/tree.h"
#include <stddef.h>

/* Of the channels of an input over all tokens: sums of |x| in float64, least and greatest value, by the leaves of tree.h: a leaf
 * adds its rows in ascending order, leaves are added in order. Leaf i is the row i of `leaf`: its tokens (int64), sums [k],
 * least [k], greatest [k]; ranks that share the chunks exchange rows. */
struct channel_stats {
    int64_t k, chunks;
    unsigned char *leaf; /* [TREE_LEAVES, channel_stats_row] */
};
int channel_stats_init(struct channel_stats *s, int64_t k, int64_t chunks, struct err *e);
size_t channel_stats_row(const struct channel_stats *s);
int64_t channel_stats_bytes(int64_t k); /* for plans */
/* x [rows, k], ld ldx; chunks ascending. ERR_INPUT at a value that is not finite. */
int channel_stats_add(struct channel_stats *s, int64_t chunk, const float *x, int64_t rows, int64_t ldx,
                      struct err *e);
void channel_stats_release(struct channel_stats *s);
int64_t channel_stats_tokens(const struct channel_stats *s);
/* channel_stats_means - out [k]: mean |x|. channel_stats_ranges - out [k]: max - min. */
void channel_stats_means(const struct channel_stats *s, double *out);
void channel_stats_ranges(const struct channel_stats *s, float *out);

/* column_absmax - most[c] = max(most[c], |w[r, c]|) over the rows of w [rows, k]. */
void column_absmax(const float *w, int64_t rows, int64_t k, float *most);

enum smooth_rule { SMOOTH_STRENGTH, SMOOTH_LOG };
/* smooth_scales - out [n] from range [n] and absmax [n] (of the weights). */
void smooth_scales(enum smooth_rule rule, double strength, int64_t n, const float *range, const float *absmax,
                   float *out);
#endif
