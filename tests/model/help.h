/* help.h - a fixture folder opened with io's safetensors reader, as a tensor_source in which tests can hide and rename
 * tensors; and walks over it. */
#ifndef QP_TESTS_MODEL_HELP_H
#define QP_TESTS_MODEL_HELP_H
#include "base/json.h"
#include "base/tensor.h"
#include "io/safetensors.h"
#include "model/model.h"
#include "model/walk.h"

enum { MAX_FILES = 4 };
struct fixture {
    char dir[256];
    struct st_file file[MAX_FILES];
    int n_files;
    struct st_file golden;
    struct json *config;
    struct tensor_source source;
    const struct tensor_info **info; /* all tensors, sorted */
    const char *hidden;              /* a tensor that the source does not show, or NULL */
    const char *faulty;              /* a tensor whose reading fails with ERR_IO, or NULL */
};
bool fixtures_here(void);
/* config: "config.json" or "config.v4.json" */
int fixture_open(struct fixture *f, const char *name, const char *config, struct err *e);
void fixture_close(struct fixture *f);
struct tensor_view golden(const struct fixture *f, const char *name); /* data NULL: not there */
/* The golden ids as chunks of their own memory. */
struct ids {
    int32_t *id;
    const int32_t *seq[8];
    int64_t len[8];
    struct chunks chunks;
};
void ids_of(const struct fixture *f, struct ids *out);
void ids_release(struct ids *i);
float largest_difference(const float *a, const float *b, int64_t n);
/* All blocks and the head without hooks; logits [sum of len, vocab], owned by the caller (mem_free). */
float *walk_logits(const struct model *m, const struct chunks *c, uint64_t budget, struct err *e);
float *walk_logits_with(const struct model *m, const struct chunks *c, uint64_t budget, enum walk_mode mode,
                        const struct walk_hooks *hooks, struct err *e);
#endif
