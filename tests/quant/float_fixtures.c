/* float_fixtures.c - float codes, scales and global scales against those that llm-compressor 0.14 wrote: every matrix of
 * its FP8, NVFP4 and MX checkpoints, with the global scale taken over q, k, v and gate, up. Not one may differ. */
#include "fixture.h"
#include "help.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define CONTAINERS "../shared/fixtures/containers/"
#define GOLDEN     "../shared/fixtures/gptq_golden/golden.tar.xz"

static int ran;

struct fixture {
    const char *folder, *source, *preset;
    enum dtype used; /* what the weights were cast to before; DT_COUNT: as stored */
};
static const struct fixture written[] = {
    { "ct-fp8-block", "source-llama", "FP8_BLOCK", DT_COUNT },
    { "ct-fp8-dynamic", "source-qwen2", "FP8_DYNAMIC", DT_COUNT },
    { "ct-fp8-kv8", "source-qwen2", "FP8_DYNAMIC", DT_COUNT },
    { "ct-fp8-naive", "source-qwen2", "FP8_DYNAMIC", DT_COUNT },
    { "ct-fp8-static", "source-qwen2", "FP8", DT_COUNT },
    { "ct-mxfp4", "source-qwen2", "MXFP4", DT_BF16 },
    { "ct-mxfp4a16", "source-qwen2", "MXFP4A16", DT_BF16 },
    { "ct-mxfp8", "source-qwen2", "MXFP8", DT_BF16 },
    { "ct-nvfp4", "source-qwen2", "NVFP4", DT_BF16 },
    { "ct-nvfp4a16", "source-llama", "NVFP4A16", DT_COUNT },
};
static const struct fixture in_float32[] = {
    { "rtn_fp8_block", "model", "FP8_BLOCK", DT_F32 },
    { "rtn_fp8_dynamic", "model", "FP8_DYNAMIC", DT_F32 },
    { "rtn_mxfp4a16", "model", "MXFP4A16", DT_F32 },
    { "rtn_nvfp4a16", "model", "NVFP4A16", DT_F32 },
};

struct tally {
    int modules, codes, bad_codes, params, bad_params;
};

static float *weight(const struct tensors *src, const char *m, const struct fixture *f, int64_t *rows,
                     int64_t *cols, enum dtype *t)
{
    char name[256];
    struct tensor_view v;
    snprintf(name, sizeof name, "%s.weight", m);
    assert_true(tensors_find(src, name, &v));
    *t = f->used == DT_COUNT ? v.dtype : f->used;
    float *w = tensors_f32(src, name, rows, cols);
    for (int64_t i = 0; i < *rows * *cols; i++)
        w[i] = dtype_round(*t, w[i]);
    return w;
}

/* The largest weight of m and of those that stand in the same projection: named here by hand, once more. */
static float largest(const struct tensors *src, const char *m, const struct fixture *f)
{
    static const char *const sets[3][3] = { { "q_proj", "k_proj", "v_proj" },
                                            { "gate_proj", "up_proj", NULL } };
    const char *leaf = strrchr(m, '.') + 1, *alone[3] = { leaf, NULL, NULL }, *const *set = alone;
    float most = 0;
    for (int s = 0; s < 2; s++)
        for (int k = 0; k < 3 && sets[s][k]; k++)
            if (!strcmp(leaf, sets[s][k]))
                set = sets[s];
    for (int k = 0; k < 3 && set[k]; k++) {
        char name[200];
        int64_t rows, cols;
        enum dtype t;
        snprintf(name, sizeof name, "%.*s%s", (int)(leaf - m), m, set[k]);
        float *w = weight(src, name, f, &rows, &cols, &t);
        for (int64_t i = 0; i < rows * cols; i++)
            most = fabsf(w[i]) > most ? fabsf(w[i]) : most;
        mem_free(w);
    }
    return most;
}

static void compare_codes(const struct tensors *t, const char *m, const struct qtensor *q, struct tally *n)
{
    const struct grid_layout *l = &q->layout;
    int packed = l->args.num_bits == 4;
    char name[256];
    struct tensor_view v;
    snprintf(name, sizeof name, "%s.weight%s", m, packed ? "_packed" : "");
    assert_true(tensors_find(t, name, &v));
    const uint8_t *p = v.data;
    for (int64_t i = 0; i < l->rows * l->cols; i++) {
        int theirs = packed ? p[i / 2] >> (i % 2 ? 4 : 0) & 15 : p[i];
        n->bad_codes += theirs != (q->codes[i] & 0xff);
        n->codes++;
    }
}

static void compare_scales(const struct tensors *t, const char *m, const struct qtensor *q, struct tally *n)
{
    char name[256];
    struct tensor_view v;
    float global = 0;
    snprintf(name, sizeof name, "%s.weight_global_scale", m);
    if (tensors_find(t, name, &v))
        memcpy(&global, v.data, sizeof global);
    n->bad_params += global != q->global_scale;
    snprintf(name, sizeof name, "%s.weight_scale", m);
    assert_true(tensors_find(t, name, &v));
    int64_t cells = q->layout.param_rows * q->layout.param_cols;
    float *s = mem_array((size_t)cells, sizeof *s, NULL);
    assert_int_equal(view_elems(&v), cells);
    dtype_to_f32(v.dtype == DT_U8 ? DT_F8_E8M0 : v.dtype, v.data, cells, s);
    for (int64_t i = 0; i < cells; i++) {
        n->bad_params += q->scale[i] != (global > 0 ? s[i] / global : s[i]);
        n->params++;
    }
    mem_free(s);
}

static void check_module(const struct tensors *src, const struct tensors *t, const char *m,
                         const struct fixture *f, struct tally *n)
{
    struct err e = { 0 };
    struct qtensor q;
    struct grid_layout l;
    const struct observer *o;
    struct observer_params p;
    int64_t rows, cols;
    enum dtype own;
    const struct quant_args *a = &preset_find(f->preset)->scheme.weights;
    const struct grid *g = grid_for(a, &e);
    float *w = weight(src, m, f, &rows, &cols, &own);
    if (!g || layout_init(&l, a, rows, cols, own, &e) || qtensor_init(&q, &l, &e))
        no_error(&e);
    if (g->global_scale)
        q.global_scale = g->global_scale(&l, largest(src, m, f));
    if (observer_resolve(a, &o, &p, &e) || o->fit(&p, w, NULL, &q, &e) ||
        solver_find("rtn")->solve(NULL, NULL, NULL, w, &q, NULL, &e))
        no_error(&e);
    compare_codes(t, m, &q, n);
    compare_scales(t, m, &q, n);
    n->modules++;
    qtensor_release(&q);
    mem_free(w);
}

static void check_fixture(const char *src_dir, const char *dir, const struct fixture *f)
{
    struct tensors src, t;
    struct tally n = { 0 };
    char path[256], m[160];
    snprintf(path, sizeof path, "%s/model.safetensors", f->source);
    tensors_read(&src, src_dir, path);
    snprintf(path, sizeof path, "%s/model.safetensors", f->folder);
    tensors_read(&t, dir, path);
    for (void *it = json_first(t.header); it; it = json_next(t.header, it)) {
        const char *key = json_it_key(it), *tail = strstr(key, ".weight_scale");
        if (!tail || tail[strlen(".weight_scale")])
            continue;
        snprintf(m, sizeof m, "%.*s", (int)(tail - key), key);
        check_module(&src, &t, m, f, &n);
    }
    tensors_free(&src);
    tensors_free(&t);
    printf("%-20s %2d modules: %d of %d codes, %d of %d scales differ\n", f->folder, n.modules, n.bad_codes,
           n.codes, n.bad_params, n.params);
    assert_true(n.modules >= 7);
    assert_int_equal(n.bad_codes, 0);
    assert_int_equal(n.bad_params, 0);
    ran++;
}

static void rtn_in_half_precision_equals_the_peer(void **state)
{
    (void)state;
    const char *src = fixture_unpack(CONTAINERS "source.tar.xz");
    const char *dir = fixture_unpack(CONTAINERS "compressed-tensors.tar.xz");
    if (!src || !dir)
        skip();
    for (size_t i = 0; i < sizeof written / sizeof written[0]; i++)
        check_fixture(src, dir, &written[i]);
}

static void rtn_in_float32_equals_the_peer(void **state)
{
    (void)state;
    const char *dir = fixture_unpack(GOLDEN);
    if (!dir)
        skip();
    for (size_t i = 0; i < sizeof in_float32 / sizeof in_float32[0]; i++)
        check_fixture(dir, dir, &in_float32[i]);
}

int main(void)
{
    kernels_init(NULL, 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rtn_in_half_precision_equals_the_peer),
        cmocka_unit_test(rtn_in_float32_equals_the_peer),
    };
    int failed = cmocka_run_group_tests_name("float fixtures", tests, NULL, NULL);
    return failed || ran ? failed : 77;
}
