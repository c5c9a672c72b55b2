/* save.h - a checkpoint on its way out: tensors come in any order, are packed by a container, spread over shards of at
 * most shard_size bytes, and listed in model.safetensors.index.json when there is more than one. Tensors are kept in a
 * spool file until a shard is complete, so memory does not grow with the model; those that lie in a file already (of the
 * source, of another spool) are taken from where they lie. */
#ifndef QP_IO_SAVE_H
#define QP_IO_SAVE_H
#include "base/qtensor.h"
#include "base/str.h"
#include "base/tensor.h"

struct saved_tensor { /* for the manifest */
    char *name, *file;
    enum dtype dtype;
    int rank;
    int64_t dim[RANK_MAX];
    char sha256[65];
};
struct saved_file {
    char *name;
    uint64_t bytes;
    char sha256[65];
};
struct saver;
/* dir: an out_dir's folder that exists. The order of tensors in shards is fixed by their names (natural order: layer 2
 * before layer 10), never by the order of the calls. */
struct saver *saver_new(const char *dir, uint64_t shard_size, struct err *e);
/* saver_new_in - with its spool under a name that must not exist, and which stays: who made the saver removes it. */
struct saver *saver_new_in(const char *dir, const char *spool, uint64_t shard_size, struct err *e);
int saver_put(struct saver *s, const char *name, enum dtype t, int rank, const int64_t *dim, const void *data,
              struct err *e);
int saver_put_view(struct saver *s, const char *name, const struct tensor_view *v,
                   struct err *e); /* copied byte for byte */
/* A tensor whose bytes come in pieces, in order: open, append as often as it takes, close. One at a time. */
int saver_open(struct saver *s, const char *name, enum dtype t, int rank, const int64_t *dim, struct err *e);
int saver_append(struct saver *s, const void *p, uint64_t n, struct err *e);
int saver_close(struct saver *s, struct err *e);
/* saver_put_borrowed - bytes that stay where they are (a mapped source) until the saver is freed. Their digest is the caller's
 * to give, by saver_digest before saver_publish. */
int saver_put_borrowed(struct saver *s, const char *name, const struct tensor_view *v, struct err *e);
void saver_digest(struct saver *s, const char *name,
                  const char sha256[65]); /* no such tensor, or not borrowed: nothing */
/* saver_adopt - a tensor that another saver has spooled: its place there. ERR_INPUT when its bytes are not those of p. */
struct saver_place {
    const char *name, *spool; /* borrowed; spool: the file's path, NULL for borrowed bytes */
    enum dtype dtype;
    int rank;
    int64_t dim[RANK_MAX];
    uint64_t at, bytes;
    char sha256[65];
};
int saver_adopt(struct saver *s, const struct saver_place *p, struct err *e);
/* Tensors so far, in the order of the calls (until saver_end): their places; their bytes, valid while the saver is. */
int64_t saver_count(const struct saver *s);
void saver_place_of(const struct saver *s, int64_t i, struct saver_place *out);
int saver_view(const struct saver *s, int64_t i, struct tensor_view *out, struct err *e);
int saver_sync(struct saver *s, struct err *e); /* what was put so far is safe on disk */
/* Shards and index. saver_finish does all of it; or a caller with threads: saver_end closes the spool, cuts shards and says
 * how many tasks there are; saver_task does task i (each once, in any order, any thread; large ones first); saver_publish
 * when all succeeded. */
int saver_finish(struct saver *s, struct err *e);
int saver_end(struct saver *s, int64_t *n_tasks, struct err *e);
int saver_task(struct saver *s, int64_t i, struct err *e);
/* saver_shard - of a shard that another process has written into the same folder (its task i), instead of saver_task. */
void saver_shard(struct saver *s, int64_t i, uint64_t bytes, const char sha256[65]);
int saver_publish(struct saver *s, struct err *e);
/* After finish; sorted by name. */
const struct saved_tensor *saver_tensors(const struct saver *s, int64_t *n);
const struct saved_file *saver_files(const struct saver *s, int64_t *n);
void saver_free(struct saver *s);
#endif
