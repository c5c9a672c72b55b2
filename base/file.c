/* file.c - files read whole, mapped, and written with every error reported. What appears under a name as a whole folder
 * is dir.c. */
#include "base/file.h"

#include "base/file_ops.h"
#include "base/hash.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static _Atomic uint64_t op_count, op_fail;
static _Atomic int op_env;

uint64_t file_fail_at(uint64_t n)
{
    atomic_store(&op_env, 1);
    uint64_t seen = atomic_exchange(&op_count, 0);
    atomic_store(&op_fail, n);
    return seen;
}

int file_op_refused(void)
{
    if (!atomic_exchange(&op_env, 1)) {
        const char *s = getenv("QPIPE_FAIL_IO");
        uint64_t n = 0;
        for (; s && *s >= '0' && *s <= '9'; s++)
            n = n * 10 + (uint64_t)(*s - '0');
        atomic_store(&op_fail, n);
    }
    uint64_t mine = atomic_fetch_add(&op_count, 1) + 1;
    if (mine != atomic_load(&op_fail))
        return 0;
    errno = ENOSPC;
    return 1;
}

static int read_all(int fd, const char *path, uint64_t limit, struct buf *out, struct err *e)
{
    for (;;) {
        if (buf_reserve(out, 1 << 16, e))
            return -1;
        ssize_t n = read(fd, out->p + out->len, out->cap - out->len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_io(e, "read", path);
        if (!n)
            return 0;
        out->len += (size_t)n;
        out->p[out->len] = '\0';
        if (out->len > limit)
            return err_set(e, ERR_LIMIT, "%s: found more than %llu bytes, expected at most that", path,
                           (unsigned long long)limit);
    }
}

int file_read(const char *path, uint64_t limit, struct buf *out, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_io(e, "open", path);
    int rc = read_all(fd, path, limit, out, e);
    close(fd);
    return rc;
}

int file_map(const char *path, struct mapped *out, struct err *e)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_io(e, "open", path);
    int rc = -1;
    void *p = NULL;
    char *copy = NULL;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        err_set(e, ERR_INPUT, "%s: expected a regular file", path);
        goto done;
    }
    if (st.st_size) {
        p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            err_io(e, "map", path);
            goto done;
        }
    }
    copy = mem_strdup(path, e);
    if (!copy) {
        if (p)
            munmap(p, (size_t)st.st_size);
        goto done;
    }
    out->p = p;
    out->n = (uint64_t)st.st_size;
    out->path = copy;
    rc = 0;
done:
    close(fd);
    return rc;
}

static void *page_of(const struct mapped *m, uint64_t from)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    return (void *)((uintptr_t)m->p + from / page * page);
}

void file_unmap(struct mapped *m)
{
    if (m->p)
        munmap(page_of(m, 0), m->n);
    mem_free(m->path);
    memset(m, 0, sizeof *m);
}

void file_forget(const struct mapped *m, uint64_t from, uint64_t n)
{
    if (m->p && n && from < m->n)
        madvise(page_of(m, from), n < m->n - from ? n : m->n - from, MADV_DONTNEED);
}

void file_drop(const void *p, uint64_t n)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = ((uintptr_t)p + page - 1) / page * page,
              to = ((uintptr_t)p + n) / page * page;
    if (from < to)
        madvise((void *)from, to - from, MADV_DONTNEED);
}

struct out_file {
    int fd;
    char *path;
    uint64_t at, started; /* bytes written; bytes that the disk was told of */
    struct hash *hash;    /* NULL: scratch */
};

static struct out_file *create(const char *path, bool scratch, struct err *e)
{
    struct out_file *f = mem_alloc(sizeof *f, e);
    if (!f)
        return NULL;
    f->fd = -1;
    f->path = mem_strdup(path, e);
    f->hash = f->path && !scratch ? hash_new(e) : NULL;
    if (!f->path || (!scratch && !f->hash)) {
        file_abandon(f);
        return NULL;
    }
    f->fd = file_op_refused() ? -1 : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (f->fd < 0) {
        err_io(e, "create", path);
        file_abandon(f);
        return NULL;
    }
    return f;
}

struct out_file *file_create(const char *path, struct err *e) { return create(path, false, e); }

struct out_file *file_scratch(const char *path, struct err *e) { return create(path, true, e); }

static int write_all(const struct out_file *f, const char *p, size_t n, struct err *e)
{
    for (size_t done = 0; done < n;) {
        ssize_t k = write(f->fd, p + done, n - done);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return err_io(e, "write", f->path);
        done += (size_t)k;
    }
    return 0;
}

/* Bytes are hashed and written in pieces that stay in the cache between the two. A disk starts on what it will have to
 * hold anyway (best effort), so that the fsync at the end finds less to do. */
int file_put(struct out_file *f, const void *p, size_t n, struct err *e)
{
    enum { PIECE = 1 << 18, START = 1 << 23 };
    if (file_op_refused())
        return err_io(e, "write", f->path);
    for (size_t done = 0; done < n;) {
        size_t k = n - done < PIECE ? n - done : PIECE;
        if (f->hash && hash_add(f->hash, (const char *)p + done, k, e))
            return -1;
        if (write_all(f, (const char *)p + done, k, e))
            return -1;
        done += k;
        f->at += k;
        if (f->hash && f->at - f->started >= START) {
            (void)sync_file_range(f->fd, (off_t)f->started, (off_t)(f->at - f->started),
                                  SYNC_FILE_RANGE_WRITE);
            f->started = f->at;
        }
    }
    return 0;
}

uint64_t file_tell(const struct out_file *f) { return f->at; }

static void out_free(struct out_file *f)
{
    mem_free(f->path);
    hash_free(f->hash);
    mem_free(f);
}

int file_finish(struct out_file *f, char sha256[65], struct err *e)
{
    char hex[HASH_HEX];
    bool scratch = !f->hash;
    BUG_ON(scratch && sha256);
    int rc = scratch ? 0 : hash_hex(f->hash, hex, e);
    f->hash = NULL;
    if (!rc && !scratch && (file_op_refused() || fsync(f->fd)))
        rc = err_io(e, "fsync", f->path);
    if (close(f->fd) && !rc)
        rc = err_io(e, "close", f->path);
    if (!rc && sha256)
        memcpy(sha256, hex, sizeof hex);
    if (rc)
        unlink(f->path);
    out_free(f);
    return rc;
}

int file_sync(struct out_file *f, struct err *e)
{
    return file_op_refused() || fsync(f->fd) ? err_io(e, "fsync", f->path) : 0;
}

int file_keep(struct out_file *f, struct err *e)
{
    if (!f)
        return 0;
    int rc = close(f->fd) ? err_io(e, "close", f->path) : 0;
    out_free(f);
    return rc;
}

int file_rename(const char *from, const char *to, struct err *e)
{
    char *up = path_dir(to, e);
    int rc = !up                                     ? -1
             : file_op_refused() || rename(from, to) ? err_io(e, "rename", from)
                                                     : path_sync_dir(up, e);
    mem_free(up);
    return rc;
}

int file_replace(const char *path, const void *p, size_t n, struct err *e)
{
    int rc = -1;
    char *name = mem_printf(e, "%s.new-%ld", path, (long)getpid());
    if (name)
        unlink(name); /* of a process that had our number before us */
    struct out_file *f = name ? file_create(name, e) : NULL;
    if (f && file_put(f, p, n, e))
        file_abandon(f);
    else if (f && !file_finish(f, NULL, e)) {
        rc = file_rename(name, path, e);
        if (rc)
            unlink(name);
    }
    mem_free(name);
    return rc;
}

void file_abandon(struct out_file *f)
{
    if (!f)
        return;
    if (f->fd >= 0) {
        close(f->fd);
        unlink(f->path);
    }
    out_free(f);
}
