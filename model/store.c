/* store.c - parcels in memory or at fixed places of an unlinked file. A parcel stays in memory if it fits into the budget
 * when it is saved; the file has room for the largest parcel of every chunk (holes cost nothing). Where the largest parcels of
 * all chunks fit together, memory that a parcel once had stays its own, so that a walk does not ask for it again and again. */
#include "model/store.h"
#include "base/file.h"
#include "base/mem.h"
#include "kernels/kernels.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct parcel {
    float *p;       /* in memory, or NULL */
    uint64_t room;  /* bytes of p */
    uint64_t bytes; /* saved last */
    uint64_t at;    /* place in the file */
};
struct store {
    struct parcel *parcel;
    int64_t n;
    uint64_t budget, used, spilled;
    bool keep; /* all parcels at their largest fit into the budget */
    char *dir, *path;
    int fd;
};

struct store *store_new(int64_t n, const int64_t *most, uint64_t budget, const char *spill_dir, struct err *e)
{
    struct store *s = mem_alloc(sizeof *s, e);
    uint64_t at = 0;
    if (!s)
        return NULL;
    s->fd = -1;
    s->budget = budget;
    s->parcel = mem_array((size_t)n, sizeof *s->parcel, e);
    s->dir = s->parcel && spill_dir ? mem_strdup(spill_dir, e) : NULL;
    if (!s->parcel || (spill_dir && !s->dir)) {
        store_free(s);
        return NULL;
    }
    s->n = n;
    for (int64_t i = 0; i < n; i++) {
        s->parcel[i].at = at;
        at += (uint64_t)most[i] * sizeof(float);
    }
    s->keep = at <= budget;
    return s;
}

void store_free(struct store *s)
{
    if (!s)
        return;
    for (int64_t i = 0; s->parcel && i < s->n; i++)
        mem_free(s->parcel[i].p);
    if (s->fd >= 0)
        close(s->fd);
    mem_free(s->parcel);
    mem_free(s->path);
    mem_free(s->dir);
    mem_free(s);
}

uint64_t store_spilled(const struct store *s) { return s->spilled; }

static int open_file(struct store *s, struct err *e)
{
    if (s->fd >= 0)
        return 0;
    if (!s->dir)
        return err_set(e, ERR_LIMIT,
                       "activations exceed the budget of %llu bytes, and there is no folder to spill to",
                       (unsigned long long)s->budget);
    s->path = mem_printf(e, "%s/.qpipe-activations-XXXXXX", s->dir);
    if (!s->path)
        return -1;
    s->fd = mkstemp(s->path);
    if (s->fd < 0) {
        err_io(e, "create a file for activations", s->path);
        mem_free(s->path);
        s->path = NULL;
        return -1;
    }
    if (unlink(s->path))
        return err_io(e, "unlink", s->path);
    return 0;
}

/* All n bytes at one place, to or from the file. */
static int transfer(struct store *s, bool out, void *p, uint64_t n, uint64_t at, struct err *e)
{
    char *q = p;
    while (n) {
        size_t part = n < (1u << 30) ? (size_t)n : 1u << 30;
        ssize_t k = out ? pwrite(s->fd, q, part, (off_t)at) : pread(s->fd, q, part, (off_t)at);
        if (k < 0 && errno == EINTR)
            continue;
        if (!k)
            errno = EIO; /* a file that ends early */
        if (k <= 0)
            return err_io(e, out ? "write activations to" : "read activations from", s->path);
        q += k;
        at += (uint64_t)k;
        n -= (uint64_t)k;
    }
    return 0;
}

static uint64_t total(const struct store_piece *piece, int n)
{
    uint64_t sum = 0;
    for (int i = 0; i < n; i++)
        sum += (uint64_t)piece[i].n * sizeof(float);
    return sum;
}

/* Memory for the parcel if it fits into the budget; p->p stays NULL if it does not. */
static int place(struct store *s, struct parcel *p, uint64_t bytes, struct err *e)
{
    if (p->p && (p->room == bytes || (s->keep && p->room > bytes)))
        return 0;
    if (p->p)
        s->used -= p->room;
    mem_free(p->p);
    p->p = NULL;
    if (bytes > s->budget || s->used > s->budget - bytes)
        return 0;
    p->p = mem_alloc((size_t)bytes, e);
    if (!p->p)
        return -1;
    p->room = bytes;
    s->used += bytes;
    return 0;
}

struct copy {
    char *to;
    const char *from;
    uint64_t n;
};
enum { COPY_PIECE = 1 << 18 };
static void copy_piece(void *arg, int64_t i)
{
    const struct copy *c = arg;
    uint64_t at = (uint64_t)i * COPY_PIECE, n = c->n - at < COPY_PIECE ? c->n - at : COPY_PIECE;
    memcpy(c->to + at, c->from + at, (size_t)n);
}
/* One thread alone does not reach the rate of the memory. */
static void copy(void *to, const void *from, uint64_t n)
{
    struct copy c = { to, from, n };
    k_parallel((int64_t)((n + COPY_PIECE - 1) / COPY_PIECE), copy_piece, &c);
}

int store_save(struct store *s, int64_t chunk, const struct store_piece *piece, int n, struct err *e)
{
    struct parcel *p = &s->parcel[chunk];
    uint64_t bytes = total(piece, n), at = 0;
    BUG_ON(chunk < 0 || chunk >= s->n || (chunk + 1 < s->n && bytes > s->parcel[chunk + 1].at - p->at));
    if (place(s, p, bytes, e))
        return -1;
    if (!p->p && open_file(s, e))
        return -1;
    for (int i = 0; i < n; i++) {
        uint64_t len = (uint64_t)piece[i].n * sizeof(float);
        if (p->p)
            copy((char *)p->p + at, piece[i].p, len);
        else if (transfer(s, true, piece[i].p, len, p->at + at, e))
            return -1;
        at += len;
    }
    s->spilled += p->p ? 0 : bytes;
    p->bytes = bytes;
    return 0;
}

int store_load(struct store *s, int64_t chunk, const struct store_piece *piece, int n, struct err *e)
{
    struct parcel *p = &s->parcel[chunk];
    uint64_t at = 0;
    BUG_ON(chunk < 0 || chunk >= s->n || p->bytes != total(piece, n));
    for (int i = 0; i < n; i++) {
        uint64_t len = (uint64_t)piece[i].n * sizeof(float);
        if (p->p)
            copy(piece[i].p, (const char *)p->p + at, len);
        else if (transfer(s, false, piece[i].p, len, p->at + at, e))
            return -1;
        at += len;
    }
    return 0;
}
