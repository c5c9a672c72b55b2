/* match.c - targets and ignore lists against the modules of a model. */
#include "recipes/match.h"

#include "base/mem.h"
#include "recipes/pattern.h"

#include <stdlib.h>
#include <string.h>

enum entry_kind { BY_NAME, BY_REGEX, BY_CLASS };
struct entry {
    const char *text;
    struct src_pos at;
    enum entry_kind kind;
    int group; /* -1: ignore */
    struct regex *regex;
    size_t hits, hits_other; /* quantizable modules, others */
};
struct matcher {
    struct entry *entry; /* ignore entries first, then targets in the order that decides */
    size_t n, n_ignore;
    const struct match_module *m;
    size_t n_modules;
};

static bool has_class(const struct match_module *m, const char *name)
{
    for (const char *const *c = m->classes; *c; c++)
        if (!strcmp(*c, name))
            return true;
    return false;
}

static enum entry_kind kind_of(const struct matcher *x, const char *text)
{
    if (str_starts(text, "re:"))
        return BY_REGEX;
    for (size_t i = 0; i < x->n_modules; i++)
        if (!strcmp(x->m[i].name, text))
            return BY_NAME;
    return BY_CLASS;
}

static int add(struct matcher *x, const char *text, struct src_pos at, int group, struct err *e)
{
    struct entry *n = &x->entry[x->n];
    *n = (struct entry){ .text = text, .at = at, .kind = kind_of(x, text), .group = group };
    if (n->kind == BY_REGEX) {
        struct err why = { 0 };
        n->regex = pattern_new(text + 3, &why);
        if (!n->regex) {
            err_at(e, why.code, at, "%s", why.what);
            if (str_starts(text + 3, "*"))
                return err_hint(e, "a pattern is no glob: write re:.*%s", text + 4);
            return why.hint[0] ? err_hint(e, "%s", why.hint) : -1;
        }
    }
    x->n++;
    return 0;
}

/* Exact names, then patterns, then classes; inside a kind by bytes; the same text in two groups: the later group. */
static int by_rank(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->kind != y->kind)
        return (int)x->kind - (int)y->kind;
    int d = strcmp(x->text, y->text);
    return d ? d : y->group - x->group;
}

/* 1: matches, 0: does not, -1: the pattern gave up. */
static int matches(const struct entry *n, const struct match_module *m, struct err *e)
{
    size_t from, to;
    if (n->kind == BY_REGEX) {
        int rc = regex_find(n->regex, m->name, strlen(m->name), 0, &from, &to, e);
        return rc < 0 ? err_while(e, "matching '%s' with '%s'", n->text, m->name) : rc;
    }
    return n->kind == BY_NAME ? !strcmp(n->text, m->name) : has_class(m, n->text);
}

static int decide(struct matcher *x, const struct match_module *m, struct match_result *r, struct strs *notes,
                  struct err *e)
{
    const struct entry *ignored = NULL, *target = NULL, *second = NULL;
    for (size_t i = 0; i < x->n; i++) {
        struct entry *n = &x->entry[i];
        int hit = matches(n, m, e);
        if (hit < 0)
            return -1;
        if (!hit)
            continue;
        n->hits += m->quantizable;
        n->hits_other += !m->quantizable;
        const struct entry **slot = n->group < 0 ? &ignored : target ? &second : &target;
        if (!*slot)
            *slot = n;
    }
    *r = (struct match_result){ .group = -1 };
    const struct entry *by = target && m->quantizable && ignored ? ignored
                             : target && m->quantizable          ? target
                                                                 : ignored;
    if (!by)
        return 0;
    r->rule = by->text;
    r->at = by->at;
    r->ignored = by->group < 0;
    r->group = by->group;
    if (r->ignored || !second || second->group == target->group || !notes)
        return 0;
    char text[400];
    if (!strcmp(target->text, second->text))
        snprintf(text, sizeof text, "target '%.150s' stands in two groups; the later group decides",
                 target->text);
    else
        snprintf(
            text, sizeof text,
            "targets '%.100s' and '%.100s' of different groups both mean some modules; the first decides (names, then patterns by bytes, then classes)",
            target->text, second->text);
    return strs_has(notes, text) ? 0 : strs_add(notes, text, e);
}

/* What might have been meant by an entry that matches nothing. */
static int hint_for(const struct matcher *x, const struct entry *n, struct err *e)
{
    const char *text = n->kind == BY_REGEX ? n->text + 3 : n->text;
    char plain[256];
    size_t len = 0;
    for (const char *p = text; *p && len + 1 < sizeof plain; p++)
        if (!strchr("^$.*\\()", *p) || (*p == '.' && p[1] != '*'))
            plain[len++] = *p;
    plain[len] = '\0';
    for (size_t i = 0; len && i < x->n_modules; i++)
        if (strstr(x->m[i].name, plain)) {
            if (n->kind == BY_REGEX)
                return err_hint(
                    e, "a pattern matches from the start of the name, such as '%s'; did you mean 're:.*%s'?",
                    x->m[i].name, text);
            return err_hint(e, "a plain entry is a whole module name or a class; did you mean 're:.*%s$'?",
                            text);
        }
    const char *near = x->n_modules ? str_nearest(n->text, &x->m->name, x->n_modules, sizeof *x->m) : NULL;
    for (size_t i = 0; !near && i < x->n_modules; i++)
        near = str_nearest(n->text, x->m[i].classes, x->m[i].classes[0] != NULL, sizeof(char *));
    if (near)
        return err_hint(e, "did you mean '%s'?", near);
    return err_hint(e, "`qpipe plan` lists the modules; { match: '%s', optional: true } allows no match",
                    n->text);
}

static int check_entry(const struct quant_config *c, const struct matcher *x, const struct entry *n,
                       bool allow_unmatched, struct err *e)
{
    if (n->hits || allow_unmatched || strs_has(&c->optional, n->text))
        return 0;
    if (n->group < 0 && n->hits_other)
        return 0; /* ignoring what could not be quantized anyway is harmless */
    if (n->hits_other) {
        err_at(e, ERR_INPUT, n->at, "target '%s' matches %zu modules, none of which can be quantized",
               n->text, n->hits_other);
        return err_hint(e, "only Linear and Embedding modules hold weights that can be");
    }
    err_at(e, ERR_INPUT, n->at, "%s '%s' matches no module", n->group < 0 ? "ignore entry" : "target",
           n->text);
    return hint_for(x, n, e);
}

static int collect(struct matcher *x, const struct quant_config *c, struct err *e)
{
    size_t n = c->ignore.n;
    for (size_t g = 0; g < c->n; g++)
        n += c->group[g].targets.n;
    x->entry = mem_array(n + 1, sizeof *x->entry, e);
    if (!x->entry)
        return -1;
    for (size_t i = 0; i < c->ignore.n; i++)
        if (add(x, c->ignore.v[i], c->ignore_at[i], -1, e))
            return -1;
    x->n_ignore = x->n;
    for (size_t g = 0; g < c->n; g++)
        for (size_t i = 0; i < c->group[g].targets.n; i++)
            if (add(x, c->group[g].targets.v[i], c->group[g].target_at[i], (int)g, e))
                return -1;
    qsort(x->entry + x->n_ignore, x->n - x->n_ignore, sizeof *x->entry, by_rank);
    return 0;
}

/* A run that would quantize nothing is a mistake, whatever may be unmatched. */
static int nothing_left(const struct quant_config *c, const struct matcher *x, const struct match_result *r,
                        struct err *e)
{
    const struct entry *ignore = NULL;
    for (size_t i = 0; i < x->n_modules; i++)
        if (r[i].group >= 0)
            return 0;
    for (size_t i = 0; !ignore && i < x->n_ignore; i++)
        if (x->entry[i].hits)
            ignore = &x->entry[i];
    if (!c->n)
        return 0;
    if (ignore) {
        err_at(e, ERR_INPUT, ignore->at,
               "every targeted module is ignored (here by '%s'); nothing would be quantized", ignore->text);
        return err_hint(e, "narrow the ignore list");
    }
    return err_at(e, ERR_INPUT, c->group[0].at, "no target matches a module; nothing would be quantized");
}

int match_modules(const struct quant_config *c, const struct match_module *m, size_t n, bool allow_unmatched,
                  struct match_result *result, struct strs *notes, struct err *e)
{
    struct matcher x = { .m = m, .n_modules = n };
    int rc = collect(&x, c, e);
    for (size_t i = 0; !rc && i < n; i++)
        rc = decide(&x, &m[i], &result[i], notes, e);
    for (size_t i = 0; !rc && i < x.n; i++)
        rc = check_entry(c, &x, &x.entry[i], allow_unmatched, e);
    if (!rc)
        rc = nothing_left(c, &x, result, e);
    for (size_t i = 0; i < x.n; i++)
        regex_free(x.entry[i].regex);
    mem_free(x.entry);
    return rc;
}
