/* variants.h - inside recipes: `variants:`, named sets of values for the recipe's vars. One is chosen by name; it stands between
 * the file's vars and --set. */
#ifndef QP_RECIPES_VARIANTS_H
#define QP_RECIPES_VARIANTS_H
#include "recipes/recipe.h"

/* variants_apply - checks the whole of `variants:` of root and puts the chosen set over v [n], the file's vars. name: NULL when
 * none was chosen, which is an error where there are some. Appends the variable `variant`; v has room for one more. */
int variants_apply(const struct node *root, const char *name, struct var *v, size_t *n, struct err *e);
/* variants_name_output - whether the output has to be told apart by "-NAME": the file's own text does not say ${variant}. Before
 * variables are put in place. */
bool variants_name_output(const struct node *root);
#endif
