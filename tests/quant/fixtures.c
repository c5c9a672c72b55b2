/* fixtures.c - codes and scales against those that llm-compressor 0.14 and compressed-tensors 0.19 wrote: every matrix of
 * the data-free integer recipes, in float32, float16 and bfloat16, and GPTQ of the first layer's q, k and v. */
#include "fixture.h"
#include "help.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define CONTAINERS "../shared/fixtures/containers/"
#define GOLDEN     "../shared/fixtures/gptq_golden/golden.tar.xz"
static int ran; /* fixtures compared */

/* One quantized checkpoint. only: part of the module's name, or NULL. */
struct fixture {
    const char *folder, *source;
    int bits, symmetric;
    enum strategy strategy;
    int64_t group;
    const char *observer, *only;
};

struct tally {
    int64_t codes, bad_codes, params, bad_params, modules;
};

/* The peer's codes of module m as signed numbers [rows, cols], from packed or plain storage. */
static int8_t *peer_codes(const struct tensors *t, const char *m, int bits, int64_t rows, int64_t cols)
{
    char name[256];
    struct tensor_view v;
    int8_t *c = mem_array((size_t)(rows * cols), 1, NULL);
    snprintf(name, sizeof name, "%s.weight_packed", m);
    if (!tensors_find(t, name, &v)) {
        snprintf(name, sizeof name, "%s.weight", m);
        assert_true(tensors_find(t, name, &v) && v.dtype == DT_I8);
        memcpy(c, v.data, (size_t)(rows * cols));
        return c;
    }
    int32_t *words = mem_array((size_t)view_elems(&v), sizeof *words, NULL);
    memcpy(words, v.data, (size_t)view_bytes(&v));
    for (int64_t i = 0; i < rows * cols; i++)
        c[i] = (int8_t)unpack_code(words + i / cols * v.dim[1], bits, i % cols);
    mem_free(words);
    return c;
}

/* Zero points lie packed along the rows: word row r * bits / 32, one column a group. */
static int8_t *peer_zeros(const struct tensors *t, const char *m, int bits, int64_t rows, int64_t groups)
{
    char name[256];
    struct tensor_view v;
    int8_t *z = mem_array((size_t)(rows * groups), 1, NULL);
    snprintf(name, sizeof name, "%s.weight_zero_point", m);
    assert_true(tensors_find(t, name, &v));
    if (v.dtype == DT_I8) {
        memcpy(z, v.data, (size_t)(rows * groups));
        return z;
    }
    int32_t *words = mem_array((size_t)v.dim[0], sizeof *words, NULL);
    for (int64_t g = 0; g < groups; g++) {
        for (int64_t i = 0; i < v.dim[0]; i++)
            memcpy(&words[i], (const char *)v.data + (i * groups + g) * 4, 4);
        for (int64_t r = 0; r < rows; r++)
            z[r * groups + g] = (int8_t)unpack_code(words, bits, r);
    }
    mem_free(words);
    return z;
}

static void compare(const struct tensors *t, const char *m, const struct qtensor *q, struct tally *n)
{
    const struct grid_layout *l = &q->layout;
    char name[256];
    int64_t sr, sc, params = l->param_rows * l->param_cols;
    snprintf(name, sizeof name, "%s.weight_scale", m);
    float *scale = tensors_f32(t, name, &sr, &sc);
    assert_int_equal(sr * sc, params);
    int8_t *codes = peer_codes(t, m, l->args.num_bits, l->rows, l->cols);
    int8_t *zero = q->zero ? peer_zeros(t, m, l->args.num_bits, l->param_rows, l->param_cols) : NULL;
    for (int64_t i = 0; i < params; i++)
        n->bad_params += scale[i] != q->scale[i] || (zero && zero[i] != q->zero[i]);
    for (int64_t i = 0; i < l->rows * l->cols; i++)
        n->bad_codes += codes[i] != q->codes[i];
    n->codes += l->rows * l->cols;
    n->params += params;
    n->modules++;
    mem_free(scale);
    mem_free(codes);
    mem_free(zero);
}

/* RTN of one source matrix in the source's own dtype; f32: the model was used in float32. */
static void rtn_module(const struct tensors *src, const struct tensors *t, const char *m,
                       const struct fixture *f, int f32, struct tally *n)
{
    char name[256];
    struct tensor_view v;
    struct err e = { 0 };
    int64_t rows, cols;
    snprintf(name, sizeof name, "%s.weight", m);
    assert_true(tensors_find(src, name, &v));
    float *w = tensors_f32(src, name, &rows, &cols);
    struct quant_args a = int_args(f->bits, f->symmetric, f->strategy, f->group);
    struct qtensor q;
    struct solve_result res;
    snprintf(a.observer, sizeof a.observer, "%s", f->observer ? f->observer : "");
    fitted(&q, &a, w, rows, cols, f32 ? DT_F32 : v.dtype);
    if (solver_find("rtn")->solve(NULL, NULL, NULL, w, &q, &res, &e))
        no_error(&e);
    compare(t, m, &q, n);
    qtensor_release(&q);
    mem_free(w);
}

static void rtn_fixture(const char *src_dir, const char *src_file, const char *dir, const struct fixture *f,
                        int f32, struct tally *n)
{
    struct tensors src, t;
    char path[256], m[160];
    tensors_read(&src, src_dir, src_file);
    snprintf(path, sizeof path, "%s/model.safetensors", f->folder);
    tensors_read(&t, dir, path);
    memset(n, 0, sizeof *n);
    for (void *it = json_first(t.header); it; it = json_next(t.header, it)) {
        const char *key = json_it_key(it), *tail = strstr(key, ".weight_scale");
        if (!tail || tail[strlen(".weight_scale")] || (f->only && !strstr(key, f->only)))
            continue;
        snprintf(m, sizeof m, "%.*s", (int)(tail - key), key);
        rtn_module(&src, &t, m, f, f32, n);
    }
    tensors_free(&src);
    tensors_free(&t);
    printf("%-28s %2d modules: %d of %d codes, %d of %d scales and zero points differ\n", f->folder,
           (int)n->modules, (int)n->bad_codes, (int)n->codes, (int)n->bad_params, (int)n->params);
    ran++;
}

static const struct fixture own_dtype[] = {
    { "ct-w4a16-g128", "source-llama", 4, 1, STRATEGY_GROUP, 128, NULL, NULL },
    { "ct-w4a16asym-g32", "source-qwen2", 4, 0, STRATEGY_GROUP, 32, NULL, NULL },
    { "ct-w4a16-chan", "source-qwen2", 4, 1, STRATEGY_CHANNEL, 0, NULL, NULL },
    { "ct-w8a16-g32", "source-qwen2", 8, 1, STRATEGY_GROUP, 32, NULL, NULL },
    { "ct-w8a16asym-chan", "source-qwen2", 8, 0, STRATEGY_CHANNEL, 0, NULL, NULL },
    { "ct-w2a16-g32", "source-qwen2", 2, 1, STRATEGY_GROUP, 32, NULL, NULL },
    { "ct-w3a16-g64", "source-qwen2", 3, 1, STRATEGY_GROUP, 64, NULL, NULL },
    { "ct-w3a16asym-g32", "source-qwen2", 3, 0, STRATEGY_GROUP, 32, NULL, NULL },
    { "ct-w5a16-g32", "source-qwen2", 5, 1, STRATEGY_GROUP, 32, NULL, NULL },
    { "ct-w6a16asym-chan", "source-qwen2", 6, 0, STRATEGY_CHANNEL, 0, NULL, NULL },
    { "ct-w7a16-g64", "source-qwen2", 7, 1, STRATEGY_GROUP, 64, NULL, NULL },
    { "ct-w4a16-tensor", "source-qwen2", 4, 1, STRATEGY_TENSOR, 0, NULL, NULL },
    { "ct-w8a8-dyn", "source-qwen2", 8, 1, STRATEGY_CHANNEL, 0, NULL, NULL },
    { "ct-w8a8-static-asym", "source-qwen2", 8, 1, STRATEGY_CHANNEL, 0, NULL, NULL },
    { "ct-w4a8-g64", "source-qwen2", 4, 1, STRATEGY_GROUP, 64, NULL, NULL },
    { "ct-mixed", "source-qwen2", 8, 1, STRATEGY_CHANNEL, 0, NULL, "self_attn" },
    { "ct-mixed", "source-qwen2", 4, 0, STRATEGY_GROUP, 32, NULL, "gate_proj" },
    { "ct-mixed", "source-qwen2", 4, 0, STRATEGY_GROUP, 32, NULL, "up_proj" },
    { "ct-w4a16-head", "source-llama", 4, 1, STRATEGY_GROUP, 32, NULL, NULL },
};

static void rtn_in_half_precision_equals_the_peer(void **state)
{
    (void)state;
    const char *src = fixture_unpack(CONTAINERS "source.tar.xz");
    const char *dir = fixture_unpack(CONTAINERS "compressed-tensors.tar.xz");
    if (!src || !dir)
        skip();
    for (size_t i = 0; i < sizeof own_dtype / sizeof own_dtype[0]; i++) {
        struct tally n;
        char file[64];
        snprintf(file, sizeof file, "%s/model.safetensors", own_dtype[i].source);
        rtn_fixture(src, file, dir, &own_dtype[i], 0, &n);
        assert_true(n.modules > 0);
        assert_int_equal(n.bad_params, 0);
        assert_int_equal(n.bad_codes, 0);
    }
}

static const struct fixture in_float32[] = {
    { "rtn_w4a16", NULL, 4, 1, STRATEGY_GROUP, 128, NULL, NULL },
    { "rtn_w3a16", NULL, 3, 1, STRATEGY_GROUP, 128, NULL, NULL },
    { "rtn_w8a16", NULL, 8, 1, STRATEGY_GROUP, 128, NULL, NULL },
    { "rtn_w4a16_asym", NULL, 4, 0, STRATEGY_GROUP, 128, NULL, NULL },
    { "rtn_w8a8", NULL, 8, 1, STRATEGY_CHANNEL, 0, NULL, NULL },
};

static void rtn_in_float32_equals_the_peer(void **state)
{
    (void)state;
    const char *dir = fixture_unpack(GOLDEN);
    if (!dir)
        skip();
    for (size_t i = 0; i < sizeof in_float32 / sizeof in_float32[0]; i++) {
        struct tally n;
        rtn_fixture(dir, "model/model.safetensors", dir, &in_float32[i], 1, &n);
        assert_true(n.modules >= 7);
        assert_int_equal(n.bad_params, 0);
        assert_int_equal(n.bad_codes, 0);
    }
}

/* The peer sums float32 in another order: a cell whose two best candidates are within that may choose the other. */
static void mse_search_finds_the_peers_scales_but_for_near_ties(void **state)
{
    (void)state;
    static const struct fixture f = { "rtn_w4a16_mse", NULL, 4, 1, STRATEGY_GROUP, 128, "mse", NULL };
    const char *dir = fixture_unpack(GOLDEN);
    struct tally n;
    if (!dir)
        skip();
    rtn_fixture(dir, "model/model.safetensors", dir, &f, 1, &n);
    assert_true(n.bad_params * 100 <= n.params);
    assert_true(n.bad_codes * 100 <= n.codes);
}

/* E[x^2] up to a factor, which the observer divides out, is the diagonal of H: known for the first layer. */
static void imatrix_search_of_the_first_layer_finds_the_peers_scales(void **state)
{
    (void)state;
    static const char *const leaves[] = { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                          "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                          "mlp.down_proj" };
    const char *dir = fixture_unpack(GOLDEN);
    struct tensors src, h, t;
    struct tally n = { 0 };
    struct err e = { 0 };
    if (!dir)
        skip();
    tensors_read(&src, dir, "model/model.safetensors");
    tensors_read(&h, dir, "layer0_hessian.safetensors");
    tensors_read(&t, dir, "rtn_w4a16_imatrix_mse/model.safetensors");
    for (int i = 0; i < 7; i++) {
        char m[160], name[256];
        int64_t rows, cols, k, one;
        snprintf(m, sizeof m, "model.layers.0.%s", leaves[i]);
        snprintf(name, sizeof name, "%s.weight", m);
        float *w = tensors_f32(&src, name, &rows, &cols);
        snprintf(name, sizeof name, "hdiag.%s", m);
        if (!json_get(h.header, name))
            snprintf(name, sizeof name, "hdiag.%s.weight", m);
        float *importance = tensors_f32(&h, name, &k, &one);
        assert_int_equal(k * one, cols);
        struct quant_args a = int_args(4, 1, STRATEGY_GROUP, 128);
        struct qtensor q;
        const struct observer *o;
        struct observer_params p;
        snprintf(a.observer, sizeof a.observer, "imatrix_mse");
        fitted(&q, &a, w, rows, cols, DT_F32);
        if (observer_resolve(&a, &o, &p, &e) || o->fit(&p, w, importance, &q, &e) ||
            solver_find("rtn")->solve(NULL, NULL, NULL, w, &q, NULL, &e))
            no_error(&e);
        compare(&t, m, &q, &n);
        qtensor_release(&q);
        mem_free(w);
        mem_free(importance);
    }
    printf("%-28s layer 0: %d of %d codes, %d of %d scales differ\n", "rtn_w4a16_imatrix_mse",
           (int)n.bad_codes, (int)n.codes, (int)n.bad_params, (int)n.params);
    assert_true(n.bad_params * 100 <= n.params);
    tensors_free(&src);
    tensors_free(&h);
    tensors_free(&t);
    ran++;
}

struct gptq_run {
    const char *folder;
    int symmetric;
    int64_t group;
    enum actorder order;
    double damp;
    const char *observer;
};
static const struct gptq_run gptq_runs[] = {
    { "gptq_w4a16_none", 1, 128, ACTORDER_NONE, 0.01, "" },
    { "gptq_w4a16_weight", 1, 128, ACTORDER_WEIGHT, 0.01, "" },
    { "gptq_w4a16_asym", 0, 128, ACTORDER_STATIC, 0.01, "" },
    { "gptq_w4a16_mse", 1, 128, ACTORDER_NONE, 0.01, "memoryless_mse" },
    { "gptq_w4g32_groups", 1, 32, ACTORDER_STATIC, 0.01, "" },
    { "gptq_w4g64_asym_weight", 0, 64, ACTORDER_WEIGHT, 0.05, "" },
    { "gptq_w8a8", 1, 0, ACTORDER_STATIC, 0.01, "" },
};

static void gptq_module(const struct tensors *src, const struct tensors *t, const char *m,
                        const struct gptq_run *run, const struct gram *g, struct tally *n)
{
    char name[256];
    struct err e = { 0 };
    struct factor f;
    struct qtensor q;
    struct solve_result res;
    int64_t rows, cols;
    const struct solve_options o = { .block_size = 128 };
    snprintf(name, sizeof name, "%s.weight", m);
    float *w = tensors_f32(src, name, &rows, &cols);
    struct quant_args a = int_args(run->group ? 4 : 8, run->symmetric,
                                   run->group ? STRATEGY_GROUP : STRATEGY_CHANNEL, run->group);
    snprintf(a.observer, sizeof a.observer, "%s", run->observer);
    fitted(&q, &a, w, rows, cols, DT_F32);
    if (factor_init(&f, g, run->order, run->damp, &e) ||
        solver_find("gptq")->solve(&o, &f, g, w, &q, &res, &e))
        no_error(&e);
    assert_int_equal(f.attempts, 1);
    compare(t, m, &q, n);
    factor_release(&f);
    qtensor_release(&q);
    mem_free(w);
}

static void gptq_of_the_first_layer_equals_the_peer(void **state)
{
    (void)state;
    static const char *const leaves[] = { "q_proj", "k_proj", "v_proj" };
    const char *dir = fixture_unpack(GOLDEN);
    struct tensors src, h;
    int64_t k, cols;
    if (!dir)
        skip();
    tensors_read(&src, dir, "model/model.safetensors");
    tensors_read(&h, dir, "layer0_hessian.safetensors");
    float *hessian = tensors_f32(&h, "hessian.model.layers.0.self_attn.q_proj", &k, &cols);
    for (int64_t i = 0; i < k * k; i++)
        hessian[i] *= 8.0f; /* H = 2/16 * sum: back to the sum, exactly */
    struct gram g = { .k = k, .chunks = 16, .rows = 16 * 64, .sequences = 16, .sum = hessian };
    for (size_t i = 0; i < sizeof gptq_runs / sizeof gptq_runs[0]; i++) {
        struct tensors t;
        struct tally n = { 0 };
        char name[160];
        snprintf(name, sizeof name, "%s/model.safetensors", gptq_runs[i].folder);
        tensors_read(&t, dir, name);
        for (int j = 0; j < 3; j++) {
            snprintf(name, sizeof name, "model.layers.0.self_attn.%s", leaves[j]);
            gptq_module(&src, &t, name, &gptq_runs[i], &g, &n);
        }
        printf("%-28s q, k, v of layer 0: %d of %d codes, %d of %d scales and zero points differ\n",
               gptq_runs[i].folder, (int)n.bad_codes, (int)n.codes, (int)n.bad_params, (int)n.params);
        assert_int_equal(n.bad_params, 0);
        assert_true(n.bad_codes * 2000 <= n.codes); /* 0.05 % */
        tensors_free(&t);
        ran++;
    }
    mem_free(hessian);
    tensors_free(&src);
    tensors_free(&h);
}

int main(void)
{
    kernels_init(NULL, 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rtn_in_half_precision_equals_the_peer),
        cmocka_unit_test(rtn_in_float32_equals_the_peer),
        cmocka_unit_test(mse_search_finds_the_peers_scales_but_for_near_ties),
        cmocka_unit_test(imatrix_search_of_the_first_layer_finds_the_peers_scales),
        cmocka_unit_test(gptq_of_the_first_layer_equals_the_peer),
    };
    int failed = cmocka_run_group_tests_name("quant fixtures", tests, NULL, NULL);
    return failed || ran ? failed : 77;
}
