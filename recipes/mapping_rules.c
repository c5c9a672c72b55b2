/* mapping_rules.c - the mappings of a recipe, read and compiled. */
#include "recipes/mapping_rules.h"

#include "base/mem.h"
#include "recipes/pattern.h"

#include <string.h>

static int read_one(const struct node *n, struct name_patterns *out, struct err *e)
{
    struct name_pattern *p = &out->v[out->n];
    if (n->kind != NODE_SCALAR || node_is_null(n) || !*n->text)
        return err_at(e, ERR_INPUT, n->at, "found %s, expected the name of a layer or a re: pattern",
                      node_what(n));
    *p = (struct name_pattern){ .text = n->text, .at = n->at };
    if (str_starts(n->text, "re:")) {
        struct err why = { 0 };
        p->regex = pattern_new(n->text + 3, &why);
        if (!p->regex)
            return err_at(e, why.code, n->at, "%s", why.what);
    }
    out->n++;
    return 0;
}

int name_patterns_read(const struct node *n, struct name_patterns *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    if (!n || node_is_null(n))
        return 0;
    bool list = n->kind == NODE_LIST;
    size_t count = list ? n->n : 1;
    out->v = mem_array(count ? count : 1, sizeof *out->v, e);
    int rc = out->v ? 0 : -1;
    for (size_t i = 0; !rc && i < count; i++)
        rc = read_one(list ? n->item[i] : n, out, e);
    if (rc)
        name_patterns_release(out);
    return rc;
}

void name_patterns_release(struct name_patterns *p)
{
    for (size_t i = 0; i < p->n; i++)
        regex_free(p->v[i].regex);
    mem_free(p->v);
    memset(p, 0, sizeof *p);
}

int64_t name_patterns_find(const struct name_patterns *p, const char *name, struct err *e)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct name_pattern *q = &p->v[i];
        size_t from, to;
        int hit =
            q->regex ? regex_find(q->regex, name, strlen(name), 0, &from, &to, e) : !strcmp(q->text, name);
        if (hit < 0)
            return err_while(e, "matching '%s' with '%s'", q->text, name);
        if (hit)
            return (int64_t)i;
    }
    return (int64_t)p->n;
}

/* Keys of the mapping form. activation_hook_target: where the peer listens; null or left out means the first balance layer. */
static int check_keys(const struct node *n, struct err *e)
{
    static const char *const known[] = { "smooth_layer", "balance_layers", "activation_hook_target" };
    for (size_t i = 0; i < n->n; i++) {
        size_t k = 0;
        while (k < 3 && strcmp(known[k], n->key[i]->text))
            k++;
        if (k == 3)
            return err_at(e, ERR_INPUT, n->key[i]->at,
                          "mappings: found key '%s', expected smooth_layer and balance_layers",
                          n->key[i]->text);
        if (k == 2 && !node_is_null(n->item[i]))
            return err_at(
                e, ERR_UNBUILT, n->key[i]->at,
                "mappings: activation_hook_target is not built; inputs are those of the balance layers");
    }
    return 0;
}

static int read_rule(const struct node *n, struct mapping_rule *out, struct err *e)
{
    const struct node *smooth = NULL, *balance = NULL;
    if (n->kind == NODE_MAP) {
        if (check_keys(n, e))
            return -1;
        smooth = node_get(n, "smooth_layer");
        balance = node_get(n, "balance_layers");
    } else if (n->kind == NODE_LIST && n->n == 2) {
        balance = n->item[0];
        smooth = n->item[1];
    }
    if (!smooth || smooth->kind != NODE_SCALAR || !balance || balance->kind != NODE_LIST || !balance->n) {
        err_at(e, ERR_INPUT, n->at,
               "mappings: found %s, expected a layer to smooth and a list of layers that balance it",
               node_what(n));
        return err_hint(e,
                        "write {smooth_layer: 're:.*input_layernorm', balance_layers: ['re:.*q_proj', ...]}");
    }
    out->at = n->at;
    return name_patterns_read(smooth, &out->smooth, e) || name_patterns_read(balance, &out->balance, e) ? -1
                                                                                                        : 0;
}

int mapping_rules_read(const struct node *n, struct mapping_rules *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    if (!n || node_is_null(n))
        return 0;
    if (n->kind != NODE_LIST || !n->n)
        return err_at(e, ERR_INPUT, n->at, "mappings: found %s, expected a list of mappings", node_what(n));
    out->v = mem_array(n->n, sizeof *out->v, e);
    int rc = out->v ? 0 : -1;
    for (size_t i = 0; !rc && i < n->n; i++) {
        out->n = i + 1;
        rc = read_rule(n->item[i], &out->v[i], e);
    }
    if (rc)
        mapping_rules_release(out);
    return rc;
}

void mapping_rules_release(struct mapping_rules *r)
{
    for (size_t i = 0; i < r->n; i++) {
        name_patterns_release(&r->v[i].smooth);
        name_patterns_release(&r->v[i].balance);
    }
    mem_free(r->v);
    memset(r, 0, sizeof *r);
}
