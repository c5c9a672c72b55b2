/* config.c - config.json and tensors that are wrong: every message is exact, nothing crashes, nothing leaks. And what is
 * right in spite of looking odd: tied heads, missing prefixes, null for absent. */
#include "model/config.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/arch.h"
#include "tiny.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *name, *drop, *add;
    enum err_code code;
    const char *what, *hint;
} bad[] = {
    { "no model_type", "model_type", "", ERR_INPUT,
      "M/config.json: key 'model_type': absent, expected the name of an architecture", "" },
    { "a model_type that is a number", "model_type", "\"model_type\": 7", ERR_INPUT,
      "M/config.json: key 'model_type': found 7, expected the name of an architecture", "" },
    { "a misspelt model_type", "model_type", "\"model_type\": \"lama\"", ERR_UNBUILT,
      "M/config.json: key 'model_type': found 'lama', which is no architecture that this version knows",
      "Did you mean 'llama'?" },
    { "a model_type like nothing else", "model_type", "\"model_type\": \"zzzzzzzzzzzzzzzz\"", ERR_UNBUILT,
      "M/config.json: key 'model_type': found 'zzzzzzzzzzzzzzzz', which is no architecture that this version knows",
      "`qpipe list architectures` shows what is built." },
    { "a family whose steps are not built", "model_type", "\"model_type\": \"mixtral\"", ERR_UNBUILT,
      "architecture 'mixtral' is known, but this version lacks step MOE",
      "`qpipe list architectures` shows what is built. Data-free recipes need no model." },
    { "a family without a row of its own", "model_type", "\"model_type\": \"jamba\"", ERR_UNBUILT,
      "architecture 'jamba' is known, but this version lacks state-space mixers",
      "`qpipe list architectures` shows what is built. Data-free recipes need no model." },
    { "no hidden_size", "hidden_size", "", ERR_INPUT,
      "M/config.json: key 'hidden_size': absent, expected an integer in [1, 1048576]", "" },
    { "null hidden_size", "hidden_size", "\"hidden_size\": null", ERR_INPUT,
      "M/config.json: key 'hidden_size': absent, expected an integer in [1, 1048576]", "" },
    { "hidden_size as text", "hidden_size", "\"hidden_size\": \"16\"", ERR_INPUT,
      "M/config.json: key 'hidden_size': found '16', expected an integer in [1, 1048576]", "" },
    { "hidden_size not whole", "hidden_size", "\"hidden_size\": 16.5", ERR_INPUT,
      "M/config.json: key 'hidden_size': found 16.5, expected an integer in [1, 1048576]", "" },
    { "negative layers", "num_hidden_layers", "\"num_hidden_layers\": -1", ERR_INPUT,
      "M/config.json: key 'num_hidden_layers': found -1, expected an integer in [1, 4096]", "" },
    { "zero heads", "num_attention_heads", "\"num_attention_heads\": 0", ERR_INPUT,
      "M/config.json: key 'num_attention_heads': found 0, expected an integer in [1, 4096]", "" },
    { "a huge vocabulary", "vocab_size", "\"vocab_size\": 9223372036854775807", ERR_INPUT,
      "M/config.json: key 'vocab_size': found 9223372036854775807, expected an integer in [1, 16777216]",
      "" },
    { "an object for a size", "intermediate_size", "\"intermediate_size\": {}", ERR_INPUT,
      "M/config.json: key 'intermediate_size': found an object, expected an integer in [1, 16777216]", "" },
    { "heads not divisible", "num_key_value_heads", "\"num_key_value_heads\": 3", ERR_INPUT,
      "M/config.json: num_attention_heads 4 is not a multiple of num_key_value_heads 3", "" },
    { "hidden not divisible", "hidden_size", "\"hidden_size\": 18", ERR_INPUT,
      "M/config.json: hidden_size 18 is not a multiple of num_attention_heads 4, and head_dim is absent",
      "" },
    { "eps out of range", NULL, "\"rms_norm_eps\": -1e-6", ERR_INPUT,
      "M/config.json: key 'rms_norm_eps': found -1e-06, expected a number in [0, 1]", "" },
    { "a bias that is no truth", NULL, "\"attention_bias\": 1", ERR_INPUT,
      "M/config.json: key 'attention_bias': found 1, expected true or false", "" },
    { "an unknown activation", NULL, "\"hidden_act\": \"sillu\"", ERR_UNBUILT,
      "M/config.json: key 'hidden_act': found 'sillu', which is no activation that this version has",
      "Did you mean 'silu'?" },
    { "an unknown rope type", NULL, "\"rope_scaling\": {\"type\": \"yarnn\", \"factor\": 2.0}", ERR_UNBUILT,
      "M/config.json: key 'type': found 'yarnn', which is no rope scaling that this version has",
      "Did you mean 'yarn'?" },
    { "rope that is no object", NULL, "\"rope_scaling\": 4", ERR_INPUT,
      "M/config.json: key 'rope_scaling': found 4, expected an object or null", "" },
    { "linear rope without a factor", NULL, "\"rope_scaling\": {\"type\": \"linear\"}", ERR_INPUT,
      "M/config.json: key 'factor': absent, expected a number in [1, 1e+06]", "" },
    { "llama3 rope without bands", NULL, "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8}",
      ERR_INPUT, "M/config.json: key 'low_freq_factor': absent, expected a number in [1e-06, 1e+06]", "" },
    { "longrope with a short list", NULL,
      "\"rope_parameters\": {\"rope_type\": \"longrope\", \"long_factor\": [1], \"short_factor\": [1, 1]}",
      ERR_INPUT,
      "M/config.json: key 'long_factor': found a list of 1, expected a list of 2 numbers (half the rotary dims)",
      "" },
    { "rope with a theta of zero", NULL, "\"rope_theta\": 0", ERR_INPUT,
      "M/config.json: key 'rope_theta': found 0, expected a number in [1.01, 1e+15]", "" },
    { "an odd number of rotary dims", NULL, "\"head_dim\": 3", ERR_INPUT,
      "M/config.json: rope turns 3 of 3 head dims, expected an even number of at least 2", "" },
    { "a layer type that is not attention", "model_type",
      "\"model_type\": \"qwen2\", \"layer_types\": [\"full_attention\", \"conv\"]", ERR_INPUT,
      "M/config.json: key 'layer_types': found 'conv', expected 'full_attention' or 'sliding_attention'",
      "" },
    { "layer types for other layers", "model_type", "\"model_type\": \"qwen2\", \"layer_types\": []",
      ERR_INPUT, "M/config.json: key 'layer_types': found 0 layers, expected num_hidden_layers = 2", "" },
    { "sizes that are not those of the file", "intermediate_size", "\"intermediate_size\": 32", ERR_INPUT,
      "tensor 'model.layers.0.mlp.gate_proj.weight' of M: found shape [24, 16], expected [32, 16]", "" },
    { "more layers than the file", "num_hidden_layers", "\"num_hidden_layers\": 3", ERR_INPUT,
      "tensor 'model.layers.2.input_layernorm.weight' is missing from M, which is of architecture 'llama'",
      "Are all shards there, and is config.json of the same checkpoint?" },
    { "biases that the file does not have", NULL, "\"attention_bias\": true", ERR_INPUT,
      "tensor 'model.layers.0.self_attn.q_proj.bias' is missing from M, which is of architecture 'llama'",
      "Are all shards there, and is config.json of the same checkpoint?" },
};

static int open_tiny(struct tiny *t, const char *drop, const char *add, struct model *m, struct err *e)
{
    struct json *j = tiny_config(drop, add, e);
    int rc = j ? model_open(j, &t->source, "M", m, e) : -1;
    json_free(j);
    return rc;
}

static void wrong_configs_say_what_where_and_what_was_expected(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct tiny t;
        struct model m;
        struct err e = { 0 };
        tiny_source(&t);
        if (open_tiny(&t, bad[i].drop, bad[i].add, &m, &e) != -1)
            fail_msg("%s: was accepted", bad[i].name);
        if (strcmp(e.what, bad[i].what) || strcmp(e.hint, bad[i].hint) || e.code != bad[i].code)
            fail_msg("%s: found code %d '%s' hint '%s'", bad[i].name, (int)e.code, e.what, e.hint);
    }
}

static void wrong_tensors_are_named(void **state)
{
    struct tiny t;
    struct model m;
    struct err e = { 0 };
    (void)state;
    tiny_source(&t);
    tiny_reshape(&t, "model.norm.weight", 2, 16, 1, DT_F32);
    assert_int_equal(open_tiny(&t, NULL, "", &m, &e), -1);
    assert_string_equal(e.what, "tensor 'model.norm.weight' of M: found shape [16, 1], expected [16]");
    tiny_source(&t);
    tiny_reshape(&t, "model.layers.1.mlp.up_proj.weight", 2, 24, 16, DT_I32);
    e = (struct err){ 0 };
    assert_int_equal(open_tiny(&t, NULL, "", &m, &e), -1);
    assert_string_equal(
        e.what, "tensor 'model.layers.1.mlp.up_proj.weight' of M: found dtype I32, expected a float type");
    tiny_source(&t);
    tiny_hide(&t, "lm_head.weight");
    e = (struct err){ 0 };
    assert_int_equal(open_tiny(&t, NULL, "", &m, &e), -1);
    assert_string_equal(e.what,
                        "tensor 'lm_head.weight' is missing from M, and tie_word_embeddings is false");
}

static void tied_heads_follow_the_file(void **state)
{
    struct tiny t;
    struct model m;
    struct err e = { 0 };
    (void)state;
    log_setup(LOG_ERROR, LOG_TEXT);
    tiny_source(&t);
    tiny_hide(&t, "lm_head.weight");
    assert_int_equal(open_tiny(&t, NULL, "\"tie_word_embeddings\": true", &m, &e), 0);
    assert_true(model_module(&m, "lm_head")->tied);
    assert_string_equal(model_module(&m, "lm_head")->tensor, "model.embed_tokens.weight");
    model_release(&m);
    tiny_source(&t); /* the file's head differs from the embedding */
    assert_int_equal(open_tiny(&t, NULL, "\"tie_word_embeddings\": true", &m, &e), 0);
    assert_false(model_module(&m, "lm_head")->tied);
    assert_string_equal(model_module(&m, "lm_head")->tensor, "lm_head.weight");
    model_release(&m);
}

static void names_without_prefix_are_found_and_strays_are_listed(void **state)
{
    struct tiny t;
    struct model m;
    struct err e = { 0 };
    (void)state;
    tiny_source(&t);
    for (int64_t i = 0; i < t.source.count; i++)
        if (str_starts(t.info[i].name, "model."))
            t.info[i].name += strlen("model.");
    tiny_add(&t, "layers.0.self_attn.rotary_emb.inv_freq");
    tiny_add(&t, "layers.0.self_attn.surprise");
    tiny_add(&t, "layers.0.self_attn.q_proj.bias");
    assert_int_equal(open_tiny(&t, NULL, "", &m, &e), 0);
    const struct module *q = model_module(&m, "model.layers.1.self_attn.q_proj");
    assert_non_null(q);
    assert_string_equal(q->tensor, "layers.1.self_attn.q_proj.weight");
    assert_int_equal(m.unread.n, 2);
    assert_true(strs_has(&m.unread, "layers.0.self_attn.surprise"));
    assert_true(strs_has(&m.unread, "layers.0.self_attn.q_proj.bias"));
    model_release(&m);
}

static void modules_carry_the_classes_that_recipes_name(void **state)
{
    struct tiny t;
    struct model m;
    struct err e = { 0 };
    (void)state;
    tiny_source(&t);
    assert_int_equal(open_tiny(&t, NULL, "", &m, &e), 0);
    const struct module *attn = model_module(&m, "model.layers.0.self_attn");
    assert_string_equal(attn->classes[0], "LlamaAttention");
    assert_string_equal(attn->classes[1], "Module");
    assert_false(attn->quantizable);
    const struct module *norm = model_module(&m, "model.layers.0.input_layernorm");
    assert_string_equal(norm->classes[0], "LlamaRMSNorm");
    assert_int_equal(norm->group, -1);
    assert_string_equal(model_module(&m, "model.embed_tokens")->classes[0], "Embedding");
    assert_int_equal(model_module(&m, "model.embed_tokens")->block, -1);
    const struct module *head = model_module(&m, "lm_head");
    assert_int_equal(head->block, 2);
    assert_int_equal(head->group, 0);
    assert_true(head->quantizable);
    static const struct {
        const char *name;
        int group;
    } groups[] = { { "self_attn.q_proj", 0 }, { "self_attn.v_proj", 0 }, { "self_attn.o_proj", 1 },
                   { "mlp.gate_proj", 2 },    { "mlp.up_proj", 2 },      { "mlp.down_proj", 3 } };
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        char name[64];
        snprintf(name, sizeof name, "model.layers.1.%s", groups[i].name);
        assert_int_equal(model_module(&m, name)->group, groups[i].group);
    }
    model_release(&m);
}

/* Class defaults and rules of windows, read through config_read. */
static const struct window_case {
    const char *name, *add;
    int64_t window[2];
} windows[] = {
    { "llama has none", "\"model_type\": \"llama\", \"sliding_window\": 8", { 0, 0 } },
    { "mistral's default is 4096", "\"model_type\": \"mistral\"", { 4096, 4096 } },
    { "mistral's null is none", "\"model_type\": \"mistral\", \"sliding_window\": null", { 0, 0 } },
    { "phi3's default is none", "\"model_type\": \"phi3\"", { 0, 0 } },
    { "qwen2 asks use_sliding_window",
      "\"model_type\": \"qwen2\", \"sliding_window\": 8, \"max_window_layers\": 0",
      { 0, 0 } },
    { "qwen2's windows are the last layers",
      "\"model_type\": \"qwen2\", \"sliding_window\": 8, \"use_sliding_window\": true, \"max_window_layers\": 1",
      { 0, 8 } },
    { "qwen3's layer_types win",
      "\"model_type\": \"qwen3\", \"sliding_window\": 8, \"use_sliding_window\": true, \"max_window_layers\": 1, "
      "\"layer_types\": [\"sliding_attention\", \"full_attention\"]",
      { 8, 0 } },
    { "gemma2 begins with a window", "\"model_type\": \"gemma2\"", { 4096, 0 } },
    { "cohere2 ends each period without",
      "\"model_type\": \"cohere2\", \"sliding_window_pattern\": 2",
      { 4096, 0 } },
};

static void windows_follow_each_familys_rule(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        struct err e = { 0 };
        struct config *c = NULL;
        struct json *j = tiny_config("model_type", windows[i].add, &e);
        assert_non_null(j);
        if (config_read(j, "config.json", &c, &e))
            fail_msg("%s: %s", windows[i].name, e.what);
        for (int l = 0; l < 2; l++)
            if (c->layer[l].window != windows[i].window[l])
                fail_msg("%s: layer %d has window %lld", windows[i].name, l, (long long)c->layer[l].window);
        config_free(c);
        json_free(j);
    }
}

/* Closed forms for 4 rotary dims: plain frequencies are 1 and theta^-1/2 = 0.01. */
static const struct rope_case {
    const char *name, *json;
    int64_t length;
    float freq[2], scale;
} ropes[] = {
    { "default", "\"rope_theta\": 10000", 8, { 1, 0.01f }, 1 },
    { "linear divides", "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 4}", 8, { 0.25f, 0.0025f }, 1 },
    { "rope_type and type are one key",
      "\"rope_scaling\": {\"rope_type\": \"linear\", \"type\": \"linear\", \"factor\": 4}",
      8,
      { 0.25f, 0.0025f },
      1 },
    { "dynamic is plain within the trained length",
      "\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2}",
      64,
      { 1, 0.01f },
      1 },
    /* b' = 1e4 * (2 * 128/64 - 1)^(4/2) = 9e4, and 9e4^-1/2 = 1/300 */
    { "dynamic grows its base beyond",
      "\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2}",
      128,
      { 1, 1 / 300.0f },
      1 },
    { "longrope within",
      "\"rope_scaling\": {\"type\": \"longrope\", \"long_factor\": [2, 4], \"short_factor\": [1, 1], "
      "\"attention_factor\": 1.5, \"original_max_position_embeddings\": 8}",
      8,
      { 1, 0.01f },
      1.5f },
    { "longrope beyond",
      "\"rope_scaling\": {\"type\": \"longrope\", \"long_factor\": [2, 4], \"short_factor\": [1, 1], "
      "\"attention_factor\": 1.5, \"original_max_position_embeddings\": 8}",
      9,
      { 0.5f, 0.0025f },
      1.5f },
    /* waves 2 pi and 628: one shorter than 64/4, one longer than 64 */
    { "llama3 keeps short waves and stretches long ones",
      "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, "
      "\"low_freq_factor\": 1, \"high_freq_factor\": 4, \"original_max_position_embeddings\": 64}",
      8,
      { 1, 0.00125f },
      1 },
    { "yarn scales cos and sin by 0.1 ln 4 + 1",
      "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4, "
      "\"original_max_position_embeddings\": 16}",
      8,
      { 1, 0.0025f },
      1.1386294f },
};

static void rope_scalings_follow_their_formulas(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ropes / sizeof *ropes; i++) {
        struct err e = { 0 };
        struct config *c = NULL;
        struct json *j = tiny_config(NULL, ropes[i].json, &e);
        float freq[2], scale;
        assert_non_null(j);
        if (config_read(j, "config.json", &c, &e))
            fail_msg("%s: %s", ropes[i].name, e.what);
        rope_freq(&c->rope[0], ropes[i].length, freq, &scale);
        for (int k = 0; k < 2; k++)
            if (fabsf(freq[k] - ropes[i].freq[k]) > 1e-6f * ropes[i].freq[k])
                fail_msg("%s: frequency %d is %g", ropes[i].name, k, (double)freq[k]);
        if (fabsf(scale - ropes[i].scale) > 1e-6f)
            fail_msg("%s: scale is %g", ropes[i].name, (double)scale);
        config_free(c);
        json_free(j);
    }
}

static void every_row_is_whole(void **state)
{
    int64_t n, built = 0, steps;
    const struct table_row *rows = model_architectures(&n);
    (void)state;
    for (int64_t i = 0; i < n; i++) {
        const struct arch *a = arch_row(i);
        assert_string_equal(rows[i].name, a->name);
        assert_ptr_equal(arch_find(a->name), a);
        assert_true(a->doc && *a->doc);
        if (!rows[i].built)
            continue;
        built++;
        assert_non_null(a->parts);
        assert_non_null(a->norm_classes);
        assert_non_null(a->attn_classes);
    }
    assert_true(built >= 26);
    assert_int_equal(model_steps(&steps)[STEP_EMBED].built, true);
    assert_int_equal(steps, 17);
}

static void no_memory_is_an_error_and_leaks_nothing(void **state)
{
    uint64_t before = mem_use().now;
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct tiny t;
        struct model m;
        struct err e = { 0 };
        tiny_source(&t);
        struct json *j = tiny_config(
            NULL,
            "\"rope_scaling\": {\"type\": \"longrope\", \"long_factor\": [1, 2], \"short_factor\": [1, 1]}",
            &e);
        assert_non_null(j);
        mem_fail_at(n, 0);
        int rc = model_open(j, &t.source, "M", &m, &e);
        mem_fail_at(0, 0);
        if (!rc)
            model_release(&m);
        json_free(j);
        assert_int_equal(mem_use().now, before);
        if (!rc)
            break;
        assert_int_equal(e.code, ERR_NOMEM);
        assert_true(n < 5000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_configs_say_what_where_and_what_was_expected),
        cmocka_unit_test(wrong_tensors_are_named),
        cmocka_unit_test(tied_heads_follow_the_file),
        cmocka_unit_test(names_without_prefix_are_found_and_strays_are_listed),
        cmocka_unit_test(modules_carry_the_classes_that_recipes_name),
        cmocka_unit_test(windows_follow_each_familys_rule),
        cmocka_unit_test(rope_scalings_follow_their_formulas),
        cmocka_unit_test(every_row_is_whole),
        cmocka_unit_test(no_memory_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
