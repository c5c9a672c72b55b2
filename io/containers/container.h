/* container.h - a quantized checkpoint format: which grids it can hold, how a module's codes and parameters become
 * tensors and back, and what config.json says. One file per container, one row in containers.c. */
#ifndef QP_IO_CONTAINER_H
#define QP_IO_CONTAINER_H
#include "base/activation.h"
#include "base/json.h"
#include "base/qtensor.h"
#include "base/scheme.h"
#include "base/str.h"
#include "base/tensor.h"

struct saver;
/* What config.json must tell of one quantized module. */
struct packed_module {
    const char *name;  /* module name, without ".weight" */
    const char *cls;   /* "Linear", "Embedding" */
    const char *group; /* name of the config group, "group_0" */
};
struct packed_group {
    const char *name;
    const struct quant_scheme *scheme;
    const struct strs *targets; /* as the recipe gave them */
};
struct container_job {
    const struct json *config; /* the source's config.json */
    const struct packed_group *group;
    size_t n_groups;
    const struct packed_module *module;
    size_t n_modules;
    const struct strs *ignored; /* names of modules of a quantized class that stay unquantized, sorted */
    const struct quant_args *kv_cache; /* NULL: keys and values stay floats */
};
struct container {
    const char *name, *doc;   /* "compressed-tensors" */
    const char *quant_method; /* config.json's quantization_config.quant_method */
    /* 0: fits. -1 with ERR_INPUT: why this scheme can not lie in this container. */
    int (*fits)(const struct quant_scheme *s, struct err *e);
    /* NULL, or: what a user has to know who saves weights of this dtype with a scheme that fits; a plan says it. May
     * return NULL. */
    const char *(*remark)(const struct quant_scheme *s, enum dtype weight);
    /* The tensors of one module, through saver_put. `module` is the tensor prefix ("model.layers.0.mlp.up_proj"). */
    int (*pack)(struct saver *out, const char *module, const struct quant_scheme *s, const struct qtensor *q,
                struct err *e);
    /* pack in pieces, for a matrix that is never whole in memory: begin writes what comes before the codes and opens their
     * tensor; rows turns the codes of a strip of rows into its bytes, row_bytes of each row, for saver_append (pure:
     * any thread); end closes the tensor and writes the parameters, of which q holds all (q->codes may be NULL). */
    int (*pack_begin)(struct saver *out, const char *module, const struct quant_scheme *s,
                      const struct grid_layout *l, struct err *e);
    int64_t (*row_bytes)(const struct quant_scheme *s, const struct grid_layout *l);
    void (*pack_rows)(const struct quant_scheme *s, const struct qtensor *strip, uint8_t *out);
    int (*pack_end)(struct saver *out, const char *module, const struct quant_scheme *s,
                    const struct qtensor *q, struct err *e);
    /* What a static or local quantizer of activations stores; module: the prefix, of an attention for "k" and "v"; what:
     * "input", "k", "v"; t: the dtype of its scales. Nothing for dynamic ones. */
    int (*pack_activation)(struct saver *out, const char *module, const char *what,
                           const struct activation *a, enum dtype t, struct err *e);
    /* Bytes that pack will write for a layout: for plans. */
    int64_t (*packed_bytes)(const struct quant_scheme *s, const struct grid_layout *l);
    /* The whole config.json, deterministic. */
    int (*write_config)(const struct container_job *job, struct buf *out, struct err *e);
    /* Reading. open: from config.json and the stored tensors; *tensors shows X.weight decoded to float32 and everything
     * else as stored. describe: what `inspect` prints of one module; false when it is not quantized. */
    int (*open)(const struct json *config, const char *dir, const struct tensor_source *stored,
                void **decoder, struct tensor_source *tensors, struct err *e);
    bool (*describe)(void *decoder, const char *module, struct quant_args *out);
    /* How a module rounds its input, and an attention of so many key heads its keys and values; not on: it does not.
     * ERR_UNBUILT: it does, and it can not be computed here. cache_scheme: NULL where there is none. */
    int (*activation)(void *decoder, const char *module, struct activation *out, struct err *e);
    const struct quant_args *(*cache_scheme)(void *decoder);
    int (*cache)(void *decoder, const char *attention, int64_t heads, struct activation *key,
                 struct activation *value, struct err *e);
    /* One module back as codes and parameters (for rechecks); q is initialised on success. */
    int (*unpack)(void *decoder, const char *module, struct qtensor *q, struct err *e);
    void (*close)(void *decoder);
};
extern const struct container *const containers[];                     /* ends with NULL */
const struct container *container_find(const char *name);              /* by name; NULL */
const struct container *container_by_method(const char *quant_method); /* NULL */
/* Formats of other tools that are known by name and not built yet: "gptq", "awq", ...; NULL: never heard of. */
const char *container_unbuilt(const char *quant_method);
#endif
