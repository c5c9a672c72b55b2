/* containers.c - compressed-tensors without fixtures: what fits and why not, every width and strategy out and back, exact
 * byte counts, and checkpoints whose tensors contradict each other. */
#include "help.h"

#include "base/json.h"
#include "io/checkpoint.h"
#include "io/containers/container.h"
#include "io/save.h"

static const struct container *ct(void) { return container_find("compressed-tensors"); }

static struct quant_scheme scheme(int bits, enum strategy s, int64_t group, bool symmetric)
{
    struct quant_scheme k = { .has_weights = true };
    quant_args_default(&k.weights);
    k.weights.num_bits = bits;
    k.weights.strategy = s;
    k.weights.group_size = group;
    k.weights.symmetric = symmetric;
    return k;
}

static void tables_know_their_names(void **state)
{
    (void)state;
    for (const struct container *const *c = containers; *c; c++) {
        assert_ptr_equal(container_find((*c)->name), *c);
        assert_ptr_equal(container_by_method((*c)->quant_method), *c);
        assert_null(container_unbuilt((*c)->quant_method));
        assert_non_null((*c)->doc);
    }
    static const char *const known[] = { "gptq",   "awq",     "bitsandbytes", "fp8",      "mxfp4",
                                         "hqq",    "exl2",    "exl3",         "modelopt", "fbgemm_fp8",
                                         "quanto", "torchao", "mlx",          "gguf" };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_non_null(container_unbuilt(known[i]));
    assert_null(container_unbuilt("nobody"));
    assert_null(container_find("nobody"));
    assert_null(container_by_method("nobody"));
}

static void schemes_that_do_not_fit_say_why(void **state)
{
    (void)state;
    struct quant_scheme good = scheme(4, STRATEGY_GROUP, 32, true), s;
    struct err e = { 0 };
    assert_int_equal(ct()->fits(&good, &e), 0);
#define REFUSED(change, code, text)               \
    do {                                          \
        s = good;                                 \
        change;                                   \
        memset(&e, 0, sizeof e);                  \
        assert_int_equal(ct()->fits(&s, &e), -1); \
        same_error(&e, code, text);               \
    } while (0)
    REFUSED(s.has_weights = false, ERR_INPUT,
            "the scheme quantizes no weights: compressed-tensors has nothing to hold");
    REFUSED(s.weights.num_bits = 9, ERR_INPUT,
            "compressed-tensors holds weights of 1 to 8 bits, found num_bits 9");
    REFUSED(s.weights.strategy = STRATEGY_TOKEN, ERR_INPUT,
            "strategy token is for activations, not for weights");
    REFUSED(s.weights.scale_dtype = DT_F8_E4M3, ERR_INPUT,
            "scales of integer weights are float32, float16 or bfloat16, found scale_dtype float8_e4m3fn");
    REFUSED(s.weights.zp_dtype = DT_F16, ERR_INPUT,
            "zero points of integer weights are int8, found zp_dtype float16");
    REFUSED(s.has_output = true, ERR_UNBUILT, "output_activations are not built yet");
    REFUSED(
        (s.has_input = true, s.input = s.weights), ERR_UNBUILT,
        "activations that are 4-bit int symmetric group 32, static: static scales of groups are not built yet");
    REFUSED((s.has_input = true, s.input = s.weights, s.input.strategy = STRATEGY_ATTN_HEAD), ERR_INPUT,
            "input_activations that are 4-bit int symmetric attn_head 32, static mean nothing");
    REFUSED(memcpy(s.format, "pack", 5), ERR_INPUT,
            "found format 'pack', expected one of compressed-tensors' formats");
    REFUSED(
        memcpy(s.format, "dense", 6), ERR_INPUT,
        "format 'dense' holds nothing that is quantized, and the weights are 4-bit int symmetric group 32");
    REFUSED((s.weights.strategy = STRATEGY_TENSOR_GROUP, s.weights.group_size = 16), ERR_INPUT,
            "compressed-tensors holds no integer weights of strategy tensor_group");
    REFUSED(s.weights = preset_find("NVFP4A16")->scheme.weights;
            s.weights.scale_dtype = -1, ERR_INPUT,
            "format 'nvfp4-pack-quantized' holds 4-bit floats of strategy tensor_group 16 with scale_dtype "
            "torch.float8_e4m3fn, and the weights are 4-bit float symmetric tensor_group 16");
    REFUSED(
        s.weights.type = QUANT_FLOAT, ERR_INPUT,
        "format 'mxfp4-pack-quantized' holds 4-bit floats of strategy group 32 with scale_dtype torch.uint8, "
        "and the weights are 4-bit float symmetric group 32");
    REFUSED(
        s.weights = preset_find("MXFP8A16")->scheme.weights;
        memcpy(s.format, "float-quantized", 16), ERR_INPUT,
        "format 'float-quantized' holds 8-bit floats whose scales are no bytes, and the weights are 8-bit "
        "float symmetric group 32");
    REFUSED(s.weights = preset_find("FP8_DYNAMIC")->scheme.weights;
            s.weights.symmetric = false, ERR_UNBUILT, "asymmetric weights of type float are not built yet");
    REFUSED(
        (s = preset_find("NVFP4")->scheme, s.input.dynamic = DYNAMIC_TRUE), ERR_UNBUILT,
        "activations that are 4-bit float symmetric tensor_group 16, dynamic: tensor_group is built for 4-bit "
        "floats with dynamic: local and scale_dtype torch.float8_e4m3fn");
}

static void formats_follow_the_peers_order(void **state)
{
    (void)state;
    static const struct {
        bool input;
        const char *format, *tensor, *other;
    } rows[] = { { false, "", "m.weight_packed", "m.weight" },
                 { true, "", "m.weight", "m.weight_packed" },
                 { true, "pack-quantized", "m.weight_packed", "m.weight" },
                 { false, "int-quantized", "m.weight", "m.weight_packed" },
                 { false, "naive-quantized", "m.weight", "m.weight_packed" } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = { 0 };
        struct grid_layout l;
        struct qtensor q;
        struct quant_scheme s = scheme(4, STRATEGY_CHANNEL, 0, true);
        int64_t n, seen = 0;
        snprintf(s.format, sizeof s.format, "%s", rows[i].format);
        s.has_input = rows[i].input;
        quant_args_default(&s.input);
        s.input.dynamic = DYNAMIC_TRUE;
        layout_init(&l, &s.weights, 3, 5, DT_F32, &e);
        qtensor_init(&q, &l, &e);
        struct saver *out = saver_new(temp_folder("order"), 1 << 20, &e);
        ct()->pack(out, "m", &s, &q, &e);
        saver_finish(out, &e);
        no_error(&e);
        const struct saved_tensor *t = saver_tensors(out, &n);
        for (int64_t k = 0; k < n; k++) {
            seen += !strcmp(t[k].name, rows[i].tensor);
            assert_string_not_equal(t[k].name, rows[i].other);
        }
        assert_int_equal(seen, 1);
        saver_free(out);
        qtensor_release(&q);
    }
}

/* -- out and back -- */

static void fill(struct qtensor *q, int seed)
{
    const struct grid_layout *l = &q->layout;
    int range = 1 << l->args.num_bits, low = -(range / 2);
    for (int64_t i = 0; i < l->rows * l->cols; i++)
        q->codes[i] = (int8_t)(low + (int)((i * i * 31 + i * 7 + seed) % range));
    for (int64_t i = 0; i < l->param_rows * l->param_cols; i++) {
        q->scale[i] = dtype_round(l->scale_dtype, 0.013f * (float)(i % 17 + 1));
        if (q->zero)
            q->zero[i] = (int8_t)(low + (int)((i * 5 + seed) % range));
    }
}

static void write_folder(const char *dir, const struct quant_scheme *s, const struct qtensor *q,
                         int64_t *bytes)
{
    struct err e = { 0 };
    struct buf text = { 0 };
    int64_t n;
    struct strs targets = { 0 }, ignored = { 0 };
    strs_add(&targets, "Linear", &e);
    struct packed_group g = { "group_0", s, &targets };
    struct json *config = json_parse("{\"z\":1,\"a\":[{}]}", 16, "c", &e);
    struct container_job job = { config, &g, 1, NULL, 0, &ignored, NULL };
    struct saver *out = saver_new(dir, 1 << 30, &e);
    ct()->pack(out, "x.m", s, q, &e);
    saver_finish(out, &e);
    ct()->write_config(&job, &text, &e);
    no_error(&e);
    write_file(join(dir, "config.json"), text.p, text.len);
    const struct saved_tensor *t = saver_tensors(out, &n);
    *bytes = 0;
    for (int64_t i = 0; i < n; i++) {
        struct tensor_view v = { NULL, t[i].dtype, t[i].rank, { 0 } };
        memcpy(v.dim, t[i].dim, sizeof v.dim);
        *bytes += view_bytes(&v);
    }
    saver_free(out);
    buf_release(&text);
    strs_release(&targets);
    json_free(config);
}

static void same_back(const char *dir, const struct qtensor *q)
{
    struct err e = { 0 };
    struct checkpoint c;
    struct qtensor back;
    const struct grid_layout *l = &q->layout;
    size_t n = (size_t)(l->rows * l->cols), p = (size_t)(l->param_rows * l->param_cols);
    float *got = mem_array(n, 4, &e), *want = mem_array(n, 4, &e);
    checkpoint_open(dir, &c, &e);
    no_error(&e);
    c.container->unpack(c.decoder, "x.m", &back, &e);
    c.tensors.read_f32(c.tensors.self, "x.m.weight", 0, l->rows, got, &e);
    no_error(&e);
    qtensor_decode(q, 0, l->rows, want);
    assert_memory_equal(got, want, n * 4);
    assert_memory_equal(back.codes, q->codes, n);
    assert_memory_equal(back.scale, q->scale, p * 4);
    assert_int_equal(!back.zero, !q->zero);
    if (q->zero)
        assert_memory_equal(back.zero, q->zero, p);
    assert_int_equal(c.tensors.count, 1);
    qtensor_release(&back);
    checkpoint_close(&c);
    mem_free(got);
    mem_free(want);
}

static void every_width_and_strategy_comes_back(void **state)
{
    (void)state;
    static const struct {
        enum strategy s;
        int64_t group, rows, cols;
        const char *format;
    } shapes[] = { { STRATEGY_GROUP, 8, 13, 24, "" }, { STRATEGY_CHANNEL, -1, 33, 7, "" },
                   { STRATEGY_TENSOR, 0, 5, 9, "" },  { STRATEGY_BLOCK, 0, 5, 9, "naive-quantized" },
                   { STRATEGY_GROUP, 32, 1, 32, "" }, { STRATEGY_GROUP, 5, 3, 15, "int-quantized" },
                   { STRATEGY_CHANNEL, 0, 1, 1, "" } };
    static const enum dtype dtype[] = { DT_F32, DT_BF16, DT_F16 };
    for (int bits = 1; bits <= 8; bits++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            for (int sym = 0; sym < 2; sym++) {
                struct err e = { 0 };
                struct grid_layout l;
                struct qtensor q;
                int64_t bytes;
                struct quant_scheme s = scheme(bits, shapes[i].s, shapes[i].group, sym);
                snprintf(s.format, sizeof s.format, "%s", shapes[i].format);
                if (shapes[i].s == STRATEGY_BLOCK)
                    s.weights.block[0] = 2, s.weights.block[1] = 4;
                layout_init(&l, &s.weights, shapes[i].rows, shapes[i].cols, dtype[(bits + (int)i) % 3], &e);
                qtensor_init(&q, &l, &e);
                no_error(&e);
                fill(&q, bits);
                const char *dir = temp_folder("width");
                write_folder(dir, &s, &q, &bytes);
                assert_int_equal(bytes, ct()->packed_bytes(&s, &l));
                same_back(dir, &q);
                qtensor_release(&q);
            }
}

/* Every code but E4M3's NaN, and scales that the format can hold, from the smallest to the largest byte. */
static void fill_floats(struct qtensor *q)
{
    const struct grid_layout *l = &q->layout;
    for (int64_t i = 0; i < l->rows * l->cols; i++) {
        int code = (int)(i * 7 % (l->args.num_bits == 4 ? 16 : 256));
        q->codes[i] = (int8_t)(l->args.num_bits == 8 && (code & 0x7f) == 0x7f ? 1 : code);
    }
    q->global_scale = l->param_dtype == DT_F8_E4M3 ? 824.0f : 0.0f;
    for (int64_t i = 0; i < l->param_rows * l->param_cols; i++) {
        uint8_t byte = (uint8_t)(i * 5 % 255);
        q->scale[i] = dtype_round(l->scale_dtype, 0.013f * (float)(i % 17 + 1));
        if (l->param_dtype == DT_F8_E8M0)
            dtype_to_f32(DT_F8_E8M0, &byte, 1, &q->scale[i]);
        if (l->param_dtype == DT_F8_E4M3) {
            byte = (uint8_t)(i % 126 + 1);
            dtype_to_f32(DT_F8_E4M3, &byte, 1, &q->scale[i]);
            q->scale[i] /= q->global_scale;
        }
    }
}

static void every_float_format_comes_back(void **state)
{
    (void)state;
    static const char *const preset_names[] = { "FP8",      "FP8_DYNAMIC", "FP8_BLOCK",
                                                "NVFP4A16", "MXFP4A16",    "MXFP8A16" };
    static const enum dtype dtype[] = { DT_F32, DT_BF16, DT_F16 };
    static const int64_t shape[][2] = { { 1, 32 }, { 130, 160 }, { 7, 416 } };
    for (size_t p = 0; p < sizeof preset_names / sizeof *preset_names; p++)
        for (size_t i = 0; i < 3; i++) {
            struct err e = { 0 };
            struct grid_layout l;
            struct qtensor q;
            int64_t bytes;
            struct quant_scheme s = preset_find(preset_names[p])->scheme;
            s.has_input = false;
            layout_init(&l, &s.weights, shape[i][0], shape[i][1], dtype[(p + i) % 3], &e);
            qtensor_init(&q, &l, &e);
            no_error(&e);
            fill_floats(&q);
            const char *dir = temp_folder("float");
            write_folder(dir, &s, &q, &bytes);
            assert_int_equal(bytes, ct()->packed_bytes(&s, &l));
            same_back(dir, &q);
            qtensor_release(&q);
        }
}

/* Tensors as io/containers/README.md has them; the bytes of README's example: (-.5, .5) (2, .5) (3, 2) (-0, -1). */
static void nvfp4_lies_two_to_a_byte_beside_its_two_scales(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct grid_layout l;
    struct qtensor q;
    struct checkpoint c;
    struct tensor_view v;
    int64_t bytes;
    static const int8_t codes[] = { 9, 1, 4, 1, 5, 4, 8, 10, 0, 0, 0, 0, 0, 0, 0, 15 };
    static const uint8_t packed[] = { 25, 20, 69, 168, 0, 0, 0, 240 };
    const float global = 824.0f;
    struct quant_scheme s = preset_find("NVFP4A16")->scheme;
    layout_init(&l, &s.weights, 1, 16, DT_BF16, &e);
    qtensor_init(&q, &l, &e);
    memcpy(q.codes, codes, sizeof codes);
    q.scale[0] = 208.0f / global;
    q.global_scale = global;
    const char *dir = temp_folder("nvfp4");
    write_folder(dir, &s, &q, &bytes);
    checkpoint_open(dir, &c, &e);
    c.stored.view(c.stored.self, "x.m.weight_packed", &v, &e);
    no_error(&e);
    assert_true(v.dtype == DT_U8 && v.rank == 2 && v.dim[0] == 1 && v.dim[1] == 8);
    assert_memory_equal(v.data, packed, 8);
    c.stored.view(c.stored.self, "x.m.weight_scale", &v, &e);
    assert_true(v.dtype == DT_F8_E4M3 && v.rank == 2 && v.dim[0] == 1 && v.dim[1] == 1);
    assert_int_equal(*(const uint8_t *)v.data, 0x75); /* 208 = 1.625 * 2^7 */
    c.stored.view(c.stored.self, "x.m.weight_global_scale", &v, &e);
    no_error(&e);
    assert_true(v.dtype == DT_F32 && v.rank == 1 && v.dim[0] == 1);
    assert_memory_equal(v.data, &global, sizeof global);
    checkpoint_close(&c);
    qtensor_release(&q);
}

/* -- checkpoints that contradict themselves -- */

#define CONFIG(groups)                                                                                                           \
    "{\"quantization_config\":{\"quant_method\":\"compressed-tensors\",\"format\":\"pack-quantized\",\"config_groups\":{" groups \
    "}}}"
#define W4 "\"g\":{\"targets\":[\"Linear\"],\"weights\":{\"num_bits\":4,\"group_size\":8}}"
#define FLOATS(format, type, bits)                                                              \
    "\"g\":{\"targets\":[\"Linear\"],\"format\":\"" format "\",\"weights\":{\"num_bits\":" bits \
    ",\"type\":\"" type "\",\"group_size\":16}}"
#define T(name, dtype, shape, from, to) \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}"
#define SHAPE  T("m.weight_shape", "I64", "[2]", "0", "16")
#define PACKED T("m.weight_packed", "I32", "[2,1]", "16", "24")
#define SCALE  T("m.weight_scale", "F16", "[2,1]", "24", "28")

static const struct {
    const char *name, *config, *header;
    size_t data;
    enum err_code code;
    const char *what;
} bad[] = {
    { "no scale", CONFIG(W4), "{" SHAPE "," PACKED "}", 24, ERR_INPUT,
      "tensor 'm.weight_packed' has no weight_scale beside it" },
    { "no codes", CONFIG(W4), "{" T("m.weight_scale", "F16", "[2,1]", "0", "4") "}", 4, ERR_INPUT,
      "module 'm' of format pack-quantized has no tensor 'weight_packed'" },
    { "no shape", CONFIG(W4),
      "{" T("m.weight_packed", "I32", "[2,1]", "0", "8") "," T("m.weight_scale", "F16", "[2,1]", "8",
                                                               "12") "}",
      12, ERR_INPUT, "module 'm' of format pack-quantized has no tensor 'weight_shape'" },
    { "too few words", CONFIG(W4),
      "{" SHAPE "," T("m.weight_packed", "I32", "[2,0]", "16", "16") "," T("m.weight_scale", "F16", "[2,1]",
                                                                           "16", "20") "}",
      20, ERR_INPUT, "tensor 'm.weight_packed' has shape [2, 0] (rank 2), expected [2, 1]" },
    { "codes of another dtype", CONFIG(W4),
      "{" SHAPE "," T("m.weight_packed", "F32", "[2,1]", "16", "24") "," SCALE "}", 28, ERR_INPUT,
      "tensor 'm.weight_packed' is F32, expected I32" },
    { "a stack of matrices", CONFIG(W4),
      "{" SHAPE "," T("m.weight_packed", "I32", "[1,2,1]", "16", "24") "," SCALE "}", 28, ERR_UNBUILT,
      "tensor 'm.weight_packed' is a stack of 1 matrices, which is not read yet" },
    { "scales for other groups", CONFIG(W4),
      "{" SHAPE "," PACKED "," T("m.weight_scale", "F16", "[1,2]", "24", "28") "}", 28, ERR_INPUT,
      "tensor 'm.weight_scale' has shape [1, 2] (rank 2), expected [2, 1]" },
    { "scales that are integers", CONFIG(W4),
      "{" SHAPE "," PACKED "," T("m.weight_scale", "I16", "[2,1]", "24", "28") "}", 28, ERR_INPUT,
      "tensor 'm.weight_scale' is I16, which pack-quantized does not have" },
    { "no zero points",
      CONFIG(
          "\"g\":{\"targets\":[\"Linear\"],\"weights\":{\"num_bits\":4,\"group_size\":8,\"symmetric\":false}}"),
      "{" SHAPE "," PACKED "," SCALE "}", 28, ERR_INPUT,
      "module 'm' of format pack-quantized has no tensor 'weight_zero_point'" },
    { "order by index", CONFIG(W4),
      "{" SHAPE "," PACKED "," SCALE "," T("m.weight_g_idx", "I32", "[1]", "28", "32") "}", 32, ERR_UNBUILT,
      "module 'm' has a weight_g_idx (activation order by index), which is not read" },
    { "floats in words",
      CONFIG("\"g\":{\"targets\":[\"Linear\"],\"weights\":{\"num_bits\":8,\"type\":\"float\"}}"),
      "{" SHAPE "," PACKED "," SCALE "}", 28, ERR_INPUT,
      "module 'm' is pack-quantized, which holds integers of 1 to 8 bits, but config.json says float of 8" },
    { "nobody's module", CONFIG(W4 ",\"h\":{\"targets\":[\"re:x\"]}"),
      "{" T("wte.weight_scale", "F16", "[2,1]", "0", "4") "}", 4, ERR_INPUT,
      "module 'wte' has a weight_scale, but no target of config.json's groups matches it" },
    { "ignored",
      "{\"quantization_config\":{\"quant_method\":\"compressed-tensors\",\"ignore\":[\"m\"],\"config_groups\":{" W4
      "}}}",
      "{" SHAPE "," PACKED "," SCALE "}", 28, ERR_INPUT,
      "module 'm' has a weight_scale, but config.json says that it is ignored" },
    { "strategy of activations",
      CONFIG("\"g\":{\"targets\":[\"Linear\"],\"weights\":{\"num_bits\":4,\"strategy\":\"token\"}}"),
      "{" SHAPE "," PACKED "," SCALE "}", 28, ERR_INPUT,
      "module 'm': strategy token is for activations, not for weights" },
    { "integers where floats are", CONFIG(FLOATS("nvfp4-pack-quantized", "int", "4")),
      "{" SHAPE "," PACKED "," SCALE "}", 28, ERR_INPUT,
      "module 'm' is nvfp4-pack-quantized, which holds floats of 4 bits, but config.json says int of 4" },
    { "eight bits where four are", CONFIG(FLOATS("mxfp4-pack-quantized", "float", "8")),
      "{" SHAPE "," PACKED "," SCALE "}", 28, ERR_INPUT,
      "module 'm' is mxfp4-pack-quantized, which holds floats of 4 bits, but config.json says float of 8" },
    { "four bits where eight are", CONFIG(FLOATS("mxfp8-quantized", "float", "4")),
      "{" T("m.weight", "F8_E4M3", "[2,16]", "0", "32") "," T("m.weight_scale", "U8", "[2,1]", "32",
                                                              "34") "}",
      34, ERR_INPUT,
      "module 'm' is mxfp8-quantized, which holds floats of 8 bits, but config.json says float of 4" },
    { "no global scale", CONFIG(FLOATS("nvfp4-pack-quantized", "float", "4")),
      "{" T("m.weight_packed", "U8", "[2,8]", "0", "16") "," T("m.weight_scale", "F8_E4M3", "[2,1]", "16",
                                                               "18") "}",
      18, ERR_INPUT, "module 'm' of format nvfp4-pack-quantized has no tensor 'weight_global_scale'" },
    { "a global scale that is no number", CONFIG(FLOATS("nvfp4-pack-quantized", "float", "4")),
      "{" T("m.weight_packed", "U8", "[1,224]", "0",
            "224") "," T("m.weight_scale", "F8_E4M3", "[1,28]", "224",
                         "252") "," T("m.weight_global_scale", "F32", "[1]", "252", "256") "}",
      256, ERR_INPUT, "tensor 'm.weight_global_scale' holds -nan, expected a positive number" },
    { "scales of the wrong float", CONFIG(FLOATS("mxfp4-pack-quantized", "float", "4")),
      "{" T("m.weight_packed", "U8", "[2,8]", "0", "16") "," T("m.weight_scale", "F8_E4M3", "[2,1]", "16",
                                                               "18") "}",
      18, ERR_INPUT, "tensor 'm.weight_scale' is F8_E4M3, which mxfp4-pack-quantized does not have" },
    { "unknown strategy", CONFIG("\"g\":{\"weights\":{\"strategy\":\"columns\"}}"), "{}", 0, ERR_INPUT,
      "DIR/config.json: config group 'g', weights.strategy: found 'columns', which is not known" },
    { "bits that are a word", CONFIG("\"g\":{\"weights\":{\"num_bits\":\"four\"}}"), "{}", 0, ERR_INPUT,
      "DIR/config.json: config group 'g', weights.num_bits: expected an integer in [1, 16]" },
    { "targets that are a word", CONFIG("\"g\":{\"targets\":\"Linear\"}"), "{}", 0, ERR_INPUT,
      "DIR/config.json: config group 'g', targets: found a string, expected a list of strings" },
    { "group of zero", CONFIG("\"g\":{\"weights\":{\"strategy\":\"group\"}}"), "{}", 0, ERR_INPUT,
      "DIR/config.json: config group 'g', weights.group_size: found null, expected a positive integer" },
};

/* weight_shape says (2, 8); DIR in the text stands for the folder. */
static void contradictions_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = { 0 };
        struct checkpoint c;
        char want[700];
        const int64_t shape[2] = { 2, 8 };
        const char *dir = temp_folder("bad");
        struct buf b = st_image(bad[i].header, bad[i].data);
        printf("%s\n", bad[i].name);
        if (bad[i].data >= 16)
            memcpy(b.p + b.len - bad[i].data, shape, 16);
        write_file(join(dir, "model.safetensors"), b.p, b.len);
        write_text(join(dir, "config.json"), bad[i].config);
        buf_release(&b);
        assert_int_equal(checkpoint_open(dir, &c, &e), -1);
        bool at_dir = str_starts(bad[i].what, "DIR");
        snprintf(want, sizeof want, "%s%s", at_dir ? dir : "", bad[i].what + (at_dir ? 3 : 0));
        same_error(&e, bad[i].code, want);
    }
}

static void specific_targets_win(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct checkpoint c;
    struct quant_args a;
    const char *dir = temp_folder("targets");
    /* three int8 modules of one value, channel scales; groups that all could take them */
    write_st(join(dir, "model.safetensors"),
             "{" T("l.a.weight_scale", "F16", "[1,1]", "0", "2") "," T(
                 "l.b.weight_scale", "F16", "[1,1]", "2",
                 "4") "," T("l.c.weight_scale", "F16", "[1,1]", "4",
                            "6") "," T("l.a.weight", "I8", "[1,1]", "6",
                                       "7") "," T("l.b.weight", "I8", "[1,1]", "7",
                                                  "8") "," T("l.c.weight", "I8", "[1,1]", "8", "9") "}",
             9);
    write_text(
        join(dir, "config.json"),
        "{\"quantization_config\":{\"quant_method\":\"compressed-tensors\",\"format\":\"int-quantized\",\"config_groups\":{"
        "\"x\":{\"targets\":[\"Linear\"],\"weights\":{\"num_bits\":8,\"strategy\":\"channel\"}},"
        "\"y\":{\"targets\":[\"re:.*[bc]$\"],\"weights\":{\"num_bits\":7,\"strategy\":\"channel\"}},"
        "\"z\":{\"targets\":[\"c\"],\"weights\":{\"num_bits\":6,\"strategy\":\"channel\"}}}}}");
    checkpoint_open(dir, &c, &e);
    no_error(&e);
    assert_true(c.container->describe(c.decoder, "l.a", &a) && a.num_bits == 8);
    assert_true(c.container->describe(c.decoder, "l.b", &a) && a.num_bits == 7);
    assert_true(c.container->describe(c.decoder, "l.c", &a) && a.num_bits == 6);
    assert_false(c.container->describe(c.decoder, "l", &a));
    assert_false(c.container->describe(c.decoder, "l.cc", &a));
    checkpoint_close(&c);
}

static void fail_one_by_one(const struct quant_scheme *s, const struct qtensor *q, uint64_t least)
{
    struct err e = { 0 };
    struct qtensor back;
    int64_t bytes;
    const char *dir = temp_folder("memory"), *out = temp("memory-out");
    write_folder(dir, s, q, &bytes);
    uint64_t before = mem_use().count, n;
    for (n = 1;; n++) {
        struct checkpoint c;
        float row[32];
        temp_folder("memory-out");
        memset(&e, 0, sizeof e);
        memset(&back, 0, sizeof back);
        mem_fail_at(n, 0);
        struct saver *w = NULL;
        int rc = checkpoint_open(dir, &c, &e) ||
                 c.tensors.read_f32(c.tensors.self, "x.m.weight", 1, 1, row, &e) ||
                 c.container->unpack(c.decoder, "x.m", &back, &e) || !(w = saver_new(out, 1000, &e)) ||
                 ct()->pack(w, "x.m", s, &back, &e);
        mem_fail_at(0, 0);
        saver_free(w);
        qtensor_release(&back);
        checkpoint_close(&c);
        assert_int_equal(mem_use().count, before);
        if (!rc)
            break;
        assert_int_not_equal(e.code, ERR_OK);
    }
    assert_true(n > least);
}

static void every_failed_allocation_is_an_error(void **state)
{
    (void)state;
    static const char *const preset_names[] = { "", "NVFP4A16", "MXFP8A16" };
    for (size_t i = 0; i < 3; i++) {
        struct err e = { 0 };
        struct grid_layout l;
        struct qtensor q;
        struct quant_scheme s =
            i ? preset_find(preset_names[i])->scheme : scheme(3, STRATEGY_GROUP, 8, false);
        layout_init(&l, &s.weights, 4, 32, DT_BF16, &e);
        qtensor_init(&q, &l, &e);
        no_error(&e);
        if (i)
            fill_floats(&q);
        else
            fill(&q, 1);
        fail_one_by_one(&s, &q, 60);
        qtensor_release(&q);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_know_their_names),
        cmocka_unit_test(schemes_that_do_not_fit_say_why),
        cmocka_unit_test(formats_follow_the_peers_order),
        cmocka_unit_test(every_width_and_strategy_comes_back),
        cmocka_unit_test(every_float_format_comes_back),
        cmocka_unit_test(nvfp4_lies_two_to_a_byte_beside_its_two_scales),
        cmocka_unit_test(contradictions_are_refused),
        cmocka_unit_test(specific_targets_win),
        cmocka_unit_test(every_failed_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, temp_up, temp_down);
}
