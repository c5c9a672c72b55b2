/* safetensors.h - the file format: u64 header length, JSON header, data. Reading checks everything (limits in
 * safetensors.c); writing goes through out_file, so a file is complete or absent. */
#ifndef QP_IO_SAFETENSORS_H
#define QP_IO_SAFETENSORS_H
#include "base/file.h"
#include "base/tensor.h"

struct st_entry {
    struct tensor_info info; /* name owned by the st_file */
    uint64_t begin, end;     /* bytes in the mapped file, absolute */
};
struct st_file {
    struct mapped map;
    const unsigned char *base; /* the bytes of the file: those of map, or the caller's (st_parse) */
    struct st_entry *entry;    /* sorted by name */
    int64_t n;
    struct json *metadata; /* __metadata__, or NULL */
};
int st_open(const char *path, struct st_file *out, struct err *e);
int st_parse(const unsigned char *p, uint64_t n, const char *name, struct st_file *out,
             struct err *e); /* for fuzzing: map stays empty */
void st_close(struct st_file *f);
const struct st_entry *st_find(const struct st_file *f, const char *name);
struct tensor_view st_view(const struct st_file *f, const struct st_entry *t);

/* One file to be written: declare every tensor in order, then give the bytes of each in the same order. The order in
 * the file is as compressed-tensors' and torch's writer lays it: by dtype size descending, then by name. */
struct st_writer;
struct st_writer *st_writer_new(struct err *e);
int st_writer_add(struct st_writer *w, const char *name, enum dtype t, int rank, const int64_t *dim,
                  struct err *e);
/* begin: sorts, writes the header ({"format":"pt"} as metadata). next: the tensor whose bytes are due, NULL when done. */
int st_writer_begin(struct st_writer *w, const char *path, struct err *e);
const struct tensor_info *st_writer_next(const struct st_writer *w);
int st_writer_put(struct st_writer *w, const void *p, uint64_t n,
                  struct err *e);                                          /* part or all of the due tensor */
uint64_t st_writer_tell(const struct st_writer *w);                        /* bytes of the file so far */
int st_writer_finish(struct st_writer *w, char sha256[65], struct err *e); /* frees w, also on failure */
void st_writer_abandon(struct st_writer *w);
#endif
