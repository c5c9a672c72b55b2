/* calibrated.c - the walk with a quantizer at its cuts: a rank walks its own calibration chunks; one Gram matrix per input
 * group, added up over all ranks, and behind its last chunk the group's matrices are solved (group.c) and put back decoded. */
#include "stages/activations.h"
#include "stages/group.h"
#include "stages/ranks.h"
#include "stages/rows.h"
#include "stages/snapshot.h"
#include "stages/units.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/phase.h"

#include <string.h>

enum { BLOCK_CROSSES = 64 };

struct pass {
    struct job *j;
    struct links links;
    struct span chunks; /* this rank's */
    struct span blocks; /* the same: all of them, but with sharding: layers */
    bool snapshots;     /* activations are kept between blocks */
    struct snapshots kept;
    struct gram *gram;                 /* [n_gram], by the group's index in its block; k == 0: not open */
    struct cross cross[BLOCK_CROSSES]; /* the same, for modules with asymmetric calibration */
    int n_gram;
};

static bool wants(void *arg, const struct walk_group *g)
{
    const struct pass *p = arg;
    for (int i = 0; i < g->n && g->block >= p->blocks.first && g->block < p->blocks.end; i++)
        if (group_planned(p->j, g, i))
            return true;
    return false;
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

/* The sums of a group, opened when its first chunk comes; a rank without chunks opens them at the end. NULL in *out: nobody
 * needs them. */
static int open_gram(struct pass *p, const struct walk_group *g, struct gram **out, struct err *e)
{
    bool half;
    *out = NULL;
    if (!group_needs(p->j, g, &half))
        return 0;
    struct gram *m = gram_of(p, g->index, e);
    if (!m || (!m->k && gram_init_on(m, g->k, p->j->data.n, half, &p->links, e)))
        return -1;
    *out = m;
    return 0;
}

static int open_cross(struct pass *p, const struct walk_group *g, struct cross **out, struct err *e)
{
    *out = NULL;
    if (!group_asymmetric(p->j, g))
        return 0;
    BUG_ON(g->index >= BLOCK_CROSSES);
    struct cross *c = &p->cross[g->index];
    if (!c->k && cross_init(c, g->k, p->j->data.n, &p->links, e))
        return -1;
    *out = c;
    return 0;
}

static int input(void *arg, const struct walk_group *g, int64_t chunk, const float *x, int64_t rows,
                 int64_t ldx, struct err *e)
{
    struct pass *p = arg;
    struct gram *m;
    chunk += p->chunks.first;
    if (activations_input(p->j, g, chunk, x, rows, ldx, e) || open_gram(p, g, &m, e))
        return -1;
    if (!m)
        return 0;
    enum phase before = phase_enter(PHASE_GRAM);
    int rc = gram_add(m, chunk, x, rows, ldx, e);
    (void)phase_enter(before);
    return rc;
}

static int pair(void *arg, const struct walk_group *g, int64_t chunk, const float *x, const float *x0,
                int64_t rows, int64_t ldx, struct err *e)
{
    struct pass *p = arg;
    struct cross *c;
    if (open_cross(p, g, &c, e))
        return -1;
    return c ? cross_add(c, chunk + p->chunks.first, x, x0, rows, ldx, e) : 0;
}

static int solve(void *arg, const struct walk_group *g, struct err *e)
{
    struct pass *p = arg;
    struct group_sums s = { NULL, NULL };
    int rc = open_gram(p, g, &s.gram, e) || open_cross(p, g, &s.cross, e) || activations_save(p->j, g, e) ||
                     group_solve(p->j, g, &s, e)
                 ? -1
                 : 0;
    if (s.gram) {
        gram_release(s.gram);
        memset(s.gram, 0, sizeof *s.gram);
    }
    if (s.cross)
        cross_release(s.cross);
    return rc;
}

static int cache(void *arg, int64_t block, int64_t chunk, const float *k, const float *v, int64_t rows,
                 int64_t width, struct err *e)
{
    const struct pass *p = arg;
    return cache_input(p->j, block, chunk + p->chunks.first, k, v, rows, width, e);
}

/* Blocks that are walked: the head's only when it is quantized. */
static int64_t count_blocks(const struct job *j)
{
    bool head = false;
    for (int64_t i = 0; i < j->load.model.n_modules; i++)
        head = head || (j->module[i].scheme && j->module[i].module->block == j->load.model.n_blocks);
    int64_t n = j->load.model.n_blocks + head;
    return j->walk_end > 0 && j->walk_end < n ? j->walk_end : n;
}

static int walk_blocks(struct pass *p, struct walker *w, int64_t from, struct err *e)
{
    struct job *j = p->j;
    struct walk_hooks hooks = { .arg = p, .wants = wants, .input = input, .solve = solve, .pair = pair };
    hooks.cache = j->kv_cache ? cache : NULL;
    progress_start("quantize", p->blocks.end, "blocks");
    int rc = 0;
    for (int64_t b = from; !rc && b < p->blocks.end; b++) {
        bool own = b >= p->blocks.first;
        rc = check_interrupt(e) || walker_block(w, b, j->mode, own ? &hooks : NULL, e) ||
                     (own && cache_save(j, b, e)) || unit_commit(j, e) ||
                     (p->snapshots && b + 1 < p->blocks.end &&
                      snapshot_keep(j, &p->kept, p->chunks, w, b + 1, e))
                 ? -1
                 : 0;
        rc = rc ? rc : comm_agree(j->comm, 0, e); /* a signal that one of us got stops all of us here */
        if (!rc)
            progress_at(b + 1, NULL);
    }
    progress_end();
    return rc;
}

static void pass_release(struct pass *p)
{
    for (int i = 0; i < BLOCK_CROSSES; i++)
        cross_release(&p->cross[i]);
    for (int i = 0; i < p->n_gram; i++)
        if (p->gram[i].k)
            gram_release(&p->gram[i]);
    mem_free(p->gram);
}

static int walk(struct job *j, struct span blocks, const char *spill_dir, struct err *e)
{
    struct pass p = {
        .j = j, .links = ranks_links(j->comm), .chunks = ranks_chunks(j->comm, j->data.n), .blocks = blocks
    };
    struct chunks c = ranks_sequences(&j->data, p.chunks);
    bool two = job_asymmetric(j);
    struct walk_options o = { .activation_budget = (uint64_t)job_budget(j) / (two ? 2 : 1),
                              .spill_dir = spill_dir };
    int64_t from = 0;
    p.snapshots = !two && !j->by_layers;
    if (p.snapshots && snapshot_find(j, p.chunks, &from, e))
        return -1;
    struct walker *w = walker_new(&j->load.model, &c, &o, e);
    struct walker *original = w && two ? walker_new(&j->load.model, &c, &o, e) : NULL;
    int rc = comm_agree(j->comm, w && (original || !two) ? 0 : -1, e);
    if (!rc && original)
        walker_beside(w, original);
    if (!rc && from) {
        log_say(LOG_INFO, "continues: the walk goes on before block %lld", (long long)from);
        rc = snapshot_take(j, p.chunks, from, w, e);
    }
    if (!rc)
        rc = walk_blocks(&p, w, from, e);
    if (w && walker_spilled(w))
        log_say(LOG_INFO, "activations: %.1f MiB went through the spill file",
                (double)walker_spilled(w) / 0x1p20);
    walker_free(w);
    walker_free(original);
    pass_release(&p);
    return rc;
}

/* What a rank knows of a module at the end of its walk. */
struct outcome {
    bool done;
    struct module_result result;
};

static int share_outcomes(struct job *j, const int *owner_of_block, struct err *e)
{
    int64_t n = j->load.model.n_modules;
    struct outcome *o = mem_array((size_t)n, sizeof *o, e);
    int *owner = mem_array((size_t)n, sizeof *owner, e);
    int rc = o && owner ? 0 : -1;
    for (int64_t i = 0; !rc && i < n; i++) {
        int64_t block = j->module[i].module->block;
        owner[i] = block < 0 ? 0 : owner_of_block[block];
        o[i] = (struct outcome){ j->module[i].done, j->module[i].result };
    }
    if (!rc)
        rc = comm_share(j->comm, o, sizeof *o, n, owner, e);
    for (int64_t i = 0; !rc && i < n; i++) {
        j->module[i].done = o[i].done;
        j->module[i].result = o[i].result;
    }
    mem_free(o);
    mem_free(owner);
    return rc;
}

/* FLOP of what is done to a block beside its forward pass. */
static double block_cost(const struct job *j, int64_t block)
{
    double sum = 1;
    for (int64_t i = 0; i < j->load.model.n_modules; i++) {
        const struct module_job *m = &j->module[i];
        double k = (double)m->module->in;
        if (m->scheme && m->module->block == block && m->solver->needs == NEED_GRAM)
            sum += (double)m->module->out * k * k + (double)j->data.tokens * k * k;
    }
    return sum;
}

/* sharding: layers - this rank walks all samples up to its own run of blocks, alone. */
static int walk_own_blocks(struct job *j, int64_t n, const char *spill_dir, struct err *e)
{
    const struct comm *all = j->comm;
    struct comm alone = comm_sub(all, all->rank, 1);
    struct span own = { 0, 0 };
    double *cost = mem_array((size_t)n + 1, sizeof *cost, e);
    int *owner = mem_array((size_t)j->load.model.n_blocks + 1, sizeof *owner, e);
    int rc = cost && owner ? 0 : -1;
    for (int64_t b = 0; !rc && b < n; b++)
        cost[b] = block_cost(j, b);
    if (!rc)
        ranks_runs(cost, n, all->size, owner);
    for (int64_t b = 0; !rc && b < n; b++)
        if (owner[b] == all->rank)
            own = (struct span){ own.end ? own.first : b, b + 1 };
    j->comm = &alone;
    rc = rc || (own.end && walk(j, own, spill_dir, e)) ? -1 : 0;
    j->comm = all;
    rc = comm_agree(all, rc, e);
    if (!rc)
        rc = share_outcomes(j, owner, e);
    mem_free(cost);
    mem_free(owner);
    return rc;
}

int calibrated_run(struct job *j, const char *spill_dir, struct err *e)
{
    int64_t n = count_blocks(j);
    for (int64_t i = 0; i < j->load.model.n_modules; i++)
        j->module[i].restored = j->module[i].scheme && unit_module_done(j, &j->module[i]);
    if (j->by_layers && j->comm->size > 1)
        return walk_own_blocks(j, n, spill_dir, e);
    return walk(j, (struct span){ 0, n }, spill_dir, e);
}
