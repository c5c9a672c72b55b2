/* names.c - the modules of a checkpoint whose architecture can not be run here, from the names and shapes of its tensors
 * alone: enough to quantize without data, not to walk. Which tensor is what kind of module, and how transformers calls
 * it, are tables; the rule that decided goes into the module, so that a plan can say it. */
#include "base/mem.h"
#include "model/model.h"
#include <stdlib.h>
#include <string.h>

enum kind { KIND_LINEAR, KIND_EMBED, KIND_NORM, KIND_ROUTER, KIND_CONV, KIND_STACK };
static const char *const classes[][3] = {
    [KIND_LINEAR] = { "Linear", "Module", NULL }, [KIND_EMBED] = { "Embedding", "Module", NULL },
    [KIND_NORM] = { "Norm", "Module", NULL },     [KIND_ROUTER] = { "Router", "Module", NULL },
    [KIND_CONV] = { "Conv", "Module", NULL },     [KIND_STACK] = { "Linear", "Module", NULL },
};

/* How a rule's words are looked for among the components of a module's path. */
enum how { LEAF_IS, LEAF_HAS, LEAF_STARTS, PATH_ENDS, PATH_HAS, ANY };
/* The first row whose rank and words fit decides; `rank` 0: 3 and more. A tensor that no row means is copied. */
static const struct name_rule {
    int rank;
    enum how how;
    const char *words; /* "a|b" */
    enum kind kind;
    const char *doc;
} rules[] = {
    { 1, LEAF_HAS, "", KIND_NORM, "a vector: norms and the like stay" },
    { 2, LEAF_IS,
      "embed_tokens|wte|wpe|wpt|word_embeddings|tok_embeddings|embed_in|embed_positions|embeddings|embedding|"
      "position_embeddings|position_embedding|token_type_embeddings|word_embedding|embed|shared|pos_embed",
      KIND_EMBED, "an embedding, by its name" },
    { 2, LEAF_HAS, "norm", KIND_NORM, "a norm, by its name" },
    { 2, LEAF_STARTS, "ln_", KIND_NORM, "a norm, by its name" },
    { 2, PATH_HAS, "router", KIND_ROUTER, "a router of experts, which is no Linear, by its name" },
    { 2, PATH_ENDS, "mlp.gate|block_sparse_moe.gate|feed_forward.gate|moe.gate|ffn.gate|mixer.gate",
      KIND_ROUTER, "a router of experts, which is no Linear, by its name" },
    { 2, LEAF_IS, "relative_attention_bias", KIND_EMBED, "an embedding, by its name" },
    { 2, ANY, "", KIND_LINEAR, "a matrix that no other rule means" },
    { 0, PATH_HAS, "experts|input_linear|output_linear", KIND_STACK, "a stack of experts, by its name" },
    { 0, LEAF_HAS, "conv|patch_embed|proj", KIND_CONV, "a convolution, by its name and rank" },
};

/* Where transformers 5.17 calls a module otherwise than the file: whole components, or the head of a path. */
static const struct rename {
    const char *types; /* model_type "a|b" */
    bool head;
    const char *from, *to;
} renames[] = {
    { "mixtral|phimoe|minimax_m2|minimax", false, "block_sparse_moe", "mlp" },
    { "mixtral|phimoe|minimax_m2|minimax", false, "w1", "gate_proj" },
    { "mixtral|phimoe|minimax_m2|minimax", false, "w3", "up_proj" },
    { "mixtral|phimoe|minimax_m2|minimax", false, "w2", "down_proj" },
    { "gpt_neox", true, "embed_out", "lm_head" },
    { "gemma3|mistral3|llava|llava_next", true, "language_model.model.", "model.language_model." },
    { "gemma3|mistral3|llava|llava_next", true, "language_model.lm_head", "lm_head" },
    { "gemma3|mistral3|llava|llava_next", true, "vision_tower.", "model.vision_tower." },
    { "gemma3|mistral3|llava|llava_next", true, "multi_modal_projector.", "model.multi_modal_projector." },
    { "qwen2_vl|qwen2_5_vl", true, "model.layers.", "model.language_model.layers." },
    { "qwen2_vl|qwen2_5_vl", true, "model.embed_tokens", "model.language_model.embed_tokens" },
    { "qwen2_vl|qwen2_5_vl", true, "model.norm", "model.language_model.norm" },
    { "qwen2_vl|qwen2_5_vl", true, "visual.", "model.visual." },
};

/* Is a word of "a|b" equal to s[0..n)? */
static bool listed(const char *words, const char *s, size_t n)
{
    for (const char *w = words; w; w = strchr(w, '|') ? strchr(w, '|') + 1 : NULL)
        if (strcspn(w, "|") == n && !memcmp(w, s, n))
            return true;
    return false;
}

static const char *leaf_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

static bool has_component(const char *path, const char *words)
{
    for (const char *p = path; p; p = strchr(p, '.') ? strchr(p, '.') + 1 : NULL)
        if (listed(words, p, strcspn(p, ".")))
            return true;
    return false;
}

/* Does a word of "a|b" stand in the leaf (at its beginning), or end the path behind a dot? */
static bool fits_word(enum how how, const char *path, const char *words)
{
    const char *leaf = leaf_of(path);
    for (const char *w = words; w; w = strchr(w, '|') ? strchr(w, '|') + 1 : NULL) {
        char word[64];
        size_t n = strcspn(w, "|"), len = strlen(path);
        snprintf(word, sizeof word, "%.*s", (int)n, w);
        const char *at = how == PATH_ENDS ? (len >= n ? path + len - n : NULL) : strstr(leaf, word);
        if (how == PATH_ENDS && at && !strcmp(at, word) && (at == path || at[-1] == '.'))
            return true;
        if ((how == LEAF_HAS && at) || (how == LEAF_STARTS && at == leaf))
            return true;
    }
    return false;
}

static bool fits(const struct name_rule *r, const char *path, int rank)
{
    if (r->rank ? r->rank != rank : rank < 3)
        return false;
    switch (r->how) {
    case ANY: return true;
    case LEAF_IS: return listed(r->words, leaf_of(path), strlen(leaf_of(path)));
    case PATH_HAS: return has_component(path, r->words);
    case LEAF_HAS:
    case LEAF_STARTS:
    case PATH_ENDS: return fits_word(r->how, path, r->words);
    }
    return false;
}

static const struct name_rule *rule_of(const char *path, int rank)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (fits(&rules[i], path, rank))
            return &rules[i];
    return NULL;
}

/* -- names -- */

static char *replace_components(const char *path, const char *from, const char *to, struct err *e)
{
    struct buf b = { 0 };
    int rc = buf_str(&b, "", e);
    for (const char *p = path; !rc && p;) {
        size_t n = strcspn(p, ".");
        bool same = strlen(from) == n && !memcmp(p, from, n);
        rc =
            (p != path && buf_str(&b, ".", e)) || (same ? buf_str(&b, to, e) : buf_add(&b, p, n, e)) ? -1 : 0;
        p = p[n] ? p + n + 1 : NULL;
    }
    char *out = rc ? NULL : mem_strdup(b.p, e);
    buf_release(&b);
    return out;
}

/* The module's name for the stem of a tensor's. */
static char *module_name(const char *stem, const char *type, struct err *e)
{
    char *name = mem_strdup(stem, e);
    for (size_t i = 0; name && i < sizeof renames / sizeof *renames; i++) {
        const struct rename *r = &renames[i];
        if (!listed(r->types, type, strlen(type)) || (r->head && !str_starts(name, r->from)))
            continue;
        char *to = r->head ? mem_printf(e, "%s%s", r->to, name + strlen(r->from))
                           : replace_components(name, r->from, r->to, e);
        mem_free(name);
        name = to;
    }
    return name;
}

/* The first number among the components: the block. -1: none. */
static int64_t block_of(const char *path)
{
    for (const char *p = path; p; p = strchr(p, '.') ? strchr(p, '.') + 1 : NULL) {
        size_t n = strspn(p, "0123456789");
        int64_t block = 0;
        for (size_t i = 0; i < n && n < 7; i++)
            block = 10 * block + (p[i] - '0');
        if (n && n < 7 && (p[n] == '.' || !p[n]))
            return block;
    }
    return -1;
}

/* Runs of digits compare as numbers, so that layers.10 stands behind layers.9. */
static int natural(const char *a, const char *b)
{
    while (*a && *a == *b && !(*a >= '0' && *a <= '9'))
        a++, b++;
    size_t n = strspn(a, "0123456789"), m = strspn(b, "0123456789");
    if (!n || !m)
        return (unsigned char)*a - (unsigned char)*b;
    if (n == m && !memcmp(a, b, n))
        return natural(a + n, b + m);
    return n != m ? (n < m ? -1 : 1) : memcmp(a, b, n);
}

static int by_name(const void *a, const void *b)
{
    return natural(((const struct module *)a)->name, ((const struct module *)b)->name);
}

/* -- config.json: the few values that a plan names; text_config is a wrapper's -- */

static const struct json *value_of(const struct json *config, const char *key)
{
    const struct json *v = json_get(config, key);
    return v ? v : json_get(json_get(config, "text_config"), key);
}

static int64_t int_of(const struct json *config, const char *key)
{
    int64_t v = 0;
    return json_int(value_of(config, key), &v) && v > 0 && v < INT32_MAX ? v : 0;
}

/* -- modules -- */

/* A layer behind the last, and `mtp.`: heads that predict further tokens, which transformers does not load. */
static bool is_extra(const struct model *m, const char *name)
{
    const char *layers = strstr(name, "layers.");
    return str_starts(name, "mtp.") ||
           (m->n_blocks && layers && str_starts(name, "model.layers.") && block_of(name) >= m->n_blocks);
}

static int fill(struct model *m, const struct tensor_info *t, const char *type, struct err *e)
{
    size_t n = strlen(t->name);
    char *stem = mem_strndup(t->name, str_ends(t->name, ".weight") ? n - 7 : n, e);
    if (!stem)
        return -1;
    const struct name_rule *r = rule_of(stem, t->rank);
    bool weight = str_ends(t->name, ".weight"), number = dtypes[t->dtype].is_float || t->dtype == DT_F64;
    int rc = 0;
    if (!r || !number || is_extra(m, t->name) || (!weight && r->kind != KIND_STACK)) {
        mem_free(stem);
        return strs_add(&m->unread, t->name, e);
    }
    struct module *o = &m->module[m->n_modules++];
    o->classes = classes[r->kind];
    o->rule = r->doc;
    o->quantizable = r->kind == KIND_LINEAR || r->kind == KIND_EMBED || r->kind == KIND_STACK;
    o->stack = r->kind == KIND_STACK ? t->dim[0] : 0;
    o->out = t->dim[0];
    o->in = 1;
    for (int i = 1; i < t->rank; i++)
        o->in *= t->dim[i];
    o->block = (int)block_of(stem);
    o->group = -1;
    o->name = module_name(stem, type, e);
    o->tensor = mem_strdup(t->name, e);
    char *bias = mem_printf(e, "%s.bias", stem);
    if (bias && m->tensors->find(m->tensors->self, bias)) {
        o->bias = bias;
        bias = NULL;
    }
    rc = o->name && o->tensor ? 0 : -1;
    mem_free(bias);
    mem_free(stem);
    return rc;
}

static bool same_bytes(const struct model *m, const char *a, const char *b)
{
    struct tensor_view x, y;
    struct err ignored = { 0 };
    const struct tensor_source *t = m->tensors;
    return !t->view(t->self, a, &x, &ignored) && !t->view(t->self, b, &y, &ignored) && x.dtype == y.dtype &&
           view_bytes(&x) == view_bytes(&y) && !memcmp(x.data, y.data, (size_t)view_bytes(&x));
}

static struct module *find_embedding(struct model *m)
{
    for (int64_t i = 0; i < m->n_modules; i++)
        if (m->module[i].classes == classes[KIND_EMBED] &&
            listed("embed_tokens|wte|word_embeddings|tok_embeddings|embed_in", leaf_of(m->module[i].name),
                   strlen(leaf_of(m->module[i].name))))
            return &m->module[i];
    return NULL;
}

/* The head that config.json ties to the embedding: without a tensor of its own, or with an equal one. */
static int tie_head(struct model *m, const struct json *config, struct err *e)
{
    bool tied = true;
    struct module *embed = find_embedding(m), *head = NULL;
    for (int64_t i = 0; i < m->n_modules; i++)
        if (!strcmp(m->module[i].name, "lm_head"))
            head = &m->module[i];
    json_bool(value_of(config, "tie_word_embeddings"), &tied);
    if (!tied || !embed || (head && !same_bytes(m, head->tensor, embed->tensor)))
        return 0;
    if (!head) {
        head = &m->module[m->n_modules++];
        *head = (struct module){ .classes = classes[KIND_LINEAR],
                                 .block = -1,
                                 .group = -1,
                                 .out = embed->out,
                                 .in = embed->in,
                                 .quantizable = true };
        head->name = mem_strdup("lm_head", e);
        if (!head->name)
            return -1;
    }
    mem_free(head->tensor);
    head->tensor = mem_strdup(embed->tensor, e);
    head->tied = true;
    head->rule = "the head, tied to the embedding by config.json";
    return head->tensor ? 0 : -1;
}

/* Vectors named .bias belong to a module beside them; they are no tensors that nobody reads. */
static bool is_bias(const struct model *m, const char *name)
{
    bool found = false;
    if (!str_ends(name, ".bias"))
        return false;
    for (int64_t i = 0; !found && i < m->n_modules; i++)
        found = m->module[i].bias && !strcmp(m->module[i].bias, name);
    return found;
}

static int drop_biases(struct model *m, struct err *e)
{
    struct strs all = m->unread;
    int rc = 0;
    memset(&m->unread, 0, sizeof m->unread);
    for (size_t i = 0; !rc && i < all.n; i++)
        rc = is_bias(m, all.v[i]) ? 0 : strs_add(&m->unread, all.v[i], e);
    strs_release(&all);
    return rc;
}

static int fill_all(struct model *m, const struct json *config, struct err *e)
{
    const char *type = json_str(json_get(config, "model_type"), NULL);
    const struct tensor_source *t = m->tensors;
    m->hidden = int_of(config, "hidden_size");
    m->vocab = int_of(config, "vocab_size");
    m->n_blocks = int_of(config, "num_hidden_layers");
    m->max_positions = int_of(config, "max_position_embeddings");
    m->module = mem_array((size_t)t->count + 1, sizeof *m->module, e);
    if (!m->module)
        return -1;
    for (int64_t i = 0; i < t->count; i++)
        if (fill(m, t->at(t->self, i), type ? type : "", e))
            return -1;
    if (tie_head(m, config, e) || drop_biases(m, e))
        return -1;
    if (m->n_modules > 1)
        qsort(m->module, (size_t)m->n_modules, sizeof *m->module, by_name);
    return 0;
}

int model_open_names(const struct json *config, const struct tensor_source *tensors, const char *dir,
                     struct model *out, struct err *e)
{
    struct model m = { .tensors = tensors };
    m.name = mem_strdup(dir, e);
    if (!m.name || fill_all(&m, config, e)) {
        model_release(&m);
        return err_while(e, "reading the names of the tensors in %s", dir);
    }
    *out = m;
    return 0;
}

int model_open_any(const struct json *config, const struct tensor_source *tensors, const char *dir,
                   struct model *out, struct err *why, struct err *e)
{
    memset(why, 0, sizeof *why);
    if (!model_open(config, tensors, dir, out, why))
        return 0;
    if (why->code == ERR_UNBUILT)
        return model_open_names(config, tensors, dir, out, e);
    if (e)
        *e = *why;
    return -1;
}
