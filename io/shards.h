/* shards.h - the files of a checkpoint as one sorted list of tensors: which files belong to it, and their tensors as a
 * tensor_source of stored values. For io only; others see struct checkpoint. */
#ifndef QP_IO_SHARDS_H
#define QP_IO_SHARDS_H
#include "base/str.h"
#include "base/tensor.h"
#include "io/safetensors.h"

struct shard_tensor {
    const struct st_entry *entry;
    int64_t shard; /* index into name and file */
};
struct shards {
    struct strs name;            /* file names, sorted */
    struct st_file *file;        /* one per name */
    struct shard_tensor *tensor; /* sorted by tensor name */
    int64_t n;
};
/* shards_open - the safetensors files of `dir`: those of model.safetensors.index.json when there is one, else
 * model.safetensors, else the only *.safetensors file. *out is new; free it with shards_free. */
struct shards *shards_open(const char *dir, struct err *e);
void shards_free(struct shards *s); /* NULL is allowed */
const struct shard_tensor *shards_find(const struct shards *s, const char *name);
/* shards_source - a source over s; its close frees s. */
struct tensor_source shards_source(struct shards *s);
/* read_stored_f32 - n elements of dtype t at p, which needs no alignment, as float32. */
void read_stored_f32(enum dtype t, const unsigned char *p, int64_t n, float *out);
#endif
