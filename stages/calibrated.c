/* calibrated.c - the walk with a quantizer at its cuts: one Gram matrix per input group, one factorization for all its
 * matrices, each solved, packed, and put back decoded. */
#include "stages/activations.h"
#include "stages/rows.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/phase.h"
#include "quant/cross.h"

#include <string.h>

enum { BLOCK_CROSSES = 64 };

struct pass {
    struct job *j;
    struct gram *gram;                 /* [n_gram], by the group's index in its block; k == 0: not open */
    struct cross cross[BLOCK_CROSSES]; /* the same, for modules with asymmetric calibration */
    int n_gram;
};

static struct module_job *planned(const struct pass *p, const struct walk_group *g, int i)
{
    struct module_job *m = &p->j->module[g->module[i] - p->j->load.model.module];
    return m->scheme ? m : NULL;
}

static bool needs_gram(const struct module_job *m)
{
    return m->solver->needs != NEED_NOTHING || m->observer->needs_importance || m->clip.n_grid;
}

static bool wants(void *arg, const struct walk_group *g)
{
    for (int i = 0; i < g->n; i++)
        if (planned(arg, g, i))
            return true;
    return false;
}

static bool group_needs(const struct pass *p, const struct walk_group *g, bool *half)
{
    bool gram = false;
    *half = false;
    for (int i = 0; i < g->n; i++) {
        const struct module_job *m = planned(p, g, i);
        gram = gram || (m && needs_gram(m));
        *half = *half || (m && m->solver->needs == NEED_GRAM && m->solve.damp_mode != DAMP_FIXED);
    }
    return gram;
}

static struct gram *gram_of(struct pass *p, int index, struct err *e)
{
    if (index >= p->n_gram) {
        int n = index + 8;
        struct gram *more = mem_resize(p->gram, (size_t)n * sizeof *more, e);
        if (!more)
            return NULL;
        memset(more + p->n_gram, 0, (size_t)(n - p->n_gram) * sizeof *more);
        p->gram = more;
        p->n_gram = n;
    }
    return &p->gram[index];
}

static int input(void *arg, const struct walk_group *g, int64_t chunk, const float *x, int64_t rows,
                 int64_t ldx, struct err *e)
{
    struct pass *p = arg;
    bool half;
    if (activations_input(p->j, g, x, rows, ldx, e))
        return -1;
    if (!group_needs(p, g, &half))
        return 0;
    struct gram *m = gram_of(p, g->index, e);
    if (!m || (!m->k && gram_init(m, g->k, p->j->data.n, half, e)))
        return -1;
    enum phase before = phase_enter(PHASE_GRAM);
    int rc = gram_add(m, chunk, x, rows, ldx, e);
    (void)phase_enter(before);
    return rc;
}

static bool asymmetric(const struct pass *p, const struct walk_group *g)
{
    for (int i = 0; i < g->n; i++) {
        const struct module_job *m = planned(p, g, i);
        if (m && m->solver->needs == NEED_GRAM && m->solve.alpha > 0)
            return true;
    }
    return false;
}

static int pair(void *arg, const struct walk_group *g, int64_t chunk, const float *x, const float *x0,
                int64_t rows, int64_t ldx, struct err *e)
{
    struct pass *p = arg;
    if (!asymmetric(p, g))
        return 0;
    BUG_ON(g->index >= BLOCK_CROSSES);
    struct cross *c = &p->cross[g->index];
    if (!c->k && cross_init(c, g->k, p->j->data.n, e))
        return -1;
    return cross_add(c, chunk, x, x0, rows, ldx, e);
}

/* The weights that a module's codes are to be near. */
static int set_target(struct pass *p, const struct walk_group *g, int i, const struct module_job *m,
                      const struct factor *f, struct err *e)
{
    struct cross *c = g->index < BLOCK_CROSSES ? &p->cross[g->index] : NULL;
    if (!c || !c->k || !(m->solve.alpha > 0))
        return 0;
    return cross_target(c, f, m->solve.alpha, g->weight[i], m->module->out, e);
}

/* The dampening that a module gets: its own, or the one that the two-fold check chooses for all matrices of the group. */
static int damping(const struct pass *p, const struct walk_group *g, const struct gram *gram,
                   const struct module_job *m, double *frac, struct err *e)
{
    const float *w[8];
    const struct grid_layout *l[8];
    int n = 0;
    *frac = m->solve.dampening_frac;
    if (m->solve.damp_mode == DAMP_FIXED)
        return 0;
    for (int i = 0; i < g->n; i++) {
        const struct module_job *o = planned(p, g, i);
        if (!o || o->done || o->solve.damp_mode != m->solve.damp_mode || o->order != m->order)
            continue;
        w[n] = g->weight[i];
        l[n++] = &o->layout;
    }
    return (m->solve.damp_mode == DAMP_QUICK ? damp_quick : damp_auto)(gram, m->order, w, l, n, frac, e);
}

struct shared_factor { /* the last factorization, used again while order and dampening stay the same */
    struct factor f;
    struct tune tune; /* what goes with f */
    bool open;
    enum actorder order;
    double frac, wanted;
    enum damp_mode mode;
};

static int factor_for(const struct pass *p, const struct walk_group *g, const struct gram *gram,
                      const struct module_job *m, struct shared_factor *s, struct err *e)
{
    if (s->open && s->order == m->order && s->mode == m->solve.damp_mode &&
        (s->mode != DAMP_FIXED || s->wanted == m->solve.dampening_frac))
        return 0;
    if (s->open)
        factor_release(&s->f);
    tune_release(&s->tune);
    s->open = false;
    s->order = m->order;
    s->mode = m->solve.damp_mode;
    s->wanted = m->solve.dampening_frac;
    enum phase before = phase_enter(PHASE_FACTOR);
    int rc = damping(p, g, gram, m, &s->frac, e);
    rc = rc ? rc : factor_init(&s->f, gram, m->order, s->frac, e);
    (void)phase_enter(before);
    s->open = !rc;
    return rc ? -1 : 0;
}

static int solve_group(struct pass *p, const struct walk_group *g, struct gram *gram, struct err *e)
{
    struct shared_factor s = { 0 };
    int rc = 0;
    for (int i = 0; !rc && i < g->n; i++) {
        struct module_job *m = planned(p, g, i);
        if (!m || m->done)
            continue;
        bool factored = m->solver->needs == NEED_GRAM;
        if (fused_scale(p->j, m, g, gram, e))
            rc = -1;
        else if (factored && factor_for(p, g, gram, m, &s, e))
            rc = err_while(e, "factoring the Hessian of %s", m->module->name);
        else if (factored && tune_wanted(&m->solve) &&
                 tune_init(&s.tune, &m->solve, &m->layout, &s.f, gram, e))
            rc = err_while(e, "preparing %s", m->module->name);
        else if (factored && set_target(p, g, i, m, &s.f, e))
            rc = err_while(e, "moving the weights of %s", m->module->name);
        else
            rc = solve_module(p->j, m, g->weight[i], factored ? &s.f : NULL, &s.tune, gram, e);
    }
    tune_release(&s.tune);
    if (s.open)
        factor_release(&s.f);
    return rc;
}

static int solve(void *arg, const struct walk_group *g, struct err *e)
{
    struct pass *p = arg;
    struct gram *gram = g->index < p->n_gram && p->gram[g->index].k ? &p->gram[g->index] : NULL;
    struct cross *cross = g->index < BLOCK_CROSSES ? &p->cross[g->index] : NULL;
    int rc = gram ? gram_finish(gram, e) : 0;
    if (cross && cross->k)
        cross_finish(cross);
    if (rc)
        err_while(e, "summing the inputs of %s", g->module[0]->name);
    else
        rc = activations_save(p->j, g, e) || solve_group(p, g, gram, e) ? -1 : 0;
    if (gram) {
        gram_release(gram);
        memset(gram, 0, sizeof *gram);
    }
    if (cross)
        cross_release(cross);
    return rc;
}

static int cache(void *arg, int64_t block, int64_t chunk, const float *k, const float *v, int64_t rows,
                 int64_t width, struct err *e)
{
    const struct pass *p = arg;
    (void)chunk;
    return cache_input(p->j, block, k, v, rows, width, e);
}

static int walk_blocks(struct pass *p, struct walker *w, struct err *e)
{
    struct job *j = p->j;
    struct walk_hooks hooks = { .arg = p, .wants = wants, .input = input, .solve = solve, .pair = pair };
    hooks.cache = j->kv_cache ? cache : NULL;
    bool head = false;
    for (int64_t i = 0; i < j->load.model.n_modules; i++)
        head = head || (j->module[i].scheme && j->module[i].module->block == j->load.model.n_blocks);
    int64_t n = j->load.model.n_blocks + head;
    progress_start("quantize", n, "blocks");
    int rc = 0;
    for (int64_t b = 0; !rc && b < n; b++) {
        rc = walker_block(w, b, j->mode, &hooks, e) || cache_save(j, b, e) ? -1 : 0;
        if (!rc)
            progress_at(b + 1, NULL);
    }
    progress_end();
    return rc;
}

static bool any_asymmetric(const struct job *j)
{
    for (int64_t i = 0; i < j->load.model.n_modules; i++)
        if (j->module[i].scheme && j->module[i].solve.alpha > 0)
            return true;
    return false;
}

int calibrated_run(struct job *j, const char *spill_dir, struct err *e)
{
    struct pass p = { .j = j };
    struct chunks c = { (const int32_t *const *)j->data.seq, j->data.len, j->data.n };
    struct walk_options o = { .activation_budget = (uint64_t)job_budget(j) / (any_asymmetric(j) ? 2 : 1),
                              .spill_dir = spill_dir };
    struct walker *w = walker_new(&j->load.model, &c, &o, e);
    struct walker *original = w && any_asymmetric(j) ? walker_new(&j->load.model, &c, &o, e) : NULL;
    int rc = w && (original || !any_asymmetric(j)) ? 0 : -1;
    if (original)
        walker_beside(w, original);
    if (!rc)
        rc = walk_blocks(&p, w, e);
    if (w && walker_spilled(w))
        log_say(LOG_INFO, "activations: %.1f MiB went through the spill file",
                (double)walker_spilled(w) / 0x1p20);
    walker_free(w);
    walker_free(original);
    for (int i = 0; i < BLOCK_CROSSES; i++)
        cross_release(&p.cross[i]);
    for (int i = 0; i < p.n_gram; i++)
        if (p.gram[i].k)
            gram_release(&p.gram[i]);
    mem_free(p.gram);
    return rc;
}
