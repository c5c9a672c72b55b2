/* act_observer.h - what a static quantizer of activations remembers of the sequences that pass: least and greatest value by
 * llm-compressor 0.14's rules (observers/min_max.py, mse.py), one observation a sequence, in ascending order.
 *
 *   static_minmax      the extremes of all of them
 *   minmax (default)   a moving average of extremes: old * (1 - c) + new * c, the first as it is
 *   memoryless_minmax  the last sequence's
 *   mse                a moving average of the shrunken extremes with the least sum |q - x|^norm over a sequence
 *   memoryless_mse     the last sequence's of those
 *
 * Numbers are rounded to the dtype of the model after each operation, as the peer's tensors are. */
#ifndef QP_QUANT_ACT_OBSERVER_H
#define QP_QUANT_ACT_OBSERVER_H
#include "base/activation.h"
#include <stdbool.h>
#include <stddef.h>

struct act_observer_kind;
struct act_observer {
    const struct act_observer_kind *kind; /* NULL: not initialised */
    const struct quant_args *args;        /* borrowed */
    enum dtype dtype;
    int64_t n; /* ranges: 1, or heads (columns are cut in so many parts) */
    int64_t sequences;
    float *seen; /* [sequences, 2, n]: least and greatest values of each; least above greatest: not seen */
    double averaging, maxshrink, patience, grid, norm, expand;
};
/* act_observer_check - ERR_INPUT: no observer of activations by that name, or a parameter that it has not; ERR_UNBUILT. */
int act_observer_check(const struct quant_args *a, struct err *e);
int act_observer_init(struct act_observer *o, const struct quant_args *a, enum dtype t, int64_t n,
                      int64_t sequences, struct err *e);
/* act_observer_add - one sequence, x [rows, cols], once each, in any order. ERR_INPUT: a value is not finite. */
int act_observer_add(struct act_observer *o, int64_t sequence, const float *x, int64_t rows, int64_t cols,
                     int64_t ldx, struct err *e);
/* act_observer_row - bytes of a sequence's row in o->seen, for ranks that share the sequences. */
size_t act_observer_row(const struct act_observer *o);
/* act_observer_range - what range i came to over the sequences seen, in ascending order; false: none was. */
bool act_observer_range(const struct act_observer *o, int64_t i, float *min, float *max);
/* act_observer_finish - the quantizer (activation_init inside), from the sequences in ascending order. ERR_INPUT when nothing
 * was seen. */
int act_observer_finish(const struct act_observer *o, struct activation *out, struct err *e);
void act_observer_release(struct act_observer *o);
/* "static_minmax": the name after aliases and defaults. */
const char *act_observer_name(const struct quant_args *a);
#endif
