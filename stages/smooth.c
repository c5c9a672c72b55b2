/* smooth.c - the pass of a smoothing modifier: the float model is walked once, and at each group that a mapping balances the
 * scales are found from its inputs and weights. The function of the model does not change, so the walk goes on with the
 * weights as they were; what runs behind (further modifiers, quantizers, save) reads tensors through the scales. */
#include "stages/smooth.h"

#include "base/log.h"
#include "base/mem.h"
#include "kernels/kernels.h"
#include "stages/ranks.h"
#include "stages/rows.h"
#include "stages/smooth_units.h"

#include <string.h>

struct smoothing {
    struct job *j;
    int stage;
    struct links links;
    struct span chunks; /* this rank's */
    struct walker *walker;
    struct channel_stats stats; /* of the group that is gathered; k == 0: none */
    struct gram gram;
};

static struct smooth_job *job_of(const struct smoothing *p, const struct walk_group *g)
{
    for (int64_t i = 0; i < p->j->smooth.n; i++) {
        struct smooth_job *s = &p->j->smooth.v[i];
        if (s->stage == p->stage && s->map.block == g->block && s->map.balance[0]->group == g->index)
            return s;
    }
    return NULL;
}

static bool wants(void *arg, const struct walk_group *g) { return job_of(arg, g) != NULL; }

static void drop(struct smoothing *p)
{
    channel_stats_release(&p->stats);
    gram_release(&p->gram);
}

/* Opened when the first chunk comes; a rank without chunks opens them at the end. */
static int open_sums(struct smoothing *p, const struct walk_group *g, struct err *e)
{
    const struct smooth_job *s = job_of(p, g);
    int64_t n = p->j->data.n;
    if (p->stats.k)
        return 0;
    if (channel_stats_init(&p->stats, g->k, n, e))
        return -1;
    return s->smoother->needs_gram(p->j, s) ? gram_init_on(&p->gram, g->k, n, false, &p->links, e) : 0;
}

static int input(void *arg, const struct walk_group *g, int64_t chunk, const float *x, int64_t rows,
                 int64_t ldx, struct err *e)
{
    struct smoothing *p = arg;
    if (job_of(p, g)->restored)
        return 0;
    chunk += p->chunks.first;
    if (open_sums(p, g, e) || channel_stats_add(&p->stats, chunk, x, rows, ldx, e))
        return -1;
    return p->gram.k ? gram_add(&p->gram, chunk, x, rows, ldx, e) : 0;
}

/* What all ranks have seen, on the rank that needs it. */
static int finish_sums(struct smoothing *p, const struct smooth_job *s, struct err *e)
{
    const struct comm *c = p->j->comm;
    int owner[TREE_LEAVES];
    for (int i = 0; i < TREE_LEAVES; i++)
        owner[i] = tree_owner(i, c->size);
    if (comm_share(c, p->stats.leaf, channel_stats_row(&p->stats), TREE_LEAVES, owner, e))
        return -1;
    if (!p->gram.k)
        return 0;
    bool *to = mem_array((size_t)c->size, sizeof *to, e);
    if (!to)
        return -1;
    for (int r = 0; r < c->size; r++)
        to[r] = s->owner < 0 || s->owner == r;
    int rc = gram_finish_on(&p->gram, &p->links, to, e);
    mem_free(to);
    return rc;
}

static int find_scales(struct smoothing *p, struct smooth_job *s, const struct walk_group *g, struct err *e)
{
    if (finish_sums(p, s, e))
        return -1;
    s->result.tokens = channel_stats_tokens(&p->stats);
    if (s->owner >= 0 && s->owner != p->j->comm->rank)
        return 0;
    if (s->smoother->scales(p->j, s, p->walker, g, &p->stats, p->gram.k ? &p->gram : NULL, s->scale, e))
        return -1;
    k_minmax(s->map.channels, s->scale, &s->result.least, &s->result.most);
    return s->owner >= 0 || !p->j->comm->rank ? smooth_unit_keep(p->j, s, e) : 0;
}

static int solve(void *arg, const struct walk_group *g, struct err *e)
{
    struct smoothing *p = arg;
    struct smooth_job *s = job_of(p, g);
    if (s->restored)
        return 0;
    int rc = open_sums(p, g, e) || find_scales(p, s, g, e) ? -1 : 0;
    drop(p);
    return rc ? err_while(e, "smoothing %s", s->map.smooth->name) : 0;
}

/* -- before and behind the walk of a stage -- */

static int start_stage(struct smoothing *p, struct err *e)
{
    int next = 0;
    for (int64_t i = 0; i < p->j->smooth.n; i++) {
        struct smooth_job *s = &p->j->smooth.v[i];
        if (s->stage != p->stage)
            continue;
        s->restored = smooth_unit_done(p->j, s);
        bool together = s->smoother->together && s->smoother->together(p->j, s);
        s->owner = together ? -1 : next++ % p->j->comm->size;
        s->scale = mem_array((size_t)s->map.channels, sizeof *s->scale, e);
        if (!s->scale)
            return -1;
    }
    return 0;
}

/* The scales of one mapping to all ranks, and to the tensors. */
static int apply(struct job *j, struct smooth_job *s, struct err *e)
{
    size_t n = (size_t)s->map.channels * sizeof *s->scale;
    if (s->restored ? smooth_unit_take(j, s, e)
                    : s->owner >= 0 && (comm_bcast(j->comm, s->scale, n, s->owner, e) ||
                                        comm_bcast(j->comm, &s->result, sizeof s->result, s->owner, e)))
        return -1;
    return smoothed_add(j->smooth.tensors, &s->map, s->scale, e);
}

static bool before(const struct smooth_job *a, const struct smooth_job *b)
{
    return a->map.block != b->map.block ? a->map.block < b->map.block
                                        : a->map.balance[0]->group < b->map.balance[0]->group;
}

/* From now on tensors are read with the scales of the stage, in the order of the walk: one that two mappings scale is rounded
 * in between. */
static int apply_stage(struct smoothing *p, struct err *e)
{
    struct job *j = p->j;
    struct smooth_job *last = NULL;
    for (;;) {
        struct smooth_job *next = NULL;
        for (int64_t i = 0; i < j->smooth.n; i++) {
            struct smooth_job *s = &j->smooth.v[i];
            if (s->stage == p->stage && (!last || before(last, s)) && (!next || before(s, next)))
                next = s;
        }
        if (!next)
            return 0;
        if (apply(j, next, e))
            return -1;
        last = next;
    }
}

static void end_stage(struct smoothing *p)
{
    for (int64_t i = 0; i < p->j->smooth.n; i++) {
        mem_free(p->j->smooth.v[i].scale);
        p->j->smooth.v[i].scale = NULL;
    }
}

/* Blocks behind the last mapping need not be walked. */
static int walk_blocks(struct smoothing *p, struct walker *w, struct err *e)
{
    struct walk_hooks hooks = { .arg = p, .wants = wants, .input = input, .solve = solve };
    int64_t last = 0;
    int rc = 0;
    for (int64_t i = 0; i < p->j->smooth.n; i++)
        if (p->j->smooth.v[i].stage == p->stage && p->j->smooth.v[i].map.block > last)
            last = p->j->smooth.v[i].map.block;
    progress_start("smooth", last + 1, "blocks");
    for (int64_t b = 0; !rc && b <= last; b++) {
        if (b == last)
            walker_last(w);
        rc = check_interrupt(e) || walker_block(w, b, WALK_TRUE, &hooks, e) || unit_commit(p->j, e) ? -1 : 0;
        rc = rc ? rc : comm_agree(p->j->comm, 0, e);
        if (!rc)
            progress_at(b + 1, NULL);
    }
    progress_end();
    return rc;
}

static int walk_stage(struct smoothing *p, const char *spill_dir, struct err *e)
{
    struct job *j = p->j;
    struct chunks c = ranks_sequences(&j->data, p->chunks);
    struct walk_options o = { .activation_budget = (uint64_t)job_budget(j), .spill_dir = spill_dir };
    struct walker *w = walker_new(&j->load.model, &c, &o, e);
    p->walker = w;
    int rc = comm_agree(j->comm, w ? 0 : -1, e);
    rc = rc ? rc : walk_blocks(p, w, e);
    walker_free(w);
    return rc;
}

static int run_stage(struct job *j, int stage, const char *spill_dir, struct err *e)
{
    struct smoothing p = { .j = j, .stage = stage, .links = ranks_links(j->comm) };
    p.chunks = ranks_chunks(j->comm, j->data.n);
    int rc = start_stage(&p, e);
    rc = rc || (!smooth_stage_done(j, stage) && walk_stage(&p, spill_dir, e)) || apply_stage(&p, e) ? -1 : 0;
    drop(&p);
    end_stage(&p);
    return rc ? err_while(e, "running stage %d (%s)", stage + 1, j->recipe->stage[stage].spec->name) : 0;
}

int smooth_run(struct job *j, const char *spill_dir, struct err *e)
{
    if (!j->smooth.n)
        return 0;
    j->smooth.tensors = smoothed_new(&j->load.checkpoint.tensors, e);
    if (!j->smooth.tensors)
        return -1;
    j->load.model.tensors = smoothed_source(j->smooth.tensors);
    for (size_t i = 0; i < j->recipe->n; i++) {
        bool any = false;
        for (int64_t k = 0; k < j->smooth.n; k++)
            any = any || j->smooth.v[k].stage == (int)i;
        if (any && run_stage(j, (int)i, spill_dir, e))
            return -1;
    }
    return 0;
}

const struct tensor_source *job_tensors(const struct job *j)
{
    return j->smooth.tensors ? smoothed_source(j->smooth.tensors) : &j->load.checkpoint.tensors;
}

void smooth_release(struct job *j)
{
    mem_free(j->smooth.v);
    smoothed_free(j->smooth.tensors);
    memset(&j->smooth, 0, sizeof j->smooth);
}

bool smooth_changes(const struct job *j, const struct module *m)
{
    for (int64_t i = 0; i < j->smooth.n; i++) {
        const struct mapping *p = &j->smooth.v[i].map;
        for (int k = 0; k < p->n; k++)
            if (p->balance[k] == m)
                return true;
        if (p->smooth == m)
            return true;
    }
    return false;
}

int smooth_save(struct job *j, const char *tensor, struct err *e)
{
    const struct tensor_source *t = job_tensors(j);
    const struct tensor_info *info = t->find(t->self, tensor);
    int64_t n = 1;
    for (int d = 0; d < info->rank; d++)
        n *= info->dim[d];
    float *x = mem_big((size_t)n, sizeof *x, e);
    int rc = x ? t->read_f32(t->self, tensor, 0, info->rank ? info->dim[0] : 1, x, e) : -1;
    if (!rc && !k_all_finite(n, x))
        rc =
            err_set(e, ERR_INPUT, "%s: tensor '%s' holds a value that is not finite, or not behind its scale",
                    j->recipe->model, tensor);
    if (!rc) {
        dtype_from_f32(info->dtype, x, n, x); /* never wider than float32: in place */
        rc = saver_put(j->saver, tensor, info->dtype, info->rank, info->dim, x, e);
    }
    mem_free(x);
    return rc;
}

static void mapping_json(const struct job *j, const struct smooth_job *s, struct jw *w)
{
    const struct smooth_result *r = &s->result;
    jw_object(w);
    jw_kstr(w, "modifier", j->recipe->stage[s->stage].spec->name);
    jw_kstr(w, "kind", mapping_words[s->map.kind]);
    jw_kstr(w, "smooth", s->map.smooth->name);
    jw_key(w, "balance");
    jw_array(w);
    for (int i = 0; i < s->map.n; i++)
        jw_str(w, s->map.balance[i]->name);
    jw_end_array(w);
    jw_kint(w, "channels", s->map.channels);
    if (r->tokens) {
        jw_kint(w, "tokens_seen", r->tokens);
        jw_kreal(w, "scale_least", (double)r->least);
        jw_kreal(w, "scale_most", (double)r->most);
    }
    if (r->searched) {
        jw_kreal(w, "ratio", r->ratio);
        jw_kbool(w, "duo_scaling", r->duo);
        jw_kreal(w, "loss_before", r->before);
        jw_kreal(w, "loss_after", r->after);
    }
    jw_end_object(w);
}

void smooth_json(const struct job *j, struct jw *w)
{
    jw_array(w);
    for (int64_t i = 0; i < j->smooth.n; i++)
        mapping_json(j, &j->smooth.v[i], w);
    jw_end_array(w);
}

int smooth_text(const struct job *j, struct buf *out, struct err *e)
{
    int rc = j->smooth.n ? buf_str(out, "\nsmoothing\n", e) : 0;
    for (int64_t i = 0; !rc && i < j->smooth.n; i++) {
        const struct mapping *p = &j->smooth.v[i].map;
        rc = buf_printf(out, e, "  %-44s %-6s ->", p->smooth->name, mapping_words[p->kind]);
        for (int k = 0; !rc && k < p->n; k++) {
            const char *dot = strrchr(p->balance[k]->name, '.');
            rc = buf_printf(out, e, "%s %s", k ? "," : "", dot ? dot + 1 : p->balance[k]->name);
        }
        rc = rc || buf_printf(out, e, " (%lld channels, stage %d)\n", (long long)p->channels,
                              j->smooth.v[i].stage + 1)
                 ? -1
                 : 0;
    }
    return rc ? -1 : 0;
}
