/* unit_weights.c - modules as units, and a unit's weights: its stored tensors read back by the container that wrote them, as
 * a user would read them, but from where they wait. */
#include "stages/units.h"

#include "base/json.h"
#include "base/mem.h"
#include "kernels/kernels.h"
#include "stages/rows.h"

#include <stdlib.h>
#include <string.h>

static char *key_of(const struct module_job *m, struct err *e)
{
    return mem_printf(e, "module/%s", m->module->name);
}

bool unit_module_done(const struct job *j, const struct module_job *m)
{
    char *key = j->units ? key_of(m, NULL) : NULL;
    bool done = key && unit_done(j, key);
    mem_free(key);
    return done;
}

int unit_module_begin(struct job *j, const struct module_job *m, struct err *e)
{
    char *key = j->units ? key_of(m, e) : NULL;
    int rc = !j->units ? 0 : key ? unit_begin(j, key, e) : -1;
    mem_free(key);
    return rc;
}

int unit_module_end(struct job *j, const struct module_job *m, struct err *e)
{
    return unit_end(j, &m->result, sizeof m->result, e);
}

int unit_module_take(struct job *j, struct module_job *m, struct err *e)
{
    char *key = key_of(m, e);
    int rc = key ? unit_take(j, key, &m->result, sizeof m->result, e) : -1;
    mem_free(key);
    m->done = !rc;
    return rc;
}

/* -- the tensors of one unit as a source -- */

struct few {
    struct tensor_info *info; /* [n], sorted by name */
    struct tensor_view *view;
    int64_t n;
};

static const struct tensor_info *few_at(void *self, int64_t i) { return &((struct few *)self)->info[i]; }

static int64_t position(const struct few *f, const char *name)
{
    for (int64_t i = 0; i < f->n; i++)
        if (!strcmp(f->info[i].name, name))
            return i;
    return -1;
}

static const struct tensor_info *few_find(void *self, const char *name)
{
    struct few *f = self;
    int64_t i = position(f, name);
    return i < 0 ? NULL : &f->info[i];
}

static int few_view(void *self, const char *name, struct tensor_view *out, struct err *e)
{
    struct few *f = self;
    int64_t i = position(f, name);
    if (i < 0)
        return err_set(e, ERR_INPUT, "the unit has no tensor '%s'", name);
    *out = f->view[i];
    return 0;
}

/* Nothing that was packed is read as it stands: a decoder looks at views. */
static int few_read(void *self, const char *name, int64_t row, int64_t n, float *out, struct err *e)
{
    (void)self, (void)row, (void)n, (void)out;
    return err_set(e, ERR_BUG, "tensor '%s' is read undecoded", name);
}

static void few_close(void *self) { (void)self; }

static void sort(struct few *f)
{
    for (int64_t i = 1; i < f->n; i++)
        for (int64_t k = i; k > 0 && strcmp(f->info[k - 1].name, f->info[k].name) > 0; k--) {
            struct tensor_info t = f->info[k];
            struct tensor_view v = f->view[k];
            f->info[k] = f->info[k - 1];
            f->view[k] = f->view[k - 1];
            f->info[k - 1] = t;
            f->view[k - 1] = v;
        }
}

static int few_init(struct few *f, const struct job *j, int64_t first, int64_t n, struct err *e)
{
    f->info = mem_array((size_t)n + 1, sizeof *f->info, e);
    f->view = mem_array((size_t)n + 1, sizeof *f->view, e);
    if (!f->info || !f->view)
        return -1;
    for (int64_t i = 0; i < n; i++) {
        struct saver_place p;
        saver_place_of(j->saver, first + i, &p);
        if (saver_view(j->saver, first + i, &f->view[i], e))
            return -1;
        f->info[i] = (struct tensor_info){ p.name, p.dtype, p.rank, { 0 } };
        memcpy(f->info[i].dim, p.dim, sizeof p.dim);
    }
    f->n = n;
    sort(f);
    return 0;
}

/* -- the decoder over it -- */

/* What config.json would say if this were the only module. */
static struct json *config_of(const struct job *j, const struct module_job *m, struct err *e)
{
    char all[] = "re:.*", *target[] = { all };
    struct strs targets = { target, 1, 1 }, ignored = { 0 };
    struct buf text = { 0 };
    struct json *empty = json_parse("{}", 2, "unit", e);
    struct packed_group g = { .name = "group_0", .scheme = m->scheme, .targets = &targets };
    struct packed_module p = { m->module->name, m->module->classes[0], g.name };
    struct container_job c = {
        .config = empty, .group = &g, .n_groups = 1, .module = &p, .n_modules = 1, .ignored = &ignored
    };
    struct json *config = NULL;
    if (empty && !j->container->write_config(&c, &text, e))
        config = json_parse(text.p, text.len, "unit", e);
    json_free(empty);
    buf_release(&text);
    return config;
}

struct decoding {
    const struct tensor_source *t;
    const char *name;
    int64_t rows, cols, strip;
    float *w;
    struct err *err; /* [strips] would be many: the first failure of each worker */
    bool *failed;
};

static void decode_strip(void *arg, int64_t i)
{
    struct decoding *d = arg;
    int64_t row = i * d->strip, n = d->rows - row < d->strip ? d->rows - row : d->strip;
    int k = k_worker();
    struct err e = { 0 };
    if (!d->t->read_f32(d->t->self, d->name, row, n, d->w + row * d->cols, &e) || d->failed[k])
        return;
    d->failed[k] = true;
    d->err[k] = e;
}

static int decode(const struct tensor_source *t, const char *name, const struct module *m, float *w,
                  struct err *e)
{
    int width = kernels_threads();
    struct decoding d = { .t = t, .name = name, .rows = m->out, .cols = m->in, .strip = 64, .w = w };
    d.err = mem_array((size_t)width, sizeof *d.err, e);
    d.failed = mem_array((size_t)width, sizeof *d.failed, e);
    int rc = d.err && d.failed ? 0 : -1;
    if (!rc)
        k_parallel((d.rows + d.strip - 1) / d.strip, decode_strip, &d);
    for (int k = 0; !rc && k < width; k++)
        if (d.failed[k]) {
            if (e)
                *e = d.err[k];
            rc = -1;
        }
    mem_free(d.err);
    mem_free(d.failed);
    return rc;
}

static int decode_unit(const struct job *j, const struct module_job *m, const struct few *f, float *w,
                       struct err *e)
{
    struct tensor_source stored = { .self = (void *)(uintptr_t)f,
                                    .count = f->n,
                                    .at = few_at,
                                    .find = few_find,
                                    .read_f32 = few_read,
                                    .view = few_view,
                                    .close = few_close },
                         tensors;
    void *decoder = NULL;
    struct json *config = config_of(j, m, e);
    char *prefix = config ? tensor_prefix(m, e) : NULL;
    char *name = prefix ? mem_printf(e, "%s.weight", prefix) : NULL;
    int rc = -1;
    if (name && !j->container->open(config, "a unit", &stored, &decoder, &tensors, e)) {
        rc = decode(&tensors, name, m->module, w, e);
        j->container->close(decoder);
    }
    mem_free(name);
    mem_free(prefix);
    json_free(config);
    return rc;
}

int unit_weights(const struct job *j, const struct module_job *m, float *w, struct err *e)
{
    struct few f = { 0 };
    int64_t first, n;
    char *key = key_of(m, e);
    BUG_ON(key && !units_span(j, key, &first, &n));
    int rc = key && !few_init(&f, j, first, n, e) ? decode_unit(j, m, &f, w, e) : -1;
    mem_free(f.info);
    mem_free(f.view);
    mem_free(key);
    return rc ? err_while(e, "reading %s again", m->module->name) : 0;
}
