/* folder.h - a folder that may come in an archive: unpacked into a temporary one in $TMPDIR until it is closed. Checkpoints are read
 * by mapping, in any order and more than once, which a compressed stream can not give: on disk they take no memory. */
#ifndef QP_IO_FOLDER_H
#define QP_IO_FOLDER_H
#include "base/err.h"

struct folder {
    char *dir;       /* where the files lie */
    char *extracted; /* the temporary folder, or NULL: dir was given */
};
/* folder_open - ERR_INPUT: nothing there, or a file that is no archive; else as archive_extract. */
int folder_open(const char *path, struct folder *out, struct err *e);
void folder_close(struct folder *f); /* { 0 } is allowed */
#endif
