/* walk.c - block after block over all chunks. A pass loads the registers that are alive at its first step, runs steps,
 * shows the inputs of groups on the way, and saves what is alive at its end. The three modes differ only in where passes
 * begin and end and when solve() is called; numbers depend on no budget and no number of threads. */
#include "model/walk.h"
#include "base/log.h"
#include "base/mem.h"
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
    struct walker *beside;   /* NULL, or the same walk with untouched weights */
    int64_t next;            /* block that may run now */
    int64_t longest;         /* tokens of the longest chunk */
    int64_t table_length[2]; /* length that a rope table was made for, 0: none yet */
    float *freq;
};

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
    return store_load(w->store, chunk, piece, pieces(w, live, piece), e);
}

static int save_chunk(struct walker *w, unsigned live, struct err *e)
{
    struct store_piece piece[REG_COUNT];
    return store_save(w->store, w->run.chunk, piece, pieces(w, live, piece), e);
}

/* One way over all chunks: steps from..to-1; groups that begin in [capture, to] show their inputs. */
struct pass {
    int from, to, capture;
    bool save;
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

static int pass_chunk(struct walker *w, const struct pass *p, struct err *e)
{
    for (int i = p->from; i <= p->to; i++) {
        if (i >= p->capture && capture(w, i, e))
            return -1;
        for (struct walker *v = w; i < p->to && v; v = v->beside)
            if (v->plan.step[i] && step_kinds[v->plan.step[i]->kind].run(&v->run, v->plan.step[i], e))
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
        struct pass p = { from, w->plan.group[g].step, w->plan.group[g].step, true };
        if (run_pass(w, &p, e) || solve(w, g, e))
            return -1;
        from = p.to;
    }
    struct pass last = { from, w->plan.n, INT_MAX, true };
    return from < w->plan.n ? run_pass(w, &last, e) : 0;
}

/* block: inputs of all groups, nothing saved; all solved; the block again. */
static int walk_block(struct walker *w, struct err *e)
{
    struct pass look = { 0, w->plan.n, 0, false }, go = { 0, w->plan.n, INT_MAX, true };
    bool any = false;
    for (int g = 0; g < w->plan.n_groups; g++)
        any = any || w->wanted[g];
    if (any && (run_pass(w, &look, e) || solve_all(w, e)))
        return -1;
    return run_pass(w, &go, e);
}

/* false: outputs are those of the original weights. */
static int walk_false(struct walker *w, struct err *e)
{
    struct pass p = { 0, w->plan.n, 0, true };
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

/* The registers of a block are set up, its weights are in memory. */
static int enter(struct walker *w, int64_t block, struct err *e)
{
    const struct config *c = w->m->config;
    if (weights_load(w->m, block, &w->weights, e))
        return -1;
    block_plan(c, block, &w->plan);
    w->run.weights = &w->weights;
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
    struct pass p = { 0, 0, INT_MAX, false };
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
    if (w->chunks.n < 1)
        return err_set(e, ERR_INPUT, "found no sequences, expected at least one");
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
    mem_free(w->run.scratch);
    weights_release(&w->weights);
    store_free(w->store);
    mem_free(w);
}
