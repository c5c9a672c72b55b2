/* fused.c - matrices that a runtime joins share one global scale: on the example model, through the whole program, without
 * calibration data and with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/safetensors.h"
#include "kernels/kernels.h"
#include "pipeline/manifest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TINY QP_SOURCE_DIR "/examples/tiny"

static char work[64];
static const char *serve = ""; /* a line of the head */
static int notes;              /* about joined matrices, of the last plan */

static int set_up(void **state)
{
    (void)state;
    snprintf(work, sizeof work, "/tmp/qpipe-fused-XXXXXX");
    return mkdtemp(work) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return path_remove_tree(work, NULL);
}

/* Plans stages, and runs them to `out` unless that is NULL. */
static int run(const char *yaml, const char *out, struct err *e)
{
    struct buf text = { 0 };
    struct recipe r;
    struct job j;
    struct recipe_args a = { .model = TINY, .output = out ? out : work };
    if (buf_printf(&text, e, "version: 1\n%sstages:\n%s", serve, yaml))
        return -1;
    int rc = recipe_parse(text.p, text.len, "r.yaml", &a, &r, e);
    buf_release(&text);
    if (rc)
        return -1;
    rc = job_plan(&r, false, &j, e);
    if (!rc) {
        struct run_report report;
        notes = 0;
        for (size_t i = 0; i < j.notes.n; i++)
            notes += strstr(j.notes.v[i], "one matrix") != NULL;
        if (out)
            rc = run_job(&j, true, RESUME_NEVER, &report, e);
        if (out && !rc)
            run_report_release(&report);
        job_release(&j);
    }
    recipe_release(&r);
    return rc;
}

static float global_of(const struct st_file *f, int layer, const char *leaf)
{
    char name[160];
    float v;
    snprintf(name, sizeof name, "model.layers.%d.%s.weight_global_scale", layer, leaf);
    const struct st_entry *t = st_find(f, name);
    if (!t)
        fail_msg("no %s", name);
    struct tensor_view view = st_view(f, t);
    assert_int_equal(view_bytes(&view), 4);
    memcpy(&v, view.data, sizeof v);
    return v;
}

static float largest(const struct st_file *f, int layer, const char *leaf)
{
    char name[160];
    struct err e = { 0 };
    snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer, leaf);
    const struct st_entry *t = st_find(f, name);
    assert_non_null(t);
    struct tensor_view v = st_view(f, t);
    int64_t n = view_elems(&v);
    float *x = mem_array((size_t)n, sizeof *x, &e), most = 0;
    dtype_to_f32(v.dtype, v.data, n, x);
    for (int64_t i = 0; i < n; i++)
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    mem_free(x);
    return most;
}

/* 2688 by the largest weight, in the model's bfloat16: reciprocal, then product. */
static void check_set(const struct st_file *saved, const struct st_file *model, int layer,
                      const char *const *leaf, int n)
{
    float most = 0;
    for (int i = 0; i < n; i++)
        most = fmaxf(most, largest(model, layer, leaf[i]));
    float want = dtype_round(DT_BF16, 2688.0f * dtype_round(DT_BF16, 1.0f / most));
    for (int i = 0; i < n; i++)
        if (global_of(saved, layer, leaf[i]) != want)
            fail_msg("layer %d, %s: %g, expected %g", layer, leaf[i],
                     (double)global_of(saved, layer, leaf[i]), (double)want);
}

static void check_saved(const char *dir)
{
    static const char *const qkv[] = { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj" };
    static const char *const up[] = { "mlp.gate_proj", "mlp.up_proj" };
    static const char *const alone[] = { "self_attn.o_proj", "mlp.down_proj" };
    struct err e = { 0 };
    struct st_file saved, model;
    char path[160];
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    assert_int_equal(st_open(path, &saved, &e), 0);
    assert_int_equal(st_open(TINY "/model.safetensors", &model, &e), 0);
    int layers = 0;
    for (; layers < 2; layers++) {
        check_set(&saved, &model, layers, qkv, 3);
        check_set(&saved, &model, layers, up, 2);
        check_set(&saved, &model, layers, &alone[0], 1);
        check_set(&saved, &model, layers, &alone[1], 1);
    }
    st_close(&saved);
    st_close(&model);
}

static void one_global_scale_for_what_a_runtime_joins(void **state)
{
    (void)state;
    static const char *const yaml[] = {
        "  - QuantizationModifier: {scheme: NVFP4A16, targets: [Linear], ignore: [lm_head]}\n",
        "  - calibrate: {dataset: " TINY "/calib.jsonl, samples: 8, sequence_length: 64}\n"
        "  - GPTQModifier: {scheme: NVFP4A16, targets: [Linear], ignore: [lm_head]}\n",
    };
    for (int i = 0; i < 2; i++) {
        struct err e = { 0 };
        char out[100];
        snprintf(out, sizeof out, "%s/out%d", work, i);
        if (run(yaml[i], out, &e))
            fail_msg("%s", e.what);
        check_saved(out);
    }
}

/* A search that weighs columns decides how far the set reaches: one scale for all of it, and not that of the whole range. */
static void a_weighted_search_shares_one_scale_too(void **state)
{
    (void)state;
    static const char *const qkv[] = { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj" };
    struct err e = { 0 };
    struct st_file saved, model;
    char out[100], path[160];
    int other = 0;
    snprintf(out, sizeof out, "%s/weighted", work);
    if (run("  - calibrate: {dataset: " TINY "/calib.jsonl, samples: 4, sequence_length: 64}\n"
            "  - QuantizationModifier: {scheme: NVFP4A16, targets: [Linear], ignore: [lm_head], weight_observer: nvfp4_expanded_imatrix}\n",
            out, &e))
        fail_msg("%s", e.what);
    snprintf(path, sizeof path, "%s/model.safetensors", out);
    assert_int_equal(st_open(path, &saved, &e), 0);
    assert_int_equal(st_open(TINY "/model.safetensors", &model, &e), 0);
    for (int layer = 0; layer < 2; layer++) {
        float most = 0, g = global_of(&saved, layer, qkv[0]);
        for (int i = 0; i < 3; i++) {
            most = fmaxf(most, largest(&model, layer, qkv[i]));
            assert_true(global_of(&saved, layer, qkv[i]) == g);
        }
        other += g < 0.99f * 2688.0f / most || g > 1.01f * 2688.0f / most;
    }
    assert_true(other > 0);
    st_close(&saved);
    st_close(&model);
}

static void a_set_that_is_torn_apart_is_refused_at_plan_time(void **state)
{
    (void)state;
    struct err e = { 0 };
    assert_int_equal(
        run("  - QuantizationModifier: {scheme: NVFP4A16, targets: [Linear], ignore: [lm_head, 're:.*k_proj']}\n",
            NULL, &e),
        -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_string_equal(
        e.what, "'model.layers.0.self_attn.q_proj' and 'model.layers.0.self_attn.k_proj' are one matrix "
                "for a runtime and need one global scale, but only the first is on grid nvfp4");
    assert_string_equal(e.hint, "give both the same scheme, or ignore both");
}

/* One scheme for what is joined: an error with both places, a note, or nothing, as serve: says. */
static void different_schemes_in_a_set_are_refused_noted_or_left(void **state)
{
    (void)state;
    static const char torn[] =
        "  - QuantizationModifier: {scheme: MXFP4A16, targets: [Linear], ignore: [lm_head, 're:.*k_proj']}\n";
    static const char two[] =
        "  - QuantizationModifier:\n      ignore: [lm_head]\n      config_groups:\n"
        "        a: {targets: ['re:.*v_proj$'], weights: {num_bits: 8, strategy: channel}}\n"
        "        b: {targets: [Linear], weights: {num_bits: 4, group_size: 64}}\n";
    static const char down[] =
        "  - QuantizationModifier:\n      ignore: [lm_head]\n      config_groups:\n"
        "        a: {targets: ['re:.*down_proj$'], weights: {num_bits: 8, strategy: channel}}\n"
        "        b: {targets: [Linear], weights: {num_bits: 4, group_size: 64}}\n";
    struct err e = { 0 };
    assert_int_equal(run(torn, NULL, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_non_null(strstr(e.what, "q_proj' (4-bit float"));
    assert_non_null(strstr(e.what, "k_proj' (kept as it is"));
    memset(&e, 0, sizeof e);
    assert_int_equal(run(two, NULL, &e), -1);
    assert_non_null(strstr(e.what, "line 7) and 'model.layers.0.self_attn.v_proj' (8-bit int"));
    memset(&e, 0, sizeof e);
    assert_int_equal(run(down, NULL, &e), 0);
    serve = "serve: {fused: separate}\n";
    assert_int_equal(run(torn, NULL, &e), 0);
    serve = "serve: {fused: noted}\n";
    assert_int_equal(run(two, NULL, &e), 0);
    assert_int_equal(notes, 4); /* q and k beside v in each of two layers */
    serve = "";
    assert_int_equal(run(down, NULL, &e), 0);
    assert_int_equal(notes, 0);
}

/* Groups of 128 of 512 inputs: four devices cut between them, eight inside. */
static void tensor_parallel_cuts_no_group(void **state)
{
    (void)state;
    static const char w4[] = "  - QuantizationModifier: {scheme: W4A16, ignore: [lm_head]}\n";
    struct err e = { 0 };
    serve = "serve: {tensor_parallel: 4}\n";
    assert_int_equal(run(w4, NULL, &e), 0);
    serve = "serve: {tensor_parallel: 8}\n";
    assert_int_equal(run(w4, NULL, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_int_equal(e.at.line, 2);
    assert_string_equal(
        e.what, "serve: tensor_parallel 8 does not fit module 'model.layers.0.self_attn.o_proj' [256, "
                "512], 4-bit int symmetric group 128: a part would cut a group");
    assert_string_equal(e.hint,
                        "these fit all modules: 1, 2, 4; or choose another group_size, or ignore the module");
    serve = "serve: {tensor_parallel: 3}\n";
    memset(&e, 0, sizeof e);
    assert_int_equal(run(w4, NULL, &e), -1);
    assert_non_null(strstr(e.what, "its output features do not divide"));
    serve = "";
}

/* A GPTQModifier without a scheme solves what an earlier modifier planned, but for what it ignores. */
static void a_solver_inherits_schemes(void **state)
{
    (void)state;
    static const char cal[] =
        "  - calibrate: {dataset: " TINY "/calib.jsonl, samples: 4, sequence_length: 128}\n";
    char text[600], path[2][160];
    struct err e = { 0 };
    struct buf file[2] = { { 0 }, { 0 } };
    snprintf(text, sizeof text,
             "%s  - QuantizationModifier: {scheme: W4A16, ignore: [lm_head]}\n"
             "  - GPTQModifier: {ignore: ['re:.*down_proj$'], targets: [Linear]}\n",
             cal);
    snprintf(path[0], sizeof path[0], "%s/inherited", work);
    if (run(text, path[0], &e))
        fail_msg("%s", e.what);
    snprintf(text, sizeof text,
             "%s  - GPTQModifier: {scheme: W4A16, ignore: [lm_head, 're:.*down_proj$']}\n"
             "  - QuantizationModifier: {scheme: W4A16, targets: ['re:.*down_proj$']}\n",
             cal);
    snprintf(path[1], sizeof path[1], "%s/own", work);
    if (run(text, path[1], &e))
        fail_msg("%s", e.what);
    for (int i = 0; i < 2; i++) {
        char name[400];
        snprintf(name, sizeof name, "%s/model.safetensors", path[i]);
        assert_int_equal(file_read(name, 1 << 28, &file[i], &e), 0);
    }
    assert_int_equal(file[0].len, file[1].len);
    assert_memory_equal(file[0].p, file[1].p, file[0].len);
    buf_release(&file[0]);
    buf_release(&file[1]);
    static const struct {
        const char *stages, *what;
    } bad[] = {
        { "  - QuantizationModifier: {scheme: W4A16, ignore: [lm_head]}\n  - QuantizationModifier: {ignore: [lm_head]}\n",
          "QuantizationModifier has no scheme and no config_groups" },
        { "  - QuantizationModifier: {scheme: W4A16, ignore: [lm_head]}\n  - GPTQModifier: {ignore: [Linear]}\n",
          "GPTQModifier has no scheme, and no earlier modifier left it a module" },
        { "  - QuantizationModifier: {scheme: W4A16, ignore: [lm_head]}\n  - GPTQModifier: {targets: ['re:.*q_proj']}\n",
          "targets: GPTQModifier has no scheme for them" },
        { "  - QuantizationModifier: {scheme: W4A16, ignore: [lm_head]}\n  - GPTQModifier: {scheme: W8A16, ignore: [lm_head]}\n",
          "is quantized by two modifiers" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memset(&e, 0, sizeof e);
        assert_int_equal(run(bad[i].stages, NULL, &e), -1);
        assert_int_equal(e.code, ERR_INPUT);
        if (!strstr(e.what, bad[i].what))
            fail_msg("found '%s', expected '%s'", e.what, bad[i].what);
    }
}

static void static_activations_need_calibration_text(void **state)
{
    (void)state;
    static const char *const words[] = { "FP8", "NVFP4" };
    for (int i = 0; i < 2; i++) {
        struct err e = { 0 };
        char stage[120];
        snprintf(stage, sizeof stage,
                 "  - QuantizationModifier: {scheme: %s, targets: [Linear], ignore: [lm_head]}\n", words[i]);
        assert_int_equal(run(stage, NULL, &e), -1);
        assert_int_equal(e.code, ERR_INPUT);
        assert_non_null(strstr(e.what, "calibrat"));
    }
}

int main(void)
{
    log_setup(LOG_ERROR, LOG_TEXT);
    if (!kernels_init(getenv("QPIPE_KERNELS"), 2))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_global_scale_for_what_a_runtime_joins),
        cmocka_unit_test(a_weighted_search_shares_one_scale_too),
        cmocka_unit_test(a_set_that_is_torn_apart_is_refused_at_plan_time),
        cmocka_unit_test(different_schemes_in_a_set_are_refused_noted_or_left),
        cmocka_unit_test(tensor_parallel_cuts_no_group),
        cmocka_unit_test(a_solver_inherits_schemes),
        cmocka_unit_test(static_activations_need_calibration_text),
    };
    return cmocka_run_group_tests_name("fused matrices", tests, set_up, tear_down);
}
