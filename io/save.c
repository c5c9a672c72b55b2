/* save.c - tensors on their way out. Each goes at once into a spool file in the output folder (its bytes are
 * final then); when all are there, they are sorted by name in natural order, cut into shards and copied over, and
 * hashed. Until the spool is removed the folder therefore needs room for the model twice; memory holds names only. */
#include "io/save.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "io/safetensors.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct spooled {
    struct saved_tensor t;
    uint64_t at, bytes; /* in the spool */
    int64_t shard;
};
struct saver {
    char *dir, *spool_path;
    uint64_t shard_size;
    struct out_file *spool; /* while tensors come */
    struct mapped map;      /* the same file, afterwards */
    bool open;              /* its last tensor still grows */
    struct spooled *t;
    int64_t n, cap;
    struct saved_tensor *tensor; /* after finish: by name, borrowing the strings of t */
    struct saved_file *file;
    int64_t n_files;
    int64_t *first; /* [n_files + 1]: the tensors of a shard */
};

struct saver *saver_new(const char *dir, uint64_t shard_size, struct err *e)
{
    BUG_ON(!shard_size);
    struct saver *s = mem_alloc(sizeof *s, e);
    if (!s)
        return NULL;
    s->shard_size = shard_size;
    s->dir = mem_strdup(dir, e);
    s->spool_path = s->dir ? path_join(dir, ".spool", e) : NULL;
    s->spool = s->spool_path ? file_scratch(s->spool_path, e) : NULL;
    if (s->spool)
        return s;
    saver_free(s);
    return NULL;
}

void saver_free(struct saver *s)
{
    if (!s)
        return;
    file_abandon(s->spool);
    if (s->map.path)
        unlink(s->map.path);
    file_unmap(&s->map);
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

int saver_open(struct saver *s, const char *name, enum dtype t, int rank, const int64_t *dim, struct err *e)
{
    struct tensor_view v = { NULL, t, rank, { 0 } };
    BUG_ON(!s->spool || s->open); /* put after finish */
    for (int i = 0; i < rank; i++)
        v.dim[i] = dim[i];
    if (grow(s, e))
        return -1;
    struct spooled *p = &s->t[s->n];
    memset(p, 0, sizeof *p);
    p->t.dtype = t;
    p->t.rank = rank;
    memcpy(p->t.dim, v.dim, sizeof p->t.dim);
    p->at = file_tell(s->spool);
    p->bytes = (uint64_t)view_bytes(&v);
    p->t.name = mem_strdup(name, e);
    if (!p->t.name)
        return -1;
    s->n++;
    s->open = true;
    return 0;
}

int saver_append(struct saver *s, const void *p, uint64_t n, struct err *e)
{
    const struct spooled *t = &s->t[s->n - 1];
    BUG_ON(!s->open || n > t->at + t->bytes - file_tell(s->spool));
    return n && file_put(s->spool, p, (size_t)n, e) ? err_while(e, "saving tensor %s", t->t.name) : 0;
}

int saver_close(struct saver *s, struct err *e)
{
    const struct spooled *t = &s->t[s->n - 1];
    (void)e;
    BUG_ON(!s->open || file_tell(s->spool) != t->at + t->bytes);
    s->open = false;
    return 0;
}

int saver_put_view(struct saver *s, const char *name, const struct tensor_view *v, struct err *e)
{
    if (saver_open(s, name, v->dtype, v->rank, v->dim, e))
        return -1;
    return saver_append(s, v->data, (uint64_t)view_bytes(v), e) || saver_close(s, e) ? -1 : 0;
}

/* -- order and shards -- */

static size_t digits(const char *p)
{
    size_t n = 0;
    while (p[n] >= '0' && p[n] <= '9')
        n++;
    return n;
}

/* Runs of digits compare as numbers, everything else by bytes; names that are equal so (01, 1) by bytes at last. */
static int natural(const char *a, const char *b)
{
    const char *x = a, *y = b;
    while (*x && *y) {
        size_t n = digits(x), m = digits(y);
        if (!n || !m) {
            if (*x != *y)
                return (unsigned char)*x < (unsigned char)*y ? -1 : 1;
            x++, y++;
            continue;
        }
        for (; n > 1 && *x == '0'; n--)
            x++;
        for (; m > 1 && *y == '0'; m--)
            y++;
        int c = n != m ? (n < m ? -1 : 1) : memcmp(x, y, n);
        if (c)
            return c;
        x += n, y += m;
    }
    return *x || *y ? (*x ? 1 : -1) : strcmp(a, b);
}

static int by_natural(const void *a, const void *b)
{
    return natural(((const struct spooled *)a)->t.name, ((const struct spooled *)b)->t.name);
}

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
        if (st_writer_put(w, s->map.p + p->at, p->bytes, e))
            return -1;
        file_drop(s->map.p + p->at, p->bytes);
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
        t->file = out->name;
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
        while (from < s->n && s->t[from].shard == k)
            from++;
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

static int close_spool(struct saver *s, struct err *e)
{
    struct out_file *f = s->spool;
    s->spool = NULL;
    if (file_finish(f, NULL, e))
        return -1;
    if (file_map(s->spool_path, &s->map, e)) {
        unlink(s->spool_path);
        return -1;
    }
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
    if (close_spool(s, e))
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
    *n_tasks = n_shards + s->n;
    return 0;
}

/* Shards come first: they take longest, and wait for a disk at their end. */
int saver_task(struct saver *s, int64_t i, struct err *e)
{
    if (i < s->n_files)
        return write_shard(s, s->first[i], s->first[i + 1], &s->file[i], e);
    struct spooled *p = &s->t[i - s->n_files];
    int rc = hash_bytes(s->map.p + p->at, (size_t)p->bytes, p->t.sha256, e);
    file_drop(s->map.p + p->at, p->bytes);
    return rc;
}

int saver_publish(struct saver *s, struct err *e)
{
    list_tensors(s);
    if (s->n_files > 1 && write_index(s, e))
        return -1;
    if (unlink(s->spool_path))
        return err_io(e, "remove", s->spool_path);
    file_unmap(&s->map);
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
