/* activations.c - the observers of a run. Modules of one group with one scheme read the same values: the first of them
 * observes for all. */
#include "stages/activations.h"

#include "base/mem.h"
#include "model/arch.h"
#include "model/config.h"
#include "stages/ranks.h"
#include "stages/simulate.h"
#include "stages/units.h"

#include <string.h>

/* -- plan -- */

static enum dtype scale_dtype(enum dtype weight)
{
    return weight == DT_F16 || weight == DT_BF16 ? weight : DT_F32;
}

static bool is_static(const struct module_job *m)
{
    return m->scheme && m->scheme->has_input && activation_is_static(&m->scheme->input);
}

static int note_input(struct job *j, const struct module_job *m, const char *group, struct err *e)
{
    char word[128];
    const struct quant_args *a = &m->scheme->input;
    if (is_static(m))
        return job_note(j, e,
                        "config group '%s' rounds inputs (%s): scales come from the calibration text by %s",
                        group, activation_word(a, word), act_observer_name(a));
    return job_note(j, e,
                    "config group '%s' rounds inputs (%s): the runtime does, and verify and eval do alike",
                    group, activation_word(a, word));
}

int activations_plan(struct job *j, struct module_job *m, const char *group, struct err *e)
{
    const struct quant_args *a = &m->scheme->input;
    if (!m->scheme->has_input)
        return 0;
    if (activation_check(a, ACTIVATION_INPUT, m->module->in, e))
        return -1;
    if (!is_static(m))
        return note_input(j, m, group, e);
    if (!strcmp(m->module->classes[0], "Embedding"))
        return err_set(e, ERR_INPUT, "an embedding reads token ids, which have no scale");
    if (act_observer_check(a, e))
        return -1;
    j->needs_data = true;
    return note_input(j, m, group, e);
}

static int cache_fits(const struct job *j, const struct quant_args *a, struct err *e)
{
    const struct model *m = &j->load.model;
    if (activation_check(a, ACTIVATION_KV, m->config->head_dim, e) || act_observer_check(a, e))
        return -1;
    for (int64_t b = 0; b < m->n_blocks; b++) {
        char *name = attention_prefix(m, b, e);
        bool known = name && (str_ends(name, "self_attn") || str_ends(name, "attention"));
        if (!known)
            err_set(
                e, ERR_UNBUILT,
                "kv_cache_scheme is for attentions named self_attn or attention, where readers look for scales, found '%s'",
                name ? name : "none");
        mem_free(name);
        if (!known)
            return -1;
    }
    return 0;
}

int cache_plan(struct job *j, int index, struct err *e)
{
    const struct recipe_stage *rs = &j->recipe->stage[index];
    const struct quant_config *q = rs->quant;
    char word[128];
    struct err why = { 0 };
    if (!q || !q->has_kv_cache)
        return 0;
    if (j->kv_cache) {
        err_at(e, ERR_INPUT, rs->at, "kv_cache_scheme is given by two modifiers");
        return err_hint(e, "leave it in one of them");
    }
    if (!q->n) {
        err_at(e, ERR_UNBUILT, rs->at, "kv_cache_scheme without a scheme for weights is not built yet");
        return err_hint(e, "give it beside a scheme, or to the modifier that has one");
    }
    if (cache_fits(j, &q->kv_cache, &why)) {
        err_at(e, why.code, rs->at, "kv_cache_scheme: %s", why.what);
        return why.hint[0] ? err_hint(e, "%s", why.hint) : -1;
    }
    j->kv_cache = &q->kv_cache;
    j->needs_data = true;
    return job_note(
        j, e,
        "keys and values are rounded (%s): scales come from the calibration text by %s, and verify and eval "
        "round alike",
        activation_word(j->kv_cache, word), act_observer_name(j->kv_cache));
}

/* -- inputs -- */

static struct module_job *job_of(const struct job *j, const struct walk_group *g, int i)
{
    return &j->module[g->module[i] - j->load.model.module];
}

/* The module that observes for module i of the group: itself, or the first one with the same scheme. */
static struct module_job *leader(const struct job *j, const struct walk_group *g, int i)
{
    struct module_job *m = job_of(j, g, i);
    for (int k = 0; k < i; k++) {
        struct module_job *o = job_of(j, g, k);
        if (is_static(o) && o->scheme == m->scheme && o->dtype == m->dtype)
            return o;
    }
    return m;
}

static int open_input(struct job *j, struct module_job *m, struct err *e)
{
    return m->input.kind
               ? 0
               : act_observer_init(&m->input, &m->scheme->input, scale_dtype(m->dtype), 1, j->data.n, e);
}

int activations_input(struct job *j, const struct walk_group *g, int64_t chunk, const float *x, int64_t rows,
                      int64_t ldx, struct err *e)
{
    for (int i = 0; i < g->n; i++) {
        struct module_job *m = job_of(j, g, i);
        if (!is_static(m) || leader(j, g, i) != m)
            continue;
        if (open_input(j, m, e) || act_observer_add(&m->input, chunk, x, rows, g->k, ldx, e))
            return err_while(e, "observing the input of %s", m->module->name);
    }
    return 0;
}

static int share(const struct job *j, struct act_observer *o, struct err *e)
{
    return ranks_share_chunks(j->comm, o->seen, act_observer_row(o), o->sequences, e);
}

/* On rank 0 the scales go to the saver, as a unit of their own: other ranks write shards with them. */
static int save_one(struct job *j, const char *prefix, const char *what, const struct act_observer *o,
                    struct err *e)
{
    struct activation a = { 0 };
    char *key = j->comm->rank ? NULL : mem_printf(e, "activation/%s.%s", prefix, what);
    int rc = j->comm->rank || key ? 0 : -1;
    if (!rc && key && !unit_done(j, key))
        rc = act_observer_finish(o, &a, e) || unit_begin(j, key, e) ||
                     j->container->pack_activation(j->saver, prefix, what, &a, o->dtype, e) ||
                     unit_end(j, NULL, 0, e)
                 ? -1
                 : 0;
    else if (!rc && key)
        rc = unit_take(j, key, NULL, 0, e);
    activation_release(&a);
    mem_free(key);
    return rc;
}

int activations_save(struct job *j, const struct walk_group *g, struct err *e)
{
    int rc = 0;
    for (int i = 0; !rc && i < g->n; i++) {
        struct module_job *m = job_of(j, g, i);
        if (!is_static(m))
            continue;
        if (leader(j, g, i) == m)
            rc = open_input(j, m, e) || share(j, &m->input, e) ? -1 : 0;
        char *prefix = rc ? NULL : module_prefix(g->module[i], e);
        rc = prefix ? save_one(j, prefix, "input", &leader(j, g, i)->input, e) : -1;
        mem_free(prefix);
        if (rc)
            err_while(e, "finding the input scale of %s", g->module[i]->name);
    }
    for (int i = 0; i < g->n; i++)
        act_observer_release(&job_of(j, g, i)->input);
    return rc;
}

/* -- keys and values -- */

static enum dtype cache_dtype(const struct job *j, int64_t block)
{
    const struct module *o = model_part(&j->load.model, block, P_O);
    return scale_dtype(j->module[o - j->load.model.module].dtype);
}

static int open_cache(struct job *j, int64_t block, struct err *e)
{
    int64_t n = j->kv_cache->strategy == STRATEGY_ATTN_HEAD ? j->load.model.config->kv_heads : 1;
    enum dtype t = cache_dtype(j, block);
    if (j->key.kind)
        return 0;
    return act_observer_init(&j->key, j->kv_cache, t, n, j->data.n, e) ||
                   act_observer_init(&j->value, j->kv_cache, t, n, j->data.n, e)
               ? -1
               : 0;
}

int cache_input(struct job *j, int64_t block, int64_t chunk, const float *k, const float *v, int64_t rows,
                int64_t width, struct err *e)
{
    return open_cache(j, block, e) || act_observer_add(&j->key, chunk, k, rows, width, width, e) ||
                   act_observer_add(&j->value, chunk, v, rows, width, width, e)
               ? err_while(e, "observing the cache of layer %lld", (long long)block)
               : 0;
}

int cache_save(struct job *j, int64_t block, struct err *e)
{
    if (!j->kv_cache || block >= j->load.model.n_blocks)
        return 0;
    char *prefix = attention_prefix(&j->load.model, block, e);
    int rc = prefix && !open_cache(j, block, e) && !share(j, &j->key, e) && !share(j, &j->value, e) &&
                     !save_one(j, prefix, "k", &j->key, e) && !save_one(j, prefix, "v", &j->value, e)
                 ? 0
                 : -1;
    mem_free(prefix);
    act_observer_release(&j->key);
    act_observer_release(&j->value);
    return rc ? err_while(e, "finding the cache scales of layer %lld", (long long)block) : 0;
}

void activations_job_release(struct job *j)
{
    for (int64_t i = 0; j->module && i < j->load.model.n_modules; i++)
        act_observer_release(&j->module[i].input);
    act_observer_release(&j->key);
    act_observer_release(&j->value);
}
