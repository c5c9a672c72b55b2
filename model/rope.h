/* rope.h - rotary positions: the kinds of scaling as a table, read from config.json, and cos/sin tables.
 * Tables follow the reference's precision: exponents, frequencies and angles are float32, cos and sin are rounded to it. */
#ifndef QP_MODEL_ROPE_H
#define QP_MODEL_ROPE_H
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

struct config;
struct json;
struct rope_kind;
struct rope {
    const struct rope_kind *kind;
    double theta, factor, low_freq, high_freq, beta_fast, beta_slow, mscale, mscale_all;
    double attention_factor; /* 0: by the formula of the kind */
    double partial;
    bool truncate;
    int64_t original, max_positions;    /* trained length, and the model's */
    int64_t rot;                        /* dims that turn, even */
    double *long_factor, *short_factor; /* [rot / 2] or NULL */
};
/* rope_read - table 0 (and 1 of families with two) of a config whose other values are read. */
int rope_read(struct config *c, const struct json *j, struct err *e);
void rope_release(struct rope *r);
bool rope_by_length(const struct rope *r); /* do frequencies depend on the length of the sequence? */
/* rope_freq - freq [rot / 2] and the factor on cos and sin, for sequences of `length`. */
void rope_freq(const struct rope *r, int64_t length, float *freq, float *scale);
/* rope_table - cos, sin [length, rot / 2]; freq: scratch [rot / 2]. */
void rope_table(const struct rope *r, int64_t length, float *cos, float *sin, float *freq);
#endif
