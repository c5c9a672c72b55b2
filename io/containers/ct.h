/* ct.h - compressed-tensors from inside: its formats, and what config.json says of a module. The files:
 * ct_format.c (which format a scheme takes; the container's row), ct_write.c (tensors and config.json out),
 * ct_scheme.c (quantization_config in), ct_read.c (tensors in). Source of the layout: compressed-tensors 0.19.0. */
#ifndef QP_IO_CT_H
#define QP_IO_CT_H
#include "base/regex.h"
#include "io/containers/container.h"

extern const struct container compressed_tensors;

enum ct_format { CT_PACK, CT_INT, CT_NAIVE, CT_FLOAT, CT_NVFP4, CT_MXFP4, CT_MXFP8, CT_DENSE, CT_FORMATS };
extern const char *const ct_format_words[]; /* CT_FORMATS names and a NULL */
int ct_format_find(const char *name);       /* enum ct_format, or -1 */
/* What a format holds; a row of ct_forms each. */
struct ct_form {
    const char *grid; /* NULL: by the weights' type, int or fp8 */
    bool (*holds)(const struct quant_args *w);
    const char *what;
    bool packed;  /* codes are weight_packed, several to a word or byte; else `weight`, one to a byte */
    int bfloat16; /* 1: readers decode to bfloat16 */
};
extern const struct ct_form ct_forms[]; /* by enum ct_format */
const char *ct_grid_name(enum ct_format f, const struct quant_args *w);
/* The format of a scheme that names none, as the peer infers it. */
enum ct_format ct_infer(const struct quant_scheme *s);
/* The format that a scheme is written in (its own, or the inferred one): 0, or -1 with why it can not be written. */
int ct_format_of(const struct quant_scheme *s, enum ct_format *out, struct err *e);
/* Zero points of these strategies are packed along dim 0 by pack-quantized; of the others they stay int8. */
bool ct_packs_zero(const struct quant_args *a);

int ct_pack(struct saver *out, const char *module, const struct quant_scheme *s, const struct qtensor *q,
            struct err *e);
int ct_pack_begin(struct saver *out, const char *module, const struct quant_scheme *s,
                  const struct grid_layout *l, struct err *e);
int64_t ct_row_bytes(const struct quant_scheme *s, const struct grid_layout *l);
void ct_pack_rows(const struct quant_scheme *s, const struct qtensor *strip, uint8_t *out);
int ct_pack_end(struct saver *out, const char *module, const struct quant_scheme *s, const struct qtensor *q,
                struct err *e);
int64_t ct_packed_bytes(const struct quant_scheme *s, const struct grid_layout *l);
int ct_write_config(const struct container_job *job, struct buf *out, struct err *e);

/* One group of quantization_config. */
struct ct_target {
    const char *word;    /* borrowed from the config */
    struct regex *regex; /* of "re:..." */
};
struct ct_group {
    const char *name;
    struct quant_scheme scheme;
    int format; /* enum ct_format, or -1: not said */
    struct ct_target *target;
    size_t n_targets;
};
struct ct_config {
    struct ct_group *group;
    size_t n_groups;
    struct ct_target *ignore;
    size_t n_ignore;
    int format; /* the global one, or -1: not said, or mixed-precision */
    bool has_cache;
    struct quant_args cache; /* kv_cache_scheme */
};
/* config_root: the whole config.json (must outlive out). dir: for errors. */
int ct_config_read(const struct json *config_root, const char *dir, struct ct_config *out, struct err *e);
void ct_config_release(struct ct_config *c);
/* The group of a module, NULL with e set when there is none, or when the module is to be ignored. */
const struct ct_group *ct_config_group(const struct ct_config *c, const char *module, struct err *e);

int ct_open(const struct json *config, const char *dir, const struct tensor_source *stored, void **decoder,
            struct tensor_source *tensors, struct err *e);
bool ct_describe(void *decoder, const char *module, struct quant_args *out);
int ct_unpack(void *decoder, const char *module, struct qtensor *q, struct err *e);
void ct_close(void *decoder);
/* The group of a quantized module and its inputs, or NULL; the stored tensors; kv_cache_scheme or NULL. */
const struct ct_group *ct_group_of(void *decoder, const char *module, int64_t *in);
const struct ct_config *ct_config_of(void *decoder);
const struct tensor_source *ct_stored(void *decoder);
const struct quant_args *ct_cache_args(void *decoder);

/* ct_activation.c */
int ct_pack_activation(struct saver *out, const char *module, const char *what, const struct activation *a,
                       enum dtype t, struct err *e);
int ct_activation(void *decoder, const char *module, struct activation *out, struct err *e);
int ct_cache(void *decoder, const char *attention, int64_t heads, struct activation *key,
             struct activation *value, struct err *e);
#endif
