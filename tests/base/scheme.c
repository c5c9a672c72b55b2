/* scheme.c - tests of base/scheme (every field of every preset against the record of compressed-tensors' table in
 * ../shared/formats/schemes.json) and base/qtensor (cells of a strategy, decoding against the definition). */
#include "base/scheme.h"
#include "base/file.h"
#include "base/qtensor.h"
#include "tests/base/check.h"

#include <math.h>

#define SCHEMES QP_SOURCE_DIR "/../shared/formats/schemes.json"

static int64_t integer(const struct json *j) /* null: 0 */
{
    int64_t v = 0;
    if (json_type(j) != JSON_NULL)
        assert_true(json_int(j, &v));
    return v;
}

static void same_args(bool has, const struct quant_args *a, const struct json *j)
{
    assert_int_equal(has, json_type(j) == JSON_OBJECT);
    if (!has)
        return;
    bool symmetric = false, on = false;
    const char *zp = json_str(json_get(j, "zp_dtype"), NULL),
               *sd = json_str(json_get(j, "scale_dtype"), NULL),
               *obs = json_str(json_get(j, "observer"), NULL),
               *local = json_str(json_get(j, "dynamic"), NULL);
    const struct json *block = json_get(j, "block_structure");
    assert_int_equal(a->num_bits, integer(json_get(j, "num_bits")));
    assert_string_equal(quant_type_words[a->type], json_str(json_get(j, "type"), NULL));
    assert_true(json_bool(json_get(j, "symmetric"), &symmetric));
    assert_int_equal(a->symmetric, symmetric);
    assert_int_equal(a->group_size, integer(json_get(j, "group_size")));
    assert_string_equal(strategy_words[a->strategy], json_str(json_get(j, "strategy"), NULL));
    assert_int_equal(a->block[0], integer(json_item(block, 0)));
    assert_int_equal(a->block[1], integer(json_item(block, 1)));
    if (local)
        assert_true(!strcmp(local, "local") && a->dynamic == DYNAMIC_LOCAL);
    else {
        assert_true(json_bool(json_get(j, "dynamic"), &on));
        assert_int_equal(a->dynamic, on ? DYNAMIC_TRUE : DYNAMIC_FALSE);
    }
    assert_int_equal(json_type(json_get(j, "actorder")), JSON_NULL);
    assert_true(a->actorder == ACTORDER_NONE && !a->actorder_given);
    assert_int_equal(a->scale_dtype, sd ? dtype_find_torch(sd) : -1);
    /* The record has the peer's dtype for zero points in every row; it matters where there are some. */
    assert_true(symmetric || !strcmp(zp, "int8"));
    assert_true(a->zp_dtype == -1 || a->zp_dtype == dtype_find_torch(zp));
    assert_string_equal(a->observer, obs ? obs : "");
    assert_int_equal(json_len(json_get(j, "observer_kwargs")), 0);
    assert_true(isnan(a->obs_maxshrink) && isnan(a->obs_patience) && isnan(a->obs_grid) &&
                isnan(a->obs_norm) && isnan(a->obs_averaging));
}

static void presets_are_those_of_the_peer(void **state)
{
    (void)state;
    if (!path_exists(SCHEMES)) {
        print_message("skipped: preset schemes against the peer's table (no ../shared)\n");
        skip();
    }
    struct json *doc = json_read(SCHEMES, 1 << 20, NULL);
    const struct json *all = json_get(doc, "schemes");
    size_t n = 0;
    for (void *it = json_first(all); it; it = json_next(all, it), n++) {
        const struct preset *p = preset_find(json_it_key(it));
        const struct json *j = json_it_value(it);
        if (!p)
            fail_msg("preset %s is missing", json_it_key(it));
        assert_string_equal(p->name, json_it_key(it));
        assert_string_equal(p->scheme.preset, p->name);
        same_args(p->scheme.has_weights, &p->scheme.weights, json_get(j, "weights"));
        same_args(p->scheme.has_input, &p->scheme.input, json_get(j, "input_activations"));
        same_args(p->scheme.has_output, &p->scheme.output, json_get(j, "output_activations"));
        assert_string_equal(p->scheme.format, "");
    }
    assert_int_equal(n, 30);
    for (const struct preset *p = presets; p->name; p++)
        n--;
    assert_int_equal(n, 0);
    json_free(doc);
}

static void presets_by_name(void **state)
{
    (void)state;
    assert_string_equal(preset_find("w4a16")->name, "W4A16");
    assert_string_equal(preset_find("fp8_Dynamic")->name, "FP8_DYNAMIC");
    assert_null(preset_find("W4A15"));
    assert_null(preset_find(""));
}

static void arguments_as_json_have_all_keys_sorted(void **state)
{
    (void)state;
    struct quant_args a;
    struct buf b = { 0 };
    struct jw w;
    quant_args_default(&a);
    a.num_bits = 4;
    a.strategy = STRATEGY_GROUP;
    a.group_size = 128;
    a.actorder = ACTORDER_STATIC;
    a.obs_norm = 2.4;
    a.scale_dtype = DT_F8_E4M3;
    snprintf(a.observer, sizeof a.observer, "mse");
    jw_init(&w, &b, -1);
    quant_args_json(&a, &w);
    assert_int_equal(jw_done(&w, NULL), 0);
    assert_string_equal(
        b.p, "{\"actorder\": \"static\", \"block_structure\": null, \"dynamic\": false, \"group_size\": 128, "
             "\"num_bits\": 4, \"observer\": \"mse\", \"observer_kwargs\": {\"norm\": 2.4}, "
             "\"scale_dtype\": \"torch.float8_e4m3fn\", \"strategy\": \"group\", \"symmetric\": true, "
             "\"type\": \"int\", \"zp_dtype\": null}");
    b.len = 0;
    a.symmetric = false;
    jw_init(&w, &b, -1);
    quant_args_json(&a, &w);
    assert_int_equal(jw_done(&w, NULL), 0);
    assert_non_null(strstr(b.p, "\"zp_dtype\": \"torch.int8\"")); /* written where there are zero points */
    a.symmetric = true;
    buf_release(&b);
    char word[96];
    assert_string_equal(quant_args_word(&a, word), "4-bit int symmetric group 128");
    assert_string_equal(quant_args_word(&preset_find("FP8_BLOCK")->scheme.weights, word),
                        "8-bit float symmetric block 128x128");
    assert_string_equal(quant_args_word(&preset_find("W4A16_ASYM")->scheme.weights, word),
                        "4-bit int asymmetric group 128");
}

static struct quant_args args_of(enum strategy s, int64_t group, int64_t bh, int64_t bw)
{
    struct quant_args a;
    quant_args_default(&a);
    a.strategy = s;
    a.group_size = group;
    a.block[0] = bh;
    a.block[1] = bw;
    return a;
}

static void cells_of_every_strategy(void **state)
{
    (void)state;
    static const struct {
        enum strategy s;
        int64_t group, bh, bw, rows, cols, param_rows, param_cols;
    } rows[] = {
        { STRATEGY_TENSOR, 0, 0, 0, 5, 7, 1, 1 },        { STRATEGY_CHANNEL, 0, 0, 0, 5, 7, 5, 1 },
        { STRATEGY_CHANNEL, -1, 0, 0, 1, 1, 1, 1 },      { STRATEGY_GROUP, 4, 0, 0, 5, 8, 5, 2 },
        { STRATEGY_GROUP, 8, 0, 0, 5, 8, 5, 1 },         { STRATEGY_GROUP, 1, 0, 0, 2, 3, 2, 3 },
        { STRATEGY_GROUP, -1, 0, 0, 5, 7, 5, 1 },        { STRATEGY_TENSOR_GROUP, 16, 0, 0, 3, 64, 3, 4 },
        { STRATEGY_BLOCK, 0, 128, 128, 129, 128, 2, 1 }, { STRATEGY_BLOCK, 0, 2, 3, 5, 7, 3, 3 },
        { STRATEGY_BLOCK, 0, 128, 128, 1, 1, 1, 1 },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct quant_args a = args_of(rows[i].s, rows[i].group, rows[i].bh, rows[i].bw);
        struct grid_layout l;
        assert_int_equal(layout_init(&l, &a, rows[i].rows, rows[i].cols, DT_BF16, NULL), 0);
        assert_int_equal(l.param_rows, rows[i].param_rows);
        assert_int_equal(l.param_cols, rows[i].param_cols);
        assert_int_equal(l.scale_dtype, DT_BF16);
    }
}

static void shapes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const struct {
        enum strategy s;
        int64_t group, bh, bw, rows, cols;
        const char *what;
    } rows[] = {
        { STRATEGY_GROUP, 128, 0, 0, 4, 192, "group_size 128 does not divide the 192 input features" },
        { STRATEGY_GROUP, 128, 0, 0, 4, 64, "group_size 128 does not divide the 64 input features" },
        { STRATEGY_TENSOR_GROUP, 16, 0, 0, 4, 24, "group_size 16 does not divide the 24 input features" },
        { STRATEGY_BLOCK, 0, 0, 0, 4, 64, "strategy block needs a block_structure" },
        { STRATEGY_TOKEN, 0, 0, 0, 4, 64, "strategy token is for activations, not for weights" },
        { STRATEGY_ATTN_HEAD, 0, 0, 0, 4, 64, "strategy attn_head is for activations, not for weights" },
        { STRATEGY_CHANNEL, 0, 0, 0, 4, 0, "a weight of 4 x 0 has nothing to quantize" },
        { STRATEGY_TENSOR, 0, 0, 0, 0, 8, "a weight of 0 x 8 has nothing to quantize" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct quant_args a = args_of(rows[i].s, rows[i].group, rows[i].bh, rows[i].bw);
        struct grid_layout l;
        struct err e = { 0 };
        assert_int_equal(layout_init(&l, &a, rows[i].rows, rows[i].cols, DT_F32, &e), -1);
        IS_ERR(e, ERR_INPUT, rows[i].what);
    }
}

/* The cell table of base/qtensor.h, written out. */
static int64_t cell_of(const struct grid_layout *l, int64_t r, int64_t c)
{
    const struct quant_args *a = &l->args;
    switch (a->strategy) {
    case STRATEGY_CHANNEL: return r;
    case STRATEGY_GROUP: return r * (l->cols / a->group_size) + c / a->group_size;
    case STRATEGY_BLOCK:
        return r / a->block[0] * ((l->cols + a->block[1] - 1) / a->block[1]) + c / a->block[1];
    default: return 0;
    }
}

static void decoding_equals_the_definition(void **state)
{
    (void)state;
    static const enum dtype dtypes_of_scales[] = { DT_F32, DT_BF16, DT_F16 };
    const struct quant_args kinds[] = { args_of(STRATEGY_TENSOR, 0, 0, 0), args_of(STRATEGY_CHANNEL, 0, 0, 0),
                                        args_of(STRATEGY_GROUP, 3, 0, 0), args_of(STRATEGY_BLOCK, 0, 2, 4) };
    uint64_t s = 17;
    for (size_t k = 0; k < COUNT(kinds) * 3 * 2; k++) {
        struct quant_args a = kinds[k / 6];
        a.symmetric = k % 2;
        enum dtype t = dtypes_of_scales[k / 2 % 3];
        struct grid_layout l;
        struct qtensor q;
        float out[5 * 9];
        assert_int_equal(layout_init(&l, &a, 5, 9, t, NULL), 0);
        assert_int_equal(qtensor_init(&q, &l, NULL), 0);
        assert_int_equal(q.zero == NULL, a.symmetric);
        for (int i = 0; i < 45; i++)
            q.codes[i] = (int8_t)next_bits(&s);
        for (int64_t i = 0; i < l.param_rows * l.param_cols; i++) {
            q.scale[i] = dtype_round(t, (float)(next_bits(&s) % 1000) / 777.0F);
            if (q.zero)
                q.zero[i] = (int8_t)next_bits(&s);
        }
        qtensor_decode(&q, 0, 5, out);
        for (int64_t r = 0; r < 5; r++)
            for (int64_t c = 0; c < 9; c++) {
                int64_t p = cell_of(&l, r, c);
                double exact = (double)(q.codes[r * 9 + c] - (q.zero ? q.zero[p] : 0)) * (double)q.scale[p];
                assert_true(out[r * 9 + c] == dtype_round(t, (float)exact));
            }
        float two[18];
        qtensor_decode(&q, 3, 2, two); /* any rows give the same values */
        assert_memory_equal(two, out + 27, sizeof two);
        qtensor_release(&q);
    }
    struct quant_args a = args_of(STRATEGY_GROUP, 3, 0, 0);
    a.symmetric = false;
    struct grid_layout l;
    struct qtensor q;
    layout_init(&l, &a, 5, 9, DT_F32, NULL);
    SWEEP(qtensor_init(&q, &l, &e), qtensor_release(&q));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets_are_those_of_the_peer),
        cmocka_unit_test(presets_by_name),
        cmocka_unit_test(arguments_as_json_have_all_keys_sorted),
        cmocka_unit_test(cells_of_every_strategy),
        cmocka_unit_test(shapes_that_do_not_fit_are_refused),
        cmocka_unit_test(decoding_equals_the_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
