/* walk.c - block after block over all chunks. A pass loads the registers that are alive at its first step, runs steps,
 * shows the inputs of groups on the way, and saves what is alive at its end. The three modes differ only in where passes
 * begin and end and when solve() is called; numbers depend on no budget and no number of threads. */
#include "model/walk.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/phase.h"
#include "model/config.h"
#include "model/load.h"
#include "model/steps.h"
#include "model/store.h"
#include <limits.h>
#include <string.h>

const char *const walk_mode_words[] = { "true", "block", "false", NULL };

struct walker {
    const struct model *m;
    struct chunks chunks;
    struct store *store;
    struct run run;
    struct weights weights; /* of the block that runs; the epilogue's stay for logits */
    struct block_plan plan;
    struct walk_group group[BLOCK_GROUPS];
    bool wanted[BLOCK_GROUPS];
    const struct walk_hooks *hooks;
    bool last;               /* no block follows the one that runs */
    struct walker *beside;   /* NULL, or the same walk with untouched weights */
    int64_t next;            /* block that may run now */
    int64_t longest;         /* tokens of the longest chunk */
    int64_t table_length[2]; /* length that a rope table was made for, 0: none yet */
    float *freq;
};

/* Widest input that is rounded before its product; 0: none is. */
static int64_t widest_rounded(const struct model *m)
{
    int64_t widest = 0;
    for (int64_t i = 0; m->activations && i < m->n_modules; i++)
        if (m->activations->module[i].on && m->module[i].in > widest)
            widest = m->module[i].in;
    return widest;
}

static int take(float **p, int64_t n, struct err *e)
{
    *p = mem_big((size_t)n, sizeof(float), e);
    return *p ? 0 : -1;
}

static int take_registers(struct walker *w, struct err *e)
{
    const struct config *c = w->m->config;
    int64_t t = w->longest, half = 0;
    for (int r = 0; r < REG_COUNT; r++)
        if (take(&w->run.reg[r], t * config_width(c, (enum reg)r), e))
            return -1;
    for (int i = 0; i < c->n_ropes; i++) {
        int64_t n = c->rope[i].rot / 2;
        half = n > half ? n : half;
        if (take(&w->run.cos[i], t * n, e) || take(&w->run.sin[i], t * n, e))
            return -1;
    }
    int64_t rounded = widest_rounded(w->m);
    if (rounded && take(&w->run.rounded, t * rounded, e))
        return -1;
    return take(&w->freq, half, e) || take(&w->run.scratch, attn_scratch(c, t), e) ? -1 : 0;
}

/* Tables for a sequence of t tokens: made once, or per length where frequencies depend on it. */
static void make_tables(struct walker *w, int64_t t)
{
    const struct config *c = w->m->config;
    for (int i = 0; i < c->n_ropes; i++) {
        int64_t length = rope_by_length(&c->rope[i]) ? t : w->longest;
        if (w->table_length[i] != length)
            rope_table(&c->rope[i], length, w->run.cos[i], w->run.sin[i], w->freq);
        w->table_length[i] = length;
    }
}

static int pieces(struct walker *w, unsigned live, struct store_piece piece[REG_COUNT])
{
    int n = 0;
    for (int r = 0; r < REG_COUNT; r++)
        if (live & 1u << r)
            piece[n++] =
                (struct store_piece){ w->run.reg[r], w->run.t * config_width(w->m->config, (enum reg)r) };
    return n;
}

static void begin_chunk(struct walker *w, int64_t chunk)
{
    w->run.chunk = chunk;
    w->run.ids = w->chunks.seq[chunk];
    w->run.t = w->chunks.len[chunk];
    make_tables(w, w->run.t);
}

static int load_chunk(struct walker *w, int64_t chunk, unsigned live, struct err *e)
{
    struct store_piece piece[REG_COUNT];
    begin_chunk(w, chunk);
    enum phase before = phase_enter(PHASE_STORE);
    int rc = store_load(w->store, chunk, piece, pieces(w, live, piece), e);
    (void)phase_enter(before);
    return rc;
}

static int save_chunk(struct walker *w, unsigned live, struct err *e)
{
    struct store_piece piece[REG_COUNT];
    enum phase before = phase_enter(PHASE_STORE);
    int rc = store_save(w->store, w->run.chunk, piece, pieces(w, live, piece), e);
    (void)phase_enter(before);
    return rc;
}

/* One way over all chunks: steps from..to-1; groups that begin in [capture, to] show their inputs. */
struct pass {
    int from, to, capture;
    bool save, cache; /* cache: keys and values are shown */
};

static int capture(struct walker *w, int step, struct err *e)
{
    for (int g = 0; g < w->plan.n_groups; g++) {
        const struct group *p = &w->plan.group[g];
        if (p->step != step || !w->wanted[g])
            continue;
        if (w->hooks->input(w->hooks->arg, &w->group[g], w->run.chunk, w->run.reg[p->in], w->run.t,
                            config_width(w->m->config, p->in), e) ||
            (w->beside && w->hooks->pair &&
             w->hooks->pair(w->hooks->arg, &w->group[g], w->run.chunk, w->run.reg[p->in],
                            w->beside->run.reg[p->in], w->run.t, config_width(w->m->config, p->in), e)))
            return err_while(e, "taking the input of %s", w->group[g].module[0]->name);
    }
    return 0;
}

static int show_cache(struct walker *w, const struct step *s, struct err *e)
{
    const struct walk_hooks *h = w->hooks;
    const struct run *r = &w->run;
    if (!h || !h->cache || s->kind != STEP_ATTN)
        return 0;
    return h->cache(h->arg, w->next, r->chunk, r->reg[REG_K], r->reg[REG_V], r->t, r->c->dim[DIM_KV], e);
}

static int run_step(struct walker *w, const struct step *s, struct err *e)
{
    enum phase before = phase_enter(step_kinds[s->kind].matrices ? PHASE_MATRICES
                                    : s->kind == STEP_ATTN       ? PHASE_ATTENTION
                                                                 : PHASE_ROWS);
    int rc = step_kinds[s->kind].run(&w->run, s, e);
    (void)phase_enter(before);
    return rc;
}

static int pass_chunk(struct walker *w, const struct pass *p, struct err *e)
{
    for (int i = p->from; i <= p->to; i++) {
        if (i >= p->capture && capture(w, i, e))
            return -1;
        if (i < p->to && w->plan.step[i] && p->cache && show_cache(w, w->plan.step[i], e))
            return -1;
        for (struct walker *v = w; i < p->to && v; v = v->beside)
            if (v->plan.step[i] && run_step(v, v->plan.step[i], e))
                return -1;
    }
    return 0;
}

static int run_pass(struct walker *w, const struct pass *p, struct err *e)
{
    for (int64_t c = 0; c < w->chunks.n; c++) {
        if (check_interrupt(e))
            return -1;
        for (struct walker *v = w; v; v = v->beside)
            if (load_chunk(v, c, v->plan.live[p->from], e))
                return -1;
        if (pass_chunk(w, p, e))
            return -1;
        for (struct walker *v = w; v && p->save && p->to > p->from; v = v->beside)
            if (save_chunk(v, v->plan.live[p->to], e))
                return -1;
    }
    return 0;
}

static int solve(struct walker *w, int g, struct err *e)
{
    return w->hooks->solve(w->hooks->arg, &w->group[g], e); /* it names the module that failed */
}

static int solve_all(struct walker *w, struct err *e)
{
    for (int g = 0; g < w->plan.n_groups; g++)
        if (w->wanted[g] && solve(w, g, e))
            return -1;
    return 0;
}

/* true: a pass up to each wanted group, which is solved before the next pass runs its matrices. */
static int walk_true(struct walker *w, struct err *e)
{
    int from = 0;
    for (int g = 0; g < w->plan.n_groups; g++) {
        if (!w->wanted[g])
            continue;
        struct pass p = { from, w->plan.group[g].step, w->plan.group[g].step, true, true };
        if (run_pass(w, &p, e) || solve(w, g, e))
            return -1;
        from = p.to;
    }
    struct pass last = { from, w->plan.n, INT_MAX, true, true };
    if (from && w->last && !w->hooks->cache)
        return 0;
    return from < w->plan.n ? run_pass(w, &last, e) : 0;
}

/* block: inputs of all groups, nothing saved; all solved; the block again. */
static int walk_block(struct walker *w, struct err *e)
{
    struct pass look = { 0, w->plan.n, 0, false, true }, go = { 0, w->plan.n, INT_MAX, true, false };
    bool any = false;
    for (int g = 0; g < w->plan.n_groups; g++)
        any = any || w->wanted[g];
    go.cache = !any;
    if (any && (run_pass(w, &look, e) || solve_all(w, e)))
        return -1;
    return run_pass(w, &go, e);
}

/* false: outputs are those of the original weights. */
static int walk_false(struct walker *w, struct err *e)
{
    struct pass p = { 0, w->plan.n, 0, true, true };
    return run_pass(w, &p, e) ? -1 : solve_all(w, e);
}

static void make_groups(struct walker *w, int64_t block)
{
    for (int g = 0; g < w->plan.n_groups; g++) {
        const struct group *p = &w->plan.group[g];
        struct walk_group *o = &w->group[g];
        *o = (struct walk_group){ .block = (int)block, .index = g, .n = p->n };
        for (int k = 0; k < p->n; k++) {
            o->module[k] = model_part(w->m, block, (int)p->part[k]);
            o->weight[k] = w->weights.w[p->part[k]];
        }
        BUG_ON(!o->module[0]);
        o->k = o->module[0]->in;
        w->wanted[g] = w->hooks && w->hooks->wants(w->hooks->arg, o);
    }
}

/* Quantizers of the block's inputs, by role. */
static void find_activations(struct walker *w, int64_t block)
{
    const struct activations *a = w->m->activations;
    bool inside = a && block >= 0 && block < a->n_blocks;
    memset(w->run.act, 0, sizeof w->run.act);
    w->run.key = inside && a->key[block].on ? &a->key[block] : NULL;
    w->run.value = inside && a->value[block].on ? &a->value[block] : NULL;
    for (int64_t i = w->m->first[block + 1]; a && i < w->m->first[block + 2]; i++)
        if (a->module[i].on)
            w->run.act[w->m->module[i].part] = &a->module[i];
}

/* The registers of a block are set up, its weights are in memory. */
static int enter(struct walker *w, int64_t block, struct err *e)
{
    const struct config *c = w->m->config;
    enum phase before = phase_enter(PHASE_WEIGHTS);
    int rc = weights_load(w->m, block, &w->weights, e);
    (void)phase_enter(before);
    if (rc)
        return -1;
    block_plan(c, block, &w->plan);
    w->run.weights = &w->weights;
    find_activations(w, block);
    w->run.layer = block >= 0 && block < c->layers ? &c->layer[block] : NULL;
    return 0;
}

int walker_block(struct walker *w, int64_t b, enum walk_mode mode, const struct walk_hooks *hooks,
                 struct err *e)
{
    static int (*const modes[])(struct walker *, struct err *) = { walk_true, walk_block, walk_false };
    BUG_ON(b != w->next || b > w->m->n_blocks);
    if (enter(w, b, e) || (w->beside && enter(w->beside, b, e)))
        return err_while(e, "walking block %lld", (long long)b);
    w->hooks = hooks;
    make_groups(w, b);
    int rc = modes[mode](w, e);
    w->hooks = NULL;
    if (b < w->m->n_blocks || rc)
        weights_release(&w->weights);
    if (w->beside)
        weights_release(&w->beside->weights);
    if (rc)
        return err_while(e, "walking block %lld", (long long)b);
    w->next++;
    return 0;
}

static int run_prologue(struct walker *w, struct err *e)
{
    struct pass p = { 0, 0, INT_MAX, false, false };
    if (enter(w, -1, e))
        return -1;
    p.to = w->plan.n;
    for (int64_t c = 0; c < w->chunks.n; c++) {
        begin_chunk(w, c);
        if (check_interrupt(e) || pass_chunk(w, &p, e) || save_chunk(w, REG_BIT(REG_X), e))
            return -1;
    }
    weights_release(&w->weights);
    return 0;
}

static int make_store(struct walker *w, const struct walk_options *o, struct err *e)
{
    int64_t width = 0, n = w->chunks.n;
    for (int64_t b = 0; b <= w->m->n_blocks; b++) {
        int64_t live = model_live_floats(w->m, b);
        width = live > width ? live : width;
    }
    int64_t *most = mem_array((size_t)n, sizeof *most, e);
    if (!most)
        return -1;
    for (int64_t c = 0; c < n; c++)
        most[c] = w->chunks.len[c] * width;
    w->store = store_new(n, most, o->activation_budget, o->spill_dir, e);
    mem_free(most);
    return w->store ? 0 : -1;
}

static int check_chunks(struct walker *w, struct err *e)
{
    w->longest = 1; /* a rank may have no sequences */
    for (int64_t c = 0; c < w->chunks.n; c++) {
        int64_t len = w->chunks.len[c];
        if (len < 1 || len > MAX_POSITIONS)
            return err_set(e, ERR_INPUT, "sequence %lld: found %lld tokens, expected 1 to %d", (long long)c,
                           (long long)len, (int)MAX_POSITIONS);
        w->longest = len > w->longest ? len : w->longest;
    }
    return 0;
}

struct walker *walker_new(const struct model *m, const struct chunks *c, const struct walk_options *o,
                          struct err *e)
{
    struct walker *w = mem_alloc(sizeof *w, e);
    if (!w)
        return NULL;
    w->m = m;
    w->chunks = *c;
    w->run.m = m;
    w->run.c = m->config;
    if (check_chunks(w, e) || make_store(w, o, e) || take_registers(w, e) || run_prologue(w, e)) {
        err_while(e, "starting the walk over %s", m->name);
        walker_free(w);
        return NULL;
    }
    return w;
}

void walker_beside(struct walker *w, struct walker *other)
{
    BUG_ON(w->m != other->m || w->next || other->next || w->chunks.n != other->chunks.n);
    w->beside = other;
}

int walker_logits(struct walker *w, int64_t chunk, float *logits, struct err *e)
{
    BUG_ON(w->next != w->m->n_blocks + 1 || chunk < 0 || chunk >= w->chunks.n);
    if (load_chunk(w, chunk, w->plan.live[w->plan.n], e))
        return -1;
    w->run.logits = logits;
    return step_kinds[w->plan.head->kind].run(&w->run, w->plan.head, e);
}

int walker_hidden(struct walker *w, int64_t chunk, float *out, struct err *e)
{
    bool done = w->next == w->m->n_blocks + 1;
    enum reg r = done ? w->plan.head->in : REG_X;
    int64_t ld = config_width(w->m->config, r),
            width = done ? model_part(w->m, w->m->n_blocks, P_HEAD)->in : ld;
    BUG_ON(chunk < 0 || chunk >= w->chunks.n);
    if (load_chunk(w, chunk, REG_BIT(r), e))
        return -1;
    for (int64_t i = 0; i < w->run.t; i++)
        memcpy(out + i * width, w->run.reg[r] + i * ld, (size_t)width * sizeof *out);
    return 0;
}

int walker_stream(struct walker *w, int64_t chunk, const float **x, int64_t *n, struct err *e)
{
    BUG_ON(chunk < 0 || chunk >= w->chunks.n);
    if (load_chunk(w, chunk, REG_BIT(REG_X), e))
        return -1;
    *x = w->run.reg[REG_X];
    *n = w->run.t * config_width(w->m->config, REG_X);
    return 0;
}

float *walker_place(struct walker *w, int64_t chunk, int64_t *n)
{
    BUG_ON(chunk < 0 || chunk >= w->chunks.n);
    begin_chunk(w, chunk);
    *n = w->run.t * config_width(w->m->config, REG_X);
    return w->run.reg[REG_X];
}

int walker_placed(struct walker *w, struct err *e) { return save_chunk(w, REG_BIT(REG_X), e); }

void walker_resume(struct walker *w, int64_t b)
{
    BUG_ON(w->next || b < 0 || b > w->m->n_blocks);
    w->next = b;
}

void walker_last(struct walker *w) { w->last = true; }

static bool inside(const char *name, const char *parent)
{
    size_t n = strlen(parent);
    return !strncmp(name, parent, n) && (!name[n] || name[n] == '.');
}

/* Does step i own matrices, and are they the parent's? */
static bool owns(const struct walker *w, int i, const char *parent, bool *matrices)
{
    const struct step *s = w->plan.step[i];
    *matrices = step_kinds[s->kind].matrices;
    for (int k = 0; *matrices && k < STEP_PARTS; k++) {
        const struct module *m = s->part[k] == P_NONE ? NULL : model_part(w->m, w->next, (int)s->part[k]);
        if (m && inside(m->name, parent))
            return true;
    }
    return false;
}

/* Is everything of the block inside the parent? */
static bool is_block(const struct walker *w, const char *parent)
{
    for (int64_t i = w->m->first[w->next + 1]; i < w->m->first[w->next + 2]; i++)
        if (!inside(w->m->module[i].name, parent))
            return false;
    return true;
}

int walker_replay(struct walker *w, const struct walk_group *g, const char *parent, int64_t chunk,
                  struct walk_output *out, struct err *e)
{
    int from = w->plan.group[g->index].step, to = w->plan.n;
    bool all = is_block(w, parent), matrices;
    while (!all && to > from && !owns(w, to - 1, parent, &matrices))
        to--;
    BUG_ON(to == from);
    if (load_chunk(w, chunk, w->plan.live[from], e))
        return -1;
    for (int i = from; i < to; i++) {
        bool own = owns(w, i, parent, &matrices);
        if (matrices && !own && !all)
            continue; /* of a branch beside the parent */
        if (step_kinds[w->plan.step[i]->kind].run(&w->run, w->plan.step[i], e))
            return -1;
    }
    enum reg r = all ? REG_X : w->plan.step[to - 1]->out;
    *out = (struct walk_output){ w->run.reg[r], w->run.t, config_width(w->m->config, r) };
    return 0;
}

uint64_t walker_spilled(const struct walker *w) { return store_spilled(w->store); }

void walker_free(struct walker *w)
{
    if (!w)
        return;
    for (int r = 0; r < REG_COUNT; r++)
        mem_free(w->run.reg[r]);
    for (int i = 0; i < 2; i++) {
        mem_free(w->run.cos[i]);
        mem_free(w->run.sin[i]);
    }
    mem_free(w->freq);
    mem_free(w->run.rounded);
    mem_free(w->run.scratch);
    weights_release(&w->weights);
    store_free(w->store);
    mem_free(w);
}
