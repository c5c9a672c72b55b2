/* recipe.h - one recipe, fully resolved: native grammar or llm-compressor's, every default filled in, every name known,
 * every value in range. What the shape of the model decides (targets, divisibility) is left to the plan. */
#ifndef QP_RECIPES_RECIPE_H
#define QP_RECIPES_RECIPE_H
#include "recipes/node_yaml.h"
#include "recipes/options.h"

enum sharding { SHARD_AUTO, SHARD_DATA, SHARD_LAYERS };
extern const char *const sharding_words[]; /* "auto", "data", "layers", NULL */

struct recipe_stage {
    const struct stage_spec *spec;
    void *options; /* spec->size bytes, filled; owned */
    bool *given;   /* one per option row: written in the recipe */
    struct quant_config
        *quant; /* quantizes only; owned; n == 0 groups: inherits the schemes of earlier modifiers */
    struct src_pos at;
    char *group; /* llm-compressor's group ("quant"), or NULL */
};
struct recipe_args { /* from the command line; NULL: not given */
    const char *model, *dataset, *output, *seed;
    const struct var *set;
    size_t n_set;
    const char *variant; /* one of the recipe's `variants:` */
};
struct recipe {
    char *path;
    char *model, *output; /* absolute or relative to the working folder; NULL: not said anywhere */
    uint64_t seed;
    const struct dialect *dialect;
    bool native;            /* grammar */
    int threads_hint;       /* `threads:` or 0 */
    enum sharding sharding; /* how ranks share the work: changes no byte, and is not part of what is hashed */
    char *math;             /* "exact" or "blas" */
    struct serve_options serve;
    struct recipe_stage *
        stage; /* in order; load first, then calibrate, modifiers, save, verify; load and save are added when absent */
    size_t n;
    struct strs
        notes; /* what was accepted with another meaning than written: shown by plan and in the manifest */
    struct yaml_doc *doc;
};
/* recipe_read - a file. ERR_INPUT with file, line, column, what was found and expected, nearest word. Modifiers known but
 * not built yet pass here and are refused by recipe_refuse (so that plan can list all of them). */
int recipe_read(const char *path, const struct recipe_args *args, struct recipe *out, struct err *e);
int recipe_parse(const char *text, size_t n, const char *path, const struct recipe_args *args,
                 struct recipe *out, struct err *e);
void recipe_release(struct recipe *r);
/* recipe_variants - adds the names of a file's `variants:`, in its order; none is no error. What they hold is checked when one
 * of them is read. */
int recipe_variants(const char *path, struct strs *out, struct err *e);
/* recipe_refuse - ERR_UNBUILT for the first stage that this version can not run, naming those that it can. */
int recipe_refuse(const struct recipe *r, struct err *e);
/* recipe_resolved - the whole recipe as a native YAML file, deterministic, nothing left to defaults: parsing it gives
 * an equal recipe. with_paths: false leaves out model, dataset and output (for what is hashed). */
int recipe_resolved(const struct recipe *r, bool with_paths, struct buf *out, struct err *e);
/* recipe_json - the same as JSON members, for manifests. */
void recipe_json(const struct recipe *r, struct jw *w);
/* recipe_schema - a JSON Schema of the native grammar (and of llm-compressor's), from the tables. */
void recipe_schema(struct jw *w);
#endif
