/* peers.c - real recipes, read as llm-compressor 0.14 reads them (its own parser's results stand beside them in the shared
 * fixtures), and its traps, each with the answer that traps.tsv promises. Skipped where the fixtures are not there. */
#include "base/file.h"
#include "help.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PEERS  "../shared/peers"
#define GOLDEN "../shared/fixtures/gptq_golden/recipes"

static bool have_peers, have_golden;

/* Their value and ours, key by key; numbers by value. */
static void assert_same(const struct json *theirs, const struct json *ours, const char *where)
{
    double a, b;
    if (json_num(theirs, &a)) {
        if (!json_num(ours, &b) || a != b)
            fail_msg("%s: numbers differ", where);
        return;
    }
    if (json_type(theirs) != json_type(ours))
        fail_msg("%s: theirs is %s, ours %s", where, json_type_name(json_type(theirs)),
                 json_type_name(json_type(ours)));
    if (json_type(theirs) == JSON_STRING && strcmp(json_str(theirs, NULL), json_str(ours, NULL)))
        fail_msg("%s: theirs is '%s', ours '%s'", where, json_str(theirs, NULL), json_str(ours, NULL));
    if (json_len(theirs) != json_len(ours))
        fail_msg("%s: theirs has %zu members, ours %zu", where, json_len(theirs), json_len(ours));
    for (size_t i = 0; json_type(theirs) == JSON_ARRAY && i < json_len(theirs); i++)
        assert_same(json_item(theirs, i), json_item(ours, i), where);
    for (void *it = json_type(theirs) == JSON_OBJECT ? json_first(theirs) : NULL; it;
         it = json_next(theirs, it)) {
        char key[200];
        snprintf(key, sizeof key, "%.100s.%.80s", where, json_it_key(it));
        assert_same(json_it_value(it), json_get(ours, json_it_key(it)), key);
    }
}

static struct json *to_json(const struct recipe *r)
{
    struct buf out = { 0 };
    struct jw w;
    struct err e = { 0 };
    jw_init(&w, &out, -1);
    recipe_json(r, &w);
    assert_int_equal(jw_done(&w, &e), 0);
    struct json *j = json_parse(out.p, out.len, "ours", &e);
    assert_non_null(j);
    buf_release(&out);
    return j;
}

/* Config groups by name, without the preset's name, which the peer forgets. */
static void compare_groups(const struct json *theirs, const struct json *ours, const char *where)
{
    static const char *const members[] = { "targets", "format", "weights", "input_activations",
                                           "output_activations" };
    assert_int_equal(json_len(theirs), json_len(ours));
    for (void *it = json_first(theirs); it; it = json_next(theirs, it)) {
        const struct json *group = json_get(ours, json_it_key(it));
        if (!group)
            fail_msg("%s: no group %s", where, json_it_key(it));
        for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
            char key[200];
            snprintf(key, sizeof key, "%s.%s.%s", where, json_it_key(it), members[i]);
            assert_same(json_get(json_it_value(it), members[i]), json_get(group, members[i]), key);
        }
    }
}

/* Options that the recipe names, with the values that the peer read. */
static size_t compare_set(const struct json *set, const struct json *options, const char *where)
{
    size_t n = 0;
    for (void *it = set ? json_first(set) : NULL; it; it = json_next(set, it)) {
        const struct json *o = json_get(options, json_it_key(it));
        double number;
        char key[200];
        snprintf(key, sizeof key, "%s.%s", where, json_it_key(it));
        if (!o || (!json_num(json_it_value(it), &number) && !json_str(json_it_value(it), NULL)))
            continue;
        assert_same(json_it_value(it), o, key);
        n++;
    }
    return n;
}

static size_t compare(const char *name, const struct recipe *r, const struct json *theirs)
{
    struct json *mine = to_json(r);
    const struct json *modifiers = json_get(theirs, "modifiers");
    size_t k = 0, n = 0;
    for (size_t i = 0; i < r->n; i++) {
        const struct recipe_stage *s = &r->stage[i];
        if (s->spec->kind != STAGE_MODIFIER)
            continue;
        const struct json *m = json_item(modifiers, k++), *ours = json_item(json_get(mine, "stages"), i);
        const struct json *resolved = json_get(m, "resolved");
        assert_non_null(m);
        assert_string_equal(json_str(json_get(m, "type"), NULL), s->spec->name);
        assert_string_equal(json_str(json_get(m, "group"), NULL), s->group);
        n += compare_set(json_get(m, "set"), json_get(ours, "options"), name);
        if (json_type(resolved) != JSON_OBJECT || !json_get(resolved, "config_groups"))
            continue;
        compare_groups(json_get(resolved, "config_groups"), json_get(ours, "config_groups"), name);
        assert_same(json_get(resolved, "ignore"), json_get(ours, "ignore"), name);
        assert_same(json_get(resolved, "kv_cache_scheme"), json_get(ours, "kv_cache_scheme"), name);
        n++;
    }
    assert_int_equal(k, json_len(modifiers));
    json_free(mine);
    return n;
}

static void recipes_are_read_as_the_peer_reads_them(void **state)
{
    (void)state;
    struct strs files = { 0 };
    struct err e = { 0 };
    size_t n = 0, values = 0;
    if (!have_peers)
        skip();
    assert_int_equal(path_list(PEERS "/recipes", &files, &e), 0);
    for (size_t i = 0; i < files.n; i++) {
        char path[300];
        struct recipe r;
        if (!str_ends(files.v[i], ".yaml"))
            continue;
        snprintf(path, sizeof path, PEERS "/recipes/%s", files.v[i]);
        if (recipe_read(path, NULL, &r, &e))
            fail_msg("%s: %s", path, error_text(&e));
        memcpy(path + strlen(path) - strlen("yaml"), "json", strlen("json"));
        struct json *theirs = json_read(path, 1 << 20, &e);
        assert_non_null(theirs);
        values += compare(files.v[i], &r, theirs);
        json_free(theirs);
        recipe_release(&r);
        n++;
    }
    strs_release(&files);
    assert_true(n >= 24);
    assert_true(values >= 30);
}

/* "ok", "unbuilt", or the error as LINE:COL: what<TAB>hint. */
static void answer(const char *path, char *out, size_t cap)
{
    struct recipe r;
    struct err e = { 0 };
    int rc = recipe_read(path, NULL, &r, &e);
    snprintf(out, cap, "ok");
    if (!rc) {
        struct err u = { 0 };
        if (recipe_refuse(&r, &u))
            snprintf(out, cap, "unbuilt");
        else
            rc = match_all(&r, NULL, &e);
        recipe_release(&r);
    }
    if (rc)
        snprintf(out, cap, "%d:%d: %s%s%s", e.at.line, e.at.col, e.what, e.hint[0] ? "\t" : "", e.hint);
}

static size_t check_traps(char *table)
{
    size_t n = 0;
    int bad = 0;
    for (char *line = table, *end; *line; line = end) {
        char path[300], got[1200];
        end = line + strcspn(line, "\n");
        if (*end)
            *end++ = '\0';
        if (*line == '#')
            continue;
        char *want = strchr(line, '\t');
        assert_non_null(want);
        *want++ = '\0';
        snprintf(path, sizeof path, PEERS "/traps/%s.yaml", line);
        answer(path, got, sizeof got);
        n++;
        if (strcmp(got, want)) {
            print_error("%s: got\n%s\nwant\n%s\n", line, got, want);
            bad++;
        }
    }
    assert_int_equal(bad, 0);
    return n;
}

static void traps_get_the_answers_of_the_table(void **state)
{
    (void)state;
    struct strs files = { 0 };
    struct buf table = { 0 };
    struct err e = { 0 };
    size_t n = 0;
    if (!have_peers)
        skip();
    assert_int_equal(path_list(PEERS "/traps", &files, &e), 0);
    for (size_t i = 0; i < files.n; i++)
        n += str_ends(files.v[i], ".yaml");
    strs_release(&files);
    assert_int_equal(file_read("tests/recipes/traps.tsv", 1 << 20, &table, &e), 0);
    assert_int_equal(check_traps(table.p), n);
    buf_release(&table);
}

static void golden_recipes_are_read(void **state)
{
    (void)state;
    struct strs files = { 0 };
    struct err e = { 0 };
    size_t n = 0;
    if (!have_golden)
        skip();
    assert_int_equal(path_list(GOLDEN, &files, &e), 0);
    for (size_t i = 0; i < files.n; i++) {
        char path[300];
        struct recipe r;
        snprintf(path, sizeof path, GOLDEN "/%s", files.v[i]);
        e = (struct err){ 0 };
        if (!strcmp(files.v[i],
                    "gptq_w4a16_group.yaml")) { /* the peer refuses it too, after the first layer */
            assert_int_equal(recipe_read(path, NULL, &r, &e), -1);
            assert_string_equal(e.what, "actorder: found 'group', expected static, weight or null");
            continue;
        }
        if (recipe_read(path, NULL, &r, &e) || (recipe_refuse(&r, &e) && e.code != ERR_UNBUILT) ||
            match_all(&r, NULL, &e))
            fail_msg("%s: %s", path, error_text(&e));
        recipe_release(&r);
        n++;
    }
    strs_release(&files);
    assert_true(n >= 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recipes_are_read_as_the_peer_reads_them),
        cmocka_unit_test(traps_get_the_answers_of_the_table),
        cmocka_unit_test(golden_recipes_are_read),
    };
    have_peers = path_is_dir(PEERS "/recipes") && path_is_dir(PEERS "/traps");
    have_golden = path_is_dir(GOLDEN);
    if (!have_peers)
        printf("skipped: the peer's recipes and traps (no ../shared)\n");
    if (!have_golden)
        printf("skipped: the golden recipes (no ../shared)\n");
    if (!have_peers && !have_golden)
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
