/* help.c - see help.h. */
#include "help.h"
#include "base/file.h"
#include "base/mem.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char root[] = "../shared/fixtures";
bool fixtures_here(void) { return path_is_dir(root); }

static const struct st_entry *entry(const struct fixture *f, const char *name, const struct st_file **file)
{
    for (int i = 0; i < f->n_files; i++) {
        const struct st_entry *t = st_find(&f->file[i], name);
        if (t && file)
            *file = &f->file[i];
        if (t)
            return t;
    }
    return NULL;
}

static const struct tensor_info *source_at(void *self, int64_t i)
{
    return ((struct fixture *)self)->info[i];
}

static const struct tensor_info *source_find(void *self, const char *name)
{
    const struct fixture *f = self;
    const struct st_entry *t = f->hidden && !strcmp(f->hidden, name) ? NULL : entry(f, name, NULL);
    return t ? &t->info : NULL;
}

static int source_read(void *self, const char *name, int64_t row, int64_t n, float *out, struct err *e)
{
    const struct fixture *f = self;
    const struct st_file *file = NULL;
    const struct st_entry *t = entry(f, name, &file);
    int64_t per = 1;
    if (!t || (f->faulty && !strcmp(f->faulty, name)))
        return err_set(e, ERR_IO, "cannot read tensor '%s'", name);
    for (int i = 1; i < t->info.rank; i++)
        per *= t->info.dim[i];
    if (row < 0 || n < 0 || row + n > t->info.dim[0])
        return err_set(e, ERR_INPUT, "rows of '%s' out of range", name);
    struct tensor_view v = st_view(file, t);
    const char *p = (const char *)v.data + row * per * dtypes[v.dtype].bytes;
    dtype_to_f32(v.dtype, p, n * per, out);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct tensor_info *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int open_shards(struct fixture *f, struct err *e)
{
    struct strs names = { 0 };
    int rc = path_list(f->dir, &names, e);
    for (size_t i = 0; !rc && i < names.n; i++) {
        char path[512];
        if (!str_starts(names.v[i], "model") || !str_ends(names.v[i], ".safetensors") ||
            f->n_files == MAX_FILES)
            continue;
        snprintf(path, sizeof path, "%s/%s", f->dir, names.v[i]);
        rc = st_open(path, &f->file[f->n_files++], e);
    }
    strs_release(&names);
    return rc;
}

int fixture_open(struct fixture *f, const char *name, const char *config, struct err *e)
{
    char path[512];
    int64_t n = 0;
    memset(f, 0, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "%s/%s", root, name);
    snprintf(path, sizeof path, "%s/%s", f->dir, config);
    f->config = json_read(path, JSON_DEFAULT_LIMIT, e);
    if (!f->config || open_shards(f, e))
        return -1;
    snprintf(path, sizeof path, "%s/golden.safetensors", f->dir);
    if (st_open(path, &f->golden, e))
        return -1;
    for (int i = 0; i < f->n_files; i++)
        n += f->file[i].n;
    f->info = malloc((size_t)n * sizeof *f->info);
    if (!f->info)
        abort();
    for (int i = 0; i < f->n_files; i++)
        for (int64_t k = 0; k < f->file[i].n; k++)
            f->info[f->source.count++] = &f->file[i].entry[k].info;
    qsort(f->info, (size_t)n, sizeof *f->info, by_name);
    f->source.self = f;
    f->source.at = source_at;
    f->source.find = source_find;
    f->source.read_f32 = source_read;
    return 0;
}

void fixture_close(struct fixture *f)
{
    for (int i = 0; i < f->n_files; i++)
        st_close(&f->file[i]);
    st_close(&f->golden);
    json_free(f->config);
    free(f->info);
}

struct tensor_view golden(const struct fixture *f, const char *name)
{
    const struct st_entry *t = st_find(&f->golden, name);
    struct tensor_view none = { 0 };
    return t ? st_view(&f->golden, t) : none;
}

void ids_of(const struct fixture *f, struct ids *out)
{
    struct tensor_view v = golden(f, "input_ids");
    const int64_t *p = v.data;
    memset(out, 0, sizeof *out);
    out->id = malloc((size_t)view_elems(&v) * sizeof *out->id);
    if (!out->id || v.dim[0] > 8)
        abort();
    for (int64_t i = 0; i < view_elems(&v); i++)
        out->id[i] = (int32_t)p[i];
    for (int64_t b = 0; b < v.dim[0]; b++) {
        out->seq[b] = out->id + b * v.dim[1];
        out->len[b] = v.dim[1];
    }
    out->chunks = (struct chunks){ out->seq, out->len, v.dim[0] };
}

void ids_release(struct ids *i) { free(i->id); }

float largest_difference(const float *a, const float *b, int64_t n)
{
    float most = 0;
    for (int64_t i = 0; i < n; i++) {
        float d = fabsf(a[i] - b[i]);
        if (!(d <= most))
            most = d; /* NaN too */
    }
    return most;
}

float *walk_logits_with(const struct model *m, const struct chunks *c, uint64_t budget, enum walk_mode mode,
                        const struct walk_hooks *hooks, struct err *e)
{
    struct walk_options o = { budget, "/tmp" };
    struct walker *w = walker_new(m, c, &o, e);
    int64_t rows = 0;
    float *logits = NULL;
    if (!w)
        return NULL;
    for (int64_t b = 0; b <= m->n_blocks; b++)
        if (walker_block(w, b, mode, hooks, e))
            goto done;
    for (int64_t i = 0; i < c->n; i++)
        rows += c->len[i];
    logits = mem_array((size_t)(rows * m->vocab), sizeof *logits, e);
    rows = 0;
    for (int64_t i = 0; logits && i < c->n; i++) {
        if (walker_logits(w, i, logits + rows * m->vocab, e)) {
            mem_free(logits);
            logits = NULL;
        }
        rows += c->len[i];
    }
done:
    walker_free(w);
    return logits;
}

float *walk_logits(const struct model *m, const struct chunks *c, uint64_t budget, struct err *e)
{
    return walk_logits_with(m, c, budget, WALK_TRUE, NULL, e);
}
