/* model.h - a decoder as data: config.json read through an architecture's row, its modules by transformers' names, and
 * the tensors on disk that they need. Nothing is loaded here but small tensors on demand. */
#ifndef QP_MODEL_MODEL_H
#define QP_MODEL_MODEL_H
#include "base/activation.h"
#include "base/json.h"
#include "base/str.h"
#include "base/tensor.h"
#include <stdbool.h>

struct arch;   /* model/arch.h: a row of the architectures table */
struct config; /* model/config.h: the values of config.json by their meaning */

struct module {
    char *name;                 /* transformers' module name: "model.layers.0.mlp.up_proj" */
    const char *const *classes; /* "Linear", "Module", NULL */
    char *tensor; /* the weight's name on disk (differs for some families; tied heads: the embedding's) */
    char *bias;   /* the bias tensor's name, or NULL */
    int64_t out, in;
    int block; /* 0..n_blocks-1; n_blocks: epilogue; -1: prologue */
    int group; /* statistics group inside its block, -1: none (embedding, norm) */
    bool quantizable, tied;
    int part;         /* enum part_id: its role in the steps (model/arch.h) */
    int64_t row;      /* of several modules with one role: which one */
    const char *rule; /* by names alone (model_open_names): which rule made it; else NULL */
    int64_t stack;    /* by names alone: so many matrices in one tensor [stack, ...]; else 0 */
};
struct model {
    const struct arch *arch; /* NULL: by names alone; then there is no config, and nothing to walk */
    struct config *config;
    const struct tensor_source *tensors; /* borrowed */
    char *name;                          /* of the folder, for errors */
    int64_t vocab, hidden, n_blocks, max_positions;
    struct module *module; /* in forward order */
    int64_t n_modules;
    int64_t *first; /* [n_blocks + 3]: modules of block b are first[b + 1] .. first[b + 2] - 1 */
    /* Tensors of the checkpoint that no module reads and no rule of the family explains. */
    struct strs unread;
    /* Which inputs are rounded as a runtime would; borrowed. NULL: none, and model_open leaves it so. */
    const struct activations *activations;
};
/* model_open - ERR_UNBUILT: a known family whose steps are not all built, or an unknown model_type (nearest names);
 * ERR_INPUT: a key of config.json out of range, a missing or wrongly shaped tensor, by name. dir: for messages. */
int model_open(const struct json *config, const struct tensor_source *tensors, const char *dir,
               struct model *out, struct err *e);
/* model_open_names - modules from the names and shapes of tensors alone (names.c), for what needs no walk: arch and config
 * stay NULL, and of the functions below only model_release and model_module may be called.
 * model_open_any - model_open; where that is ERR_UNBUILT, by names. *why: what it said, or zero. */
int model_open_names(const struct json *config, const struct tensor_source *tensors, const char *dir,
                     struct model *out, struct err *e);
int model_open_any(const struct json *config, const struct tensor_source *tensors, const char *dir,
                   struct model *out, struct err *why, struct err *e);
void model_release(struct model *m);
const struct module *model_module(const struct model *m, const char *name);      /* NULL */
const struct module *model_part(const struct model *m, int64_t block, int part); /* by role; NULL */
/* FLOPs of one forward pass over `tokens` tokens in sequences of `length` (head included), and bytes: for plans.
 * block: -1 prologue, 0.. blocks, n_blocks: epilogue. */
double model_forward_flops(const struct model *m, int64_t tokens, int64_t length);
int64_t model_block_bytes(const struct model *m, int64_t block); /* float32 weights of one block in memory */
/* Floats a token that wait between two groups, at most. */
int64_t model_live_floats(const struct model *m, int64_t block);
/* The same before one group alone; group -1: behind the block. */
int64_t model_live_at(const struct model *m, int64_t block, int group);
int64_t model_scratch_floats(const struct model *m, int64_t length); /* registers of one chunk */
/* Rows for `qpipe list`: architectures and steps. */
struct table_row {
    const char *name, *doc;
    bool built;
};
const struct table_row *model_architectures(int64_t *n);
const struct table_row *model_steps(int64_t *n);
#endif
