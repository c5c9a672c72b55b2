/* digests.c - the end of a save as tasks that threads share: shards are written, and SHA-256 taken of what went in and of
 * what came out. Each digest is of one file or tensor, so who took it never shows. */
#include "stages/digests.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "kernels/kernels.h"
#include "stages/ranks.h"
#include "stages/units.h"

#include <string.h>

struct task {
    enum { SAVE, FILE_IN, TENSOR_IN } kind;
    int64_t i;
};
struct tasks {
    struct job *j;
    struct task *task;
    int64_t n;
    struct strs read; /* tensors that modules read and that stay as they are, sorted */
    struct err *err;  /* [kernels_threads()]: of the first task that failed there */
    int64_t *failed;  /* the same: which task, or n */
    struct outcome {  /* [n]: what other ranks hear of a task */
        uint64_t bytes;
        char sha256[HASH_HEX];
    } * outcome;
};

static int digest_file(const struct job *j, struct input_file *f, struct err *e)
{
    char *path = path_join(j->load.checkpoint.dir, f->name, e);
    int rc = path ? hash_file(path, f->sha256, e) : -1;
    mem_free(path);
    return rc;
}

/* A tensor that the model computes with must be finite; masks and the like may hold infinities. What was quantized or
 * smoothed was looked at then. */
static int refuse_not_finite(const struct job *j, const struct tensor_view *v, const char *name,
                             struct err *e)
{
    enum { PIECE = 1 << 16 };
    float *x = mem_array(PIECE, sizeof(float), e);
    int rc = x ? 0 : -1;
    for (int64_t at = 0, n = view_elems(v); !rc && at < n; at += PIECE) {
        int64_t part = n - at < PIECE ? n - at : PIECE;
        dtype_to_f32(v->dtype, (const char *)v->data + at * dtypes[v->dtype].bytes, part, x);
        if (!k_all_finite(part, x))
            rc = err_set(e, ERR_INPUT, "%s: tensor '%s' holds a value that is not finite, near element %lld",
                         j->recipe->model, name, (long long)at);
    }
    mem_free(x);
    return rc;
}

static int digest_tensor(const struct tasks *all, int64_t i, struct err *e)
{
    struct job *j = all->j;
    const struct tensor_source *t = &j->load.checkpoint.stored;
    const char *name = t->at(t->self, i)->name;
    struct tensor_view v;
    if (t->view(t->self, name, &v, e) ||
        (dtypes[v.dtype].is_float && strs_has_sorted(&all->read, name) && refuse_not_finite(j, &v, name, e)))
        return -1;
    int rc = hash_bytes(v.data, (size_t)view_bytes(&v), j->inputs.tensor[i].sha256, e);
    rc = rc || unit_check_source(j, i, &v, e) ? -1 : 0;
    file_drop(v.data, (uint64_t)view_bytes(&v));
    return rc;
}

/* What a task has found: its place. bytes: NULL unless it is a shard. */
static char *place_of(const struct tasks *all, const struct task *t, uint64_t *bytes)
{
    struct job *j = all->j;
    int64_t n;
    if (t->kind == FILE_IN)
        return j->inputs.file[t->i].sha256;
    if (t->kind == TENSOR_IN)
        return j->inputs.tensor[t->i].sha256;
    const struct saved_file *f = &saver_files(j->saver, &n)[t->i];
    *bytes = f->bytes;
    return (char *)(uintptr_t)f->sha256;
}

/* Task i was done by rank i % size; afterwards every rank knows what all have found. */
static int share_tasks(struct tasks *all, struct err *e)
{
    const struct comm *c = all->j->comm;
    if (c->size == 1)
        return 0;
    for (int64_t i = c->rank; i < all->n; i += c->size)
        memcpy(all->outcome[i].sha256, place_of(all, &all->task[i], &all->outcome[i].bytes), HASH_HEX);
    if (ranks_share_around(c, all->outcome, sizeof *all->outcome, all->n, e))
        return -1;
    for (int64_t i = 0; i < all->n; i++) {
        const struct outcome *o = &all->outcome[i];
        uint64_t bytes;
        if (all->task[i].kind == SAVE)
            saver_shard(all->j->saver, all->task[i].i, o->bytes, o->sha256);
        else
            memcpy(place_of(all, &all->task[i], &bytes), o->sha256, HASH_HEX);
    }
    return 0;
}

static int do_task(const struct tasks *all, const struct task *t, struct err *e)
{
    struct job *j = all->j;
    if (check_interrupt(e))
        return -1;
    switch (t->kind) {
    case SAVE: return saver_task(j->saver, t->i, e);
    case FILE_IN: return digest_file(j, &j->inputs.file[t->i], e);
    case TENSOR_IN: return digest_tensor(all, t->i, e);
    }
    return -1;
}

static void run_task(void *arg, int64_t i)
{
    struct tasks *all = arg;
    struct err e = { 0 };
    int w = k_worker();
    if (i % all->j->comm->size != all->j->comm->rank || !do_task(all, &all->task[i], &e) ||
        all->failed[w] <= i)
        return;
    all->failed[w] = i;
    all->err[w] = e;
}

/* Files that a manifest lists: config.json, the small ones, the shards. */
static int list_inputs(struct job *j, struct err *e)
{
    const struct checkpoint *c = &j->load.checkpoint;
    struct input_digests *d = &j->inputs;
    struct strs names = { 0 };
    int rc = checkpoint_side_files(c, &names, e) || strs_add(&names, "config.json", e) ? -1 : 0;
    for (size_t i = 0; !rc && i < c->shards.n; i++)
        rc = strs_add(&names, c->shards.v[i], e);
    strs_sort(&names);
    d->file = rc ? NULL : mem_array(names.n, sizeof *d->file, e);
    d->tensor = d->file ? mem_array((size_t)c->stored.count + 1, sizeof *d->tensor, e) : NULL;
    for (size_t i = 0; d->tensor && i < names.n; i++) {
        d->file[d->n_files++].name = names.v[i];
        names.v[i] = NULL;
    }
    names.n = d->tensor ? 0 : names.n;
    strs_release(&names);
    return d->tensor ? 0 : -1;
}

static int list_read(const struct job *j, struct strs *out, struct err *e)
{
    const struct model *m = &j->load.model;
    for (int64_t i = 0; i < m->n_modules; i++) {
        const struct module *o = &m->module[i];
        bool kept = !j->module[i].scheme && !smoothed_changes(j->smooth.tensors, o->tensor ? o->tensor : "");
        if ((kept && o->tensor && strs_add(out, o->tensor, e)) || (o->bias && strs_add(out, o->bias, e)))
            return -1;
    }
    strs_sort(out);
    return 0;
}

/* What was taken as it is has the digest that its source has. */
static void pass_digests(struct job *j)
{
    const struct tensor_source *t = &j->load.checkpoint.stored;
    for (int64_t i = 0; i < t->count; i++)
        saver_digest(j->saver, t->at(t->self, i)->name, j->inputs.tensor[i].sha256);
}

/* What takes longest first: shards, whose end waits for the disk, and files of the input; then tensors. */
static int64_t list_tasks(const struct job *j, struct task *t)
{
    int64_t n = 0, shards = 0, tensors = j->load.checkpoint.stored.count;
    (void)saver_files(j->saver, &shards); /* each a task of the saver */
    for (int64_t i = 0; i < shards; i++)
        t[n++] = (struct task){ SAVE, i };
    for (int64_t i = 0; i < j->inputs.n_files; i++)
        t[n++] = (struct task){ FILE_IN, i };
    for (int64_t i = 0; i < tensors; i++)
        t[n++] = (struct task){ TENSOR_IN, i };
    return n;
}

static int first_failure(const struct tasks *all, int width, struct err *e)
{
    int first = 0;
    for (int w = 1; w < width; w++)
        if (all->failed[w] < all->failed[first])
            first = w;
    if (all->failed[first] == all->n)
        return 0;
    if (e)
        *e = all->err[first];
    return -1;
}

int digests_run(struct job *j, struct err *e)
{
    int64_t n_save = 0;
    int width = kernels_threads();
    if (list_inputs(j, e) || saver_end(j->saver, &n_save, e))
        return -1;
    struct tasks all = { .j = j };
    size_t most = (size_t)(n_save + j->inputs.n_files + j->load.checkpoint.stored.count);
    all.task = mem_array(most, sizeof *all.task, e);
    all.err = mem_array((size_t)width, sizeof *all.err, e);
    all.failed = mem_array((size_t)width, sizeof *all.failed, e);
    all.outcome = mem_array(most, sizeof *all.outcome, e);
    int rc = all.outcome && all.task && all.err && all.failed ? list_read(j, &all.read, e) : -1;
    if (!rc) {
        all.n = list_tasks(j, all.task);
        for (int w = 0; w < width; w++)
            all.failed[w] = all.n;
        k_parallel(all.n, run_task, &all);
        rc = first_failure(&all, width, e) || share_tasks(&all, e) ? -1 : 0;
        if (!rc)
            pass_digests(j);
        rc = rc || (!j->comm->rank && saver_publish(j->saver, e)) ? -1 : 0;
    }
    strs_release(&all.read);
    mem_free(all.task);
    mem_free(all.err);
    mem_free(all.failed);
    mem_free(all.outcome);
    return rc;
}

void digests_release(struct input_digests *d)
{
    for (int64_t i = 0; i < d->n_files; i++)
        mem_free(d->file[i].name);
    mem_free(d->file);
    mem_free(d->tensor);
    memset(d, 0, sizeof *d);
}
