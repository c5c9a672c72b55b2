/* model.c - the modules of a model in forward order, by transformers' names, from the parts of its family's row; and the
 * numbers that plans are made of. Which tensors they read is decided in bind.c. */
#include "model/model.h"
#include "base/mem.h"
#include "model/bind.h"
#include "model/config.h"
#include "model/steps.h"
#include <stdlib.h>
#include <string.h>

static const char *const linear_classes[] = { "Linear", "Module", NULL };
static const char *const conv1d_classes[] = { "Conv1D", "Module", NULL };
static const char *const embed_classes[] = { "Embedding", "Module", NULL };

static const char *const *part_classes(const struct arch *a, const struct part *p)
{
    /* The head is a plain Linear in every family. */
    if (p->kind == PART_LINEAR)
        return a->linear_classes && p->id != P_HEAD ? a->linear_classes : linear_classes;
    if (p->kind == PART_CONV1D)
        return conv1d_classes;
    if (p->kind == PART_EMBED)
        return embed_classes;
    return p->kind == PART_BOX ? a->attn_classes : a->norm_classes;
}

static int64_t part_modules(const struct config *c, const struct part *p)
{
    return !c->flag[p->when] ? 0 : p->kind == PART_HEADNORMS ? c->dim[p->out] : 1;
}

static int add_module(struct model *m, const struct part *p, int64_t block, int64_t row, struct err *e)
{
    const struct config *c = m->config;
    struct module *o = &m->module[m->n_modules];
    bool vector = p->kind == PART_NORM || p->kind == PART_HEADNORMS;
    o->classes = part_classes(m->arch, p);
    o->out = p->kind == PART_BOX ? 0 : c->dim[p->kind == PART_HEADNORMS ? p->in : p->out];
    o->in = p->kind == PART_BOX ? 0 : vector ? 1 : c->dim[p->in];
    o->block = (int)block;
    o->group = -1;
    o->part = (int)p->id;
    o->row = row;
    o->quantizable = p->kind == PART_LINEAR || p->kind == PART_EMBED;
    o->name = bind_name(m->arch, p, p->name, block, row, true, e);
    if (!o->name)
        return -1;
    m->n_modules++; /* from here model_release frees it */
    return 0;
}

static int add_place(struct model *m, enum place place, int64_t block, struct err *e)
{
    m->first[block + 1] = m->n_modules;
    for (const struct part *p = m->arch->parts; p->id != P_NONE; p++)
        for (int64_t row = 0; p->place == place && row < part_modules(m->config, p); row++)
            if (add_module(m, p, block, row, e))
                return -1;
    m->first[block + 2] = m->n_modules;
    return 0;
}

static int add_modules(struct model *m, struct err *e)
{
    int64_t n[3] = { 0, 0, 0 };
    for (const struct part *p = m->arch->parts; p->id != P_NONE; p++)
        n[p->place] += part_modules(m->config, p);
    size_t all = (size_t)(n[PLACE_PROLOGUE] + n[PLACE_BLOCK] * m->n_blocks + n[PLACE_EPILOGUE]);
    m->module = mem_array(all, sizeof *m->module, e);
    m->first = mem_array((size_t)m->n_blocks + 3, sizeof *m->first, e);
    if (!m->module || !m->first || add_place(m, PLACE_PROLOGUE, -1, e))
        return -1;
    for (int64_t b = 0; b < m->n_blocks; b++)
        if (add_place(m, PLACE_BLOCK, b, e))
            return -1;
    return add_place(m, PLACE_EPILOGUE, m->n_blocks, e);
}

/* Groups of blocks and epilogue; the prologue has no hooks, so its matrices have no group. */
static void set_groups(struct model *m)
{
    for (int64_t b = 0; b <= m->n_blocks; b++) {
        struct block_plan p;
        block_plan(m->config, b, &p);
        for (int64_t i = m->first[b + 1]; i < m->first[b + 2]; i++)
            for (int g = 0; g < p.n_groups; g++)
                for (int k = 0; k < p.group[g].n; k++)
                    if ((int)p.group[g].part[k] == m->module[i].part)
                        m->module[i].group = g;
    }
}

static int open_parts(const struct json *config, struct model *m, const char *dir, struct err *e)
{
    char *file = mem_printf(e, "%s/config.json", dir);
    int rc = file ? config_read(config, file, &m->config, e) : -1;
    mem_free(file);
    if (rc)
        return -1;
    m->arch = m->config->arch;
    m->vocab = m->config->vocab;
    m->hidden = m->config->hidden;
    m->n_blocks = m->config->layers;
    m->max_positions = m->config->max_positions;
    if (add_modules(m, e) || bind_tensors(m, e))
        return -1;
    set_groups(m);
    return 0;
}

int model_open(const struct json *config, const struct tensor_source *tensors, const char *dir,
               struct model *out, struct err *e)
{
    struct model m = { .tensors = tensors };
    m.name = mem_strdup(dir, e);
    if (!m.name || open_parts(config, &m, dir, e)) {
        model_release(&m);
        return err_while(e, "reading the model in %s", dir);
    }
    *out = m;
    return 0;
}

void model_release(struct model *m)
{
    for (int64_t i = 0; i < m->n_modules; i++) {
        mem_free(m->module[i].name);
        mem_free(m->module[i].tensor);
        mem_free(m->module[i].bias);
    }
    mem_free(m->module);
    mem_free(m->first);
    mem_free(m->name);
    strs_release(&m->unread);
    config_free(m->config);
    memset(m, 0, sizeof *m);
}

const struct module *model_module(const struct model *m, const char *name)
{
    for (int64_t i = 0; i < m->n_modules; i++)
        if (!strcmp(m->module[i].name, name))
            return &m->module[i];
    return NULL;
}

const struct module *model_part(const struct model *m, int64_t block, int part)
{
    for (int64_t i = m->first[block + 1]; i < m->first[block + 2]; i++)
        if (m->module[i].part == part)
            return &m->module[i];
    return NULL;
}

/* FLOPs a token of the matrices and steps of one place. */
static double place_flops(const struct model *m, int64_t block, int64_t length)
{
    const struct config *c = m->config;
    struct block_plan p;
    double sum = 0;
    block_plan(c, block, &p);
    for (int i = 0; i < p.n; i++)
        if (step_kinds[p.step[i]->kind].flops)
            sum += step_kinds[p.step[i]->kind].flops(
                c, block >= 0 && block < c->layers ? &c->layer[block] : NULL, p.step[i], length);
    for (int g = 0; g < p.n_groups; g++)
        for (int k = 0; k < p.group[g].n; k++) {
            const struct module *o = model_part(m, block, (int)p.group[g].part[k]);
            sum += 2.0 * (double)o->out * (double)o->in;
        }
    return sum;
}

double model_forward_flops(const struct model *m, int64_t tokens, int64_t length)
{
    double sum = 0;
    for (int64_t b = -1; b <= m->n_blocks; b++)
        sum += place_flops(m, b, length);
    return sum * (double)tokens;
}

int64_t model_block_bytes(const struct model *m, int64_t block)
{
    int64_t floats = 0;
    for (int64_t i = m->first[block + 1]; i < m->first[block + 2]; i++) {
        const struct module *o = &m->module[i];
        bool by_rows = o->part == P_EMBED || o->part == P_POS;
        floats += by_rows ? 0 : o->out * o->in + (o->bias ? o->out : 0);
    }
    return floats * (int64_t)sizeof(float);
}

int64_t live_floats(const struct config *c, unsigned live)
{
    int64_t sum = 0;
    for (int r = 0; r < REG_COUNT; r++)
        sum += live & 1u << r ? config_width(c, (enum reg)r) : 0;
    return sum;
}

/* Between two groups: at each group's first step, and behind the block. */
int64_t model_live_floats(const struct model *m, int64_t block)
{
    struct block_plan p;
    block_plan(m->config, block, &p);
    int64_t most = live_floats(m->config, p.live[p.n]);
    for (int g = 0; g < p.n_groups; g++) {
        int64_t n = live_floats(m->config, p.live[p.group[g].step]);
        most = n > most ? n : most;
    }
    return most;
}

int64_t model_live_at(const struct model *m, int64_t block, int group)
{
    struct block_plan p;
    block_plan(m->config, block, &p);
    BUG_ON(group >= p.n_groups);
    return live_floats(m->config, p.live[group < 0 ? p.n : p.group[group].step]);
}

int64_t model_scratch_floats(const struct model *m, int64_t length)
{
    const struct config *c = m->config;
    int64_t sum = attn_scratch(c, length);
    for (int r = 0; r < REG_COUNT; r++)
        sum += length * config_width(c, (enum reg)r);
    for (int i = 0; i < c->n_ropes; i++)
        sum += length * c->rope[i].rot + c->rope[i].rot / 2;
    return sum;
}
