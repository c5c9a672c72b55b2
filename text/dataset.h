/* dataset.h - calibration and evaluation text: files in, equally cut token sequences out, every choice counted and hashed.
 * Formats are a table (text, jsonl, json, token ids as JSON, token ids as safetensors), each also compressed or in an
 * archive (io/archive.h). */
#ifndef QP_TEXT_DATASET_H
#define QP_TEXT_DATASET_H
#include "base/err.h"
#include "base/json.h"
#include "text/tokenizer.h"
#include <stdbool.h>
#include <stdint.h>

enum pack_mode {
    PACK_TRUNCATE,
    PACK_CONCATENATE
}; /* one sequence per record, cut; or all joined and cut in full blocks */
struct dataset_options {
    const char *path;
    const char
        *field; /* JSON key of the text (default "text"); for safetensors the tensor's name or NULL (a single
                              * integer matrix, or the first of calib_input_ids, input_ids) */
    int64_t samples;         /* at most; 0: all */
    int64_t sequence_length; /* tokens per sequence at most; 0: no limit (PACK_CONCATENATE needs one) */
    int64_t min_length;      /* shorter sequences are skipped, and counted */
    enum pack_mode pack;
    bool shuffle; /* records in the order of rng_permutation(seed, 1, records) */
    uint64_t seed;
    bool special; /* with the tokenizer's special tokens (one per record) */
};
struct dataset {
    int32_t **seq; /* [n] */
    int64_t *len;  /* [n] */
    int64_t n, tokens;
    int64_t records, skipped_short, skipped_empty, cut; /* what became of the input */
    char source_sha256[65];                             /* of the file's bytes */
    char tokens_sha256[65];                             /* of lengths and ids as little-endian i64, i32 */
    const char *format;                                 /* row of the formats table */
    bool from_ids;                                      /* no tokenizer was used */
};
/* dataset_load - t may be NULL when the file holds token ids. vocab: ids must be below it (ERR_INPUT names record and id). */
int dataset_load(const struct dataset_options *o, struct tokenizer *t, int64_t vocab, struct dataset *out,
                 struct err *e);
void dataset_release(struct dataset *d);
/* dataset_overlap - true when a run of `window` tokens of b stands in a (how held-out text is kept apart). *at: where in b. */
int dataset_overlap(const struct dataset *a, const struct dataset *b, int64_t window, bool *found,
                    int64_t *at_seq, struct err *e);
struct data_format {
    const char *name, *endings, *doc;
};
extern const struct data_format data_formats[]; /* ends with name == NULL */
/* The records of a file as texts, in order, for `qpipe tokenize`: f(arg, text, n). Lines of .txt, records of JSON. */
int dataset_records(const char *path, const char *field,
                    int (*f)(void *arg, const char *p, size_t n, struct err *e), void *arg, struct err *e);
#endif
