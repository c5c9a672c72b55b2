/* cross.h - what quantization has done to a Linear's input so far: D = sum over tokens of (x0 - x) x^T, x0 the input in
 * the original model, x in the one that is being quantized. Summed by the tree of tree.h. */
#ifndef QP_QUANT_CROSS_H
#define QP_QUANT_CROSS_H
#include "quant/tree.h"

struct factor;
struct cross {
    int64_t k, sequences;
    float *sum; /* [k, k] after cross_finish: row = column of x0 - x; owned */
    struct tree tree;
};
/* l: the ranks that share the chunks; all of them call cross_finish, and those with wants[rank] have the sum then. */
int cross_init(struct cross *c, int64_t k, int64_t chunks, const struct links *l, struct err *e);
/* x, x0 [rows, k], both with ldx; chunks ascending. Takes a copy of the rows while it runs. */
int cross_add(struct cross *c, int64_t chunk, const float *x, const float *x0, int64_t rows, int64_t ldx,
              struct err *e);
int cross_finish(struct cross *c, const struct links *l, const bool *wants, struct err *e);
void cross_release(struct cross *c);
/* cross_target - w [rows, k] += alpha * w D (H + damping)^-1: for alpha = 1 the least-squares weights that give, from the
 * inputs there are, what w gives from the original ones (the ridge pulls towards w). Any solver may then round it:
 * |w0 X0^T - Q X^T|^2 is tr((w - Q) H (w - Q)^T) and a constant. Allocates two copies of w. */
int cross_target(const struct cross *c, const struct factor *f, double alpha, float *w, int64_t rows,
                 struct err *e);
int64_t cross_target_bytes(int64_t rows, int64_t k); /* that, exactly */
#endif
