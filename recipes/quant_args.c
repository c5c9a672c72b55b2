/* quant_args.c - the arguments of one tensor's quantization: types, inference and contradictions as compressed-tensors
 * 0.19.0 has them, with what it only notices at run time refused here. */
#include "recipes/quant_args.h"

#include "base/mem.h"
#include "base/num.h"
#include "base/tensor.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

struct args_raw {
    int64_t num_bits, group_size;
    int type, strategy, actorder, scale_dtype, zp_dtype;
    bool symmetric;
    const struct node *block_structure, *dynamic, *observer_kwargs;
    char *observer;
};
enum { STRATEGY_NULL = 7 };
static const char *const strategies[] = { "tensor",       "channel",   "group", "block", "token",
                                          "tensor_group", "attn_head", "null",  NULL };
static const char *const dtypes_of_scales[] = {
    "null", "torch.float8_e4m3fn", "float8_e4m3fn", "torch.uint8",   "uint8", "torch.int8",
    "int8", "torch.bfloat16",      "torch.float16", "torch.float32", NULL
};

#define S     args_raw
#define AT(f) offsetof(struct S, f)
const struct opt quant_args_options[] = {
    { .name = "num_bits",
      .type = OPT_INT,
      .at = AT(num_bits),
      .def = 8,
      .min = 2,
      .max = 8,
      .unit = "bits",
      .doc = "Bits of a code." },
    { .name = "type",
      .type = OPT_ENUM,
      .at = AT(type),
      .words = quant_type_words,
      .flags = OPT_NOCASE,
      .doc = "Integers or floats." },
    { .name = "symmetric", .type = OPT_BOOL, .at = AT(symmetric), .def = 1, .doc = "No zero point." },
    { .name = "strategy",
      .type = OPT_ENUM,
      .at = AT(strategy),
      .def = STRATEGY_NULL,
      .words = strategies,
      .flags = OPT_NULLABLE | OPT_NOCASE,
      .null_value = STRATEGY_NULL,
      .doc = "What shares one scale; from group_size when left out." },
    { .name = "group_size",
      .type = OPT_INT,
      .at = AT(group_size),
      .min = -1,
      .max = 1 << 24,
      .flags = OPT_NULLABLE,
      .unit = "input features",
      .doc = "Weights of a row that share a scale; -1: the row." },
    { .name = "block_structure",
      .type = OPT_NODE,
      .at = AT(block_structure),
      .doc = "[rows, columns] that share a scale (strategy block)." },
    { .name = "dynamic",
      .type = OPT_NODE,
      .at = AT(dynamic),
      .doc = "false, true or local: activations scaled as they come." },
    { .name = "actorder",
      .type = OPT_ENUM,
      .at = AT(actorder),
      .words = actorder_words,
      .flags = OPT_NULLABLE | OPT_NOCASE,
      .doc = "Order of columns in GPTQ: weight, static (the same) or null." },
    { .name = "scale_dtype",
      .type = OPT_ENUM,
      .at = AT(scale_dtype),
      .words = dtypes_of_scales,
      .flags = OPT_NULLABLE,
      .doc = "dtype of scales when not the weight's." },
    { .name = "zp_dtype",
      .type = OPT_ENUM,
      .at = AT(zp_dtype),
      .words = dtypes_of_scales,
      .flags = OPT_NULLABLE,
      .doc = "dtype of zero points; int8 for integers." },
    { .name = "observer",
      .type = OPT_STR,
      .at = AT(observer),
      .flags = OPT_NULLABLE,
      .doc = "How the range is found; memoryless_minmax when left out." },
    { .name = "observer_kwargs",
      .type = OPT_NODE,
      .at = AT(observer_kwargs),
      .doc = "Parameters of the observer." },
    { .name = NULL },
};
#undef S

/* Observers by name with the parameters that each has. */
struct kwarg_struct {
    double maxshrink, patience, grid, norm, averaging, expand;
    bool strict;
};
#define S kwarg_struct
#define NUM(n, f, lo, hi, t)                                                                         \
    {                                                                                                \
        .name = n, .type = OPT_REAL, .at = AT(f), .def = (double)NAN, .min = lo, .max = hi, .doc = t \
    }
#define AVERAGE NUM("averaging_constant", averaging, 0, 1, "Weight of the newest batch.")
#define SEARCH                                                                   \
    NUM("maxshrink", maxshrink, 0, 1, "How far the range shrinks."),             \
        NUM("patience", patience, 0, 1e9, "Idle steps before the search ends."), \
        NUM("grid", grid, 1, 1e6, "Steps of the whole range."),                  \
        NUM("norm", norm, 0.1, 100, "Power of the error."),                      \
        NUM("expand", expand, 1, 100, "Where the search begins: so many times the range.")
#define STRICT                                                                        \
    {                                                                                 \
        .name = "strict", .type = OPT_BOOL, .at = AT(strict), .flags = OPT_PEER_ONLY, \
        .doc = "Fail without importance."                                             \
    }
static const struct opt kw_none[] = { { .name = NULL } };
static const struct opt kw_average[] = { AVERAGE, { .name = NULL } };
static const struct opt kw_search[] = { SEARCH, { .name = NULL } };
static const struct opt kw_search_average[] = { SEARCH, AVERAGE, { .name = NULL } };
static const struct opt kw_imatrix[] = { SEARCH, STRICT, { .name = NULL } };
#undef S
struct known_observer {
    const char *name;
    const struct opt *kwargs;
};
static const struct known_observer known[] = {
    { "memoryless_minmax", kw_none },
    { "static_minmax", kw_none },
    { "minmax", kw_average },
    { "memoryless_mse", kw_search },
    { "mse", kw_search_average },
    { "imatrix_mse", kw_imatrix },
    { "nvfp4_expanded_mse", kw_search },
    { "fouroversix", kw_search },
    { "nvfp4_expanded_imatrix", kw_imatrix },
};
enum { N_KNOWN = sizeof known / sizeof *known };

static const struct known_observer *find_observer(const char *name, struct src_pos at, struct err *e)
{
    for (size_t i = 0; i < N_KNOWN; i++)
        if (!strcmp(known[i].name, name))
            return &known[i];
    err_at(
        e, ERR_INPUT, at,
        "observer: found '%s', expected one of memoryless_minmax, static_minmax, minmax, memoryless_mse, mse, imatrix_mse",
        name);
    const char *near = str_nearest(name, &known->name, N_KNOWN, sizeof *known);
    if (near)
        err_hint(e, "did you mean '%s'?", near);
    return NULL;
}

/* Case is ignored and '-' is '_', as in the peer's registry. */
static int set_observer(const char *name, struct src_pos at, struct quant_args *a, struct err *e)
{
    char plain[sizeof a->observer];
    size_t n = strlen(name);
    for (size_t i = 0; i <= n && n < sizeof plain; i++)
        plain[i] = (char)(name[i] == '-' ? '_' : name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
    const struct known_observer *o = find_observer(n < sizeof plain ? plain : name, at, e);
    if (!o)
        return -1;
    snprintf(a->observer, sizeof a->observer, "%s", o->name);
    return 0;
}

int quant_observer_set(const struct node *n, struct quant_args *a, struct err *e)
{
    if (node_is_null(n))
        return 0;
    if (n->kind != NODE_SCALAR)
        return err_at(e, ERR_INPUT, n->at, "observer: found %s, expected a name", node_what(n));
    return set_observer(n->text, n->at, a, e);
}

int quant_observer_check(const struct quant_args *a, struct src_pos at, struct err *e)
{
    const struct {
        const char *name;
        double v;
    } given[] = { { "maxshrink", a->obs_maxshrink },
                  { "patience", a->obs_patience },
                  { "grid", a->obs_grid },
                  { "norm", a->obs_norm },
                  { "averaging_constant", a->obs_averaging },
                  { "expand", a->obs_expand } };
    const struct known_observer *o = a->observer[0] ? find_observer(a->observer, at, e) : NULL;
    if (a->observer[0] && !o)
        return -1;
    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        if (!isnan(given[i].v) && (!o || !opt_find(o->kwargs, given[i].name)))
            return err_at(e, ERR_INPUT, at, "observer_kwargs: found '%s', which observer %s has not",
                          given[i].name, o ? o->name : "null");
    return 0;
}

/* What null stands for: nothing is observed where scales come as inputs do. */
static const char *default_observer(const struct quant_args *a, enum args_role role)
{
    return role == ARGS_WEIGHTS ? "memoryless_minmax" : a->dynamic == DYNAMIC_FALSE ? "minmax" : "";
}

void quant_observer_default(struct quant_args *a, enum args_role role, double maxshrink)
{
    if (!a->observer[0])
        snprintf(a->observer, sizeof a->observer, "%s", default_observer(a, role));
    if (isnan(a->obs_maxshrink) && (!strcmp(a->observer, "mse") || !strcmp(a->observer, "memoryless_mse")))
        a->obs_maxshrink = maxshrink;
}

int quant_keys_known(const struct opt *t, const struct node *map, const char *who, struct err *e)
{
    for (size_t i = 0; map->kind == NODE_MAP && i < map->n; i++) {
        const char *key = map->key[i]->text;
        char names[300] = "none";
        size_t len = 0;
        if (opt_find(t, key))
            continue;
        for (const struct opt *o = t; o->name && len < sizeof names; o++)
            len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", len ? ", " : "", o->name);
        const char *near = str_nearest(key, &t->name, opt_count(t), sizeof *t);
        err_at(e, ERR_INPUT, map->key[i]->at, "found key '%.80s', expected an option of %s", key, who);
        return near ? err_hint(e, "did you mean '%s'?", near) : err_hint(e, "its options: %s", names);
    }
    return 0;
}

static int read_kwargs(const struct node *n, enum args_role role, struct quant_args *a, struct err *e)
{
    struct kwarg_struct k;
    if (node_is_null(n) || (n->kind == NODE_MAP && !n->n))
        return 0;
    const char *name = a->observer[0] ? a->observer : default_observer(a, role);
    if (!*name)
        return err_at(e, ERR_INPUT, n->at, "observer_kwargs: found %s, expected none: nothing is observed",
                      node_what(n));
    const struct known_observer *o = find_observer(name, n->at, e);
    if (!o || opt_defaults(o->kwargs, &k, e))
        return -1;
    k.maxshrink = k.patience = k.grid = k.norm = k.averaging = k.expand = (double)NAN;
    char who[64];
    snprintf(who, sizeof who, "observer %s", o->name);
    if (quant_keys_known(o->kwargs, n, who, e) || opt_assign_map(o->kwargs, NULL, &k, n, who, NULL, NULL, e))
        return -1;
    a->obs_maxshrink = k.maxshrink;
    a->obs_patience = k.patience;
    a->obs_grid = k.grid;
    a->obs_norm = k.norm;
    a->obs_averaging = k.averaging;
    a->obs_expand = k.expand;
    return 0;
}

static int read_block(const struct node *n, struct quant_args *a, struct err *e)
{
    struct node row = { .kind = NODE_SCALAR }, col = row;
    char text[64];
    if (n->kind == NODE_LIST && n->n == 2 && n->item[0]->kind == NODE_SCALAR &&
        n->item[1]->kind == NODE_SCALAR) {
        if (num_int(n->item[0]->text, &a->block[0]) && num_int(n->item[1]->text, &a->block[1]) &&
            a->block[0] > 0 && a->block[1] > 0)
            return 0;
    } else if (n->kind == NODE_SCALAR && strlen(n->text) < sizeof text && strchr(n->text, 'x')) {
        snprintf(text, sizeof text, "%s", n->text);
        char *x = strchr(text, 'x');
        *x = '\0';
        row.text = text;
        col.text = x + 1;
        if (num_int(row.text, &a->block[0]) && num_int(col.text, &a->block[1]) && a->block[0] > 0 &&
            a->block[1] > 0)
            return 0;
    }
    return err_at(e, ERR_INPUT, n->at, "block_structure: found %s, expected [rows, columns] or \"128x128\"",
                  node_what(n));
}

static int read_dynamic(const struct node *n, struct quant_args *a, struct err *e)
{
    bool local = n->kind == NODE_SCALAR && !strcmp(n->text, "local");
    bool flag = false;
    const struct opt row = { .name = "dynamic", .type = OPT_BOOL };
    if (!local && opt_assign(&row, &flag, n, NULL, e))
        return -1;
    a->dynamic = local ? DYNAMIC_LOCAL : flag ? DYNAMIC_TRUE : DYNAMIC_FALSE;
    return 0;
}

static int dtype_word(int word)
{
    static const int t[] = {
        -1, DT_F8_E4M3, DT_F8_E4M3, DT_U8, DT_U8, DT_I8, DT_I8, DT_BF16, DT_F16, DT_F32
    };
    return t[word];
}

static struct src_pos key_pos(const struct node *map, const char *key)
{
    const struct node *k = node_key(map, key);
    return k ? k->at : map->at;
}

static int infer_strategy(const struct node *n, const struct args_raw *r, enum args_role role,
                          struct quant_args *a, struct strs *notes, struct err *e)
{
    if (r->strategy != STRATEGY_NULL)
        a->strategy = (enum strategy)r->strategy;
    else if (a->block[0])
        a->strategy = STRATEGY_BLOCK;
    else if (a->group_size > 0)
        a->strategy = STRATEGY_GROUP;
    else
        a->strategy = a->group_size < 0 ? STRATEGY_CHANNEL : STRATEGY_TENSOR;
    const struct node *size = node_get(n, "group_size");
    if (!a->group_size && !node_is_null(size))
        return err_at(e, ERR_INPUT, size->at, "group_size: found 0, expected a size above 0, -1 or null");
    bool grouped = a->strategy == STRATEGY_GROUP || a->strategy == STRATEGY_TENSOR_GROUP;
    if (a->group_size > 0 && !grouped) {
        err_at(e, ERR_INPUT, key_pos(n, "group_size"),
               "group_size: found %lld with strategy %s, expected strategy group", (long long)a->group_size,
               strategy_words[a->strategy]);
        return err_hint(e, "leave one of the two out");
    }
    if (grouped && a->group_size <= 0)
        return err_at(e, ERR_INPUT, key_pos(n, "strategy"), "strategy %s needs a group_size above 0",
                      strategy_words[a->strategy]);
    if ((a->strategy == STRATEGY_BLOCK) != (a->block[0] > 0))
        return err_at(e, ERR_INPUT, key_pos(n, "strategy"),
                      "strategy block and block_structure go together; found one of them");
    if (role == ARGS_WEIGHTS && r->strategy == STRATEGY_NULL && a->strategy == STRATEGY_TENSOR && notes) {
        char text[160];
        snprintf(text, sizeof text,
                 "line %d: weights without strategy and group_size share one scale a tensor", n->at.line);
        if (strs_add(notes, text, e))
            return -1;
    }
    return 0;
}

static int check_role(const struct node *n, enum args_role role, const struct quant_args *a, struct err *e)
{
    static const char *const names[] = { "weights", "input_activations", "output_activations",
                                         "kv_cache_scheme" };
    bool token = a->strategy == STRATEGY_TOKEN, head = a->strategy == STRATEGY_ATTN_HEAD;
    if (role == ARGS_WEIGHTS && (token || head))
        return err_at(e, ERR_INPUT, key_pos(n, "strategy"),
                      "weights: found strategy %s, expected tensor, channel, group, block or tensor_group",
                      strategy_words[a->strategy]);
    if (role != ARGS_WEIGHTS && (a->strategy == STRATEGY_CHANNEL || a->strategy == STRATEGY_BLOCK))
        return err_at(e, ERR_INPUT, key_pos(n, "strategy"),
                      "%s: found strategy %s, expected token, tensor, group, tensor_group or attn_head",
                      names[role], strategy_words[a->strategy]);
    if (role == ARGS_WEIGHTS && a->dynamic != DYNAMIC_FALSE)
        return err_at(e, ERR_INPUT, key_pos(n, "dynamic"),
                      "weights: found dynamic, expected false: weights do not change");
    if (token && a->dynamic != DYNAMIC_TRUE)
        return err_at(e, ERR_INPUT, key_pos(n, "strategy"), "%s: strategy token needs dynamic: true",
                      names[role]);
    if (a->dynamic == DYNAMIC_LOCAL && a->strategy != STRATEGY_TENSOR_GROUP)
        return err_at(e, ERR_INPUT, key_pos(n, "dynamic"), "%s: dynamic: local needs strategy tensor_group",
                      names[role]);
    if (head && a->dynamic != DYNAMIC_FALSE)
        return err_at(e, ERR_INPUT, key_pos(n, "dynamic"), "%s: strategy attn_head needs dynamic: false",
                      names[role]);
    if (role != ARGS_WEIGHTS && a->actorder != ACTORDER_NONE)
        return err_at(e, ERR_INPUT, key_pos(n, "actorder"), "%s: found actorder, expected it on weights only",
                      names[role]);
    if (a->type == QUANT_FLOAT && a->num_bits != 4 && a->num_bits != 8)
        return err_at(e, ERR_INPUT, key_pos(n, "num_bits"),
                      "num_bits: found %d with type float, expected 4 or 8", a->num_bits);
    if (a->type == QUANT_FLOAT && a->num_bits == 4 && !a->symmetric)
        return err_at(e, ERR_INPUT, key_pos(n, "symmetric"),
                      "symmetric: found false with 4-bit floats, expected true");
    return 0;
}

static int fill(const struct node *n, const struct args_raw *r, enum args_role role, struct quant_args *a,
                struct strs *notes, struct err *e)
{
    a->num_bits = (int)r->num_bits;
    a->type = (enum quant_type)r->type;
    a->symmetric = r->symmetric;
    a->group_size = r->group_size;
    a->scale_dtype = dtype_word(r->scale_dtype);
    a->zp_dtype = dtype_word(r->zp_dtype);
    a->actorder_given = node_get(n, "actorder") != NULL;
    a->actorder = (enum actorder)r->actorder;
    if (!node_is_null(r->block_structure) && read_block(r->block_structure, a, e))
        return -1;
    if (!node_is_null(r->dynamic) && read_dynamic(r->dynamic, a, e))
        return -1;
    if (r->observer && set_observer(r->observer, node_get(n, "observer")->at, a, e))
        return -1;
    if (read_kwargs(r->observer_kwargs, role, a, e) || infer_strategy(n, r, role, a, notes, e))
        return -1;
    return check_role(n, role, a, e);
}

/* Words that another release knew. */
static int refuse_order(const struct node *n, struct err *e)
{
    const struct node *o = node_get(n, "actorder");
    if (!o || o->kind != NODE_SCALAR ||
        (!str_same_nocase(o->text, "group") && !str_same_nocase(o->text, "dynamic")))
        return 0;
    err_at(e, ERR_INPUT, o->at, "actorder: found '%s', expected static, weight or null", o->text);
    return err_hint(e, "runtimes no longer load weight_g_idx; static has the same gain without it");
}

int quant_args_read(const struct node *n, enum args_role role, struct quant_args *out, struct strs *notes,
                    struct err *e)
{
    static const char *const names[] = { "weights", "input_activations", "output_activations",
                                         "kv_cache_scheme" };
    struct args_raw r;
    quant_args_default(out);
    if (refuse_order(n, e) || opt_defaults(quant_args_options, &r, e))
        return -1;
    int rc = quant_keys_known(quant_args_options, n, names[role], e);
    if (!rc)
        rc = opt_assign_map(quant_args_options, NULL, &r, n, names[role], NULL, NULL, e);
    if (!rc)
        rc = fill(n, &r, role, out, notes, e);
    opt_release(quant_args_options, &r);
    return rc;
}
