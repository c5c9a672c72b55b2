/* tiny.h - a Llama of two blocks without a file: config.json as text with keys dropped and added, and a tensor_source
 * whose values are random numbers by name and index. Used by tests that need no fixture, and by the fuzz target. */
#ifndef QP_TESTS_MODEL_TINY_H
#define QP_TESTS_MODEL_TINY_H
#include "base/json.h"
#include "base/str.h"
#include "base/tensor.h"
#include "model/model.h"

enum {
    TINY_HIDDEN = 16,
    TINY_HEADS = 4,
    TINY_KV = 2,
    TINY_HEAD_DIM = 4,
    TINY_INTER = 24,
    TINY_VOCAB = 32,
    TINY_LAYERS = 2
};
enum { TINY_TENSORS = 32 };
struct tiny {
    struct tensor_info info[TINY_TENSORS];
    char name[TINY_TENSORS][64];
    struct tensor_source source;
    const char *scaled; /* tensors whose names contain this are halved, or NULL */
    bool fail;          /* every read fails */
};
void tiny_source(struct tiny *t);
/* tiny_reshape - changes the shape or dtype of one tensor; tiny_hide - takes it away; tiny_add - one more, [4]. */
void tiny_reshape(struct tiny *t, const char *name, int rank, int64_t d0, int64_t d1, enum dtype dtype);
void tiny_hide(struct tiny *t, const char *name);
void tiny_add(struct tiny *t, const char *name);
/* tiny_config - drop: a key that is left out, or NULL; add: members as JSON text, or "". Freed with json_free. */
struct json *tiny_config(const char *drop, const char *add, struct err *e);
#endif
