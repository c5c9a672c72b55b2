/* fixture.h - fixtures of ../shared for the tests of quant: archives unpacked to a temporary folder, safetensors read
 * the shortest way, codes unpacked bit by bit. Independent of io on purpose. */
#ifndef QP_TESTS_QUANT_FIXTURE_H
#define QP_TESTS_QUANT_FIXTURE_H
#include "base/json.h"
#include "base/tensor.h"

/* The folder an archive was unpacked to (once per program; removed at exit), or NULL: "skipped" has been printed. */
const char *fixture_unpack(const char *archive);

struct tensors {
    struct buf bytes;
    struct json *header;
    size_t data; /* where tensors begin */
};
void tensors_read(struct tensors *t, const char *dir, const char *file);
void tensors_free(struct tensors *t);
int tensors_find(const struct tensors *t, const char *name, struct tensor_view *v); /* 1: there */
float *tensors_f32(const struct tensors *t, const char *name, int64_t *rows,
                   int64_t *cols); /* freed with mem_free */
/* Codes of a packed row: `bits` each, dense little-endian words, offset 2^(bits-1). */
int unpack_code(const int32_t *words, int bits, int64_t i);
#endif
