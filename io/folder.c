/* folder.c - given, or unpacked. */
#include "io/folder.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/archive_extract.h"

#include <stdlib.h>
#include <string.h>

static int unpack(const char *archive, struct folder *out, struct err *e)
{
    char *dir = mem_printf(e, "%s/qpipe-unpacked.XXXXXX", path_temporary());
    if (!dir)
        return -1;
    if (!mkdtemp(dir)) {
        mem_free(dir);
        return err_io(e, "make a folder in", path_temporary());
    }
    out->extracted = dir;
    log_say(LOG_INFO, "unpacking %s into %s", archive, dir);
    return archive_extract(archive, dir, &out->dir, e);
}

int folder_open(const char *path, struct folder *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    if (path_is_dir(path)) {
        out->dir = mem_strdup(path, e);
    } else if (!path_exists(path)) {
        err_set(e, ERR_INPUT, "%s: no such folder", path);
        err_hint(e, "give the folder that holds config.json and the safetensors files, or an archive of it");
    } else if (unpack(path, out, e)) {
        folder_close(out);
    }
    return out->dir ? 0 : -1;
}

void folder_close(struct folder *f)
{
    if (f->extracted)
        path_remove_tree(f->extracted, NULL);
    mem_free(f->extracted);
    mem_free(f->dir);
    memset(f, 0, sizeof *f);
}
