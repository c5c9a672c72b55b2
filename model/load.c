/* load.c - reads the weights of one block as float32. Conv1D matrices are turned, so that all are [out, in]. */
#include "model/load.h"
#include "base/mem.h"
#include <string.h>

/* Disk [in, out] to memory [out, in], a few rows at a time. */
static int load_turned(const struct tensor_source *t, const struct module *o, float *w, struct err *e)
{
    enum { ROWS = 64 };
    float *x = mem_array((size_t)o->out, ROWS * sizeof *x, e);
    int rc = x ? 0 : -1;
    for (int64_t i = 0; !rc && i < o->in; i += ROWS) {
        int64_t n = o->in - i < ROWS ? o->in - i : ROWS;
        rc = t->read_f32(t->self, o->tensor, i, n, x, e);
        for (int64_t r = 0; !rc && r < o->out; r++)
            for (int64_t k = 0; k < n; k++)
                w[r * o->in + i + k] = x[k * o->out + r];
    }
    mem_free(x);
    return rc;
}

/* Rows of the matrix on disk: a rank 1 tensor is [out, 1]. */
static int load_module(const struct model *m, const struct part *p, const struct module *o, struct weights *w,
                       struct err *e)
{
    const struct tensor_source *t = m->tensors;
    int64_t per = o->out * o->in, rows = p->kind == PART_HEADNORMS ? m->config->dim[p->out] : 1;
    if (!w->w[o->part])
        w->w[o->part] = mem_big((size_t)(per * rows), sizeof(float), e);
    if (!w->w[o->part])
        return -1;
    float *dst = w->w[o->part] + per * o->row;
    if (p->kind == PART_CONV1D ? load_turned(t, o, dst, e)
                               : t->read_f32(t->self, o->tensor, 0, o->out, dst, e))
        return -1;
    if (!o->bias)
        return 0;
    w->b[o->part] = mem_big((size_t)o->out, sizeof(float), e);
    if (!w->b[o->part])
        return -1;
    return t->read_f32(t->self, o->bias, 0, o->out, w->b[o->part], e);
}

int weights_load(const struct model *m, int64_t block, struct weights *out, struct err *e)
{
    struct weights w = { { NULL }, { NULL } };
    for (int64_t i = m->first[block + 1]; i < m->first[block + 2]; i++) {
        const struct part *p = config_part(m->config, (enum part_id)m->module[i].part);
        if (p->kind == PART_BOX || p->kind == PART_EMBED)
            continue;
        if (load_module(m, p, &m->module[i], &w, e)) {
            weights_release(&w);
            return err_while(e, "loading %s", m->module[i].name);
        }
    }
    *out = w;
    return 0;
}

void weights_release(struct weights *w)
{
    for (int p = 0; p < P_COUNT; p++) {
        mem_free(w->w[p]);
        mem_free(w->b[p]);
    }
    memset(w, 0, sizeof *w);
}
