/* unit_record.h - inside stages: the bytes of a unit's record in the journal, all little-endian.
 *
 *   u32 tensors, u32 sources, u64 bytes of the value
 *   per tensor: text name, text spool (a file's name beside the journal), u32 dtype, u32 rank, i64 dim[rank], u64 offset,
 *               u64 bytes, text sha256          (a text: u32 length, bytes, NUL)
 *   per source: u64 index in the checkpoint, u64 sum (base/sum.h, in pieces: unit_sum)
 *   the value */
#ifndef QP_STAGES_UNIT_RECORD_H
#define QP_STAGES_UNIT_RECORD_H
#include "base/str.h"
#include "io/save.h"

struct unit_head {
    uint32_t tensors, sources;
    uint64_t value;
};
struct unit_source {
    uint64_t index, sum;
};
int unit_put_head(struct buf *out, const struct unit_head *h, struct err *e);
int unit_put_tensor(struct buf *out, const struct saver_place *p,
                    struct err *e); /* of p->spool the last part */
int unit_put_source(struct buf *out, const struct unit_source *s, struct err *e);

struct unit_reader {
    const char *p;
    size_t n, at;
};
/* 0, or -1: the record ends too early, or holds what no record holds. Texts are borrowed. */
int unit_get_head(struct unit_reader *r, struct unit_head *out);
int unit_get_tensor(struct unit_reader *r, struct saver_place *out);
int unit_get_source(struct unit_reader *r, struct unit_source *out);
const void *unit_get_value(struct unit_reader *r,
                           const struct unit_head *h); /* NULL: not so many bytes are left */
#endif
