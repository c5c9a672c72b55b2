/* config.h - config.json by meaning: sizes, flags, rope and layers, whatever the family and the release that wrote it
 * called them. Every value is in a range whose products can not overflow int64_t. */
#ifndef QP_MODEL_CONFIG_H
#define QP_MODEL_CONFIG_H
#include "base/json.h"
#include "model/arch.h"
#include "model/rope.h"
#include <math.h>
#include <stdint.h>

/* The largest sizes taken; 2^24 * 2^28 * 2^12 < 2^63 and so does every product of shape, block and layer. */
enum {
    MAX_HIDDEN = 1 << 20,
    MAX_LAYERS = 1 << 12,
    MAX_HEADS = 1 << 12,
    MAX_HEAD_DIM = 1 << 12,
    MAX_INTER = 1 << 24,
    MAX_VOCAB = 1 << 24,
    MAX_POSITIONS = 1 << 28
};
_Static_assert((int64_t)MAX_VOCAB * 8 * MAX_HIDDEN <= INT64_MAX / MAX_LAYERS,
               "bytes of all layers fit int64_t");
_Static_assert((int64_t)MAX_HEADS *MAX_HEAD_DIM * 12 * MAX_HIDDEN <= INT64_MAX / MAX_LAYERS,
               "so do all heads");

struct layer {
    int64_t window; /* 0: none */
    int rope;       /* table, -1: none */
    float scale;    /* of the scores */
};
struct config {
    const struct arch *arch;
    char *file; /* name for errors */
    int64_t vocab, hidden, layers, heads, kv_heads, head_dim, inter, embed, max_positions, positions_offset;
    int64_t window, max_window_layers, window_period, rotary_dim, orig_positions, norope_period;
    double eps, rope_theta, rope_local_theta, partial_rotary;
    double embed_scale, attn_scale, query_scalar, residual_scale, logit_mul, logit_div, score_cap, logit_cap,
        clip;
    int act; /* enum k_act */
    bool flag[FLAG_COUNT];
    int64_t dim[DIM_COUNT];
    bool has[P_COUNT];
    struct rope rope[2];
    int n_ropes;
    struct layer *layer; /* [layers] */
    bool *rope_off;      /* [layers] or NULL: layers without rope by list */
    bool *local;         /* [layers] or NULL: window layers by list */
    float *alibi;        /* [heads] or NULL */
};
/* config_read - file: the name of config.json for errors. ERR_INPUT, ERR_UNBUILT, ERR_NOMEM. */
int config_read(const struct json *j, const char *file, struct config **out, struct err *e);
void config_free(struct config *c); /* NULL is allowed */
bool config_flag(const struct config *c, int64_t block,
                 enum flag f);                            /* block outside 0..layers-1: no layer's flags */
const struct step *config_block(const struct config *c);  /* the family's block list that holds */
int64_t config_width(const struct config *c, enum reg r); /* floats a token */
const struct part *config_part(const struct config *c, enum part_id id); /* NULL: the model has none */
/* config_layers - windows and rope per layer, by the family's rules (layers.c). */
int config_layers(struct config *c, const struct json *j, struct err *e);

#define REQUIRED ((double)NAN) /* as the default of a key that must be there */
/* Values of an object with errors "FILE: key 'K': found X, expected Y". */
int config_int(const struct config *c, const struct json *o, const struct key *k, int64_t *out,
               struct err *e);
int config_real(const struct config *c, const struct json *o, const struct key *k, double *out,
                struct err *e);
int config_bad(const struct config *c, const char *key, const struct json *found, struct err *e,
               const char *expected);
const struct json *config_get(const struct json *o, const char *names,
                              char found[64]); /* first present, not null */
#endif
