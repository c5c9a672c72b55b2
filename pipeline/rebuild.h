/* rebuild.h - an output made again from its manifest: the same inputs by digest, the resolved recipe beside it, and then every
 * tensor and file by digest - of the whole output, or of a few modules that anyone would have drawn. */
#ifndef QP_PIPELINE_REBUILD_H
#define QP_PIPELINE_REBUILD_H
#include "pipeline/diff.h"
#include "pipeline/manifest.h"

struct rebuild_options {
    const char *manifest;                  /* manifest.json, or the folder that holds it */
    const char *model, *dataset, *heldout; /* heldout NULL: numbers on text are not made again */
    const char *output;                    /* a folder to keep; NULL: a temporary one, removed */
    int64_t sample;                        /* modules; 0: all, and all files */
};
struct rebuild {
    char manifest_sha256[HASH_HEX];
    char *version;               /* how the builder of the manifest differs from this program, or NULL */
    int64_t inputs;              /* files and tensors of the source that were checked */
    int64_t modules, of_modules; /* made again, of how many */
    struct strs module;          /* sample > 0: their names, in the order of the model */
    int64_t tensors, tensors_differ, files, files_differ;
    bool numbers;            /* the verification was made again, too */
    struct strs wrong;       /* a line each */
    struct difference first; /* whole rebuilds: where the two manifests part, or nothing */
};
/* rebuild_run - ERR_INPUT, before anything is computed, when an input is not the recorded one: its name, both digests. */
int rebuild_run(const struct rebuild_options *o, struct rebuild *out, struct err *e);
void rebuild_release(struct rebuild *r);
bool rebuild_equal(const struct rebuild *r);
int rebuild_text(const struct rebuild *r, const struct rebuild_options *o, struct buf *out, struct err *e);
void rebuild_json(const struct rebuild *r, struct jw *w);
/* rebuild_draw - k of n, ascending into out [min(k, n)]; returns how many. A function of the manifest's digest alone: the first k
 * of Philox's permutation of n, seeded by the digest's first 64 bits (as a big-endian number). */
int64_t rebuild_draw(const char manifest_sha256[HASH_HEX], int64_t n, int64_t k, int64_t *out, struct err *e);
/* rebuild_modules - j: planned. The drawn modules are made by the pass into dir, and compared with what the manifest says. */
int rebuild_modules(struct job *j, const char *dir, const struct json *predicate, struct rebuild *r,
                    struct err *e);
#endif
