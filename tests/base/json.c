/* json.c - tests of base/json: what is refused and where, reads of every type, and a writer whose text reads back. */
#include "base/json.h"
#include "tests/base/check.h"

#include <stdlib.h>
#include <unistd.h>

static struct json *parse(const char *s, struct err *e) { return json_parse(s, strlen(s), "f.json", e); }

static void broken_texts_name_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n; /* 0: strlen */
        int line;
        const char *part;
    } rows[] = {
        { "{\"a\": 1,\n \"a\": 2}", 0, 2, "duplicate object key" },
        { "{\"a\": 1,\n}", 0, 2, "string or '}' expected" },
        { "[1, 2", 0, 1, "']' expected" },
        { "", 0, 1, "unexpected token near end of file" },
        { "[1] x", 0, 1, "end of file expected" },
        { "[01]", 0, 1, "invalid token" },
        { "[NaN]", 0, 1, "invalid token" },
        { "['a']", 0, 1, "invalid token" },
        { "[1e999]", 0, 1, "real number overflow" },
        { "[9223372036854775808]", 0, 1, "too big integer" },
        { "[-9223372036854775809]", 0, 1, "too big negative integer" },
        { "[\"\xFF\"]", 0, 1, "unable to decode byte 0xff" },
        { "[\"\xC0\xAF\"]", 0, 1, "unable to decode byte 0xc0" },
        { "[\"\\ud800\"]", 0, 1, "invalid Unicode" },
        { "[\"\\x41\"]", 0, 1, "invalid escape" },
        { "[\"a\nb\"]", 0, 1, "unexpected newline" },
        { "{\"a\\u0000b\": 1}", 0, 1, "NUL byte in object key" },
        { "[1,\0 2]", 7, 1, "invalid token" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct err e = { 0 };
        uint64_t now = mem_use().now;
        struct json *j = json_parse(rows[i].text, rows[i].n ? rows[i].n : strlen(rows[i].text), "f.json", &e);
        assert_null(j);
        assert_int_equal(e.code, ERR_INPUT);
        if (!strstr(e.what, rows[i].part) || e.at.line != rows[i].line)
            fail_msg("row %zu: line %d, %s", i, e.at.line, e.what);
        assert_string_equal(e.file, "f.json");
        assert_true(!strncmp(e.what, "not valid JSON: ", 16));
        assert_int_equal(mem_use().now, now);
    }
}

static void depth_is_limited(void **state)
{
    (void)state;
    char *deep = mem_alloc(200001, NULL);
    memset(deep, '[', 100000);
    memset(deep + 100000, ']', 100000);
    struct err e = { 0 };
    assert_null(json_parse(deep, 200000, "f.json", &e));
    assert_int_equal(e.code, ERR_LIMIT);
    mem_free(deep);
}

static void plain_reads(void **state)
{
    (void)state;
    struct json *j =
        parse("{\"i\": -7, \"r\": 2.5, \"w\": 3.0, \"big\": 9223372036854775807, \"huge\": 1e300, \"s\": "
              "\"a\\u0000b\", \"t\": true, \"f\": false, \"n\": null, \"l\": [1, [2]], \"o\": {\"x\": 1}}",
              NULL);
    assert_non_null(j);
    int64_t i = 0;
    double d = 0;
    bool b = false;
    size_t n = 0;
    assert_true(json_int(json_get(j, "i"), &i) && i == -7);
    assert_true(json_int(json_get(j, "w"), &i) && i == 3);
    assert_true(json_int(json_get(j, "big"), &i) && i == INT64_MAX);
    assert_false(json_int(json_get(j, "r"), &i));
    assert_false(json_int(json_get(j, "huge"), &i));
    assert_false(json_int(json_get(j, "s"), &i));
    assert_true(json_num(json_get(j, "i"), &d) && d == -7.0);
    assert_true(json_num(json_get(j, "r"), &d) && d == 2.5);
    assert_false(json_num(json_get(j, "t"), &d));
    assert_true(json_bool(json_get(j, "t"), &b) && b);
    assert_true(json_bool(json_get(j, "f"), &b) && !b);
    assert_false(json_bool(json_get(j, "i"), &b));
    assert_memory_equal(json_str(json_get(j, "s"), &n), "a\0b", 4);
    assert_int_equal(n, 3);
    assert_null(json_str(json_get(j, "i"), &n));
    assert_null(json_get(j, "absent"));
    assert_null(json_get(json_get(j, "i"), "x"));
    assert_int_equal(json_len(json_get(j, "l")), 2);
    assert_int_equal(json_len(j), 11);
    assert_int_equal(json_len(json_get(j, "s")), 0);
    assert_null(json_item(json_get(j, "l"), 2));
    assert_int_equal(json_type(json_get(j, "n")), JSON_NULL);
    assert_int_equal(json_type(NULL), JSON_NULL);
    static const char *const keys[] = { "i", "r", "w", "big", "huge", "s", "t", "f", "n", "l", "o" };
    for (void *it = json_first(j); it; it = json_next(j, it), n++)
        assert_string_equal(json_it_key(it), keys[n - 3]);
    assert_int_equal(n - 3, COUNT(keys));
    json_free(j);
    json_free(NULL);
}

static void wanted_members_say_what_was_found(void **state)
{
    (void)state;
    struct json *j = parse("{\"a\": \"x\", \"b\": 70000, \"c\": 5, \"d\": null}", NULL);
    static const struct {
        const char *key, *what; /* NULL: fine */
    } ints[] = { { "a", "f.json: key 'a': found a string, expected an integer in [1, 65536]" },
                 { "b", "f.json: key 'b': found 70000, expected an integer in [1, 65536]" },
                 { "c", NULL },
                 { "d", "f.json: key 'd': found null, expected an integer in [1, 65536]" },
                 { "e", "f.json: key 'e' is missing, expected an integer in [1, 65536]" } };
    for (size_t i = 0; i < COUNT(ints); i++) {
        struct err e = { 0 };
        int64_t v = 0;
        assert_int_equal(json_want_int(j, "f.json", ints[i].key, 1, 65536, &v, &e), ints[i].what ? -1 : 0);
        if (ints[i].what)
            IS_ERR(e, ERR_INPUT, ints[i].what);
        else
            assert_int_equal(v, 5);
    }
    const char *s = NULL;
    struct err e = { 0 }, f = { 0 };
    assert_int_equal(json_want_str(j, "f.json", "a", &s, &e), 0);
    assert_string_equal(s, "x");
    assert_int_equal(json_want_str(j, "f.json", "c", &s, &e), -1);
    IS_ERR(e, ERR_INPUT, "f.json: key 'c': found an integer, expected a string");
    assert_int_equal(json_want_str(j, "f.json", "z", &s, &f), -1);
    IS_ERR(f, ERR_INPUT, "f.json: key 'z': found nothing, expected a string");
    json_free(j);
}

static void writer_escapes(void **state)
{
    (void)state;
    struct buf b = { 0 };
    struct jw w;
    jw_init(&w, &b, -1);
    jw_array(&w);
    jw_str(&w, "\"\\/\b\f\n\r\t\x01\x1f\x7f");
    jw_str(&w, "caf\xC3\xA9 \xF0\x9F\x98\x80");
    jw_str(&w, "bad \xFF\xC3( \xED\xA0\x80");
    jw_strn(&w, "a\0b", 3);
    jw_str(&w, NULL);
    jw_end_array(&w);
    assert_int_equal(jw_done(&w, NULL), 0);
    assert_string_equal(
        b.p, "[\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\", \"caf\xC3\xA9 \xF0\x9F\x98\x80\", "
             "\"bad \xEF\xBF\xBD\xEF\xBF\xBD( \xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\", \"a\\u0000b\", null]");
    buf_release(&b);
}

static void writer_layout(void **state)
{
    (void)state;
    struct buf b = { 0 };
    struct jw w;
    jw_init(&w, &b, 2);
    jw_object(&w);
    jw_kint(&w, "b", INT64_MIN);
    jw_kreal(&w, "a", 0.1);
    jw_kbool(&w, "c", true);
    jw_key(&w, "f");
    jw_real_f(&w, 0.1F);
    jw_key(&w, "e");
    jw_array(&w);
    jw_end_array(&w);
    jw_key(&w, "o");
    jw_object(&w);
    jw_kstr(&w, "x", "y");
    jw_end_object(&w);
    jw_key(&w, "l");
    jw_array(&w);
    jw_int(&w, 1);
    jw_null(&w);
    jw_end_array(&w);
    jw_end_object(&w);
    assert_int_equal(jw_done(&w, NULL), 0);
    assert_string_equal(
        b.p, "{\n  \"b\": -9223372036854775808,\n  \"a\": 0.1,\n  \"c\": true,\n  \"f\": 0.1,\n"
             "  \"e\": [],\n  \"o\": {\n    \"x\": \"y\"\n  },\n  \"l\": [\n    1,\n    null\n  ]\n}\n");
    buf_release(&b);
}

/* A random tree, written; the text is then parsed and written again: the same bytes. */
static void grow(struct jw *w, uint64_t *s, int depth)
{
    uint64_t r = next_bits(s), bits = next_bits(s);
    double d;
    char text[8];
    switch (r % (depth > 5 ? 5 : 7)) {
    case 0: jw_null(w); break;
    case 1: jw_bool(w, bits & 1); break;
    case 2: jw_int(w, (int64_t)bits); break;
    case 3:
        memcpy(&d, &bits, sizeof d);
        jw_real(w, d);
        break;
    case 4:
        memcpy(text, &bits, 8);
        jw_strn(w, text, 8);
        break;
    case 5:
        jw_array(w);
        for (uint64_t i = 0; i < bits % 6; i++)
            grow(w, s, depth + 1);
        jw_end_array(w);
        break;
    default:
        jw_object(w);
        for (uint64_t i = 0; i < bits % 6; i++) {
            snprintf(text, sizeof text, "k%d", (int)i);
            jw_key(w, text);
            grow(w, s, depth + 1);
        }
        jw_end_object(w);
    }
}

static void random_trees_read_back_as_written(void **state)
{
    (void)state;
    uint64_t s = 3;
    for (int round = 0; round < 3000; round++) {
        struct buf a = { 0 }, b = { 0 };
        struct jw w;
        jw_init(&w, &a, round % 4 - 1);
        grow(&w, &s, 0);
        assert_int_equal(jw_done(&w, NULL), 0);
        struct err e = { 0 };
        struct json *j = json_parse(a.p, a.len, "tree", &e);
        if (!j)
            fail_msg("%s in %s", e.what, a.p);
        jw_init(&w, &b, round % 4 - 1);
        jw_json(&w, j);
        assert_int_equal(jw_done(&w, NULL), 0);
        assert_string_equal(a.p, b.p);
        json_free(j);
        buf_release(&a);
        buf_release(&b);
    }
}

static int parse_once(struct err *e)
{
    struct json *j =
        parse("{\"a\": [1, 2.5, \"x\", {\"b\": null}], \"c\": \"some text that is a little longer\"}", e);
    json_free(j);
    return j ? 0 : -1;
}

static int write_once(struct err *e)
{
    struct buf b = { 0 };
    struct jw w;
    jw_init(&w, &b, 2);
    jw_array(&w);
    for (int i = 0; i < 200; i++)
        jw_int(&w, i);
    jw_end_array(&w);
    int rc = jw_done(&w, e);
    buf_release(&b);
    return rc;
}

static void allocation_failures(void **state)
{
    (void)state;
    SWEEP(parse_once(&e), (void)0);
    SWEEP(write_once(&e), (void)0);
}

static void reading_a_file_keeps_its_name(void **state)
{
    (void)state;
    char path[] = "/tmp/qpipe-test-json-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "{\n  \"a\" 1}", 10), 10);
    close(fd);
    struct err e = { 0 }, limit = { 0 };
    assert_null(json_read(path, 100, &e));
    assert_int_equal(e.at.line, 2);
    assert_string_equal(e.file, path);
    assert_null(json_read(path, 5, &limit));
    assert_int_equal(limit.code, ERR_LIMIT);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_texts_name_line_and_column),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(plain_reads),
        cmocka_unit_test(wanted_members_say_what_was_found),
        cmocka_unit_test(writer_escapes),
        cmocka_unit_test(writer_layout),
        cmocka_unit_test(random_trees_read_back_as_written),
        cmocka_unit_test(allocation_failures),
        cmocka_unit_test(reading_a_file_keeps_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
