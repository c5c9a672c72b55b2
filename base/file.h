/* file.h - files as the rest of qpipe wants them: whole, mapped, or written so that they appear complete or not at all.
 * The n-th write, fsync, or rename can be made to fail by tests (QPIPE_FAIL_IO=N at start, or file_fail_at). */
#ifndef QP_BASE_FILE_H
#define QP_BASE_FILE_H
#include "base/err.h"
#include "base/str.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whole file as bytes (NUL behind). limit: ERR_LIMIT when larger. */
int file_read(const char *path, uint64_t limit, struct buf *out, struct err *e);

/* A read-only mapping. The size is taken once; a file that shrinks later ends in ERR_IO by the SIGBUS guard of
 * pipeline, not in a crash. { 0 } is a valid closed one. */
struct mapped {
    const unsigned char *p;
    uint64_t n;
    char *path;
};
int file_map(const char *path, struct mapped *out, struct err *e);
void file_unmap(struct mapped *m);
void file_forget(const struct mapped *m, uint64_t from,
                 uint64_t n); /* pages may be dropped (MADV_DONTNEED) */

/* file_drop - the whole pages inside p[0..n), which must be part of a mapping: they leave this process's memory, and come back
 * when they are read again. */
void file_drop(const void *p, uint64_t n);

/* A file being written: every byte goes through file_put, errors of write, fsync and close are all reported.
 * A SHA-256 runs along. Not closed by file_finish: remove it with file_abandon. */
struct out_file;
struct out_file *file_create(const char *path, struct err *e); /* O_EXCL */
/* file_scratch - the same for a file that is read again and removed: no SHA-256, no fsync. */
struct out_file *file_scratch(const char *path, struct err *e);
int file_put(struct out_file *f, const void *p, size_t n, struct err *e);
uint64_t file_tell(const struct out_file *f);
int file_finish(struct out_file *f, char sha256[65], struct err *e); /* fsync, close, free; also on failure */
void file_abandon(struct out_file *f);                               /* close, unlink, free; NULL allowed */
int file_sync(struct out_file *f, struct err *e);                    /* fsync of what was put so far */
int file_keep(struct out_file *f,
              struct err *e); /* of a scratch file: close and free; it stays; NULL allowed */
/* file_replace - path appears with these bytes: written beside it, fsynced, renamed, the folder fsynced. After an error it holds
 * these or what it held before, whole in either case. */
int file_replace(const char *path, const void *p, size_t n, struct err *e);
/* file_rename - the file `from` (fsynced already) is called `to` from now on, beside it or what stood there before. */
int file_rename(const char *from, const char *to, struct err *e);

/* A directory that appears under its name complete or not at all: written as `<path>.partial-<pid>` beside it,
 * fsynced, renamed. With `force` an existing one is swapped out and removed only after the new one is in place. */
struct out_dir;
struct out_dir *dir_create(const char *path, bool force, struct err *e);
/* dir_create_in - the same, written as `partial`, which must not exist and be on the same file system. */
struct out_dir *dir_create_in(const char *path, const char *partial, bool force, struct err *e);
const char *dir_path(const struct out_dir *d); /* where to write now */
int dir_publish(struct out_dir *d,
                struct err *e); /* frees d, also on failure (the partial one is then removed) */
/* dir_publish_as - the same under another name beside it, which must not exist. */
int dir_publish_as(struct out_dir *d, const char *path, struct err *e);
void dir_abandon(struct out_dir *d); /* removes the partial one; NULL allowed; safe at exit */

bool path_exists(const char *path);
bool path_is_dir(const char *path);
char *path_join(const char *dir, const char *name, struct err *e); /* name absolute: a copy of name */
char *path_dir(const char *path, struct err *e);                   /* "a/b.yaml" -> "a", "b.yaml" -> "." */
const char *path_base(const char *path);                           /* behind the last '/' */
int path_list(const char *dir, struct strs *out, struct err *e);   /* regular files' names, sorted */
int path_list_folders(const char *dir, struct strs *out,
                      struct err *e);                  /* the same of folders, no symlinks */
int path_remove_tree(const char *path, struct err *e); /* files and folders; symlinks are not followed */
const char *path_temporary(void); /* $TMPDIR, or /tmp: for files that are unlinked at once */
int path_make_dir(const char *path, struct err *e); /* parents too; an existing one is fine */
int path_sync_dir(const char *path, struct err *e); /* fsync of a folder: its names are safe then */

uint64_t file_fail_at(
    uint64_t n); /* tests: the n-th file operation from now fails with ENOSPC; returns the count so far */
#endif
