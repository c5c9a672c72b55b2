/* save.c - tensors on their way out. Each goes at once into a spool file (its bytes are final then, and hashed as they pass),
 * or stays where it lies; when all are there, they are sorted by name in natural order, cut into shards and copied over.
 * Until the spool is removed the disk therefore needs room for what was changed twice; memory holds names only. */
#include "io/save.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "io/name_order.h"
#include "io/safetensors.h"
#include "io/spool.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct spooled {
    struct saved_tensor t;
    int file;                   /* of the spools; -1: borrowed */
    uint64_t at, bytes;         /* in the file */
    const unsigned char *where; /* borrowed; or, after saver_end */
    int64_t shard;
};
struct saver {
    char *dir, *spool_path;
    bool keep; /* the spool stays */
    uint64_t shard_size;
    struct out_file *spool; /* while tensors come; the spools' file 0 */
    struct spools *files;
    struct hash *hash; /* of the tensor that is open */
    bool open;         /* the last tensor still grows */
    struct spooled *t;
    int64_t n, cap;
    struct saved_tensor *tensor; /* after finish: by name, borrowing the strings of t */
    struct saved_file *file;
    int64_t n_files;
    int64_t *first; /* [n_files + 1]: the tensors of a shard */
};

static struct saver *new_saver(const char *dir, const char *spool, bool keep, uint64_t shard_size,
                               struct err *e)
{
    BUG_ON(!shard_size);
    struct saver *s = spool ? mem_alloc(sizeof *s, e) : NULL;
    if (!s)
        return NULL;
    s->keep = keep;
    s->shard_size = shard_size;
    s->dir = mem_strdup(dir, e);
    s->spool_path = s->dir ? mem_strdup(spool, e) : NULL;
    s->files = s->spool_path ? spools_new(e) : NULL;
    if (s->files && spools_add(s->files, spool, e) == 0)
        s->spool = file_scratch(spool, e);
    if (s->spool)
        return s;
    s->keep = true; /* nothing was made */
    saver_free(s);
    return NULL;
}

struct saver *saver_new(const char *dir, uint64_t shard_size, struct err *e)
{
    char *spool = path_join(dir, ".spool", e);
    struct saver *s = new_saver(dir, spool, false, shard_size, e);
    mem_free(spool);
    return s;
}

struct saver *saver_new_in(const char *dir, const char *spool, uint64_t shard_size, struct err *e)
{
    return new_saver(dir, spool, true, shard_size, e);
}

void saver_free(struct saver *s)
{
    if (!s)
        return;
    file_keep(s->spool, NULL);
    if (!s->keep)
        unlink(s->spool_path);
    spools_free(s->files);
    hash_free(s->hash);
    for (int64_t i = 0; i < s->n; i++)
        mem_free(s->t[i].t.name);
    for (int64_t i = 0; i < s->n_files; i++)
        mem_free(s->file[i].name);
    mem_free(s->t);
    mem_free(s->tensor);
    mem_free(s->file);
    mem_free(s->first);
    mem_free(s->spool_path);
    mem_free(s->dir);
    mem_free(s);
}

static int by_natural(const void *a, const void *b)
{
    return name_order(((const struct spooled *)a)->t.name, ((const struct spooled *)b)->t.name);
}

static int grow(struct saver *s, struct err *e)
{
    if (s->n < s->cap)
        return 0;
    int64_t cap = s->cap ? 2 * s->cap : 64;
    struct spooled *t = mem_resize(s->t, (size_t)cap * sizeof *t, e);
    if (!t)
        return -1;
    s->t = t;
    s->cap = cap;
    return 0;
}

int saver_put(struct saver *s, const char *name, enum dtype t, int rank, const int64_t *dim, const void *data,
              struct err *e)
{
    struct tensor_view v = { data, t, rank, { 0 } };
    BUG_ON(rank < 0 || rank > RANK_MAX);
    for (int i = 0; i < rank; i++)
        v.dim[i] = dim[i];
    return saver_put_view(s, name, &v, e);
}

/* A row for one more tensor; NULL with e set. */
static struct spooled *add(struct saver *s, const char *name, const struct tensor_view *v, struct err *e)
{
    BUG_ON(!s->spool || s->open); /* put after finish */
    if (grow(s, e))
        return NULL;
    struct spooled *p = &s->t[s->n];
    memset(p, 0, sizeof *p);
    p->t.dtype = v->dtype;
    p->t.rank = v->rank;
    memcpy(p->t.dim, v->dim, sizeof p->t.dim);
    p->bytes = (uint64_t)view_bytes(v);
    p->t.name = mem_strdup(name, e);
    if (!p->t.name)
        return NULL;
    s->n++;
    return p;
}

int saver_open(struct saver *s, const char *name, enum dtype t, int rank, const int64_t *dim, struct err *e)
{
    struct tensor_view v = { NULL, t, rank, { 0 } };
    for (int i = 0; i < rank; i++)
        v.dim[i] = dim[i];
    struct hash *h = hash_new(e);
    struct spooled *p = h ? add(s, name, &v, e) : NULL;
    if (!p) {
        hash_free(h);
        return -1;
    }
    p->at = file_tell(s->spool);
    s->hash = h;
    s->open = true;
    return 0;
}

int saver_append(struct saver *s, const void *p, uint64_t n, struct err *e)
{
    const struct spooled *t = &s->t[s->n - 1];
    BUG_ON(!s->open || n > t->at + t->bytes - file_tell(s->spool));
    return n && (hash_add(s->hash, p, (size_t)n, e) || file_put(s->spool, p, (size_t)n, e))
               ? err_while(e, "saving tensor %s", t->t.name)
               : 0;
}

int saver_close(struct saver *s, struct err *e)
{
    struct spooled *t = &s->t[s->n - 1];
    BUG_ON(!s->open || file_tell(s->spool) != t->at + t->bytes);
    struct hash *h = s->hash;
    s->hash = NULL;
    s->open = false;
    return hash_hex(h, t->t.sha256, e);
}

int saver_put_view(struct saver *s, const char *name, const struct tensor_view *v, struct err *e)
{
    if (saver_open(s, name, v->dtype, v->rank, v->dim, e))
        return -1;
    return saver_append(s, v->data, (uint64_t)view_bytes(v), e) || saver_close(s, e) ? -1 : 0;
}

int saver_put_borrowed(struct saver *s, const char *name, const struct tensor_view *v, struct err *e)
{
    struct spooled *p = add(s, name, v, e);
    if (!p)
        return -1;
    p->file = -1;
    p->where = v->data;
    return 0;
}

void saver_digest(struct saver *s, const char *name, const char sha256[65])
{
    struct spooled key = { .t.name = (char *)(uintptr_t)name };
    BUG_ON(!s->tensor); /* before saver_end they have no order */
    struct spooled *p = s->n ? bsearch(&key, s->t, (size_t)s->n, sizeof *s->t, by_natural) : NULL;
    if (p && p->file < 0)
        memcpy(p->t.sha256, sha256, sizeof p->t.sha256);
}

static int check_adopted(struct saver *s, const struct saver_place *p, int file, struct err *e)
{
    const unsigned char *data;
    char sha[65];
    if (spools_view(s->files, file, p->at, p->bytes, &data, e) || hash_bytes(data, (size_t)p->bytes, sha, e))
        return -1;
    file_drop(data, p->bytes);
    return strcmp(sha, p->sha256)
               ? err_set(e, ERR_INPUT, "%s: the bytes of tensor '%s' are not those that were written",
                         p->spool, p->name)
               : 0;
}

int saver_adopt(struct saver *s, const struct saver_place *p, struct err *e)
{
    struct tensor_view v = { NULL, p->dtype, p->rank, { 0 } };
    BUG_ON(p->rank < 0 || p->rank > RANK_MAX);
    memcpy(v.dim, p->dim, sizeof v.dim);
    if ((uint64_t)view_bytes(&v) != p->bytes)
        return err_set(e, ERR_INPUT, "%s: tensor '%s' has %llu bytes, which is not its shape", p->spool,
                       p->name, (unsigned long long)p->bytes);
    int file = spools_add(s->files, p->spool, e);
    if (file < 0 || check_adopted(s, p, file, e))
        return -1;
    struct spooled *t = add(s, p->name, &v, e);
    if (!t)
        return -1;
    t->file = file;
    t->at = p->at;
    memcpy(t->t.sha256, p->sha256, sizeof t->t.sha256);
    return 0;
}

int64_t saver_count(const struct saver *s) { return s->n; }

void saver_place_of(const struct saver *s, int64_t i, struct saver_place *out)
{
    const struct spooled *t = &s->t[i];
    *out = (struct saver_place){ .name = t->t.name,
                                 .spool = t->file < 0 ? NULL : spools_path(s->files, t->file),
                                 .dtype = t->t.dtype,
                                 .rank = t->t.rank,
                                 .at = t->at,
                                 .bytes = t->bytes };
    memcpy(out->dim, t->t.dim, sizeof out->dim);
    memcpy(out->sha256, t->t.sha256, sizeof out->sha256);
}

static int find_bytes(const struct saver *s, const struct spooled *t, const unsigned char **out,
                      struct err *e)
{
    *out = t->where;
    return t->file < 0 ? 0 : spools_view(s->files, t->file, t->at, t->bytes, out, e);
}

int saver_view(const struct saver *s, int64_t i, struct tensor_view *out, struct err *e)
{
    const struct spooled *t = &s->t[i];
    const unsigned char *data;
    if (find_bytes(s, t, &data, e))
        return err_while(e, "reading tensor %s again", t->t.name);
    *out = (struct tensor_view){ data, t->t.dtype, t->t.rank, { 0 } };
    memcpy(out->dim, t->t.dim, sizeof out->dim);
    return 0;
}

int saver_sync(struct saver *s, struct err *e) { return s->spool ? file_sync(s->spool, e) : 0; }

/* -- order and shards -- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct saved_tensor *)a)->name, ((const struct saved_tensor *)b)->name);
}

/* A shard is closed when the next tensor would carry it over the limit; a tensor above the limit is alone in its own. */
static int64_t cut_shards(struct saver *s)
{
    int64_t shard = 0;
    uint64_t have = 0;
    for (int64_t i = 0; i < s->n; i++) {
        uint64_t b = s->t[i].bytes;
        if (i && have && (have >= s->shard_size || b > s->shard_size - have)) {
            shard++;
            have = 0;
        }
        s->t[i].shard = shard;
        have += b;
    }
    return s->n ? shard + 1 : 1;
}

/* -- writing -- */

static int copy_tensors(const struct saver *s, struct st_writer *w, int64_t from, int64_t to, struct err *e)
{
    for (const struct tensor_info *due; (due = st_writer_next(w));) {
        struct spooled key = { .t.name = (char *)(uintptr_t)due->name };
        const struct spooled *p = bsearch(&key, s->t + from, (size_t)(to - from), sizeof *s->t, by_natural);
        BUG_ON(!p);
        if (st_writer_put(w, p->where, p->bytes, e))
            return -1;
        file_drop(p->where, p->bytes);
    }
    return 0;
}

/* Tensors [from, to) as one file; its row of the file list is filled. */
static int write_shard(struct saver *s, int64_t from, int64_t to, struct saved_file *out, struct err *e)
{
    char *path = path_join(s->dir, out->name, e);
    struct st_writer *w = path ? st_writer_new(e) : NULL;
    int rc = w ? 0 : -1;
    for (int64_t i = from; !rc && i < to; i++) {
        struct saved_tensor *t = &s->t[i].t;
        rc = st_writer_add(w, t->name, t->dtype, t->rank, t->dim, e);
    }
    rc = rc || st_writer_begin(w, path, e) || copy_tensors(s, w, from, to, e);
    if (!rc) {
        out->bytes = st_writer_tell(w);
        rc = st_writer_finish(w, out->sha256, e);
    } else
        st_writer_abandon(w);
    mem_free(path);
    return rc ? -1 : 0;
}

static int name_shards(struct saver *s, int64_t n_shards, struct err *e)
{
    int64_t from = 0;
    for (int64_t k = 0; k < n_shards; k++) {
        s->file[k].name = n_shards == 1 ? mem_strdup("model.safetensors", e)
                                        : mem_printf(e, "model-%05lld-of-%05lld.safetensors",
                                                     (long long)k + 1, (long long)n_shards);
        if (!s->file[k].name)
            return -1;
        s->n_files = k + 1;
        s->first[k] = from;
        for (; from < s->n && s->t[from].shard == k; from++)
            s->t[from].t.file = s->file[k].name;
    }
    s->first[n_shards] = from;
    return 0;
}

static int index_text(const struct saver *s, struct buf *out, struct err *e)
{
    struct jw w;
    uint64_t total = 0;
    for (int64_t i = 0; i < s->n; i++)
        total += s->t[i].bytes;
    jw_init(&w, out, 2);
    jw_object(&w);
    jw_key(&w, "metadata");
    jw_object(&w);
    jw_kint(&w, "total_size", (int64_t)total);
    jw_end_object(&w);
    jw_key(&w, "weight_map");
    jw_object(&w);
    for (int64_t i = 0; i < s->n; i++)
        jw_kstr(&w, s->tensor[i].name, s->tensor[i].file);
    jw_end_object(&w);
    jw_end_object(&w);
    return jw_done(&w, e);
}

static int write_index(struct saver *s, struct err *e)
{
    static const char name[] = "model.safetensors.index.json";
    struct buf text = { 0 };
    struct out_file *f = NULL;
    struct saved_file *row = &s->file[s->n_files];
    int rc = -1;
    char *path = path_join(s->dir, name, e);
    if (!path || index_text(s, &text, e) || !(f = file_create(path, e)))
        goto done;
    if (file_put(f, text.p, text.len, e)) {
        file_abandon(f);
        goto done;
    }
    row->bytes = text.len;
    row->name = mem_strdup(name, e);
    if (!row->name) {
        file_abandon(f);
        goto done;
    }
    s->n_files++;
    rc = file_finish(f, row->sha256, e);
done:
    mem_free(path);
    buf_release(&text);
    return rc;
}

/* The spool is closed, and every tensor's bytes have an address. */
static int find_all(struct saver *s, struct err *e)
{
    struct out_file *f = s->spool;
    s->spool = NULL;
    if (file_keep(f, e))
        return -1;
    for (int64_t i = 0; i < s->n; i++)
        if (find_bytes(s, &s->t[i], &s->t[i].where, e))
            return -1;
    return 0;
}

static int refuse_twins(const struct saver *s, struct err *e)
{
    for (int64_t i = 1; i < s->n; i++)
        if (!strcmp(s->t[i - 1].t.name, s->t[i].t.name))
            return err_set(e, ERR_INPUT, "tensor '%s' was saved twice", s->t[i].t.name);
    return 0;
}

static void list_tensors(struct saver *s)
{
    for (int64_t i = 0; i < s->n; i++)
        s->tensor[i] = s->t[i].t;
    qsort(s->tensor, (size_t)s->n, sizeof *s->tensor, by_name);
}

int saver_end(struct saver *s, int64_t *n_tasks, struct err *e)
{
    BUG_ON(s->open);
    if (find_all(s, e))
        return -1;
    if (s->n > 1)
        qsort(s->t, (size_t)s->n, sizeof *s->t, by_natural);
    if (refuse_twins(s, e))
        return -1;
    int64_t n_shards = cut_shards(s);
    s->file = mem_array((size_t)n_shards + 1, sizeof *s->file, e);
    s->first = mem_array((size_t)n_shards + 1, sizeof *s->first, e);
    s->tensor = mem_array(s->n ? (size_t)s->n : 1, sizeof *s->tensor, e);
    if (!s->file || !s->first || !s->tensor || name_shards(s, n_shards, e))
        return -1;
    *n_tasks = n_shards;
    return 0;
}

int saver_task(struct saver *s, int64_t i, struct err *e)
{
    return write_shard(s, s->first[i], s->first[i + 1], &s->file[i], e);
}

void saver_shard(struct saver *s, int64_t i, uint64_t bytes, const char sha256[65])
{
    BUG_ON(i < 0 || i >= s->n_files);
    s->file[i].bytes = bytes;
    memcpy(s->file[i].sha256, sha256, sizeof s->file[i].sha256);
}

int saver_publish(struct saver *s, struct err *e)
{
    list_tensors(s);
    if (s->n_files > 1 && write_index(s, e))
        return -1;
    if (!s->keep && unlink(s->spool_path))
        return err_io(e, "remove", s->spool_path);
    s->keep = true;
    return 0;
}

int saver_finish(struct saver *s, struct err *e)
{
    int64_t n = 0;
    if (saver_end(s, &n, e))
        return -1;
    for (int64_t i = 0; i < n; i++)
        if (saver_task(s, i, e))
            return -1;
    for (int64_t i = 0; i < s->n; i++)
        if (s->t[i].file < 0 && hash_bytes(s->t[i].where, (size_t)s->t[i].bytes, s->t[i].t.sha256, e))
            return -1;
    return saver_publish(s, e);
}

const struct saved_tensor *saver_tensors(const struct saver *s, int64_t *n)
{
    *n = s->tensor ? s->n : 0;
    return s->tensor;
}

const struct saved_file *saver_files(const struct saver *s, int64_t *n)
{
    *n = s->n_files;
    return s->file;
}
