/* schema.c - the JSON Schema of recipes is valid JSON whose references resolve, names every option of every table, takes
 * the recipes that qpipe takes, and refuses what it says it refuses. The validator below knows the words that the schema
 * uses, and fails on any other. */
#include "base/file.h"
#include "base/num.h"
#include "base/regex.h"
#include "help.h"
#include "recipes/quant_config.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct json *schema;

static int up(void **state)
{
    (void)state;
    struct buf text = { 0 };
    struct err e = { 0 };
    struct jw w;
    jw_init(&w, &text, 2);
    recipe_schema(&w);
    if (jw_done(&w, &e) || !(schema = json_parse(text.p, text.len, "schema", &e)))
        print_error("%s\n", e.what);
    buf_release(&text);
    return schema ? 0 : -1;
}

static int down(void **state)
{
    (void)state;
    json_free(schema);
    return 0;
}

/* ---- a validator ---- */

static const struct json *resolve_ref(const char *to)
{
    const struct json *at = schema;
    assert_true(str_starts(to, "#/"));
    for (const char *p = to + 2; *p;) {
        char word[64];
        size_t n = strcspn(p, "/");
        assert_true(n < sizeof word);
        memcpy(word, p, n);
        word[n] = '\0';
        at = json_get(at, word);
        if (!at)
            fail_msg("reference %s leads nowhere", to);
        p += n + (p[n] == '/');
    }
    return at;
}

static bool search(const char *pattern, const char *text)
{
    size_t from, to;
    struct err e = { 0 };
    struct regex *r = regex_new(pattern, strlen(pattern), 0, &e);
    assert_non_null(r);
    int rc = regex_find(r, text, strlen(text), 0, &from, &to, &e);
    regex_free(r);
    assert_true(rc >= 0);
    return rc == 1;
}

static bool is_truth(const struct node *n)
{
    return n->kind == NODE_SCALAR && !n->quoted && (!strcmp(n->text, "true") || !strcmp(n->text, "false"));
}

/* What YAML 1.2's core schema makes of a node. */
static const char *type_of(const struct node *n)
{
    int64_t i;
    double d;
    if (n->kind != NODE_SCALAR)
        return n->kind == NODE_MAP ? "object" : "array";
    if (node_is_null(n))
        return "null";
    if (is_truth(n))
        return "boolean";
    if (!n->quoted && num_int(n->text, &i))
        return "integer";
    return !n->quoted && num_real(n->text, &d) ? "number" : "string";
}

static bool in_enum(const struct json *list, const struct node *n)
{
    for (size_t i = 0; i < json_len(list); i++) {
        bool truth;
        const struct json *j = json_item(list, i);
        if (json_bool(j, &truth)) {
            if (is_truth(n) && truth == (n->text[0] == 't'))
                return true;
        } else if (json_str(j, NULL) && !strcmp(type_of(n), "string") && !strcmp(json_str(j, NULL), n->text))
            return true;
    }
    return false;
}

static bool valid(const struct json *s, const struct node *n);

static bool members(const struct json *s, const struct node *n)
{
    const struct json *props = json_get(s, "properties"), *pats = json_get(s, "patternProperties");
    const struct json *more = json_get(s, "additionalProperties");
    for (size_t i = 0; i < n->n; i++) {
        const char *key = n->key[i]->text;
        const struct json *p = json_get(props, key);
        bool known = p != NULL;
        if (p && !valid(p, n->item[i]))
            return false;
        for (void *it = pats ? json_first(pats) : NULL; it; it = json_next(pats, it))
            if (search(json_it_key(it), key)) {
                known = true;
                if (!valid(json_it_value(it), n->item[i]))
                    return false;
            }
        if (!known && more && !valid(more, n->item[i]))
            return false;
    }
    const struct json *need = json_get(s, "required");
    for (size_t i = 0; i < json_len(need); i++)
        if (!node_get(n, json_str(json_item(need, i), NULL)))
            return false;
    const struct json *dep = json_get(s, "dependentRequired");
    for (void *it = dep ? json_first(dep) : NULL; it; it = json_next(dep, it))
        if (node_get(n, json_it_key(it)) && !node_get(n, json_str(json_item(json_it_value(it), 0), NULL)))
            return false;
    return true;
}

static bool bounds(const struct json *s, const struct node *n)
{
    double lo, hi, v;
    int64_t least, most;
    if (n->kind == NODE_SCALAR && num_real(n->text, &v)) {
        if ((json_num(json_get(s, "minimum"), &lo) && v < lo) ||
            (json_num(json_get(s, "maximum"), &hi) && v > hi))
            return false;
    }
    if (n->kind == NODE_MAP)
        if ((json_int(json_get(s, "minProperties"), &least) && (int64_t)n->n < least) ||
            (json_int(json_get(s, "maxProperties"), &most) && (int64_t)n->n > most))
            return false;
    return n->kind != NODE_LIST || !json_int(json_get(s, "minItems"), &least) || (int64_t)n->n >= least;
}

static bool any_of(const struct json *list, const struct node *n)
{
    for (size_t i = 0; i < json_len(list); i++)
        if (valid(json_item(list, i), n))
            return true;
    return false;
}

static void known_words_only(const struct json *s)
{
    static const char *const words[] = {
        "$schema",
        "title",
        "type",
        "properties",
        "patternProperties",
        "additionalProperties",
        "$defs",
        "$ref",
        "anyOf",
        "enum",
        "items",
        "dependentRequired",
        "const",
        "required",
        "pattern",
        "minimum",
        "maximum",
        "minProperties",
        "maxProperties",
        "minItems",
        "description",
        "default",
    };
    for (void *it = json_first(s); it; it = json_next(s, it)) {
        bool known = false;
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            known = known || !strcmp(words[i], json_it_key(it));
        if (!known)
            fail_msg("the schema uses '%s'", json_it_key(it));
    }
}

static bool valid(const struct json *s, const struct node *n)
{
    bool all;
    if (json_bool(s, &all))
        return all;
    assert_int_equal(json_type(s), JSON_OBJECT);
    known_words_only(s);
    const char *to = json_str(json_get(s, "$ref"), NULL), *want = json_str(json_get(s, "type"), NULL);
    const char *pattern = json_str(json_get(s, "pattern"), NULL), *got = type_of(n);
    if (to && !valid(resolve_ref(to), n))
        return false;
    if (want && strcmp(want, got) && !(!strcmp(want, "number") && !strcmp(got, "integer")))
        return false;
    if (pattern && (n->kind != NODE_SCALAR || !search(pattern, n->text)))
        return false;
    if (json_get(s, "anyOf") && !any_of(json_get(s, "anyOf"), n))
        return false;
    if (json_get(s, "enum") && !in_enum(json_get(s, "enum"), n))
        return false;
    const char *word = json_str(json_get(s, "const"), NULL);
    if (word && (n->kind != NODE_SCALAR || strcmp(word, n->text) != 0))
        return false;
    for (size_t i = 0; json_get(s, "items") && n->kind == NODE_LIST && i < n->n; i++)
        if (!valid(json_get(s, "items"), n->item[i]))
            return false;
    return (n->kind != NODE_MAP || members(s, n)) && bounds(s, n);
}

static bool valid_text(const char *text, size_t n)
{
    struct err e = { 0 };
    struct yaml_doc *d = yaml_doc_parse(text, n, "t.yaml", &e);
    if (!d)
        fail_msg("%s", error_text(&e));
    bool ok = valid(schema, yaml_doc_root(d));
    yaml_doc_free(d);
    return ok;
}

/* ---- promises ---- */

static bool valid_file(const char *dir, const char *name)
{
    char path[512];
    struct buf text = { 0 };
    struct err e = { 0 };
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(file_read(path, 1 << 20, &text, &e), 0);
    bool ok = valid_text(text.p, text.len);
    if (!ok)
        print_error("%s is refused\n", path);
    buf_release(&text);
    return ok;
}

/* Every NAME.yaml of a folder whose name begins with `head` is taken. */
static int refused_of(const char *dir, const char *head, const char *const *but)
{
    struct strs files = { 0 };
    struct err e = { 0 };
    int n = 0, bad = 0;
    assert_int_equal(path_list(dir, &files, &e), 0);
    for (size_t i = 0; i < files.n; i++) {
        bool skip = !str_ends(files.v[i], ".yaml") || !str_starts(files.v[i], head);
        for (const char *const *b = but; *b; b++)
            skip = skip || !strcmp(*b, files.v[i]);
        if (!skip) {
            n++;
            bad += !valid_file(dir, files.v[i]);
        }
    }
    strs_release(&files);
    assert_true(n > 0);
    return bad;
}

static void examples_are_taken(void **state)
{
    (void)state;
    static const char *const but[] = { NULL };
    assert_int_equal(refused_of("examples", "", but), 0);
}

static void recipes_that_parse_are_taken(void **state)
{
    (void)state;
    static const char *const but[] = {
        "ok-dialect-0.7.yaml",       /* an option of that release, gone since */
        "ok-peer.yaml",              /* a number in quotes, which peers take */
        "ok-without-effect.yaml",    /* options that the peer takes and never reads */
        "ok-words-in-capitals.yaml", /* case is ignored for some words */
        NULL,
    };
    assert_int_equal(refused_of("tests/recipes/cases", "ok-", but), 0);
}

static void real_recipes_are_taken(void **state)
{
    (void)state;
    static const char *const but[] = { NULL };
    if (!path_is_dir("../shared/peers/recipes")) {
        print_message("skipped: the peer's recipes (no ../shared)\n");
        skip();
    }
    assert_int_equal(refused_of("../shared/peers/recipes", "", but), 0);
}

static void mistakes_of_shape_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "version: 2\nstages: [gptq]\n",
        "stages: [gptq]\n",
        "version: 1\nstages: []\n",
        "version: 1\nstages: [gptqq]\n",
        "version: 1\nstages: [{gptq: {block_size: 0}}]\n",
        "version: 1\nstages: [{gptq: {block_size: 1.5}}]\n",
        "version: 1\nstages: [{gptq: {blocksize: 128}}]\n",
        "version: 1\nstages: [{gptq: {scheme: W4A16}, verify: }]\n",
        "version: 1\nstages: [{calibrate: {sequential: yes}}]\n",
        "version: 1\nstages: [{calibrate: {shuffle: 1}}]\n",
        "version: 1\ndialect: '1.0'\nstages: [gptq]\n",
        "version: 1\nmath: fast\nstages: [gptq]\n",
        "version: 1\nsead: 1\nstages: [gptq]\n",
        "version: 1\nstages: [{rtn: {targets: [{match: a, maybe: true}]}}]\n",
        "version: 1\nstages: [{rtn: {config_groups: {a: {targets: [b], weights: {num_bits: 9}}}}}]\n",
        "version: 1\nstages: [{rtn: {ignore: [{re: x}]}}]\n",
        "quant_stage: {quant: {}}\n",
        "quant_stage: {quant_modifiers: {gptq: {}}}\n",
        "quant_stage: {quant_modifiers: {GPTQModifier: {damping: auto}}}\n",
        "quant_stage: {quant_modifiers: [{GPTQModifier: , AWQModifier: }]}\n",
        "quant: {quant_modifiers: {GPTQModifier: }}\n",
    };
    int taken = 0;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (valid_text(wrong[i], strlen(wrong[i]))) {
            print_error("taken: %s", wrong[i]);
            taken++;
        }
    assert_int_equal(taken, 0);
}

static void variables_may_stand_for_any_option(void **state)
{
    (void)state;
    static const char text[] =
        "version: 1\nvars: {n: 1, b: 4}\nstages:\n  - calibrate: {samples: '${n}', shuffle: '${n}'}\n"
        "  - gptq: {scheme: 'W${b}A16'}\n";
    assert_true(valid_text(text, strlen(text)));
}

static void all_named(const struct opt *t, const struct json *properties)
{
    for (; t->name; t++) {
        const struct json *p = json_get(properties, t->name);
        if (!p)
            fail_msg("option %s is not in the schema", t->name);
        assert_string_equal(json_str(json_get(p, "description"), NULL), t->doc);
    }
}

static void every_option_of_every_table_is_there(void **state)
{
    (void)state;
    for (const struct stage_spec *const *s = stage_specs; *s; s++) {
        const struct json *p = resolve_ref("#/$defs/stage/properties");
        const struct json *o = json_item(json_get(json_get(p, (*s)->name), "anyOf"), 1);
        assert_non_null(o);
        all_named((*s)->options, json_get(o, "properties"));
        if ((*s)->quantizes)
            all_named(quant_mixin_options, json_get(o, "properties"));
    }
    all_named(quant_args_options, resolve_ref("#/$defs/quant_args/properties"));
    all_named(quant_scheme_options, resolve_ref("#/$defs/quant_scheme/properties"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_are_taken),
        cmocka_unit_test(recipes_that_parse_are_taken),
        cmocka_unit_test(real_recipes_are_taken),
        cmocka_unit_test(mistakes_of_shape_are_refused),
        cmocka_unit_test(variables_may_stand_for_any_option),
        cmocka_unit_test(every_option_of_every_table_is_there),
    };
    return cmocka_run_group_tests(tests, up, down);
}
