/* walk.h - the one way a model is run: block after block over all chunks, activations waiting in a store. A block's
 * steps are cut at its statistics groups; at each cut a caller may look at the group's input and change its weights.
 *
 *   mode   true:  group after group, each sees inputs made by weights already changed (one pass)
 *          block: all inputs of a block from its original weights, then all groups solved, then the block again (two passes)
 *          false: inputs from original weights, outputs too: changes never propagate (one pass)
 */
#ifndef QP_MODEL_WALK_H
#define QP_MODEL_WALK_H
#include "model/model.h"

enum walk_mode { WALK_TRUE, WALK_BLOCK, WALK_FALSE };
extern const char *const walk_mode_words[]; /* "true", "block", "false", NULL */

/* Sequences of token ids; borrowed. n may be 0: a rank without work walks along. */
struct chunks {
    const int32_t *const *seq;
    const int64_t *len;
    int64_t n;
};
struct walk_group {
    int block, index; /* index of the group inside the block */
    int64_t k;        /* inputs */
    int n;            /* matrices that read it */
    const struct module *module[8];
    float *weight[8]; /* [out, in] float32, dense; may be changed in solve() */
};
struct walk_hooks {
    void *arg;
    /* false: nobody wants this group's input (then neither input nor solve is called). */
    bool (*wants)(void *arg, const struct walk_group *g);
    /* Chunks ascending: the input rows of the group, [rows, k]. */
    int (*input)(void *arg, const struct walk_group *g, int64_t chunk, const float *x, int64_t rows,
                 int64_t ldx, struct err *e);
    int (*solve)(void *arg, const struct walk_group *g, struct err *e);
    /* NULL, or: chunks ascending, keys (behind rope) and values of each block as a cache would get them, [rows, width]
     * dense: once per chunk, and before the block's last solve in the modes block and false. */
    int (*cache)(void *arg, int64_t block, int64_t chunk, const float *k, const float *v, int64_t rows,
                 int64_t width, struct err *e);
    /* With a walker beside this one (walker_beside): called behind input with the same group's input there, x0. */
    int (*pair)(void *arg, const struct walk_group *g, int64_t chunk, const float *x, const float *x0,
                int64_t rows, int64_t ldx, struct err *e);
};
struct walk_options {
    uint64_t activation_budget; /* bytes; beyond it chunks spill */
    const char *spill_dir;      /* where (a folder that exists); the file is unlinked at once */
};
struct walker;
/* chunks and model are borrowed until walker_free. Runs the prologue (embedding). */
struct walker *walker_new(const struct model *m, const struct chunks *c, const struct walk_options *o,
                          struct err *e);
/* walker_block - runs block b (0.. n_blocks-1 in order, then n_blocks: the epilogue's final norm and the head's group).
 * hooks may be NULL. Weights of the block are read, used, released. */
int walker_block(struct walker *w, int64_t b, enum walk_mode mode, const struct walk_hooks *hooks,
                 struct err *e);
/* walker_beside - from now on `other`, a new walker over the same model and chunks, takes every step that w takes, with
 * the weights of the model as they are: hooks see both inputs. Borrowed; it must not be walked by itself. */
void walker_beside(struct walker *w, struct walker *other);
/* walker_logits - after the epilogue: logits [len, vocab] of one chunk, with the head as the hooks left it. */
int walker_logits(struct walker *w, int64_t chunk, float *logits, struct err *e);
/* walker_hidden - the residual stream of a chunk as it waits now, [len, hidden] (after the last walker_block); after the
 * epilogue what the head reads, [len, inputs of the head] (never more than hidden). */
int walker_hidden(struct walker *w, int64_t chunk, float *out, struct err *e);
/* The residual stream of a chunk between two blocks, to be kept outside and put back: walker_stream shows it, n floats, valid
 * until the walker is used again. walker_resume: a new walker stands before block b, once each chunk's stream was put where
 * walker_place says (n floats) and walker_placed called. */
int walker_stream(struct walker *w, int64_t chunk, const float **x, int64_t *n, struct err *e);
float *walker_place(struct walker *w, int64_t chunk, int64_t *n);
int walker_placed(struct walker *w, struct err *e);
void walker_resume(struct walker *w, int64_t b);
/* walker_last - the next walker_block is the last of this walk: in the mode true, what stands behind its last wanted group is
 * of no use and does not run. */
void walker_last(struct walker *w);
/* walker_replay - inside solve() of the mode true: one chunk again from the input of group g to the end of the module named
 * `parent` (whose matrices may have been changed since), without a trace in what waits. out: its output [rows, width], or,
 * where parent is the whole block, the residual stream behind it; valid until the walker is used again. */
struct walk_output {
    const float *x;
    int64_t rows, width;
};
int walker_replay(struct walker *w, const struct walk_group *g, const char *parent, int64_t chunk,
                  struct walk_output *out, struct err *e);
uint64_t walker_spilled(const struct walker *w); /* bytes written to disk so far */
void walker_free(struct walker *w);
#endif
