/* tokenizer.h - ids of a text as the `tokenizers` library gives them, from tokenizer.json. Parts are tables: normalizers,
 * pre-tokenizers, models, post-processors, decoders; a kind that is not built is refused by its name. */
#ifndef QP_TEXT_TOKENIZER_H
#define QP_TEXT_TOKENIZER_H
#include "base/err.h"
#include "base/str.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A growing list of token ids. { 0 } is empty. */
struct ids {
    int32_t *v;
    size_t n, cap;
};
int ids_add(struct ids *l, const int32_t *v, size_t n, struct err *e);
void ids_release(struct ids *l);

struct tokenizer;
struct tokenizer *tokenizer_open(const char *model_dir, struct err *e); /* reads model_dir/tokenizer.json */
struct tokenizer *tokenizer_parse(const char *json, size_t n, const char *name, struct err *e);
void tokenizer_free(struct tokenizer *t);
/* Appends the ids of text (any bytes: each maximal ill-formed prefix counts as U+FFFD). special: with the tokens that the post-processor
 * adds. Added tokens written in the text are matched in both cases. One tokenizer per thread. */
int tokenizer_encode(struct tokenizer *t, const char *text, size_t n, bool special, struct ids *out,
                     struct err *e);
int tokenizer_decode(struct tokenizer *t, const int32_t *ids, size_t n, bool skip_special, struct buf *out,
                     struct err *e);
int64_t tokenizer_size(const struct tokenizer *t); /* largest id + 1 */
/* A row of each parts table for `qpipe list`. */
struct tokenizer_part {
    const char *table, *name,
        *doc; /* table: "normalizer", "pre-tokenizer", "model", "post-processor", "decoder" */
};
extern const struct tokenizer_part tokenizer_parts[]; /* ends with name == NULL */
#endif
