/* build.h - inside recipes: a recipe while it grows, shared by the two grammars. */
#ifndef QP_RECIPES_BUILD_H
#define QP_RECIPES_BUILD_H
#include "recipes/recipe.h"

struct builder {
    struct recipe *r;
    const struct recipe_args *args;
    const char *base_dir; /* of relative paths */
};
/* build_stage - one stage or modifier from its mapping of options (NULL or null: none). group: the peer's, or NULL. */
int build_stage(struct builder *b, const struct stage_spec *spec, const struct node *options,
                struct src_pos at, const char *group, struct err *e);
/* build_named - the same by name, with the nearest one when it is unknown. */
int build_named(struct builder *b, const struct node *name, const struct node *options, const char *group,
                struct err *e);
/* build_note - "line N: text" on the recipe's notes, once. No path: notes stand in manifests. */
int build_note(struct builder *b, struct src_pos at, struct err *e, const char *fmt, ...) QP_PRINTF(4, 5);
bool build_needs_data(const struct recipe_stage *s);
/* A word in one option that sets another one; ends with option == NULL. */
struct shorthand {
    const char *option, *word, *other;
};
extern const struct shorthand shorthands[];
bool build_has(const struct recipe *r, enum stage_kind kind);
int grammar_native(struct builder *b, const struct node *root, struct err *e);
int grammar_peer(struct builder *b, const struct node *root, struct err *e);
/* The keys of a recipe's head that both grammars share: model, output, seed, dialect, threads, sharding, math. */
extern const struct opt head_options[];
extern const char *const math_words[];
struct head {
    char *model, *output, *dialect;
    int math, sharding; /* index into math_words, sharding_words */
    int64_t version, seed, threads;
    const struct node *vars, *variants, *stages, *serve;
};
/* serve_read - n: its mapping, or NULL. */
int serve_read(const struct node *n, struct serve_options *out, struct err *e);
#endif
