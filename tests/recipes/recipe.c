/* recipe.c - what a recipe means, by fields: the two grammars agree, the command line wins, dialects change defaults, hashed
 * texts hold no circumstances, unbuilt modifiers are refused by name. */
#include "base/file.h"
#include "base/mem.h"
#include "help.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct recipe_stage *stage(const struct recipe *r, const char *name)
{
    for (size_t i = 0; i < r->n; i++)
        if (!strcmp(r->stage[i].spec->name, name))
            return &r->stage[i];
    fail_msg("no stage %s", name);
    return NULL;
}

static void parse_ok(const char *text, const struct recipe_args *a, struct recipe *r)
{
    struct err e = { 0 };
    if (recipe_parse(text, strlen(text), "folder/recipe.yaml", a, r, &e))
        fail_msg("%s", error_text(&e));
}

static void both_grammars_give_the_same_recipe(void **state)
{
    (void)state;
    struct buf a = resolve("version: 1\nstages:\n  - gptq: {preset: none, scheme: W4A16, ignore: lm_head}\n");
    struct buf b =
        resolve("q_stage:\n  q_modifiers:\n    GPTQModifier: {scheme: w4a16, ignore: [lm_head]}\n");
    struct buf c = resolve(
        "{\"q_stage\": {\"q_modifiers\": {\"GPTQModifier\": {\"config_groups\": {\"group_0\": {\"targets\": "
        "[\"Linear\"], \"weights\": {\"num_bits\": 4, \"group_size\": 128}}}, \"ignore\": [\"lm_head\"]}}}}");
    assert_string_equal(a.p, b.p);
    /* by arguments instead of by name: the preset's name is the only difference */
    char *preset = strstr(b.p, "          preset: \"W4A16\"\n");
    assert_non_null(preset);
    size_t line = strlen("          preset: \"W4A16\"\n");
    memmove(preset, preset + line, strlen(preset + line) + 1);
    assert_string_equal(b.p, c.p);
    buf_release(&a);
    buf_release(&b);
    buf_release(&c);
}

static void the_command_line_wins_and_its_paths_are_its_own(void **state)
{
    (void)state;
    const struct var set = { "bits", "8" };
    const struct recipe_args args = { "m", "d.txt", "o", "9", &set, 1, NULL };
    const char *text =
        "version: 1\nmodel: in\noutput: out\nseed: 1\nvars: {bits: 4}\nstages:\n"
        "  - calibrate: {dataset: c.txt}\n  - gptq:\n      scheme: W${bits}A16\n  - verify: {dataset: v.txt}\n";
    struct recipe r;
    parse_ok(text, &args, &r);
    assert_string_equal(r.model, "m");
    assert_string_equal(r.output, "o");
    assert_int_equal(r.seed, 9);
    assert_string_equal(((struct calibrate_options *)stage(&r, "calibrate")->options)->dataset, "d.txt");
    assert_string_equal(((struct verify_options *)stage(&r, "verify")->options)->dataset, "folder/v.txt");
    assert_int_equal(stage(&r, "GPTQModifier")->quant->group[0].scheme.weights.num_bits, 8);
    recipe_release(&r);
    const struct recipe_args none = { 0 };
    parse_ok(text, &none, &r);
    assert_string_equal(r.model, "folder/in");
    assert_string_equal(r.output, "folder/out");
    assert_string_equal(((struct calibrate_options *)stage(&r, "calibrate")->options)->dataset,
                        "folder/c.txt");
    assert_int_equal(stage(&r, "GPTQModifier")->quant->group[0].scheme.weights.num_bits, 4);
    recipe_release(&r);
}

static void wrong_words_of_the_command_line_are_errors(void **state)
{
    (void)state;
    static const struct {
        struct var set;
        const char *seed, *want;
    } rows[] = {
        { { "bit", "8" },
          NULL,
          "--set: found 'bit', expected a name of the recipe's vars:\nhint: did you mean 'bits'?\n" },
        { { "bits", "9" },
          NULL,
          "5:20: scheme: found 'W9A16', expected the name of a preset\nhint: did you mean 'W2A16'? `qpipe list schemes` prints all\n" },
        { { "bits", "4" }, "-3", "seed: found '-3', expected an integer in [0, 9007199254740992]\n" },
        { { "bits", "4" },
          "1_0",
          "seed: found '1_0', expected an integer in [0, 9007199254740992]\nhint: write the digits without underscores\n" },
    };
    const char *text = "version: 1\nvars:\n  bits: 4\nstages:\n  - rtn: { scheme: 'W${bits}A16' }\n";
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct recipe_args args = { .seed = rows[i].seed, .set = &rows[i].set, .n_set = 1 };
        struct recipe r;
        struct err e = { 0 };
        assert_int_equal(recipe_parse(text, strlen(text), "recipe.yaml", &args, &r, &e), -1);
        assert_int_equal(e.code, ERR_INPUT);
        assert_string_equal(error_text(&e), rows[i].want);
    }
}

static void stages_are_added_where_a_modifier_needs_them(void **state)
{
    (void)state;
    static const struct {
        const char *text, *dataset;
        const char *want[6];
    } rows[] = {
        { "version: 1\nstages: [{rtn: {scheme: W4A16}}]\n",
          NULL,
          { "load", "QuantizationModifier", "save" } },
        { "version: 1\nstages: [{rtn: {scheme: W4A16}}]\n",
          "d",
          { "load", "calibrate", "QuantizationModifier", "save" } },
        { "version: 1\nstages: [{rtn: {scheme: FP8}}]\n",
          NULL,
          { "load", "calibrate", "QuantizationModifier", "save" } },
        { "version: 1\nstages: [{rtn: {scheme: W4A16, observer: imatrix_mse}}]\n",
          NULL,
          { "load", "calibrate", "QuantizationModifier", "save" } },
        { "version: 1\nstages: [{gptq: {scheme: W4A16}}]\n",
          NULL,
          { "load", "calibrate", "GPTQModifier", "save" } },
        { "version: 1\nstages: [{gptq: {scheme: W4A16}}, verify, save]\n",
          NULL,
          { "load", "calibrate", "GPTQModifier", "save", "verify" } },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct recipe_args args = { .dataset = rows[i].dataset };
        struct recipe r;
        parse_ok(rows[i].text, &args, &r);
        for (size_t k = 0; k < r.n; k++) {
            assert_non_null(rows[i].want[k]);
            assert_string_equal(r.stage[k].spec->name, rows[i].want[k]);
        }
        assert_null(rows[i].want[r.n]);
        recipe_release(&r);
    }
}

static void dialects_change_defaults_and_nothing_that_is_written(void **state)
{
    (void)state;
    static const struct {
        const char *dialect;
        enum actorder order;
        int64_t length;
        bool shuffle;
        double maxshrink;
    } rows[] = {
        { "0.14", ACTORDER_STATIC, 0, true, (double)NAN },
        { "0.11", ACTORDER_STATIC, 0, true, (double)NAN },
        { "0.10", ACTORDER_STATIC, 384, true, (double)NAN },
        { "0.9", ACTORDER_STATIC, 384, false, (double)NAN },
        { "0.8", ACTORDER_STATIC, 384, true, (double)NAN },
        { "0.7", ACTORDER_NONE, 384, true, (double)NAN },
        { "0.5", ACTORDER_NONE, 384, true, (double)NAN },
        { "0.3", ACTORDER_NONE, 384, true, 0.8 },
    };
    char text[400];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct recipe r;
        snprintf(text, sizeof text,
                 "dialect: '%s'\nq_stage:\n  q_modifiers:\n    GPTQModifier:\n      config_groups:\n"
                 "        a: {targets: [Linear], weights: {num_bits: 4, group_size: 128, observer: mse}}\n",
                 rows[i].dialect);
        parse_ok(text, NULL, &r);
        const struct calibrate_options *c = stage(&r, "calibrate")->options;
        const struct quant_args *a = &stage(&r, "GPTQModifier")->quant->group[0].scheme.weights;
        assert_int_equal(a->actorder, rows[i].order);
        assert_int_equal(c->sequence_length, rows[i].length);
        assert_int_equal(c->shuffle, rows[i].shuffle);
        assert_true(isnan(rows[i].maxshrink) ? isnan(a->obs_maxshrink)
                                             : a->obs_maxshrink == rows[i].maxshrink);
        recipe_release(&r);
        snprintf(
            text, sizeof text,
            "dialect: '%s'\ncalibrate: {shuffle: true, sequence_length: 5}\nq_stage:\n  q_modifiers:\n"
            "    GPTQModifier: {config_groups: {a: {targets: [Linear], weights: {group_size: 8, actorder: weight}}}}\n",
            rows[i].dialect);
        parse_ok(text, NULL, &r);
        c = stage(&r, "calibrate")->options;
        assert_int_equal(stage(&r, "GPTQModifier")->quant->group[0].scheme.weights.actorder, ACTORDER_WEIGHT);
        assert_int_equal(c->sequence_length, 5);
        assert_true(c->shuffle);
        recipe_release(&r);
    }
}

static void a_group_says_its_own_order_in_a_dialect_without_one(void **state)
{
    (void)state;
    struct recipe r;
    parse_ok("dialect: '0.7'\nq_stage:\n  q_modifiers:\n    GPTQModifier:\n      config_groups:\n"
             "        a: {targets: [Linear], weights: {num_bits: 4, group_size: 32, actorder: weight}}\n",
             NULL, &r);
    assert_int_equal(stage(&r, "GPTQModifier")->quant->group[0].scheme.weights.actorder, ACTORDER_WEIGHT);
    recipe_release(&r);
}

static void what_is_hashed_holds_no_circumstances(void **state)
{
    (void)state;
    struct buf text[2] = { { 0 } }, json[2] = { { 0 } };
    struct err e = { 0 };
    for (int i = 0; i < 2; i++) {
        struct recipe r;
        struct jw w;
        parse_ok(
            i ? "version: 1\nmodel: a\noutput: b\nthreads: 3\nstages:\n  - calibrate: {dataset: c, activation_budget: 1G}\n"
                "  - gptq: {scheme: W4A16}\n  - verify: {dataset: d}\n"
              : "version: 1\nstages:\n  - gptq: {scheme: W4A16}\n  - verify\n",
            NULL, &r);
        assert_int_equal(recipe_resolved(&r, false, &text[i], &e), 0);
        jw_init(&w, &json[i], 2);
        recipe_json(&r, &w);
        assert_int_equal(jw_done(&w, &e), 0);
        recipe_release(&r);
    }
    assert_string_equal(text[0].p, text[1].p);
    assert_string_equal(json[0].p, json[1].p);
    struct json *j = json_parse(json[0].p, json[0].len, "json", &e);
    assert_non_null(j);
    assert_int_equal(json_len(json_get(j, "stages")), 5);
    json_free(j);
    for (int i = 0; i < 2; i++) {
        buf_release(&text[i]);
        buf_release(&json[i]);
    }
}

static void unbuilt_modifiers_are_read_and_refused_by_name(void **state)
{
    (void)state;
    for (const struct stage_spec *const *s = stage_specs; *s; s++) {
        char text[200];
        struct recipe r;
        struct err e = { 0 };
        if (!(*s)->unbuilt)
            continue;
        snprintf(text, sizeof text, "q_stage:\n  q_modifiers:\n    %s: {%s}\n%s", (*s)->name,
                 (*s)->quantizes ? "scheme: W4A16" : "",
                 (*s)->quantizes ? "" : "    GPTQModifier: {scheme: W4A16}\n");
        parse_ok(text, NULL, &r);
        assert_int_equal(recipe_refuse(&r, &e), -1);
        assert_int_equal(e.code, ERR_UNBUILT);
        assert_int_equal(e.at.line, 3);
        snprintf(text, sizeof text, "%s: known from llm-compressor, not built in this version", (*s)->name);
        assert_string_equal(e.what, text);
        recipe_release(&r);
    }
}

static void every_preset_resolves_to_itself(void **state)
{
    (void)state;
    size_t n = 0;
    for (const struct preset *p = presets; p->name; p++, n++) {
        char text[200];
        struct recipe r;
        snprintf(text, sizeof text, "version: 1\nstages:\n  - rtn: {scheme: %s, targets: [a, b]}\n", p->name);
        struct buf b = resolve(text);
        buf_release(&b);
        parse_ok(text, NULL, &r);
        const struct quant_scheme *s = &stage(&r, "QuantizationModifier")->quant->group[0].scheme;
        assert_string_equal(s->preset, p->name);
        assert_int_equal(s->has_weights, p->scheme.has_weights);
        assert_int_equal(s->has_input, p->scheme.has_input);
        assert_int_equal(s->weights.num_bits, p->scheme.weights.num_bits);
        recipe_release(&r);
    }
    assert_true(n >= 30);
}

static void a_preset_in_a_group_yields_to_the_groups_own_parts(void **state)
{
    (void)state;
    struct recipe r;
    parse_ok("version: 1\nstages:\n  - rtn:\n      config_groups:\n"
             "        a: {preset: W8A8, targets: [Linear], weights: {num_bits: 4, strategy: channel}}\n",
             NULL, &r);
    const struct quant_scheme *s = &stage(&r, "QuantizationModifier")->quant->group[0].scheme;
    assert_int_equal(s->weights.num_bits, 4);
    assert_true(s->has_input);
    assert_int_equal(s->input.num_bits, 8);
    assert_int_equal(s->input.strategy, STRATEGY_TOKEN);
    recipe_release(&r);
}

/* GPTQModifier's options of a text whose one stage they are. */
static struct gptq_options gptq_of(const char *text)
{
    struct recipe r;
    parse_ok(text, NULL, &r);
    struct gptq_options o = *(const struct gptq_options *)stage(&r, "GPTQModifier")->options;
    recipe_release(&r);
    o.batched_quantization = NULL; /* was the recipe's */
    return o;
}

static void what_a_recipe_says_beside_a_preset_wins(void **state)
{
    (void)state;
    enum { NONE, MSE, IMPORTANCE, FEEDBACK }; /* words of scale_search */
    static const struct {
        const char *text;
        int preset, search, sweeps, damping, calibration;
    } rows[] = {
        { "scheme: W4A16", PRESET_FAST, IMPORTANCE, 0, 2, 0 },
        { "scheme: W4A16, preset: none", PRESET_NONE, NONE, 0, 0, 0 },
        { "scheme: W4A16, preset: best", PRESET_BEST, FEEDBACK, 3, 2, 1 },
        { "scheme: W4A16, preset: best, scale_search: mse", PRESET_BEST, MSE, 3, 2, 1 },
        { "scheme: W4A16, preset: best, sweeps: 1, calibration: symmetric", PRESET_BEST, FEEDBACK, 1, 2, 0 },
        { "scheme: W4A16, preset: fast, dampening_frac: 0.02", PRESET_FAST, IMPORTANCE, 0, 0, 0 },
        /* whoever names an observer wants its scales */
        { "scheme: W4A16, preset: best, weight_observer: mse", PRESET_BEST, NONE, 3, 2, 1 },
        { "preset: fast, config_groups: {a: {targets: [Linear], weights: {num_bits: 4, group_size: 128, "
          "observer: mse}}}",
          PRESET_FAST, NONE, 0, 2, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[300];
        snprintf(text, sizeof text, "version: 1\nstages:\n  - gptq: {%s}\n", rows[i].text);
        struct gptq_options o = gptq_of(text);
        printf("%s\n", rows[i].text);
        assert_int_equal(o.preset, rows[i].preset);
        assert_int_equal(o.scale_search, rows[i].search);
        assert_int_equal(o.sweeps, rows[i].sweeps);
        assert_int_equal(o.damping, rows[i].damping);
        assert_int_equal(o.calibration, rows[i].calibration);
        struct buf b = resolve(text); /* and means the same when it is read again */
        buf_release(&b);
    }
    struct gptq_options peer = gptq_of("q_stage:\n  q_modifiers:\n    GPTQModifier: {scheme: W4A16}\n");
    assert_int_equal(peer.preset, PRESET_NONE);
    assert_int_equal(peer.scale_search, NONE);
    assert_int_equal(peer.damping, 0);
}

static void an_unknown_preset_names_the_nearest(void **state)
{
    (void)state;
    struct recipe r;
    struct err e = { 0 };
    assert_int_equal(parse("version: 1\nstages:\n  - gptq: {scheme: W4A16, preset: bets}\n", &r, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_non_null(strstr(error_text(&e), "3:35: preset: found 'bets'"));
    assert_non_null(strstr(error_text(&e), "did you mean 'best'?"));
}

static void examples_resolve_to_themselves(void **state)
{
    (void)state;
    struct strs files = { 0 };
    struct err e = { 0 };
    size_t n = 0;
    assert_int_equal(path_list("examples", &files, &e), 0);
    for (size_t i = 0; i < files.n; i++) {
        struct recipe r;
        struct buf out = { 0 }, again = { 0 };
        char path[200];
        if (!str_ends(files.v[i], ".yaml"))
            continue;
        snprintf(path, sizeof path, "examples/%s", files.v[i]);
        if (recipe_read(path, NULL, &r, &e))
            fail_msg("%s: %s", path, error_text(&e));
        assert_int_equal(recipe_refuse(&r, &e), 0);
        assert_int_equal(recipe_resolved(&r, true, &out, &e), 0);
        recipe_release(&r);
        assert_int_equal(parse(out.p, &r, &e), 0);
        assert_int_equal(recipe_resolved(&r, true, &again, &e), 0);
        assert_string_equal(out.p, again.p);
        recipe_release(&r);
        buf_release(&out);
        buf_release(&again);
        n++;
    }
    strs_release(&files);
    assert_true(n > 0);
}

static void a_file_that_is_not_there_is_an_io_error(void **state)
{
    (void)state;
    struct recipe r;
    struct err e = { 0 };
    assert_int_equal(recipe_read("tests/recipes/cases/nosuch.yaml", NULL, &r, &e), -1);
    assert_int_equal(e.code, ERR_IO);
    recipe_release(&r); /* an empty one is valid to release */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_grammars_give_the_same_recipe),
        cmocka_unit_test(the_command_line_wins_and_its_paths_are_its_own),
        cmocka_unit_test(wrong_words_of_the_command_line_are_errors),
        cmocka_unit_test(stages_are_added_where_a_modifier_needs_them),
        cmocka_unit_test(dialects_change_defaults_and_nothing_that_is_written),
        cmocka_unit_test(a_group_says_its_own_order_in_a_dialect_without_one),
        cmocka_unit_test(what_is_hashed_holds_no_circumstances),
        cmocka_unit_test(unbuilt_modifiers_are_read_and_refused_by_name),
        cmocka_unit_test(every_preset_resolves_to_itself),
        cmocka_unit_test(a_preset_in_a_group_yields_to_the_groups_own_parts),
        cmocka_unit_test(what_a_recipe_says_beside_a_preset_wins),
        cmocka_unit_test(an_unknown_preset_names_the_nearest),
        cmocka_unit_test(examples_resolve_to_themselves),
        cmocka_unit_test(a_file_that_is_not_there_is_an_io_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
