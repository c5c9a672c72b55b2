/* archive_extract.c - archives onto disk. Every file is created anew (O_EXCL) below a folder that only this process knows of, and
 * names are checked before, so nothing outside it is ever touched. */
#include "io/archive_extract.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/archive_names.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>

enum { DEPTH = 16, PIECE = 1 << 20 };

struct extraction {
    struct archive *a;
    const char *path, *dir;
    uint64_t total;
    char *piece;
};

static int library_error(const struct extraction *x, const char *name, struct err *e)
{
    const char *why = archive_error_string(x->a);
    if (archive_errno(x->a) == ENOMEM)
        return err_nomem(e);
    return err_set(e, ERR_INPUT, "%s%s%s: %s", x->path, name ? ": entry " : "", name ? name : "",
                   why ? why : "can not be read");
}

static int no_archive(const struct extraction *x, struct err *e)
{
    return err_set(e, ERR_INPUT, "%s: found a file that is no tar or zip archive, expected one or a folder",
                   x->path);
}

static int refuse(const struct extraction *x, const char *name, const char *fault, struct err *e)
{
    return err_set(e, ERR_INPUT, "%s: entry '%s' %s, which is refused", x->path, name, fault);
}

static int check_ratio(const struct extraction *x, const char *name, struct err *e)
{
    int64_t in = archive_filter_bytes(x->a, -1);
    if (x->total <= ARCHIVE_FREE || x->total / ARCHIVE_RATIO <= (uint64_t)(in > 0 ? in : 1))
        return 0;
    return err_set(e, ERR_LIMIT, "%s: entry '%s': %llu bytes came out of %lld, more than %d times as many",
                   x->path, name, (unsigned long long)x->total, (long long)in, ARCHIVE_RATIO);
}

static int copy(struct extraction *x, struct out_file *f, const char *name, struct err *e)
{
    for (;;) {
        if (check_interrupt(e))
            return -1;
        la_ssize_t n = archive_read_data(x->a, x->piece, PIECE);
        if (n == ARCHIVE_RETRY)
            continue;
        if (n < 0)
            return library_error(x, name, e);
        if (!n)
            return 0;
        x->total += (uint64_t)n;
        if (check_ratio(x, name, e) || file_put(f, x->piece, (size_t)n, e))
            return -1;
    }
}

static int make_file(struct extraction *x, const char *name, struct err *e)
{
    int depth = 0;
    for (const char *p = name; *p; p++)
        depth += *p == '/';
    if (depth > DEPTH)
        return err_set(e, ERR_LIMIT, "%s: entry '%s': found %d folders, expected at most %d", x->path, name,
                       depth, DEPTH);
    char *path = path_join(x->dir, name, e), *dir = path ? path_dir(path, e) : NULL;
    int rc = dir ? path_make_dir(dir, e) : -1;
    if (!rc && path_exists(path))
        rc = refuse(x, name, "is there twice", e);
    struct out_file *f = rc ? NULL : file_scratch(path, e);
    if (f && copy(x, f, name, e))
        file_abandon(f);
    else
        rc = f ? file_finish(f, NULL, e) : -1;
    mem_free(dir);
    mem_free(path);
    return rc;
}

/* "./a" is "a"; "a/" ends in nothing. */
static const char *plain(const char *name)
{
    while (name[0] == '.' && name[1] == '/')
        for (name += 2; *name == '/';)
            name++;
    return name;
}

static int take(struct extraction *x, struct archive_entry *entry, struct err *e)
{
    const char *name = archive_entry_pathname(entry), *fault;
    if (!name)
        name = archive_entry_pathname_utf8(entry);
    if (!name)
        return err_set(e, ERR_INPUT, "%s: found an entry whose name is not UTF-8", x->path);
    if ((fault = archive_name_fault(name)) || (fault = archive_type_fault(entry)))
        return refuse(x, name, fault, e);
    if (archive_entry_filetype(entry) == AE_IFDIR)
        return 0;
    if (archive_entry_is_encrypted(entry))
        return refuse(x, name, "is encrypted", e);
    char *own = mem_strdup(plain(name), e); /* the entry's own may move while data is read */
    int rc = own ? make_file(x, own, e) : -1;
    mem_free(own);
    return rc;
}

static int set_up(struct extraction *x, struct err *e)
{
    int (*const what[])(struct archive *) = {
        archive_read_support_filter_gzip,  archive_read_support_filter_xz,  archive_read_support_filter_zstd,
        archive_read_support_filter_bzip2, archive_read_support_filter_lz4, archive_read_support_format_tar,
        archive_read_support_format_zip,
    };
    x->piece = mem_alloc(PIECE, e);
    x->a = x->piece ? archive_read_new() : NULL;
    if (!x->a)
        return x->piece ? err_nomem(e) : -1;
    for (size_t i = 0; i < sizeof what / sizeof *what; i++)
        if (what[i](x->a) < ARCHIVE_WARN)
            return library_error(x, NULL, e);
    if (archive_read_open_filename(x->a, x->path, PIECE) >= ARCHIVE_WARN)
        return 0;
    return no_archive(x, e);
}

static int take_all(struct extraction *x, struct err *e)
{
    struct archive_entry *entry;
    for (int64_t i = 0;; i++) {
        int k = archive_read_next_header(x->a, &entry);
        if (k == ARCHIVE_EOF)
            return i ? 0 : no_archive(x, e);
        if (k == ARCHIVE_RETRY)
            continue;
        if (k < ARCHIVE_WARN)
            return i ? library_error(x, NULL, e) : no_archive(x, e);
        if (i >= ARCHIVE_COUNT_LIMIT)
            return err_set(e, ERR_LIMIT, "%s: found more than %d entries, expected at most that", x->path,
                           ARCHIVE_COUNT_LIMIT);
        if (take(x, entry, e))
            return -1;
    }
}

/* Archives by hand hold the folder, ours its files. */
static char *find_root(const char *dir, struct err *e)
{
    struct strs files = { 0 }, folders = { 0 };
    char *root = NULL;
    if (!path_list(dir, &files, e) && !path_list_folders(dir, &folders, e))
        root = !files.n && folders.n == 1 ? path_join(dir, folders.v[0], e) : mem_strdup(dir, e);
    strs_release(&files);
    strs_release(&folders);
    return root;
}

int archive_extract(const char *path, const char *dir, char **root, struct err *e)
{
    struct extraction x = { .path = path, .dir = dir };
    int rc = set_up(&x, e) || take_all(&x, e) ? -1 : 0;
    archive_read_free(x.a);
    mem_free(x.piece);
    *root = rc ? NULL : find_root(dir, e);
    return *root ? 0 : -1;
}
