/* archive.c - the archive of an output. Its path is where it goes and not what it is, so the manifest does not know of it. */
#include "stages/archive.h"

#include "base/epoch.h"
#include "base/file.h"
#include "base/mem.h"
#include "io/archive_write.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

int archive_plan(const struct job *j, int index, struct err *e)
{
    const char *name = j->save->archive;
    if (!name || archive_writable(name))
        return 0;
    err_at(e, ERR_INPUT, j->recipe->stage[index].at,
           "archive: found '%s', expected a name that ends with .tar, .tar.gz, .tar.xz or .tar.zst", name);
    return err_hint(
        e, ".tar has the same bytes everywhere; the others where the compressor's version is the same");
}

int archive_refuse(const struct job *j, bool force, struct err *e)
{
    const char *name = j->save->archive;
    int64_t ignored;
    if (!name)
        return 0;
    if (source_date(&ignored, e))
        return -1;
    if (path_is_dir(name))
        return err_set(e, ERR_INPUT, "archive: found a folder '%s', expected a file", name);
    if (force || !path_exists(name))
        return 0;
    err_set(e, ERR_INPUT, "archive '%s' exists already", name);
    return err_hint(e, "give another name, or --force to replace it when the new one is complete");
}

int archive_make(const struct job *j, const char *dir, struct archived *out, struct err *e)
{
    const char *name = j->save->archive;
    int64_t mtime = 0;
    memset(out, 0, sizeof *out);
    if (!name)
        return 0;
    char *partial = mem_printf(e, "%s.partial-%ld", name, (long)getpid()), *up = path_dir(name, e);
    int rc = partial && up ? source_date(&mtime, e) || path_make_dir(up, e) : -1;
    if (!rc) {
        unlink(partial); /* of a process that had this number and died */
        rc = archive_write(dir, partial, name, mtime, out->sha256, e);
    }
    mem_free(up);
    if (rc)
        mem_free(partial);
    else
        out->partial = partial;
    return rc ? -1 : 0;
}

int archive_publish(const struct job *j, struct archived *a, struct err *e)
{
    int rc = a->partial ? file_rename(a->partial, j->save->archive, e) : 0;
    if (rc)
        archive_abandon(a);
    mem_free(a->partial);
    a->partial = NULL;
    return rc;
}

void archive_abandon(struct archived *a)
{
    if (a->partial)
        unlink(a->partial);
    mem_free(a->partial);
    a->partial = NULL;
}
