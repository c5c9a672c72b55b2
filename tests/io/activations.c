/* activations.c - static activation quantizers as stored: each kind of damage to input_scale is an error that names the
 * tensor, never a silent default. */
#include "help.h"

#include "base/activation.h"
#include "io/checkpoint.h"
#include "io/containers/container.h"

#include <math.h>

static const char config[] =
    "{\"quantization_config\":{\"quant_method\":\"compressed-tensors\",\"format\":\"int-quantized\","
    "\"config_groups\":{\"g\":{\"targets\":[\"Linear\"],\"weights\":{\"num_bits\":8,\"strategy\":\"channel\"},"
    "\"input_activations\":{\"num_bits\":8,\"strategy\":\"tensor\",\"dynamic\":false}}}}}";
#define WEIGHT                                                                   \
    "{\"l.m.weight\":{\"dtype\":\"I8\",\"shape\":[1,4],\"data_offsets\":[0,4]}," \
    "\"l.m.weight_scale\":{\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[4,8]}"
#define ONE ",\"l.m.input_scale\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}"
#define TWO ",\"l.m.input_scale\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}"
#define INT ",\"l.m.input_scale\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[8,12]}}"

static int read_input(const char *json, const char *header, size_t n, float scale, const char *module,
                      struct activation *a, struct err *e)
{
    struct checkpoint c;
    const float unit = 1.0f;
    const char *dir = temp_folder("input-scale");
    struct buf b = st_image(header, n);
    memcpy(b.p + b.len - n + 4, &unit, 4);
    for (size_t i = 8; i < n; i += 4)
        memcpy(b.p + b.len - n + i, &scale, 4);
    write_file(join(dir, "model.safetensors"), b.p, b.len);
    write_text(join(dir, "config.json"), json);
    buf_release(&b);
    checkpoint_open(dir, &c, e);
    no_error(e);
    int rc = c.container->activation(c.decoder, module, a, e);
    checkpoint_close(&c);
    return rc;
}

static void a_sound_scale_is_read(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct activation a;
    assert_int_equal(read_input(config, WEIGHT ONE, 12, 0.25f, "l.m", &a, &e), 0);
    assert_true(a.on && a.n == 1 && a.scale[0] == 0.25f);
    activation_release(&a);
}

static void a_damaged_scale_is_an_error_that_names_it(void **state)
{
    (void)state;
    static const struct {
        const char *name, *header;
        size_t bytes;
        float scale;
        const char *what;
    } rows[] = {
        { "missing", WEIGHT "}", 8, 0, "module 'l.m' has no tensor 'input_scale'" },
        { "zero", WEIGHT ONE, 12, 0, "tensor 'l.m.input_scale' holds 0, expected a positive number" },
        { "negative", WEIGHT ONE, 12, -1, "tensor 'l.m.input_scale' holds -1, expected a positive number" },
        { "infinite", WEIGHT ONE, 12, INFINITY, "tensor 'l.m.input_scale' holds inf, expected" },
        { "not a number", WEIGHT ONE, 12, NAN, "tensor 'l.m.input_scale' holds nan, expected" },
        { "shape", WEIGHT TWO, 16, 1, "tensor 'l.m.input_scale' holds 2 numbers, expected 1" },
        { "type", WEIGHT INT, 12, 1, "tensor 'l.m.input_scale' is I32, expected a float or I8" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = { 0 };
        struct activation a;
        printf("%s\n", rows[i].name);
        assert_int_equal(read_input(config, rows[i].header, rows[i].bytes, rows[i].scale, "l.m", &a, &e), -1);
        assert_int_equal(e.code, ERR_INPUT);
        assert_false(a.on);
        if (!strstr(e.what, rows[i].what))
            fail_msg("%s", e.what);
    }
}

static void a_group_of_inputs_alone_is_no_float(void **state)
{
    (void)state;
    static const char alone[] =
        "{\"quantization_config\":{\"quant_method\":\"compressed-tensors\",\"format\":\"int-quantized\","
        "\"config_groups\":{\"g\":{\"targets\":[\"re:.*m$\"],\"weights\":{\"num_bits\":8,\"strategy\":\"channel\"}},"
        "\"x\":{\"targets\":[\"re:.*n$\"],\"input_activations\":{\"num_bits\":8,\"strategy\":\"token\",\"dynamic\":true}}}}}";
    struct err e = { 0 };
    struct activation a;
    assert_int_equal(read_input(alone, WEIGHT ONE, 12, 1, "l.n", &a, &e), -1);
    assert_int_equal(e.code, ERR_UNBUILT);
    assert_non_null(strstr(e.what, "config group 'x' rounds the inputs of unquantized weights"));
    assert_false(a.on);
}

/* -- caches -- */

static const char cache_config[] =
    "{\"quantization_config\":{\"quant_method\":\"compressed-tensors\",\"format\":\"int-quantized\","
    "\"kv_cache_scheme\":{\"num_bits\":8,\"type\":\"float\",\"strategy\":\"tensor\",\"dynamic\":false,\"symmetric\":true},"
    "\"config_groups\":{\"g\":{\"targets\":[\"Linear\"],\"weights\":{\"num_bits\":8,\"strategy\":\"channel\"}}}}}";
#define SCALE(name, from, to) \
    ",\"" name "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[" #from "," #to "]}"

/* The scales lie behind the 8 bytes of the module's weight. */
static int read_cache(const char *header, const float *scale, size_t n, struct activation *key,
                      struct activation *value, struct err *e)
{
    struct checkpoint c;
    const float unit = 1.0f;
    const char *dir = temp_folder("cache-scale");
    struct buf b = st_image(header, 8 + 4 * n);
    memcpy(b.p + b.len - 4 * n - 4, &unit, 4);
    memcpy(b.p + b.len - 4 * n, scale, 4 * n);
    write_file(join(dir, "model.safetensors"), b.p, b.len);
    write_text(join(dir, "config.json"), cache_config);
    buf_release(&b);
    checkpoint_open(dir, &c, e);
    no_error(e);
    int rc = c.container->cache(c.decoder, "l.attn", 2, key, value, e);
    checkpoint_close(&c);
    return rc;
}

static void cache_scales_are_read_under_both_their_names(void **state)
{
    (void)state;
    static const char *const headers[] = {
        WEIGHT SCALE("l.attn.k_scale", 8, 12) SCALE("l.attn.v_scale", 12, 16) "}",
        WEIGHT SCALE("l.attn.k_proj.output_scale", 8, 12) SCALE("l.attn.v_proj.output_scale", 12, 16) "}",
    };
    const float scale[] = { 0.5f, 0.25f };
    for (int i = 0; i < 2; i++) {
        struct err e = { 0 };
        struct activation k, v;
        assert_int_equal(read_cache(headers[i], scale, 2, &k, &v, &e), 0);
        assert_true(k.on && v.on && k.scale[0] == 0.5f && v.scale[0] == 0.25f);
        activation_release(&k);
        activation_release(&v);
    }
}

static void damaged_cache_scales_are_errors_that_name_them(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        float scale[2];
        size_t n;
        const char *what;
    } rows[] = {
        { WEIGHT SCALE("l.attn.k_scale", 8, 12) "}", { 1, 0 }, 1, "module 'l.attn' has no tensor 'v_scale'" },
        { WEIGHT "}", { 0, 0 }, 0, "module 'l.attn' has no tensor 'k_scale'" },
        { WEIGHT SCALE("l.attn.k_scale", 8, 12) SCALE("l.attn.v_scale", 12, 16) "}",
          { 1, -1 },
          2,
          "tensor 'l.attn.v_scale' holds -1, expected a positive number" },
        { WEIGHT SCALE("l.attn.k_scale", 8, 12) SCALE("l.attn.v_scale", 12, 16) "}",
          { NAN, 1 },
          2,
          "tensor 'l.attn.k_scale' holds nan, expected" },
        { WEIGHT SCALE("l.attn.k_proj.output_scale", 8, 12) SCALE("l.attn.v_proj.output_scale", 12, 16) "}",
          { 0, 1 },
          2,
          "tensor 'l.attn.k_proj.output_scale' holds 0, expected a positive number" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = { 0 };
        struct activation k, v;
        assert_int_equal(read_cache(rows[i].header, rows[i].scale, rows[i].n, &k, &v, &e), -1);
        assert_int_equal(e.code, ERR_INPUT);
        if (!strstr(e.what, rows[i].what))
            fail_msg("%s", e.what);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_sound_scale_is_read),
                                        cmocka_unit_test(a_damaged_scale_is_an_error_that_names_it),
                                        cmocka_unit_test(a_group_of_inputs_alone_is_no_float),
                                        cmocka_unit_test(cache_scales_are_read_under_both_their_names),
                                        cmocka_unit_test(damaged_cache_scales_are_errors_that_name_them) };
    return cmocka_run_group_tests(tests, temp_up, temp_down);
}
