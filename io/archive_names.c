/* archive_names.c - what may stand in an archive: plain files and folders below where it lies. */
#include "io/archive_names.h"

#include <archive_entry.h>
#include <stdbool.h>
#include <string.h>

static bool has_dotdot(const char *name)
{
    for (const char *p = name; p; p = strchr(p, '/')) {
        p += *p == '/';
        if (p[0] == '.' && p[1] == '.' && (!p[2] || p[2] == '/'))
            return true;
    }
    return false;
}

const char *archive_name_fault(const char *name)
{
    if (!*name)
        return "has an empty name";
    if (strlen(name) > ARCHIVE_NAME_LIMIT)
        return "has a name of more than 4096 bytes";
    if (*name == '/')
        return "has an absolute name";
    if (has_dotdot(name))
        return "has '..' in its name";
    return NULL;
}

const char *archive_type_fault(struct archive_entry *entry)
{
    if (archive_entry_hardlink(entry))
        return "is a hard link";
    switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
    case AE_IFDIR: return NULL;
    case AE_IFLNK: return "is a symbolic link";
    case AE_IFCHR:
    case AE_IFBLK: return "is a device";
    default: return "is neither a file nor a folder";
    }
}
