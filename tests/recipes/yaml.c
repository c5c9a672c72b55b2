/* yaml.c - YAML to nodes: places, what scalars keep, merges, variables; and hostile files, which end in an error of the
 * right kind within a bound of time that has nothing to do with what they expand to. */
#include "base/mem.h"
#include "help.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static struct yaml_doc *doc(const char *text)
{
    struct err e = { 0 };
    struct yaml_doc *d = yaml_doc_parse(text, strlen(text), "t.yaml", &e);
    if (!d)
        fail_msg("%s", error_text(&e));
    return d;
}

static const char *failure(const char *text, size_t n, enum err_code code)
{
    static struct err e;
    e = (struct err){ 0 };
    assert_null(yaml_doc_parse(text, n, "t.yaml", &e));
    assert_int_equal(e.code, code);
    return error_text(&e);
}

static void assert_at(const struct node *n, int line, int col)
{
    assert_int_equal(n->at.line, line);
    assert_int_equal(n->at.col, col);
    assert_string_equal(n->at.file, "t.yaml");
}

static void places_count_characters_from_one(void **state)
{
    (void)state;
    struct yaml_doc *d = doc("a: 1\ngr\xC3\xBCn: [x, \xE2\x82\xAC, y]\n\nlast:\n  - {k: v}\n");
    const struct node *r = yaml_doc_root(d), *l = node_get(r, "gr\xC3\xBCn");
    assert_at(r, 1, 1);
    assert_at(node_get(r, "a"), 1, 4);
    assert_at(node_key(r, "gr\xC3\xBCn"), 2, 1);
    assert_at(l, 2, 7);
    assert_at(l->item[0], 2, 8);
    assert_at(l->item[1], 2, 11);
    assert_at(l->item[2], 2, 14);
    assert_at(node_get(r, "last")->item[0]->item[0], 5, 9);
    yaml_doc_free(d);
}

static void scalars_keep_their_text_and_whether_quoted(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool quoted;
    } want[] = { { "no", false }, { "0100", false }, { "1e-3", false }, { "null", true },
                 { "", false },   { "x\ny", true },  { "~", true },     { "7", true } };
    struct yaml_doc *d = doc("- no\n- 0100\n- 1e-3\n- 'null'\n-\n- \"x\\ny\"\n- !!str ~\n- |-\n  7\n");
    const struct node *r = yaml_doc_root(d);
    assert_int_equal(r->n, sizeof want / sizeof *want);
    for (size_t i = 0; i < r->n; i++) {
        assert_string_equal(r->item[i]->text, want[i].text);
        assert_int_equal(r->item[i]->quoted, want[i].quoted);
    }
    yaml_doc_free(d);
}

static void merges_yield_to_keys_and_to_earlier_merges(void **state)
{
    (void)state;
    struct yaml_doc *d =
        doc("a: &a {x: 1, y: 1}\nb: &b {x: 2, z: 2}\nc:\n  x: 3\n  <<: [*a, *b]\nd:\n  <<: *b\n  w: 0\n"
            "e: {'<<': text}\n");
    const struct node *c = node_get(yaml_doc_root(d), "c"), *w = node_get(yaml_doc_root(d), "d");
    assert_int_equal(c->n, 3);
    assert_string_equal(node_get(c, "x")->text, "3");
    assert_string_equal(node_get(c, "y")->text, "1");
    assert_string_equal(node_get(c, "z")->text, "2");
    assert_int_equal(w->n, 3);
    assert_string_equal(node_get(w, "z")->text, "2");
    assert_string_equal(node_get(node_get(yaml_doc_root(d), "e"), "<<")->text, "text");
    yaml_doc_free(d);
}

static void variables_stand_for_text_in_values_only(void **state)
{
    (void)state;
    static const struct var vars[] = { { "a", "1" }, { "long_name", "x y" }, { "flag", "true" } };
    static const struct {
        const char *key, *want;
        bool quoted;
    } want[] = { { "p", "1", false },    { "q", "-1-x y-", true }, { "r", "$", false },
                 { "s", "${a}", false }, { "t", "a$b$", false },   { "u", "true", false },
                 { "v", "${", false },   { "w", "$1", true },      { "${a}", "key", false } };
    struct err e = { 0 };
    struct yaml_doc *d =
        doc("p: ${a}\nq: '-${a}-${long_name}-'\nr: $$\ns: $${a}\nt: a$b$\nu: \"${flag}\"\nv: ${\n"
            "w: '$$${a}'\n${a}: key\nx: &x ['${a}${a}']\ny: *x\n");
    assert_int_equal(yaml_doc_substitute(d, vars, 3, &e), 0);
    const struct node *r = yaml_doc_root(d);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        assert_string_equal(node_get(r, want[i].key)->text, want[i].want);
        assert_int_equal(node_get(r, want[i].key)->quoted, want[i].quoted);
    }
    assert_string_equal(node_get(r, "x")->item[0]->text, "11");
    assert_string_equal(node_get(r, "y")->item[0]->text, "11"); /* once, though met twice */
    yaml_doc_free(d);
}

/* n times what, in a buffer that the caller frees. */
static char *repeat(const char *what, size_t n, size_t *len)
{
    *len = strlen(what) * n;
    char *p = malloc(*len + 1);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        memcpy(p + i * strlen(what), what, strlen(what));
    p[*len] = '\0';
    return p;
}

static void depth_64_is_read_and_65_is_refused(void **state)
{
    (void)state;
    char text[256];
    for (int depth = 64; depth <= 65; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        text[2 * depth] = '\0';
        if (depth == 64)
            yaml_doc_free(doc(text));
        else
            assert_string_equal(failure(text, strlen(text), ERR_LIMIT),
                                "1:65: found more than 64 levels of nesting, expected at most that\n");
    }
}

static void bombs_end_in_limits_and_soon(void **state)
{
    (void)state;
    static const struct {
        const char *head, *unit;
        size_t n;
    } bombs[] = {
        { "", "[", 100000 },       { "", "[ # ]\n", 100000 },
        { "", "['],]',", 100000 }, { "", "{a: ", 100000 },
        { "", "- ", 100000 },      { "", "? ", 100000 },
        { "", "- a\n", 150000 },   { "", "- &a {<<: 1}\n", 2000 },
        { "", "[\"", 100000 },     { "- &a x\n", "- &a x\n", 60000 },
    };
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        size_t n, head = strlen(bombs[i].head);
        char *text = repeat(bombs[i].unit, bombs[i].n, &n), *all = malloc(head + n + 1);
        assert_non_null(all);
        memcpy(all, bombs[i].head, head);
        memcpy(all + head, text, n + 1);
        struct err e = { 0 };
        clock_t before = clock();
        struct yaml_doc *d = yaml_doc_parse(all, head + n, "t.yaml", &e);
        double seconds = (double)(clock() - before) / CLOCKS_PER_SEC;
        assert_null(d);
        assert_true(e.code == ERR_LIMIT || e.code == ERR_INPUT);
        assert_true(e.what[0]);
        if (seconds > 2) /* 0.05 without sanitizers on an idle machine */
            fail_msg("bomb %zu took %g s", i, seconds);
        free(text);
        free(all);
    }
}

static void aliases_are_counted_as_what_they_stand_for(void **state)
{
    (void)state;
    struct buf b = { 0 };
    struct err e = { 0 };
    assert_int_equal(buf_str(&b, "- &a0 [x,x,x,x,x,x,x,x,x,x]\n", &e), 0);
    for (int i = 1; i < 12; i++) {
        assert_int_equal(buf_printf(&b, &e, "- &a%d [", i), 0);
        for (int k = 0; k < 10; k++)
            assert_int_equal(buf_printf(&b, &e, "%s*a%d", k ? "," : "", i - 1), 0);
        assert_int_equal(buf_str(&b, "]\n", &e), 0);
    }
    assert_string_equal(
        failure(b.p, b.len, ERR_LIMIT),
        "5:36: found more than 100000 values once aliases are expanded, expected at most that\n");
    buf_release(&b);
    size_t n;
    char *big = repeat("x", 100000, &n);
    assert_int_equal(buf_printf(&b, &e, "- &a %s\n", big), 0);
    for (int i = 0; i < 50; i++)
        assert_int_equal(buf_str(&b, "- *a\n", &e), 0);
    assert_string_equal(
        failure(b.p, b.len, ERR_LIMIT),
        "42:3: found more than 4194304 bytes of text once aliases are expanded, expected at most that\n");
    buf_release(&b);
    free(big);
}

static void alias_depth_adds_up(void **state)
{
    (void)state;
    char open[33], close[33], text[256];
    memset(open, '[', 32);
    memset(close, ']', 32);
    open[32] = close[32] = '\0';
    snprintf(text, sizeof text, "- &a %s%s\n- %.31s*a%.31s\n", open, close, open, close);
    yaml_doc_free(doc(text)); /* 1 + 31 + 32 */
    snprintf(text, sizeof text, "- &a %s%s\n- %s*a%s\n", open, close, open, close);
    assert_string_equal(failure(text, strlen(text), ERR_LIMIT),
                        "2:35: found more than 64 levels of nesting, expected at most that\n");
}

static void sizes_have_limits(void **state)
{
    (void)state;
    size_t n;
    char *text = repeat("# 89\n", 2 << 18, &n);
    assert_string_equal(failure(text, n, ERR_LIMIT),
                        "t.yaml: found 2621440 bytes, expected at most 1048576\n");
    assert_string_equal(failure(text, 1 << 20, ERR_INPUT), "1:1: the recipe is empty\n");
    free(text);
    struct buf b = { 0 };
    struct err e = { 0 };
    for (int i = 0; i < 1025; i++)
        assert_int_equal(buf_printf(&b, &e, "k%d: 1\n", i), 0);
    assert_string_equal(failure(b.p, b.len, ERR_LIMIT), "1025:1: found more than 1024 keys in a mapping\n");
    b.len -= strlen("k1024: 1\n");
    b.p[b.len] = '\0';
    yaml_doc_free(doc(b.p));
    b.len = 0;
    for (int i = 0; i < 1025; i++)
        assert_int_equal(buf_printf(&b, &e, "- &a%d 1\n", i), 0);
    assert_string_equal(failure(b.p, b.len, ERR_LIMIT),
                        "1025:3: found more than 1024 anchors, expected at most that\n");
    buf_release(&b);
}

static void variables_do_not_grow_without_bound(void **state)
{
    (void)state;
    size_t n;
    char *value = repeat("v", 1 << 16, &n), *uses = repeat("${a}", 100, &n);
    const struct var var = { "a", value };
    struct buf b = { 0 };
    struct err e = { 0 };
    assert_int_equal(buf_printf(&b, &e, "x: '%s'\n", uses), 0);
    struct yaml_doc *d = doc(b.p);
    assert_int_equal(yaml_doc_substitute(d, &var, 1, &e), -1);
    assert_string_equal(error_text(&e), "1:4: a text grows above 4194304 bytes by its variables\n");
    yaml_doc_free(d);
    b.len = 0;
    e = (struct err){ 0 };
    for (int i = 0; i < 100; i++)
        assert_int_equal(buf_str(&b, "- ${a}\n", &e), 0);
    d = doc(b.p);
    assert_int_equal(yaml_doc_substitute(d, &var, 1, &e), -1);
    assert_string_equal(error_text(&e),
                        "65:3: found more than 4194304 bytes of text once variables are expanded\n");
    yaml_doc_free(d);
    buf_release(&b);
    free(value);
    free(uses);
}

static void bytes_that_are_no_text_are_placed(void **state)
{
    (void)state;
    assert_string_equal(failure("a: 1\nb: \xC3(\n", 10, ERR_INPUT),
                        "2:4: byte 0xC3 at offset 8 is not valid UTF-8\n");
    assert_string_equal(failure("a: \xE2\x82\xAC\0\n", 8, ERR_INPUT),
                        "1:5: found the control character 0x00\n");
    assert_string_equal(failure("a: 1\n\x7F\n", 7, ERR_INPUT), "2:1: found the control character 0x7F\n");
    assert_string_equal(failure("a: \"\\0\"\n", 8, ERR_INPUT), "1:4: found a NUL character inside a text\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_count_characters_from_one),
        cmocka_unit_test(scalars_keep_their_text_and_whether_quoted),
        cmocka_unit_test(merges_yield_to_keys_and_to_earlier_merges),
        cmocka_unit_test(variables_stand_for_text_in_values_only),
        cmocka_unit_test(depth_64_is_read_and_65_is_refused),
        cmocka_unit_test(alias_depth_adds_up),
        cmocka_unit_test(bombs_end_in_limits_and_soon),
        cmocka_unit_test(aliases_are_counted_as_what_they_stand_for),
        cmocka_unit_test(sizes_have_limits),
        cmocka_unit_test(variables_do_not_grow_without_bound),
        cmocka_unit_test(bytes_that_are_no_text_are_placed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
