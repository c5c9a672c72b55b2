/* ct_write.c - one module's codes and parameters as compressed-tensors' tensors, and config.json. Layouts are in
 * io/containers/README.md. */
#include "io/containers/ct.h"

#include "base/mem.h"
#include "io/containers/bits.h"
#include "io/save.h"

#include <stdlib.h>
#include <string.h>

/* The version whose layouts are written: dense bit streams, from 0.18 on. */
static const char layout_version[] = "0.19.0";

static unsigned bias_of(const struct quant_args *a) { return 1u << (a->num_bits - 1); }

static int put(struct saver *out, const char *module, const char *tail, enum dtype t, int rank,
               const int64_t *dim, const void *data, struct err *e)
{
    char *name = mem_printf(e, "%s.%s", module, tail);
    int rc = name ? saver_put(out, name, t, rank, dim, data, e) : -1;
    mem_free(name);
    return rc;
}

/* Shape of scales and of unpacked zero points: [1] for one per tensor, else the cells. */
static int param_shape(const struct grid_layout *l, int64_t dim[2])
{
    dim[0] = l->param_rows;
    dim[1] = l->param_cols;
    return l->args.strategy == STRATEGY_TENSOR ? 1 : 2;
}

/* The exponent byte of a power of two; 2^-127, a subnormal, has exponent bits of 0, too. */
static void to_e8m0(const float *scale, int64_t n, uint8_t *out)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, &scale[i], sizeof u);
        out[i] = (uint8_t)(u >> 23);
    }
}

/* scale * global is within 2^-11 of the E4M3 value that the grid chose, whose neighbours are 2^-4 away (qtensor.h). */
static void to_e4m3(const struct qtensor *q, int64_t n, uint8_t *out)
{
    for (int64_t i = 0; i < n; i++) {
        float e = q->scale[i] * q->global_scale;
        dtype_from_f32(DT_F8_E4M3, &e, 1, &out[i]);
    }
}

static int put_scale(struct saver *out, const char *module, const struct qtensor *q, struct err *e)
{
    const struct grid_layout *l = &q->layout;
    int64_t dim[2], n = l->param_rows * l->param_cols;
    int rank = param_shape(l, dim);
    enum dtype stored = l->param_dtype == DT_F8_E8M0 ? DT_U8 : l->param_dtype;
    void *data = mem_array((size_t)n, (size_t)dtypes[stored].bytes, e);
    if (!data)
        return -1;
    if (l->param_dtype == DT_F8_E8M0)
        to_e8m0(q->scale, n, data);
    else if (l->param_dtype == DT_F8_E4M3)
        to_e4m3(q, n, data);
    else
        dtype_from_f32(stored, q->scale, n, data);
    int rc = put(out, module, "weight_scale", stored, rank, dim, data, e);
    mem_free(data);
    return rc;
}

static int put_global(struct saver *out, const char *module, const struct qtensor *q, struct err *e)
{
    if (q->layout.param_dtype != DT_F8_E4M3)
        return 0;
    BUG_ON(!(q->global_scale > 0.0f));
    return put(out, module, "weight_global_scale", DT_F32, 1, (int64_t[]){ 1 }, &q->global_scale, e);
}

/* Zero points along dim 0: the codes of one column of cells are one stream, and streams stand side by side. */
static int put_packed_zero(struct saver *out, const char *module, const struct qtensor *q, struct err *e)
{
    const struct grid_layout *l = &q->layout;
    int b = l->args.num_bits, rc = -1;
    int64_t rows = l->param_rows, cols = l->param_cols, words = bits_words(rows, b);
    uint32_t *data = mem_array((size_t)(words * cols), 4, e), *line = mem_array((size_t)words, 4, e);
    uint8_t *code = mem_array((size_t)rows, 1, e);
    if (!data || !line || !code)
        goto done;
    for (int64_t c = 0; c < cols; c++) {
        for (int64_t r = 0; r < rows; r++)
            code[r] = (uint8_t)q->zero[r * cols + c];
        bits_pack(code, rows, b, bias_of(&l->args), (uint8_t *)line);
        for (int64_t w = 0; w < words; w++)
            data[w * cols + c] = line[w];
    }
    rc = put(out, module, "weight_zero_point", DT_I32, 2, (int64_t[]){ words, cols }, data, e);
done:
    mem_free(data);
    mem_free(line);
    mem_free(code);
    return rc;
}

static int put_zero(struct saver *out, const char *module, enum ct_format f, const struct qtensor *q,
                    struct err *e)
{
    int64_t dim[2];
    int rank = param_shape(&q->layout, dim);
    if (!q->zero)
        return 0;
    if (f == CT_PACK && ct_packs_zero(&q->layout.args))
        return put_packed_zero(out, module, q, e);
    return put(out, module, "weight_zero_point", DT_I8, rank, dim, q->zero, e);
}

/* Bytes of a row of codes as they stand in the file: whole words of integers; two E2M1 codes a byte, the even column low
 * (columns come in groups of 16 or 32); or a byte each. */
static int64_t row_bytes(enum ct_format f, const struct grid_layout *l)
{
    if (!ct_forms[f].packed)
        return l->cols;
    return l->args.type == QUANT_INT ? 4 * bits_words(l->cols, l->args.num_bits) : l->cols / 2;
}

int64_t ct_row_bytes(const struct quant_scheme *s, const struct grid_layout *l)
{
    enum ct_format f;
    return ct_format_of(s, &f, NULL) ? 0 : row_bytes(f, l);
}

void ct_pack_rows(const struct quant_scheme *s, const struct qtensor *q, uint8_t *out)
{
    const struct grid_layout *l = &q->layout;
    const uint8_t *code = (const uint8_t *)q->codes;
    enum ct_format f;
    BUG_ON(ct_format_of(s, &f, NULL));
    int64_t bytes = row_bytes(f, l);
    bool is_int = l->args.type == QUANT_INT;
    if (!ct_forms[f].packed)
        memcpy(out, code, (size_t)(l->rows * l->cols));
    for (int64_t r = 0; ct_forms[f].packed && r < l->rows; r++)
        bits_pack(code + r * l->cols, l->cols, is_int ? l->args.num_bits : 4, is_int ? bias_of(&l->args) : 0,
                  out + r * bytes);
}

static int open_codes(struct saver *out, const char *module, const char *tail, enum dtype t, int64_t rows,
                      int64_t cols, struct err *e)
{
    char *name = mem_printf(e, "%s.%s", module, tail);
    int rc = name ? saver_open(out, name, t, 2, (int64_t[]){ rows, cols }, e) : -1;
    mem_free(name);
    return rc;
}

int ct_pack_begin(struct saver *out, const char *module, const struct quant_scheme *s,
                  const struct grid_layout *l, struct err *e)
{
    enum ct_format f;
    int64_t shape[2] = { l->rows, l->cols };
    bool is_int = l->args.type == QUANT_INT;
    if (ct_format_of(s, &f, e))
        return -1;
    int64_t bytes = row_bytes(f, l);
    if (!ct_forms[f].packed)
        return open_codes(out, module, "weight", is_int ? DT_I8 : DT_F8_E4M3, l->rows, l->cols, e);
    if (!is_int)
        return open_codes(out, module, "weight_packed", DT_U8, l->rows, bytes, e);
    return put(out, module, "weight_shape", DT_I64, 1, (int64_t[]){ 2 }, shape, e) ||
                   open_codes(out, module, "weight_packed", DT_I32, l->rows, bytes / 4, e)
               ? -1
               : 0;
}

int ct_pack_end(struct saver *out, const char *module, const struct quant_scheme *s, const struct qtensor *q,
                struct err *e)
{
    enum ct_format f;
    if (saver_close(out, e) || ct_format_of(s, &f, e) || put_scale(out, module, q, e) ||
        put_global(out, module, q, e) || put_zero(out, module, f, q, e))
        return err_while(e, "packing %s", module);
    return 0;
}

/* Codes of a whole matrix, some rows at a time. */
static int append_rows(struct saver *out, const struct quant_scheme *s, const struct qtensor *q,
                       struct err *e)
{
    enum { PIECE = 1 << 20 };
    const struct grid_layout *l = &q->layout;
    int64_t bytes = ct_row_bytes(s, l), step = bytes < PIECE ? PIECE / bytes : 1;
    step = step < l->rows ? step : l->rows;
    uint8_t *data = mem_big((size_t)step, (size_t)bytes, e);
    int rc = data ? 0 : -1;
    for (int64_t r = 0; !rc && r < l->rows; r += step) {
        struct qtensor part = *q;
        part.codes = q->codes + r * l->cols;
        part.layout.rows = l->rows - r < step ? l->rows - r : step;
        ct_pack_rows(s, &part, data);
        rc = saver_append(out, data, (uint64_t)(part.layout.rows * bytes), e);
    }
    mem_free(data);
    return rc;
}

int ct_pack(struct saver *out, const char *module, const struct quant_scheme *s, const struct qtensor *q,
            struct err *e)
{
    if (ct_pack_begin(out, module, s, &q->layout, e) || append_rows(out, s, q, e))
        return err_while(e, "packing %s", module);
    return ct_pack_end(out, module, s, q, e);
}

static int64_t code_bytes(enum ct_format f, const struct grid_layout *l)
{
    return l->rows * row_bytes(f, l) + (ct_forms[f].packed && l->args.type == QUANT_INT ? 16 : 0);
}

int64_t ct_packed_bytes(const struct quant_scheme *s, const struct grid_layout *l)
{
    enum ct_format f;
    int64_t cells = l->param_rows * l->param_cols, zero = 0;
    if (ct_format_of(s, &f, NULL))
        return 0;
    if (!l->args.symmetric)
        zero = f == CT_PACK && ct_packs_zero(&l->args)
                   ? 4 * bits_words(l->param_rows, l->args.num_bits) * l->param_cols
                   : cells;
    return code_bytes(f, l) + cells * dtypes[l->param_dtype].bytes + (l->param_dtype == DT_F8_E4M3 ? 4 : 0) +
           zero;
}

/* -- config.json -- */

/* An object's keys in the order of bytes, as Python's sort_keys leaves them. */
static int sorted_keys(const struct json *o, struct strs *out, struct err *e)
{
    for (void *it = json_first(o); it; it = json_next(o, it))
        if (strs_add(out, json_it_key(it), e))
            return -1;
    strs_sort(out);
    return 0;
}

/* Any value with sorted keys; depth is bounded by the parser. */
static int put_sorted(struct jw *w, const struct json *j, struct err *e)
{
    struct strs keys = { 0 };
    int rc = 0;
    if (json_type(j) == JSON_ARRAY) {
        jw_array(w);
        for (size_t i = 0; !rc && i < json_len(j); i++)
            rc = put_sorted(w, json_item(j, i), e);
        jw_end_array(w);
        return rc;
    }
    if (json_type(j) != JSON_OBJECT) {
        jw_json(w, j);
        return 0;
    }
    jw_object(w);
    rc = sorted_keys(j, &keys, e);
    for (size_t i = 0; !rc && i < keys.n; i++) {
        jw_key(w, keys.v[i]);
        rc = put_sorted(w, json_get(j, keys.v[i]), e);
    }
    jw_end_object(w);
    strs_release(&keys);
    return rc;
}

static void put_args(struct jw *w, const char *key, bool there, const struct quant_args *a)
{
    jw_key(w, key);
    if (there)
        quant_args_json(a, w);
    else
        jw_null(w);
}

static void put_names(struct jw *w, const char *key, const struct strs *l)
{
    jw_key(w, key);
    jw_array(w);
    for (size_t i = 0; l && i < l->n; i++)
        jw_str(w, l->v[i]);
    jw_end_array(w);
}

static void put_empty(struct jw *w, const char *key)
{
    jw_key(w, key);
    jw_object(w);
    jw_end_object(w);
}

static void put_group(struct jw *w, const struct packed_group *g, enum ct_format f)
{
    jw_key(w, g->name);
    jw_object(w);
    jw_kstr(w, "format", ct_format_words[f]);
    put_args(w, "input_activations", g->scheme->has_input, &g->scheme->input);
    put_args(w, "output_activations", g->scheme->has_output, &g->scheme->output);
    put_names(w, "targets", g->targets);
    put_args(w, "weights", g->scheme->has_weights, &g->scheme->weights);
    jw_end_object(w);
}

static int by_group_name(const void *a, const void *b)
{
    return strcmp((*(const struct packed_group *const *)a)->name,
                  (*(const struct packed_group *const *)b)->name);
}

/* The groups, sorted by name; *all is the one format of them, or "mixed-precision". */
static int put_groups(struct jw *w, const struct container_job *job, const char **all, struct err *e)
{
    const struct packed_group **g = mem_array(job->n_groups ? job->n_groups : 1, sizeof *g, e);
    int rc = g ? 0 : -1;
    for (size_t i = 0; !rc && i < job->n_groups; i++)
        g[i] = &job->group[i];
    if (!rc && job->n_groups > 1)
        qsort(g, job->n_groups, sizeof *g, by_group_name);
    *all = ct_format_words[CT_DENSE];
    jw_key(w, "config_groups");
    jw_object(w);
    for (size_t i = 0; !rc && i < job->n_groups; i++) {
        enum ct_format f;
        rc = ct_format_of(g[i]->scheme, &f, e);
        if (rc) {
            err_while(e, "writing config group %s", g[i]->name);
            break;
        }
        put_group(w, g[i], f);
        *all = !i || !strcmp(*all, ct_format_words[f]) ? ct_format_words[f] : "mixed-precision";
    }
    jw_end_object(w);
    mem_free(g);
    return rc;
}

static int put_quantization(struct jw *w, const struct container_job *job, struct err *e)
{
    const char *format;
    jw_key(w, "quantization_config");
    jw_object(w);
    int rc = put_groups(w, job, &format, e);
    jw_kstr(w, "format", format);
    jw_kstr(w, "global_compression_ratio", NULL);
    put_names(w, "ignore", job->ignored);
    put_args(w, "kv_cache_scheme", job->kv_cache != NULL, job->kv_cache);
    jw_kstr(w, "quant_method", "compressed-tensors");
    jw_kstr(w, "quantization_status", "compressed");
    put_empty(w, "sparsity_config");
    put_empty(w, "transform_config");
    jw_kstr(w, "version", layout_version);
    jw_end_object(w);
    return rc;
}

/* Keys that say how the source was quantized; the new config.json says how this one is. */
static bool is_old_claim(const char *key)
{
    return !strcmp(key, "quantization_config") || !strcmp(key, "compression_config") ||
           !strcmp(key, "quantization");
}

int ct_write_config(const struct container_job *job, struct buf *out, struct err *e)
{
    static const char mine[] = "quantization_config";
    struct strs keys = { 0 };
    struct jw w;
    bool done = false;
    jw_init(&w, out, 2);
    jw_object(&w);
    int rc = sorted_keys(job->config, &keys, e);
    for (size_t i = 0; !rc && i < keys.n; i++) {
        if (!done && strcmp(keys.v[i], mine) >= 0) {
            rc = put_quantization(&w, job, e);
            done = true;
        }
        if (rc || is_old_claim(keys.v[i]))
            continue;
        jw_key(&w, keys.v[i]);
        rc = put_sorted(&w, json_get(job->config, keys.v[i]), e);
    }
    if (!rc && !done)
        rc = put_quantization(&w, job, e);
    strs_release(&keys);
    if (rc)
        return -1;
    jw_end_object(&w);
    return jw_done(&w, e);
}
