/* datasets.c - files to token sequences: every format, plain, compressed and in archives; what is refused and how it is said;
 * order, packing, counts and hashes; overlap. */
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "check.h"
#include "io/safetensors.h"
#include "text/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One id per letter a..j; a space is id 10. Special tokens: 11 in front. */
static struct tokenizer *letters(void)
{
    struct err e = { 0 };
    static const char json[] =
        "{\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"d\":3,\"e\":4,\"f\":5,\"g\":6,"
        "\"h\":7,\"i\":8,\"j\":9,\" \":10}},\"added_tokens\":[{\"id\":11,\"content\":\"<s>\",\"special\":true}],"
        "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}},"
        "{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"<s>\":{\"ids\":[11]}}}}";
    struct tokenizer *t = tokenizer_parse(json, sizeof json - 1, "letters", &e);
    must(t ? 0 : -1, &e);
    return t;
}

/* The sequences as text: "0,1|2": ids by commas, sequences by bars. */
static const char *shown(const struct dataset *d)
{
    static char out[4000];
    size_t n = 0;
    out[0] = 0;
    for (int64_t i = 0; i < d->n; i++)
        for (int64_t k = 0; k < d->len[i]; k++)
            n += (size_t)snprintf(out + n, sizeof out - n, "%s%d", k ? "," : i ? "|" : "", d->seq[i][k]);
    return out;
}

static void load(const char *path, struct dataset_options o, struct dataset *d)
{
    struct err e = { 0 };
    struct tokenizer *t = letters();
    o.path = path;
    must(dataset_load(&o, t, 12, d, &e), &e);
    tokenizer_free(t);
}

static void expect(const char *path, struct dataset_options o, const char *want)
{
    struct dataset d;
    load(path, o, &d);
    if (strcmp(shown(&d), want) != 0)
        printf("%s\n", path);
    assert_string_equal(shown(&d), want);
    dataset_release(&d);
}

static const char *text_file(const char *name, const char *text)
{
    return temp_file(name, text, strlen(text));
}

static void formats_give_records_in_order(void **state)
{
    (void)state;
    static const struct {
        const char *name, *content, *field, *want, *format;
        int64_t records, empty;
    } cases[] = {
        { "one.txt", "abc", NULL, "0,1,2", "text", 1, 0 },
        { "feeds.txt", "ab\fcd\f\fe\f", NULL, "0,1|2,3|4", "text", 4, 1 },
        { "l.jsonl", "{\"text\":\"ab\"}\n\n \r\n{\"x\":1,\"text\":\"c\"}\r\n{\"text\":\"\"}", NULL, "0,1|2",
          "jsonl", 3, 1 },
        { "f.jsonl", "{\"body\":\"ab\"}\n", "body", "0,1", "jsonl", 1, 0 },
        { "strings.json", "[\"ab\",\"c\"]", NULL, "0,1|2", "json", 2, 0 },
        { "objects.json", "[{\"text\":\"ab\"},{\"text\":\"c\"}]", "text", "0,1|2", "json", 2, 0 },
        { "inside.json", "{\"rows\":[{\"text\":\"ab\"}]}", NULL, "0,1", "json", 1, 0 },
        { "ids.json", "[[5,6],[],[7]]", NULL, "5,6|7", "ids-json", 3, 1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dataset d;
        const char *path = text_file(cases[i].name, cases[i].content);
        load(path, (struct dataset_options){ .field = cases[i].field }, &d);
        assert_string_equal(shown(&d), cases[i].want);
        assert_string_equal(d.format, cases[i].format);
        assert_int_equal(d.records, cases[i].records);
        assert_int_equal(d.skipped_empty, cases[i].empty);
        assert_int_equal(d.from_ids, !strncmp(cases[i].format, "ids", 3));
        char want[HASH_HEX];
        struct err e = { 0 };
        must(hash_bytes(cases[i].content, strlen(cases[i].content), want, &e), &e);
        assert_string_equal(d.source_sha256, want);
        dataset_release(&d);
    }
}

static const char *tensor_file(const char *name, const char *const *tensors, enum dtype t, const void *rows,
                               size_t bytes)
{
    struct err e = { 0 };
    static char path[300];
    char sha[65];
    const int64_t dim[] = { 2, 3 };
    snprintf(path, sizeof path, "%s", temp_file(name, "", 0));
    remove(path);
    struct st_writer *w = st_writer_new(&e);
    must(w ? 0 : -1, &e);
    for (; *tensors; tensors++)
        must(st_writer_add(w, *tensors, t, 2, dim, &e), &e);
    must(st_writer_begin(w, path, &e), &e);
    while (st_writer_next(w))
        must(st_writer_put(w, rows, bytes, &e), &e);
    must(st_writer_finish(w, sha, &e), &e);
    return path;
}

static void ids_come_from_the_right_tensor(void **state)
{
    (void)state;
    static const int64_t wide[] = { 1, 2, 3, 4, 5, 6 };
    static const uint8_t narrow[] = { 9, 8, 7, 6, 5, 4 };
    static const char *const one[] = { "anything", NULL }, *const named[] = { "other", "input_ids", NULL },
                             *const two[] = { "p", "q", NULL };
    expect(tensor_file("a.safetensors", one, DT_I64, wide, sizeof wide), (struct dataset_options){ 0 },
           "1,2,3|4,5,6");
    expect(tensor_file("b.safetensors", named, DT_U8, narrow, sizeof narrow), (struct dataset_options){ 0 },
           "9,8,7|6,5,4");
    const char *path = tensor_file("c.safetensors", two, DT_I64, wide, sizeof wide);
    expect(path, (struct dataset_options){ .field = "q" }, "1,2,3|4,5,6");
    struct err e = { 0 };
    struct dataset d;
    char what[400];
    struct dataset_options o = { .path = path };
    assert_int_equal(dataset_load(&o, NULL, 12, &d, &e), -1);
    snprintf(what, sizeof what, "%s: found 2 integer matrices and none called calib_input_ids or input_ids",
             path);
    expect_error(&e, ERR_INPUT, what);
    o.field = "r";
    assert_int_equal(dataset_load(&o, NULL, 12, &d, &e), -1);
    snprintf(what, sizeof what, "%s: no tensor 'r' among 2", path);
    expect_error(&e, ERR_INPUT, what);
}

static void run_in(const char *path, const char *command)
{
    struct buf b = { 0 };
    char line[600], folder[300];
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = 0;
    snprintf(line, sizeof line, "cd %s && %s", folder, command);
    run_command(line, &b);
    buf_release(&b);
}

static void compressed_files_and_archives_hold_the_same_records(void **state)
{
    (void)state;
    const char *path = text_file("x.txt", "ab\fc"), *other = text_file("y.jsonl", "{\"text\":\"de\"}\n");
    char at[300];
    static const struct {
        const char *command, *name, *want;
    } cases[] = {
        { "gzip -kf x.txt", "x.txt.gz", "0,1|2" },
        { "xz -kf y.jsonl", "y.jsonl.xz", "3,4" },
        { "tar -cf both.tar x.txt y.jsonl", "both.tar", "0,1|2|3,4" },
        { "tar -czf both.tar.gz y.jsonl x.txt", "both.tar.gz", "3,4|0,1|2" },
        { "python3 -c 'import zipfile; z = zipfile.ZipFile(\"both.zip\", \"w\", 8); z.write(\"x.txt\"); z.write(\"y.jsonl\")'",
          "both.zip", "0,1|2|3,4" },
    };
    (void)other;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_in(path, cases[i].command);
        snprintf(at, sizeof at, "%.*s%s", (int)(strlen(path) - 5), path, cases[i].name);
        expect(at, (struct dataset_options){ 0 }, cases[i].want);
    }
    run_in(path, "cp x.txt z.bin && tar -cf odd.tar x.txt z.bin");
    snprintf(at, sizeof at, "%.*sodd.tar", (int)(strlen(path) - 5), path);
    struct err e = { 0 };
    struct dataset d;
    char what[600];
    struct tokenizer *t = letters();
    assert_int_equal(dataset_load(&(struct dataset_options){ .path = at }, t, 12, &d, &e), -1);
    snprintf(
        what, sizeof what,
        "%s: entry 'z.bin': no data format has this ending, expected .txt, .jsonl, .json or .safetensors",
        at);
    expect_error(&e, ERR_INPUT, what);
    tokenizer_free(t);
}

/* what: '@' stands for the path. */
static void bad_records_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *name, *content;
        struct dataset_options o;
        const char *what;
        int line;
    } cases[] = {
        { "a.jsonl",
          "{\"text\":\"a\"}\n{\"txt\":\"b\",\"id\":1}\n",
          { 0 },
          "@: line 2: no field 'text', found 'txt', 'id'",
          0 },
        { "b.jsonl",
          "{\"text\":\"a\"}\n\n{\"text\":",
          { 0 },
          "not valid JSON: unexpected token near end of file",
          3 },
        { "c.jsonl", "[1]\n", { 0 }, "@: line 1: found a list, expected an object", 0 },
        { "d.jsonl",
          "{\"text\":7}\n",
          { 0 },
          "@: line 1: field 'text': found an integer, expected a string",
          0 },
        { "e.json",
          "{\"a\":[],\"b\":[]}",
          { 0 },
          "@: found an object with 2 members, expected a list, or an object with one list in it",
          0 },
        { "f.json", "[\"a\",[1]]", { 0 }, "@: record 2 holds token ids, the records before it hold text", 0 },
        { "g.json",
          "[[1],[2,\"x\"]]",
          { 0 },
          "@: record 2: item 1: found a string, expected an integer id",
          0 },
        { "h.json", "[[1],[-2]]", { 0 }, "@: record 2: item 0: found id -2, expected one in [0, 2^31)", 0 },
        { "i.json", "[[1],[3,12]]", { 0 }, "@: record 2: token 1 has id 12, expected one in [0, 12)", 0 },
        { "j.json",
          "[true]",
          { 0 },
          "@: record 1: found true, expected an object, a string or a list of ids",
          0 },
        { "k.txt", "", { 0 }, "@: no sequence: of 0 records 0 are empty, 0 shorter than min_length 0", 0 },
        { "l.txt",
          "ab\fa\f\f",
          { .min_length = 3 },
          "@: no sequence: of 3 records 1 are empty, 2 shorter than min_length 3",
          0 },
        { "m.txt",
          "ab",
          { .pack = PACK_CONCATENATE, .sequence_length = 3 },
          "@: no sequence of 3 tokens: 1 records, 0 of them empty, hold 2 tokens",
          0 },
        { "n.txt",
          "ab",
          { .pack = PACK_CONCATENATE },
          "packing by concatenation needs a sequence_length, found 0",
          0 },
        { "o.txt",
          "ab",
          { .sequence_length = 2, .min_length = 3 },
          "min_length 3 is above sequence_length 2: no sequence could be that long",
          0 },
        { "p.txt",
          "ab",
          { .samples = -1 },
          "samples, sequence_length and min_length: found a negative number, expected 0 or more",
          0 },
        { "q.csv",
          "ab",
          { 0 },
          "@: no data format has this ending, expected .txt, .jsonl, .json or .safetensors",
          0 },
    };
    struct tokenizer *t = letters();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = { 0 };
        struct dataset d;
        struct dataset_options o = cases[i].o;
        char what[600];
        o.path = text_file(cases[i].name, cases[i].content);
        bool at = cases[i].what[0] == '@';
        snprintf(what, sizeof what, "%s%s", at ? o.path : "", cases[i].what + at);
        assert_int_equal(dataset_load(&o, t, 12, &d, &e), -1);
        assert_int_equal(e.at.line, cases[i].line);
        expect_error(&e, ERR_INPUT, what);
    }
    struct err e = { 0 };
    struct dataset d;
    char what[600];
    const char *path = text_file("r.txt", "ab");
    assert_int_equal(dataset_load(&(struct dataset_options){ .path = path }, NULL, 12, &d, &e), -1);
    snprintf(what, sizeof what, "%s holds text, and there is no tokenizer to read it with", path);
    expect_error(&e, ERR_INPUT, what);
    tokenizer_free(t);
}

static void cutting_and_joining_count_what_they_leave_out(void **state)
{
    (void)state;
    const char *path = text_file("p.txt", "abcde\ff\fghi\f\fj");
    struct dataset d;
    load(path, (struct dataset_options){ .sequence_length = 3, .min_length = 2 }, &d);
    assert_string_equal(shown(&d), "0,1,2|6,7,8");
    assert_int_equal(d.cut, 1);
    assert_int_equal(d.skipped_short, 2);
    assert_int_equal(d.skipped_empty, 1);
    assert_int_equal(d.records, 5);
    assert_int_equal(d.tokens, 6);
    dataset_release(&d);
    load(path,
         (struct dataset_options){ .sequence_length = 3, .min_length = 2, .samples = 2, .special = true },
         &d);
    assert_string_equal(shown(&d), "11,0,1|11,5"); /* samples count what is kept */
    assert_int_equal(d.cut, 1);
    dataset_release(&d);
    load(path, (struct dataset_options){ .sequence_length = 4, .pack = PACK_CONCATENATE }, &d);
    assert_string_equal(shown(&d), "0,1,2,3|4,5,6,7");
    assert_int_equal(d.cut, 2); /* tokens behind the last full block */
    dataset_release(&d);
    load(path,
         (struct dataset_options){
             .sequence_length = 4, .pack = PACK_CONCATENATE, .special = true, .samples = 2 },
         &d);
    assert_string_equal(shown(&d), "11,0,1,2|3,4,11,5");
    dataset_release(&d);
    load(path, (struct dataset_options){ .samples = 99 },
         &d); /* fewer than asked for is allowed, and to be seen */
    assert_int_equal(d.n, 4);
    dataset_release(&d);
}

static void the_hash_of_the_tokens_is_of_lengths_and_ids(void **state)
{
    (void)state;
    static const unsigned char bytes[] = { 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0,
                                           0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0 };
    struct err e = { 0 };
    struct dataset d;
    char want[HASH_HEX];
    load(text_file("h.txt", "ab\fc"), (struct dataset_options){ 0 }, &d);
    must(hash_bytes(bytes, sizeof bytes, want, &e), &e);
    assert_string_equal(d.tokens_sha256, want);
    dataset_release(&d);
}

static void shuffling_is_the_permutation_of_the_seed(void **state)
{
    (void)state;
    const char *path = text_file("s.txt", "a\fb\fc\fd\fe\ff\fg\fh\fi\fj");
    uint64_t order[10];
    char want[100] = "";
    for (uint64_t seed = 0; seed < 3; seed++) {
        rng_permutation(seed, 1, 10, order);
        for (size_t i = 0, n = 0; i < 10; i++)
            n += (size_t)snprintf(want + n, sizeof want - n, "%s%d", i ? "|" : "", (int)order[i]);
        expect(path, (struct dataset_options){ .shuffle = true, .seed = seed }, want);
    }
    expect(path, (struct dataset_options){ .shuffle = true, .seed = 42 }, "1|0|8|5|4|6|2|7|3|9");
    expect(path, (struct dataset_options){ .shuffle = false, .seed = 42 }, "0|1|2|3|4|5|6|7|8|9");
}

/* Every start in both, token by token. */
static bool overlap_by_force(const struct dataset *a, const struct dataset *b, int64_t w, int64_t *at)
{
    for (*at = 0; *at < b->n; ++*at)
        for (int64_t k = 0; k + w <= b->len[*at]; k++)
            for (int64_t i = 0; i < a->n; i++)
                for (int64_t j = 0; j + w <= a->len[i]; j++)
                    if (!memcmp(a->seq[i] + j, b->seq[*at] + k, (size_t)w * sizeof(int32_t)))
                        return true;
    *at = -1;
    return false;
}

static void overlap_is_found_exactly_where_it_is(void **state)
{
    (void)state;
    int hits = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        char text[2][200];
        struct dataset d[2];
        for (int k = 0; k < 2; k++) {
            for (size_t i = 0; i < 120; i++) {
                uint64_t r = rng_below(seed, (uint64_t)k, i, 40);
                text[k][i] = r == 0 && i ? '\f' : (char)('a' + r % 4);
            }
            load(temp_file(k ? "o1.txt" : "o0.txt", text[k], 120), (struct dataset_options){ 0 }, &d[k]);
        }
        for (int64_t w = 1; w < 12; w++) {
            struct err e = { 0 };
            bool found, want;
            int64_t at, want_at;
            want = overlap_by_force(&d[0], &d[1], w, &want_at);
            must(dataset_overlap(&d[0], &d[1], w, &found, &at, &e), &e);
            assert_int_equal(found, want);
            assert_int_equal(at, want_at);
            hits += found;
        }
        dataset_release(&d[0]);
        dataset_release(&d[1]);
    }
    assert_true(hits > 100 && hits < 600);
    struct err e = { 0 };
    struct dataset none = { 0 };
    bool found;
    int64_t at;
    assert_int_equal(dataset_overlap(&none, &none, 0, &found, &at, &e), -1);
    expect_error(&e, ERR_INPUT, "overlap: found a window of 0 tokens, expected at least 1");
    must(dataset_overlap(&none, &none, 5, &found, &at, &e), &e);
    assert_false(found);
}

static int note(void *arg, const char *p, size_t n, struct err *e)
{
    struct buf *b = arg;
    return buf_add(b, p, n, e) || buf_add(b, "|", 1, e) ? -1 : 0;
}

static void records_are_lines_of_a_text_file(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct buf b = { 0 };
    must(dataset_records(text_file("r.txt", "ab\n\ncd\fe\nf"), NULL, note, &b, &e), &e);
    assert_string_equal(b.p, "ab||cd\fe|f|");
    b.len = 0;
    must(dataset_records(text_file("r.jsonl", "{\"q\":\"x\"}\n{\"q\":\"y\"}\n"), "q", note, &b, &e), &e);
    assert_string_equal(b.p, "x|y|");
    const char *path = text_file("r.json", "[[1]]");
    char what[300];
    assert_int_equal(dataset_records(path, NULL, note, &b, &e), -1);
    snprintf(what, sizeof what, "%s holds token ids, expected text", path);
    expect_error(&e, ERR_INPUT, what);
    buf_release(&b);
}

static void running_out_of_memory_or_files_says_so(void **state)
{
    (void)state;
    static const char *const contents[] = { "ab\fcd\fabc", "ignored" };
    struct tokenizer *t = letters();
    const char *path = text_file("m.txt", contents[0]);
    struct dataset_options o = {
        .path = path, .shuffle = true, .sequence_length = 2, .pack = PACK_CONCATENATE
    };
    uint64_t failed = 0;
    for (uint64_t n = 1;; n++) {
        struct err e = { 0 };
        struct dataset d = { 0 };
        uint64_t before = mem_use().now;
        mem_fail_at(n, 0);
        int rc = dataset_load(&o, t, 12, &d, &e);
        uint64_t done = mem_fail_at(0, 0);
        if (rc)
            assert_int_equal(e.code, ERR_NOMEM);
        failed += rc != 0;
        dataset_release(&d);
        if (n > 200)
            assert_int_equal(mem_use().now, before);
        if (done < n)
            break;
    }
    printf("%llu allocations failed\n", (unsigned long long)failed);
    assert_true(failed > 5);
    struct err e = { 0 };
    struct dataset d;
    o.path = "/nonexistent.txt";
    assert_int_equal(dataset_load(&o, t, 12, &d, &e), -1);
    assert_int_equal(e.code, ERR_IO);
    tokenizer_free(t);
}

static void calibration_and_held_out_text_of_debdoc_do_not_overlap(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct dataset calib = { 0 }, held = { 0 };
    bool found = true;
    int64_t at;
    if (!have_shared())
        skip();
    struct tokenizer *t = tokenizer_open(SHARED "models/debdoc", &e);
    must(t ? 0 : -1, &e);
    struct dataset_options o = { .path = SHARED "models/debdoc/calib.jsonl", .special = true };
    must(dataset_load(&o, t, 4096, &calib, &e), &e);
    o.path = SHARED "models/debdoc/heldout.txt";
    must(dataset_load(&o, t, 4096, &held, &e), &e);
    assert_int_equal(calib.n, 512);
    assert_int_equal(held.n, 38);
    must(dataset_overlap(&calib, &held, 256, &found, &at, &e), &e);
    assert_false(found);
    must(dataset_overlap(&held, &held, 256, &found, &at, &e), &e);
    assert_true(found);
    dataset_release(&calib);
    dataset_release(&held);
    tokenizer_free(t);
}

static int clean(void **state)
{
    (void)state;
    temp_remove();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_give_records_in_order),
        cmocka_unit_test(ids_come_from_the_right_tensor),
        cmocka_unit_test(compressed_files_and_archives_hold_the_same_records),
        cmocka_unit_test(bad_records_are_named),
        cmocka_unit_test(cutting_and_joining_count_what_they_leave_out),
        cmocka_unit_test(the_hash_of_the_tokens_is_of_lengths_and_ids),
        cmocka_unit_test(shuffling_is_the_permutation_of_the_seed),
        cmocka_unit_test(overlap_is_found_exactly_where_it_is),
        cmocka_unit_test(records_are_lines_of_a_text_file),
        cmocka_unit_test(running_out_of_memory_or_files_says_so),
        cmocka_unit_test(calibration_and_held_out_text_of_debdoc_do_not_overlap),
    };
    return cmocka_run_group_tests(tests, NULL, clean);
}
