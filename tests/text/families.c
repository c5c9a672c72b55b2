/* families.c - tokenizers of real model families, ids and decoded texts against what `tokenizers` 0.23.3 gave for every text
 * and string of the fixtures; and, by name, the families whose parts are not built yet. */
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "check.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <string.h>

static const struct family {
    const char *name, *archive;
    const char *unbuilt; /* NULL: must pass; else what the error says behind the file's name */
} families[] = {
    { "gpt2", "gpt2", NULL },
    { "llama2", "llama2", NULL },
    { "llama3", "llama3", NULL },
    { "qwen2.5", "qwen", NULL },
    { "mistral-v1", "mistral", NULL },
    { "mistral-v3", "mistral", NULL },
    { "phi3", "llama2", NULL },
    { "llama2-nonlegacy", "llama2", NULL },
    { "qwen3", "qwen", NULL },
    { "qwen3.5-style", "qwen", NULL },
    { "tekken-nemo", "tekken-nemo", NULL },
    { "gpt-oss", "gpt-oss", NULL },
    { "phi4-style", "phi4-style", NULL },
    { "olmo2", "phi4-style", NULL },
    { "deepseek-v3", "deepseek-v3", NULL },
    { "starcoder2", "starcoder2", NULL },
    { "gpt-neox", "gpt-neox", NULL },
    { "claude-v1", "claude-v1", NULL },
    { "command-r", "command-r", NULL },
    { "falcon", "falcon", NULL },
    { "gemma4", "gemma4", NULL },
    { "bloom-style", "stand-ins", NULL },
    { "opt-style", "gpt2", NULL },
    { "roberta-style", "gpt2", NULL },
    { "phi2-style", "gpt2", NULL },
    { "t5", "t5", "normalizer: the normalizer 'Precompiled' is not built" },
    { "xlm-r", "xlm-r", "normalizer.normalizers[0]: the normalizer 'Precompiled' is not built" },
    { "bert", "bert", "normalizer: the normalizer 'BertNormalizer' is not built" },
    { "mpnet", "bert", "normalizer: the normalizer 'BertNormalizer' is not built" },
    { "albert-style", "stand-ins", "model: the model 'Unigram' is not built" },
    { "xlnet-style", "stand-ins", "model: the model 'Unigram' is not built" },
};

/* prefix, ids, suffix of the fixture, as one list. */
struct expected {
    const struct json *part[3];
};

static bool id_at(const struct expected *x, size_t i, int64_t *id)
{
    for (int k = 0; k < 3; k++) {
        if (i < json_len(x->part[k]))
            return json_int(json_item(x->part[k], i), id);
        i -= json_len(x->part[k]);
    }
    return false;
}

static int compare(struct tokenizer *t, const char *what, const char *p, size_t n, bool special,
                   struct expected x)
{
    struct err e = { 0 };
    struct ids ids = { 0 };
    int64_t want = -1;
    size_t i = 0;
    must(tokenizer_encode(t, p, n, special, &ids, &e), &e);
    while (i < ids.n && id_at(&x, i, &want) && want == ids.v[i])
        i++;
    bool same = i == ids.n && !id_at(&x, i, &want);
    if (!same)
        printf("  %s, special %d: differs at id %zu: got %d, expected %lld\n", what, special, i,
               i < ids.n ? ids.v[i] : -1, (long long)(id_at(&x, i, &want) ? want : -1));
    ids_release(&ids);
    return !same;
}

/* What the row's ids decode to: its text when the fixture has one, else the input, or (files) what has this hash. */
static int compare_decoded(struct tokenizer *t, const char *what, const struct json *row, const char *p,
                           size_t n)
{
    struct err e = { 0 };
    struct ids ids = { 0 };
    struct buf b = { 0 };
    char want[HASH_HEX], got[HASH_HEX];
    const struct json *list = json_get(row, "ids"), *hash = json_get(row, "decoded_sha256");
    for (size_t i = 0; i < json_len(list); i++) {
        int64_t id = -1;
        json_int(json_item(list, i), &id);
        int32_t v = (int32_t)id;
        must(ids_add(&ids, &v, 1, &e), &e);
    }
    must(tokenizer_decode(t, ids.v, ids.n, false, &b, &e), &e);
    if (json_get(row, "decoded"))
        p = json_str(json_get(row, "decoded"), &n);
    must(hash_bytes(p, n, want, &e), &e);
    if (hash)
        snprintf(want, sizeof want, "%s", json_str(hash, NULL));
    must(hash_bytes(b.p ? b.p : "", b.len, got, &e), &e);
    int differs = strcmp(want, got) != 0;
    if (differs)
        printf("  %s: decodes to another text\n", what);
    ids_release(&ids);
    buf_release(&b);
    return differs;
}

static int check_files(struct tokenizer *t, const struct json *files, size_t *bytes)
{
    int bad = 0;
    for (void *it = json_first(files); it; it = json_next(files, it)) {
        struct err e = { 0 };
        struct buf b = { 0 };
        char path[300];
        const char *name = json_it_key(it);
        const struct json *row = json_it_value(it), *ids = json_get(row, "ids"),
                          *own = json_get(row, "ids_special");
        snprintf(path, sizeof path, SHARED "text/%s", name);
        must(file_read(path, JSON_DEFAULT_LIMIT, &b, &e), &e);
        bad += compare(t, name, b.p, b.len, false, (struct expected){ { ids, NULL, NULL } });
        bad += compare(t, name, b.p, b.len, true,
                       own ? (struct expected){ { own, NULL, NULL } }
                           : (struct expected){ { json_get(row, "prefix"), ids, json_get(row, "suffix") } });
        bad += compare_decoded(t, name, row, b.p, b.len);
        *bytes += 2 * b.len;
        buf_release(&b);
    }
    return bad;
}

static int check_strings(struct tokenizer *t, const struct json *rows, const struct json *strings)
{
    int bad = 0;
    assert_int_equal(json_len(rows), json_len(strings));
    for (size_t i = 0; i < json_len(rows); i++) {
        size_t n;
        char what[40];
        const struct json *row = json_item(rows, i), *own = json_get(row, "special");
        const char *s = json_str(json_item(strings, i), &n);
        snprintf(what, sizeof what, "string %zu", i);
        bad += compare(t, what, s, n, false, (struct expected){ { json_get(row, "ids"), NULL, NULL } });
        bad += compare(t, what, s, n, true,
                       (struct expected){ { own ? own : json_get(row, "ids"), NULL, NULL } });
        bad += compare_decoded(t, what, row, s, n);
    }
    return bad;
}

static struct tokenizer *open_family(const struct family *f, double *seconds, struct err *e)
{
    struct buf b = { 0 };
    char command[300];
    snprintf(command, sizeof command, "tar -xJOf " SHARED "tokenizers/%s.tar.xz %s/tokenizer.json",
             f->archive, f->name);
    run_command(command, &b);
    double t0 = clock_seconds();
    struct tokenizer *t = tokenizer_parse(b.p, b.len, f->name, e);
    *seconds = clock_seconds() - t0;
    buf_release(&b);
    return t;
}

static int check_family(const struct family *f, const struct json *strings)
{
    struct err e = { 0 };
    char path[300];
    size_t bytes = 0;
    double seconds = 0;
    struct tokenizer *t = open_family(f, &seconds, &e);
    must(t ? 0 : -1, &e);
    snprintf(path, sizeof path, SHARED "tokenizers/%s.expected.json.xz", f->name);
    struct json *x = json_of_xz(path);
    assert_int_equal(json_len(json_get(x, "files")), 22);
    int bad =
        check_files(t, json_get(x, "files"), &bytes) + check_strings(t, json_get(x, "strings"), strings);
    printf("%s %s: opened in %.2f s, %zu texts, %zu strings, %d differences\n", bad ? "not ok" : "ok",
           f->name, seconds, json_len(json_get(x, "files")), json_len(strings), bad);
    json_free(x);
    tokenizer_free(t);
    return bad;
}

static void built_families_give_the_library_ids_and_texts(void **state)
{
    (void)state;
    struct err e = { 0 };
    int passed = 0, failed = 0;
    if (!have_shared())
        skip();
    struct json *strings = json_read(SHARED "tokenizers/strings.json", JSON_DEFAULT_LIMIT, &e);
    must(strings ? 0 : -1, &e);
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        if (families[i].unbuilt)
            continue;
        int bad = check_family(&families[i], strings);
        passed += !bad;
        failed += bad != 0;
    }
    json_free(strings);
    printf("%d families passed, %d failed\n", passed, failed);
    assert_int_equal(failed, 0);
}

static void other_families_are_refused_by_the_name_of_the_part(void **state)
{
    (void)state;
    int refused = 0;
    if (!have_shared())
        skip();
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        struct err e = { 0 };
        char what[300];
        double seconds;
        if (!families[i].unbuilt)
            continue;
        assert_null(open_family(&families[i], &seconds, &e));
        snprintf(what, sizeof what, "%s: %s", families[i].name, families[i].unbuilt);
        expect_error(&e, ERR_UNBUILT, what);
        printf("refused %s\n", what);
        refused++;
    }
    printf("%d families refused\n", refused);
}

/* The golden hash was taken from the library: sha256 of the ids as little-endian i32. */
static void debdoc_gives_the_library_ids_on_its_held_out_text(void **state)
{
    (void)state;
    static const char want[] = "8f28990396fc87776d76b29579cb15037752125e7bfa8122be606fa3e08ce97c";
    struct err e = { 0 };
    struct buf b = { 0 };
    struct ids ids = { 0 };
    char got[HASH_HEX];
    if (!have_shared())
        skip();
    struct tokenizer *t = tokenizer_open(SHARED "models/debdoc", &e);
    must(t ? 0 : -1, &e);
    assert_int_equal(tokenizer_size(t), 4096);
    must(file_read(SHARED "models/debdoc/heldout.txt", JSON_DEFAULT_LIMIT, &b, &e), &e);
    double t0 = clock_seconds();
    must(tokenizer_encode(t, b.p, b.len, true, &ids, &e), &e);
    printf("debdoc: %.1f MB/s\n", (double)b.len / (clock_seconds() - t0) / 1e6);
    must(hash_bytes(ids.v, ids.n * sizeof *ids.v, got, &e), &e);
    assert_int_equal(ids.n, 54867);
    assert_string_equal(got, want);
    buf_release(&b);
    ids_release(&ids);
    tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(debdoc_gives_the_library_ids_on_its_held_out_text),
        cmocka_unit_test(built_families_give_the_library_ids_and_texts),
        cmocka_unit_test(other_families_are_refused_by_the_name_of_the_part),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed ? 1 : have_shared() ? 0 : 77;
}
