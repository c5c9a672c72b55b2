/* opt.c - tests of base/node and base/opt: every type of option, every text that other YAML readers guess about, and
 * what tables say of themselves. */
#include "base/opt.h"
#include "tests/base/check.h"

#include <math.h>
#include <stdlib.h>

struct all {
    char front[8];
    int64_t samples;
    double damp;
    bool sequential;
    int mode;
    char *text, *path;
    int64_t budget;
    struct strs ignore;
    const struct node *tree;
    double old;
    int64_t seed;
    char back[8];
};
#define AT(f) offsetof(struct all, f)
static const char *const modes[] = { "none", "weight", "static", NULL };
static const struct opt table[] = {
    { .name = "samples",
      .type = OPT_INT,
      .at = AT(samples),
      .def = 512,
      .min = 1,
      .max = 100000,
      .doc = "How many.",
      .unit = "samples" },
    { .name = "damp",
      .type = OPT_REAL,
      .at = AT(damp),
      .def = 0.01,
      .min = 0,
      .max = 1,
      .doc = "Damping.",
      .flags = OPT_NULLABLE,
      .null_value = -1 },
    { .name = "sequential", .type = OPT_BOOL, .at = AT(sequential), .def = 1, .doc = "In order." },
    { .name = "mode",
      .type = OPT_ENUM,
      .at = AT(mode),
      .def = 1,
      .words = modes,
      .doc = "Order.",
      .flags = OPT_NULLABLE,
      .null_value = 0 },
    { .name = "text",
      .type = OPT_STR,
      .at = AT(text),
      .doc = "A text.",
      .flags = OPT_NULLABLE,
      .def_str = "start" },
    { .name = "path", .type = OPT_PATH, .at = AT(path), .doc = "A path." },
    { .name = "budget",
      .type = OPT_BYTES,
      .at = AT(budget),
      .def = 0,
      .min = 0,
      .max = 1e18,
      .doc = "Bytes." },
    { .name = "ignore", .type = OPT_STRS, .at = AT(ignore), .doc = "Names." },
    { .name = "tree", .type = OPT_NODE, .at = AT(tree), .doc = "Anything." },
    { .name = "old",
      .type = OPT_REAL,
      .at = AT(old),
      .def = (double)NAN,
      .min = 0,
      .max = 9,
      .doc = "Old.",
      .flags = OPT_PEER_ONLY },
    { .name = "seed",
      .type = OPT_INT,
      .at = AT(seed),
      .def = 0,
      .min = -9e18,
      .max = 9e18,
      .doc = "Seed.",
      .flags = OPT_NOCASE },
    { 0 },
};
static const struct opt_gone gone[] = { { "num_samples", "is called samples" }, { NULL, NULL } };

static struct node scalar(const char *text, bool quoted)
{
    struct node n = { .kind = NODE_SCALAR, .at = { "r.yaml", 5, 12 }, .text = text, .quoted = quoted };
    return n;
}

static int give(struct all *a, const char *name, const char *text, bool quoted, struct err *e)
{
    struct node n = scalar(text, quoted);
    return opt_assign(opt_find(table, name), a, &n, "dir", e);
}

static void defaults_cover_every_field(void **state)
{
    (void)state;
    struct all a, b;
    memset(&a, 0xAA, sizeof a);
    memset(&b, 0x55, sizeof b);
    assert_int_equal(opt_defaults(table, &a, NULL), 0);
    assert_int_equal(opt_defaults(table, &b, NULL), 0);
    for (size_t i = 0; i < sizeof a.front; i++)
        assert_int_equal((unsigned char)a.front[i] + (unsigned char)a.back[i],
                         2 * 0xAA); /* neighbours untouched */
    assert_int_equal(a.samples, 512);
    assert_true(a.damp == 0.01);
    assert_true(a.sequential);
    assert_int_equal(a.mode, 1);
    assert_string_equal(a.text, "start");
    assert_null(a.path);
    assert_null(a.tree);
    assert_int_equal(a.ignore.n, 0);
    assert_true(isnan(a.old));
    /* painted with two colours, the same values: nothing between first and last option was left unset */
    assert_true(a.samples == b.samples && a.damp == b.damp && a.sequential == b.sequential &&
                a.mode == b.mode && a.budget == b.budget && a.seed == b.seed);
    opt_release(table, &a);
    opt_release(table, &b);
    assert_null(a.text);
    SWEEP(opt_defaults(table, &a, &e), opt_release(table, &a));
}

static void good_values(void **state)
{
    (void)state;
    struct all a;
    opt_defaults(table, &a, NULL);
    assert_int_equal(give(&a, "samples", "1", false, NULL), 0);
    assert_int_equal(a.samples, 1);
    assert_int_equal(give(&a, "samples", "1e3", false, NULL), 0);
    assert_int_equal(a.samples, 1000);
    assert_int_equal(give(&a, "seed", "9007199254740993", false, NULL), 0);
    assert_true(a.seed == 9007199254740993); /* every digit of an integer counts */
    assert_int_equal(give(&a, "seed", "-8999999999999999999", false, NULL), 0);
    assert_true(a.seed == -8999999999999999999);
    assert_int_equal(give(&a, "damp", "5e-2", false, NULL), 0);
    assert_true(a.damp == 0.05);
    assert_int_equal(give(&a, "damp", "null", false, NULL), 0);
    assert_true(a.damp == -1);
    assert_int_equal(give(&a, "sequential", "false", false, NULL), 0);
    assert_false(a.sequential);
    assert_int_equal(give(&a, "sequential", "True", false, NULL), 0);
    assert_true(a.sequential);
    assert_int_equal(give(&a, "mode", "static", false, NULL), 0);
    assert_int_equal(a.mode, 2);
    assert_int_equal(give(&a, "mode", "~", false, NULL), 0);
    assert_int_equal(a.mode, 0);
    assert_int_equal(give(&a, "text", "null", true, NULL), 0);
    assert_string_equal(a.text, "null"); /* quoted: a text */
    assert_int_equal(give(&a, "text", "null", false, NULL), 0);
    assert_null(a.text);
    assert_int_equal(give(&a, "path", "x/y", false, NULL), 0);
    assert_string_equal(a.path, "dir/x/y");
    assert_int_equal(give(&a, "path", "/x/y", false, NULL), 0);
    assert_string_equal(a.path, "/x/y");
    assert_int_equal(give(&a, "budget", "2GiB", false, NULL), 0);
    assert_true(a.budget == (int64_t)2 << 30);
    assert_int_equal(give(&a, "ignore", "lm_head", false, NULL), 0);
    assert_int_equal(a.ignore.n, 1);
    opt_release(table, &a);
}

static void bad_values_say_what_was_expected(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *what, *hint;
    } rows[] = {
        { "samples", "0", "samples: found '0', expected an integer in [1, 100000] samples", "" },
        { "samples", "100001", "samples: found '100001', expected an integer in [1, 100000] samples", "" },
        { "samples", "1.5", "samples: found '1.5', expected an integer in [1, 100000] samples", "" },
        { "samples", "0100", "samples: found '0100', expected an integer in [1, 100000] samples",
          "a leading zero means octal to some readers; write the number without it" },
        { "samples", "1_000", "samples: found '1_000', expected an integer in [1, 100000] samples",
          "write the digits without underscores" },
        { "samples", "0x10", "samples: found '0x10', expected an integer in [1, 100000] samples",
          "write the number in decimal" },
        { "samples", "0o17", "samples: found '0o17', expected an integer in [1, 100000] samples",
          "write the number in decimal" },
        { "samples", "2:4", "samples: found '2:4', expected an integer in [1, 100000] samples",
          "a colon means base 60 to some readers; write the number in decimal" },
        { "samples", "eval(2*3)", "samples: found 'eval(2*3)', expected an integer in [1, 100000] samples",
          "eval() went with llm-compressor 0.7; write the value itself, or ${name} with a vars: entry" },
        { "samples", "+5", "samples: found '+5', expected an integer in [1, 100000] samples", "" },
        { "samples", "null", "samples: found null, expected an integer in [1, 100000] samples", "" },
        { "samples", "1e400", "samples: found '1e400', expected an integer in [1, 100000] samples", "" },
        { "samples", "9223372036854775808",
          "samples: found '9223372036854775808', expected an integer in [1, 100000] samples", "" },
        { "seed", "9223372036854775808",
          "seed: found '9223372036854775808', expected an integer in [-9000000000000000000, 9000000000000000000]",
          "" },
        { "seed", "9000000000000000001",
          "seed: found '9000000000000000001', expected an integer in [-9000000000000000000, 9000000000000000000]",
          "" },
        { "damp", ".inf", "damp: found '.inf', expected a number in [0.0, 1.0] or null", "" },
        { "damp", "1.01", "damp: found '1.01', expected a number in [0.0, 1.0] or null", "" },
        { "damp", "-0.01", "damp: found '-0.01', expected a number in [0.0, 1.0] or null", "" },
        { "damp", ".5", "damp: found '.5', expected a number in [0.0, 1.0] or null", "" },
        { "sequential", "yes", "sequential: found 'yes', expected true or false", "write true" },
        { "sequential", "on", "sequential: found 'on', expected true or false", "write true" },
        { "sequential", "1", "sequential: found '1', expected true or false", "write true" },
        { "sequential", "no", "sequential: found 'no', expected true or false", "write false" },
        { "sequential", "off", "sequential: found 'off', expected true or false", "write false" },
        { "sequential", "0", "sequential: found '0', expected true or false", "write false" },
        { "sequential", "maybe", "sequential: found 'maybe', expected true or false", "" },
        { "mode", "wieght", "mode: found 'wieght', expected one of none, weight, static or null",
          "did you mean 'weight'?" },
        { "mode", "Static", "mode: found 'Static', expected one of none, weight, static or null",
          "did you mean 'static'?" },
        { "mode", "xxxxxxx", "mode: found 'xxxxxxx', expected one of none, weight, static or null", "" },
        { "path", "null", "path: found null, expected a path", "" },
        { "budget", "1e3", "budget: found '1e3', expected a size such as 512M or 2GiB", "" },
        { "budget", "-1", "budget: found '-1', expected a size such as 512M or 2GiB", "" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct all a;
        struct err e = { 0 };
        opt_defaults(table, &a, NULL);
        assert_int_equal(give(&a, rows[i].name, rows[i].text, false, &e), -1);
        IS_ERR(e, ERR_INPUT, rows[i].what);
        assert_string_equal(e.hint, rows[i].hint);
        assert_int_equal(e.at.line, 5);
        assert_int_equal(e.at.col, 12);
        assert_int_equal(a.samples, 512); /* nothing was written */
        opt_release(table, &a);
    }
}

static void options_of_the_peer_are_taken_at_their_default_only(void **state)
{
    (void)state;
    static const char *const one[] = { "a", NULL };
    static const struct opt rows[] = {
        { .name = "int",
          .type = OPT_INT,
          .at = AT(samples),
          .def = 3,
          .min = 0,
          .max = 9,
          .flags = OPT_PEER_ONLY },
        { .name = "bool", .type = OPT_BOOL, .at = AT(sequential), .flags = OPT_PEER_ONLY },
        { .name = "text", .type = OPT_STR, .at = AT(text), .flags = OPT_PEER_ONLY | OPT_NULLABLE },
        { .name = "list", .type = OPT_STRS, .at = AT(ignore), .flags = OPT_PEER_ONLY },
        { .name = "node", .type = OPT_NODE, .at = AT(tree), .flags = OPT_PEER_ONLY },
        { .name = "real",
          .type = OPT_REAL,
          .at = AT(old),
          .def = (double)NAN,
          .max = 9,
          .null_value = (double)NAN,
          .flags = OPT_PEER_ONLY | OPT_NULLABLE },
        { .name = "enum", .type = OPT_ENUM, .at = AT(mode), .words = one, .flags = OPT_PEER_ONLY },
        { 0 },
    };
    static const char *const fine[] = { "3", "false", "null", "null", "null", "null", "a" };
    static const char *const not_fine[] = { "4", "true", "x", "x", "x", "1", NULL };
    for (size_t i = 0; i < COUNT(fine); i++) {
        struct all a;
        struct err e = { 0 };
        opt_defaults(rows, &a, NULL);
        struct node n = scalar(fine[i], false);
        if (opt_assign(&rows[i], &a, &n, NULL, &e))
            fail_msg("%s: %s", rows[i].name, e.what);
        if (not_fine[i]) {
            char want[200];
            n = scalar(not_fine[i], false);
            assert_int_equal(opt_assign(&rows[i], &a, &n, NULL, &e), -1);
            snprintf(want, sizeof want,
                     "%s: found '%s', and qpipe knows this option only with its default value", rows[i].name,
                     not_fine[i]);
            IS_ERR(e, ERR_UNBUILT, want);
            assert_string_equal(e.hint, "leave the option out");
        }
        opt_release(rows, &a);
    }
}

/* Maps by hand: what recipes' reader hands over. */
struct pairs {
    struct node map, nodes[16], *key[8], *item[8];
};

static const struct node *map_of(struct pairs *p, size_t n, const char *const kv[][2])
{
    memset(p, 0, sizeof *p);
    for (size_t i = 0; i < n; i++) {
        p->nodes[2 * i] = scalar(kv[i][0], false);
        p->nodes[2 * i + 1] = scalar(kv[i][1], false);
        p->key[i] = &p->nodes[2 * i];
        p->item[i] = &p->nodes[2 * i + 1];
    }
    p->map.kind = NODE_MAP;
    p->map.n = n;
    p->map.key = p->key;
    p->map.item = p->item;
    return &p->map;
}

static void maps_assign_by_name(void **state)
{
    (void)state;
    struct pairs p;
    struct all a;
    bool given[16] = { false };
    opt_defaults(table, &a, NULL);
    static const char *const good[][2] = { { "seed", "7" }, { "mode", "none" } };
    assert_int_equal(opt_assign_map(table, gone, &a, map_of(&p, 2, good), "gptq", NULL, given, NULL), 0);
    assert_int_equal(a.seed, 7);
    assert_true(given[10] && given[3] && !given[0]);
    assert_int_equal(opt_assign_map(table, gone, &a, NULL, "gptq", NULL, NULL, NULL), 0);
    assert_true(node_get(&p.map, "mode") == &p.nodes[3]);
    assert_true(node_key(&p.map, "mode") == &p.nodes[2]);
    assert_null(node_get(&p.map, "none"));
    assert_null(node_get(&p.nodes[0], "mode"));
    static const char *const typo[][2] = { { "sampels", "7" } }, *const old[][2] = { { "num_samples", "7" } },
                             *const far[][2] = { { "zzzzzz", "7" } }, *const bad[][2] = { { "seed", "x" } };
    static const struct {
        const char *const (*kv)[2];
        const char *what, *hint;
    } rows[] = { { typo, "found key 'sampels', expected an option of gptq", "did you mean 'samples'?" },
                 { old, "gptq: option 'num_samples' is called samples", "leave the option out" },
                 { far, "found key 'zzzzzz', expected an option of gptq", "`qpipe help gptq` lists them" } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct err e = { 0 };
        assert_int_equal(opt_assign_map(table, gone, &a, map_of(&p, 1, rows[i].kv), "gptq", NULL, NULL, &e),
                         -1);
        IS_ERR(e, ERR_INPUT, rows[i].what);
        assert_string_equal(e.hint, rows[i].hint);
        assert_int_equal(e.at.col, 12);
    }
    struct err e = { 0 }, kind = { 0 };
    assert_int_equal(opt_assign_map(table, gone, &a, map_of(&p, 1, bad), "gptq", NULL, NULL, &e), -1);
    assert_string_equal(e.trail, "reading the options of gptq");
    struct node text = scalar("x", false);
    assert_int_equal(opt_assign_map(table, gone, &a, &text, "gptq", NULL, NULL, &kind), -1);
    IS_ERR(kind, ERR_INPUT, "gptq: found 'x', expected a mapping of options");
    opt_release(table, &a);
}

static void required_options(void **state)
{
    (void)state;
    static const struct opt rows[] = {
        { .name = "model", .type = OPT_STR, .at = AT(text), .flags = OPT_REQUIRED }, { 0 }
    };
    struct all a;
    struct pairs p;
    struct err e = { 0 }, null = { 0 };
    static const char *const kv[][2] = { { "model", "m" } };
    opt_defaults(rows, &a, NULL);
    assert_int_equal(opt_assign_map(rows, NULL, &a, map_of(&p, 0, kv), "load", NULL, NULL, &e), -1);
    IS_ERR(e, ERR_INPUT, "load: option 'model' is missing");
    assert_int_equal(opt_assign_map(rows, NULL, &a, NULL, "load", NULL, NULL, &null), -1);
    assert_int_equal(opt_assign_map(rows, NULL, &a, map_of(&p, 1, kv), "load", NULL, NULL, NULL), 0);
    opt_release(rows, &a);
}

static void lists(void **state)
{
    (void)state;
    struct all a;
    struct node items[3] = { scalar("a", false), scalar("re:.*b", false), scalar("null", true) },
                *item[3] = { &items[0], &items[1], &items[2] },
                list = { .kind = NODE_LIST, .n = 3, .item = item, .at = { "r", 1, 1 } };
    const struct opt *o = opt_find(table, "ignore");
    opt_defaults(table, &a, NULL);
    assert_int_equal(opt_assign(o, &a, &list, NULL, NULL), 0);
    assert_int_equal(a.ignore.n, 3);
    assert_string_equal(a.ignore.v[2], "null");
    assert_int_equal(opt_assign_text(o, &a, "x,y,,z", NULL), 0);
    assert_int_equal(a.ignore.n, 4);
    assert_int_equal(opt_assign_text(o, &a, "", NULL), 0);
    assert_int_equal(a.ignore.n, 0);
    items[1].quoted = false;
    items[1].text = "";
    struct err null = { 0 }, number = { 0 };
    assert_int_equal(opt_assign(o, &a, &list, NULL, &null), -1);
    IS_ERR(null, ERR_INPUT, "ignore: found null, expected a text or a list of texts");
    assert_int_equal(opt_assign(opt_find(table, "samples"), &a, &list, NULL, &number), -1);
    IS_ERR(number, ERR_INPUT, "samples: found a list, expected an integer in [1, 100000] samples");
    opt_release(table, &a);
    SWEEP(opt_assign_text(o, &a, "x,y", &e) ? (opt_release(table, &a), -1) : 0, opt_release(table, &a));
}

/* Brackets of `text` by the JSON reader: the members of opt_schema and opt_values put into an object. */
static struct json *members(void (*put)(struct jw *))
{
    struct buf b = { 0 };
    struct jw w;
    jw_init(&w, &b, 2);
    jw_object(&w);
    put(&w);
    jw_end_object(&w);
    assert_int_equal(jw_done(&w, NULL), 0);
    struct json *j = json_parse(b.p, b.len, "members", NULL);
    assert_non_null(j);
    buf_release(&b);
    return j;
}

static void put_schema(struct jw *w) { opt_schema(table, w); }
static void put_values(struct jw *w)
{
    struct all a;
    opt_defaults(table, &a, NULL);
    opt_values(table, &a, w);
    opt_release(table, &a);
}

static void schema_and_values_are_json(void **state)
{
    (void)state;
    struct json *s = members(put_schema), *v = members(put_values);
    assert_int_equal(json_len(s), opt_count(table));
    assert_int_equal(json_len(v), opt_count(table) - 1); /* without the node */
    for (const struct opt *o = table; o->name; o++)
        assert_string_equal(json_str(json_get(json_get(s, o->name), "description"), NULL), o->doc);
    int64_t i = 0;
    assert_true(json_int(json_get(json_get(s, "samples"), "maximum"), &i) && i == 100000);
    assert_string_equal(json_str(json_item(json_get(json_get(s, "damp"), "type"), 1), NULL), "null");
    assert_int_equal(json_len(json_get(json_get(s, "mode"), "enum")), 4); /* null too */
    assert_null(json_get(json_get(s, "old"), "default"));
    assert_string_equal(json_str(json_get(v, "mode"), NULL), "weight");
    assert_true(json_int(json_get(v, "samples"), &i) && i == 512);
    json_free(s);
    json_free(v);
}

static void help_has_a_line_per_option(void **state)
{
    (void)state;
    struct buf b = { 0 };
    assert_int_equal(opt_help(table, &b, NULL), 0);
    for (const struct opt *o = table; o->name; o++)
        assert_non_null(strstr(b.p, o->doc));
    assert_non_null(
        strstr(b.p, "samples                      integer    How many. (samples, default 512)\n"));
    assert_non_null(strstr(b.p, "one of none, weight, static\n"));
    buf_release(&b);
    SWEEP(opt_help(table, &b, &e) ? (buf_release(&b), -1) : 0, buf_release(&b));
}

static void what_nodes_are_called(void **state)
{
    (void)state;
    struct node map = { .kind = NODE_MAP }, list = { .kind = NODE_LIST }, plain = scalar("x", false),
                nil = scalar("Null", false), quoted = scalar("", true);
    assert_string_equal(node_what(&map), "a mapping");
    assert_string_equal(node_what(&list), "a list");
    assert_string_equal(node_what(&plain), "'x'");
    assert_string_equal(node_what(&nil), "null");
    assert_string_equal(node_what(NULL), "null");
    assert_string_equal(node_what(&quoted), "''");
    assert_false(node_is_null(&quoted));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_cover_every_field),
        cmocka_unit_test(good_values),
        cmocka_unit_test(bad_values_say_what_was_expected),
        cmocka_unit_test(options_of_the_peer_are_taken_at_their_default_only),
        cmocka_unit_test(maps_assign_by_name),
        cmocka_unit_test(required_options),
        cmocka_unit_test(lists),
        cmocka_unit_test(schema_and_values_are_json),
        cmocka_unit_test(help_has_a_line_per_option),
        cmocka_unit_test(what_nodes_are_called),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
