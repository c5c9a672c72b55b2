/* group.c - the matrices of a group are tasks. Dampening and shared global scales are settled for all of them first, from the weights as
 * they stand; then each rank solves its own; then results and decoded weights go around. */
#include "stages/group.h"
#include "stages/ranks.h"
#include "stages/rows.h"
#include "stages/units.h"

#include "base/mem.h"
#include "base/phase.h"

#include <string.h>

struct task {
    struct module_job *m;
    int i, owner; /* of the group; the rank that solves it */
    double frac;  /* dampening */
};
struct work {
    struct job *j;
    const struct walk_group *g;
    const struct group_sums *sums;
    struct task task[8];
    int n;
};
struct shared_factor { /* the last factorization, used again while order and dampening stay the same */
    struct factor f;
    struct tune tune; /* what goes with f */
    bool open;
    enum actorder order;
    double frac;
};

struct module_job *group_planned(const struct job *j, const struct walk_group *g, int i)
{
    struct module_job *m = &j->module[g->module[i] - j->load.model.module];
    return m->scheme ? m : NULL;
}

static bool needs_gram(const struct module_job *m)
{
    return !m->restored &&
           (m->solver->needs != NEED_NOTHING || m->observer->needs_importance || m->clip.n_grid);
}

static bool factored(const struct module_job *m) { return m->solver->needs == NEED_GRAM; }

bool group_needs(const struct job *j, const struct walk_group *g, bool *half)
{
    bool gram = false;
    *half = false;
    for (int i = 0; i < g->n; i++) {
        const struct module_job *m = group_planned(j, g, i);
        gram = gram || (m && needs_gram(m));
        *half = *half || (m && needs_gram(m) && factored(m) && m->solve.damp_mode != DAMP_FIXED);
    }
    return gram;
}

bool group_asymmetric(const struct job *j, const struct walk_group *g)
{
    for (int i = 0; i < g->n; i++) {
        const struct module_job *m = group_planned(j, g, i);
        if (m && needs_gram(m) && factored(m) && m->solve.alpha > 0)
            return true;
    }
    return false;
}

static void share_out(struct work *w)
{
    double cost[8] = { 0 };
    int owner[8], open[8], n = 0;
    for (int i = 0; i < w->g->n; i++) {
        struct module_job *m = group_planned(w->j, w->g, i);
        if (!m || m->done)
            continue;
        w->task[w->n] = (struct task){ m, i, -1, m->solve.dampening_frac };
        if (!m->restored) {
            cost[n] = (double)m->module->out;
            open[n++] = w->n;
        }
        w->n++;
    }
    ranks_by_cost(cost, n, w->j->comm->size, owner);
    for (int i = 0; i < n; i++)
        w->task[open[i]].owner = owner[i];
}

/* -- sums -- */

/* Sums go to the ranks that solve something with them. */
static int finish_sums(const struct work *w, struct err *e)
{
    const struct comm *c = w->j->comm;
    struct links l = ranks_links(c);
    bool *wants = mem_array((size_t)c->size, sizeof *wants, e);
    if (!wants)
        return -1;
    for (int t = 0; t < w->n; t++)
        if (w->task[t].owner >= 0)
            wants[w->task[t].owner] = true;
    enum phase before = phase_enter(PHASE_GRAM);
    int rc = w->sums->gram ? gram_finish_on(w->sums->gram, &l, wants, e) : 0;
    if (!rc && w->sums->cross)
        rc = cross_finish(w->sums->cross, &l, wants, e);
    (void)phase_enter(before);
    mem_free(wants);
    return rc ? err_while(e, "summing the inputs of %s", w->g->module[0]->name) : 0;
}

/* -- before anything is solved -- */

/* The dampening that a two-fold check chooses for all matrices of the group that ask for it in the same way, also those that an
 * earlier run has finished or another rank solves. */
static int damping(const struct work *w, struct task *t, struct err *e)
{
    const float *weight[8];
    const struct grid_layout *layout[8];
    const struct module_job *m = t->m;
    int n = 0;
    for (int i = 0; i < w->g->n; i++) {
        const struct module_job *o = group_planned(w->j, w->g, i);
        if (!o || !factored(o) || o->solve.damp_mode != m->solve.damp_mode || o->order != m->order)
            continue;
        weight[n] = w->g->weight[i];
        layout[n++] = &o->layout;
    }
    return (m->solve.damp_mode == DAMP_QUICK ? damp_quick : damp_auto)(w->sums->gram, m->order, weight,
                                                                       layout, n, &t->frac, e);
}

static int same_damping(const struct task *a, const struct task *b)
{
    return a->m->solve.damp_mode == b->m->solve.damp_mode && a->m->order == b->m->order;
}

static int settle(struct work *w, struct err *e)
{
    int rank = w->j->comm->rank;
    const struct gram *gram = w->sums->gram && w->sums->gram->sum ? w->sums->gram : NULL;
    for (int t = 0; t < w->n; t++) {
        struct task *p = &w->task[t], *known = NULL;
        if (p->owner == rank && fused_scale(w->j, p->m, w->g, gram, e)) /* who solves has the sums */
            return -1;
        if (p->owner != rank || !factored(p->m) || p->m->solve.damp_mode == DAMP_FIXED)
            continue;
        for (int k = 0; k < t && !known; k++)
            if (w->task[k].owner == rank && factored(w->task[k].m) && same_damping(&w->task[k], p))
                known = &w->task[k];
        enum phase before = phase_enter(PHASE_FACTOR);
        int rc = known ? 0 : damping(w, p, e);
        (void)phase_enter(before);
        if (rc)
            return err_while(e, "choosing the dampening of %s", p->m->module->name);
        if (known)
            p->frac = known->frac;
    }
    return 0;
}

/* -- solving -- */

static int factor_for(const struct work *w, const struct task *t, struct shared_factor *s, struct err *e)
{
    if (s->open && s->order == t->m->order && s->frac == t->frac)
        return 0;
    if (s->open)
        factor_release(&s->f);
    tune_release(&s->tune);
    s->order = t->m->order;
    s->frac = t->frac;
    enum phase before = phase_enter(PHASE_FACTOR);
    s->open = !factor_init(&s->f, w->sums->gram, t->m->order, t->frac, e);
    (void)phase_enter(before);
    return s->open ? 0 : -1;
}

/* The weights that a module's codes are to be near. */
static int set_target(const struct work *w, const struct task *t, const struct factor *f, struct err *e)
{
    const struct module_job *m = t->m;
    if (!w->sums->cross || !w->sums->cross->sum || !(m->solve.alpha > 0))
        return 0;
    return cross_target(w->sums->cross, f, m->solve.alpha, w->g->weight[t->i], m->module->out, e);
}

static int solve_task(const struct work *w, const struct task *t, struct shared_factor *s, struct err *e)
{
    const struct module_job *m = t->m;
    bool f = factored(m);
    struct gram *gram = w->sums->gram && w->sums->gram->sum ? w->sums->gram : NULL;
    if (f && factor_for(w, t, s, e))
        return err_while(e, "factoring the Hessian of %s", m->module->name);
    if (f && tune_wanted(&m->solve) && tune_init(&s->tune, &m->solve, &m->layout, &s->f, gram, e))
        return err_while(e, "preparing %s", m->module->name);
    if (f && set_target(w, t, &s->f, e))
        return err_while(e, "moving the weights of %s", m->module->name);
    return solve_module(w->j, t->m, w->g->weight[t->i], f ? &s->f : NULL, &s->tune, gram, e);
}

static int solve_own(const struct work *w, struct err *e)
{
    struct shared_factor s = { 0 };
    int rc = 0;
    for (int t = 0; !rc && t < w->n; t++) {
        struct module_job *m = w->task[t].m;
        if (w->task[t].owner == w->j->comm->rank)
            rc = unit_module_begin(w->j, m, e) || solve_task(w, &w->task[t], &s, e) ||
                         unit_module_end(w->j, m, e)
                     ? -1
                     : 0;
    }
    tune_release(&s.tune);
    if (s.open)
        factor_release(&s.f);
    return rc;
}

/* -- everybody has the results -- */

/* Decoded weights are values of their dtype: two bytes each travel where that is so. */
static int spread_weights(const struct work *w, const struct task *t, struct err *e)
{
    const struct module_job *m = t->m;
    const struct comm *c = w->j->comm;
    int64_t n = m->module->out * m->module->in;
    float *x = w->g->weight[t->i];
    enum dtype type = m->layout.value_dtype;
    if (type != DT_BF16 && type != DT_F16)
        return comm_bcast(c, x, (size_t)n * sizeof *x, t->owner, e);
    uint16_t *half = mem_big((size_t)n, sizeof *half, e);
    if (!half)
        return -1;
    if (c->rank == t->owner)
        dtype_from_f32(type, x, n, half);
    int rc = comm_bcast(c, half, (size_t)n * sizeof *half, t->owner, e);
    if (!rc && c->rank != t->owner)
        dtype_to_f32(type, half, n, x);
    mem_free(half);
    return rc;
}

static int spread(const struct work *w, struct err *e)
{
    const struct job *j = w->j;
    for (int t = 0; t < w->n; t++) {
        struct module_job *m = w->task[t].m;
        if (m->restored)
            continue;
        if (comm_bcast(j->comm, &m->result, sizeof m->result, w->task[t].owner, e) ||
            (j->mode != WALK_FALSE && j->comm->size > 1 && spread_weights(w, &w->task[t], e)))
            return err_while(e, "sending %s to the other ranks", m->module->name);
        m->done = true;
    }
    return 0;
}

static int take_restored(const struct work *w, struct err *e)
{
    for (int t = 0; t < w->n; t++) {
        struct module_job *m = w->task[t].m;
        if (!m->restored)
            continue;
        if (unit_module_take(w->j, m, e) ||
            (w->j->mode != WALK_FALSE && unit_weights(w->j, m, w->g->weight[w->task[t].i], e)))
            return -1;
        m->done = true;
    }
    return 0;
}

int group_solve(struct job *j, const struct walk_group *g, const struct group_sums *s, struct err *e)
{
    struct work w = { .j = j, .g = g, .sums = s };
    share_out(&w);
    return finish_sums(&w, e) || settle(&w, e) || solve_own(&w, e) || spread(&w, e) || take_restored(&w, e)
               ? -1
               : 0;
}
