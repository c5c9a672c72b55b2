/* predict.c - time of a run on ranks, phase by phase (docs/scaling.md). Nothing overlaps with anything: the truth is a little better. */
#include "pipeline/predict.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "kernels/compute.h"
#include "kernels/kernels.h"
#include "stages/ranks.h"

static double max2(double a, double b) { return a > b ? a : b; }

/* Share of the calibration chunks (or windows) that the busiest rank has. */
static double largest_share(int64_t n, int ranks)
{
    int64_t most = 0;
    for (int r = 0; n && r < ranks; r++) {
        int64_t first, end;
        tree_chunks(r, ranks, n, &first, &end);
        most = end - first > most ? end - first : most;
    }
    return n ? (double)most / (double)n : 0;
}

static int hops(int ranks)
{
    int n = 0;
    while (1 << n < ranks)
        n++;
    return n;
}

/* The matrices of one input group: [first, end) of the model's modules that need a Gram matrix and stand in one group. */
struct set {
    double k, rows[64];
    int n, half;
};

static bool in_set(const struct job *j, int64_t i, int64_t first)
{
    const struct module *a = j->module[first].module, *b = j->module[i].module;
    return j->module[i].scheme && j->module[i].solver->needs == NEED_GRAM && a->block == b->block &&
           a->group == b->group;
}

static bool leads(const struct job *j, int64_t i)
{
    for (int64_t p = i - 1; p >= 0 && j->module[p].module->block == j->module[i].module->block; p--)
        if (in_set(j, p, i))
            return false;
    return in_set(j, i, i);
}

static struct set set_of(const struct job *j, int64_t first)
{
    struct set s = { .k = (double)j->module[first].module->in };
    for (int64_t i = first; i < j->load.model.n_modules && s.n < 64; i++) {
        if (!in_set(j, i, first))
            continue;
        s.rows[s.n++] = (double)j->module[i].module->out;
        s.half |= j->module[i].solve.damp_mode != DAMP_FIXED;
    }
    return s;
}

/* What the options of GPTQ cost beside the plain solve (bench/solvers.c). */
static double effort(const struct job *j, int64_t i)
{
    const struct solve_options *o = &j->module[i].solve;
    return 1 + 0.3 * (o->damp_mode != DAMP_FIXED) + (o->scale_search == SCALES_FEEDBACK) +
           1.5 * (double)o->refit + (double)o->sweeps * 0.5;
}

/* One group shared by data: its solves and messages. */
static void add_group(const struct job *j, int64_t first, int ranks, double rate, double network,
                      struct prediction *p)
{
    struct set s = set_of(j, first);
    int owner[64], others = 0;
    double load[64] = { 0 }, most = 0, triangle = 2 * s.k * (s.k + 1), weights = 0;
    ranks_by_cost(s.rows, s.n, ranks, owner);
    for (int i = 0; i < s.n; i++) {
        int r = owner[i] < 64 ? owner[i] : 63;
        others += r > 0 && load[r] == 0;
        load[r] += s.rows[i] * s.k * s.k * effort(j, first);
        most = max2(most, load[r]);
        weights += s.rows[i] * s.k * (j->module[first].layout.value_dtype == DT_F32 ? 4 : 2);
    }
    p->solve += (s.k * s.k * s.k / 3 + most) / rate;
    if (ranks == 1)
        return;
    double up = hops(ranks < TREE_LEAVES ? ranks : TREE_LEAVES) * triangle,
           out = others * triangle * (1 + s.half), around = j->mode == WALK_FALSE ? 0 : hops(ranks) * weights;
    p->reduce += (up + out) / network;
    p->spread += around / network;
    p->traffic += up + out + around;
}

/* By data: every rank walks its samples; groups are summed, solved and spread. */
static void by_data(const struct job *j, const struct plan_cost *c, int ranks, double rate, double network,
                    struct prediction *p)
{
    p->walk = (c->forward + c->gram) * largest_share(j->data.n, ranks) / rate;
    for (int64_t i = 0; i < j->load.model.n_modules; i++)
        if (leads(j, i))
            add_group(j, i, ranks, rate, network, p);
}

/* By layers: the last rank walks the whole model on all samples; Gram matrices and solves are shared. */
static void by_blocks(const struct job *j, const struct plan_cost *c, int ranks, double rate,
                      struct prediction *p)
{
    double solve = c->factor;
    for (int64_t i = 0; i < j->load.model.n_modules; i++) {
        double k = (double)j->module[i].module->in;
        if (j->module[i].scheme && j->module[i].solver->needs == NEED_GRAM)
            solve += (double)j->module[i].module->out * k * k * effort(j, i);
    }
    p->walk = (c->forward + c->gram / ranks) / rate;
    p->solve = solve / ranks / rate;
}

static void phases(const struct job *j, const struct plan_cost *c, int ranks, bool layers, double rate,
                   double network, struct prediction *p)
{
    if (!j->needs_data)
        p->solve = c->solve / ranks / rate;
    else if (layers)
        by_blocks(j, c, ranks, rate, p);
    else
        by_data(j, c, ranks, rate, network, p);
    if (j->heldout.n)
        p->verify = 2 *
                    model_forward_flops(&j->load.model, j->heldout.tokens, j->heldout.tokens / j->heldout.n) *
                    largest_share(j->heldout.n, ranks) / rate;
    p->total = p->walk + p->solve + p->verify + p->reduce + p->spread;
}

/* A rank holds its share of the activations; the rest is the same on all. */
static int64_t memory_of(const struct job *j, const struct plan_cost *c, int ranks, bool layers)
{
    double share = layers || !j->needs_data ? 1 : largest_share(j->data.n, ranks);
    double want = (double)(c->store + c->spill) * share, budget = (double)job_budget(j);
    int64_t walk = c->quantize - c->store + (int64_t)(want < budget ? want : budget);
    return walk > c->verify ? walk : c->verify;
}

void predict(struct job *j, const struct plan_cost *c, int ranks, const struct machine *m,
             struct prediction *out)
{
    struct prediction one = { 0 }, data = { 0 }, layers = { 0 };
    double rate = m->flops > 0 ? m->flops : predict_rate(), network = m->network > 0 ? m->network : 25e9 / 8;
    phases(j, c, 1, false, rate, network, &one);
    phases(j, c, ranks, false, rate, network, &data);
    phases(j, c, ranks, true, rate, network, &layers);
    bool open = j->recipe->sharding == SHARD_AUTO && j->needs_data && j->mode == WALK_FALSE;
    if (open)
        j->by_layers = layers.total < data.total;
    *out = j->by_layers ? layers : data;
    out->ranks = ranks;
    out->by_layers = j->by_layers;
    out->one = one.total;
    out->memory = memory_of(j, c, ranks, j->by_layers);
    out->why = j->recipe->sharding != SHARD_AUTO ? "the recipe says so"
               : !j->needs_data                  ? "no data is needed: modules are independent"
               : !open                           ? "each block needs the one before it"
               : j->by_layers                    ? "it is predicted to take less time than by samples"
                                                 : "it is predicted to take less time than by layers";
}

double predict_rate(void)
{
    enum { N = 512 };
    float *a = mem_big((size_t)N * N, sizeof *a, NULL), *b = mem_big((size_t)N * N, sizeof *b, NULL),
          *c = mem_big((size_t)N * N, sizeof *c, NULL);
    double best = 1e9;
    for (int64_t i = 0; a && b && c && i < (int64_t)N * N; i++)
        a[i] = b[i] = (float)(i % 7);
    for (double start = clock_seconds(), now = start; a && b && c && now - start < 0.1;) {
        compute_now()->gemm_nt(N, N, N, a, N, b, N, c, N, 0);
        double end = clock_seconds(), rate = 2.0 * N * N * N / (end - now);
        best = rate > best ? rate : best;
        now = end;
    }
    mem_free(a);
    mem_free(b);
    mem_free(c);
    return best;
}

int predict_fits(const struct prediction *p, const struct machine *m, struct err *e)
{
    char need[32], have[32];
    if (!(m->memory > 0) || (double)p->memory <= m->memory)
        return 0;
    err_set(e, ERR_LIMIT, "a rank needs %s, and %s is what it may use",
            num_human_bytes((double)p->memory, need), num_human_bytes(m->memory, have));
    return err_hint(
        e, "fewer ranks a node, a smaller activation_budget in calibrate, or nodes with more memory");
}

int predict_text(const struct prediction *p, struct buf *out, struct err *e)
{
    char a[32], b[32];
    const struct {
        const char *what;
        double s;
    } row[] = { { "forward passes and Gram matrices", p->walk },
                { "factors and solves", p->solve },
                { "verifying", p->verify },
                { "sums between ranks", p->reduce },
                { "decoded weights to all ranks", p->spread } };
    int rc = buf_printf(out, e, "\nranks: %d, shared by %s (%s)\n", p->ranks,
                        p->by_layers ? "layers" : "data", p->why);
    rc = rc || buf_printf(out, e, "  predicted %.3g s, %.3g s on one rank: efficiency %.0f %%\n", p->total,
                          p->one, 100 * p->one / p->total / p->ranks);
    for (size_t i = 0; !rc && i < sizeof row / sizeof *row; i++)
        rc = row[i].s > 0 ? buf_printf(out, e, "  %-34s %.3g s\n", row[i].what, row[i].s) : 0;
    return rc || buf_printf(out, e, "  memory of a rank %s; the busiest one moves %s\n",
                            num_human_bytes((double)p->memory, a), num_human_bytes(p->traffic, b))
               ? -1
               : 0;
}

void predict_json(const struct prediction *p, struct jw *w)
{
    jw_object(w);
    jw_kint(w, "ranks", p->ranks);
    jw_kstr(w, "sharding", p->by_layers ? "layers" : "data");
    jw_kstr(w, "why", p->why);
    jw_kreal(w, "seconds", p->total);
    jw_kreal(w, "seconds_one_rank", p->one);
    jw_kreal(w, "efficiency", p->one / p->total / p->ranks);
    jw_kreal(w, "walk_seconds", p->walk);
    jw_kreal(w, "solve_seconds", p->solve);
    jw_kreal(w, "verify_seconds", p->verify);
    jw_kreal(w, "reduce_seconds", p->reduce);
    jw_kreal(w, "spread_seconds", p->spread);
    jw_kreal(w, "traffic_bytes", p->traffic);
    jw_kint(w, "memory_bytes", p->memory);
    jw_end_object(w);
}
