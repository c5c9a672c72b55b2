/* data_source.h - what the data formats share: records read from a file, before any of them is encoded or cut. Not a
 * door: only data_formats.c and dataset.c include it. */
#ifndef QP_TEXT_DATA_SOURCE_H
#define QP_TEXT_DATA_SOURCE_H
#include "base/err.h"
#include "base/str.h"
#include "text/dataset.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SOURCE_LIMIT_GIB = 4 };
/* Either texts or ids: a file with both is refused. */
enum source_kind { SOURCE_EMPTY, SOURCE_TEXT, SOURCE_IDS };
struct source_record {
    size_t at, n; /* bytes of `text`, or elements of `ids` */
};
struct source {
    const char *path;
    const char *field; /* NULL: not given */
    bool by_line;      /* .txt: a record is a line, not a document */
    enum source_kind kind;
    const char *format; /* row of the formats table; the first entry's */
    struct buf text;
    struct ids ids;
    struct source_record *record;
    size_t n, cap;
    char where[512]; /* "FILE" or "FILE: entry 'NAME'" */
};
int source_read(struct source *s, struct err *e);
void source_release(struct source *s);
#endif
