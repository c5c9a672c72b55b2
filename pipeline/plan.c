/* plan.c - costs from shapes. */
#include "pipeline/plan.h"

#include "base/mem.h"
#include "base/num.h"
#include "pipeline/predict.h"
#include "quant/cross.h"

static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t longest(const struct dataset *d)
{
    int64_t n = 0;
    for (int64_t i = 0; i < d->n; i++)
        n = max64(n, d->len[i]);
    return n;
}

static bool needs_gram(const struct module_job *m)
{
    return m->scheme && (m->solver->needs != NEED_NOTHING || m->observer->needs_importance || m->clip.n_grid);
}

/* Beside the weight itself: codes, parameters, and what its solver takes, or the target that is made before it. */
static int64_t module_bytes(const struct job *j, const struct module_job *m)
{
    int64_t n = m->module->out * m->module->in, p = m->layout.param_rows * m->layout.param_cols;
    int64_t strips = j->needs_data ? 0 : stream_bytes(j, m);
    if (strips)
        return strips;
    int64_t clip = m->clip.n_grid ? n + clip_bytes(&m->layout) : 0;
    /* rounding measures errors only where there is a Gram matrix; else codes, and the observer's cells or what is packed */
    if (m->solver->needs != NEED_GRAM)
        return (needs_gram(m) ? max64(5 * n, clip) : n + max64(n, 32 * p)) + 5 * p;
    int64_t target = m->solve.alpha > 0 ? cross_target_bytes(m->module->out, m->module->in) : 0;
    return max64(max64(target, clip), n + 5 * p + solve_bytes(&m->solve, &m->layout));
}

/* What GPTQ's options keep beside the Gram matrix and its factor: a damped Hessian, a factor in natural order, D. */
static int64_t tune_squares(const struct module_job *m)
{
    const struct solve_options *o = &m->solve;
    return (o->refit || o->sweeps) + (o->scale_search == SCALES_FEEDBACK) + (o->alpha > 0);
}

/* What the choice of damping takes before there is a factor: every matrix of the group shows it some rows. */
static int64_t damping_bytes(const struct job *j, int64_t i)
{
    const struct module *m = j->module[i].module;
    int64_t rows = 0;
    if (j->module[i].solve.damp_mode != DAMP_QUICK)
        return 0;
    while (i > 0 && j->module[i - 1].module->block == m->block)
        i--;
    for (; i < j->load.model.n_modules && j->module[i].module->block == m->block; i++)
        if (j->module[i].scheme && j->module[i].module->group == m->group)
            rows += damp_quick_rows(j->module[i].module->out);
    return damp_quick_bytes(m->in, rows);
}

/* Registers' row of the widest input that verify rounds before a product. */
static int64_t rounded_floats(const struct job *j, int64_t length)
{
    int64_t widest = 0;
    for (int64_t i = 0; i < j->load.model.n_modules; i++)
        if (j->module[i].scheme && j->module[i].scheme->has_input)
            widest = max64(widest, j->module[i].module->in);
    return widest * length;
}

static void module_cost(const struct module_job *m, struct plan_cost *c)
{
    double rows = (double)m->module->out, k = (double)m->module->in;
    c->solve += m->solver->needs == NEED_GRAM ? rows * k * k : rows * k;
}

/* The first planned module of its input group stands for the group. */
static bool leads_group(const struct job *j, int64_t i)
{
    const struct module *m = j->module[i].module;
    for (int64_t p = i - 1; p >= 0 && j->module[p].module->block == m->block; p--)
        if (needs_gram(&j->module[p]) && j->module[p].module->group == m->group)
            return false;
    return true;
}

/* A Gram matrix grows as a tree of partial sums; then it, its factor and one solve are alive. In the modes block and false
 * all groups of a block grow together. */
static void group_costs(const struct job *j, struct plan_cost *c)
{
    int64_t together = 0, solve = 0, block = -1;
    for (int64_t i = 0; i < j->load.model.n_modules; i++) {
        const struct module_job *m = &j->module[i];
        if (m->scheme)
            solve = max64(solve, module_bytes(j, m));
        if (!needs_gram(m))
            continue;
        int64_t k = m->module->in, square = 4 * k * k;
        int64_t given = m->solve.damp_mode == DAMP_FIXED ? 1 : 2; /* the Gram matrix, its first half */
        int64_t squares = m->solver->needs != NEED_GRAM
                              ? 1 /* without a factor */
                              : max64(m->solve.damp_mode == DAMP_AUTO ? 4 : 2, given + 1 + tune_squares(m));
        if (leads_group(j, i)) {
            c->gram += (double)c->tokens * (double)k * (double)k;
            c->factor += (double)k * (double)k * (double)k / 3;
            int64_t grown =
                (int64_t)gram_bytes(k) + (m->solve.alpha > 0 ? 2 * square : 0); /* D and its leaf */
            together = m->module->block == block && j->mode != WALK_TRUE ? together + grown : grown;
            block = m->module->block;
        }
        int64_t others = j->mode == WALK_TRUE ? 0 : together - square;
        c->work = max64(c->work, max64(together, square * squares + module_bytes(j, m) + others));
        c->work = max64(c->work, square * given + damping_bytes(j, i) + others);
    }
    c->work = max64(c->work, solve);
}

static void walk_cost(const struct job *j, struct plan_cost *c)
{
    const struct model *m = &j->load.model;
    int64_t live = 0, length = longest(&j->data);
    c->tokens = j->data.tokens;
    c->forward = model_forward_flops(m, c->tokens, length) * (j->mode == WALK_BLOCK ? 2 : 1);
    for (int64_t b = 0; b < m->n_blocks; b++) {
        c->block = max64(c->block, model_block_bytes(m, b));
        /* only the mode true stops between the groups of a block; the others carry the residual stream alone */
        live = max64(live, j->mode == WALK_TRUE ? model_live_floats(m, b) : m->hidden);
    }
    int walkers =
        job_asymmetric(j) ? 2 : 1; /* the original model beside the one that changes; the budget is halved */
    int64_t want = 4 * live * c->tokens * walkers;
    c->store = want < job_budget(j) ? want : job_budget(j);
    c->spill = want - c->store;
    c->scratch = 4 * model_scratch_floats(m, length) * walkers;
    c->block *= walkers;
}

static bool first_of_stage(const struct job *j, int64_t i)
{
    return !i || j->smooth.v[i - 1].stage != j->smooth.v[i].stage;
}

static int64_t pass_bytes(const struct plan_cost *c) { return c->block + c->work + c->store + c->scratch; }

/* Each smoothing modifier walks the float model once, stopping at the groups of its mappings; scales are kept to the end. That
 * walk is over before anything is quantized: what c holds is of the pass that needs more. */
static void smooth_costs(const struct job *j, struct plan_cost *c)
{
    const struct model *m = &j->load.model;
    int64_t length = longest(&j->data), live = 0, want;
    struct plan_cost s = { 0 };
    if (!j->smooth.n)
        return;
    c->tokens = j->data.tokens;
    for (int64_t i = 0; i < j->smooth.n; i++) {
        const struct smooth_job *o = &j->smooth.v[i];
        int64_t k = o->map.balance[0]->in, work = o->smoother->bytes(j, o);
        if (first_of_stage(j, i))
            c->forward += model_forward_flops(m, c->tokens, length);
        if (o->smoother->needs_gram(j, o)) {
            c->gram += (double)c->tokens * (double)k * (double)k;
            s.work = max64(s.work, max64((int64_t)gram_bytes(k), 4 * k * k + work));
        } else
            s.work = max64(s.work, work);
        c->solve += o->smoother->flops(j, o);
        c->fixed += smoothed_bytes(&o->map);
        live = max64(live, model_live_at(m, o->map.block, o->map.balance[0]->group));
    }
    for (int64_t b = 0; b < m->n_blocks; b++) {
        s.block = max64(s.block, model_block_bytes(m, b));
        live = max64(live, model_live_at(m, b, -1));
    }
    want = 4 * live * c->tokens;
    s.store = want < job_budget(j) ? want : job_budget(j);
    c->spill = max64(c->spill, want - s.store);
    s.scratch = 4 * model_scratch_floats(m, length);
    if (pass_bytes(&s) <= pass_bytes(c))
        return;
    c->block = s.block;
    c->work = s.work;
    c->store = s.store;
    c->scratch = s.scratch;
}

/* Two walkers side by side, each with half of the budget; then both heads and the logits of one window. */
static int64_t verify_cost(const struct job *j)
{
    const struct model *m = &j->load.model;
    int64_t length = longest(&j->heldout), tokens = j->heldout.tokens, block = 0, live = 0, work = 0,
            pair = 0;
    for (int64_t i = 0; i < m->n_modules; i++) {
        const struct module *o = &m->module[i];
        if (!j->module[i].scheme)
            continue;
        pair = max64(pair, 8 * o->out * o->in);
        work = max64(
            work, max64((int64_t)gram_bytes(o->in), 4 * o->in * o->in + 4 * o->out * o->in + 1024 * o->out));
    }
    if (!tokens)
        return pair;
    for (int64_t b = 0; b < m->n_blocks; b++) {
        block = max64(block, model_block_bytes(m, b));
        live = max64(live, model_live_floats(m, b));
    }
    int64_t budget = job_budget(j) / 2, store = 4 * live * tokens, plain = 4 * m->hidden * tokens;
    store = store < budget ? store : budget;
    plain = plain < budget ? plain : budget;
    int64_t scratch = 8 * model_scratch_floats(m, length) + 4 * rounded_floats(j, length),
            scored = 48 * tokens + 8 * length * m->vocab;
    return scratch +
           max64(block + work + store + plain, 2 * model_block_bytes(m, m->n_blocks) + scored + 2 * plain);
}

void plan_cost(const struct job *j, struct plan_cost *out)
{
    const struct tensor_source *t = &j->load.checkpoint.stored;
    *out = (struct plan_cost){ .fixed = (int64_t)mem_use().now +
                                        (INT64_C(1) << (j->needs_data || j->verify ? 20 : 18)) };
    for (int64_t i = 0; i < t->count; i++) {
        const struct tensor_info *info = t->at(t->self, i);
        int64_t n = dtypes[info->dtype].bytes;
        for (int d = 0; d < info->rank; d++)
            n *= info->dim[d];
        out->bytes_in += n;
        out->bytes_out += n;
    }
    int64_t largest = 0;
    for (int64_t i = 0; i < j->load.model.n_modules; i++) {
        const struct module_job *m = &j->module[i];
        if (!m->scheme)
            continue;
        out->bytes_out += j->container->packed_bytes(m->scheme, &m->layout) -
                          m->module->out * m->module->in * dtypes[m->dtype].bytes;
        largest =
            max64(largest, j->needs_data || !stream_bytes(j, m) ? 4 * m->module->out * m->module->in : 0);
        module_cost(m, out);
    }
    if (j->needs_data)
        walk_cost(j, out);
    else
        out->block = largest;
    group_costs(j, out);
    smooth_costs(j, out);
    out->quantize = out->fixed + pass_bytes(out);
    out->verify = j->verify ? out->fixed + verify_cost(j) : 0;
    out->peak = max64(out->quantize, out->verify);
}

static int modules_text(const struct job *j, struct buf *out, struct err *e)
{
    char word[96];
    if (buf_printf(out, e, "\nmodules\n"))
        return -1;
    for (int64_t i = 0; i < j->load.model.n_modules; i++) {
        const struct module_job *m = &j->module[i];
        if (!m->module->quantizable)
            continue;
        const char *what = m->scheme ? quant_args_word(&m->scheme->weights, word) : "kept";
        if (buf_printf(out, e, "  %-44s %-10s %6lld x %-6lld %-40s", m->module->name, m->module->classes[0],
                       (long long)m->module->out, (long long)m->module->in, what))
            return -1;
        int rc;
        if (m->scheme)
            rc = buf_printf(out, e, " %s, observer %s, by '%s'", m->solver->name, m->observer->name,
                            m->match.rule);
        else if (m->match.ignored)
            rc = buf_printf(out, e, " ignored by '%s'", m->match.rule);
        else
            rc = buf_printf(out, e, " no target means it");
        if (!rc && m->match.at.line)
            rc = buf_printf(out, e, " (line %d)", m->match.at.line);
        if (!rc && m->module->rule)
            rc = buf_printf(out, e, "; %s", m->module->rule);
        if (rc || buf_str(out, "\n", e))
            return -1;
    }
    return 0;
}

int plan_text(const struct job *j, const struct plan_cost *c, struct buf *out, struct err *e)
{
    char a[32], b[32];
    const struct model *m = &j->load.model;
    int rc = buf_printf(
        out, e,
        "recipe   %s (%s grammar, dialect %s)\nmodel    %s: %lld blocks, hidden %lld, vocabulary %lld\n",
        j->recipe->path, j->recipe->native ? "native" : "llm-compressor", j->recipe->dialect->name,
        j->recipe->model, (long long)m->n_blocks, (long long)m->hidden, (long long)m->vocab);
    rc = rc || buf_printf(out, e, "output   %s as %s\n\nstages\n",
                          j->recipe->output ? j->recipe->output : "(not said)", j->container->name);
    for (size_t i = 0; !rc && i < j->recipe->n; i++)
        rc = buf_printf(out, e, "  %zu. %s\n", i + 1, j->recipe->stage[i].spec->name);
    rc = rc || smooth_text(j, out, e) || modules_text(j, out, e);
    rc = rc || buf_printf(out, e, "\n%zu of %lld modules are quantized; %s in, %s out\n", j->n_quantized,
                          (long long)m->n_modules, num_human_bytes((double)c->bytes_in, a),
                          num_human_bytes((double)c->bytes_out, b));
    if (!rc && job_calibrates(j))
        rc = buf_printf(out, e, "calibration: %lld tokens in %lld sequences, sequential: %s\n",
                        (long long)c->tokens, (long long)j->data.n, walk_mode_words[j->mode]);
    rc = rc || buf_printf(out, e, "work: forward %.3g, Gram %.3g, factor %.3g, solve %.3g FLOP\n", c->forward,
                          c->gram, c->factor, c->solve);
    rc = rc || buf_printf(out, e, "memory: %s", num_human_bytes((double)c->peak, a));
    if (!rc && c->verify)
        rc = buf_printf(out, e, " (quantizing %s, verifying %s)", num_human_bytes((double)c->quantize, a),
                        num_human_bytes((double)c->verify, b));
    rc = rc || buf_str(out, "\n", e);
    const struct {
        const char *what;
        int64_t n;
    } part[] = { { "tables and token ids", c->fixed },
                 { "one block's weights", c->block },
                 { "Gram matrices or a solve", c->work },
                 { "activation store", c->store },
                 { "one sequence's registers", c->scratch } };
    for (size_t i = 0; !rc && i < sizeof part / sizeof *part; i++)
        rc = part[i].n
                 ? buf_printf(out, e, "  %-26s %s\n", part[i].what, num_human_bytes((double)part[i].n, a))
                 : 0;
    if (!rc && c->spill)
        rc = buf_printf(out, e, "  %s of activations go through a file beside the output\n",
                        num_human_bytes((double)c->spill, a));
    for (size_t i = 0; !rc && i < j->notes.n; i++)
        rc = buf_printf(out, e, "%snote: %s\n", i ? "" : "\n", j->notes.v[i]);
    return rc ? -1 : 0;
}

static void module_json(const struct module_job *m, struct jw *w)
{
    jw_object(w);
    jw_kstr(w, "name", m->module->name);
    jw_kstr(w, "class", m->module->classes[0]);
    jw_key(w, "shape");
    jw_array(w);
    jw_int(w, m->module->out);
    jw_int(w, m->module->in);
    jw_end_array(w);
    jw_kbool(w, "quantized", m->scheme != NULL);
    jw_kbool(w, "ignored", m->match.ignored);
    jw_kstr(w, "rule", m->match.rule);
    jw_kint(w, "line", m->match.at.line);
    if (m->module->rule)
        jw_kstr(w, "class_by", m->module->rule);
    if (m->scheme) {
        jw_kstr(w, "solver", m->solver->name);
        jw_kstr(w, "observer", m->observer->name);
        jw_key(w, "weights");
        quant_args_json(&m->scheme->weights, w);
    }
    jw_end_object(w);
}

void plan_json(const struct job *j, const struct plan_cost *c, const struct prediction *p, struct jw *w)
{
    jw_object(w);
    jw_key(w, "recipe");
    recipe_json(j->recipe, w);
    jw_key(w, "cost");
    jw_object(w);
    const struct {
        const char *k;
        int64_t v;
    } ints[] = { { "tokens", c->tokens },
                 { "bytes_in", c->bytes_in },
                 { "bytes_out", c->bytes_out },
                 { "peak_bytes", c->peak },
                 { "quantize_peak_bytes", c->quantize },
                 { "verify_peak_bytes", c->verify },
                 { "fixed_bytes", c->fixed },
                 { "block_bytes", c->block },
                 { "work_bytes", c->work },
                 { "store_bytes", c->store },
                 { "scratch_bytes", c->scratch },
                 { "spill_bytes", c->spill } };
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
        jw_kint(w, ints[i].k, ints[i].v);
    jw_kreal(w, "flop_forward", c->forward);
    jw_kreal(w, "flop_gram", c->gram);
    jw_kreal(w, "flop_factor", c->factor);
    jw_kreal(w, "flop_solve", c->solve);
    jw_end_object(w);
    if (p) {
        jw_key(w, "prediction");
        predict_json(p, w);
    }
    if (j->smooth.n) {
        jw_key(w, "smoothing");
        smooth_json(j, w);
    }
    jw_key(w, "modules");
    jw_array(w);
    for (int64_t i = 0; i < j->load.model.n_modules; i++)
        if (j->module[i].module->quantizable)
            module_json(&j->module[i], w);
    jw_end_array(w);
    jw_key(w, "notes");
    jw_array(w);
    for (size_t i = 0; i < j->notes.n; i++)
        jw_str(w, j->notes.v[i]);
    jw_end_array(w);
    jw_end_object(w);
}
