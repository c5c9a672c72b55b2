/* grammar_peer.c - llm-compressor's grammar: NAME_stage > NAME_modifiers > Modifier. What the peer drops without a word
 * is an error here. */
#include "recipes/build.h"
#include "recipes/specs.h"

#include <string.h>

static int not_a_map(const struct node *key, const struct node *n, const char *what, struct err *e)
{
    return err_at(e, ERR_INPUT, n->at, "%s: found %s, expected %s", key->text, node_what(n), what);
}

static int read_modifiers(struct builder *b, const struct node *key, const struct node *n, struct err *e)
{
    char group[128];
    size_t len = strlen(key->text) - strlen("_modifiers");
    if (len >= sizeof group)
        return err_at(e, ERR_LIMIT, key->at, "the name of a group has %zu bytes, expected at most %zu", len,
                      sizeof group - 1);
    snprintf(group, sizeof group, "%.*s", (int)len, key->text);
    if (n->kind == NODE_LIST) { /* an ordered list; the peer drops it */
        for (size_t i = 0; i < n->n; i++) {
            const struct node *m = n->item[i];
            if (m->kind != NODE_MAP || m->n != 1)
                return not_a_map(key, m, "a mapping of one modifier to its options", e);
            if (build_named(b, m->key[0], m->item[0], group, e))
                return -1;
        }
        return 0;
    }
    if (n->kind != NODE_MAP || !n->n)
        return not_a_map(key, n, "a mapping of modifiers", e);
    for (size_t i = 0; i < n->n; i++)
        if (build_named(b, n->key[i], n->item[i], group, e))
            return -1;
    return 0;
}

/* A key that the peer stores and never reads; `train` was another program. */
static int check_run_type(const struct node *n, struct err *e)
{
    if (node_is_null(n) || (n->kind == NODE_SCALAR && !strcmp(n->text, "oneshot")))
        return 0;
    return err_at(e, ERR_INPUT, n->at, "run_type: found %s, expected oneshot", node_what(n));
}

static int read_stage(struct builder *b, const struct node *key, const struct node *n, struct err *e)
{
    if (n->kind != NODE_MAP || !n->n)
        return not_a_map(key, n, "a mapping of groups, each NAME_modifiers", e);
    for (size_t i = 0; i < n->n; i++) {
        const struct node *k = n->key[i];
        if (str_ends(k->text, "_modifiers") && strlen(k->text) > strlen("_modifiers")) {
            if (read_modifiers(b, k, n->item[i], e))
                return -1;
            continue;
        }
        if (!strcmp(k->text, "run_type")) {
            if (check_run_type(n->item[i], e))
                return -1;
            continue;
        }
        err_at(e, ERR_INPUT, k->at, "found key '%s' in a stage, expected NAME_modifiers", k->text);
        if (stage_spec_find(k->text))
            return err_hint(e, "put it below a group: %s: { quant_modifiers: { %s: ... } }", key->text,
                            k->text);
        return err_hint(e, "did you mean '%s_modifiers'?", strcmp(k->text, "modifiers") ? k->text : "quant");
    }
    return 0;
}

static bool looks_like_modifiers(const struct node *n)
{
    for (size_t i = 0; n->kind == NODE_MAP && i < n->n; i++)
        if (str_ends(n->key[i]->text, "_modifiers") || stage_spec_find(n->key[i]->text))
            return true;
    return false;
}

static int unknown_top(const struct node *key, const struct node *value, struct err *e)
{
    static const char *const own[] = { "model",  "output", "seed",     "dialect",  "threads",
                                       "math",   "vars",   "sharding", "variants", "calibrate",
                                       "verify", "save",   "stages",   "version",  "serve" };
    err_at(e, ERR_INPUT, key->at, "found key '%.80s', expected NAME_stage or a key of qpipe's own",
           key->text);
    if (stage_spec_find(key->text))
        return err_hint(e, "put it below a stage and a group: quant_stage: { quant_modifiers: { %s: ... } }",
                        key->text);
    if (!strcmp(key->text, "args"))
        return err_hint(
            e, "args and eval() went with llm-compressor 0.7; write the values, or use vars: and ${name}");
    if (looks_like_modifiers(value))
        return err_hint(e, "did you mean '%s_stage'?", key->text);
    const char *near = str_nearest(key->text, own, sizeof own / sizeof *own, sizeof *own);
    return near ? err_hint(e, "did you mean '%s'? Keys that begin with x- are free, for anchors", near)
                : err_hint(e, "keys that begin with x- are free, for anchors");
}

static int read_top(struct builder *b, const struct node *key, const struct node *value, struct err *e)
{
    static const struct {
        const char *name;
        const struct stage_spec *spec;
    } own[] = { { "calibrate", &spec_calibrate }, { "verify", &spec_verify }, { "save", &spec_save } };
    if (str_starts(key->text, "x-"))
        return 0;
    if (str_ends(key->text, "_stage") && strlen(key->text) > strlen("_stage"))
        return read_stage(b, key, value, e);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (!strcmp(key->text, own[i].name))
            return build_stage(b, own[i].spec, value, key->at, NULL, e);
    bool empty = node_is_null(value) || (value->kind == NODE_MAP && !value->n);
    if (!strcmp(key->text, "args") && empty)
        return 0;
    if (!strcmp(key->text, "stages")) {
        err_at(e, ERR_INPUT, key->at, "found stages: beside NAME_stage, expected one grammar in a file");
        return err_hint(e, "move the modifiers below stages:, or leave stages: out");
    }
    if (opt_find(head_options, key->text))
        return 0;
    return unknown_top(key, value, e);
}

int grammar_peer(struct builder *b, const struct node *root, struct err *e)
{
    bool any = false;
    for (size_t i = 0; i < root->n; i++) {
        any = any || (str_ends(root->key[i]->text, "_stage") && !str_starts(root->key[i]->text, "x-"));
        if (read_top(b, root->key[i], root->item[i], e))
            return -1;
    }
    if (any)
        return 0;
    err_at(e, ERR_INPUT, root->at, "found no stage");
    return err_hint(e,
                    "a recipe has `stages:` (with `version: 1`), or NAME_stage as in llm-compressor's files");
}
