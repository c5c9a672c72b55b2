/* help.h - what the tests of recipes share: an error as one text, a small Llama's modules, whole files. */
#ifndef QP_TESTS_RECIPES_HELP_H
#define QP_TESTS_RECIPES_HELP_H
#include "recipes/match.h"
#include "recipes/recipe.h"

/* "LINE:COL: what\n" and, where there is one, "hint: ...\n". Without a place: "what\n". */
const char *error_text(const struct err *e);
/* Parses a text as NAME.yaml of the working folder. */
int parse(const char *text, struct recipe *out, struct err *e);
/* parse, and the text it resolves to; aborts the test when it does not parse, or when what it resolves to resolves to
 * something else. Freed with buf_release. */
struct buf resolve(const char *text);

/* Two layers: embedding, norms, q k v o, gate up down, head. */
enum { LLAMA_MODULES = 21 };
extern const struct match_module llama[LLAMA_MODULES];
/* Stages whose quantizers find what they name in the Llama. */
int match_all(const struct recipe *r, struct strs *notes, struct err *e);
#endif
