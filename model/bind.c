/* bind.c - which tensor of a checkpoint each module reads: names with and without the base prefix, shapes, tied heads, and
 * what is left over. */
#include "model/bind.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/config.h"
#include <stdlib.h>
#include <string.h>

char *bind_name(const struct arch *a, const struct part *p, const char *name, int64_t block, int64_t row,
                bool with_base, struct err *e)
{
    const char *base = with_base ? a->base : "";
    if (*name == '/')
        return mem_strdup(name + 1, e);
    if (p->place != PLACE_BLOCK)
        return mem_printf(e, "%s%s", base, name);
    if (p->kind == PART_HEADNORMS)
        return mem_printf(e, "%s%s.%lld.%s.%lld", base, a->layers, (long long)block, name, (long long)row);
    return mem_printf(e, "%s%s.%lld.%s", base, a->layers, (long long)block, name);
}

static const struct tensor_info *find(const struct model *m, const char *name)
{
    return m->tensors->find(m->tensors->self, name);
}

/* The first spelling that the file has: the family's, without the base prefix, and the module's own name. On failure
 * *out is the first spelling and *info NULL. */
static int find_tensor(const struct model *m, const struct part *p, const struct module *o, const char *tail,
                       char **out, const struct tensor_info **info, struct err *e)
{
    const char *spelling[3] = { p->tensor ? p->tensor : p->name, p->tensor ? p->tensor : p->name, p->name };
    char *first = NULL;
    for (int i = 0; i < 3; i++) {
        char *stem = bind_name(m->arch, p, spelling[i], o->block, o->row, i != 1, e);
        char *name = stem ? mem_printf(e, "%s%s", stem, tail) : NULL;
        mem_free(stem);
        if (!name) {
            mem_free(first);
            return -1;
        }
        *info = find(m, name);
        if (*info) {
            mem_free(first);
            *out = name;
            return 0;
        }
        if (first)
            mem_free(name);
        else
            first = name;
    }
    *out = first;
    return 0;
}

static int check_shape(const struct model *m, const struct tensor_info *t, int rank, const int64_t *dim,
                       struct err *e)
{
    char found[160] = "";
    size_t at = 0;
    bool same = t->rank == rank;
    for (int i = 0; i < t->rank && at < sizeof found; i++) {
        same = same && t->dim[i] == dim[i];
        at += (size_t)snprintf(found + at, sizeof found - at, "%s%lld", i ? ", " : "", (long long)t->dim[i]);
    }
    if (!same && rank == 1)
        return err_set(e, ERR_INPUT, "tensor '%s' of %s: found shape [%s], expected [%lld]", t->name, m->name,
                       found, (long long)dim[0]);
    if (!same)
        return err_set(e, ERR_INPUT, "tensor '%s' of %s: found shape [%s], expected [%lld, %lld]", t->name,
                       m->name, found, (long long)dim[0], (long long)dim[1]);
    if (!dtypes[t->dtype].is_float)
        return err_set(e, ERR_INPUT, "tensor '%s' of %s: found dtype %s, expected a float type", t->name,
                       m->name, dtypes[t->dtype].name);
    return 0;
}

static int missing(const struct model *m, const char *name, struct err *e)
{
    err_set(e, ERR_INPUT, "tensor '%s' is missing from %s, which is of architecture '%s'", name, m->name,
            m->arch->name);
    return err_hint(e, "Are all shards there, and is config.json of the same checkpoint?");
}

static int bind_weight(struct model *m, const struct part *p, struct module *o, struct err *e)
{
    const struct tensor_info *t;
    int64_t dim[2] = { o->out, o->in };
    int rank = p->kind == PART_NORM || p->kind == PART_HEADNORMS ? 1 : 2;
    if (p->kind == PART_CONV1D) {
        dim[0] = o->in;
        dim[1] = o->out;
    }
    if (find_tensor(m, p, o, ".weight", &o->tensor, &t, e))
        return -1;
    return t ? check_shape(m, t, rank, dim, e) : missing(m, o->tensor, e);
}

static int bind_bias(struct model *m, const struct part *p, struct module *o, struct err *e)
{
    const struct tensor_info *t;
    if (!m->config->flag[p->bias])
        return 0;
    if (find_tensor(m, p, o, ".bias", &o->bias, &t, e))
        return -1;
    return t ? check_shape(m, t, 1, &o->out, e) : missing(m, o->bias, e);
}

/* Do two tensors of one shape hold the same values? 1 yes, 0 no, -1 error. */
static int same_values(const struct model *m, const struct module *a, const struct module *b, struct err *e)
{
    enum { ROWS = 64 };
    const struct tensor_source *t = m->tensors;
    float *x = mem_array((size_t)a->in, (size_t)2 * ROWS * sizeof *x, e), *y = x ? x + ROWS * a->in : NULL;
    int same = x ? 1 : -1;
    for (int64_t i = 0; same == 1 && i < a->out; i += ROWS) {
        int64_t n = a->out - i < ROWS ? a->out - i : ROWS;
        if (t->read_f32(t->self, a->tensor, i, n, x, e) || t->read_f32(t->self, b->tensor, i, n, y, e))
            same = -1;
        else if (memcmp(x, y, (size_t)(n * a->in) * sizeof *x))
            same = 0;
    }
    mem_free(x);
    return same;
}

/* The head: its own tensor; or the embedding's, if config.json ties them and the file holds no head that differs. */
static int bind_head(struct model *m, const struct part *p, struct module *o, struct err *e)
{
    const struct module *embed = model_part(m, -1, P_EMBED);
    const struct tensor_info *t;
    int64_t dim[2] = { o->out, o->in };
    if (find_tensor(m, p, o, ".weight", &o->tensor, &t, e))
        return -1;
    if (!t && !m->config->flag[FLAG_TIE]) {
        err_set(e, ERR_INPUT, "tensor '%s' is missing from %s, and tie_word_embeddings is false", o->tensor,
                m->name);
        return err_hint(e, "If the head is the embedding, set \"tie_word_embeddings\": true in config.json.");
    }
    if (t && check_shape(m, t, 2, dim, e))
        return -1;
    int same = t && m->config->flag[FLAG_TIE] ? same_values(m, o, embed, e) : !t;
    if (same < 0)
        return -1;
    if (t && !same && m->config->flag[FLAG_TIE])
        log_say(LOG_WARN,
                "%s: tie_word_embeddings is true, but '%s' differs from '%s': the head is used untied",
                m->name, o->tensor, embed->tensor);
    if (!same)
        return 0;
    char *shared = mem_strdup(embed->tensor, e);
    if (!shared)
        return -1;
    mem_free(o->tensor);
    o->tensor = shared;
    o->tied = true;
    return 0;
}

static const struct part *part_of(const struct model *m, const struct module *o)
{
    return config_part(m->config, (enum part_id)o->part);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Buffers that checkpoints carry and no module needs. */
static bool explained(const struct model *m, const char *name)
{
    static const char *const everywhere[] = { ".rotary_emb.inv_freq", NULL };
    const char *const *lists[] = { everywhere, m->arch->skip };
    for (int l = 0; l < 2; l++)
        for (const char *const *tail = lists[l]; tail && *tail; tail++)
            if (str_ends(name, *tail))
                return true;
    return m->config->flag[FLAG_TIE] &&
           (!strcmp(name, "lm_head.weight") || !strcmp(name, "embed_out.weight"));
}

static int list_unread(struct model *m, struct err *e)
{
    const char **used = mem_array((size_t)m->n_modules * 2, sizeof *used, e);
    size_t n = 0;
    int rc = used ? 0 : -1;
    for (int64_t i = 0; used && i < m->n_modules; i++) {
        if (m->module[i].tensor)
            used[n++] = m->module[i].tensor;
        if (m->module[i].bias)
            used[n++] = m->module[i].bias;
    }
    if (n)
        qsort(used, n, sizeof *used, compare);
    for (int64_t i = 0; !rc && i < m->tensors->count; i++) {
        const struct tensor_info *t = m->tensors->at(m->tensors->self, i);
        if (!bsearch(&t->name, used, n, sizeof *used, compare) && !explained(m, t->name))
            rc = strs_add(&m->unread, t->name, e);
    }
    mem_free(used);
    return rc;
}

int bind_tensors(struct model *m, struct err *e)
{
    for (int64_t i = 0; i < m->n_modules; i++) {
        struct module *o = &m->module[i];
        const struct part *p = part_of(m, o);
        if (p->kind == PART_BOX)
            continue;
        if (p->id == P_HEAD ? bind_head(m, p, o, e) : bind_weight(m, p, o, e))
            return -1;
        if (bind_bias(m, p, o, e))
            return -1;
    }
    return list_unread(m, e);
}
