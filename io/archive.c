/* archive.c - a file as the texts in it: itself, what it was compressed from, or the files of a tar or zip archive. What a
 * file is, its first bytes decide, never its name: anything without a known magic is a plain file and passes as it is, so
 * no text is taken for an exotic archive. Archives inside archives stay closed. libarchive does the reading; nothing is
 * ever extracted to disk. Names are taken in the process's locale (main sets C.UTF-8), else as UTF-8. */
#include "io/archive.h"

#include "base/file.h"
#include "base/mem.h"
#include "io/archive_names.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>

enum { PIECE = 1 << 16 };

typedef int each_fn(void *arg, const struct archive_entry_info *info, const char *p, size_t n, struct err *e);

enum kind { PLAIN, COMPRESSED, TAR, ZIP };

static const struct magic {
    enum kind kind;
    size_t at, n;
    const char *bytes;
    int (*filter)(struct archive *);
} magics[] = {
    { COMPRESSED, 0, 3, "\x1F\x8B\x08", archive_read_support_filter_gzip },
    { COMPRESSED, 0, 6,
      "\xFD"
      "7zXZ\0",
      archive_read_support_filter_xz },
    { COMPRESSED, 0, 4, "\x28\xB5\x2F\xFD", archive_read_support_filter_zstd },
    { COMPRESSED, 0, 3, "BZh", archive_read_support_filter_bzip2 },
    { COMPRESSED, 0, 4, "\x04\x22\x4D\x18", archive_read_support_filter_lz4 },
    { ZIP, 0, 4, "PK\x03\x04", NULL },
    { ZIP, 0, 4, "PK\x05\x06", NULL },
    { TAR, 257, 5, "ustar", NULL },
};

/* One walk through one file. */
struct walk {
    const unsigned char *p;
    uint64_t n;
    const char *path;
    uint64_t limit, total;
    each_fn *f;
    void *arg;
    struct archive *a;
    struct buf content;
    int64_t index;
};

static const struct magic *find_magic(const unsigned char *p, uint64_t n)
{
    for (size_t i = 0; i < sizeof magics / sizeof *magics; i++) {
        const struct magic *m = &magics[i];
        if (n < m->at + m->n || memcmp(p + m->at, m->bytes, m->n))
            continue;
        /* "BZh" could begin a text; the block magic behind it could not */
        if (m->filter == archive_read_support_filter_bzip2 &&
            (n < 10 ||
             (memcmp(p + 4, "\x31\x41\x59\x26\x53\x59", 6) && memcmp(p + 4, "\x17\x72\x45\x38\x50\x90", 6))))
            continue;
        return m;
    }
    return NULL;
}

static int library_error(const struct walk *w, const char *name, struct err *e)
{
    const char *why = archive_error_string(w->a);
    if (archive_errno(w->a) == ENOMEM)
        return err_nomem(e);
    return err_set(e, ERR_INPUT, "%s: entry %lld%s%s%s: %s", w->path, (long long)w->index, name ? " '" : "",
                   name ? name : "", name ? "'" : "", why ? why : "can not be read");
}

/* Never NULL without an error: libarchive gives NULL for names that the locale can not spell. */
static const char *name_of(const struct walk *w, struct archive_entry *entry, struct err *e)
{
    const char *name = archive_entry_pathname(entry);
    if (!name)
        name = archive_entry_pathname_utf8(entry);
    if (!name)
        err_set(e, ERR_INPUT, "%s: entry %lld has a name that is not UTF-8", w->path, (long long)w->index);
    return name;
}

/* -- content -- */

static int check_size(const struct walk *w, const char *name, uint64_t more, struct err *e)
{
    uint64_t total = w->total + more;
    if (total > w->limit)
        return err_set(e, ERR_LIMIT,
                       "%s: entry '%s': found more than %llu bytes of content, expected at most that",
                       w->path, name, (unsigned long long)w->limit);
    int64_t in = w->a ? archive_filter_bytes(w->a, -1) : 0;
    if (w->a && total > ARCHIVE_FREE && total / ARCHIVE_RATIO > (uint64_t)(in > 0 ? in : 1))
        return err_set(e, ERR_LIMIT,
                       "%s: entry '%s': %llu bytes came out of %lld, more than %d times as many", w->path,
                       name, (unsigned long long)total, (long long)in, ARCHIVE_RATIO);
    return 0;
}

static int read_content(struct walk *w, const char *name, struct err *e)
{
    w->content.len = 0;
    for (;;) {
        if (buf_reserve(&w->content, PIECE, e))
            return -1;
        la_ssize_t k = archive_read_data(w->a, w->content.p + w->content.len, PIECE);
        if (k == ARCHIVE_RETRY)
            continue;
        if (k < 0)
            return library_error(w, name, e);
        if (!k)
            return 0;
        w->content.len += (size_t)k;
        w->content.p[w->content.len] = '\0';
        if (check_size(w, name, w->content.len, e))
            return -1;
    }
}

static int hand_over(struct walk *w, const char *name, const char *p, size_t n, struct err *e)
{
    struct archive_entry_info info = { name, w->index };
    w->total += n;
    return w->f(w->arg, &info, p, n, e);
}

/* -- walks -- */

/* 0: go on; 1: stop; -1. */
static int visit(struct walk *w, struct archive_entry *entry, struct err *e)
{
    const char *name = name_of(w, entry, e), *fault;
    if (!name)
        return -1;
    if ((fault = archive_name_fault(name)) || (fault = archive_type_fault(entry)))
        return err_set(e, ERR_INPUT, "%s: entry %lld '%s' %s, which is refused", w->path, (long long)w->index,
                       name, fault);
    if (archive_entry_filetype(entry) == AE_IFDIR)
        return 0;
    if (archive_entry_is_encrypted(entry))
        return err_set(e, ERR_INPUT, "%s: entry '%s' is encrypted", w->path, name);
    char *copy = mem_strdup(name, e); /* the entry's own may move while data is read */
    int rc = copy ? read_content(w, copy, e) : -1;
    if (!rc)
        rc = hand_over(w, copy, w->content.p, w->content.len, e);
    mem_free(copy);
    return rc;
}

static int walk_entries(struct walk *w, struct err *e)
{
    int rc = 0;
    for (; !rc; w->index++) {
        struct archive_entry *entry;
        int k = archive_read_next_header(w->a, &entry);
        if (k == ARCHIVE_EOF)
            return 0;
        if (k == ARCHIVE_RETRY)
            continue;
        if (k < ARCHIVE_WARN)
            return library_error(w, NULL, e);
        if (w->index >= ARCHIVE_COUNT_LIMIT)
            return err_set(e, ERR_LIMIT, "%s: found more than %d entries, expected at most that", w->path,
                           ARCHIVE_COUNT_LIMIT);
        rc = visit(w, entry, e);
    }
    return rc;
}

/* A compressed single file: its own name without the suffix of the compression. */
static char *inner_name(const char *path, struct err *e)
{
    static const char *const tails[] = { ".gz", ".xz", ".zst", ".zstd", ".bz2", ".lz4", NULL };
    const char *base = path_base(path);
    for (const char *const *t = tails; *t; t++)
        if (str_ends(base, *t) && strlen(base) > strlen(*t))
            return mem_strndup(base, strlen(base) - strlen(*t), e);
    return mem_strdup(base, e);
}

static int visit_raw(struct walk *w, struct err *e)
{
    char *name = inner_name(w->path, e);
    int rc = name ? read_content(w, name, e) : -1;
    if (!rc)
        rc = hand_over(w, name, w->content.p, w->content.len, e);
    mem_free(name);
    return rc;
}

/* Behind a filter stands a tar archive, or one file. The first header decides. */
static int walk_compressed(struct walk *w, struct err *e)
{
    struct archive_entry *entry;
    int k = archive_read_next_header(w->a, &entry);
    if (k == ARCHIVE_EOF && archive_format(w->a) == ARCHIVE_FORMAT_EMPTY) {
        char *name = inner_name(w->path, e);
        int rc = name ? hand_over(w, name, "", 0, e) : -1;
        mem_free(name);
        return rc;
    }
    if (k == ARCHIVE_EOF)
        return 0;
    if (k < ARCHIVE_WARN)
        return library_error(w, NULL, e);
    if (archive_format(w->a) == ARCHIVE_FORMAT_RAW)
        return visit_raw(w, e);
    int rc = visit(w, entry, e);
    w->index++;
    return rc ? rc : walk_entries(w, e);
}

static int set_up(struct walk *w, const struct magic *m, struct err *e)
{
    w->a = archive_read_new();
    if (!w->a)
        return err_nomem(e);
    int k = m->kind == ZIP ? archive_read_support_format_zip(w->a) : archive_read_support_format_tar(w->a);
    if (m->kind == COMPRESSED) {
        k = k < ARCHIVE_WARN ? k : m->filter(w->a);
        k = k < ARCHIVE_WARN ? k : archive_read_support_format_raw(w->a);
        k = k < ARCHIVE_WARN ? k : archive_read_support_format_empty(w->a);
    }
    k = k < ARCHIVE_WARN ? k : archive_read_open_memory(w->a, w->p, (size_t)w->n);
    return k < ARCHIVE_WARN ? library_error(w, NULL, e) : 0;
}

int archive_each_in(const unsigned char *p, uint64_t n, const char *path, uint64_t limit, each_fn *f,
                    void *arg, struct err *e)
{
    struct walk w = { .p = p, .n = n, .path = path, .limit = limit, .f = f, .arg = arg };
    const struct magic *m = find_magic(p, n);
    int rc;
    if (!m) {
        rc = check_size(&w, path_base(path), n, e)
                 ? -1
                 : hand_over(&w, path_base(path), n ? (const char *)p : "", (size_t)n, e);
        return rc < 0 ? -1 : 0;
    }
    rc = set_up(&w, m, e);
    if (!rc)
        rc = m->kind == COMPRESSED ? walk_compressed(&w, e) : walk_entries(&w, e);
    buf_release(&w.content);
    archive_read_free(w.a);
    return rc < 0 ? -1 : 0;
}

int archive_each(const char *path, uint64_t limit, each_fn *f, void *arg, struct err *e)
{
    struct mapped map = { 0 };
    if (file_map(path, &map, e))
        return -1;
    int rc = archive_each_in(map.p, map.n, path, limit, f, arg, e);
    file_unmap(&map);
    return rc;
}
