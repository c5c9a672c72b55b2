/* save.c - the save stage: which container holds the schemes (plan), and everything that no modifier wrote: untouched
 * tensors byte for byte, config.json, tokenizer and other small files (run). */
#include "cluster/comm.h"
#include "stages/rows.h"
#include "stages/units.h"

#include "base/file.h"
#include "base/mem.h"
#include "stages/archive.h"
#include "stages/digests.h"

#include <string.h>

/* What the container's readers will do that a user of this dtype has to know. */
static int note_remark(struct job *j, const struct module_job *m, struct err *e)
{
    const char *say = j->container->remark ? j->container->remark(m->scheme, m->dtype) : NULL;
    return say ? job_note(j, e, "config group '%s', %s weights: %s", m->group->name, dtypes[m->dtype].name,
                          say)
               : 0;
}

static int plan(struct job *j, int index, struct err *e)
{
    const struct recipe_stage *rs = &j->recipe->stage[index];
    const char *name = "compressed-tensors";
    j->save = rs->options;
    const struct opt *format = opt_find(rs->spec->options, "format");
    if (format && format->type == OPT_ENUM)
        name = format->words[j->save->format];
    j->container = container_find(name);
    BUG_ON(!j->container);
    if (archive_plan(j, index, e))
        return -1;
    for (int64_t i = 0; i < j->load.model.n_modules; i++) {
        const struct module_job *m = &j->module[i];
        struct err why = { 0 };
        if (m->scheme && j->container->fits(m->scheme, &why))
            return scheme_error(m, &why, e);
        if (m->scheme && note_remark(j, m, e))
            return -1;
    }
    return fused_plan(j, e) || serve_plan(j, e) ? -1 : 0;
}

int save_report_add(struct save_report *r, const char *name, uint64_t bytes, const char *sha256,
                    struct err *e)
{
    if (r->n == r->cap) {
        size_t cap = 2 * r->cap + 8;
        struct side_file *f = mem_resize(r->file, cap * sizeof *f, e);
        if (!f)
            return -1;
        r->file = f;
        r->cap = cap;
    }
    struct side_file *f = &r->file[r->n];
    memset(f, 0, sizeof *f);
    f->name = mem_strdup(name, e);
    if (!f->name)
        return -1;
    f->bytes = bytes;
    memcpy(f->sha256, sha256, 65);
    r->n++;
    return 0;
}

void save_report_release(struct save_report *r)
{
    for (size_t i = 0; i < r->n; i++)
        mem_free(r->file[i].name);
    mem_free(r->file);
    memset(r, 0, sizeof *r);
}

int write_file(const char *dir, const char *name, const struct buf *text, struct save_report *r,
               struct err *e)
{
    char sha[65];
    char *path = path_join(dir, name, e);
    struct out_file *f = path ? file_create(path, e) : NULL;
    int rc = -1;
    if (f) {
        if (file_put(f, text->p, text->len, e))
            file_abandon(f);
        else
            rc = file_finish(f, sha, e);
    }
    mem_free(path);
    return rc ? -1 : save_report_add(r, name, text->len, sha, e);
}

static int copy_side_files(struct job *j, const char *dir, struct save_report *r, struct err *e)
{
    struct strs names = { 0 };
    int rc = checkpoint_side_files(&j->load.checkpoint, &names, e);
    for (size_t i = 0; !rc && i < names.n; i++) {
        struct buf b = { 0 };
        char *from = path_join(j->load.checkpoint.dir, names.v[i], e);
        rc = from ? file_read(from, UINT64_C(1) << 32, &b, e) : -1;
        if (!rc)
            rc = write_file(dir, names.v[i], &b, r, e);
        mem_free(from);
        buf_release(&b);
    }
    strs_release(&names);
    return rc;
}

/* A tensor that smoothing changed, once. */
static int save_smoothed(struct job *j, const char *name, struct err *e)
{
    char *key = mem_printf(e, "tensor/%s", name);
    int rc = key ? 0 : -1;
    if (!rc && unit_done(j, key))
        rc = unit_take(j, key, NULL, 0, e);
    else if (!rc)
        rc = unit_begin(j, key, e) || smooth_save(j, name, e) || unit_end(j, NULL, 0, e) ? -1 : 0;
    mem_free(key);
    return rc;
}

/* Stored tensors that no quantized module replaced, sorted: they stay where they are until shards are written. */
static int copy_tensors(struct job *j, struct err *e)
{
    const struct tensor_source *t = &j->load.checkpoint.stored;
    struct strs taken = { 0 };
    int rc = 0;
    for (int64_t i = 0; !rc && i < j->load.model.n_modules; i++)
        if (j->module[i].scheme)
            rc = strs_add(&taken, j->module[i].module->tensor, e);
    strs_sort(&taken);
    size_t at = 0;
    for (int64_t i = 0; !rc && i < t->count; i++) {
        const struct tensor_info *info = t->at(t->self, i); /* sorted by name, too */
        while (at < taken.n && strcmp(taken.v[at], info->name) < 0)
            at++;
        if (at < taken.n && !strcmp(taken.v[at], info->name))
            continue;
        if (smoothed_changes(j->smooth.tensors, info->name)) {
            rc = i % j->comm->size == j->comm->rank ? save_smoothed(j, info->name, e) : 0;
            continue;
        }
        struct tensor_view v;
        rc = t->view(t->self, info->name, &v, e) || saver_put_borrowed(j->saver, info->name, &v, e) ? -1 : 0;
    }
    strs_release(&taken);
    return rc;
}

/* The groups of all modifiers under names that stay apart, and the modules in each. */
struct listing {
    struct packed_group *group;
    char (*group_name)[24];
    const struct config_group **from;
    size_t n_groups;
    struct packed_module *module;
    size_t n_modules;
    struct strs ignored;
};

static size_t group_index(struct listing *l, const struct config_group *g)
{
    size_t i = 0;
    while (i < l->n_groups && l->from[i] != g)
        i++;
    if (i == l->n_groups) {
        l->from[i] = g;
        snprintf(l->group_name[i], sizeof l->group_name[i], "group_%zu", i);
        l->group[i] =
            (struct packed_group){ .name = l->group_name[i], .scheme = &g->scheme, .targets = &g->targets };
        l->n_groups++;
    }
    return i;
}

/* A module that stays as it is and whose class is quantized elsewhere is listed by name. */
static bool class_is_quantized(const struct job *j, const struct module *m)
{
    for (int64_t i = 0; i < j->load.model.n_modules; i++)
        if (j->module[i].scheme && !strcmp(j->module[i].module->classes[0], m->classes[0]))
            return true;
    return false;
}

static int list_modules(struct job *j, struct listing *l, struct err *e)
{
    size_t n = (size_t)j->load.model.n_modules;
    l->group = mem_array(n, sizeof *l->group, e);
    l->group_name = mem_array(n, sizeof *l->group_name, e);
    l->from = mem_array(n, sizeof *l->from, e);
    l->module = mem_array(n, sizeof *l->module, e);
    if (!l->group || !l->group_name || !l->from || !l->module)
        return -1;
    for (size_t i = 0; i < n; i++) {
        struct module_job *m = &j->module[i];
        if (m->scheme) {
            size_t g = group_index(l, m->group);
            l->module[l->n_modules++] =
                (struct packed_module){ m->module->name, m->module->classes[0], l->group_name[g] };
        } else if (m->module->quantizable && class_is_quantized(j, m->module) &&
                   strs_add(&l->ignored, m->module->name, e))
            return -1;
    }
    strs_sort(&l->ignored);
    return 0;
}

static int write_config(struct job *j, const char *dir, struct save_report *r, struct err *e)
{
    struct listing l = { 0 };
    struct buf text = { 0 };
    int rc = list_modules(j, &l, e);
    if (!rc) {
        struct container_job c = { .config = j->load.checkpoint.config,
                                   .group = l.group,
                                   .n_groups = l.n_groups,
                                   .module = l.module,
                                   .n_modules = l.n_modules,
                                   .ignored = &l.ignored,
                                   .kv_cache = j->kv_cache };
        rc = j->container->write_config(&c, &text, e) || write_file(dir, "config.json", &text, r, e) ? -1 : 0;
    }
    buf_release(&text);
    mem_free(l.group);
    mem_free(l.group_name);
    mem_free(l.from);
    mem_free(l.module);
    strs_release(&l.ignored);
    return rc;
}

int save_run(struct job *j, const char *dir, struct save_report *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    if (copy_tensors(j, e) || units_gather(j, e) || digests_run(j, e))
        goto failed;
    if (j->comm->rank) /* the small files are rank 0's */
        return 0;
    if (write_config(j, dir, out, e))
        goto failed;
    if (!j->save->copy_files || !copy_side_files(j, dir, out, e))
        return 0;
failed:
    save_report_release(out);
    return err_while(e, "saving to %s", j->recipe->output);
}

const struct stage stage_save = { "save", plan };
