/* match.c - which module a config means: the peer's order of entries, ignore before all, and the errors for entries that
 * mean nothing. Expectations are written out by hand for a two-layer Llama. */
#include "help.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Group of every module as one letter (a, b, c, d by the order of the groups), '-' ignored, '.' none; or the error. */
static const char *letters(const char *quantizer, bool allow_unmatched, struct strs *notes)
{
    static char out[1400];
    char text[800];
    struct recipe r;
    struct err e = { 0 };
    struct match_result result[LLAMA_MODULES];
    snprintf(text, sizeof text, "version: 1\nstages:\n  - rtn: {%s}\n", quantizer);
    if (parse(text, &r, &e))
        fail_msg("%s", error_text(&e));
    const struct quant_config *q = r.stage[1].quant;
    if (match_modules(q, llama, LLAMA_MODULES, allow_unmatched, result, notes, &e))
        snprintf(out, sizeof out, "%s", error_text(&e));
    else
        for (size_t i = 0; i < LLAMA_MODULES; i++) {
            out[i] = result[i].ignored ? '-' : result[i].group < 0 ? '.' : (char)('a' + result[i].group);
            out[i + 1] = '\0';
        }
    recipe_release(&r);
    return out;
}
#define W(bits) "weights: {num_bits: " #bits ", strategy: channel}"

static void entries_mean_what_the_peer_takes_them_for(void **state)
{
    (void)state;
    static const struct {
        const char *name, *quantizer, *want;
    } rows[] = {
        /*                          embed  layer 0     layer 1   norm head */
        { "a class", "scheme: W4A16", "..aaaa.aaa.aaaa.aaa.a" },
        { "a base class, the embedding with it", "scheme: W8A16, targets: [Module]",
          "a.aaaa.aaa.aaaa.aaa.a" },
        { "a name", "scheme: W4A16, targets: [model.layers.1.mlp.up_proj]", ".................a..." },
        { "a pattern from the start only", "scheme: W4A16, targets: ['re:model.layers.0']",
          "..aaaa.aaa..........." },
        { "an ignored name", "scheme: W4A16, ignore: [lm_head]", "..aaaa.aaa.aaaa.aaa.-" },
        { "an ignored class of what is not targeted", "scheme: W4A16, ignore: [Embedding]",
          "-.aaaa.aaa.aaaa.aaa.a" },
        { "names before patterns before classes, patterns by bytes, not by order in the file",
          "config_groups: {a: {targets: ['re:.*mlp.*'], " W(8) "}, b: {targets: ['re:.*down_proj$'], " W(
              4) "}, c: {targets: [Linear], " W(6) "}, d: {targets: [model.layers.0.mlp.up_proj], " W(3) "}}",
          "..cccc.adb.cccc.aab.c" },
        { "the same entry twice: the later group",
          "config_groups: {a: {targets: [Linear], " W(8) "}, b: {targets: [Linear], " W(4) "}}",
          "..bbbb.bbb.bbbb.bbb.b" },
        { "one that may match nothing", "scheme: W4A16, ignore: [{match: 're:.*router', optional: true}]",
          "..aaaa.aaa.aaaa.aaa.a" },
        { "digits by Unicode", "scheme: W4A16, targets: ['re:model\\.layers\\.\\d+\\.mlp\\.up_proj$']",
          "........a........a..." },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *got = letters(rows[i].quantizer, false, NULL);
        if (strcmp(got, rows[i].want))
            fail_msg("%s: got %s, want %s", rows[i].name, got, rows[i].want);
    }
}

static void entries_that_mean_nothing_are_errors(void **state)
{
    (void)state;
    static const struct {
        const char *quantizer, *want;
    } rows[] = {
        { "scheme: W4A16, ignore: [lm_heads]",
          "3:35: ignore entry 'lm_heads' matches no module\nhint: did you mean 'lm_head'?\n" },
        { "scheme: W4A16, targets: [down_proj]",
          "3:36: target 'down_proj' matches no module\nhint: a plain entry is a whole module name or a class; did you mean 're:.*down_proj$'?\n" },
        { "scheme: W4A16, targets: ['re:down_proj']",
          "3:36: target 're:down_proj' matches no module\nhint: a pattern matches from the start of the name, such as 'model.layers.0.mlp.down_proj'; did you mean 're:.*down_proj'?\n" },
        { "scheme: W4A16, targets: [linear]",
          "3:36: target 'linear' matches no module\nhint: did you mean 'Linear'?\n" },
        { "scheme: W4A16, targets: [LlamaRMSNorm]",
          "3:36: target 'LlamaRMSNorm' matches 5 modules, none of which can be quantized\nhint: only Linear and Embedding modules hold weights that can be\n" },
        { "scheme: W4A16, targets: ['re:*down']",
          "3:36: pattern '*down' is malformed at position 0: quantifier does not follow a repeatable item\nhint: a pattern is no glob: write re:.*down\n" },
        { "scheme: W4A16, targets: ['re:.*\\hdown']",
          "3:36: pattern '.*\\hdown' is malformed at position 2: bad escape\nhint: patterns are those of Python's re module\n" },
        { "scheme: W4A16, ignore: [Linear]",
          "3:35: every targeted module is ignored (here by 'Linear'); nothing would be quantized\nhint: narrow the ignore list\n" },
        { "scheme: W4A16, ignore: ['re:.*router']",
          "3:35: ignore entry 're:.*router' matches no module\nhint: `qpipe plan` lists the modules; { match: 're:.*router', optional: true } allows no match\n" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(letters(rows[i].quantizer, false, NULL), rows[i].want);
    assert_string_equal(letters("scheme: W4A16, ignore: [nosuch]", true, NULL), "..aaaa.aaa.aaaa.aaa.a");
    assert_string_equal(letters("scheme: W4A16, targets: [nosuch]", true, NULL),
                        "3:19: no target matches a module; nothing would be quantized\n");
}

static void overlaps_are_noted_once(void **state)
{
    (void)state;
    struct strs notes = { 0 };
    letters("config_groups: {a: {targets: ['re:.*mlp.*'], " W(8) "}, b: {targets: [Linear], " W(4) "}}",
            false, &notes);
    assert_int_equal(notes.n, 1);
    assert_string_equal(
        notes.v[0],
        "targets 're:.*mlp.*' and 'Linear' of different groups both mean some modules; the first decides (names, then patterns by bytes, then classes)");
    strs_release(&notes);
    letters("config_groups: {a: {targets: [Linear], " W(8) "}, b: {targets: [Linear], " W(4) "}}", false,
            &notes);
    assert_int_equal(notes.n, 1);
    assert_string_equal(notes.v[0], "target 'Linear' stands in two groups; the later group decides");
    strs_release(&notes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_mean_what_the_peer_takes_them_for),
        cmocka_unit_test(entries_that_mean_nothing_are_errors),
        cmocka_unit_test(overlaps_are_noted_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
