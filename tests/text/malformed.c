/* malformed.c - tokenizer.json that is wrong: each mistake with its exact message; invalid UTF-8 in texts; text that is
 * long in awkward ways. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "check.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL      "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}"
#define BPE(rest)  "{\"model\":{\"type\":\"BPE\"," rest "}}"
#define WITH(rest) "{" MODEL "," rest "}"

static const struct bad {
    const char *name, *json;
    enum err_code code;
    const char *what;
} bad[] = {
    { "not JSON", "{", ERR_INPUT, "not valid JSON: string or '}' expected near end of file" },
    { "no object", "[]", ERR_INPUT, "t: found a list, expected an object" },
    { "no model", "{}", ERR_INPUT, "t: key 'model': found nothing, expected an object" },
    { "model of another type", "{\"model\":3}", ERR_INPUT, "t: model: found an integer, expected an object" },
    { "model without type", "{\"model\":{}}", ERR_INPUT,
      "t: model: found no 'type', expected the name of a model" },
    { "Unigram by its list", "{\"model\":{\"vocab\":[[\"a\",0.5]]}}", ERR_UNBUILT,
      "t: model: the model 'Unigram' is not built" },
    { "WordPiece by its limit", "{\"model\":{\"vocab\":{},\"max_input_chars_per_word\":9}}", ERR_UNBUILT,
      "t: model: the model 'WordPiece' is not built" },
    { "WordLevel", "{\"model\":{\"type\":\"WordLevel\"}}", ERR_UNBUILT,
      "t: model: the model 'WordLevel' is not built" },
    { "unknown model", "{\"model\":{\"type\":\"Bpe\"}}", ERR_INPUT, "t: model: no model is called 'Bpe'" },
    { "no vocabulary", BPE("\"merges\":[]"), ERR_INPUT,
      "t: model.vocab: found nothing, expected an object of token: id" },
    { "id of another type", BPE("\"vocab\":{\"a\":\"x\"},\"merges\":[]"), ERR_INPUT,
      "t: model.vocab: token 'a': found a string, expected an integer id" },
    { "negative id", BPE("\"vocab\":{\"a\":-1},\"merges\":[]"), ERR_INPUT,
      "t: model.vocab: token 'a': found id -1, expected one in [0, 16777216)" },
    { "id out of range", BPE("\"vocab\":{\"a\":16777216},\"merges\":[]"), ERR_INPUT,
      "t: model.vocab: token 'a': found id 16777216, expected one in [0, 16777216)" },
    { "id twice", BPE("\"vocab\":{\"a\":1,\"b\":1},\"merges\":[]"), ERR_INPUT,
      "t: model.vocab: tokens 'a' and 'b' have the same id 1" },
    { "no merges", BPE("\"vocab\":{\"a\":0}"), ERR_INPUT, "t: model.merges: found nothing, expected a list" },
    { "merge of one word", BPE("\"vocab\":{\"a\":0},\"merges\":[\"a\"]"), ERR_INPUT,
      "t: model.merges[0]: found 'a', expected two tokens with one space between" },
    { "merge of three words", BPE("\"vocab\":{\"a\":0},\"merges\":[\"a a a\"]"), ERR_INPUT,
      "t: model.merges[0]: found 'a a a', expected two tokens with one space between" },
    { "merge of another type", BPE("\"vocab\":{\"a\":0},\"merges\":[[\"a\",1]]"), ERR_INPUT,
      "t: model.merges[0]: found a list, expected a string or a list of two strings" },
    { "merge of unknown tokens", BPE("\"vocab\":{\"a\":0},\"merges\":[\"a a\",\"a z\"]"), ERR_INPUT,
      "t: model.merges[0]: token 'aa' is not in the vocabulary" },
    { "merge with an unknown right", BPE("\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[\"a a\",\"a z\"]"),
      ERR_INPUT, "t: model.merges[1]: token 'z' is not in the vocabulary" },
    { "dropout", BPE("\"dropout\":0.1,\"vocab\":{\"a\":0},\"merges\":[]"), ERR_UNBUILT,
      "t: model.dropout: random merges are not built" },
    { "prefix of parts of words",
      BPE("\"continuing_subword_prefix\":\"##\",\"vocab\":{\"a\":0},\"merges\":[]"), ERR_UNBUILT,
      "t: model.continuing_subword_prefix '##' is not built" },
    { "suffix of words", BPE("\"end_of_word_suffix\":\"</w>\",\"vocab\":{\"a\":0},\"merges\":[]"),
      ERR_UNBUILT, "t: model.end_of_word_suffix '</w>' is not built" },
    { "flag of another type", BPE("\"fuse_unk\":1,\"vocab\":{\"a\":0},\"merges\":[]"), ERR_INPUT,
      "t: model: key 'fuse_unk': found an integer, expected true or false" },
    { "unknown normalizer", WITH("\"normalizer\":{\"type\":\"NFX\"}"), ERR_INPUT,
      "t: normalizer: no normalizer is called 'NFX'" },
    { "unbuilt normalizer in a chain",
      WITH("\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Nmt\"}]}"),
      ERR_UNBUILT, "t: normalizer.normalizers[1]: the normalizer 'Nmt' is not built" },
    { "chain without list", WITH("\"pre_tokenizer\":{\"type\":\"Sequence\"}"), ERR_INPUT,
      "t: pre_tokenizer: key 'pretokenizers': found null, expected a list" },
    { "unbuilt pre-tokenizer", WITH("\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}"), ERR_UNBUILT,
      "t: pre_tokenizer: the pre-tokenizer 'UnicodeScripts' is not built" },
    { "split without pattern", WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\"}"),
      ERR_INPUT,
      "t: pre_tokenizer: key 'pattern': found nothing, expected {\"String\": ...} or {\"Regex\": ...}" },
    { "unknown behavior",
      WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"isolated\"}"),
      ERR_INPUT,
      "t: pre_tokenizer: behavior 'isolated', expected Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous" },
    { "open parenthesis",
      WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a\"},\"behavior\":\"Isolated\"}"),
      ERR_INPUT, "pattern '(?:a' is malformed at position 4: missing closing parenthesis" },
    { "named group",
      WITH(
          "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"b(?<x>a)\"},\"behavior\":\"Isolated\"}"),
      ERR_UNBUILT, "t: pre_tokenizer: pattern 'b(?<x>a)': this kind of group at byte 1 is not built" },
    { "intersection of sets",
      WITH(
          "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a&&b]\"},\"behavior\":\"Isolated\"}"),
      ERR_UNBUILT,
      "t: pre_tokenizer: pattern '[a&&b]': a negated or intersected set inside brackets at byte 2 is not built" },
    { "unknown property",
      WITH(
          "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\p{Klingon}\"},\"behavior\":\"Isolated\"}"),
      ERR_UNBUILT, "t: pre_tokenizer: pattern '\\p{Klingon}': this property at byte 0 is not built" },
    { "replacement of two characters",
      WITH("\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"__\"}"), ERR_INPUT,
      "t: pre_tokenizer: key 'replacement': found '__', expected one character" },
    { "unknown scheme",
      WITH("\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"last\"}"),
      ERR_INPUT, "t: pre_tokenizer: prepend_scheme 'last', expected first, always or never" },
    { "template without list", WITH("\"post_processor\":{\"type\":\"TemplateProcessing\"}"), ERR_INPUT,
      "t: post_processor: key 'single': found nothing, expected a list" },
    { "template of an unknown token",
      WITH(
          "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"q\"}}]}"),
      ERR_INPUT, "t: post_processor: special_tokens: 'q' has no list of ids" },
    { "template of a second text",
      WITH("\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"B\"}}]}"),
      ERR_INPUT, "t: post_processor: single: found sequence 'B', expected 'A'" },
    { "template with an id out of range",
      WITH("\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"x\",3],\"sep\":[\"y\",1]}"), ERR_INPUT,
      "t: post_processor: id 3 is not below the number of ids, 3" },
    { "unbuilt decoder", WITH("\"decoder\":{\"type\":\"CTC\"}"), ERR_UNBUILT,
      "t: decoder: the decoder 'CTC' is not built" },
    { "strip of two characters",
      WITH("\"decoder\":{\"type\":\"Strip\",\"content\":\"\",\"start\":1,\"stop\":0}"), ERR_INPUT,
      "t: decoder: key 'content': found '', expected one character" },
    { "added tokens of another type", WITH("\"added_tokens\":{}"), ERR_INPUT,
      "t: added_tokens: found an object, expected a list" },
    { "added token without id", WITH("\"added_tokens\":[{\"content\":\"x\"}]"), ERR_INPUT,
      "t: added_tokens[0]: key 'id': found nothing, expected an integer id" },
    { "added token with another id", WITH("\"added_tokens\":[{\"content\":\"b\",\"id\":2}]"), ERR_INPUT,
      "t: added_tokens[0]: token 'b' has id 2, and 1 in model.vocab" },
    { "added token on the id of another", WITH("\"added_tokens\":[{\"content\":\"x\",\"id\":2}]"), ERR_INPUT,
      "t: added_tokens[0]: tokens 'x' and 'ab' have the same id 2" },
    { "added tokens with one id",
      WITH("\"added_tokens\":[{\"content\":\"x\",\"id\":5},{\"content\":\"y\",\"id\":5}]"), ERR_INPUT,
      "t: added_tokens[1]: tokens 'x' and 'y' have the same id 5" },
};

static void each_mistake_has_its_message(void **state)
{
    (void)state;
    uint64_t before = mem_use().now;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = { 0 };
        struct tokenizer *t = tokenizer_parse(bad[i].json, strlen(bad[i].json), "t", &e);
        if (t)
            fail_msg("%s: was accepted", bad[i].name);
        expect_error(&e, bad[i].code, bad[i].what);
    }
    assert_int_equal(mem_use().now, before);
    printf("%zu mistakes\n", sizeof bad / sizeof *bad);
}

static void a_missing_file_is_named(void **state)
{
    (void)state;
    struct err e = { 0 };
    assert_null(tokenizer_open("/nonexistent-folder", &e));
    assert_int_equal(e.code, ERR_IO);
    assert_non_null(strstr(e.what, "/nonexistent-folder/tokenizer.json"));
}

static void deep_json_ends_in_an_error(void **state)
{
    (void)state;
    struct err e = { 0 };
    enum { DEEP = 200000 };
    char *s = malloc(DEEP);
    assert_non_null(s);
    memset(s, '[', DEEP);
    assert_null(tokenizer_parse(s, DEEP, "t", &e));
    assert_true(e.code == ERR_LIMIT || e.code == ERR_INPUT);
    free(s);
    struct buf b = { 0 }; /* chains inside chains, as deep as JSON allows them */
    struct err e2 = { 0 };
    for (int i = 0; i < 900; i++)
        must(buf_str(&b, i ? "{\"type\":\"Sequence\",\"normalizers\":[" : "{" MODEL ",\"normalizer\":", &e2),
             &e2);
    must(buf_str(&b, "{\"type\":\"NFC\"}", &e2), &e2);
    for (int i = 1; i < 900; i++)
        must(buf_str(&b, "]}", &e2), &e2);
    must(buf_str(&b, "}", &e2), &e2);
    struct tokenizer *t = tokenizer_parse(b.p, b.len, "t", &e2);
    must(t ? 0 : -1, &e2);
    tokenizer_free(t);
    buf_release(&b);
}

/* All bytes, GPT-2's words, no merges: what arrives at the model is what was in the text. */
static struct tokenizer *bytes_tokenizer(void)
{
    struct err e = { 0 };
    struct buf b = { 0 };
    must(
        buf_str(
            &b,
            "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"decoder\":{\"type\":\"ByteLevel\"},"
            "\"model\":{\"type\":\"BPE\",\"merges\":[[\"\\u0120\",\"\\u0120\"],[\"a\",\"a\"],[\"aa\",\"aa\"]],\"vocab\":{",
            &e),
        &e);
    int next = 256;
    for (int i = 0; i < 256; i++) {
        bool plain = (i > 32 && i < 127) || (i > 160 && i != 173);
        must(buf_printf(&b, &e, "\"\\u%04x\":%d,", (unsigned)(plain ? i : next++), i), &e);
    }
    must(buf_str(&b, "\"\\u0120\\u0120\":256,\"aa\":257,\"aaaa\":258}}}", &e), &e);
    struct tokenizer *t = tokenizer_parse(b.p, b.len, "bytes", &e);
    must(t ? 0 : -1, &e);
    buf_release(&b);
    return t;
}

static void bytes_that_are_no_text_count_as_replacement_characters(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct buf in = { 0 }, want = { 0 }, got = { 0 };
    struct ids ids = { 0 };
    if (!have_shared())
        skip();
    struct tokenizer *t = bytes_tokenizer();
    must(file_read(SHARED "text/invalid_utf8.bin", 1 << 20, &in, &e), &e);
    must(file_read(SHARED "text/invalid_utf8.replaced.txt", 1 << 20, &want, &e), &e);
    must(tokenizer_encode(t, in.p, in.len, false, &ids, &e), &e);
    must(tokenizer_decode(t, ids.v, ids.n, false, &got, &e), &e);
    assert_int_equal(got.len, want.len);
    assert_memory_equal(got.p, want.p, want.len);
    buf_release(&in);
    buf_release(&want);
    buf_release(&got);
    ids_release(&ids);
    tokenizer_free(t);
}

static void an_id_without_token_cannot_be_decoded(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct buf b = { 0 };
    struct tokenizer *t = bytes_tokenizer();
    int32_t ids[] = { 1, 259, -1 };
    assert_int_equal(tokenizer_decode(t, ids, 2, false, &b, &e), -1);
    expect_error(&e, ERR_INPUT, "bytes: id 259 is no token");
    assert_int_equal(tokenizer_decode(t, ids + 2, 1, false, &b, &e), -1);
    expect_error(&e, ERR_INPUT, "bytes: id -1 is no token");
    tokenizer_free(t);
}

static void an_unknown_character_that_needs_a_missing_token_is_named(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct ids ids = { 0 };
    static const char json[] = BPE("\"unk_token\":\"?\",\"vocab\":{\"a\":0},\"merges\":[]");
    struct tokenizer *t = tokenizer_parse(json, sizeof json - 1, "t", &e);
    must(t ? 0 : -1, &e);
    must(tokenizer_encode(t, "aa", 2, false, &ids, &e), &e);
    assert_int_equal(ids.n, 2);
    assert_int_equal(tokenizer_encode(t, "az", 2, false, &ids, &e), -1);
    expect_error(&e, ERR_INPUT, "the unknown token '?' is not in the vocabulary, and U+007A needs it");
    assert_int_equal(ids.n, 2);
    ids_release(&ids);
    tokenizer_free(t);
}

/* Each text repeats `unit` up to n bytes. Linear work takes well below a second; quadratic work would take hours. */
static void long_texts_take_linear_time(void **state)
{
    (void)state;
    static const struct {
        const char *name, *unit;
        size_t n, ids;
    } texts[] = {
        { "one word", "a", 200000, 50000 },
        { "spaces", " ", 1000000, 500000 },
        { "newlines", "\n", 1000000, 1000000 },
        { "spaces and newlines", " \n", 1000000, 1000000 },
        { "spaces, then a word", "    x", 1000000, 0 },
        { "quotes", "'", 1000000, 1000000 },
        { "marks", "\xCC\xA3\xCC\x81", 1000000, 0 },
        { "bad bytes", "\xFF", 300000, 900000 },
    };
    struct tokenizer *t = bytes_tokenizer();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct err e = { 0 };
        struct ids ids = { 0 };
        char *s = malloc(texts[i].n);
        assert_non_null(s);
        for (size_t k = 0, u = strlen(texts[i].unit); k < texts[i].n; k++)
            s[k] = texts[i].unit[k % u];
        double t0 = clock_seconds();
        must(tokenizer_encode(t, s, texts[i].n, false, &ids, &e), &e);
        double took = clock_seconds() - t0;
        printf("%s: %zu bytes, %zu ids, %.3f s\n", texts[i].name, texts[i].n, ids.n, took);
        if (texts[i].ids)
            assert_int_equal(ids.n, texts[i].ids);
        assert_true(took < 20);
        ids_release(&ids);
        free(s);
    }
    tokenizer_free(t);
}

/* A run of marks whose classes alternate is the worst case of canonical ordering. */
static void long_runs_of_marks_are_put_in_order_in_linear_time(void **state)
{
    (void)state;
    enum { PAIRS = 100000 };
    struct err e = { 0 };
    struct ids ids = { 0 };
    struct buf s = { 0 };
    static const char json[] =
        "{\"normalizer\":{\"type\":\"NFD\"},"
        "\"model\":{\"type\":\"BPE\",\"vocab\":{\"\\u0301\":0,\"\\u0323\":1,\"a\":2},\"merges\":[]}}";
    struct tokenizer *t = tokenizer_parse(json, sizeof json - 1, "t", &e);
    must(t ? 0 : -1, &e);
    must(buf_str(&s, "a", &e), &e);
    for (int i = 0; i < PAIRS; i++)
        must(buf_str(&s, "\xCC\x81\xCC\xA3", &e), &e);
    must(tokenizer_encode(t, s.p, s.len, false, &ids, &e), &e);
    assert_int_equal(ids.n, 2 * PAIRS + 1);
    for (size_t i = 1; i < ids.n; i++) /* class 220 before class 230 */
        assert_int_equal(ids.v[i], i <= PAIRS);
    ids_release(&ids);
    buf_release(&s);
    tokenizer_free(t);
}

static void reading_that_runs_out_of_memory_says_so_and_leaks_nothing(void **state)
{
    (void)state;
    static const char json[] = WITH(
        "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Prepend\",\"prepend\":\"a\"}]},"
        "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\s+\"},\"behavior\":\"Removed\"},"
        "\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"x\",3],\"sep\":[\"y\",1]},"
        "\"decoder\":{\"type\":\"Strip\",\"content\":\"a\",\"start\":1,\"stop\":0},"
        "\"added_tokens\":[{\"content\":\"x\",\"id\":3,\"normalized\":true}]");
    struct err none = { 0 };
    mem_fail_at(0, 0);
    struct json *j =
        json_parse(json, sizeof json - 1, "t", &none); /* base/json.c has its own test for this */
    uint64_t first = mem_fail_at(0, 0) + 1, n = first;
    json_free(j);
    uint64_t before = mem_use().now;
    for (;; n++) {
        struct err e = { 0 };
        mem_fail_at(n, 0);
        struct tokenizer *t = tokenizer_parse(json, sizeof json - 1, "t", &e);
        uint64_t done = mem_fail_at(0, 0);
        tokenizer_free(t);
        assert_int_equal(mem_use().now, before);
        if (!t && e.code != ERR_NOMEM) {
            err_print(&e, stdout);
            fail_msg("allocation %llu failed, and the error is another", (unsigned long long)n);
        }
        if (done < n)
            break;
    }
    printf("%llu allocations\n", (unsigned long long)(n - first));
    assert_true(n - first > 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mistake_has_its_message),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(deep_json_ends_in_an_error),
        cmocka_unit_test(bytes_that_are_no_text_count_as_replacement_characters),
        cmocka_unit_test(an_id_without_token_cannot_be_decoded),
        cmocka_unit_test(an_unknown_character_that_needs_a_missing_token_is_named),
        cmocka_unit_test(long_texts_take_linear_time),
        cmocka_unit_test(long_runs_of_marks_are_put_in_order_in_linear_time),
        cmocka_unit_test(reading_that_runs_out_of_memory_says_so_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
