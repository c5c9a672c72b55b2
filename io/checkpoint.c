/* checkpoint.c - a model folder: its config.json, its shards, and, when config.json says that it is quantized, the
 * container that decodes it. Knows no format of its own: files are shards.c, codes are containers/. */
#include "io/checkpoint.h"

#include "base/file.h"
#include "base/mem.h"
#include "io/containers/container.h"
#include "io/shards.h"

#include <string.h>

/* Files that are weights in some format, or belong to such: never copied beside new weights. */
static const char *const weight_tails[] = {
    ".safetensors", ".index.json", ".bin",       ".pt",   ".pth",     ".ckpt",   ".gguf",
    ".ggml",        ".onnx",       ".onnx_data", ".h5",   ".msgpack", ".tflite", ".npz",
    ".pdparams",    ".ot",         ".mlmodel",   ".nemo", NULL,
};

/* Writers that leave config.json alone and put a file of their own beside it. */
static const struct {
    const char *file, *method;
} method_files[] = {
    { "hf_quant_config.json", "modelopt" },
    { "quantize_config.json", "gptq" },
    { "quant_config.json", "awq" },
};

static int read_config(struct checkpoint *c, struct err *e)
{
    char *path = path_join(c->dir, "config.json", e);
    int rc = path ? 0 : -1;
    if (!rc && path_exists(path)) {
        c->config = json_read(path, JSON_DEFAULT_LIMIT, e);
        rc = c->config ? 0 : -1;
        if (!rc && json_type(c->config) != JSON_OBJECT)
            rc = err_set(e, ERR_INPUT, "%s: found %s, expected an object", path,
                         json_type_name(json_type(c->config)));
    }
    mem_free(path);
    return rc;
}

static int find_method_file(const struct checkpoint *c, const char **method, struct err *e)
{
    for (size_t i = 0; !*method && i < sizeof method_files / sizeof *method_files; i++) {
        char *path = path_join(c->dir, method_files[i].file, e);
        if (!path)
            return -1;
        if (path_exists(path))
            *method = method_files[i].method;
        mem_free(path);
    }
    return 0;
}

/* The name of the method that quantized this folder: 0 with *method NULL when it is a float one. Three spellings exist:
 * quantization_config (transformers), compression_config (old compressed-tensors), quantization (MLX). */
static int find_method(const struct checkpoint *c, const char **method, struct err *e)
{
    const struct json *q = json_get(c->config, "quantization_config");
    if (json_type(q) == JSON_NULL)
        q = json_get(c->config, "compression_config");
    *method = NULL;
    if (json_type(q) == JSON_NULL) {
        if (json_type(json_get(c->config, "quantization")) == JSON_OBJECT)
            *method = "mlx";
        return *method ? 0 : find_method_file(c, method, e);
    }
    if (json_type(q) != JSON_OBJECT)
        return err_set(e, ERR_INPUT, "%s/config.json: key 'quantization_config' is %s, expected an object",
                       c->dir, json_type_name(json_type(q)));
    *method = json_str(json_get(q, "quant_method"), NULL);
    if (!*method)
        return err_set(e, ERR_INPUT, "%s/config.json: quantization_config has no 'quant_method'", c->dir);
    return 0;
}

static int unknown_method(const struct checkpoint *c, const char *method, struct err *e)
{
    const char *known = container_unbuilt(method);
    if (known) {
        err_set(e, ERR_UNBUILT, "%s: reading checkpoints quantized by '%s' (%s) is not built yet", c->dir,
                method, known);
        return err_hint(e, "give the float checkpoint that it was made from");
    }
    return err_set(e, ERR_UNBUILT, "%s/config.json: found quant_method '%s', which is not known", c->dir,
                   method);
}

static int open_tensors(struct checkpoint *c, struct err *e)
{
    const char *method = NULL;
    struct shards *s = shards_open(c->dir, e);
    if (!s)
        return -1;
    c->stored = c->tensors = shards_source(s);
    for (size_t i = 0; i < s->name.n; i++)
        if (strs_add(&c->shards, s->name.v[i], e))
            return -1;
    if (find_method(c, &method, e))
        return -1;
    if (!method)
        return 0;
    const struct container *k = container_by_method(method);
    if (!k)
        return unknown_method(c, method, e);
    if (k->open(c->config, c->dir, &c->stored, &c->decoder, &c->tensors, e))
        return -1;
    c->container = k;
    return 0;
}

int checkpoint_open(const char *dir, struct checkpoint *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    if (folder_open(dir, &out->folder, e))
        return -1;
    out->dir = out->folder.dir;
    if (read_config(out, e) || open_tensors(out, e)) {
        checkpoint_close(out);
        return err_while(e, "opening checkpoint %s", dir);
    }
    return 0;
}

void checkpoint_close(struct checkpoint *c)
{
    if (c->container)
        c->container->close(c->decoder);
    if (c->stored.close)
        c->stored.close(c->stored.self);
    strs_release(&c->shards);
    json_free(c->config);
    folder_close(&c->folder);
    memset(c, 0, sizeof *c);
}

const char *checkpoint_shard(const struct checkpoint *c, const char *tensor)
{
    const struct shards *s = c->stored.self;
    const struct shard_tensor *t = s ? shards_find(s, tensor) : NULL;
    return t ? s->name.v[t->shard] : NULL;
}

static bool is_weight_file(const char *name)
{
    for (const char *const *t = weight_tails; *t; t++)
        if (str_ends(name, *t))
            return true;
    return false;
}

int checkpoint_side_files(const struct checkpoint *c, struct strs *out, struct err *e)
{
    struct strs all = { 0 };
    int rc = path_list(c->dir, &all, e);
    for (size_t i = 0; !rc && i < all.n; i++)
        if (all.v[i][0] != '.' && strcmp(all.v[i], "config.json") && !is_weight_file(all.v[i]))
            rc = strs_add(out, all.v[i], e);
    strs_release(&all);
    return rc;
}
