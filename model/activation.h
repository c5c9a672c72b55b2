/* activation.h - activation quantizers in the steps: an input before its product, keys and values before attention. */
#ifndef QP_MODEL_ACTIVATION_H
#define QP_MODEL_ACTIVATION_H
#include "base/activation.h"

/* activation_apply - y [n, d] = x as the quantizer leaves it; strategy attn_head: d = heads * head_dim. x may be y. */
void activation_apply(const struct activation *a, int64_t n, int64_t d, const float *x, int64_t ldx, float *y,
                      int64_t ldy);
#endif
