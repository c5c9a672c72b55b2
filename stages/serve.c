/* serve.c - may a runtime cut the planned matrices for tensor parallelism? vLLM and SGLang split outputs of some matrices and
 * inputs of others; a part must hold whole groups, blocks and packed words, or the checkpoint can not be loaded on so
 * many devices. Nothing is cut here: the plan only says what can not be. */
#include "stages/rows.h"

#include <string.h>

enum cut { CUT_OUT, CUT_IN, CUT_NONE };

/* Which way a matrix is cut, by the last component of its name (vLLM's ColumnParallelLinear, RowParallelLinear,
 * ReplicatedLinear). A name that is not here is asked to be cut either way. */
static const struct {
    const char *words; /* "a|b" */
    enum cut cut;
} cuts[] = {
    { "q_proj|k_proj|v_proj|qkv_proj|query_key_value|Wqkv|gate_proj|up_proj|gate_up_proj|fc1|fc_in|c_fc|w1|w3|"
      "dense_h_to_4h|q_b_proj|kv_b_proj|in_proj|in_proj_qkvz|in_proj_ba|lm_head|embed_out",
      CUT_OUT },
    { "o_proj|down_proj|out_proj|dense|dense_4h_to_h|fc2|fc_out|c_proj|w2|wo", CUT_IN },
    { "q_a_proj|kv_a_proj_with_mqa|gate|router|shared_expert_gate", CUT_NONE },
};

static bool listed(const char *words, const char *s)
{
    size_t n = strlen(s);
    for (const char *w = words; w; w = strchr(w, '|') ? strchr(w, '|') + 1 : NULL)
        if (strcspn(w, "|") == n && !memcmp(w, s, n))
            return true;
    return false;
}

static const char *leaf_of(const struct module *m)
{
    const char *dot = strrchr(m->name, '.');
    return dot ? dot + 1 : m->name;
}

static int64_t config_number(const struct job *j, const char *key)
{
    const struct json *c = j->load.checkpoint.config;
    const struct json *v = json_get(c, key) ? json_get(c, key) : json_get(json_get(c, "text_config"), key);
    int64_t n = 0;
    return json_int(v, &n) ? n : 0;
}

/* Parts that the rows of this module are cut into: keys and values of few heads are copied to several devices. */
static int64_t parts_of(const struct job *j, const struct module_job *m, int64_t n)
{
    int64_t kv = config_number(j, "num_key_value_heads");
    return listed("k_proj|v_proj", leaf_of(m->module)) && kv > 0 && kv < n && n % kv == 0 ? kv : n;
}

/* What does not divide; NULL: all does. */
static const char *unfit_rows(const struct module_job *m, int64_t n)
{
    const struct quant_args *a = &m->scheme->weights;
    int64_t rows = m->module->out;
    if (rows % n)
        return "its output features do not divide";
    if (a->strategy == STRATEGY_BLOCK && rows / n % a->block[0])
        return "a part would cut a block of rows";
    if (!a->symmetric && a->type == QUANT_INT && a->num_bits < 8 && a->strategy != STRATEGY_TENSOR &&
        !m->scheme->has_input && rows / n * a->num_bits % 32)
        return "a part would cut a word of packed zero points";
    return NULL;
}

static const char *unfit_cols(const struct module_job *m, int64_t n)
{
    const struct quant_args *a = &m->scheme->weights;
    int64_t cols = m->module->in;
    if (cols % n)
        return "its input features do not divide";
    if ((a->strategy == STRATEGY_GROUP || a->strategy == STRATEGY_TENSOR_GROUP) && a->group_size > 0 &&
        cols / n % a->group_size)
        return "a part would cut a group";
    if (a->strategy == STRATEGY_BLOCK && cols / n % a->block[1])
        return "a part would cut a block of columns";
    if (a->num_bits < 8 && cols / n * a->num_bits % 32)
        return "a part would cut a word of packed codes";
    return NULL;
}

static enum cut cut_of(const struct module *m, bool *known)
{
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++)
        if (listed(cuts[i].words, leaf_of(m))) {
            *known = true;
            return cuts[i].cut;
        }
    *known = false;
    return CUT_OUT;
}

static const char *unfit(const struct job *j, const struct module_job *m, int64_t n)
{
    bool known;
    enum cut cut = cut_of(m->module, &known);
    const char *rows = cut == CUT_OUT ? unfit_rows(m, parts_of(j, m, n)) : NULL;
    const char *cols = cut == CUT_IN || !known ? unfit_cols(m, n) : NULL;
    return rows ? rows : cols;
}

static bool all_fit(const struct job *j, int64_t n)
{
    for (int64_t i = 0; i < j->load.model.n_modules; i++)
        if (j->module[i].scheme && unfit(j, &j->module[i], n))
            return false;
    return true;
}

/* Powers of two that every planned module allows. */
static void fitting(const struct job *j, char *out, size_t cap)
{
    size_t at = (size_t)snprintf(out, cap, "1");
    for (int64_t n = 2; n <= 64 && at < cap; n *= 2)
        if (all_fit(j, n))
            at += (size_t)snprintf(out + at, cap - at, ", %lld", (long long)n);
}

int serve_plan(struct job *j, struct err *e)
{
    const struct serve_options *s = &j->recipe->serve;
    int64_t n = s->tensor_parallel, heads = config_number(j, "num_attention_heads");
    char word[96], fit[64];
    for (int64_t i = 0; n > 1 && i < j->load.model.n_modules; i++) {
        const struct module_job *m = &j->module[i];
        const char *why = m->scheme ? unfit(j, m, n) : NULL;
        if (!why)
            continue;
        fitting(j, fit, sizeof fit);
        err_at(e, ERR_INPUT, s->at,
               "serve: tensor_parallel %lld does not fit module '%s' [%lld, %lld], %s: %s", (long long)n,
               m->module->name, (long long)m->module->out, (long long)m->module->in,
               quant_args_word(&m->scheme->weights, word), why);
        return err_hint(e, "these fit all modules: %s; or choose another group_size, or ignore the module",
                        fit);
    }
    if (n > 1 && heads > 0 && heads % n)
        return err_at(e, ERR_INPUT, s->at,
                      "serve: tensor_parallel %lld does not divide the %lld attention heads", (long long)n,
                      (long long)heads);
    return 0;
}
