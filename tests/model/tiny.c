/* tiny.c - see tiny.h. */
#include "tiny.h"
#include "base/rng.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct tensor_info *tiny_at(void *self, int64_t i) { return &((struct tiny *)self)->info[i]; }

static const struct tensor_info *tiny_find(void *self, const char *name)
{
    struct tiny *t = self;
    for (int64_t i = 0; i < t->source.count; i++)
        if (!strcmp(t->info[i].name, name))
            return &t->info[i];
    return NULL;
}

static int tiny_read(void *self, const char *name, int64_t row, int64_t n, float *out, struct err *e)
{
    struct tiny *t = self;
    const struct tensor_info *o = tiny_find(t, name);
    uint64_t stream = 5381;
    int64_t per = 1;
    if (!o || t->fail || row < 0 || row + n > o->dim[0])
        return err_set(e, ERR_IO, "cannot read '%s'", name);
    for (const char *c = name; *c; c++)
        stream = stream * 33 + (unsigned char)*c;
    for (int i = 1; i < o->rank; i++)
        per *= o->dim[i];
    for (int64_t i = 0; i < n * per; i++) {
        float v = (float)(rng_unit(1, stream, (uint64_t)(row * per + i)) - 0.5);
        out[i] = o->rank == 1 ? 1 + v : t->scaled && strstr(name, t->scaled) ? v * 0.5f : v;
    }
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct tensor_info *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static void sort(struct tiny *t) { qsort(t->info, (size_t)t->source.count, sizeof t->info[0], by_name); }

static void add(struct tiny *t, const char *name, int64_t d0, int64_t d1)
{
    int64_t i = t->source.count++;
    if (i >= TINY_TENSORS)
        abort();
    snprintf(t->name[i], sizeof t->name[i], "%s", name);
    t->info[i] = (struct tensor_info){ t->name[i], DT_F32, d1 ? 2 : 1, { d0, d1 } };
}

void tiny_source(struct tiny *t)
{
    static const struct {
        const char *name;
        int64_t d0, d1;
    } block[] = {
        { "input_layernorm", TINY_HIDDEN, 0 },
        { "self_attn.q_proj", TINY_HEADS * TINY_HEAD_DIM, TINY_HIDDEN },
        { "self_attn.k_proj", TINY_KV * TINY_HEAD_DIM, TINY_HIDDEN },
        { "self_attn.v_proj", TINY_KV * TINY_HEAD_DIM, TINY_HIDDEN },
        { "self_attn.o_proj", TINY_HIDDEN, TINY_HEADS * TINY_HEAD_DIM },
        { "post_attention_layernorm", TINY_HIDDEN, 0 },
        { "mlp.gate_proj", TINY_INTER, TINY_HIDDEN },
        { "mlp.up_proj", TINY_INTER, TINY_HIDDEN },
        { "mlp.down_proj", TINY_HIDDEN, TINY_INTER },
    };
    char name[64];
    memset(t, 0, sizeof *t);
    t->source = (struct tensor_source){ .self = t, .at = tiny_at, .find = tiny_find, .read_f32 = tiny_read };
    add(t, "model.embed_tokens.weight", TINY_VOCAB, TINY_HIDDEN);
    for (int b = 0; b < TINY_LAYERS; b++)
        for (size_t i = 0; i < sizeof block / sizeof *block; i++) {
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", b, block[i].name);
            add(t, name, block[i].d0, block[i].d1);
        }
    add(t, "model.norm.weight", TINY_HIDDEN, 0);
    add(t, "lm_head.weight", TINY_VOCAB, TINY_HIDDEN);
    sort(t);
}

static int64_t index_of(struct tiny *t, const char *name)
{
    const struct tensor_info *o = tiny_find(t, name);
    if (!o)
        abort();
    return o - t->info;
}

void tiny_reshape(struct tiny *t, const char *name, int rank, int64_t d0, int64_t d1, enum dtype dtype)
{
    struct tensor_info *o = &t->info[index_of(t, name)];
    o->rank = rank;
    o->dim[0] = d0;
    o->dim[1] = d1;
    o->dtype = dtype;
}

void tiny_hide(struct tiny *t, const char *name)
{
    int64_t i = index_of(t, name);
    t->info[i] = t->info[--t->source.count];
    sort(t);
}

void tiny_add(struct tiny *t, const char *name)
{
    add(t, name, 4, 0);
    sort(t);
}

struct json *tiny_config(const char *drop, const char *add_text, struct err *e)
{
    static const struct {
        const char *key, *value;
    } keys[] = {
        { "model_type", "\"llama\"" },  { "vocab_size", "32" },
        { "hidden_size", "16" },        { "num_hidden_layers", "2" },
        { "num_attention_heads", "4" }, { "num_key_value_heads", "2" },
        { "intermediate_size", "24" },  { "max_position_embeddings", "64" },
    };
    struct buf b = { 0 };
    struct json *j = NULL;
    int rc = buf_str(&b, "{", e);
    const char *comma = "";
    for (size_t i = 0; !rc && i < sizeof keys / sizeof *keys; i++) {
        if (drop && !strcmp(drop, keys[i].key))
            continue;
        rc = buf_printf(&b, e, "%s\"%s\": %s", comma, keys[i].key, keys[i].value);
        comma = ", ";
    }
    if (!rc && *add_text)
        rc = buf_printf(&b, e, "%s%s", comma, add_text);
    if (!rc && !buf_str(&b, "}", e))
        j = json_parse(b.p, b.len, "config.json", e);
    buf_release(&b);
    return j;
}
