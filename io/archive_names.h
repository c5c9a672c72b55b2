/* archive_names.h - inside io: which entries of an archive are taken. */
#ifndef QP_IO_ARCHIVE_NAMES_H
#define QP_IO_ARCHIVE_NAMES_H
struct archive_entry;
enum { ARCHIVE_COUNT_LIMIT = 1000000, ARCHIVE_NAME_LIMIT = 4096 };
/* Bombs: more content than RATIO times the bytes read is refused, once there is more than FREE of it. Deflate can reach
 * 1032; plain text stays below 100. */
enum { ARCHIVE_RATIO = 500, ARCHIVE_FREE = 16 << 20 };
/* NULL, or why not: "has an absolute name", "is a symbolic link". */
const char *archive_name_fault(const char *name);
const char *archive_type_fault(struct archive_entry *entry);
#endif
