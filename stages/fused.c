/* fused.c - matrices that a runtime joins into one: they need one scheme, and they share the one scale that some grids have
 * over all their cells (grid.h, global_scale), which comes from the largest weight of all of them. Which ones:
 * llm-compressor 0.14; vLLM asks the same of the experts of a layer. */
#include "stages/rows.h"

#include "base/mem.h"
#include "kernels/kernels.h"

#include <string.h>

enum { MOST = 3, ROWS = 256, NEAR = 32 };

static const char *const sets[][MOST + 1] = {
    { "q_proj", "k_proj", "v_proj", NULL },
    { "gate_proj", "up_proj", NULL },
    { "q_a_proj", "kv_a_proj_with_mqa", NULL },
    { "w1", "w3", NULL },
};

static const char *const *set_of(const char *leaf)
{
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++)
        for (const char *const *w = sets[s]; *w; w++)
            if (!strcmp(*w, leaf))
                return sets[s];
    return NULL;
}

/* m and the modules beside it that are joined with it; returns how many. They stand near in the list, whichever order it
 * has: a block's in forward order, or the names of one parent. */
static int siblings(const struct job *j, struct module_job *m, struct module_job *out[MOST])
{
    const char *name = m->module->name, *dot = strrchr(name, '.');
    size_t parent = dot ? (size_t)(dot - name) + 1 : 0;
    const char *const *set = set_of(name + parent);
    int64_t at = m - j->module, from = at > NEAR ? at - NEAR : 0, all = j->load.model.n_modules;
    int n = 0;
    for (int64_t i = from; set && i < all && i <= at + NEAR; i++) {
        const char *other = j->module[i].module->name;
        if (strncmp(other, name, parent) || strchr(other + parent, '.') || set_of(other + parent) != set)
            continue;
        BUG_ON(n == MOST);
        out[n++] = &j->module[i];
    }
    if (!n)
        out[n++] = m;
    return n;
}

static bool shares(const struct module_job *m) { return m->scheme && m->grid->global_scale; }

static int refuse_half_shared(const struct job *j, struct module_job *m, struct err *e)
{
    struct module_job *all[MOST];
    int n = shares(m) ? siblings(j, m, all) : 0;
    for (int k = 0; k < n; k++) {
        if (shares(all[k]))
            continue;
        err_at(e, ERR_INPUT, m->match.at,
               "'%s' and '%s' are one matrix for a runtime and need one global scale, but only the first "
               "is on grid %s",
               m->module->name, all[k]->module->name, m->grid->name);
        return err_hint(e, "give both the same scheme, or ignore both");
    }
    return 0;
}

static bool same_args(bool has, const struct quant_args *a, bool also, const struct quant_args *b)
{
    if (has != also || !has)
        return has == also;
    return a->num_bits == b->num_bits && a->type == b->type && a->symmetric == b->symmetric &&
           a->strategy == b->strategy && a->group_size == b->group_size && a->block[0] == b->block[0] &&
           a->block[1] == b->block[1] && a->dynamic == b->dynamic && a->scale_dtype == b->scale_dtype;
}

/* What a runtime has to know of both is equal; observers and column orders may differ. */
static bool same_scheme(const struct quant_scheme *a, const struct quant_scheme *b)
{
    if (a == b || !a || !b)
        return a == b;
    return same_args(a->has_weights, &a->weights, b->has_weights, &b->weights) &&
           same_args(a->has_input, &a->input, b->has_input, &b->input);
}

/* What is planned for a module, in words; out is room for them. */
static const char *planned(const struct module_job *m, char out[96])
{
    return m->scheme ? quant_args_word(&m->scheme->weights, out) : "kept as it is";
}

static int differ(struct job *j, const struct module_job *a, const struct module_job *b, const char *what,
                  struct err *e)
{
    char wa[96], wb[96];
    const char *x = planned(a, wa), *y = planned(b, wb);
    if (j->recipe->serve.fused == SERVE_NOTED)
        return job_note(j, e, "'%s' (%s) and '%s' (%s) are %s for vLLM, which asks for one scheme",
                        a->module->name, x, b->module->name, y, what);
    err_at(
        e, ERR_INPUT, b->match.at.line ? b->match.at : a->match.at,
        "'%s' (%s, line %d) and '%s' (%s, line %d) are %s for a runtime such as vLLM, which asks for one scheme",
        a->module->name, x, a->match.at.line, b->module->name, y, b->match.at.line, what);
    return err_hint(e, "give both the same scheme, ignore both, or say serve: { fused: separate }");
}

/* "model.layers.0.mlp.experts." of an expert's matrix; 0: it is none. */
static size_t experts_prefix(const char *name)
{
    const char *at = strstr(name, ".experts.");
    return at ? (size_t)(at - name) + 9 : 0;
}

static int refuse_mixed_experts(struct job *j, struct err *e)
{
    const struct module_job *first = NULL;
    size_t prefix = 0;
    for (int64_t i = 0; i < j->load.model.n_modules; i++) {
        const struct module_job *m = &j->module[i];
        size_t n = m->module->quantizable ? experts_prefix(m->module->name) : 0;
        bool same = first && n && n == prefix && !strncmp(first->module->name, m->module->name, n);
        if (same && !same_scheme(first->scheme, m->scheme) &&
            (j->recipe->serve.fused == SERVE_SEPARATE ? 0 : differ(j, first, m, "experts of one layer", e)))
            return -1;
        if (n && !same) {
            first = m;
            prefix = n;
        }
    }
    return 0;
}

int fused_plan(struct job *j, struct err *e)
{
    for (int64_t i = 0; i < j->load.model.n_modules; i++) {
        struct module_job *m = &j->module[i], *all[MOST];
        if (refuse_half_shared(j, m, e))
            return -1;
        int n = m->module->quantizable && j->recipe->serve.fused != SERVE_SEPARATE ? siblings(j, m, all) : 0;
        for (int k = 0; k < n; k++)
            if (all[k] > m && !same_scheme(m->scheme, all[k]->scheme) &&
                differ(j, m, all[k], "one matrix", e))
                return -1;
    }
    return refuse_mixed_experts(j, e);
}

static float largest(const float *w, int64_t n, float most)
{
    float lo, hi;
    k_minmax(n, w, &lo, &hi);
    most = hi > most ? hi : most;
    return -lo > most ? -lo : most;
}

/* A search decides how far a matrix reaches: the peer's global scale comes from the ranges that it found. Matrices that are
 * joined read one input, so that its importance is that of all of them. */
static int searched_absmax(const struct job *j, const struct module_job *m, const float *there,
                           const float *importance, float *most, struct err *e)
{
    const struct tensor_source *t = job_tensors(j);
    struct qtensor q = { 0 };
    float *w = there ? NULL : mem_big((size_t)(m->module->out * m->module->in), sizeof *w, e);
    int rc = there || w ? 0 : -1;
    if (!rc && !there)
        rc = t->read_f32(t->self, m->module->tensor, 0, m->module->out, w, e);
    if (!rc && !(rc = qtensor_init(&q, &m->layout, e))) {
        rc = m->observer->fit(&m->observer_params, there ? there : w,
                              m->observer->needs_importance ? importance : NULL, &q, e);
        *most = q.range_max > *most ? q.range_max : *most;
        qtensor_release(&q);
    }
    mem_free(w);
    return rc;
}

/* The weights of m: in memory where the walk has them, else on disk. */
static int absmax_of(const struct job *j, const struct module_job *m, const struct walk_group *g,
                     const float *importance, float *most, struct err *e)
{
    const struct tensor_source *t = job_tensors(j);
    int64_t rows = m->module->out, cols = m->module->in;
    bool search = !observer_by_cell(m->observer);
    for (int i = 0; g && i < g->n; i++)
        if (g->module[i] == m->module) {
            if (search)
                return searched_absmax(j, m, g->weight[i], importance, most, e);
            *most = largest(g->weight[i], rows * cols, *most);
            return 0;
        }
    if (search)
        return searched_absmax(j, m, NULL, importance, most, e);
    float *w = mem_big((size_t)(rows < ROWS ? rows : ROWS), (size_t)cols * sizeof *w, e);
    int rc = w ? 0 : -1;
    for (int64_t r = 0; !rc && r < rows; r += ROWS) {
        int64_t n = rows - r < ROWS ? rows - r : ROWS;
        rc = t->read_f32(t->self, m->module->tensor, r, n, w, e);
        if (!rc)
            *most = largest(w, n * cols, *most);
    }
    mem_free(w);
    return rc;
}

int fused_scale(struct job *j, struct module_job *m, const struct walk_group *g, const struct gram *gram,
                struct err *e)
{
    struct module_job *all[MOST];
    float most = 0.0f;
    if (!shares(m) || m->global_scale > 0.0f)
        return 0;
    int n = siblings(j, m, all), rc = 0;
    float *importance = gram ? importance_of(gram, e) : NULL;
    if (gram && !importance)
        return -1;
    for (int k = 0; !rc && k < n; k++)
        rc = absmax_of(j, all[k], g, importance, &most, e);
    mem_free(importance);
    if (rc)
        return err_while(e, "finding the global scale of %s", m->module->name);
    for (int k = 0; k < n; k++)
        all[k]->global_scale = m->grid->global_scale(&m->layout, most);
    return 0;
}
