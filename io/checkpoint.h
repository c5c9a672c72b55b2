/* checkpoint.h - a Hugging Face folder as a tensor_source: one safetensors file or shards with an index, memory-mapped,
 * every header bounds-checked before use. Quantized folders are recognised by their config.json and decoded by the
 * container that wrote them (containers/container.h): `X.weight` is then float32 read from codes. */
#ifndef QP_IO_CHECKPOINT_H
#define QP_IO_CHECKPOINT_H
#include "base/json.h"
#include "base/str.h"
#include "base/tensor.h"
#include "io/folder.h"
#include <stdbool.h>

struct container;
struct checkpoint {
    struct folder folder;
    const char *dir;             /* folder.dir: where its files lie */
    struct json *config;         /* config.json, parsed; NULL when the folder has none */
    struct strs shards;          /* file names, sorted */
    struct tensor_source stored; /* tensors as the files hold them */
    struct tensor_source
        tensors; /* tensors as a model wants them (decoded); == stored for float checkpoints */
    const struct container *container; /* NULL: not quantized */
    void *decoder;                     /* the container's */
};
/* checkpoint_open - ERR_INPUT (not a folder with safetensors, lying header, index that names absent files, the same
 * tensor twice, unknown quant_method: ERR_UNBUILT with its name), ERR_IO, ERR_NOMEM. */
/* dir may be an archive (folder.h). */
int checkpoint_open(const char *dir, struct checkpoint *out, struct err *e);
void checkpoint_close(struct checkpoint *c); /* { 0 } is allowed */
/* Which shard holds a stored tensor, and where its bytes lie: for the manifest. NULL: no such tensor. */
const char *checkpoint_shard(const struct checkpoint *c, const char *tensor);
/* Files of the folder that are neither weights nor config.json (tokenizer, generation_config, ...), sorted. Weights in
 * other formats (*.bin, *.pt, *.gguf, *.onnx, ...) and folders are left out. */
int checkpoint_side_files(const struct checkpoint *c, struct strs *out, struct err *e);
#endif
