/* targets.c - what every quantizing modifier plans alike: which modules it means, on which grid, and why it can not. */
#include "stages/activations.h"
#include "stages/rows.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

static int match_all(struct job *j, const struct quant_config *q, struct match_result *result, struct err *e)
{
    const struct model *m = &j->load.model;
    struct match_module *list = mem_array((size_t)m->n_modules, sizeof *list, e);
    if (!list)
        return -1;
    for (int64_t i = 0; i < m->n_modules; i++) {
        list[i].name = m->module[i].name;
        list[i].classes = m->module[i].classes;
        list[i].quantizable = m->module[i].quantizable;
    }
    int rc = match_modules(q, list, (size_t)m->n_modules, j->allow_unmatched, result, &j->notes, e);
    mem_free(list);
    return rc;
}

/* A head or embedding that shares its tensor can not be quantized alone: the other reader would change with it. */
static int refuse_tied(const struct job *j, const struct module_job *m, struct err *e)
{
    const struct model *model = &j->load.model;
    for (int64_t i = 0; i < model->n_modules; i++) {
        const struct module *o = &model->module[i];
        if (o == m->module || !o->tensor || (!o->tied && !m->module->tied) ||
            strcmp(o->tensor, m->module->tensor))
            continue;
        err_at(e, ERR_UNBUILT, m->match.at,
               "'%s' shares its tensor '%s' with '%s'; quantizing one of them is not built yet",
               m->module->name, o->tensor, o->name);
        return err_hint(e, "add '%s' to ignore", m->module->name);
    }
    return 0;
}

static enum dtype scale_dtype(enum dtype weight)
{
    return weight == DT_F16 || weight == DT_BF16 ? weight : DT_F32;
}

static int plan_grid(struct module_job *m, const struct config_group *g, struct err *e)
{
    const struct module *mod = m->module;
    if (m->dtype != DT_F32 && m->dtype != DT_F16 && m->dtype != DT_BF16)
        return err_set(e, ERR_INPUT, "weights of dtype %s can not be quantized; expected F32, F16 or BF16",
                       dtypes[m->dtype].name);
    m->group = g;
    m->scheme = &g->scheme;
    m->grid = grid_for(&g->scheme.weights, e);
    if (!m->grid ||
        layout_init(&m->layout, &g->scheme.weights, mod->out, mod->in, scale_dtype(m->dtype), e) ||
        observer_resolve(&g->scheme.weights, &m->observer, &m->observer_params, e))
        return -1;
    m->layout.grid = m->grid->name;
    m->order = g->scheme.weights.actorder;
    return 0;
}

/* Presets whose weights have a grid and which a container can hold. */
static void built_presets(char *out, size_t cap)
{
    size_t n = (size_t)snprintf(out, cap, "these are built:");
    for (const struct preset *p = presets; p->name; p++) {
        struct err why = { 0 };
        bool built = p->scheme.has_weights && grid_for(&p->scheme.weights, &why) &&
                     !containers[0]->fits(&p->scheme, &why);
        if (built && n < cap)
            n += (size_t)snprintf(out + n, cap - n, " %s", p->name);
    }
}

int scheme_error(const struct module_job *m, const struct err *why, struct err *e)
{
    char built[sizeof e->hint];
    const struct config_group *g = m->group;
    struct src_pos at = g && g->at.line ? g->at : m->match.at;
    err_at(e, why->code, at, "module '%s': %s", m->module->name, why->what);
    if (why->code != ERR_UNBUILT)
        return why->hint[0] ? err_hint(e, "%s", why->hint) : -1;
    built_presets(built, sizeof built);
    if (why->hint[0])
        err_while(e, "planning its scheme (%s)", why->hint);
    return err_hint(e, "%s", built);
}

/* The rooms below know nothing of recipes: their errors get the place of the group and the module's name here. */
static int fill_grid(struct job *j, struct module_job *m, const struct config_group *g, struct err *e)
{
    struct err why = { 0 };
    if (m->module->stack) {
        err_at(e, ERR_UNBUILT, m->match.at,
               "'%s' is a stack of %lld matrices in one tensor; splitting it is not built yet",
               m->module->name, (long long)m->module->stack);
        return err_hint(e, "add 're:.*\\.experts\\.(gate_up_proj|down_proj)$' or its name to ignore");
    }
    if (plan_grid(m, g, &why) || activations_plan(j, m, g->name, &why))
        return scheme_error(m, &why, e);
    if (!strcmp(m->module->classes[0], "Embedding") &&
        job_note(j, e, "'%s' is a quantized embedding, which transformers 5.17 can not load",
                 m->module->name))
        return -1;
    return refuse_tied(j, m, e);
}

static int claim(struct job *j, int index, struct module_job *m, const struct match_result *r,
                 const struct quant_config *q, struct err *e)
{
    if (r->group < 0) {
        if (m->stage < 0 && r->rule)
            m->match = *r;
        return 0;
    }
    if (m->stage >= 0) {
        err_at(e, ERR_INPUT, r->at,
               "module '%s' is quantized by two modifiers: %s (stage %d) and %s (stage %d)", m->module->name,
               j->recipe->stage[m->stage].spec->name, m->stage + 1, j->recipe->stage[index].spec->name,
               index + 1);
        return err_hint(e, "make their targets disjoint, or ignore the module in one of them");
    }
    const struct config_group *g = &q->group[r->group];
    m->match = *r;
    if (!g->scheme.has_weights) {
        if (!strcmp(g->scheme.preset, "UNQUANTIZED"))
            return 0;
        return err_at(e, ERR_UNBUILT, g->at,
                      "config group '%s' quantizes no weights; activations alone are not built yet", g->name);
    }
    m->stage = index;
    return fill_grid(j, m, g, e);
}

/* The column order that a group of the earlier modifier asks for must be this one's, or left to it. */
static int same_order(const struct job *j, int index, const struct module_job *m, enum actorder group,
                      struct err *e)
{
    bool given = m->scheme->weights.actorder_given;
    if (!given || m->solver->needs != NEED_GRAM || (m->order == ACTORDER_NONE) == (group == ACTORDER_NONE))
        return 0;
    err_at(e, ERR_INPUT, j->recipe->stage[index].at,
           "actorder: this modifier says %s and config group '%s', which it inherits, says %s",
           actorder_words[m->order], m->group->name, actorder_words[group]);
    return err_hint(e, "say it in one place");
}

/* A solver without a scheme of its own takes over the modules of earlier modifiers with their schemes, but for those that
 * it ignores: they stay with the earlier one. */
static int plan_inherited(struct job *j, int index, const struct match_result *r,
                          int (*fill)(struct job *j, int index, struct module_job *m, struct err *e),
                          struct err *e)
{
    const struct recipe_stage *rs = &j->recipe->stage[index];
    size_t n = 0;
    for (int64_t i = 0; i < j->load.model.n_modules; i++) {
        struct module_job *m = &j->module[i];
        if (!m->scheme || r[i].ignored)
            continue;
        enum actorder group = m->scheme->weights.actorder;
        if (!n++ &&
            job_note(j, e, "%s (stage %d) has no scheme: it solves the modules of %s (stage %d) with theirs",
                     rs->spec->name, index + 1, j->recipe->stage[m->stage].spec->name, m->stage + 1))
            return -1;
        m->stage = index;
        m->order = group;
        if (fill(j, index, m, e) || same_order(j, index, m, group, e))
            return -1;
    }
    if (n)
        return 0;
    err_at(e, ERR_INPUT, rs->at, "%s has no scheme, and no earlier modifier left it a module",
           rs->spec->name);
    return err_hint(e, "add scheme: W4A16, or another of `qpipe list schemes`");
}

/* Rounding is what the earlier modifier does already; only a solver with data has a use for its schemes. */
static int refuse_idle(const struct recipe_stage *rs, struct err *e)
{
    if (rs->quant->n || rs->spec->needs_data)
        return 0;
    err_at(e, ERR_INPUT, rs->at, "%s has no scheme and no config_groups", rs->spec->name);
    return err_hint(e, "add scheme: W4A16, or another of `qpipe list schemes`; GPTQModifier may inherit one");
}

int plan_targets(struct job *j, int index,
                 int (*fill)(struct job *j, int index, struct module_job *m, struct err *e), struct err *e)
{
    const struct quant_config *q = j->recipe->stage[index].quant;
    const struct model *model = &j->load.model;
    if (cache_plan(j, index, e) || refuse_idle(&j->recipe->stage[index], e))
        return -1;
    struct match_result *r = mem_array((size_t)model->n_modules, sizeof *r, e);
    if (!r)
        return -1;
    int rc = match_all(j, q, r, e);
    if (!rc && !q->n)
        rc = plan_inherited(j, index, r, fill, e);
    for (int64_t i = 0; !rc && i < model->n_modules; i++) {
        struct module_job *m = &j->module[i];
        rc = claim(j, index, m, &r[i], q, e);
        if (!rc && m->stage == index && r[i].group >= 0)
            rc = fill(j, index, m, e);
        if (!rc && m->stage == index && r[i].group >= 0 && m->observer->needs_importance)
            j->needs_data = true;
    }
    mem_free(r);
    return rc;
}
