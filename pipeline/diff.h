/* diff.h - why two outputs are not equal: the first difference of each kind, causes before effects. Causes stand in the two
 * manifests (who made it, by which recipe, from what); effects are read from the files themselves and decoded by the
 * container that wrote them, so that a folder which is not what its manifest says is found out, too. */
#ifndef QP_PIPELINE_DIFF_H
#define QP_PIPELINE_DIFF_H
#include "base/json.h"
#include "base/str.h"

/* In the order in which one explains the next; the first that differs is the answer. */
enum diff_kind {
    DIFF_VERSION,
    DIFF_RECIPE,
    DIFF_INPUT,
    DIFF_PLAN,
    DIFF_TENSOR,
    DIFF_FILE,
    DIFF_NUMBERS,
    DIFF_KINDS
};
extern const char *const diff_words[DIFF_KINDS];

/* The first difference of a kind; what == NULL: none found. */
struct difference {
    char *what;  /* where it is: "stages[1].options.scheme", a module, a tensor, a file */
    char *a, *b; /* the two values */
    char *also;  /* how much more differs, or NULL */
    /* DIFF_TENSOR, when it can be said: "code", "scale", "zero_point", "global_scale", "value", "dtype", "shape",
     * "absent"; the module (NULL: none); the element, -1: not said */
    const char *part;
    char *module;
    int64_t row, col;
};
struct diff {
    struct difference first[DIFF_KINDS];
    bool manifests; /* both have one; else only files were compared */
    int64_t tensors, tensors_differ, files, files_differ;
    struct strs lies; /* "A: FILE is not what its manifest says" */
};
/* diff_outputs - a, b: folders, or archives of such. ERR_INPUT when one can not be read at all. */
int diff_outputs(const char *a, const char *b, struct diff *out, struct err *e);
void diff_release(struct diff *d);
bool diff_equal(const struct diff *d);
int diff_text(const struct diff *d, const char *a, const char *b, struct buf *out, struct err *e);
void diff_json(const struct diff *d, struct jw *w);

/* Between the files of diff. */
/* difference_set - keeps the first: a second call does nothing. Values: copied. */
int difference_set(struct difference *d, const char *what, const char *a, const char *b, struct err *e);
/* diff_trees - the first place where two JSON values differ, as a path below `where` ("seed", "files[config.json].sha256"; items
 * of arrays go by their member `name` where both have one, else by index). */
int diff_trees(const struct json *a, const struct json *b, const char *where, struct difference *out,
               struct err *e);
/* diff_tensors - the stored tensors of both folders. modules: an object whose keys are modules in the order of the model, or NULL. */
int diff_tensors(const char *a, const char *b, const struct json *modules, struct diff *d, struct err *e);
#endif
