/* ct_read.c - compressed-tensors checkpoints read back: a tensor_source in which X.weight is float32 computed from codes,
 * and the tensors that it is computed from are not listed. Values are (code - zero) * scale, one product rounded once to
 * the dtype that compressed-tensors computes in: the scale's for integer and float8 formats, bfloat16 for FP4 and MX.
 * Everything that decoding indexes is checked when the checkpoint is opened. */
#include "io/containers/ct.h"

#include "base/mem.h"
#include "io/containers/bits.h"
#include "io/shards.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct ct_module {
    char *name;        /* "model.layers.0.mlp.up_proj" */
    char *weight_name; /* name + ".weight" */
    const struct ct_group *group;
    enum ct_format format;
    int64_t rows, cols;
    int64_t cell_rows, cell_cols, param_rows, param_cols;
    struct tensor_view code, scale, zero; /* zero.data NULL: symmetric */
    bool padded;                          /* codes in the layout of <= 0.17 */
    float global;                         /* nvfp4: scales are divided by it */
    enum dtype round;
    struct tensor_info info;
};
struct ct {
    struct tensor_source stored;
    struct ct_config config;
    struct ct_module *module; /* sorted by name */
    int64_t n;
    const struct tensor_info **shown; /* what the source lists, sorted by name */
    int64_t n_shown;
};

/* Tensors of a quantized module that its decoded weight makes needless. */
static const char *const parts[] = { "weight",
                                     "weight_packed",
                                     "weight_scale",
                                     "weight_zero_point",
                                     "weight_shape",
                                     "weight_global_scale",
                                     "input_scale",
                                     "input_zero_point",
                                     "input_global_scale",
                                     "output_scale",
                                     "output_zero_point",
                                     NULL };

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* -- one module's tensors -- */

/* A part of the module: 0 with out->data NULL when absent and not needed. */
static int part(const struct ct *c, const struct ct_module *m, const char *tail, bool needed,
                struct tensor_view *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    char *name = mem_printf(e, "%s.%s", m->name, tail);
    if (!name)
        return -1;
    int rc = 0;
    if (c->stored.find(c->stored.self, name))
        rc = c->stored.view(c->stored.self, name, out, e);
    else if (needed)
        rc = err_set(e, ERR_INPUT, "module '%s' of format %s has no tensor '%s'", m->name,
                     ct_format_words[m->format], tail);
    mem_free(name);
    return rc;
}

static int want(const struct ct_module *m, const char *tail, const struct tensor_view *v, enum dtype t,
                int64_t rows, int64_t cols, struct err *e)
{
    if (v->dtype != t)
        return err_set(e, ERR_INPUT, "tensor '%s.%s' is %s, expected %s", m->name, tail,
                       dtypes[v->dtype].name, dtypes[t].name);
    if (v->rank != 2 || v->dim[0] != rows || v->dim[1] != cols)
        return err_set(e, ERR_INPUT, "tensor '%s.%s' has shape [%lld, %lld] (rank %d), expected [%lld, %lld]",
                       m->name, tail, (long long)v->dim[0], (long long)v->dim[1], v->rank, (long long)rows,
                       (long long)cols);
    return 0;
}

static int need_matrix(const struct ct_module *m, const char *tail, const struct tensor_view *v,
                       struct err *e)
{
    if (v->rank == 3)
        return err_set(e, ERR_UNBUILT, "tensor '%s.%s' is a stack of %lld matrices, which is not read yet",
                       m->name, tail, (long long)v->dim[0]);
    if (v->rank != 2)
        return err_set(e, ERR_INPUT, "tensor '%s.%s' has rank %d, expected 2", m->name, tail, v->rank);
    return 0;
}

static int64_t index_at(const struct tensor_view *v, int64_t i)
{
    const unsigned char *p = v->data;
    if (v->dtype == DT_I32) {
        int32_t k;
        memcpy(&k, p + 4 * i, sizeof k);
        return k;
    }
    int64_t k;
    memcpy(&k, p + 8 * i, sizeof k);
    return k;
}

/* weight_packed i32 [N, W] and weight_shape (N, K): W tells the dense stream from the padded words. */
static int open_packed(const struct ct *c, struct ct_module *m, struct err *e)
{
    struct tensor_view shape;
    int b = m->group->scheme.weights.num_bits;
    if (part(c, m, "weight_packed", true, &m->code, e) || part(c, m, "weight_shape", true, &shape, e) ||
        need_matrix(m, "weight_packed", &m->code, e))
        return -1;
    if (b > 8 || m->group->scheme.weights.type != QUANT_INT)
        return err_set(
            e, ERR_INPUT,
            "module '%s' is pack-quantized, which holds integers of 1 to 8 bits, but config.json says %s of %d",
            m->name, quant_type_words[m->group->scheme.weights.type], b);
    if ((shape.dtype != DT_I64 && shape.dtype != DT_I32) || view_elems(&shape) != 2)
        return err_set(e, ERR_INPUT, "tensor '%s.weight_shape' does not hold two integers", m->name);
    m->rows = index_at(&shape, 0);
    m->cols = index_at(&shape, 1);
    if (m->rows < 1 || m->cols < 1 || m->cols > INT64_MAX / 64)
        return err_set(e, ERR_INPUT, "tensor '%s.weight_shape' says [%lld, %lld]", m->name,
                       (long long)m->rows, (long long)m->cols);
    int64_t dense = bits_words(m->cols, b), padded = bits_padded_words(m->cols, b);
    m->padded = m->code.dim[1] != dense && m->code.dim[1] == padded;
    return want(m, "weight_packed", &m->code, DT_I32, m->rows, m->padded ? padded : dense, e);
}

static int want_floats(const struct ct_module *m, int bits, struct err *e)
{
    const struct quant_args *a = &m->group->scheme.weights;
    if (a->type == QUANT_FLOAT && a->num_bits == bits)
        return 0;
    return err_set(e, ERR_INPUT,
                   "module '%s' is %s, which holds floats of %d bits, but config.json says %s of %d", m->name,
                   ct_format_words[m->format], bits, quant_type_words[a->type], a->num_bits);
}

static int open_plain(const struct ct *c, struct ct_module *m, struct err *e)
{
    bool is_int = m->group->scheme.weights.type == QUANT_INT;
    if ((!is_int || m->format == CT_MXFP8) && want_floats(m, 8, e))
        return -1;
    if (part(c, m, "weight", true, &m->code, e) || need_matrix(m, "weight", &m->code, e))
        return -1;
    m->rows = m->code.dim[0];
    m->cols = m->code.dim[1];
    return want(m, "weight", &m->code, is_int ? DT_I8 : DT_F8_E4M3, m->rows, m->cols, e);
}

static int open_fp4(const struct ct *c, struct ct_module *m, struct err *e)
{
    if (want_floats(m, 4, e))
        return -1;
    if (part(c, m, "weight_packed", true, &m->code, e) || need_matrix(m, "weight_packed", &m->code, e))
        return -1;
    m->rows = m->code.dim[0];
    m->cols = 2 * m->code.dim[1];
    return want(m, "weight_packed", &m->code, DT_U8, m->rows, m->cols / 2, e);
}

static int set_cells(struct ct_module *m, struct err *e)
{
    const struct quant_args *a = &m->group->scheme.weights;
    m->cell_rows = 1;
    m->cell_cols = m->cols;
    switch (a->strategy) {
    case STRATEGY_TENSOR: m->cell_rows = m->rows; break;
    case STRATEGY_CHANNEL: break;
    case STRATEGY_GROUP:
    case STRATEGY_TENSOR_GROUP: m->cell_cols = a->group_size; break;
    case STRATEGY_BLOCK:
        m->cell_rows = a->block[0];
        m->cell_cols = a->block[1];
        break;
    case STRATEGY_TOKEN:
    case STRATEGY_ATTN_HEAD:
        return err_set(e, ERR_INPUT, "module '%s': strategy %s is for activations, not for weights", m->name,
                       strategy_words[a->strategy]);
    }
    m->cell_rows = m->cell_rows > 0 ? m->cell_rows : 1;
    m->cell_cols = m->cell_cols > 0 ? m->cell_cols : 1;
    m->param_rows = ceil_div(m->rows, m->cell_rows);
    m->param_cols = ceil_div(m->cols, m->cell_cols);
    return 0;
}

/* Scales: [N, G] and the like; one per tensor may have any rank. */
static int check_params(const struct ct_module *m, const char *tail, const struct tensor_view *v,
                        struct err *e)
{
    if (m->group->scheme.weights.strategy == STRATEGY_TENSOR && view_elems(v) == 1)
        return 0;
    if (m->group->scheme.weights.strategy == STRATEGY_CHANNEL && v->rank == 1 && v->dim[0] == m->param_rows)
        return 0;
    return want(m, tail, v, v->dtype, m->param_rows, m->param_cols, e);
}

/* The dtype that a scale must have by its format, and what the product is rounded to. */
static int open_scale(const struct ct *c, struct ct_module *m, struct err *e)
{
    bool mx = m->format == CT_MXFP4 || m->format == CT_MXFP8, ok;
    if (part(c, m, "weight_scale", true, &m->scale, e) || check_params(m, "weight_scale", &m->scale, e))
        return -1;
    enum dtype t = m->scale.dtype;
    if (mx) {
        ok = t == DT_U8 || t == DT_F8_E8M0;
        m->scale.dtype = DT_F8_E8M0;
    } else if (m->format == CT_NVFP4)
        ok = t == DT_F8_E4M3;
    else
        ok = t == DT_F32 || t == DT_BF16 || t == DT_F16;
    if (!ok)
        return err_set(e, ERR_INPUT, "tensor '%s.weight_scale' is %s, which %s does not have", m->name,
                       dtypes[t].name, ct_format_words[m->format]);
    m->round = mx || m->format == CT_NVFP4 ? DT_BF16 : t;
    return 0;
}

static int open_global(const struct ct *c, struct ct_module *m, struct err *e)
{
    struct tensor_view v;
    if (m->format != CT_NVFP4)
        return 0;
    if (part(c, m, "weight_global_scale", true, &v, e))
        return -1;
    if (v.dtype != DT_F32 || view_elems(&v) != 1)
        return err_set(e, ERR_INPUT, "tensor '%s.weight_global_scale' is no single float32", m->name);
    read_stored_f32(DT_F32, v.data, 1, &m->global);
    if (!(m->global > 0) || isinf(m->global))
        return err_set(e, ERR_INPUT, "tensor '%s.weight_global_scale' holds %g, expected a positive number",
                       m->name, (double)m->global);
    return 0;
}

static int open_zero(const struct ct *c, struct ct_module *m, struct err *e)
{
    const struct quant_args *a = &m->group->scheme.weights;
    if (a->type == QUANT_FLOAT)
        return 0;
    if (part(c, m, "weight_zero_point", !a->symmetric, &m->zero, e))
        return -1;
    if (a->symmetric || !m->zero.data) {
        m->zero.data = NULL; /* a symmetric scheme has zeros that are all 0, if a file holds any */
        return 0;
    }
    if (m->format == CT_PACK && ct_packs_zero(a)) {
        int64_t words =
            m->padded ? bits_padded_words(m->rows, a->num_bits) : bits_words(m->rows, a->num_bits);
        return want(m, "weight_zero_point", &m->zero, DT_I32, words, m->param_cols, e);
    }
    if (m->zero.dtype != DT_I8)
        return err_set(e, ERR_INPUT, "tensor '%s.weight_zero_point' is %s, expected I8", m->name,
                       dtypes[m->zero.dtype].name);
    return check_params(m, "weight_zero_point", &m->zero, e);
}

static int refuse_g_idx(const struct ct *c, const struct ct_module *m, struct err *e)
{
    struct tensor_view v;
    if (part(c, m, "weight_g_idx", false, &v, e))
        return -1;
    return v.data ? err_set(e, ERR_UNBUILT,
                            "module '%s' has a weight_g_idx (activation order by index), which is not read",
                            m->name)
                  : 0;
}

static int open_module(const struct ct *c, struct ct_module *m, struct err *e)
{
    int rc;
    m->group = ct_config_group(&c->config, m->name, e);
    if (!m->group)
        return -1;
    if (!m->group->scheme.has_weights)
        return err_set(e, ERR_INPUT, "module '%s' has a weight_scale, but config group '%s' has no weights",
                       m->name, m->group->name);
    int f = m->group->format >= 0 ? m->group->format : c->config.format;
    m->format = f >= 0 ? (enum ct_format)f : ct_infer(&m->group->scheme);
    if (refuse_g_idx(c, m, e))
        return -1;
    if (m->format == CT_PACK)
        rc = open_packed(c, m, e);
    else if (m->format == CT_NVFP4 || m->format == CT_MXFP4)
        rc = open_fp4(c, m, e);
    else
        rc = open_plain(c, m, e);
    if (!rc && (m->rows < 1 || m->cols < 1))
        rc = err_set(e, ERR_INPUT, "module '%s' has no elements", m->name);
    if (rc || set_cells(m, e) || open_scale(c, m, e) || open_global(c, m, e) || open_zero(c, m, e))
        return -1;
    m->weight_name = mem_printf(e, "%s.weight", m->name);
    struct tensor_info info = { m->weight_name, DT_F32, 2, { m->rows, m->cols } };
    m->info = info;
    return m->weight_name ? 0 : -1;
}

/* -- decoding -- */

/* Room for the parameters and codes of one row. */
struct scratch {
    float *scale, *zero;
    uint8_t *code;
};

static int scratch_init(struct scratch *s, const struct ct_module *m, struct err *e)
{
    size_t p = (size_t)m->param_cols;
    float *f = mem_alloc((2 * p * sizeof *f) + (size_t)m->cols, e);
    if (!f)
        return -1;
    s->scale = f;
    s->zero = f + p;
    s->code = (uint8_t *)(f + 2 * p);
    return 0;
}

static void scales_of_row(const struct ct_module *m, int64_t r, float *out)
{
    int64_t n = m->param_cols, size = dtypes[m->scale.dtype].bytes;
    read_stored_f32(m->scale.dtype, (const unsigned char *)m->scale.data + r / m->cell_rows * n * size, n,
                    out);
    for (int64_t i = 0; m->format == CT_NVFP4 && i < n; i++)
        out[i] /= m->global;
}

static int zero_at(const struct ct_module *m, int64_t r, int64_t p)
{
    const struct quant_args *a = &m->group->scheme.weights;
    const uint8_t *data = m->zero.data;
    int64_t n = m->param_cols;
    if (!data)
        return 0;
    if (m->format != CT_PACK || !ct_packs_zero(a))
        return ((const int8_t *)data)[r / m->cell_rows * n + p];
    unsigned u = m->padded ? bits_padded_at(data + 4 * p, n, r, a->num_bits)
                           : bits_at(data + 4 * p, n, r, a->num_bits);
    return (int)u - (1 << (a->num_bits - 1));
}

static const int8_t *codes_of_row(const struct ct_module *m, int64_t r, uint8_t *out)
{
    const uint8_t *p = (const uint8_t *)m->code.data;
    int b = m->group->scheme.weights.num_bits;
    if (!ct_forms[m->format].packed)
        return (const int8_t *)p + r * m->cols;
    if (m->format != CT_PACK) {
        bits_unpack(p + r * m->cols / 2, m->cols, 4, 0, out);
        return (const int8_t *)out;
    }
    p += 4 * r * m->code.dim[1];
    if (m->padded)
        bits_unpack_padded(p, m->cols, b, 1u << (b - 1), out);
    else
        bits_unpack(p, m->cols, b, 1u << (b - 1), out);
    return (const int8_t *)out;
}

/* Values of a row before scaling. */
static void numbers_of_row(const struct ct_module *m, int64_t r, struct scratch *s, float *out)
{
    static const float e2m1[16] = { 0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                    -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f };
    const unsigned char *p = m->code.data;
    if (m->format == CT_NVFP4 || m->format == CT_MXFP4) {
        p += r * m->cols / 2;
        for (int64_t j = 0; j < m->cols; j++)
            out[j] = e2m1[j % 2 ? p[j / 2] >> 4 : p[j / 2] & 15];
    } else if (m->group->scheme.weights.type == QUANT_FLOAT)
        dtype_to_f32(DT_F8_E4M3, p + r * m->cols, m->cols, out);
    else {
        const int8_t *code = codes_of_row(m, r, s->code);
        for (int64_t j = 0; j < m->cols; j++)
            out[j] = (float)code[j];
    }
}

static void round_row(enum dtype t, float *row, int64_t n)
{
    uint16_t tmp[256];
    for (int64_t i = 0; t != DT_F32 && i < n; i += 256) {
        int64_t k = n - i < 256 ? n - i : 256;
        dtype_from_f32(t, row + i, k, tmp);
        dtype_to_f32(t, tmp, k, row + i);
    }
}

static void decode_row(const struct ct_module *m, int64_t r, struct scratch *s, float *out)
{
    scales_of_row(m, r, s->scale);
    for (int64_t p = 0; p < m->param_cols; p++)
        s->zero[p] = (float)zero_at(m, r, p);
    numbers_of_row(m, r, s, out);
    for (int64_t p = 0; p < m->param_cols; p++) {
        int64_t from = p * m->cell_cols, to = from + m->cell_cols < m->cols ? from + m->cell_cols : m->cols;
        for (int64_t j = from; j < to; j++)
            out[j] = (out[j] - s->zero[p]) * s->scale[p];
    }
    round_row(m->round, out, m->cols);
}

/* -- as a source -- */

static int by_module(const void *a, const void *b)
{
    return strcmp(((const struct ct_module *)a)->name, ((const struct ct_module *)b)->name);
}

/* The module whose name is the first n bytes of `name`. */
static const struct ct_module *find_module(const struct ct *c, const char *name, size_t n)
{
    int64_t lo = 0, hi = c->n;
    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        const char *at = c->module[mid].name;
        int k = strncmp(at, name, n);
        if (!k && !at[n])
            return &c->module[mid];
        if (k < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

/* The module that a tensor is a part of, or NULL. */
static const struct ct_module *owner(const struct ct *c, const char *tensor)
{
    const char *dot = strrchr(tensor, '.');
    if (!dot)
        return NULL;
    for (const char *const *p = parts; *p; p++)
        if (!strcmp(*p, dot + 1))
            return find_module(c, tensor, (size_t)(dot - tensor));
    return NULL;
}

static const struct ct_module *decoded(const struct ct *c, const char *tensor)
{
    size_t n = strlen(tensor);
    return str_ends(tensor, ".weight") ? find_module(c, tensor, n - 7) : NULL;
}

static const struct tensor_info *source_at(void *self, int64_t i)
{
    const struct ct *c = self;
    BUG_ON(i < 0 || i >= c->n_shown);
    return c->shown[i];
}

static const struct tensor_info *source_find(void *self, const char *name)
{
    const struct ct *c = self;
    const struct ct_module *m = decoded(c, name);
    if (m)
        return &m->info;
    return owner(c, name) ? NULL : c->stored.find(c->stored.self, name);
}

static int source_read(void *self, const char *name, int64_t row, int64_t n, float *out, struct err *e)
{
    const struct ct *c = self;
    const struct ct_module *m = decoded(c, name);
    struct scratch s;
    if (!m)
        return c->stored.read_f32(c->stored.self, name, row, n, out, e);
    if (row < 0 || n < 0 || row > m->rows || n > m->rows - row)
        return err_set(e, ERR_INPUT, "tensor '%s': rows %lld to %lld asked for, it has %lld", name,
                       (long long)row, (long long)(row + n), (long long)m->rows);
    if (scratch_init(&s, m, e))
        return -1;
    for (int64_t r = 0; r < n; r++)
        decode_row(m, row + r, &s, out + r * m->cols);
    mem_free(s.scale);
    return 0;
}

static int source_view(void *self, const char *name, struct tensor_view *out, struct err *e)
{
    const struct ct *c = self;
    if (owner(c, name))
        return err_set(e, ERR_INPUT, "tensor '%s' is decoded from codes: it has no stored bytes", name);
    return c->stored.view(c->stored.self, name, out, e);
}

static void source_close(void *self) { (void)self; } /* the decoder owns everything */

/* -- opening -- */

static int64_t count_modules(const struct tensor_source *stored)
{
    int64_t n = 0;
    for (int64_t i = 0; i < stored->count; i++)
        n += str_ends(stored->at(stored->self, i)->name, ".weight_scale");
    return n;
}

static int open_modules(struct ct *c, struct err *e)
{
    static const char tail[] = ".weight_scale";
    int64_t n = count_modules(&c->stored);
    c->module = mem_array(n ? (size_t)n : 1, sizeof *c->module, e);
    if (!c->module)
        return -1;
    for (int64_t i = 0; i < c->stored.count; i++) {
        const char *name = c->stored.at(c->stored.self, i)->name;
        if (!str_ends(name, tail))
            continue;
        struct ct_module *m = &c->module[c->n++];
        m->name = mem_strndup(name, strlen(name) - (sizeof tail - 1), e);
        if (!m->name || open_module(c, m, e))
            return -1;
    }
    if (c->n > 1)
        qsort(c->module, (size_t)c->n, sizeof *c->module, by_module);
    return 0;
}

static int by_info(const void *a, const void *b)
{
    return strcmp((*(const struct tensor_info *const *)a)->name,
                  (*(const struct tensor_info *const *)b)->name);
}

static int list_shown(struct ct *c, struct err *e)
{
    c->shown = mem_array((size_t)(c->n + c->stored.count) + 1, sizeof *c->shown, e);
    if (!c->shown)
        return -1;
    for (int64_t i = 0; i < c->n; i++)
        c->shown[c->n_shown++] = &c->module[i].info;
    for (int64_t i = 0; i < c->stored.count; i++) {
        const struct tensor_info *t = c->stored.at(c->stored.self, i);
        if (str_ends(t->name, ".weight_packed") && !owner(c, t->name))
            return err_set(e, ERR_INPUT, "tensor '%s' has no weight_scale beside it", t->name);
        if (!owner(c, t->name))
            c->shown[c->n_shown++] = t;
    }
    if (c->n_shown > 1)
        qsort(c->shown, (size_t)c->n_shown, sizeof *c->shown, by_info);
    return 0;
}

int ct_open(const struct json *config, const char *dir, const struct tensor_source *stored, void **decoder,
            struct tensor_source *tensors, struct err *e)
{
    struct ct *c = mem_alloc(sizeof *c, e);
    if (!c)
        return -1;
    c->stored = *stored;
    /* `dense` (fake-quantized) files hold float weights: nothing to decode, scales stay visible */
    int rc = ct_config_read(config, dir, &c->config, e);
    rc = rc || (c->config.format != CT_DENSE && open_modules(c, e)) || list_shown(c, e);
    if (rc) {
        ct_close(c);
        return err_while(e, "reading compressed-tensors checkpoint %s", dir);
    }
    struct tensor_source t = {
        c, c->n_shown, source_at, source_find, source_read, source_view, source_close
    };
    *tensors = t;
    *decoder = c;
    return 0;
}

void ct_close(void *decoder)
{
    struct ct *c = decoder;
    if (!c)
        return;
    for (int64_t i = 0; i < c->n; i++) {
        mem_free(c->module[i].name);
        mem_free(c->module[i].weight_name);
    }
    mem_free(c->module);
    mem_free(c->shown);
    ct_config_release(&c->config);
    mem_free(c);
}

bool ct_describe(void *decoder, const char *module, struct quant_args *out)
{
    const struct ct_module *m = find_module(decoder, module, strlen(module));
    if (m)
        *out = m->group->scheme.weights;
    return m;
}

const struct ct_group *ct_group_of(void *decoder, const char *module, int64_t *in)
{
    const struct ct_module *m = find_module(decoder, module, strlen(module));
    if (m)
        *in = m->cols;
    return m ? m->group : NULL;
}

const struct ct_config *ct_config_of(void *decoder) { return &((const struct ct *)decoder)->config; }

const struct tensor_source *ct_stored(void *decoder) { return &((const struct ct *)decoder)->stored; }

const struct quant_args *ct_cache_args(void *decoder)
{
    const struct ct *c = decoder;
    return c->config.has_cache ? &c->config.cache : NULL;
}

/* -- back to codes -- */

static void fill_qtensor(const struct ct_module *m, struct qtensor *q, struct scratch *s)
{
    for (int64_t r = 0; r < m->rows; r++)
        memcpy(q->codes + r * m->cols, codes_of_row(m, r, s->code), (size_t)m->cols);
    for (int64_t k = 0; k < m->param_rows; k++) {
        scales_of_row(m, k * m->cell_rows, q->scale + k * m->param_cols);
        for (int64_t p = 0; q->zero && p < m->param_cols; p++)
            q->zero[k * m->param_cols + p] = (int8_t)zero_at(m, k * m->cell_rows, p);
    }
}

int ct_unpack(void *decoder, const char *module, struct qtensor *q, struct err *e)
{
    const struct ct *c = decoder;
    const struct ct_module *m = find_module(c, module, strlen(module));
    struct grid_layout l;
    struct scratch s;
    if (!m)
        return err_set(e, ERR_INPUT, "module '%s' is not quantized", module);
    if (layout_init(&l, &m->group->scheme.weights, m->rows, m->cols, m->round, e) || scratch_init(&s, m, e))
        return err_while(e, "unpacking %s", module);
    l.grid = ct_grid_name(m->format, &m->group->scheme.weights);
    if (ct_forms[m->format].bfloat16) /* old files do not say scale_dtype */
        l.param_dtype = m->scale.dtype;
    int rc = qtensor_init(q, &l, e);
    if (!rc) {
        q->global_scale = m->global;
        fill_qtensor(m, q, &s);
    }
    mem_free(s.scale);
    return rc;
}
