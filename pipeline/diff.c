/* diff.c - two outputs held against each other: manifests, tensors, files. */
#include "pipeline/diff.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "io/folder.h"
#include "pipeline/manifest.h"

#include <string.h>

const char *const diff_words[DIFF_KINDS] = {
    [DIFF_VERSION] = "version", [DIFF_RECIPE] = "recipe", [DIFF_INPUT] = "input",     [DIFF_PLAN] = "plan",
    [DIFF_TENSOR] = "tensor",   [DIFF_FILE] = "file",     [DIFF_NUMBERS] = "numbers",
};

/* What of the predicate belongs to which kind. Modules are split: what was decided, and what came out. */
static const struct {
    enum diff_kind kind;
    const char *key;
} parts[] = {
    { DIFF_VERSION, "builder" }, { DIFF_RECIPE, "recipe" },        { DIFF_INPUT, "inputs" },
    { DIFF_PLAN, "kept" },       { DIFF_NUMBERS, "smoothing" },    { DIFF_NUMBERS, "modules" },
    { DIFF_NUMBERS, "notes" },   { DIFF_NUMBERS, "verification" }, { DIFF_NUMBERS, "outputs" },
};
static const char *const decided[] = { "rule", "weights", "grid", "solver", "observer", NULL };

/* -- manifests -- */

static struct json *manifest_of(const char *dir, bool *there, struct err *e)
{
    char *path = path_join(dir, MANIFEST_NAME, e);
    struct json *m = NULL;
    *there = path && path_exists(path);
    if (*there)
        m = json_read(path, JSON_BIG_LIMIT, e);
    mem_free(path);
    return m;
}

static int compare_decisions(const struct json *a, const struct json *b, struct difference *out,
                             struct err *e)
{
    const struct json *ma = json_get(a, "modules"), *mb = json_get(b, "modules");
    for (void *it = json_first(ma); it && !out->what; it = json_next(ma, it)) {
        const struct json *other = json_get(mb, json_it_key(it));
        if (!other)
            return difference_set(out, json_it_key(it), "quantized", "not quantized", e);
        for (const char *const *key = decided; *key && !out->what; key++) {
            char *where = mem_printf(e, "%s.%s", json_it_key(it), *key);
            int rc = where
                         ? diff_trees(json_get(json_it_value(it), *key), json_get(other, *key), where, out, e)
                         : -1;
            mem_free(where);
            if (rc)
                return -1;
        }
    }
    for (void *it = json_first(mb); it && !out->what; it = json_next(mb, it))
        if (!json_get(ma, json_it_key(it)))
            return difference_set(out, json_it_key(it), "not quantized", "quantized", e);
    return 0;
}

/* A checkpoint cut into other shards is another input by its files and the same one by its tensors. */
static int same_weights(const struct json *a, const struct json *b, struct difference *d, struct err *e)
{
    struct difference t = { 0 };
    int rc = 0;
    if (d->what && !strncmp(d->what, "files", 5) && str_ends(d->what, ".sha256")) {
        rc = diff_trees(json_get(json_get(a, "inputs"), "tensors"),
                        json_get(json_get(b, "inputs"), "tensors"), "tensors", &t, e);
        if (!rc)
            d->also =
                t.what ? mem_printf(e, "first tensor: %s", t.what) : mem_strdup("all tensors are equal", e);
        rc = rc || !d->also ? -1 : 0;
    }
    mem_free(t.what);
    mem_free(t.a);
    mem_free(t.b);
    return rc;
}

static int compare_manifests(const struct json *ma, const struct json *mb, struct diff *d, struct err *e)
{
    const struct json *a = json_get(ma, "predicate"), *b = json_get(mb, "predicate");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        bool cause = parts[i].kind < DIFF_PLAN; /* the table's word says already where it is */
        if (diff_trees(json_get(a, parts[i].key), json_get(b, parts[i].key), cause ? "" : parts[i].key,
                       &d->first[parts[i].kind], e))
            return -1;
    }
    if (same_weights(a, b, &d->first[DIFF_INPUT], e))
        return -1;
    return compare_decisions(a, b, &d->first[DIFF_PLAN], e);
}

/* -- files -- */

static int first_byte(const struct mapped *x, const struct mapped *y, struct difference *d, const char *name,
                      struct err *e)
{
    uint64_t n = x->n < y->n ? x->n : y->n, at = 0;
    long long line = 1;
    char a[64], b[64];
    if (d->what)
        return 0;
    for (; at < n && x->p[at] == y->p[at]; at++)
        line += x->p[at] == '\n';
    if (at < n) {
        snprintf(a, sizeof a, "0x%02x", x->p[at]);
        snprintf(b, sizeof b, "0x%02x", y->p[at]);
    } else {
        snprintf(a, sizeof a, "%llu bytes", (unsigned long long)x->n);
        snprintf(b, sizeof b, "%llu bytes", (unsigned long long)y->n);
    }
    if (difference_set(d, name, a, b, e))
        return -1;
    d->also = mem_printf(e, "byte %llu, line %lld", (unsigned long long)at, line);
    return d->also ? 0 : -1;
}

static int json_files(const char *pa, const char *pb, const char *name, struct difference *d, struct err *e)
{
    struct json *a = json_read(pa, JSON_BIG_LIMIT, NULL), *b = a ? json_read(pb, JSON_BIG_LIMIT, NULL) : NULL;
    int rc = b ? diff_trees(a, b, name, d, e) : 0;
    json_free(a);
    json_free(b);
    return rc;
}

/* same: byte for byte. */
static int compare_pair(const char *pa, const char *pb, const char *name, bool *same, struct difference *d,
                        struct err *e)
{
    struct mapped x = { 0 }, y = { 0 };
    int rc = file_map(pa, &x, e) || file_map(pb, &y, e) ? -1 : 0;
    *same = !rc && x.n == y.n && (!x.n || !memcmp(x.p, y.p, x.n));
    if (!rc && !*same && !d->what && str_ends(name, ".json"))
        rc = json_files(pa, pb, name, d, e);
    if (!rc && !*same)
        rc = first_byte(&x, &y, d, name, e);
    file_unmap(&x);
    file_unmap(&y);
    return rc;
}

static int compare_name(const char *a, const char *b, const char *name, bool in_a, bool in_b, struct diff *d,
                        struct err *e)
{
    bool same = false;
    struct difference *first = &d->first[DIFF_FILE];
    d->files++;
    if (!in_a || !in_b) {
        d->files_differ++;
        return difference_set(first, name, in_a ? "is there" : "nothing", in_b ? "is there" : "nothing", e);
    }
    char *pa = path_join(a, name, e), *pb = path_join(b, name, e);
    int rc = pa && pb ? compare_pair(pa, pb, name, &same, first, e) : -1;
    d->files_differ += !same;
    mem_free(pa);
    mem_free(pb);
    return rc;
}

/* Signatures are about an output, and no part of it; the manifests have been compared as what they say. */
static bool left_out(const char *name) { return str_ends(name, ".sig") || !strcmp(name, MANIFEST_NAME); }

static int compare_files(const char *a, const char *b, struct diff *d, struct err *e)
{
    struct strs x = { 0 }, y = { 0 };
    int rc = path_list(a, &x, e) || path_list(b, &y, e) ? -1 : 0;
    for (size_t i = 0; !rc && i < x.n; i++)
        if (!left_out(x.v[i]))
            rc = compare_name(a, b, x.v[i], true, strs_has_sorted(&y, x.v[i]), d, e);
    for (size_t i = 0; !rc && i < y.n; i++)
        if (!left_out(y.v[i]) && !strs_has_sorted(&x, y.v[i]))
            rc = compare_name(a, b, y.v[i], false, true, d, e);
    strs_release(&x);
    strs_release(&y);
    return rc;
}

/* -- who is not what its manifest says -- */

static int find_lies(const char *dir, const char *side, const struct json *manifest, struct diff *d,
                     struct err *e)
{
    const struct json *list = json_get(manifest, "subject");
    int rc = 0;
    for (size_t i = 0; !rc && i < json_len(list); i++) {
        const char *name = json_str(json_get(json_item(list, i), "name"), NULL);
        const char *sha = json_str(json_get(json_get(json_item(list, i), "digest"), "sha256"), NULL);
        char hex[HASH_HEX], line[512];
        char *path = name && sha && !strchr(name, '/') ? path_join(dir, name, e) : NULL;
        if (!path)
            continue;
        bool lies = !path_exists(path) || hash_file(path, hex, NULL) || strcmp(hex, sha) != 0;
        snprintf(line, sizeof line, "%s: %s is not what its manifest says", side, name);
        rc = lies ? strs_add(&d->lies, line, e) : 0;
        mem_free(path);
    }
    return rc;
}

static int compare_all(const char *a, const char *b, const struct json *ma, const struct json *mb,
                       struct diff *d, struct err *e)
{
    d->manifests = ma && mb;
    if (d->manifests && compare_manifests(ma, mb, d, e))
        return -1;
    const struct json *modules = json_get(json_get(ma ? ma : mb, "predicate"), "modules");
    if (diff_tensors(a, b, modules, d, e) || compare_files(a, b, d, e))
        return -1;
    if (!ma != !mb && difference_set(&d->first[DIFF_FILE], MANIFEST_NAME, ma ? "is there" : "nothing",
                                     mb ? "is there" : "nothing", e))
        return -1;
    if (!d->files_differ) /* equal files need no digests to be explained */
        return 0;
    return find_lies(a, "A", ma, d, e) || find_lies(b, "B", mb, d, e) ? -1 : 0;
}

static int diff_folders(const char *a, const char *b, struct diff *out, struct err *e)
{
    struct err why = { 0 };
    bool in_a = false, in_b = false;
    struct json *ma = manifest_of(a, &in_a, &why), *mb = why.code ? NULL : manifest_of(b, &in_b, &why);
    int rc = why.code ? -1 : compare_all(a, b, ma, mb, out, &why);
    json_free(ma);
    json_free(mb);
    if (rc && e)
        *e = why;
    return rc;
}

int diff_outputs(const char *a, const char *b, struct diff *out, struct err *e)
{
    struct folder x = { 0 }, y = { 0 };
    memset(out, 0, sizeof *out);
    int rc = folder_open(a, &x, e) || folder_open(b, &y, e) || diff_folders(x.dir, y.dir, out, e) ? -1 : 0;
    folder_close(&x);
    folder_close(&y);
    if (!rc)
        return 0;
    diff_release(out);
    return err_while(e, "comparing %s with %s", a, b);
}

void diff_release(struct diff *d)
{
    for (int i = 0; i < DIFF_KINDS; i++) {
        struct difference *f = &d->first[i];
        mem_free(f->what);
        mem_free(f->a);
        mem_free(f->b);
        mem_free(f->also);
        mem_free(f->module);
    }
    strs_release(&d->lies);
    memset(d, 0, sizeof *d);
}

bool diff_equal(const struct diff *d)
{
    for (int i = 0; i < DIFF_KINDS; i++)
        if (d->first[i].what)
            return false;
    return true;
}

/* -- reports -- */

static int place_text(const struct difference *f, struct buf *out, struct err *e)
{
    if (f->part && buf_printf(out, e, "%s of ", f->part))
        return -1;
    if (buf_str(out, f->what, e))
        return -1;
    return f->part && f->row >= 0
               ? buf_printf(out, e, ", row %lld, column %lld", (long long)f->row, (long long)f->col)
               : 0;
}

int diff_text(const struct diff *d, const char *a, const char *b, struct buf *out, struct err *e)
{
    const char *answer = NULL;
    int rc = buf_printf(out, e, "A: %s\nB: %s\n", a, b);
    for (int i = 0; !rc && i < DIFF_KINDS; i++) {
        const struct difference *f = &d->first[i];
        if (!d->manifests && i != DIFF_TENSOR && i != DIFF_FILE)
            continue;
        rc = buf_printf(out, e, "  %-8s  ", diff_words[i]);
        if (!rc && !f->what)
            rc = buf_str(out, "equal\n", e);
        if (rc || !f->what)
            continue;
        answer = answer ? answer : diff_words[i];
        rc = place_text(f, out, e) || buf_printf(out, e, ": A has %s, B has %s", f->a, f->b) ||
             (f->also && buf_printf(out, e, " (%s)", f->also)) || buf_str(out, "\n", e);
    }
    rc = rc || buf_printf(out, e, "%lld of %lld tensors and %lld of %lld files differ\n",
                          (long long)d->tensors_differ, (long long)d->tensors, (long long)d->files_differ,
                          (long long)d->files);
    for (size_t i = 0; !rc && i < d->lies.n; i++)
        rc = buf_printf(out, e, "%s\n", d->lies.v[i]);
    rc = rc || (answer ? buf_printf(out, e, "first difference: %s\n", answer) : buf_str(out, "equal\n", e));
    return rc ? -1 : 0;
}

static void place_json(const struct difference *f, struct jw *w)
{
    jw_object(w);
    jw_kstr(w, "what", f->what);
    jw_kstr(w, "a", f->a);
    jw_kstr(w, "b", f->b);
    if (f->also)
        jw_kstr(w, "also", f->also);
    if (f->module)
        jw_kstr(w, "module", f->module);
    if (f->part)
        jw_kstr(w, "part", f->part);
    if (f->part && f->row >= 0) {
        jw_kint(w, "row", f->row);
        jw_kint(w, "column", f->col);
    }
    jw_end_object(w);
}

void diff_json(const struct diff *d, struct jw *w)
{
    const char *answer = NULL;
    for (int i = DIFF_KINDS; i-- > 0;)
        answer = d->first[i].what ? diff_words[i] : answer;
    jw_object(w);
    jw_kbool(w, "equal", !answer);
    jw_kstr(w, "first", answer);
    jw_kbool(w, "manifests", d->manifests);
    for (int i = 0; i < DIFF_KINDS; i++) {
        jw_key(w, diff_words[i]);
        if (d->first[i].what)
            place_json(&d->first[i], w);
        else
            jw_null(w);
    }
    jw_kint(w, "tensors", d->tensors);
    jw_kint(w, "tensors_differ", d->tensors_differ);
    jw_kint(w, "files", d->files);
    jw_kint(w, "files_differ", d->files_differ);
    jw_key(w, "not_as_recorded");
    jw_array(w);
    for (size_t i = 0; i < d->lies.n; i++)
        jw_str(w, d->lies.v[i]);
    jw_end_array(w);
    jw_end_object(w);
}
