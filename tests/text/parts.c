/* parts.c - every built kind of part, on small tokenizers, against what the `tokenizers` library gave (parts.json, made by
 * make_parts.py). The model's merges cross all boundaries, so a wrong cut shows. */
#include "base/mem.h"
#include "check.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <string.h>

static struct json *fixture;

static int setup(void **state)
{
    (void)state;
    struct err e = { 0 };
    fixture = json_read("tests/text/parts.json", JSON_DEFAULT_LIMIT, &e);
    must(fixture ? 0 : -1, &e);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    json_free(fixture);
    return 0;
}

/* The shared model with the members that a case overrides. */
static void write_model(struct jw *w, const struct json *over)
{
    const struct json *model = json_get(fixture, "model");
    jw_key(w, "model");
    jw_object(w);
    for (void *it = json_first(model); it; it = json_next(model, it)) {
        const struct json *other = json_get(over, json_it_key(it));
        jw_key(w, json_it_key(it));
        jw_json(w, other ? other : json_it_value(it));
    }
    jw_end_object(w);
}

static struct tokenizer *build(const struct json *c)
{
    struct err e = { 0 };
    struct buf b = { 0 };
    struct jw w;
    const struct json *parts = json_get(c, "parts");
    jw_init(&w, &b, -1);
    jw_object(&w);
    for (void *it = json_first(parts); it; it = json_next(parts, it))
        if (strcmp(json_it_key(it), "model") != 0) {
            jw_key(&w, json_it_key(it));
            jw_json(&w, json_it_value(it));
        }
    write_model(&w, json_get(parts, "model"));
    jw_end_object(&w);
    must(jw_done(&w, &e), &e);
    struct tokenizer *t = tokenizer_parse(b.p, b.len, json_str(json_get(c, "name"), NULL), &e);
    must(t ? 0 : -1, &e);
    buf_release(&b);
    return t;
}

static int same_ids(const char *what, const char *text, const struct ids *got, const struct json *want)
{
    bool same = got->n == json_len(want);
    int64_t v;
    for (size_t i = 0; same && i < got->n; i++)
        same = json_int(json_item(want, i), &v) && v == got->v[i];
    if (same)
        return 0;
    printf("%s: '%s': got", what, text);
    for (size_t i = 0; i < got->n; i++)
        printf(" %d", got->v[i]);
    printf(", expected");
    for (size_t i = 0; i < json_len(want) && json_int(json_item(want, i), &v); i++)
        printf(" %lld", (long long)v);
    printf("\n");
    return 1;
}

static int same_text(const char *what, struct tokenizer *t, const struct ids *ids, bool skip,
                     const struct json *want)
{
    struct err e = { 0 };
    struct buf b = { 0 };
    size_t n;
    const char *s = json_str(want, &n);
    if (!want)
        return 0;
    must(tokenizer_decode(t, ids->v, ids->n, skip, &b, &e), &e);
    int differs = b.len != n || (n && memcmp(b.p, s, n) != 0);
    if (differs)
        printf("%s: decoded '%s', expected '%s'\n", what, b.len ? b.p : "", s);
    buf_release(&b);
    return differs;
}

static int one_text(const char *name, struct tokenizer *t, const struct json *text, const struct json *row)
{
    struct err e = { 0 };
    struct ids plain = { 0 }, special = { 0 };
    size_t n;
    const char *s = json_str(text, &n);
    const struct json *ids = json_get(row, "ids"), *with = json_get(row, "special");
    const struct json *skipped = json_get(row, "skipped");
    must(tokenizer_encode(t, s, n, false, &plain, &e), &e);
    must(tokenizer_encode(t, s, n, true, &special, &e), &e);
    int bad = same_ids(name, s, &plain, ids) + same_ids(name, s, &special, with ? with : ids) +
              same_text(name, t, &plain, false, json_get(row, "decoded")) +
              same_text(name, t, &special, true, skipped ? skipped : json_get(row, "decoded"));
    ids_release(&plain);
    ids_release(&special);
    return bad;
}

static void every_part_gives_the_library_ids_and_texts(void **state)
{
    (void)state;
    const struct json *cases = json_get(fixture, "cases"), *texts = json_get(fixture, "texts");
    int bad = 0;
    assert_true(json_len(cases) > 80);
    for (size_t i = 0; i < json_len(cases); i++) {
        const struct json *c = json_item(cases, i);
        struct tokenizer *t = build(c);
        for (size_t k = 0; k < json_len(texts); k++)
            bad += one_text(json_str(json_get(c, "name"), NULL), t, json_item(texts, k),
                            json_item(json_get(c, "expected"), k));
        tokenizer_free(t);
    }
    printf("%zu small tokenizers, %zu texts each, %d differences\n", json_len(cases), json_len(texts), bad);
    assert_int_equal(bad, 0);
}

/* Rows that no case uses would be untested rows. */
static void every_row_of_the_parts_table_is_used_by_a_case(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct buf all = { 0 };
    struct jw w;
    jw_init(&w, &all, -1);
    jw_json(&w, fixture);
    must(jw_done(&w, &e), &e);
    for (const struct tokenizer_part *p = tokenizer_parts; p->name; p++) {
        char word[64];
        snprintf(word, sizeof word, "\"%s\"", p->name);
        if (!strstr(all.p, word))
            fail_msg("no case uses the %s %s", p->table, p->name);
    }
    buf_release(&all);
}

static void an_encode_that_runs_out_of_memory_says_so_and_the_next_one_works(void **state)
{
    (void)state;
    const struct json *cases = json_get(fixture, "cases");
    uint64_t before = mem_use().now, failed = 0;
    for (size_t i = 0; i < json_len(cases); i += 7) {
        struct tokenizer *t = NULL;
        for (uint64_t n = 1;; n++) {
            struct err e = { 0 };
            struct ids ids = { 0 };
            struct buf b = { 0 };
            tokenizer_free(t);
            t = build(json_item(cases, i));
            mem_fail_at(n, 0);
            int rc = tokenizer_encode(t, "a caf\xC3\xA9 <s> 12 it's\xFF x", 22, true, &ids, &e) ||
                     tokenizer_decode(t, ids.v, ids.n, false, &b, &e);
            mem_fail_at(0, 0);
            if (rc)
                assert_int_equal(e.code, ERR_NOMEM);
            failed += rc != 0;
            ids_release(&ids);
            buf_release(&b);
            if (!rc && n > 40)
                break;
        }
        tokenizer_free(t);
    }
    printf("%llu allocations failed\n", (unsigned long long)failed);
    assert_true(failed > 50);
    assert_int_equal(mem_use().now, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_gives_the_library_ids_and_texts),
        cmocka_unit_test(every_row_of_the_parts_table_is_used_by_a_case),
        cmocka_unit_test(an_encode_that_runs_out_of_memory_says_so_and_the_next_one_works),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
