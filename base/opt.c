/* opt.c - values into structs by option tables: the only place that decides what a scalar of a recipe means. YAML 1.1's
 * guesses (yes, 0100, 1_000, 2:4) are errors that say what to write. Help and schema are opt_print.c. */
#include "base/opt.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/num.h"

#include <math.h>
#include <string.h>

static void *field(const struct opt *o, void *dst) { return (char *)dst + o->at; }

static void put_number(const struct opt *o, void *dst, double v)
{
    switch (o->type) {
    case OPT_INT:
    case OPT_BYTES: *(int64_t *)field(o, dst) = (int64_t)v; break;
    case OPT_REAL: *(double *)field(o, dst) = v; break;
    case OPT_BOOL: *(bool *)field(o, dst) = v != 0; break;
    case OPT_ENUM: *(int *)field(o, dst) = (int)v; break;
    case OPT_STR:
    case OPT_PATH:
    case OPT_STRS:
    case OPT_NODE: BUG_ON(1);
    }
}

static bool is_number(const struct opt *o) { return o->type <= OPT_ENUM || o->type == OPT_BYTES; }

int opt_defaults(const struct opt *t, void *dst, struct err *e)
{
    for (const struct opt *o = t; o->name; o++) {
        if (is_number(o))
            put_number(o, dst, o->def);
        else if (o->type == OPT_STRS)
            memset(field(o, dst), 0, sizeof(struct strs));
        else
            *(void **)field(o, dst) = NULL;
    }
    for (const struct opt *o = t; o->name; o++)
        if ((o->type == OPT_STR || o->type == OPT_PATH) && o->def_str) {
            char *s = mem_strdup(o->def_str, e);
            if (!s) {
                opt_release(t, dst);
                return -1;
            }
            *(char **)field(o, dst) = s;
        }
    return 0;
}

void opt_release(const struct opt *t, void *dst)
{
    for (const struct opt *o = t; o->name; o++) {
        if (o->type == OPT_STRS)
            strs_release(field(o, dst));
        else if (o->type == OPT_STR || o->type == OPT_PATH) {
            mem_free(*(char **)field(o, dst));
            *(char **)field(o, dst) = NULL;
        }
    }
}

static void expected(const struct opt *o, char *out, size_t cap)
{
    char lo[32], hi[32];
    const char *null = o->flags & OPT_NULLABLE ? " or null" : "", *unit = o->unit ? o->unit : "";
    const char *space = o->unit ? " " : "";
    size_t n = 0;
    switch (o->type) {
    case OPT_INT:
        snprintf(out, cap, "an integer in [%lld, %lld]%s%s%s", (long long)o->min, (long long)o->max, space,
                 unit, null);
        break;
    case OPT_REAL:
        num_shortest(o->min, lo);
        num_shortest(o->max, hi);
        snprintf(out, cap, "a number in [%s, %s]%s%s%s", lo, hi, space, unit, null);
        break;
    case OPT_BYTES: snprintf(out, cap, "a size such as 512M or 2GiB%s", null); break;
    case OPT_BOOL: snprintf(out, cap, "true or false%s", null); break;
    case OPT_ENUM:
        n = (size_t)snprintf(out, cap, "one of ");
        for (const char *const *w = o->words; *w && n < cap; w++)
            n += (size_t)snprintf(out + n, cap - n, "%s%s", w == o->words ? "" : ", ", *w);
        if (n < cap)
            snprintf(out + n, cap - n, "%s", null);
        break;
    case OPT_STR: snprintf(out, cap, "a text%s", null); break;
    case OPT_PATH: snprintf(out, cap, "a path%s", null); break;
    case OPT_STRS: snprintf(out, cap, "a text or a list of texts"); break;
    case OPT_NODE: snprintf(out, cap, "a value"); break;
    }
}

static int bad(const struct opt *o, const struct node *v, struct err *e)
{
    char want[256];
    expected(o, want, sizeof want);
    return err_at(e, ERR_INPUT, v->at, "%s: found %s, expected %s", o->name, node_what(v), want);
}

/* Why a text that looks like a number to YAML 1.1 is none here; NULL: no such reason. */
static const char *number_trap(const char *s)
{
    const char *p = s + (*s == '-' || *s == '+');
    if (*p == '0' && (p[1] == 'x' || p[1] == 'o'))
        return "write the number in decimal";
    if (*p == '0' && p[1] >= '0' && p[1] <= '9')
        return "a leading zero means octal to some readers; write the number without it";
    if (strchr(p, '_') && *p >= '0' && *p <= '9')
        return "write the digits without underscores";
    if (strchr(p, ':') && *p >= '0' && *p <= '9')
        return "a colon means base 60 to some readers; write the number in decimal";
    if (!strncmp(p, "eval(", 5))
        return "eval() went with llm-compressor 0.7; write the value itself, or ${name} with a vars: entry";
    return NULL;
}

/* Whether i lies in the row's range; the bounds are doubles, and i may have more digits than a double. */
static bool int_in_range(const struct opt *o, int64_t i)
{
    return (o->min <= -0x1p63 || i >= (int64_t)ceil(o->min)) &&
           (o->max >= 0x1p63 || i <= (int64_t)floor(o->max));
}

static int assign_number(const struct opt *o, void *dst, const struct node *v, struct err *e)
{
    double d = 0;
    int64_t i = 0;
    bool ok = o->type == OPT_REAL    ? num_real(v->text, &d)
              : o->type == OPT_BYTES ? num_bytes(v->text, &i)
                                     : num_int(v->text, &i);
    if (!ok && o->type == OPT_INT && num_real(v->text, &d) && d == floor(d) && fabs(d) < 0x1p53) {
        ok = true; /* 1e3 */
        i = (int64_t)d;
    }
    if (!ok || !(o->type == OPT_REAL ? d >= o->min && d <= o->max : int_in_range(o, i))) {
        const char *trap = ok ? NULL : number_trap(v->text);
        bad(o, v, e);
        return trap ? err_hint(e, "%s", trap) : -1;
    }
    if (o->type == OPT_REAL)
        put_number(o, dst, d);
    else
        *(int64_t *)field(o, dst) = i;
    return 0;
}

/* The words that YAML 1.1 takes for a truth; true and false themselves are for the callers. */
static const char *yes_or_no(const char *text)
{
    static const char *const yes[] = { "yes", "Yes", "YES", "on", "On", "ON", "y", "Y", "1", "True", "TRUE" };
    static const char *const no[] = {
        "no", "No", "NO", "off", "Off", "OFF", "n", "N", "0", "False", "FALSE"
    };
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (!strcmp(text, yes[i]))
            return "true";
        if (!strcmp(text, no[i]))
            return "false";
    }
    return NULL;
}

/* Python's spelling is what peers print; YAML 1.1 and 1.2 agree on it. */
static bool is_truth(const struct node *v, const char *word)
{
    const char *python = word[0] == 't' ? "True" : "False", *loud = word[0] == 't' ? "TRUE" : "FALSE";
    return !v->quoted && (!strcmp(v->text, word) || !strcmp(v->text, python) || !strcmp(v->text, loud));
}

static int assign_bool(const struct opt *o, void *dst, const struct node *v, struct err *e)
{
    if (is_truth(v, "true") || is_truth(v, "false")) {
        put_number(o, dst, is_truth(v, "true"));
        return 0;
    }
    const char *meant = yes_or_no(v->text);
    bad(o, v, e);
    return meant ? err_hint(e, "write %s", meant) : -1;
}

static bool is_word(const struct opt *o, const struct node *v, const char *word)
{
    if (o->flags & OPT_NOCASE ? str_same_nocase(word, v->text) : !strcmp(word, v->text))
        return true;
    return (!strcmp(word, "true") || !strcmp(word, "false")) && is_truth(v, word);
}

static int assign_enum(const struct opt *o, void *dst, const struct node *v, struct err *e)
{
    size_t n = 0;
    const char *truth = yes_or_no(v->text), *near;
    bool takes_truth = false;
    for (; o->words[n]; n++) {
        if (is_word(o, v, o->words[n])) {
            put_number(o, dst, (double)n);
            return 0;
        }
        takes_truth = takes_truth || (truth && !strcmp(truth, o->words[n]));
    }
    bad(o, v, e);
    if (takes_truth)
        return err_hint(e, "write %s", truth);
    near = str_nearest(v->text, o->words, n, sizeof *o->words);
    return near ? err_hint(e, "did you mean '%s'?", near) : -1;
}

static int assign_text(const struct opt *o, void *dst, const struct node *v, const char *base_dir,
                       struct err *e)
{
    char *s = o->type == OPT_PATH && base_dir ? path_join(base_dir, v->text, e) : mem_strdup(v->text, e);
    if (!s)
        return -1;
    mem_free(*(char **)field(o, dst));
    *(char **)field(o, dst) = s;
    return 0;
}

static int assign_list(const struct opt *o, void *dst, const struct node *v, struct err *e)
{
    struct strs *l = field(o, dst);
    strs_release(l);
    if (node_is_null(v))
        return 0;
    if (v->kind == NODE_SCALAR)
        return strs_add(l, v->text, e);
    if (v->kind != NODE_LIST)
        return bad(o, v, e);
    for (size_t i = 0; i < v->n; i++) {
        if (v->item[i]->kind != NODE_SCALAR || node_is_null(v->item[i]))
            return bad(o, v->item[i], e);
        if (strs_add(l, v->item[i]->text, e))
            return -1;
    }
    return 0;
}

static int assign_null(const struct opt *o, void *dst, const struct node *v, struct err *e)
{
    if (!(o->flags & OPT_NULLABLE))
        return bad(o, v, e);
    if (is_number(o))
        put_number(o, dst, o->null_value);
    else {
        mem_free(*(char **)field(o, dst));
        *(char **)field(o, dst) = NULL;
    }
    return 0;
}

static bool still_default(const struct opt *o, const void *dst)
{
    const char *p = (const char *)dst + o->at;
    const char *s = NULL;
    switch (o->type) {
    case OPT_INT:
    case OPT_BYTES: return *(const int64_t *)(const void *)p == (int64_t)o->def;
    case OPT_REAL: {
        double now = *(const double *)(const void *)p;
        return now == o->def || (isnan(now) && isnan(o->def));
    }
    case OPT_BOOL: return *(const bool *)(const void *)p == (o->def != 0);
    case OPT_ENUM: return *(const int *)(const void *)p == (int)o->def;
    case OPT_STR:
    case OPT_PATH:
        s = *(char *const *)(const void *)p;
        return s ? o->def_str && !strcmp(s, o->def_str) : !o->def_str;
    case OPT_STRS: return ((const struct strs *)(const void *)p)->n == 0;
    case OPT_NODE: return node_is_null(*(const struct node *const *)(const void *)p);
    }
    return false;
}

int opt_assign(const struct opt *o, void *dst, const struct node *v, const char *base_dir, struct err *e)
{
    int rc;
    if (o->type == OPT_NODE) {
        *(const struct node **)field(o, dst) = v;
        rc = 0;
    } else if (o->type == OPT_STRS)
        rc = assign_list(o, dst, v, e);
    else if (node_is_null(v))
        rc = assign_null(o, dst, v, e);
    else if (v->kind != NODE_SCALAR)
        rc = bad(o, v, e);
    else if (o->type == OPT_BOOL)
        rc = assign_bool(o, dst, v, e);
    else if (o->type == OPT_ENUM)
        rc = assign_enum(o, dst, v, e);
    else if (o->type == OPT_STR || o->type == OPT_PATH)
        rc = assign_text(o, dst, v, base_dir, e);
    else
        rc = assign_number(o, dst, v, e);
    if (!rc && (o->flags & OPT_PEER_ONLY) && !still_default(o, dst)) {
        rc = err_at(e, ERR_UNBUILT, v->at,
                    "%s: found %s, and qpipe knows this option only with its default value", o->name,
                    node_what(v));
        err_hint(e, "leave the option out");
    }
    return rc;
}

int opt_assign_text(const struct opt *o, void *dst, const char *text, struct err *e)
{
    if (o->type != OPT_STRS) {
        struct node v = { .kind = NODE_SCALAR, .text = text };
        return opt_assign(o, dst, &v, NULL, e);
    }
    struct strs *l = field(o, dst);
    strs_release(l);
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, ",");
        char *word = mem_strndup(p, n, e);
        int rc = word ? strs_add(l, word, e) : -1;
        mem_free(word);
        if (rc)
            return -1;
        p += n + (p[n] == ',');
    }
    return 0;
}

const struct opt *opt_find(const struct opt *t, const char *name)
{
    for (; t->name; t++)
        if (!strcmp(t->name, name))
            return t;
    return NULL;
}

size_t opt_count(const struct opt *t)
{
    size_t n = 0;
    while (t[n].name)
        n++;
    return n;
}

int opt_unknown(const struct opt *t, const struct opt_gone *gone, const struct node *key, const char *who,
                struct err *e)
{
    for (; gone && gone->name; gone++)
        if (!strcmp(gone->name, key->text)) {
            err_at(e, ERR_INPUT, key->at, "%s: option '%s' %s", who, key->text, gone->why);
            return err_hint(e, "leave the option out");
        }
    err_at(e, ERR_INPUT, key->at, "found key '%s', expected an option of %s", key->text, who);
    const char *near = str_nearest(key->text, &t->name, opt_count(t), sizeof *t);
    if (near)
        return err_hint(e, "did you mean '%s'?", near);
    return err_hint(e, "`qpipe help %s` lists them", who);
}

int opt_assign_map(const struct opt *t, const struct opt_gone *gone, void *dst, const struct node *map,
                   const char *who, const char *base_dir, bool *given, struct err *e)
{
    if (!node_is_null(map) && map->kind != NODE_MAP)
        return err_at(e, ERR_INPUT, map->at, "%s: found %s, expected a mapping of options", who,
                      node_what(map));
    size_t n = node_is_null(map) ? 0 : map->n;
    for (size_t i = 0; i < n; i++) {
        const struct opt *o = opt_find(t, map->key[i]->text);
        if (!o)
            return opt_unknown(t, gone, map->key[i], who, e);
        if (opt_assign(o, dst, map->item[i], base_dir, e))
            return err_while(e, "reading the options of %s", who);
        if (given)
            given[o - t] = true;
    }
    for (const struct opt *o = t; o->name; o++)
        if ((o->flags & OPT_REQUIRED) && !node_get(map, o->name)) {
            struct src_pos at = { 0 };
            return err_at(e, ERR_INPUT, map ? map->at : at, "%s: option '%s' is missing", who, o->name);
        }
    return 0;
}
