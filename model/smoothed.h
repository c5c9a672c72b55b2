/* smoothed.h - a checkpoint whose tensors are read with smoothing scales applied: a tensor_source over another one. Nothing
 * but the scales is kept; a tensor is computed when it is read, and rounded to its stored dtype after each scale, so that
 * what a walk sees and what is saved are the same values. */
#ifndef QP_MODEL_SMOOTHED_H
#define QP_MODEL_SMOOTHED_H
#include "model/mappings.h"

struct smoothed;
/* smoothed_new - over base (borrowed). */
struct smoothed *smoothed_new(const struct tensor_source *base, struct err *e);
/* smoothed_add - scale [p->channels] > 0, copied: from now on the tensors of p are read scaled, behind what was added before. */
int smoothed_add(struct smoothed *s, const struct mapping *p, const float *scale, struct err *e);
const struct tensor_source *smoothed_source(const struct smoothed *s);
bool smoothed_changes(const struct smoothed *s, const char *tensor); /* s may be NULL */
void smoothed_free(struct smoothed *s);
/* smoothed_bytes - what one mapping keeps, for plans. */
int64_t smoothed_bytes(const struct mapping *p);
#endif
