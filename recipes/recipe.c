/* recipe.c - a file to a resolved recipe: which grammar, variables, head, stages in order, what the file leaves to be
 * added, and rules between modifiers. */
#include "recipes/recipe.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/num.h"
#include "recipes/build.h"
#include "recipes/quant_config.h"
#include "recipes/specs.h"
#include "recipes/variants.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_VARS = 256 };

/* vars: of the file, then the chosen variant's and --set over them. */
static int collect_vars(const struct node *root, const struct recipe_args *a, struct var *out, size_t *n,
                        struct err *e)
{
    const struct node *vars = node_get(root, "vars");
    *n = 0;
    if (vars && !node_is_null(vars) && vars->kind != NODE_MAP)
        return err_at(e, ERR_INPUT, vars->at, "vars: found %s, expected a mapping of names to values",
                      node_what(vars));
    for (size_t i = 0; vars && vars->kind == NODE_MAP && i < vars->n; i++) {
        if (vars->item[i]->kind != NODE_SCALAR)
            return err_at(e, ERR_INPUT, vars->item[i]->at, "vars: found %s for '%s', expected a single value",
                          node_what(vars->item[i]), vars->key[i]->text);
        if (*n == MAX_VARS)
            return err_at(e, ERR_LIMIT, vars->at, "vars: found more than %d names", MAX_VARS);
        if (strstr(vars->item[i]->text, "${")) {
            err_at(e, ERR_INPUT, vars->item[i]->at, "vars: found a variable in the value of '%s'",
                   vars->key[i]->text);
            return err_hint(e, "values of variables are taken as they are; write it out");
        }
        out[(*n)++] = (struct var){ vars->key[i]->text, vars->item[i]->text };
    }
    if (variants_apply(root, a ? a->variant : NULL, out, n, e))
        return -1;
    for (size_t s = 0; a && s < a->n_set; s++) {
        size_t i = 0;
        while (i < *n && strcmp(out[i].name, a->set[s].name))
            i++;
        if (i == *n) {
            err_set(e, ERR_INPUT, "--set: found '%s', expected a name of the recipe's vars:", a->set[s].name);
            const char *near = *n ? str_nearest(a->set[s].name, &out->name, *n, sizeof *out) : NULL;
            return near ? err_hint(e, "did you mean '%s'?", near)
                        : err_hint(e, "the recipe has %zu vars", *n);
        }
        out[i].value = a->set[s].value;
    }
    return 0;
}

static int unknown_head(const struct node *key, struct err *e)
{
    err_at(e, ERR_INPUT, key->at, "found key '%.80s', expected a key of a recipe", key->text);
    if (stage_spec_find(key->text))
        return err_hint(e, "stages and modifiers are items of the list below stages:");
    const char *near =
        str_nearest(key->text, &head_options->name, opt_count(head_options), sizeof *head_options);
    return near ? err_hint(e, "did you mean '%s'?", near)
                : err_hint(e, "keys that begin with x- are free, for anchors");
}

static int override_path(char **slot, const char *value, struct err *e)
{
    if (!value)
        return 0;
    char *copy = mem_strdup(value, e);
    if (!copy)
        return -1;
    mem_free(*slot);
    *slot = copy;
    return 0;
}

static int read_head(struct builder *b, const struct node *root, struct err *e)
{
    struct head h;
    struct recipe *r = b->r;
    if (opt_defaults(head_options, &h, e))
        return -1;
    int rc = 0;
    for (size_t i = 0; !rc && i < root->n; i++) {
        const struct opt *o = opt_find(head_options, root->key[i]->text);
        if (o)
            rc = opt_assign(o, &h, root->item[i], b->base_dir, e);
        else if (r->native && !str_starts(root->key[i]->text, "x-"))
            rc = unknown_head(root->key[i], e);
    }
    if (!rc && b->args && b->args->seed &&
        opt_assign_text(opt_find(head_options, "seed"), &h, b->args->seed, e))
        rc = err_while(e, "reading --seed");
    r->dialect = h.dialect ? dialect_find(h.dialect) : dialects;
    if (!rc && !r->dialect) {
        rc = err_at(e, ERR_INPUT, node_get(root, "dialect")->at,
                    "dialect: found '%.40s', expected a release such as \"%s\"", h.dialect, dialects->name);
        err_hint(e, "`qpipe list dialects` prints them; quote it, as in \"0.10\"");
    }
    r->seed = (uint64_t)h.seed;
    r->threads_hint = (int)h.threads;
    r->sharding = (enum sharding)h.sharding;
    r->model = h.model, h.model = NULL;
    r->output = h.output, h.output = NULL;
    r->math = rc ? NULL : mem_strdup(math_words[h.math], e);
    if (!rc)
        rc = serve_read(h.serve, &r->serve, e);
    opt_release(head_options, &h);
    if (rc || !r->math || override_path(&r->model, b->args ? b->args->model : NULL, e) ||
        override_path(&r->output, b->args ? b->args->output : NULL, e))
        return -1;
    return 0;
}

/* ---- what the file leaves to be added ---- */

static int add_missing(struct builder *b, enum stage_kind kind, const struct stage_spec *spec, struct err *e)
{
    struct src_pos nowhere = { 0 };
    return build_has(b->r, kind) ? 0 : build_stage(b, spec, NULL, nowhere, NULL, e);
}

static int by_kind(const struct recipe_stage *s)
{
    static const int rank[] = {
        [STAGE_LOAD] = 0, [STAGE_CALIBRATE] = 1, [STAGE_MODIFIER] = 2, [STAGE_SAVE] = 3, [STAGE_VERIFY] = 4
    };
    return rank[s->spec->kind];
}

/* Stable: modifiers keep their order; verify, wherever it stands, runs on what was saved. */
static void sort_stages(struct recipe *r)
{
    for (size_t i = 1; i < r->n; i++)
        for (size_t k = i; k && by_kind(&r->stage[k - 1]) > by_kind(&r->stage[k]); k--) {
            struct recipe_stage t = r->stage[k];
            r->stage[k] = r->stage[k - 1];
            r->stage[k - 1] = t;
        }
}

static int apply_dataset(struct builder *b, struct err *e)
{
    for (size_t i = 0; i < b->r->n; i++)
        if (b->r->stage[i].spec == &spec_calibrate && b->args) {
            struct calibrate_options *c = b->r->stage[i].options;
            return override_path(&c->dataset, b->args->dataset, e);
        }
    return 0;
}

/* ---- rules between modifiers ---- */

static int check_modifiers(const struct recipe *r, struct err *e)
{
    bool schemes = false;
    for (size_t i = 0; i < r->n; i++) {
        const struct recipe_stage *s = &r->stage[i];
        bool later = false;
        for (size_t k = i + 1; k < r->n; k++)
            later = later || r->stage[k].spec->quantizes;
        if (s->spec->transforms && schemes) {
            err_at(e, ERR_INPUT, s->at, "%s stands behind a modifier that quantizes, expected it before",
                   s->spec->name);
            return err_hint(e, "smoothing changes weights; it has to come before they are quantized");
        }
        bool smooths = s->spec == &spec_awq || s->spec == &spec_smoothquant || s->spec == &spec_logeq;
        if (smooths && !later) {
            err_at(e, ERR_INPUT, s->at, "%s has no modifier behind it that quantizes", s->spec->name);
            return err_hint(e, "add a QuantizationModifier or GPTQModifier with a scheme");
        }
        if (!s->spec->quantizes)
            continue;
        bool own = s->quant && (s->quant->n || s->quant->has_kv_cache);
        if (!own && !schemes) {
            err_at(e, ERR_INPUT, s->at, "%s has no scheme and no config_groups", s->spec->name);
            return err_hint(e, "add scheme: W4A16, or another of `qpipe list schemes`");
        }
        schemes = true;
    }
    return 0;
}

/* Only native files have an order of save and verify. */
static int note_verify(struct builder *b, struct err *e)
{
    const struct recipe_stage *verify = NULL;
    for (size_t i = 0; b->r->native && i < b->r->n; i++) {
        const struct recipe_stage *s = &b->r->stage[i];
        if (s->spec == &spec_verify)
            verify = s;
        if (s->spec == &spec_save && verify && s->at.line)
            return build_note(b, verify->at, e, "verify runs behind save, on what was saved");
    }
    return 0;
}

static int finish(struct builder *b, struct err *e)
{
    if (!build_has(b->r, STAGE_MODIFIER)) {
        struct src_pos at = yaml_doc_root(b->r->doc)->at;
        return err_at(e, ERR_INPUT, at, "the recipe has no modifier; nothing would be done");
    }
    bool data = b->args && b->args->dataset;
    for (size_t i = 0; i < b->r->n; i++)
        data = data || build_needs_data(&b->r->stage[i]);
    if (add_missing(b, STAGE_LOAD, &spec_load, e) ||
        (data && add_missing(b, STAGE_CALIBRATE, &spec_calibrate, e)) ||
        add_missing(b, STAGE_SAVE, &spec_save, e) || note_verify(b, e))
        return -1;
    sort_stages(b->r);
    return apply_dataset(b, e) || check_modifiers(b->r, e) ? -1 : 0;
}

static bool is_native(const struct node *root)
{
    for (size_t i = 0; i < root->n; i++)
        if (str_ends(root->key[i]->text, "_stage") && !str_starts(root->key[i]->text, "x-"))
            return false;
    return node_get(root, "stages") || node_get(root, "version");
}

/* Variants of one file must not write one folder. */
static int tell_output_apart(struct builder *b, struct err *e)
{
    const struct recipe_args *a = b->args;
    if (!a || !a->variant || a->output || !b->r->output)
        return 0;
    size_t n = strlen(b->r->output);
    while (n > 1 && b->r->output[n - 1] == '/')
        n--;
    char *named = mem_printf(e, "%.*s-%s", (int)n, b->r->output, a->variant);
    mem_free(b->r->output);
    b->r->output = named;
    return named ? 0 : -1;
}

static int read_root(struct builder *b, struct err *e)
{
    const struct node *root = yaml_doc_root(b->r->doc);
    struct var *vars = NULL;
    size_t n = 0;
    if (root->kind != NODE_MAP)
        return err_at(e, ERR_INPUT, root->at, "found %s, expected a mapping: a recipe", node_what(root));
    vars = mem_array(MAX_VARS + 1, sizeof *vars, e);
    if (!vars)
        return -1;
    bool name_output = variants_name_output(root);
    int rc = collect_vars(root, b->args, vars, &n, e);
    if (!rc)
        rc = yaml_doc_substitute(b->r->doc, vars, n, e);
    mem_free(vars);
    if (rc)
        return -1;
    b->r->native = is_native(root);
    if (read_head(b, root, e) || (name_output && tell_output_apart(b, e)))
        return -1;
    return (b->r->native ? grammar_native(b, root, e) : grammar_peer(b, root, e)) || finish(b, e) ? -1 : 0;
}

int recipe_parse(const char *text, size_t n, const char *path, const struct recipe_args *args,
                 struct recipe *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    struct builder b = { .r = out, .args = args };
    char *dir = path_dir(path, e);
    out->path = dir ? mem_strdup(path, e) : NULL;
    b.base_dir = dir && strcmp(dir, ".") != 0 ? dir : NULL;
    int rc = out->path && (out->doc = yaml_doc_parse(text, n, out->path, e)) ? read_root(&b, e) : -1;
    mem_free(dir);
    if (rc)
        recipe_release(out);
    return rc;
}

int recipe_read(const char *path, const struct recipe_args *args, struct recipe *out, struct err *e)
{
    struct buf text = { 0 };
    memset(out, 0, sizeof *out);
    int rc = file_read(path, 4 << 20, &text, e);
    if (!rc)
        rc = recipe_parse(text.p ? text.p : "", text.len, path, args, out, e);
    buf_release(&text);
    return rc;
}

void recipe_release(struct recipe *r)
{
    for (size_t i = 0; i < r->n; i++) {
        struct recipe_stage *s = &r->stage[i];
        opt_release(s->spec->options, s->options);
        mem_free(s->options);
        mem_free(s->given);
        mem_free(s->group);
        if (s->quant)
            quant_config_release(s->quant);
        mem_free(s->quant);
    }
    mem_free(r->stage);
    mem_free(r->path);
    mem_free(r->model);
    mem_free(r->output);
    mem_free(r->math);
    strs_release(&r->notes);
    yaml_doc_free(r->doc);
    memset(r, 0, sizeof *r);
}

int recipe_refuse(const struct recipe *r, struct err *e)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->stage[i].spec->unbuilt) {
            err_at(e, ERR_UNBUILT, r->stage[i].at, "%s: %s", r->stage[i].spec->name,
                   r->stage[i].spec->unbuilt);
            return err_hint(
                e,
                "this version has QuantizationModifier and GPTQModifier; `qpipe list modifiers` says which are built");
        }
    return 0;
}
