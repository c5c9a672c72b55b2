/* archive_write.c - deterministic archives by libarchive: it lays out headers and compresses, out_file writes. */
#include "io/archive_write.h"

#include "base/file.h"
#include "base/mem.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>

const char *const archive_tails[] = { ".tar", ".tar.gz", ".tar.xz", ".tar.zst", NULL };

/* By archive_tails. zstd: one worker and none give other bytes, any number of workers the same, so one is said; xz: other bytes
 * for other numbers; gzip: a time in the header unless told not to. */
static const struct {
    int (*filter)(struct archive *);
    const char *options;
} kinds[] = {
    { archive_write_add_filter_none, NULL },
    { archive_write_add_filter_gzip, "gzip:!timestamp,gzip:compression-level=6" },
    { archive_write_add_filter_xz, "xz:threads=1,xz:compression-level=6" },
    { archive_write_add_filter_zstd, "zstd:threads=1,zstd:compression-level=3" },
};

struct writing {
    struct archive *a;
    struct out_file *f;
    const char *path;
    struct err err; /* of file_put, inside libarchive's call */
    bool given_up;  /* what still comes is swallowed */
};

static int kind_of(const char *name)
{
    for (int i = 0; archive_tails[i]; i++)
        if (str_ends(name, archive_tails[i]) && strlen(name) > strlen(archive_tails[i]))
            return i;
    return -1;
}

bool archive_writable(const char *path) { return kind_of(path_base(path)) >= 0; }

static la_ssize_t take(struct archive *a, void *arg, const void *p, size_t n)
{
    struct writing *w = arg;
    if (w->given_up)
        return (la_ssize_t)n;
    if (file_put(w->f, p, n, &w->err)) {
        archive_set_error(a, EIO, "%s", w->err.what);
        return -1;
    }
    return (la_ssize_t)n;
}

static int failed(struct writing *w, struct err *e)
{
    if (w->err.code) {
        if (e && !e->code)
            *e = w->err;
        return -1;
    }
    if (archive_errno(w->a) == ENOMEM)
        return err_nomem(e);
    const char *why = archive_error_string(w->a);
    return err_set(e, ERR_IO, "%s: %s", w->path, why ? why : "can not be written");
}

static int set_up(struct writing *w, int kind, struct err *e)
{
    w->a = archive_write_new();
    if (!w->a)
        return err_nomem(e);
    bool ok = archive_write_set_format_pax_restricted(w->a) == ARCHIVE_OK &&
              kinds[kind].filter(w->a) == ARCHIVE_OK &&
              (!kinds[kind].options || archive_write_set_options(w->a, kinds[kind].options) == ARCHIVE_OK) &&
              archive_write_set_bytes_per_block(w->a, 10240) == ARCHIVE_OK &&
              archive_write_set_bytes_in_last_block(w->a, 1) == ARCHIVE_OK &&
              archive_write_open(w->a, w, NULL, take, NULL) == ARCHIVE_OK;
    return ok ? 0 : failed(w, e);
}

static int put_header(struct writing *w, const char *name, uint64_t size, int64_t mtime, struct err *e)
{
    struct archive_entry *entry = archive_entry_new();
    if (!entry)
        return err_nomem(e);
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, (la_int64_t)size);
    archive_entry_set_mtime(entry, mtime, 0);
    archive_entry_set_uid(entry, 0);
    archive_entry_set_gid(entry, 0);
    int k = archive_write_header(w->a, entry); /* a warning: the name can not be written as UTF-8 */
    archive_entry_free(entry);
    return k == ARCHIVE_OK ? 0 : failed(w, e);
}

static int put_file(struct writing *w, const char *dir, const char *name, int64_t mtime, struct err *e)
{
    enum { PIECE = 1 << 20 };
    struct mapped m = { 0 };
    char *path = path_join(dir, name, e);
    int rc = path && !file_map(path, &m, e) ? put_header(w, name, m.n, mtime, e) : -1;
    for (uint64_t at = 0; !rc && at < m.n;) {
        size_t n = m.n - at < PIECE ? (size_t)(m.n - at) : PIECE;
        if (archive_write_data(w->a, m.p + at, n) != (la_ssize_t)n)
            rc = failed(w, e);
        file_forget(&m, at, n);
        at += n;
    }
    file_unmap(&m);
    mem_free(path);
    return rc;
}

int archive_write(const char *dir, const char *path, const char *name, int64_t mtime, char sha256[65],
                  struct err *e)
{
    struct writing w = { .path = path };
    struct strs names = { 0 };
    int kind = kind_of(path_base(name)), rc = -1;
    if (kind < 0)
        return err_set(e, ERR_INPUT,
                       "%s: found no known archive, expected .tar, .tar.gz, .tar.xz or .tar.zst", name);
    if (path_list(dir, &names, e) || !(w.f = file_create(path, e)) || set_up(&w, kind, e))
        goto done;
    for (size_t i = 0; i < names.n; i++)
        if (put_file(&w, dir, names.v[i], mtime, e))
            goto done;
    rc = archive_write_close(w.a) == ARCHIVE_OK ? 0 : failed(&w, e);
done:
    if (rc && w.a) { /* archive_write_fail would be the word, and leaks libarchive's own buffers */
        w.given_up = true;
        (void)archive_write_close(w.a);
    }
    archive_write_free(w.a);
    strs_release(&names);
    if (rc)
        file_abandon(w.f);
    else
        rc = file_finish(w.f, sha256, e);
    return rc ? err_while(e, "writing the archive %s", name) : 0;
}
