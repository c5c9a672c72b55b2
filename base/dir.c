/* dir.c - paths, and a folder that appears under its name complete or not at all: everything is written into
 * `<path>.partial-<pid>`, fsynced, and renamed; what stood there before is swapped out in the same step (Linux) and goes
 * only after the new one is in place. */
#include "base/file.h"
#include "base/file_ops.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct out_dir {
    char *path, *partial, *old;
    bool force;
};

bool path_exists(const char *path)
{
    struct stat st;
    return !lstat(path, &st);
}

bool path_is_dir(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

char *path_join(const char *dir, const char *name, struct err *e)
{
    if (*name == '/' || !strcmp(dir, ".") || !*dir)
        return mem_strdup(name, e);
    return mem_printf(e, "%s%s%s", dir, str_ends(dir, "/") ? "" : "/", name);
}

const char *path_base(const char *path)
{
    const char *p = strrchr(path, '/');
    return p ? p + 1 : path;
}

char *path_dir(const char *path, struct err *e)
{
    const char *p = strrchr(path, '/');
    if (!p)
        return mem_strdup(".", e);
    return mem_strndup(path, p == path ? 1 : (size_t)(p - path), e);
}

const char *path_temporary(void)
{
    const char *dir = getenv("TMPDIR");
    return dir && *dir ? dir : "/tmp";
}

static int list(const char *dir, mode_t kind, int flags, struct strs *out, struct err *e)
{
    DIR *d = opendir(dir);
    if (!d)
        return err_io(e, "open folder", dir);
    int rc = 0;
    for (struct dirent *it; !rc && (it = readdir(d));) {
        struct stat st;
        if (strcmp(it->d_name, ".") && strcmp(it->d_name, "..") &&
            !fstatat(dirfd(d), it->d_name, &st, flags) && (st.st_mode & S_IFMT) == kind)
            rc = strs_add(out, it->d_name, e);
    }
    closedir(d);
    strs_sort(out);
    return rc;
}

int path_list(const char *dir, struct strs *out, struct err *e) { return list(dir, S_IFREG, 0, out, e); }

int path_list_folders(const char *dir, struct strs *out, struct err *e)
{
    return list(dir, S_IFDIR, AT_SYMLINK_NOFOLLOW, out, e);
}

static int remove_at(int at, const char *name, int depth)
{
    if (!unlinkat(at, name, 0) || errno == ENOENT)
        return 0;
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 && depth < 64 ? fdopendir(fd) : NULL;
    if (!d) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    int rc = 0;
    for (struct dirent *it; !rc && (it = readdir(d));)
        if (strcmp(it->d_name, ".") && strcmp(it->d_name, ".."))
            rc = remove_at(dirfd(d), it->d_name, depth + 1);
    closedir(d);
    return rc ? rc : unlinkat(at, name, AT_REMOVEDIR);
}

int path_remove_tree(const char *path, struct err *e)
{
    return remove_at(AT_FDCWD, path, 0) ? err_io(e, "remove", path) : 0;
}

int path_make_dir(const char *path, struct err *e)
{
    if (path_is_dir(path))
        return 0;
    char *up = path_dir(path, e);
    if (!up)
        return -1;
    int rc = strcmp(up, path) && strcmp(up, ".") && strcmp(up, "/") ? path_make_dir(up, e) : 0;
    mem_free(up);
    if (!rc && mkdir(path, 0777) && (errno != EEXIST || !path_is_dir(path)))
        rc = err_io(e, "create folder", path);
    return rc;
}

static void dir_free(struct out_dir *d)
{
    mem_free(d->path);
    mem_free(d->partial);
    mem_free(d->old);
    mem_free(d);
}

static int dir_begin(struct out_dir *d, const char *path, const char *partial, struct err *e)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    d->path = mem_strndup(path, n, e);
    if (d->path)
        d->partial =
            partial ? mem_strdup(partial, e) : mem_printf(e, "%s.partial-%ld", d->path, (long)getpid());
    d->old = d->partial ? mem_printf(e, "%s.replaced-%ld", d->path, (long)getpid()) : NULL;
    if (!d->old)
        return -1;
    if (path_exists(d->path) && !d->force) {
        err_set(e, ERR_INPUT, "output '%s' exists already", d->path);
        return err_hint(e, "give another output, or --force to replace it when the new one is complete");
    }
    char *up = path_dir(d->path, e);
    int rc = up ? path_make_dir(up, e) : -1;
    mem_free(up);
    if (!rc && path_exists(d->partial))
        rc = path_remove_tree(d->partial, e);
    if (!rc && (file_op_refused() || mkdir(d->partial, 0777)))
        rc = err_io(e, "create folder", d->partial);
    return rc;
}

struct out_dir *dir_create_in(const char *path, const char *partial, bool force, struct err *e)
{
    struct out_dir *d = mem_alloc(sizeof *d, e);
    if (!d)
        return NULL;
    d->force = force;
    if (dir_begin(d, path, partial, e)) {
        dir_free(d);
        return NULL;
    }
    return d;
}

struct out_dir *dir_create(const char *path, bool force, struct err *e)
{
    return dir_create_in(path, NULL, force, e);
}

const char *dir_path(const struct out_dir *d) { return d->partial; }

int path_sync_dir(const char *path, struct err *e)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_io(e, "open folder", path);
    int rc = file_op_refused() || fsync(fd) ? err_io(e, "fsync", path) : 0;
    close(fd);
    return rc;
}

static int sync_parent(const char *path, struct err *e)
{
    char *up = path_dir(path, e);
    int rc = up ? path_sync_dir(up, e) : -1;
    mem_free(up);
    return rc;
}

/* Puts the new folder under its name. What stood there is then at d->partial (swapped in one step) or, where the file
 * system can not swap, at d->old. */
static int swap_in(const struct out_dir *d, bool had, struct err *e)
{
    if (!had)
        return file_op_refused() || rename(d->partial, d->path) ? err_io(e, "rename", d->partial) : 0;
    if (file_op_refused())
        return err_io(e, "rename", d->path);
    if (!renameat2(AT_FDCWD, d->partial, AT_FDCWD, d->path, RENAME_EXCHANGE))
        return 0;
    if (rename(d->path, d->old))
        return err_io(e, "rename", d->path);
    if (rename(d->partial, d->path)) {
        err_io(e, "rename", d->partial);
        return rename(d->old, d->path) ? err_hint(e, "the previous output is kept as '%s'", d->old) : -1;
    }
    return 0;
}

/* Undoes swap_in: an error of dir_publish means that nothing new is to be seen. */
static void swap_out(const struct out_dir *d, bool had)
{
    if (had && !path_exists(d->old))
        renameat2(AT_FDCWD, d->partial, AT_FDCWD, d->path, RENAME_EXCHANGE);
    else if (!rename(d->path, d->partial) && had)
        (void)!rename(d->old, d->path);
}

int dir_publish(struct out_dir *d, struct err *e)
{
    bool had = path_exists(d->path);
    int rc = path_sync_dir(d->partial, e);
    if (!rc && had && !d->force)
        rc = err_set(e, ERR_INPUT, "output '%s' appeared meanwhile", d->path);
    if (!rc)
        rc = swap_in(d, had, e);
    if (!rc && sync_parent(d->path, e)) {
        swap_out(d, had);
        rc = -1;
    }
    if (rc) {
        dir_abandon(d);
        return -1;
    }
    if (had)
        rc = path_remove_tree(path_exists(d->old) ? d->old : d->partial, e);
    dir_free(d);
    return rc;
}

int dir_publish_as(struct out_dir *d, const char *path, struct err *e)
{
    char *copy = mem_strdup(path, e);
    if (!copy) {
        dir_abandon(d);
        return -1;
    }
    mem_free(d->path);
    d->path = copy;
    d->force = false;
    return dir_publish(d, e);
}

void dir_abandon(struct out_dir *d)
{
    if (!d)
        return;
    path_remove_tree(d->partial, NULL);
    dir_free(d);
}
