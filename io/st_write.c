/* st_write.c - writing one safetensors file: the header of what was declared, then the bytes as they come. The bytes are
 * those that safetensors 0.8's serializer gives for the same tensors: widest dtypes first in its own order of dtypes, then by
 * name, compact JSON, header padded with spaces to a multiple of 8. The file is whole or absent (base/file.h). */
#include "io/safetensors.h"

#include "base/json.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

struct pending {
    struct tensor_info info;
    uint64_t bytes;
};
struct st_writer {
    struct pending *t;
    int64_t n, cap;
    int64_t due;        /* index of the tensor whose bytes are due */
    uint64_t have;      /* bytes of it that came */
    struct out_file *f; /* NULL before begin */
};

/* Place of a dtype in the file: the reference sorts by its enum, downwards (measured with one tensor of each). */
static const int place[DT_COUNT] = {
    [DT_U64] = 0,      [DT_I64] = 1, [DT_F64] = 2, [DT_F32] = 3,   [DT_U32] = 4,      [DT_I32] = 5,
    [DT_BF16] = 6,     [DT_F16] = 7, [DT_U16] = 8, [DT_I16] = 9,   [DT_F8_E8M0] = 10, [DT_F8_E4M3] = 11,
    [DT_F8_E5M2] = 12, [DT_I8] = 13, [DT_U8] = 14, [DT_BOOL] = 15,
};

struct st_writer *st_writer_new(struct err *e) { return mem_alloc(sizeof(struct st_writer), e); }

static void writer_free(struct st_writer *w)
{
    for (int64_t i = 0; i < w->n; i++)
        mem_free((void *)(uintptr_t)w->t[i].info.name);
    mem_free(w->t);
    mem_free(w);
}

void st_writer_abandon(struct st_writer *w)
{
    if (!w)
        return;
    file_abandon(w->f);
    writer_free(w);
}

int st_writer_add(struct st_writer *w, const char *name, enum dtype t, int rank, const int64_t *dim,
                  struct err *e)
{
    BUG_ON(w->f || rank < 0 || rank > RANK_MAX);
    if (w->n == w->cap) {
        int64_t cap = w->cap ? 2 * w->cap : 16;
        struct pending *grown = mem_resize(w->t, (size_t)cap * sizeof *grown, e);
        if (!grown)
            return -1;
        w->t = grown;
        w->cap = cap;
    }
    struct pending *p = &w->t[w->n];
    memset(p, 0, sizeof *p);
    p->info.name = mem_strdup(name, e);
    if (!p->info.name)
        return -1;
    w->n++;
    p->info.dtype = t;
    p->info.rank = rank;
    p->bytes = (uint64_t)dtypes[t].bytes;
    for (int i = 0; i < rank; i++) {
        p->info.dim[i] = dim[i];
        BUG_ON(dim[i] < 0 || __builtin_mul_overflow(p->bytes, (uint64_t)dim[i], &p->bytes));
    }
    return 0;
}

static int by_place(const void *a, const void *b)
{
    const struct tensor_info *x = &((const struct pending *)a)->info, *y = &((const struct pending *)b)->info;
    return place[x->dtype] != place[y->dtype] ? place[x->dtype] - place[y->dtype] : strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct pending *)a)->info.name, ((const struct pending *)b)->info.name);
}

static int refuse_twins(struct st_writer *w, const char *path, struct err *e)
{
    if (w->n > 1)
        qsort(w->t, (size_t)w->n, sizeof *w->t, by_name);
    for (int64_t i = 1; i < w->n; i++)
        if (!by_name(&w->t[i - 1], &w->t[i]))
            return err_set(e, ERR_INPUT, "%s: tensor '%s' is to be written twice", path, w->t[i].info.name);
    return 0;
}

static int quote(struct buf *out, const char *name, struct err *e)
{
    struct jw w;
    jw_init(&w, out, -1);
    jw_str(&w, name);
    return jw_done(&w, e);
}

static int header_of(const struct st_writer *w, struct buf *out, struct err *e)
{
    uint64_t at = 0;
    int rc = buf_str(out, "{\"__metadata__\":{\"format\":\"pt\"}", e);
    for (int64_t i = 0; !rc && i < w->n; i++) {
        const struct pending *p = &w->t[i];
        rc = buf_str(out, ",", e) || quote(out, p->info.name, e) ||
             buf_printf(out, e, ":{\"dtype\":\"%s\",\"shape\":[", dtypes[p->info.dtype].name);
        for (int k = 0; !rc && k < p->info.rank; k++)
            rc = buf_printf(out, e, "%s%lld", k ? "," : "", (long long)p->info.dim[k]);
        rc = rc || buf_printf(out, e, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at,
                              (unsigned long long)(at + p->bytes));
        at += p->bytes;
    }
    rc = rc || buf_str(out, "}", e);
    while (!rc && out->len % 8)
        rc = buf_str(out, " ", e);
    return rc ? -1 : 0;
}

static void skip_done(struct st_writer *w)
{
    while (w->due < w->n && w->have == w->t[w->due].bytes) {
        w->due++;
        w->have = 0;
    }
}

int st_writer_begin(struct st_writer *w, const char *path, struct err *e)
{
    struct buf head = { 0 };
    int rc = -1;
    if (refuse_twins(w, path, e))
        return -1;
    if (w->n > 1)
        qsort(w->t, (size_t)w->n, sizeof *w->t, by_place);
    if (header_of(w, &head, e))
        goto done;
    w->f = file_create(path, e);
    if (!w->f)
        goto done;
    unsigned char lead[8];
    for (int i = 0; i < 8; i++)
        lead[i] = (unsigned char)((uint64_t)head.len >> 8 * i);
    if (file_put(w->f, lead, sizeof lead, e) || file_put(w->f, head.p, head.len, e))
        goto done;
    skip_done(w);
    rc = 0;
done:
    buf_release(&head);
    return rc;
}

const struct tensor_info *st_writer_next(const struct st_writer *w)
{
    return w->f && w->due < w->n ? &w->t[w->due].info : NULL;
}

int st_writer_put(struct st_writer *w, const void *p, uint64_t n, struct err *e)
{
    if (!n)
        return 0;
    BUG_ON(!w->f || w->due >= w->n || n > w->t[w->due].bytes - w->have);
    if (file_put(w->f, p, (size_t)n, e))
        return -1;
    w->have += n;
    skip_done(w);
    return 0;
}

uint64_t st_writer_tell(const struct st_writer *w) { return w->f ? file_tell(w->f) : 0; }

int st_writer_finish(struct st_writer *w, char sha256[65], struct err *e)
{
    BUG_ON(!w->f || w->due < w->n);
    int rc = file_finish(w->f, sha256, e);
    writer_free(w);
    return rc;
}
