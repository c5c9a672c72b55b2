/* grammar_native.c - qpipe's own grammar: a head, and `stages:` as a list. */
#include "recipes/build.h"

#include <stddef.h>
#include <string.h>

const char *const sharding_words[] = { "auto", "data", "layers", NULL };
const char *const math_words[] = { "exact", "blas", NULL };
#define AT(f) offsetof(struct head, f)
const struct opt head_options[] = {
    { .name = "version",
      .type = OPT_INT,
      .at = AT(version),
      .def = 1,
      .min = 1,
      .max = 1,
      .doc = "Version of the grammar." },
    { .name = "model", .type = OPT_PATH, .at = AT(model), .doc = "Folder of the source checkpoint." },
    { .name = "output", .type = OPT_PATH, .at = AT(output), .doc = "Folder to write." },
    { .name = "seed",
      .type = OPT_INT,
      .at = AT(seed),
      .max = 9007199254740992.0,
      .doc = "Seed of every random choice." },
    { .name = "dialect",
      .type = OPT_STR,
      .at = AT(dialect),
      .doc = "Release of llm-compressor whose defaults hold; the newest when left out." },
    { .name = "threads",
      .type = OPT_INT,
      .at = AT(threads),
      .max = 4096,
      .doc = "Worker threads unless the command line says otherwise." },
    { .name = "sharding",
      .type = OPT_ENUM,
      .at = AT(sharding),
      .words = sharding_words,
      .doc =
          "How ranks share the work; the bytes are the same. data: calibration samples, then the matrices of a group; "
          "layers: runs of blocks (sequential: false) or of modules (no data); auto: what a plan finds faster." },
    { .name = "math",
      .type = OPT_ENUM,
      .at = AT(math),
      .words = math_words,
      .doc = "exact: the same bits everywhere; blas: a BLAS library's." },
    { .name = "serve",
      .type = OPT_NODE,
      .at = AT(serve),
      .doc = "What a runtime will do with the checkpoint, for checks." },
    { .name = "vars",
      .type = OPT_NODE,
      .at = AT(vars),
      .doc = "Names for ${name} in values; --set changes them." },
    { .name = "variants",
      .type = OPT_NODE,
      .at = AT(variants),
      .doc = "Named sets of values for vars; --variant takes one." },
    { .name = "stages", .type = OPT_NODE, .at = AT(stages), .doc = "What happens, in order." },
    { .name = NULL },
};

static int read_stage(struct builder *b, const struct node *n, struct err *e)
{
    if (n->kind == NODE_SCALAR && !node_is_null(n))
        return build_named(b, n, NULL, NULL, e);
    if (n->kind == NODE_MAP && n->n == 1)
        return build_named(b, n->key[0], n->item[0], NULL, e);
    err_at(e, ERR_INPUT, n->at,
           "found %s, expected a stage: its name, or a mapping of its name to its options", node_what(n));
    if (n->kind == NODE_MAP && n->n > 1)
        return err_hint(e, "indent the options below the name, and begin each stage with a dash");
    return -1;
}

static int check_order(const struct recipe *r, struct err *e)
{
    static const char *const names[] = { "load", "calibrate", NULL, "verify", "save" };
    bool seen[5] = { false };
    for (size_t i = 0; i < r->n; i++) {
        const struct recipe_stage *s = &r->stage[i];
        enum stage_kind k = s->spec->kind;
        if (k != STAGE_MODIFIER && seen[k])
            return err_at(e, ERR_INPUT, s->at, "found a second stage '%s', expected at most one", names[k]);
        if (k == STAGE_LOAD && i)
            return err_at(e, ERR_INPUT, s->at, "found stage load as number %zu, expected it first", i + 1);
        if (k == STAGE_CALIBRATE && (seen[STAGE_MODIFIER] || seen[STAGE_SAVE]))
            return err_at(e, ERR_INPUT, s->at,
                          "found stage calibrate behind a modifier, expected it before all of them");
        if (k == STAGE_MODIFIER && (seen[STAGE_SAVE] || seen[STAGE_VERIFY]))
            return err_at(e, ERR_INPUT, s->at, "found %s behind %s, expected modifiers before", s->spec->name,
                          seen[STAGE_SAVE] ? "save" : "verify");
        seen[k] = true;
    }
    return 0;
}

int grammar_native(struct builder *b, const struct node *root, struct err *e)
{
    const struct node *stages = node_get(root, "stages");
    if (!node_get(root, "version")) {
        err_at(e, ERR_INPUT, root->at, "the recipe has no version");
        return err_hint(e, "begin with `version: 1`");
    }
    if (!stages || stages->kind != NODE_LIST || !stages->n)
        return err_at(e, ERR_INPUT, stages ? stages->at : root->at,
                      "stages: found %s, expected a list of stages", stages ? node_what(stages) : "nothing");
    for (size_t i = 0; i < stages->n; i++)
        if (read_stage(b, stages->item[i], e))
            return -1;
    return check_order(b->r, e);
}
