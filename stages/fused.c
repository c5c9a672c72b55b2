/* fused.c - matrices that a runtime joins into one, and that therefore share the one scale that some grids have over all
 * their cells (grid.h, global_scale): it comes from the largest weight of all of them. Which ones: llm-compressor 0.14. */
#include "stages/rows.h"

#include "base/mem.h"
#include "kernels/kernels.h"

#include <string.h>

enum { MOST = 3, ROWS = 256 };

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

/* m and the modules beside it that are joined with it; returns how many. */
static int siblings(const struct job *j, struct module_job *m, struct module_job *out[MOST])
{
    const char *name = m->module->name, *dot = strrchr(name, '.');
    size_t parent = dot ? (size_t)(dot - name) + 1 : 0;
    const char *const *set = set_of(name + parent);
    int n = 0;
    for (int64_t i = 0; set && i < j->load.model.n_modules; i++) {
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

int fused_plan(const struct job *j, struct err *e)
{
    for (int64_t i = 0; i < j->load.model.n_modules; i++) {
        struct module_job *m = &j->module[i], *all[MOST];
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
    }
    return 0;
}

static float largest(const float *w, int64_t n, float most)
{
    float lo, hi;
    k_minmax(n, w, &lo, &hi);
    most = hi > most ? hi : most;
    return -lo > most ? -lo : most;
}

/* The weights of m: in memory where the walk has them, else on disk. */
static int absmax_of(const struct job *j, const struct module_job *m, const struct walk_group *g, float *most,
                     struct err *e)
{
    const struct tensor_source *t = job_tensors(j);
    int64_t rows = m->module->out, cols = m->module->in;
    for (int i = 0; g && i < g->n; i++)
        if (g->module[i] == m->module) {
            *most = largest(g->weight[i], rows * cols, *most);
            return 0;
        }
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

int fused_scale(struct job *j, struct module_job *m, const struct walk_group *g, struct err *e)
{
    struct module_job *all[MOST];
    float most = 0.0f;
    if (!shares(m) || m->global_scale > 0.0f)
        return 0;
    int n = siblings(j, m, all);
    for (int k = 0; k < n; k++)
        if (absmax_of(j, all[k], g, &most, e))
            return err_while(e, "finding the global scale of %s", m->module->name);
    for (int k = 0; k < n; k++)
        all[k]->global_scale = m->grid->global_scale(&m->layout, most);
    return 0;
}
