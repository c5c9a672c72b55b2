/* tok_tables.c - the rows of all parts tables, in one list, and how a part of tokenizer.json finds its row.
 * To add a kind: write its parse and run (tok_normalize.c, tok_pre.c, ...), declare them in tok.h, add a row here. */
#include "text/tok.h"

#include "base/mem.h"

#include <string.h>

/* table, name in the file, parse, run, what it does */
#define ROWS(X)                                                                                              \
    X(NORMALIZER, "Sequence", norm_chain_parse, norm_chain_run, "several, in order")                         \
    X(NORMALIZER, "NFC", bare_parse, norm_nfc_run, "canonical composition")                                  \
    X(NORMALIZER, "NFD", bare_parse, norm_nfd_run, "canonical decomposition")                                \
    X(NORMALIZER, "NFKC", bare_parse, norm_nfkc_run, "compatibility composition")                            \
    X(NORMALIZER, "NFKD", bare_parse, norm_nfkd_run, "compatibility decomposition")                          \
    X(NORMALIZER, "Replace", norm_replace_parse, norm_replace_run,                                           \
      "each match of a string or expression by a text")                                                      \
    X(NORMALIZER, "Prepend", norm_prepend_parse, norm_prepend_run,                                           \
      "a text in front of a text that is not empty")                                                         \
    X(NORMALIZER, "Strip", norm_strip_parse, norm_strip_run, "white space off the left, the right, or both") \
    X(NORMALIZER, "Lowercase", bare_parse, norm_lowercase_run, "small letters, character by character")      \
    X(NORMALIZER, "StripAccents", bare_parse, norm_strip_accents_run, "combining marks removed")             \
    X(NORMALIZER, "ByteLevel", bare_parse, norm_bytes_run, "bytes as GPT-2's printable characters")          \
    X(PRE, "Sequence", pre_chain_parse, pre_chain_run, "several, in order")                                  \
    X(PRE, "ByteLevel", pre_bytes_parse, pre_bytes_run, "GPT-2's words, bytes as printable characters")      \
    X(PRE, "Split", pre_split_parse, pre_split_run, "at a string or expression; five behaviors, invert")     \
    X(PRE, "Metaspace", pre_metaspace_parse, pre_metaspace_run,                                              \
      "spaces as a visible character, one in front")                                                         \
    X(PRE, "Digits", pre_digits_parse, pre_digits_run, "numbers apart, whole or digit by digit")             \
    X(PRE, "Punctuation", pre_punctuation_parse, pre_punctuation_run, "punctuation apart")                   \
    X(PRE, "CharDelimiterSplit", pre_delimiter_parse, pre_delimiter_run, "at one character, which goes")     \
    X(PRE, "Whitespace", bare_parse, pre_whitespace_run, "runs of word characters and runs of others")       \
    X(PRE, "WhitespaceSplit", bare_parse, pre_whitespace_split_run, "at white space, which goes")            \
    X(PRE, "BertPreTokenizer", bare_parse, pre_bert_run, "at white space, which goes; punctuation apart")    \
    X(MODEL, "BPE", bpe_parse, bpe_run, "byte-pair merges by rank")                                          \
    X(POST, "Sequence", post_chain_parse, post_chain_run, "several, in order")                               \
    X(POST, "ByteLevel", bare_parse, post_none_run, "offsets only: changes no id")                           \
    X(POST, "TemplateProcessing", post_template_parse, post_template_run, "tokens before and behind a text") \
    X(POST, "RobertaProcessing", post_pair_parse, post_template_run, "cls, text, sep")                       \
    X(POST, "BertProcessing", post_pair_parse, post_template_run, "cls, text, sep")                          \
    X(DECODER, "Sequence", dec_chain_parse, dec_chain_run, "several, in order")                              \
    X(DECODER, "ByteLevel", bare_parse, dec_bytes_run, "GPT-2's printable characters back to bytes")         \
    X(DECODER, "Replace", dec_replace_parse, dec_replace_run, "each match in a token by a text")             \
    X(DECODER, "ByteFallback", bare_parse, dec_fallback_run, "tokens <0xNN> back to bytes")                  \
    X(DECODER, "Fuse", bare_parse, dec_fuse_run, "all tokens to one")                                        \
    X(DECODER, "Strip", dec_strip_parse, dec_strip_run, "a character off the ends of each token")            \
    X(DECODER, "Metaspace", dec_metaspace_parse, dec_metaspace_run, "the visible character back to spaces")

/* Known to the library, not to us. */
static const struct {
    enum part_table table;
    const char *name;
} unbuilt[] = {
    { TABLE_NORMALIZER, "BertNormalizer" }, { TABLE_NORMALIZER, "Nmt" },  { TABLE_NORMALIZER, "Precompiled" },
    { TABLE_PRE, "UnicodeScripts" },        { TABLE_PRE, "FixedLength" }, { TABLE_MODEL, "WordPiece" },
    { TABLE_MODEL, "WordLevel" },           { TABLE_MODEL, "Unigram" },   { TABLE_DECODER, "WordPiece" },
    { TABLE_DECODER, "BPEDecoder" },        { TABLE_DECODER, "CTC" }
};

struct row {
    enum part_table table;
    struct part_kind kind;
};
#define ROW_KIND(table, name, parse, run, doc) { TABLE_##table, { name, parse, run } },
static const struct row rows[] = { ROWS(ROW_KIND) };

#define WORD_NORMALIZER                          "normalizer"
#define WORD_PRE                                 "pre-tokenizer"
#define WORD_MODEL                               "model"
#define WORD_POST                                "post-processor"
#define WORD_DECODER                             "decoder"
#define ROW_PUBLIC(table, name, parse, run, doc) { WORD_##table, name, doc },
const struct tokenizer_part tokenizer_parts[] = { ROWS(ROW_PUBLIC){ NULL, NULL, NULL } };
static const char *const words[TABLE_COUNT] = { WORD_NORMALIZER, WORD_PRE, WORD_MODEL, WORD_POST,
                                                WORD_DECODER };

static int unknown(const char *name, const struct part_reader *r, struct err *e)
{
    for (size_t i = 0; i < sizeof unbuilt / sizeof *unbuilt; i++)
        if (unbuilt[i].table == r->table && !strcmp(unbuilt[i].name, name)) {
            err_set(e, ERR_UNBUILT, "%s: %s: the %s '%s' is not built", r->file, r->where, words[r->table],
                    name);
            return err_hint(e, "`qpipe list` shows the kinds that are.");
        }
    err_set(e, ERR_INPUT, "%s: %s: no %s is called '%s'", r->file, r->where, words[r->table], name);
    return err_hint(e, "`qpipe list` shows the kinds that exist.");
}

static const struct part_kind *kind_find(enum part_table table, const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].table == table && !strcmp(rows[i].kind.name, name))
            return &rows[i].kind;
    return NULL;
}

/* Old files leave the model's type out: a list as vocabulary is Unigram's, `merges` BPE's, max_input_chars_per_word
 * WordPiece's. */
static const char *kind_name(const struct json *j, const struct part_reader *r)
{
    const char *name = json_str(json_get(j, "type"), NULL);
    if (name || json_get(j, "type") || r->table != TABLE_MODEL)
        return name;
    if (json_get(j, "merges"))
        return "BPE";
    if (json_type(json_get(j, "vocab")) == JSON_ARRAY)
        return "Unigram";
    return json_get(j, "max_input_chars_per_word") ? "WordPiece" : NULL;
}

int part_read(const struct json *j, struct part_reader *r, struct part **out, struct err *e)
{
    *out = NULL;
    if (json_type(j) == JSON_NULL)
        return 0;
    if (json_type(j) != JSON_OBJECT)
        return err_set(e, ERR_INPUT, "%s: %s: found %s, expected an object", r->file, r->where,
                       json_type_name(json_type(j)));
    const char *name = kind_name(j, r);
    if (!name)
        return err_set(e, ERR_INPUT, "%s: %s: found no 'type', expected the name of a %s", r->file, r->where,
                       words[r->table]);
    const struct part_kind *kind = kind_find(r->table, name);
    if (!kind)
        return unknown(name, r, e);
    struct part *p = mem_alloc(sizeof *p, e);
    if (!p)
        return -1;
    p->kind = kind;
    if (kind->parse(p, j, r, e)) {
        part_free(p);
        return -1;
    }
    *out = p;
    return 0;
}

int part_read_children(struct part *p, const struct json *j, const char *key, struct part_reader *r,
                       struct err *e)
{
    const struct json *list = json_get(j, key);
    if (json_type(list) != JSON_ARRAY)
        return err_set(e, ERR_INPUT, "%s: %s: key '%s': found %s, expected a list", r->file, r->where, key,
                       json_type_name(json_type(list)));
    size_t n = json_len(list), stem = strlen(r->where);
    p->child = mem_array(n, sizeof *p->child, e);
    if (!p->child)
        return -1;
    for (; p->n_child < n; p->n_child++) {
        snprintf(r->where + stem, sizeof r->where - stem, ".%s[%zu]", key, p->n_child);
        if (part_read(json_item(list, p->n_child), r, &p->child[p->n_child], e))
            return -1;
        r->where[stem] = 0;
    }
    return 0;
}

void part_free(struct part *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n_child; i++)
        part_free(p->child[i]);
    for (size_t i = 0; i < p->n_slot; i++)
        mem_free(p->slot[i].ids);
    if (p->own_free)
        p->own_free(p->own);
    pattern_release(&p->pattern);
    mem_free(p->child);
    mem_free(p->slot);
    mem_free(p->content);
    mem_free(p);
}

int part_run(const struct part *p, struct work *w, struct err *e) { return p ? p->kind->run(p, w, e) : 0; }

int chain_run(const struct part *p, struct work *w, struct err *e)
{
    for (size_t i = 0; i < p->n_child; i++)
        if (part_run(p->child[i], w, e))
            return -1;
    return 0;
}

#define CHAIN(prefix, key)                                                                               \
    int prefix##_chain_parse(struct part *p, const struct json *j, struct part_reader *r, struct err *e) \
    {                                                                                                    \
        return part_read_children(p, j, key, r, e);                                                      \
    }                                                                                                    \
    int prefix##_chain_run(const struct part *p, struct work *w, struct err *e) { return chain_run(p, w, e); }
CHAIN(norm, "normalizers")
CHAIN(pre, "pretokenizers")
CHAIN(post, "processors")
CHAIN(dec, "decoders")

int bare_parse(struct part *p, const struct json *j, struct part_reader *r, struct err *e)
{
    (void)p, (void)j, (void)r, (void)e;
    return 0;
}

int part_bool(const struct json *j, const char *key, bool def, const struct part_reader *r, bool *out,
              struct err *e)
{
    const struct json *v = json_get(j, key);
    *out = def;
    if (json_type(v) == JSON_NULL || json_bool(v, out))
        return 0;
    return err_set(e, ERR_INPUT, "%s: %s: key '%s': found %s, expected true or false", r->file, r->where, key,
                   json_type_name(json_type(v)));
}

int part_str(const struct json *j, const char *key, const struct part_reader *r, const char **out, size_t *n,
             struct err *e)
{
    const struct json *v = json_get(j, key);
    *out = json_str(v, n);
    if (*out)
        return 0;
    return err_set(e, ERR_INPUT, "%s: %s: key '%s': found %s, expected a string", r->file, r->where, key,
                   v ? json_type_name(json_type(v)) : "nothing");
}

int part_id(const struct json *j, const char *what, const struct part_reader *r, int32_t *out, struct err *e)
{
    int64_t id;
    if (!json_int(j, &id))
        return err_set(e, ERR_INPUT, "%s: %s: %s: found %s, expected an integer id", r->file, r->where, what,
                       j ? json_type_name(json_type(j)) : "nothing");
    if (id < 0 || id >= VOCAB_MAX_ID)
        return err_set(e, ERR_INPUT, "%s: %s: %s: found id %lld, expected one in [0, %d)", r->file, r->where,
                       what, (long long)id, VOCAB_MAX_ID);
    *out = (int32_t)id;
    return 0;
}

int part_content(struct part *p, const struct json *j, const char *key, const struct part_reader *r,
                 struct err *e)
{
    const char *s;
    if (part_str(j, key, r, &s, &p->n_content, e))
        return -1;
    p->content = mem_strndup(s, p->n_content, e);
    return p->content ? 0 : -1;
}

/* "pattern": {"String": " "} or {"Regex": "..."} */
int part_pattern(struct part *p, const struct json *j, const struct part_reader *r, struct err *e)
{
    const struct json *v = json_get(j, "pattern");
    const char *s, *key = json_get(v, "Regex") ? "Regex" : "String";
    char where[600];
    size_t n;
    if (json_type(v) != JSON_OBJECT)
        return err_set(e, ERR_INPUT,
                       "%s: %s: key 'pattern': found %s, expected {\"String\": ...} or {\"Regex\": ...}",
                       r->file, r->where, v ? json_type_name(json_type(v)) : "nothing");
    if (part_str(v, key, r, &s, &n, e))
        return -1;
    snprintf(where, sizeof where, "%s: %s", r->file, r->where);
    return pattern_init(&p->pattern, s, n, *key == 'R', where, e);
}
