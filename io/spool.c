/* spool.c - read-only mappings of files that grow. A mapping reaches beyond the file's end, so that few are needed however
 * often it grows; nothing is touched before the file, opened anew, was seen to be long enough. */
#include "io/spool.h"

#include "base/mem.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEAST (UINT64_C(1) << 26)

struct window {
    unsigned char *p;
    uint64_t n;
};
struct spool {
    char *path;
    struct window *window;
    int n;
    uint64_t seen; /* bytes that are known to be there */
};
struct spools {
    struct spool *file;
    int n;
};

struct spools *spools_new(struct err *e) { return mem_alloc(sizeof(struct spools), e); }

int spools_add(struct spools *s, const char *path, struct err *e)
{
    for (int i = 0; i < s->n; i++)
        if (!strcmp(s->file[i].path, path))
            return i;
    struct spool *more = mem_resize(s->file, (size_t)(s->n + 1) * sizeof *more, e);
    if (!more)
        return -1;
    s->file = more;
    memset(&more[s->n], 0, sizeof *more);
    more[s->n].path = mem_strdup(path, e);
    return more[s->n].path ? s->n++ : -1;
}

const char *spools_path(const struct spools *s, int file) { return s->file[file].path; }

static int map_more(struct spool *f, int fd, uint64_t size, struct err *e)
{
    struct window *more = mem_resize(f->window, (size_t)(f->n + 1) * sizeof *more, e);
    if (!more)
        return -1;
    f->window = more;
    uint64_t n = 2 * size > LEAST ? 2 * size : LEAST;
    void *p = mmap(NULL, n, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return err_io(e, "map", f->path);
    f->window[f->n++] = (struct window){ p, n };
    return 0;
}

/* A file on another host shows what was written there when it is opened after the writer's fsync. */
static int look_again(struct spool *f, uint64_t end, struct err *e)
{
    struct stat st;
    int fd = open(f->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_io(e, "open", f->path);
    int rc = fstat(fd, &st) ? err_io(e, "look at", f->path) : 0;
    if (!rc && (uint64_t)st.st_size < end)
        rc = err_set(e, ERR_INPUT, "%s: found %lld bytes, expected at least %llu", f->path,
                     (long long)st.st_size, (unsigned long long)end);
    if (!rc) {
        f->seen = (uint64_t)st.st_size;
        if (!f->n || f->window[f->n - 1].n < f->seen)
            rc = map_more(f, fd, f->seen, e);
    }
    close(fd);
    return rc;
}

int spools_view(struct spools *s, int file, uint64_t at, uint64_t n, const unsigned char **out, struct err *e)
{
    struct spool *f = &s->file[file];
    static const unsigned char nothing[1];
    BUG_ON(file < 0 || file >= s->n);
    if (n > UINT64_MAX - at)
        return err_set(e, ERR_INPUT, "%s: a tensor of %llu bytes at %llu is no part of it", f->path,
                       (unsigned long long)n, (unsigned long long)at);
    if (!n) {
        *out = nothing;
        return 0;
    }
    if (at + n > f->seen && look_again(f, at + n, e))
        return -1;
    *out = f->window[f->n - 1].p + at;
    return 0;
}

void spools_free(struct spools *s)
{
    if (!s)
        return;
    for (int i = 0; i < s->n; i++) {
        for (int k = 0; k < s->file[i].n; k++)
            munmap(s->file[i].window[k].p, s->file[i].window[k].n);
        mem_free(s->file[i].window);
        mem_free(s->file[i].path);
    }
    mem_free(s->file);
    mem_free(s);
}
