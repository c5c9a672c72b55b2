/* qtensor.c - cells of a strategy, storage, and decoding of codes. */
#include "base/qtensor.h"

#include "base/mem.h"

#include <string.h>

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static int group_cells(struct grid_layout *l, int64_t g, struct err *e)
{
    if (g > l->cols || l->cols % g) {
        err_set(e, ERR_INPUT, "group_size %lld does not divide the %lld input features", (long long)g,
                (long long)l->cols);
        return err_hint(e,
                        "choose a group_size that divides %lld, -1 for one scale a row, or ignore the module",
                        (long long)l->cols);
    }
    l->cell_rows = 1;
    l->cell_cols = g;
    return 0;
}

/* A scale of one byte is part of the FP4 and MX formats, whose readers compute in bfloat16 whatever the model's dtype. */
static void set_dtypes(struct grid_layout *l, enum dtype weights)
{
    int asked = l->args.scale_dtype;
    bool byte = l->args.type == QUANT_FLOAT && (asked == DT_U8 || asked == DT_F8_E4M3);
    l->scale_dtype = l->param_dtype = l->value_dtype = weights;
    if (byte) {
        l->param_dtype = asked == DT_U8 ? DT_F8_E8M0 : DT_F8_E4M3;
        l->value_dtype = DT_BF16;
    }
}

int layout_init(struct grid_layout *l, const struct quant_args *a, int64_t rows, int64_t cols,
                enum dtype scale_dtype, struct err *e)
{
    memset(l, 0, sizeof *l);
    l->args = *a;
    l->rows = rows;
    l->cols = cols;
    set_dtypes(l, scale_dtype);
    if (rows < 1 || cols < 1)
        return err_set(e, ERR_INPUT, "a weight of %lld x %lld has nothing to quantize", (long long)rows,
                       (long long)cols);
    switch (a->strategy) {
    case STRATEGY_TENSOR:
        l->cell_rows = rows;
        l->cell_cols = cols;
        break;
    case STRATEGY_CHANNEL:
        l->cell_rows = 1;
        l->cell_cols = cols;
        break;
    case STRATEGY_GROUP:
    case STRATEGY_TENSOR_GROUP:
        if (group_cells(l, a->group_size > 0 ? a->group_size : cols, e))
            return -1;
        break;
    case STRATEGY_BLOCK:
        if (a->block[0] < 1 || a->block[1] < 1)
            return err_set(e, ERR_INPUT, "strategy block needs a block_structure");
        l->cell_rows = a->block[0];
        l->cell_cols = a->block[1];
        break;
    case STRATEGY_TOKEN:
    case STRATEGY_ATTN_HEAD:
        return err_set(e, ERR_INPUT, "strategy %s is for activations, not for weights",
                       strategy_words[a->strategy]);
    }
    l->param_rows = ceil_div(rows, l->cell_rows);
    l->param_cols = ceil_div(cols, l->cell_cols);
    return 0;
}

void layout_strip(const struct grid_layout *l, int64_t row, int64_t rows, struct grid_layout *out)
{
    *out = *l;
    if (l->args.strategy == STRATEGY_TENSOR)
        out->cell_rows = rows;
    else
        BUG_ON(row % l->cell_rows || (rows % l->cell_rows && row + rows < l->rows));
    BUG_ON(row + rows > l->rows);
    out->row0 = l->row0 + row;
    out->rows = rows;
    out->param_rows = ceil_div(rows, out->cell_rows);
}

int qtensor_init(struct qtensor *q, const struct grid_layout *l, struct err *e)
{
    memset(q, 0, sizeof *q);
    q->layout = *l;
    size_t n = (size_t)(l->rows * l->cols), p = (size_t)(l->param_rows * l->param_cols);
    q->codes = mem_big(n, sizeof *q->codes, e);
    q->scale = q->codes ? mem_array(p, sizeof *q->scale, e) : NULL;
    if (q->scale && !l->args.symmetric)
        q->zero = mem_array(p, sizeof *q->zero, e);
    if (!q->scale || (!l->args.symmetric && !q->zero)) {
        qtensor_release(q);
        return -1;
    }
    return 0;
}

void qtensor_release(struct qtensor *q)
{
    mem_free(q->codes);
    mem_free(q->scale);
    mem_free(q->zero);
    memset(q, 0, sizeof *q);
}

/* The numbers of n codes. */
static void numbers(const struct quant_args *a, const int8_t *code, int64_t n, float *out)
{
    static const float e2m1[16] = { 0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                    -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f };
    if (a->type == QUANT_FLOAT && a->num_bits == 8)
        dtype_to_f32(DT_F8_E4M3, code, n, out);
    else if (a->type == QUANT_FLOAT)
        for (int64_t i = 0; i < n; i++)
            out[i] = e2m1[code[i] & 15];
    else
        for (int64_t i = 0; i < n; i++)
            out[i] = (float)code[i];
}

void qtensor_decode(const struct qtensor *q, int64_t row, int64_t n, float *out)
{
    const struct grid_layout *l = &q->layout;
    for (int64_t r = row; r < row + n; r++, out += l->cols) {
        int64_t base = r / l->cell_rows * l->param_cols;
        numbers(&l->args, q->codes + r * l->cols, l->cols, out);
        for (int64_t p = 0; p < l->param_cols; p++) {
            int64_t from = p * l->cell_cols,
                    to = from + l->cell_cols < l->cols ? from + l->cell_cols : l->cols;
            float s = q->scale[base + p], z = q->zero ? (float)q->zero[base + p] : 0.0f;
            for (int64_t c = from; c < to; c++)
                out[c] = (out[c] - z) * s;
        }
        if (l->value_dtype != DT_F32)
            for (int64_t c = 0; c < l->cols; c++)
                out[c] = dtype_round(l->value_dtype, out[c]);
    }
}
