/* activation.c - a quantizer's words as the arguments of the kernel that computes it. */
#include "model/activation.h"

#include "base/tensor.h"
#include "kernels/kernels.h"

static struct k_fake fake_of(const struct activation *a)
{
    const struct quant_args *q = &a->args;
    struct k_fake f = { .from = K_FAKE_FLOAT, .asymmetric = !q->symmetric, .global = a->global };
    f.number = q->type == QUANT_INT ? K_FAKE_INT : q->num_bits == 8 ? K_FAKE_E4M3_NUMBER : K_FAKE_E2M1;
    activation_range(q, &f.least, &f.most);
    if (a->n)
        f.from = K_FAKE_GIVEN;
    else if (q->strategy == STRATEGY_TENSOR_GROUP)
        f.from = K_FAKE_E4M3;
    else if (q->scale_dtype == DT_U8)
        f.from = K_FAKE_E8M0;
    if (q->strategy == STRATEGY_GROUP || q->strategy == STRATEGY_TENSOR_GROUP)
        f.group = q->group_size;
    f.all_rows = q->strategy == STRATEGY_TENSOR;
    return f;
}

void activation_apply(const struct activation *a, int64_t n, int64_t d, const float *x, int64_t ldx, float *y,
                      int64_t ldy)
{
    struct k_fake f = fake_of(a);
    int64_t parts = a->n > 1 ? a->n : 1, width = d / parts;
    for (int64_t i = 0; i < parts; i++) {
        if (a->n) {
            f.scale = a->scale[i];
            f.zero = a->zero ? (float)a->zero[i] : 0.0f;
        }
        k_fake_quantize(&f, n, width, x + i * width, ldx, y + i * width, ldy);
    }
}
