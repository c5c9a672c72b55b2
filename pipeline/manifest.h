/* manifest.h - manifest.json: an in-toto statement (v1) whose subjects are the output's files, and whose predicate says how
 * they came to be. Deterministic: no time, host, path, thread count or instruction set. And its recheck. */
#ifndef QP_PIPELINE_MANIFEST_H
#define QP_PIPELINE_MANIFEST_H
#include "pipeline/run.h"

#define MANIFEST_NAME      "manifest.json"
#define RECIPE_NAME        "recipe.resolved.yaml"
#define MANIFEST_PREDICATE "urn:qpipe:compression:v1"

/* manifest_text - dir: the output as written so far (for nothing but names). */
int manifest_text(const struct job *j, const struct run_report *r, struct buf *out, struct err *e);

struct recheck {
    int64_t files, tensors, inputs, numbers; /* compared */
    struct strs wrong;                       /* a line each */
};
/* remeasure - the numbers of the manifest computed again: weight errors of every module against the original; with text
 * (NULL: not) the output errors and the model's numbers, too. They are equal to the last digit or wrong. */
int remeasure(const char *dir, const char *model, const char *text, const struct json *manifest,
              struct recheck *r, struct err *e);
/* recheck_dir - every digest of dir/manifest.json against what is on disk: files, tensors, the recipe; with model: the
 * inputs and numbers too (with text all of them);
 * files that the manifest does not know are wrong, too (except signatures: *.sig). */
int recheck_dir(const char *dir, const char *model, const char *text, struct recheck *out, struct err *e);
/* recheck_inputs - the source checkpoint against predicate.inputs: all of it, or, with modules, the files without weights and
 * the tensors of those modules. recheck_recipe - the resolved recipe in dir against predicate.recipe. */
int recheck_inputs(const char *model, const struct json *inputs, const struct strs *modules,
                   struct recheck *r, struct err *e);
int recheck_recipe(const char *dir, const struct json *recorded, struct recheck *r, struct err *e);
/* recheck_wrong - one more line. */
int recheck_wrong(struct recheck *r, struct err *e, const char *fmt, ...) QP_PRINTF(3, 4);
void recheck_release(struct recheck *r);
#endif
