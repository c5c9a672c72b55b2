/* smooth_plan.c - which mappings a smoothing modifier uses. The model's table (model/mappings.h) has those that do not change
 * its function; a mapping of the recipe has to be one of them. */
#include "stages/smooth.h"

#include "base/mem.h"
#include "recipes/mapping_rules.h"
#include "stages/rows.h"

#include <string.h>

struct finder {
    struct job *j;
    int index;
    const struct smoother *smoother;
    const struct smooth_wants *wants;
    struct mapping_rules rules;
    struct name_patterns ignore;
    struct mapping *all; /* of the model */
    int64_t n_all;
    bool skipped_grouped;
};

static int all_mappings(struct finder *f, struct err *e)
{
    const struct model *m = &f->j->load.model;
    if (!m->arch) { /* modules by tensor names alone have no steps */
        if (e)
            *e = f->j->load.why;
        return err_while(e, "looking for mappings, which come from an architecture's steps");
    }
    f->all = mem_array((size_t)m->n_blocks * MAPPINGS_MAX, sizeof *f->all, e);
    for (int64_t b = 0; f->all && b < m->n_blocks; b++)
        f->n_all += mappings_of(m, b, f->all + f->n_all);
    return f->all ? 0 : -1;
}

/* Where a mapping is asked for: its rule, or the modifier. */
static struct src_pos place(const struct finder *f, struct src_pos at)
{
    return at.line ? at : f->j->recipe->stage[f->index].at;
}

static int add(struct finder *f, const struct mapping *p, struct src_pos at, struct err *e)
{
    struct smooth_state *s = &f->j->smooth;
    if (p->repeat > 1 && !f->wants->grouped) {
        f->skipped_grouped = true;
        return 0;
    }
    for (int64_t i = 0; i < s->n; i++)
        if (s->v[i].stage == f->index && s->v[i].map.smooth == p->smooth && s->v[i].map.kind == p->kind)
            return err_at(e, ERR_INPUT, place(f, at), "two mappings smooth '%s'", p->smooth->name);
    struct smooth_job *more = mem_resize(s->v, (size_t)(s->n + 1) * sizeof *more, e);
    if (!more)
        return -1;
    s->v = more;
    s->v[s->n++] = (struct smooth_job){ .map = *p, .stage = f->index, .smoother = f->smoother };
    return 0;
}

static bool balances(const struct mapping *p, const struct module *m)
{
    for (int i = 0; i < p->n; i++)
        if (p->balance[i] == m)
            return true;
    return false;
}

/* All modules of the block that the rule means as balance are those of p, and none is missing. */
static int same_balance(const struct finder *f, const struct mapping_rule *r, const struct mapping *p,
                        bool *same, struct err *e)
{
    const struct model *m = &f->j->load.model;
    int found = 0;
    *same = true;
    for (int64_t i = m->first[p->block + 1]; i < m->first[p->block + 2]; i++) {
        int64_t hit = name_patterns_find(&r->balance, m->module[i].name, e);
        if (hit < 0)
            return -1;
        if (hit == (int64_t)r->balance.n)
            continue;
        found++;
        *same = *same && balances(p, &m->module[i]);
    }
    *same = *same && found == p->n;
    return 0;
}

/* Why what the rule means for module m is no mapping: the nearest one that is. */
static int not_identity(const struct finder *f, const struct mapping_rule *r, const struct module *m,
                        struct err *e)
{
    for (int64_t i = 0; i < f->n_all; i++) {
        const struct mapping *p = &f->all[i];
        char list[sizeof e->hint] = "";
        size_t at = 0;
        if (p->smooth != m)
            continue;
        err_at(e, ERR_INPUT, r->at,
               "scaling '%s' with these balance layers would change what the model computes", m->name);
        for (int k = 0; k < p->n && at < sizeof list; k++)
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", k ? ", " : "", p->balance[k]->name);
        return err_hint(e, "balance it by exactly these: %s", list);
    }
    err_at(e, ERR_INPUT, r->at,
           "scaling '%s' would change what the model computes: its output is read by more than matrices",
           m->name);
    return err_hint(e, "leave the mapping out; `qpipe plan` without mappings lists those of the model");
}

static int use_module(struct finder *f, const struct mapping_rule *r, const struct module *m, struct err *e)
{
    for (int64_t i = 0; i < f->n_all; i++) {
        bool same;
        if (f->all[i].smooth != m)
            continue;
        if (same_balance(f, r, &f->all[i], &same, e))
            return -1;
        if (same && f->wants->norms && f->all[i].kind != MAPPING_NORM)
            return err_at(e, ERR_UNBUILT, r->at,
                          "%s smooths norms; '%s' is none, and its output's range is not gathered",
                          f->j->recipe->stage[f->index].spec->name, m->name);
        if (same)
            return add(f, &f->all[i], r->at, e);
    }
    return not_identity(f, r, m, e);
}

static int use_rule(struct finder *f, const struct mapping_rule *r, struct err *e)
{
    const struct model *m = &f->j->load.model;
    bool any = false;
    for (int64_t i = 0; i < m->n_modules; i++) {
        int64_t hit = name_patterns_find(&r->smooth, m->module[i].name, e);
        if (hit < 0)
            return -1;
        if (hit == (int64_t)r->smooth.n)
            continue;
        any = true;
        if (use_module(f, r, &m->module[i], e))
            return -1;
    }
    if (any)
        return 0;
    err_at(e, ERR_INPUT, r->at, "mappings: '%s' matches no module of the model", r->smooth.v[0].text);
    return err_hint(e, "patterns are matched from the start of the full name: re:.*input_layernorm");
}

/* llm-compressor leaves a mapping out when the smooth layer and all balance layers are ignored. */
static int is_ignored(const struct finder *f, const struct mapping *p, bool *ignored, struct err *e)
{
    *ignored = f->ignore.n > 0;
    for (int i = -1; *ignored && i < p->n; i++) {
        int64_t hit = name_patterns_find(&f->ignore, (i < 0 ? p->smooth : p->balance[i])->name, e);
        if (hit < 0)
            return -1;
        *ignored = hit < (int64_t)f->ignore.n;
    }
    return 0;
}

static int use_all(struct finder *f, struct err *e)
{
    struct src_pos nowhere = { 0 };
    for (int64_t i = 0; i < f->n_all; i++) {
        bool ignored;
        if (f->wants->norms && f->all[i].kind != MAPPING_NORM)
            continue;
        if (is_ignored(f, &f->all[i], &ignored, e) || (!ignored && add(f, &f->all[i], nowhere, e)))
            return -1;
    }
    return 0;
}

static int find(struct finder *f, struct err *e)
{
    const char *who = f->j->recipe->stage[f->index].spec->name;
    int64_t before = f->j->smooth.n;
    if (mapping_rules_read(f->wants->mappings, &f->rules, e) ||
        name_patterns_read(f->wants->ignore, &f->ignore, e) || all_mappings(f, e))
        return -1;
    for (size_t i = 0; i < f->rules.n; i++)
        if (use_rule(f, &f->rules.v[i], e))
            return -1;
    if (!f->rules.n && use_all(f, e))
        return -1;
    if (f->skipped_grouped &&
        job_note(f->j, e, "%s: values are shared by several query heads; v -> o is left out", who))
        return -1;
    if (f->j->smooth.n > before)
        return 0;
    err_at(e, ERR_INPUT, place(f, (struct src_pos){ 0 }), "%s: no layer of this model can be smoothed", who);
    return f->skipped_grouped
               ? err_hint(e, "v -> o where query heads share values needs grouped_values: true")
               : -1;
}

int smooth_plan(struct job *j, int index, const struct smoother *s, const struct smooth_wants *w,
                struct err *e)
{
    struct finder f = { .j = j, .index = index, .smoother = s, .wants = w };
    int rc = find(&f, e);
    mapping_rules_release(&f.rules);
    name_patterns_release(&f.ignore);
    mem_free(f.all);
    return rc;
}

static int check_tensor(const struct job *j, const char *name, struct err *e)
{
    const struct tensor_source *t = &j->load.checkpoint.stored;
    const struct tensor_info *info = t->find(t->self, name);
    if (!info)
        return err_set(e, ERR_UNBUILT, "tensor '%s' is stored quantized; smoothing it is not built", name);
    if (info->dtype != DT_F32 && info->dtype != DT_F16 && info->dtype != DT_BF16)
        return err_set(e, ERR_UNBUILT, "tensor '%s' is %s; smoothing is built for F32, F16 and BF16", name,
                       dtypes[info->dtype].name);
    return 0;
}

static int check_tensors(const struct job *j, const struct mapping *p, struct err *e)
{
    if (check_tensor(j, p->smooth->tensor, e) || (p->smooth->bias && check_tensor(j, p->smooth->bias, e)))
        return -1;
    for (int i = 0; i < p->n; i++)
        if (check_tensor(j, p->balance[i]->tensor, e))
            return -1;
    return 0;
}

static bool quantizes_any(const struct job *j, const struct mapping *p)
{
    for (int i = 0; i < p->n; i++)
        if (j->module[p->balance[i] - j->load.model.module].scheme)
            return true;
    return false;
}

int smooth_check(struct job *j, struct err *e)
{
    struct smooth_state *s = &j->smooth;
    int64_t kept = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const struct smooth_job *o = &s->v[i];
        const char *who = j->recipe->stage[o->stage].spec->name;
        if (check_tensors(j, &o->map, e))
            return err_while(e, "planning the mapping of %s", o->map.smooth->name);
        if (o->smoother->quantizers && !quantizes_any(j, &o->map)) {
            if (job_note(j, e, "%s: nothing behind '%s' is quantized; it is not smoothed", who,
                         o->map.smooth->name))
                return -1;
            continue;
        }
        s->v[kept++] = *o;
    }
    s->n = kept;
    return 0;
}
