/* metrics.c - one model or two on held-out windows: log-likelihood, KL divergence, agreement. Ranks share the windows; sums run
 * over all positions in order, in float64: the numbers are as reproducible as the logits. */
#include "stages/metrics.h"

#include "base/log.h"
#include "base/mem.h"
#include "kernels/kernels.h"
#include "kernels/math.h"
#include "quant/solver.h"
#include "quant/stats.h"
#include "stages/ranks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One position, as seen by both models. */
struct scored {
    double nll_base, nll_q, kl, dp;
    bool agree;
};
struct scores {
    struct scored *v;
    int64_t n;
    int64_t *window_end; /* [windows]: positions up to and with this window */
    int64_t windows;
    struct span own; /* windows of this rank */
};
/* Room for one window's logits and what is read from them. */
struct window {
    float *logits[2];
    double *logprob[2], *kl;
    int32_t *argmax[2];
};

static void window_release(struct window *w)
{
    for (int i = 0; i < 2; i++) {
        mem_free(w->logits[i]);
        mem_free(w->logprob[i]);
        mem_free(w->argmax[i]);
    }
    mem_free(w->kl);
    memset(w, 0, sizeof *w);
}

static int window_init(struct window *w, int models, int64_t len, int64_t vocab, struct err *e)
{
    memset(w, 0, sizeof *w);
    for (int i = 0; i < models; i++) {
        w->logits[i] = mem_big((size_t)(len * vocab), sizeof(float), e);
        w->logprob[i] = mem_array((size_t)len, sizeof(double), e);
        w->argmax[i] = mem_array((size_t)len, sizeof(int32_t), e);
        if (!w->logits[i] || !w->logprob[i] || !w->argmax[i])
            goto failed;
    }
    w->kl = mem_array((size_t)len, sizeof(double), e);
    if (w->kl)
        return 0;
failed:
    window_release(w);
    return -1;
}

static int64_t longest(const struct dataset *d)
{
    int64_t n = 0;
    for (int64_t i = 0; i < d->n; i++)
        n = d->len[i] > n ? d->len[i] : n;
    return n;
}

static int64_t positions(const struct dataset *d)
{
    int64_t n = 0;
    for (int64_t i = 0; i < d->n; i++)
        n += d->len[i] > 1 ? d->len[i] - 1 : 0;
    return n;
}

static int scores_init(struct scores *s, const struct dataset *d, struct err *e)
{
    memset(s, 0, sizeof *s);
    int64_t n = positions(d);
    if (!n)
        return err_set(e, ERR_INPUT, "held-out text: found no window of at least two tokens");
    s->v = mem_array((size_t)n, sizeof *s->v, e);
    s->window_end = mem_array((size_t)d->n, sizeof *s->window_end, e);
    if (!s->v || !s->window_end)
        return -1;
    for (; s->windows < d->n; s->windows++) {
        s->n += d->len[s->windows] > 1 ? d->len[s->windows] - 1 : 0;
        s->window_end[s->windows] = s->n;
    }
    s->own = ranks_chunks(comm_world(), d->n);
    return 0;
}

/* Every rank gets the scores of all windows, and computes every number from them. */
static int scores_share(struct scores *s, struct err *e)
{
    const struct comm *c = comm_world();
    int *owner = c->size > 1 ? mem_array((size_t)s->n, sizeof *owner, e) : NULL;
    if (c->size == 1)
        return 0;
    if (!owner)
        return -1;
    for (int64_t i = 0, w = 0; i < s->n; i++) {
        while (s->window_end[w] <= i)
            w++;
        owner[i] = tree_owner((int)(w * TREE_LEAVES / s->windows), c->size);
    }
    int rc = comm_share(c, s->v, sizeof *s->v, s->n, owner, e);
    mem_free(owner);
    return rc;
}

static void scores_release(struct scores *s)
{
    mem_free(s->v);
    mem_free(s->window_end);
}

/* Mean of f over positions, its standard error, and the one over window means (tokens of a window are correlated). */
struct mean {
    double mean, se, se_windows;
};
static struct mean mean_of(const struct scores *s, double (*f)(const struct scored *))
{
    struct mean m = { 0 };
    double sum = 0, sq = 0, wsq = 0;
    for (int64_t i = 0; i < s->n; i++)
        sum += f(&s->v[i]);
    m.mean = sum / (double)s->n;
    int64_t at = 0, used = 0;
    for (int64_t w = 0; w < s->windows; w++) {
        double part = 0;
        int64_t from = at;
        for (; at < s->window_end[w]; at++) {
            double d = f(&s->v[at]) - m.mean;
            part += d;
            sq += d * d;
        }
        if (at > from) {
            double d = part / (double)(at - from);
            wsq += d * d;
            used++;
        }
    }
    m.se = s->n > 1 ? sqrt(sq / (double)(s->n - 1) / (double)s->n) : (double)NAN;
    m.se_windows = used > 1 ? sqrt(wsq / (double)(used - 1) / (double)used) : (double)NAN;
    return m;
}

static double f_nll_base(const struct scored *p) { return p->nll_base; }
static double f_nll_q(const struct scored *p) { return p->nll_q; }
static double f_kl(const struct scored *p) { return p->kl; }
static double f_ratio(const struct scored *p) { return p->nll_q - p->nll_base; }
static double f_dp2(const struct scored *p) { return p->dp * p->dp; }
static double f_agree(const struct scored *p) { return p->agree ? 1.0 : 0.0; }

static void eval_of(const struct scores *s, double (*f)(const struct scored *), struct eval_result *out)
{
    struct mean m = mean_of(s, f);
    out->windows = s->windows;
    out->tokens = s->n;
    out->nll_per_token = m.mean;
    out->perplexity = m_exp(m.mean);
    out->nll_se = m.se_windows;
}

/* A NaN or an infinity makes every mean below a NaN, and a NaN meets or misses thresholds by luck. */
static int check_finite(const double *logprob, int64_t n, int64_t window, const char *who, struct err *e)
{
    for (int64_t t = 0; t < n; t++)
        if (!isfinite(logprob[t])) {
            err_set(e, ERR_INPUT, "logits of %s at position %lld of window %lld are not finite", who,
                    (long long)t, (long long)window);
            return err_hint(
                e, "a weight of it is NaN or infinite, or overflows in the dtype that it is stored in");
        }
    return 0;
}

/* Logits of one window of one model, and the log-probabilities of its next tokens. */
static int score_window(struct walker *w, const struct dataset *d, int64_t i, int64_t vocab,
                        struct window *room, int which, struct err *e)
{
    static const char *const who[] = { "the original model", "the compressed model" };
    if (walker_logits(w, i - ranks_chunks(comm_world(), d->n).first, room->logits[which], e))
        return -1;
    if (d->len[i] < 2)
        return 0;
    k_logprob_rows(d->len[i] - 1, vocab, room->logits[which], vocab, d->seq[i] + 1, room->logprob[which],
                   NULL, room->argmax[which]);
    return check_finite(room->logprob[which], d->len[i] - 1, i, room->logits[1] ? who[which] : "the model",
                        e);
}

static void add_scores(struct scores *s, const struct window *room, int64_t window, int64_t len, int models)
{
    struct scored *first = s->v + (window ? s->window_end[window - 1] : 0);
    for (int64_t t = 0; t + 1 < len; t++) {
        struct scored *p = &first[t];
        p->nll_base = -room->logprob[0][t];
        if (models < 2)
            continue;
        p->nll_q = -room->logprob[1][t];
        p->kl = room->kl[t];
        p->dp = m_exp(room->logprob[1][t]) - m_exp(room->logprob[0][t]);
        p->agree = room->argmax[0][t] == room->argmax[1][t];
    }
}

static struct walker *start(const struct model *m, const struct dataset *d, const struct metrics_options *o,
                            int share, struct err *e)
{
    struct chunks c = ranks_sequences(d, ranks_chunks(comm_world(), d->n));
    struct walk_options wo = { o->activation_budget / (uint64_t)share, o->spill_dir };
    return walker_new(m, &c, &wo, e);
}

int eval_model(const struct model *m, const struct dataset *d, const struct metrics_options *o,
               int (*logits_out)(void *arg, int64_t window, const float *logits, int64_t len, struct err *e),
               void *arg, struct eval_result *out, struct err *e)
{
    struct scores s = { 0 };
    struct window room = { 0 };
    int rc = -1;
    struct walker *w = start(m, d, o, 1, e);
    if (!w || scores_init(&s, d, e) || window_init(&room, 1, longest(d), m->vocab, e))
        goto done;
    progress_start("evaluate", m->n_blocks + 1, "blocks");
    rc = 0;
    for (int64_t b = 0; !rc && b <= m->n_blocks; b++) {
        rc = walker_block(w, b, WALK_TRUE, NULL, e);
        progress_at(b + 1, NULL);
    }
    progress_end();
    for (int64_t i = s.own.first; !rc && i < s.own.end; i++) {
        rc = score_window(w, d, i, m->vocab, &room, 0, e);
        if (!rc && logits_out)
            rc = logits_out(arg, i, room.logits[0], d->len[i], e);
        if (!rc)
            add_scores(&s, &room, i, d->len[i], 1);
    }
    rc = rc || scores_share(&s, e) ? -1 : 0;
    if (!rc)
        eval_of(&s, f_nll_base, out);
done:
    walker_free(w);
    window_release(&room);
    scores_release(&s);
    return rc;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int percentiles(const struct scores *s, struct kl_result *out, struct err *e)
{
    double *v = mem_array((size_t)s->n, sizeof *v, e);
    if (!v)
        return -1;
    for (int64_t i = 0; i < s->n; i++)
        v[i] = s->v[i].kl;
    qsort(v, (size_t)s->n, sizeof *v, by_value);
    struct {
        double share, *to;
    } rows[] = { { 0.5, &out->median },
                 { 0.9, &out->p90 },
                 { 0.95, &out->p95 },
                 { 0.99, &out->p99 },
                 { 0.999, &out->p999 } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        *rows[i].to = v[(int64_t)(rows[i].share * (double)(s->n - 1))];
    out->max = v[s->n - 1];
    mem_free(v);
    return 0;
}

static int kl_of(const struct scores *s, struct kl_result *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    eval_of(s, f_nll_base, &out->base);
    eval_of(s, f_nll_q, &out->q);
    struct mean kl = mean_of(s, f_kl), ratio = mean_of(s, f_ratio);
    out->mean = kl.mean;
    out->se = kl.se;
    out->se_windows = kl.se_windows;
    out->ln_ratio = ratio.mean;
    out->ln_ratio_se = ratio.se_windows;
    out->dp_rms = sqrt(mean_of(s, f_dp2).mean);
    out->top1 = mean_of(s, f_agree).mean;
    out->top1_se = sqrt(out->top1 * (1 - out->top1) / (double)s->n);
    return percentiles(s, out, e);
}

/* The walk of the original looks at each group's input on the way, to weigh the error of its quantized matrices. Matrix i of the
 * model is weighed by rank i % size. */
struct watch {
    const struct model *base, *q;
    const bool *wanted;
    struct module_metric *metric;
    struct links links;
    struct gram gram;
    int64_t chunks, first; /* of all ranks; the first of this one */
};

static bool watch_wants(void *arg, const struct walk_group *g)
{
    const struct watch *w = arg;
    for (int i = 0; i < g->n; i++)
        if (w->wanted[g->module[i] - w->base->module])
            return true;
    return false;
}

static int watch_open(struct watch *w, const struct walk_group *g, struct err *e)
{
    return w->gram.k ? 0 : gram_init_on(&w->gram, g->k, w->chunks, 0, &w->links, e);
}

static int watch_input(void *arg, const struct walk_group *g, int64_t chunk, const float *x, int64_t rows,
                       int64_t ldx, struct err *e)
{
    struct watch *w = arg;
    return watch_open(w, g, e) || gram_add(&w->gram, w->first + chunk, x, rows, ldx, e) ? -1 : 0;
}

static int watch_sum(struct watch *w, const struct walk_group *g, struct err *e)
{
    bool *to = mem_array((size_t)w->links.size, sizeof *to, e);
    if (!to || watch_open(w, g, e)) {
        mem_free(to);
        return -1;
    }
    for (int i = 0; i < g->n; i++)
        to[(g->module[i] - w->base->module) % w->links.size] = true;
    int rc = gram_finish_on(&w->gram, &w->links, to, e);
    mem_free(to);
    return rc;
}

static int watch_matrix(struct watch *w, const struct walk_group *g, int i, struct err *e)
{
    const struct module *m = g->module[i];
    int64_t at = m - w->base->module, n = m->out * m->in;
    if (!w->wanted[at] || at % w->links.size != w->links.rank)
        return 0;
    float *d = mem_big((size_t)n, sizeof *d, e);
    int rc = d ? w->q->tensors->read_f32(w->q->tensors->self, m->tensor, 0, m->out, d, e) : -1;
    for (int64_t k = 0; !rc && k < n; k++)
        d[k] = g->weight[i][k] - d[k];
    if (!rc) {
        double whole = weighted_error(&w->gram, g->weight[i], m->out),
               lost = weighted_error(&w->gram, d, m->out);
        w->metric[at].output_error = whole > 0 ? lost / whole : 0;
    }
    mem_free(d);
    return rc;
}

static int watch_solve(void *arg, const struct walk_group *g, struct err *e)
{
    struct watch *w = arg;
    int rc = watch_sum(w, g, e);
    for (int i = 0; !rc && i < g->n; i++)
        rc = watch_matrix(w, g, i, e);
    gram_release(&w->gram);
    memset(&w->gram, 0, sizeof w->gram);
    return rc;
}

static int walk_both(struct walker *a, struct walker *b, struct watch *watch, struct err *e)
{
    struct walk_hooks hooks = {
        .arg = watch, .wants = watch_wants, .input = watch_input, .solve = watch_solve
    };
    int64_t n = watch->base->n_blocks;
    int rc = 0;
    progress_start("verify", n + 1, "blocks");
    for (int64_t i = 0; !rc && i <= n; i++) {
        rc = walker_block(a, i, WALK_TRUE, watch->metric ? &hooks : NULL, e) ||
                     walker_block(b, i, WALK_TRUE, NULL, e)
                 ? -1
                 : 0;
        progress_at(i + 1, NULL);
    }
    progress_end();
    if (watch->gram.k)
        gram_release(&watch->gram);
    return rc;
}

static int score_both(struct walker *a, struct walker *b, const struct model *m, const struct dataset *d,
                      struct kl_result *out, struct err *e)
{
    struct scores s = { 0 };
    struct window room = { 0 };
    int rc = scores_init(&s, d, e) || window_init(&room, 2, longest(d), m->vocab, e) ? -1 : 0;
    for (int64_t i = s.own.first; !rc && i < s.own.end; i++) {
        rc = score_window(a, d, i, m->vocab, &room, 0, e) || score_window(b, d, i, m->vocab, &room, 1, e) ? -1
                                                                                                          : 0;
        if (rc)
            break;
        if (d->len[i] > 1)
            k_kl_rows(d->len[i] - 1, m->vocab, room.logits[0], m->vocab, room.logits[1], m->vocab, room.kl);
        add_scores(&s, &room, i, d->len[i], 2);
        rc = check_interrupt(e);
    }
    rc = rc || scores_share(&s, e) || kl_of(&s, out, e) ? -1 : 0;
    window_release(&room);
    scores_release(&s);
    return rc;
}

int compare_models(const struct model *base, const struct model *q, const struct dataset *d,
                   const struct metrics_options *o, const bool *wanted, struct module_metric *metric,
                   struct kl_result *out, struct err *e)
{
    if (base->vocab != q->vocab)
        return err_set(e, ERR_INPUT, "the models have %lld and %lld words; expected the same vocabulary",
                       (long long)base->vocab, (long long)q->vocab);
    struct watch watch = {
        .base = base, .q = q, .wanted = wanted, .metric = wanted ? metric : NULL, .chunks = d->n
    };
    watch.links = ranks_links(comm_world());
    watch.first = ranks_chunks(comm_world(), d->n).first;
    struct walker *a = start(base, d, o, 2, e), *b = a ? start(q, d, o, 2, e) : NULL;
    int rc = b ? walk_both(a, b, &watch, e) : -1;
    if (!rc && watch.metric)
        rc = ranks_share_around(comm_world(), metric, sizeof *metric, base->n_modules, e);
    if (!rc)
        rc = score_both(a, b, base, d, out, e);
    walker_free(a);
    walker_free(b);
    return rc;
}

int weight_errors(const struct model *base, const struct model *q, const bool *wanted,
                  struct module_metric *metric, struct err *e)
{
    const struct comm *c = comm_world();
    int rc = 0;
    for (int64_t i = 0; !rc && i < base->n_modules; i++) {
        const struct module *m = &base->module[i];
        if (!wanted[i] || i % c->size != c->rank)
            continue;
        int64_t n = m->out * m->in;
        float *w = mem_big((size_t)n, sizeof *w, e), *v = w ? mem_big((size_t)n, sizeof *v, e) : NULL;
        rc = v ? base->tensors->read_f32(base->tensors->self, m->tensor, 0, m->out, w, e) : -1;
        if (!rc)
            rc = q->tensors->read_f32(q->tensors->self, m->tensor, 0, m->out, v, e);
        if (!rc) {
            double whole = k_dot64(n, w, w);
            for (int64_t k = 0; k < n; k++)
                v[k] = w[k] - v[k];
            metric[i].weight_error = whole > 0 ? sqrt(k_dot64(n, v, v) / whole) : 0;
        }
        mem_free(w);
        mem_free(v);
    }
    return rc ? rc : ranks_share_around(c, metric, sizeof *metric, base->n_modules, e);
}

void eval_json(const struct eval_result *r, struct jw *w)
{
    jw_object(w);
    jw_kint(w, "windows", r->windows);
    jw_kint(w, "tokens", r->tokens);
    jw_kreal(w, "nll_per_token", r->nll_per_token);
    jw_kreal(w, "nll_se_windows", r->nll_se);
    jw_kreal(w, "perplexity", r->perplexity);
    jw_end_object(w);
}

void kl_json(const struct kl_result *r, struct jw *w)
{
    jw_object(w);
    jw_key(w, "base");
    eval_json(&r->base, w);
    jw_key(w, "quantized");
    eval_json(&r->q, w);
    const struct {
        const char *name;
        double v;
    } rows[] = { { "kl_mean", r->mean },
                 { "kl_se", r->se },
                 { "kl_se_windows", r->se_windows },
                 { "kl_median", r->median },
                 { "kl_p90", r->p90 },
                 { "kl_p95", r->p95 },
                 { "kl_p99", r->p99 },
                 { "kl_p999", r->p999 },
                 { "kl_max", r->max },
                 { "top1_agreement", r->top1 },
                 { "top1_se", r->top1_se },
                 { "ln_perplexity_ratio", r->ln_ratio },
                 { "ln_perplexity_ratio_se_windows", r->ln_ratio_se },
                 { "delta_p_rms", r->dp_rms } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        jw_kreal(w, rows[i].name, rows[i].v);
    jw_end_object(w);
}
