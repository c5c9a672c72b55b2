/* tensor.h - dtypes, borrowed views, and a checkpoint as others see it (`struct tensor_source`). */
#ifndef QP_BASE_TENSOR_H
#define QP_BASE_TENSOR_H
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

enum dtype {
    DT_BOOL,
    DT_U8,
    DT_I8,
    DT_U16,
    DT_I16,
    DT_U32,
    DT_I32,
    DT_U64,
    DT_I64,
    DT_F8_E4M3,
    DT_F8_E5M2,
    DT_F8_E8M0,
    DT_F16,
    DT_BF16,
    DT_F32,
    DT_F64,
    DT_COUNT
};
struct dtype_info {
    const char *name;  /* as safetensors spells it: "F32", "BF16", "F8_E4M3", ... */
    const char *torch; /* as config.json spells it: "float32", "bfloat16"; NULL if it has no such word */
    int bytes;
    int is_float; /* 1: can be read as float32 by dtype_to_f32 */
};
extern const struct dtype_info dtypes[DT_COUNT];
int dtype_find(const char *safetensors_name); /* enum dtype, or -1 */
int dtype_find_torch(const char *torch_name); /* "float32" or "torch.float32"; enum dtype, or -1 */

/* dtype_to_f32 - n elements of dtype t to float32, exactly (F64 and integers round to nearest even).
 * dtype_from_f32 - the other way, round to nearest even; BF16, F16, F32, F8_E4M3 (saturating) only. */
void dtype_to_f32(enum dtype t, const void *src, int64_t n, float *dst);
void dtype_from_f32(enum dtype t, const float *src, int64_t n, void *dst);
float dtype_round(enum dtype t,
                  float x); /* x rounded to the nearest value of t (BF16, F16, F32), as float32 */

enum { RANK_MAX = 6 };
/* Borrowed, read-only, dense, outermost dimension first: [out_features, in_features]. */
struct tensor_view {
    const void *data;
    enum dtype dtype;
    int rank;
    int64_t dim[RANK_MAX];
};
int64_t view_elems(const struct tensor_view *v); /* 1 for rank 0 */
int64_t view_bytes(const struct tensor_view *v);

/* What a checkpoint says of one tensor. */
struct tensor_info {
    const char *name; /* as on disk; owned by the source */
    enum dtype dtype;
    int rank;
    int64_t dim[RANK_MAX];
};

/* tensor_source - a checkpoint, whatever container it lies in, as names and values. Implemented by io (plain
 * safetensors; decoders of quantized containers that show `X.weight` although the file holds codes). All functions
 * are safe to call from several threads. Tensors are sorted by name. */
struct tensor_source {
    void *self;
    int64_t count;
    const struct tensor_info *(*at)(void *self, int64_t i);
    const struct tensor_info *(*find)(void *self, const char *name); /* NULL: no such tensor */
    /* Rows [row, row+n) of the tensor seen as a matrix [dim0, rest] (rank 1: [dim0, 1]) as float32 into out
     * [n * rest]. ERR_INPUT naming file and tensor when absent, out of range, or of a dtype that is no number. */
    int (*read_f32)(void *self, const char *name, int64_t row, int64_t n, float *out, struct err *e);
    /* The stored bytes, mapped: valid until the source is closed. ERR_INPUT when the source has no stored bytes
     * under that name (a decoded tensor). */
    int (*view)(void *self, const char *name, struct tensor_view *out, struct err *e);
    void (*close)(void *self);
};
#endif
