/* config.c - keys of config.json into struct config. The common rows hold what most families share; a family's own rows
 * replace those of the same meaning. What follows from several keys is derived here, windows and rope in layers.c. */
#include "model/config.h"
#include "base/mem.h"
#include "base/str.h"
#include "kernels/kernels.h"
#include "kernels/math.h"
#include <math.h>
#include <string.h>

#define AT(f) offsetof(struct config, f)
static const struct key common_keys[] = {
    { "vocab_size", KEY_INT, AT(vocab), REQUIRED, 1, MAX_VOCAB, 0 },
    { "hidden_size", KEY_INT, AT(hidden), REQUIRED, 1, MAX_HIDDEN, 0 },
    { "num_hidden_layers", KEY_INT, AT(layers), REQUIRED, 1, MAX_LAYERS, 0 },
    { "num_attention_heads", KEY_INT, AT(heads), REQUIRED, 1, MAX_HEADS, 0 },
    { "num_key_value_heads", KEY_INT, AT(kv_heads), 0, 1, MAX_HEADS, 0 }, /* 0: as many as heads */
    { "head_dim", KEY_INT, AT(head_dim), 0, 1, MAX_HEAD_DIM, 0 },         /* 0: hidden / heads */
    { "intermediate_size", KEY_INT, AT(inter), REQUIRED, 1, MAX_INTER, 0 },
    { "max_position_embeddings", KEY_INT, AT(max_positions), 2048, 1, MAX_POSITIONS, 0 },
    { "original_max_position_embeddings", KEY_INT, AT(orig_positions), 0, 1, MAX_POSITIONS, 0 },
    { "rms_norm_eps", KEY_REAL, AT(eps), 1e-6, 0, 1, 0 },
    { "hidden_act", KEY_ACT, AT(act), ACT_SILU, 0, 0, 0 },
    { "tie_word_embeddings", KEY_FLAG, FLAG_TIE, 0, 0, 0, 0 },
    { "attention_bias", KEY_FLAG, FLAG_ATTN_BIAS, 0, 0, 0, 0 },
    { "mlp_bias", KEY_FLAG, FLAG_MLP_BIAS, 0, 0, 0, 0 },
    { "use_sliding_window", KEY_FLAG, FLAG_USE_WINDOW, 0, 0, 0, 0 },
    { "sliding_window", KEY_INT, AT(window), 0, 1, MAX_POSITIONS, 1 },
    { "max_window_layers", KEY_INT, AT(max_window_layers), 28, 0, INT32_MAX, 0 },
    { "rope_theta", KEY_REAL, AT(rope_theta), 10000, 1.01, 1e15, 0 },
    { "partial_rotary_factor", KEY_REAL, AT(partial_rotary), 1, 1e-6, 1, 0 },
    { "", KEY_REAL, AT(embed_scale), 1, 0, 0, 0 },
    { "", KEY_REAL, AT(residual_scale), 1, 0, 0, 0 },
    { "", KEY_REAL, AT(logit_mul), 1, 0, 0, 0 },
    { "", KEY_REAL, AT(logit_div), 1, 0, 0, 0 },
    { NULL, KEY_INT, 0, 0, 0, 0, 0 },
};

static const struct act_name {
    const char *name;
    enum k_act act;
} act_names[] = {
    { "silu", ACT_SILU },
    { "swish", ACT_SILU },
    { "gelu", ACT_GELU },
    { "gelu_python", ACT_GELU },
    { "gelu_new", ACT_GELU_TANH },
    { "gelu_pytorch_tanh", ACT_GELU_TANH },
    { "gelu_fast", ACT_GELU_TANH },
    { "gelu_accurate", ACT_GELU_TANH },
    { "relu", ACT_RELU },
    { "relu2", ACT_RELU2 },
    { "quick_gelu", ACT_QUICK_GELU },
};
enum { N_ACTS = sizeof act_names / sizeof *act_names };

/* One name of "a|b.c" at a time into `one`; returns the rest, or NULL at the end. */
static const char *next_name(const char *names, char one[64])
{
    size_t n = strcspn(names, "|");
    BUG_ON(n >= 64);
    memcpy(one, names, n);
    one[n] = 0;
    return names[n] ? names + n + 1 : NULL;
}

static const struct json *get_path(const struct json *o, char *path)
{
    char *dot = strchr(path, '.');
    if (!dot)
        return json_get(o, path);
    *dot = 0;
    const struct json *inner = json_get(o, path);
    *dot = '.';
    return json_get(inner, dot + 1);
}

/* The first of the names that is present and not null; found: its name, or the first name. */
const struct json *config_get(const struct json *o, const char *names, char found[64])
{
    char one[64];
    next_name(names, found);
    if (!*names)
        return NULL;
    for (const char *rest = names; rest;) {
        rest = next_name(rest, one);
        const struct json *v = get_path(o, one);
        if (json_type(v) != JSON_NULL) {
            memcpy(found, one, sizeof one);
            return v;
        }
    }
    return NULL;
}

/* Is one of the names there with an explicit null? */
static bool has_null(const struct json *o, const char *names)
{
    char one[64];
    for (const char *rest = names; rest;) {
        rest = next_name(rest, one);
        const struct json *v = get_path(o, one);
        if (v && json_type(v) == JSON_NULL)
            return true;
    }
    return false;
}

int config_bad(const struct config *c, const char *key, const struct json *found, struct err *e,
               const char *expected)
{
    int64_t i;
    double r;
    const char *s = json_str(found, NULL);
    if (!found)
        return err_set(e, ERR_INPUT, "%s: key '%s': absent, expected %s", c->file, key, expected);
    if (s)
        return err_set(e, ERR_INPUT, "%s: key '%s': found '%.80s', expected %s", c->file, key, s, expected);
    if (json_type(found) == JSON_INT && json_int(found, &i))
        return err_set(e, ERR_INPUT, "%s: key '%s': found %lld, expected %s", c->file, key, (long long)i,
                       expected);
    if (json_type(found) == JSON_REAL && json_num(found, &r))
        return err_set(e, ERR_INPUT, "%s: key '%s': found %g, expected %s", c->file, key, r, expected);
    return err_set(e, ERR_INPUT, "%s: key '%s': found %s, expected %s", c->file, key,
                   json_type_name(json_type(found)), expected);
}

int config_int(const struct config *c, const struct json *o, const struct key *k, int64_t *out, struct err *e)
{
    char name[64] = "", range[96];
    const struct json *v = config_get(o, k->names, name);
    if (!v && k->null_zero && has_null(o, k->names)) {
        *out = 0;
        return 0;
    }
    if (!v && !isnan(k->def)) {
        *out = (int64_t)k->def;
        return 0;
    }
    int64_t i;
    if (v && json_int(v, &i) && (double)i >= k->min && (double)i <= k->max) {
        *out = i;
        return 0;
    }
    snprintf(range, sizeof range, "an integer in [%lld, %lld]", (long long)k->min, (long long)k->max);
    return config_bad(c, name, v, e, range);
}

int config_real(const struct config *c, const struct json *o, const struct key *k, double *out, struct err *e)
{
    char name[64] = "", range[96];
    const struct json *v = config_get(o, k->names, name);
    if (!v && k->null_zero && has_null(o, k->names)) {
        *out = 0;
        return 0;
    }
    if (!v && !isnan(k->def)) {
        *out = k->def;
        return 0;
    }
    double r;
    if (v && json_num(v, &r) && r >= k->min && r <= k->max) {
        *out = r;
        return 0;
    }
    snprintf(range, sizeof range, "a number in [%g, %g]", k->min, k->max);
    return config_bad(c, name, v, e, range);
}

static int read_act(struct config *c, const struct json *o, const struct key *k, struct err *e)
{
    char name[64] = "";
    const struct json *v = config_get(o, k->names, name);
    const char *s = json_str(v, NULL);
    if (!v) {
        c->act = (int)k->def;
        return 0;
    }
    if (!s)
        return config_bad(c, name, v, e, "the name of an activation");
    for (int i = 0; i < N_ACTS; i++)
        if (!strcmp(act_names[i].name, s)) {
            c->act = (int)act_names[i].act;
            return 0;
        }
    const char *near = str_nearest(s, &act_names[0].name, N_ACTS, sizeof act_names[0]);
    err_set(e, ERR_UNBUILT, "%s: key '%s': found '%.80s', which is no activation that this version has",
            c->file, name, s);
    if (near)
        return err_hint(e, "Did you mean '%s'?", near);
    return err_hint(e,
                    "Built are silu, gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, quick_gelu, relu, relu2.");
}

static int read_key(struct config *c, const struct json *o, const struct key *k, struct err *e)
{
    char name[64];
    void *dst = (char *)c + k->at;
    if (k->type == KEY_INT)
        return config_int(c, o, k, dst, e);
    if (k->type == KEY_REAL)
        return config_real(c, o, k, dst, e);
    if (k->type == KEY_ACT)
        return read_act(c, o, k, e);
    const struct json *v = config_get(o, k->names, name);
    c->flag[k->at] = k->def > 0;
    if (v && !json_bool(v, &c->flag[k->at]))
        return config_bad(c, name, v, e, "true or false");
    return 0;
}

/* Same meaning: the same flag, or the same field. */
static bool replaced(const struct key *own, const struct key *k)
{
    for (; own && own->names; own++)
        if (own->at == k->at && (own->type == KEY_FLAG) == (k->type == KEY_FLAG))
            return true;
    return false;
}

static int read_keys(struct config *c, const struct json *j, struct err *e)
{
    for (const struct key *k = common_keys; k->names; k++)
        if (!replaced(c->arch->keys, k) && read_key(c, j, k, e))
            return -1;
    for (const struct key *k = c->arch->keys; k && k->names; k++)
        if (read_key(c, j, k, e))
            return -1;
    return 0;
}

static int check_heads(struct config *c, struct err *e)
{
    if (!c->kv_heads)
        c->kv_heads = c->heads;
    if (c->heads % c->kv_heads)
        return err_set(e, ERR_INPUT,
                       "%s: num_attention_heads %lld is not a multiple of num_key_value_heads %lld", c->file,
                       (long long)c->heads, (long long)c->kv_heads);
    if (!c->head_dim && c->hidden % c->heads)
        return err_set(
            e, ERR_INPUT,
            "%s: hidden_size %lld is not a multiple of num_attention_heads %lld, and head_dim is absent",
            c->file, (long long)c->hidden, (long long)c->heads);
    if (!c->head_dim)
        c->head_dim = c->hidden / c->heads;
    if (c->head_dim > MAX_HEAD_DIM)
        return err_set(e, ERR_LIMIT, "%s: hidden_size / num_attention_heads is %lld, expected at most %d",
                       c->file, (long long)c->head_dim, (int)MAX_HEAD_DIM);
    if (!c->embed)
        c->embed = c->hidden;
    if (c->embed > c->hidden)
        return err_set(e, ERR_INPUT, "%s: word_embed_proj_dim %lld is larger than hidden_size %lld", c->file,
                       (long long)c->embed, (long long)c->hidden);
    if (!c->inter)
        c->inter = 4 * c->hidden;
    return 0;
}

static void derive_sizes(struct config *c)
{
    int64_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    c->dim[DIM_ONE] = 1;
    c->dim[DIM_HIDDEN] = c->hidden;
    c->dim[DIM_Q] = q;
    c->dim[DIM_KV] = kv;
    c->dim[DIM_QKV] = q + 2 * kv;
    c->dim[DIM_HEAD] = c->head_dim;
    c->dim[DIM_HEADS] = c->heads;
    c->dim[DIM_KV_HEADS] = c->kv_heads;
    c->dim[DIM_INTER] = c->inter;
    c->dim[DIM_INTER2] = 2 * c->inter;
    c->dim[DIM_VOCAB] = c->vocab;
    c->dim[DIM_EMBED] = c->embed;
    c->dim[DIM_POSITIONS] = c->max_positions + c->positions_offset;
    if (c->arch->embed_sqrt)
        c->embed_scale = (double)(float)sqrt((double)c->hidden);
    if (c->query_scalar > 0)
        c->attn_scale = 1 / sqrt(c->query_scalar);
    if (!(c->attn_scale > 0))
        c->attn_scale = 1 / sqrt((double)c->head_dim);
}

static void derive_flags(struct config *c)
{
    c->flag[FLAG_NEVER] = false;
    c->flag[FLAG_ALWAYS] = true;
    c->flag[FLAG_SERIAL] = !c->flag[FLAG_PARALLEL];
    c->flag[FLAG_NORM_AFTER] = !c->flag[FLAG_NORM_BEFORE];
    c->flag[FLAG_FINAL_NORM] = c->flag[FLAG_NORM_BEFORE] && !c->flag[FLAG_NO_FINAL_NORM];
    c->flag[FLAG_FINAL_AFFINE] = c->flag[FLAG_FINAL_NORM] && c->flag[FLAG_NORM_AFFINE];
    c->flag[FLAG_PROJECT] = c->embed != c->hidden;
    c->flag[FLAG_WHOLE] = !c->flag[FLAG_PROJECT];
}

bool config_flag(const struct config *c, int64_t block, enum flag f)
{
    if (f == FLAG_ROPE)
        return block >= 0 && block < c->layers && c->layer[block].rope >= 0;
    return c->flag[f];
}

const struct step *config_block(const struct config *c)
{
    const struct block_list *b = c->arch->block;
    while (b->steps && !c->flag[b->when])
        b++;
    BUG_ON(!b->steps);
    return b->steps;
}

const struct part *config_part(const struct config *c, enum part_id id)
{
    for (const struct part *p = c->arch->parts; p->id != P_NONE; p++)
        if (p->id == id && c->flag[p->when])
            return p;
    return NULL;
}

/* T holds whatever a step needs beside its output: a fused projection, or the second half of a gated one. */
static int64_t scratch_width(const struct config *c)
{
    int64_t w = c->has[P_QKV] ? c->dim[DIM_QKV] : 0;
    int64_t up = c->has[P_GATE_UP] ? c->dim[DIM_INTER2] : c->has[P_UP] ? c->dim[DIM_INTER] : 0;
    return w > up ? w : up;
}

int64_t config_width(const struct config *c, enum reg r)
{
    const enum dim of[REG_COUNT] = {
        [REG_X] = DIM_HIDDEN, [REG_H] = DIM_HIDDEN, [REG_Q] = DIM_Q,     [REG_K] = DIM_KV,
        [REG_V] = DIM_KV,     [REG_C] = DIM_Q,      [REG_A] = DIM_INTER, [REG_Y] = DIM_HIDDEN
    };
    if (r == REG_T)
        return scratch_width(c);
    return r == REG_G ? 0 : c->dim[of[r]];
}

static int read_all(struct config *c, const struct json *j, struct err *e)
{
    if (read_keys(c, j, e))
        return -1;
    if (c->arch->derive && c->arch->derive(c, j, e))
        return -1;
    if (check_heads(c, e))
        return -1;
    derive_sizes(c);
    derive_flags(c);
    for (int p = 0; p < P_COUNT; p++)
        c->has[p] = config_part(c, (enum part_id)p) != NULL;
    if (c->arch->rope != ROPE_NONE && rope_read(c, j, e))
        return -1;
    return config_layers(c, j, e);
}

int config_read(const struct json *j, const char *file, struct config **out, struct err *e)
{
    struct config *c = mem_alloc(sizeof *c, e);
    if (!c)
        return -1;
    c->file = mem_strdup(file, e);
    if (!c->file)
        goto fail;
    if (json_type(j) != JSON_OBJECT) {
        err_set(e, ERR_INPUT, "%s: found %s, expected an object", file, json_type_name(json_type(j)));
        goto fail;
    }
    const char *type = json_str(json_get(j, "model_type"), NULL);
    if (!type) {
        config_bad(c, "model_type", json_get(j, "model_type"), e, "the name of an architecture");
        goto fail;
    }
    c->arch = arch_find(type);
    if (!c->arch) {
        arch_unknown(type, file, e);
        goto fail;
    }
    if (arch_check(c->arch, e) || read_all(c, j, e))
        goto fail;
    *out = c;
    return 0;
fail:
    config_free(c);
    return -1;
}

void config_free(struct config *c)
{
    if (!c)
        return;
    for (int i = 0; i < 2; i++)
        rope_release(&c->rope[i]);
    mem_free(c->layer);
    mem_free(c->rope_off);
    mem_free(c->local);
    mem_free(c->alibi);
    mem_free(c->file);
    mem_free(c);
}
