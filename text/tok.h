/* tok.h - what the files of the tokenizer share: pieces of text on their way to ids, one part of a chain, the rows of the
 * parts tables, vocabulary, added tokens. Not a door: only text/tok_*.c and text/tokenizer.c include it.
 *
 * Order of an encode (tokenizer.c): repair UTF-8 -> cut out added tokens -> normalize each rest -> cut out "normalized"
 * added tokens -> pre-tokenize -> model -> post-process. */
#ifndef QP_TEXT_TOK_H
#define QP_TEXT_TOK_H
#include "base/err.h"
#include "base/json.h"
#include "base/regex.h"
#include "base/str.h"
#include "text/tokenizer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Part of a text: bytes [at, at + n) of the buffer that the list stands on. */
struct piece {
    size_t at, n;
    int32_t id; /* >= 0: an added token, never touched again; -1: text */
    bool first; /* begins where the whole input begins (Metaspace, prepend_scheme "first") */
};
/* Pieces on one buffer. A part reads `cur` and writes `next`, then swaps what it has changed. Decoders use the same list
 * with one piece per token. */
struct pieces {
    struct buf text;
    struct piece *v;
    size_t n, cap;
};
int pieces_add(struct pieces *l, size_t at, size_t n, int32_t id, bool first, struct err *e);

/* What a pattern found: matches and the gaps between them, in order, covering the whole piece. */
struct span {
    size_t at, end;
    bool match;
};
struct spans {
    struct span *v;
    size_t n, cap;
};
int spans_add(struct spans *l, size_t at, size_t end, bool match, struct err *e);

/* Scratch of one encode or decode; kept between calls, so that a call on short text allocates nothing. */
struct work {
    struct pieces cur, next;
    struct spans spans, cuts;
    struct buf norm, norm_next; /* the text that normalizers work on */
    struct ids ids, ids_next;   /* what post-processors work on */
    int32_t *chars;             /* code points, for normalization forms */
    size_t n_chars, cap_chars;
};
void work_release(struct work *w);
/* The two ways in which a part finishes: it made a new list on the same text, or new text and list. */
void work_swap_list(struct work *w);
void work_swap_all(struct work *w);

/* A string or a regular expression to look for. */
struct pattern {
    struct regex *re; /* NULL: the literal */
    char *lit;
    size_t n;
};
int pattern_init(struct pattern *p, const char *text, size_t n, bool is_regex, const char *where,
                 struct err *e);
void pattern_release(struct pattern *p);
/* pattern_spans - matches and gaps of p[0, n), as Oniguruma's iterator gives them: an empty match right behind a match
 * is passed over. invert: matches become gaps. */
int pattern_spans(const struct pattern *p, const char *s, size_t n, bool invert, struct spans *out,
                  struct err *e);
/* pattern_translate - an Oniguruma (Ruby syntax) pattern as PCRE2 understands it (tok_pattern.c says what differs). */
int pattern_translate(const char *p, size_t n, const char *where, struct buf *out, struct err *e);
/* unicode_added - ranges to be put between brackets: what a category has beyond PCRE2's table. */
int unicode_added(const char *category, struct buf *out, struct err *e);
const char *unicode_added_category(unsigned c); /* "": not one of them */
bool unicode_is_late_punct(unsigned c);         /* punctuation that the library does not know */
bool unicode_is_late_form(unsigned c);          /* no decomposition and no combining class in the library */
bool unicode_is_late_mark(unsigned c);          /* a mark that the library's StripAccents leaves */
unsigned unicode_late_lower(unsigned c);        /* the small letter that utf8proc does not know, or c */
extern const char pattern_gpt2[];               /* the fixed expression of ByteLevel with use_regex */

enum behavior { CUT_REMOVED, CUT_ISOLATED, CUT_PREVIOUS, CUT_NEXT, CUT_CONTIGUOUS };

/* One link of a chain, as read from the file. Which fields count is the kind's business. */
struct part_kind;
struct part {
    const struct part_kind *kind;
    struct part **child; /* Sequence */
    size_t n_child;
    struct pattern pattern;
    char *content; /* replacement, prefix, ... */
    size_t n_content;
    enum behavior behavior;
    bool invert, a, b;   /* flags of the kind */
    int scheme;          /* Metaspace: enum scheme */
    int64_t start, stop; /* Strip (decoder) */
    struct slot *slot;   /* template of a post-processor */
    size_t n_slot;
    void *own; /* model */
    void (*own_free)(void *own);
};
struct slot { /* the text's own ids, or added ones */
    bool sequence;
    int32_t *ids;
    size_t n;
};
enum scheme { SCHEME_FIRST, SCHEME_ALWAYS, SCHEME_NEVER };

enum part_table { TABLE_NORMALIZER, TABLE_PRE, TABLE_MODEL, TABLE_POST, TABLE_DECODER, TABLE_COUNT };
struct part_reader;
struct part_kind {
    const char *name;
    /* parse: fills p from j; r says where it stands. run: works on w in place. */
    int (*parse)(struct part *p, const struct json *j, struct part_reader *r, struct err *e);
    int (*run)(const struct part *p, struct work *w, struct err *e);
};
/* Where the reader stands: `FILE: pre_tokenizer.pretokenizers[1]`. */
struct part_reader {
    const char *file;
    enum part_table table;
    char where[200];
    struct tokenizer *t;
};
/* part_read - *out = NULL for JSON null. ERR_UNBUILT for kinds that are known and not built, ERR_INPUT for others. */
int part_read(const struct json *j, struct part_reader *r, struct part **out, struct err *e);
int part_read_children(struct part *p, const struct json *j, const char *key, struct part_reader *r,
                       struct err *e);
void part_free(struct part *p);
int part_run(const struct part *p, struct work *w, struct err *e); /* NULL part: does nothing */
/* Reads of a part's members, with errors that name file and place. */
int part_bool(const struct json *j, const char *key, bool def, const struct part_reader *r, bool *out,
              struct err *e);
int part_str(const struct json *j, const char *key, const struct part_reader *r, const char **out, size_t *n,
             struct err *e);
int part_id(const struct json *j, const char *what, const struct part_reader *r, int32_t *out, struct err *e);
int part_content(struct part *p, const struct json *j, const char *key, const struct part_reader *r,
                 struct err *e);
int part_pattern(struct part *p, const struct json *j, const struct part_reader *r, struct err *e);

/* Rows: tok_tables.c holds the list; these are what its rows name. */
#define PART_FN(name)                                                                             \
    int name##_parse(struct part *p, const struct json *j, struct part_reader *r, struct err *e); \
    int name##_run(const struct part *p, struct work *w, struct err *e)
int bare_parse(struct part *p, const struct json *j, struct part_reader *r,
               struct err *e);                                      /* no parameters */
int chain_run(const struct part *p, struct work *w, struct err *e); /* all children */
PART_FN(norm_chain);
PART_FN(norm_replace);
PART_FN(norm_prepend);
PART_FN(norm_strip);
int norm_nfc_run(const struct part *p, struct work *w, struct err *e);
int norm_nfd_run(const struct part *p, struct work *w, struct err *e);
int norm_nfkc_run(const struct part *p, struct work *w, struct err *e);
int norm_nfkd_run(const struct part *p, struct work *w, struct err *e);
int norm_lowercase_run(const struct part *p, struct work *w, struct err *e);
int norm_strip_accents_run(const struct part *p, struct work *w, struct err *e);
int norm_bytes_run(const struct part *p, struct work *w, struct err *e);
PART_FN(pre_chain);
PART_FN(pre_split);
PART_FN(pre_bytes);
PART_FN(pre_metaspace);
PART_FN(pre_digits);
PART_FN(pre_punctuation);
PART_FN(pre_delimiter);
int pre_whitespace_run(const struct part *p, struct work *w, struct err *e);
int pre_whitespace_split_run(const struct part *p, struct work *w, struct err *e);
int pre_bert_run(const struct part *p, struct work *w, struct err *e);
PART_FN(bpe);
PART_FN(post_chain);
PART_FN(post_template);
int post_pair_parse(struct part *p, const struct json *j, struct part_reader *r, struct err *e);
int post_none_run(const struct part *p, struct work *w, struct err *e);
PART_FN(dec_chain);
PART_FN(dec_replace);
PART_FN(dec_strip);
PART_FN(dec_metaspace);
int dec_bytes_run(const struct part *p, struct work *w, struct err *e);
int dec_fallback_run(const struct part *p, struct work *w, struct err *e);
int dec_fuse_run(const struct part *p, struct work *w, struct err *e);

/* Tokens by bytes and by id. Bytes lie in one pool. */
struct vocab_entry {
    uint32_t at, n;
    int32_t id;
};
struct vocab {
    struct vocab_entry *entry;
    size_t n;
    char *pool;
    uint32_t *slot; /* entry + 1; 0: free */
    size_t n_slot;  /* a power of two */
    int32_t *of_id; /* entry of an id, or -1 */
    int64_t n_id;   /* largest id + 1 */
};
enum { VOCAB_MAX_ID = 1 << 24 };
int vocab_read(struct vocab *v, const struct json *object, const char *file, struct err *e);
void vocab_release(struct vocab *v);
int32_t vocab_find(const struct vocab *v, const char *p, size_t n); /* -1: absent */
bool vocab_token(const struct vocab *v, int64_t id, struct slice *out);
uint64_t bytes_hash(const char *p, size_t n);
const struct vocab *bpe_vocab(const struct part *model);
int bpe_tokenize(const struct part *model, const char *p, size_t n, struct ids *out, struct err *e);

/* Added tokens: matched in the raw text, or in the normalized one. */
struct added_token {
    char *content;
    size_t n;
    int32_t id;
    bool special, lstrip, rstrip, single_word, normalized;
};
struct trie_node {
    uint32_t child, sibling; /* 0: none */
    int32_t token;           /* index, or -1 */
    unsigned char byte;
};
struct trie {
    struct trie_node *node; /* node 0 is the root */
    size_t n, cap;
    uint32_t first[256]; /* the root's children */
};
struct added {
    struct added_token *v;
    size_t n;
    int32_t *of_id; /* index + 1 of an id; 0: none */
    size_t n_id;
    struct trie raw, normal;
};
int added_read(struct added *a, const struct json *list, struct tokenizer *t, struct err *e);
void added_release(struct added *a);
/* added_cut - pieces of p[0, n) (which stands at `base` of out->text): added tokens and the text between. */
int added_cut(const struct added *a, const struct trie *t, const char *p, size_t n, size_t base, bool first,
              struct pieces *out, struct err *e);
const struct added_token *added_by_id(const struct added *a, int64_t id);

struct tokenizer {
    char *name;
    struct part *chain[TABLE_COUNT]; /* NULL: null in the file */
    struct added added;
    struct work work;
    int64_t size; /* largest id + 1 */
};
/* tokenizer_normalize - p[0, n) through the normalizers into w->norm. */
int tokenizer_normalize(const struct part *chain, struct work *w, const char *p, size_t n, struct err *e);

/* Characters (tok_chars.c): Unicode's White_Space, N*, P*, and Rust regex's \w; tables of utf8proc. */
bool char_is_space(unsigned c);
bool char_is_numeric(unsigned c);
bool char_is_punct(unsigned c); /* ASCII punctuation or category P as of Unicode 8 */
bool char_is_mark(unsigned c);
bool char_is_word(unsigned c);
/* Bytes as the printable characters of GPT-2's table, and back (-1: no such character). */
int byte_char_put(unsigned char b, char *out); /* returns 1 or 2 bytes */
int byte_char_get(unsigned c);
int bytes_map(const char *p, size_t n, struct buf *out, struct err *e);
/* utf8_repair - p[0, n) with U+FFFD for each maximal ill-formed prefix, appended to out. */
int utf8_repair(const char *p, size_t n, struct buf *out, struct err *e);
/* grow - an array of at least `need` elements; *cap is in elements. */
int grow(void **v, size_t *cap, size_t need, size_t size, struct err *e);
#endif
