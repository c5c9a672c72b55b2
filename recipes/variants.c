/* variants.c - named sets of values for a recipe's vars: one file, several jobs. */
#include "recipes/variants.h"

#include "base/file.h"
#include "base/mem.h"

#include <string.h>

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

/* A name becomes part of paths and of job names. */
static int check_name(const struct node *key, struct err *e)
{
    size_t n = strlen(key->text);
    if (n && n <= 64 && strspn(key->text, letters) == n && key->text[0] != '.' && key->text[0] != '-')
        return 0;
    err_at(e, ERR_INPUT, key->at, "variants: found name '%.80s', expected 1 to 64 of A-Z a-z 0-9 . _ -",
           key->text);
    return err_hint(e, "it is appended to the output's name; begin with a letter or a digit");
}

static struct var *find(struct var *v, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(v[i].name, name))
            return v + i;
    return NULL;
}

static int unknown(const struct node *key, const char *variant, const struct var *v, size_t n, struct err *e)
{
    err_at(e, ERR_INPUT, key->at,
           "variants: found '%.80s' in '%s', expected a name of the recipe's vars:", key->text, variant);
    const char *near = n ? str_nearest(key->text, &v->name, n, sizeof *v) : NULL;
    return near ? err_hint(e, "did you mean '%s'?", near)
                : err_hint(e, "add it to vars: with the value that holds where a variant says nothing");
}

static int check_value(const struct node *v, const char *name, const char *variant, struct err *e)
{
    if (v->kind != NODE_SCALAR)
        return err_at(e, ERR_INPUT, v->at, "variants: found %s for '%s' in '%s', expected a single value",
                      node_what(v), name, variant);
    if (!strstr(v->text, "${"))
        return 0;
    err_at(e, ERR_INPUT, v->at, "variants: found a variable in the value of '%s' in '%s'", name, variant);
    return err_hint(e, "values of variables are taken as they are; write it out");
}

static int check_set(const struct node *key, const struct node *set, struct var *v, size_t n, struct err *e)
{
    if (check_name(key, e))
        return -1;
    if (node_is_null(set))
        return 0;
    if (set->kind != NODE_MAP)
        return err_at(e, ERR_INPUT, set->at,
                      "variants: found %s for '%s', expected a mapping of vars to values", node_what(set),
                      key->text);
    for (size_t i = 0; i < set->n; i++)
        if (check_value(set->item[i], set->key[i]->text, key->text, e) ||
            (!find(v, n, set->key[i]->text) && unknown(set->key[i], key->text, v, n, e)))
            return -1;
    return 0;
}

static int check_all(const struct node *variants, struct var *v, size_t n, struct err *e)
{
    if (variants->kind != NODE_MAP || !variants->n) {
        err_at(e, ERR_INPUT, variants->at, "variants: found %s, expected a mapping of names to sets of vars",
               node_what(variants));
        return err_hint(e, "as in `variants: { w4: { scheme: W4A16 }, w8: { scheme: W8A16 } }`");
    }
    for (size_t i = 0; i < variants->n; i++)
        if (check_set(variants->key[i], variants->item[i], v, n, e))
            return -1;
    return 0;
}

static int none_chosen(const struct node *root, const struct node *variants, struct err *e)
{
    char names[200] = "";
    size_t len = 0;
    for (size_t i = 0; i < variants->n && len < sizeof names - 8; i++) {
        int w = snprintf(names + len, sizeof names - len, "%s%s", i ? ", " : "", variants->key[i]->text);
        len += (size_t)(w > 0 ? w : 0);
    }
    err_at(e, ERR_INPUT, node_key(root, "variants")->at, "the recipe has variants, and none was chosen");
    return err_hint(e, "give --variant with one of %s; `qpipe submit` takes all of them", names);
}

static int not_found(const struct node *variants, const char *name, struct err *e)
{
    size_t n = variants ? variants->n : 0;
    err_set(e, ERR_INPUT, "--variant: found '%.80s', expected a name of the recipe's variants:", name);
    const char *near = NULL;
    for (size_t i = 0; !near && i < n; i++)
        near = str_nearest(name, &variants->key[i]->text, 1, sizeof(char *));
    return near ? err_hint(e, "did you mean '%s'?", near) : err_hint(e, "the recipe has %zu variants", n);
}

static int reserved(const struct node *root, struct err *e)
{
    const struct node *key = node_key(node_get(root, "vars"), "variant");
    return !key ? 0
                : err_at(e, ERR_INPUT, key->at,
                         "vars: found 'variant', which is the name of the chosen variant here");
}

int variants_apply(const struct node *root, const char *name, struct var *v, size_t *n, struct err *e)
{
    const struct node *variants = node_get(root, "variants"), *set = NULL;
    if (!variants || node_is_null(variants))
        return name ? not_found(NULL, name, e) : 0;
    if (check_all(variants, v, *n, e) || reserved(root, e))
        return -1;
    if (!name)
        return none_chosen(root, variants, e);
    for (size_t i = 0; i < variants->n; i++)
        if (!strcmp(variants->key[i]->text, name))
            set = variants->item[i];
    if (!set)
        return not_found(variants, name, e);
    for (size_t i = 0; set->kind == NODE_MAP && i < set->n; i++)
        find(v, *n, set->key[i]->text)->value = set->item[i]->text;
    v[(*n)++] = (struct var){ "variant", name };
    return 0;
}

bool variants_name_output(const struct node *root)
{
    const struct node *out = node_get(root, "output");
    return !out || out->kind != NODE_SCALAR || !strstr(out->text, "${variant}");
}

int recipe_variants(const char *path, struct strs *out, struct err *e)
{
    struct buf text = { 0 };
    int rc = file_read(path, 4 << 20, &text, e);
    struct yaml_doc *d = rc ? NULL : yaml_doc_parse(text.p ? text.p : "", text.len, path, e);
    const struct node *v = d ? node_get(yaml_doc_root(d), "variants") : NULL;
    rc = d ? 0 : -1;
    for (size_t i = 0; !rc && v && v->kind == NODE_MAP && i < v->n; i++)
        rc = check_name(v->key[i], e) || strs_add(out, v->key[i]->text, e) ? -1 : 0;
    yaml_doc_free(d);
    buf_release(&text);
    return rc;
}
