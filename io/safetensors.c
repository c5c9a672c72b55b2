/* safetensors.c - reading the format: a little-endian u64 header length, a JSON header that lists dtype, shape and byte
 * range of every tensor, then the data. Nothing in the header is believed: ranges must tile the data without a gap or an
 * overlap, sizes must follow from dtype and shape, and every error names file, tensor and byte. Writing is st_write.c.
 *
 * Limits: header 100 MB (the reference's), name 1024 bytes, rank RANK_MAX. Unknown members of a tensor's entry are
 * ignored, as the reference does; a tensor needs no alignment, so data pointers may be odd. */
#include "io/safetensors.h"

#include "base/json.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER_LIMIT = 100000000, NAME_LIMIT = 1024, LEAD = 8 };

/* What one st_parse call works on. */
struct parse {
    const char *file;
    uint64_t head; /* bytes of the JSON header */
    uint64_t data; /* bytes behind it */
    struct err *e;
};

/* Element types that the format names and this version has no use for. */
static const char *const unbuilt_dtypes[] = { "F4",          "F6_E2M3",     "F6_E3M2", "C64",
                                              "F8_E4M3FNUZ", "F8_E5M2FNUZ", NULL };

static uint64_t load_u64(const unsigned char *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

static int read_dtype(const struct parse *c, const char *name, const struct json *o, enum dtype *out)
{
    const struct json *j = json_get(o, "dtype");
    const char *word = json_str(j, NULL);
    if (!word)
        return err_set(c->e, ERR_INPUT, "%s: tensor '%s': dtype is %s, expected a string", c->file, name,
                       j ? json_type_name(json_type(j)) : "missing");
    int t = dtype_find(word);
    if (t >= 0) {
        *out = (enum dtype)t;
        return 0;
    }
    for (const char *const *u = unbuilt_dtypes; *u; u++)
        if (!strcmp(*u, word))
            return err_set(c->e, ERR_UNBUILT, "%s: tensor '%s': dtype '%s' is not built yet", c->file, name,
                           word);
    err_set(c->e, ERR_INPUT, "%s: tensor '%s': found dtype '%s', expected one of safetensors' names", c->file,
            name, word);
    const char *near = str_nearest(word, &dtypes[0].name, DT_COUNT, sizeof dtypes[0]);
    return near ? err_hint(c->e, "did the writer mean '%s'?", near) : -1;
}

/* Shape into info, and the bytes that it takes into *bytes (no overflow). */
static int read_shape(const struct parse *c, const struct json *o, struct tensor_info *info, uint64_t *bytes)
{
    const struct json *j = json_get(o, "shape");
    if (json_type(j) != JSON_ARRAY)
        return err_set(c->e, ERR_INPUT, "%s: tensor '%s': shape is %s, expected a list", c->file, info->name,
                       j ? json_type_name(json_type(j)) : "missing");
    if (json_len(j) > RANK_MAX)
        return err_set(c->e, ERR_LIMIT, "%s: tensor '%s': found %zu dimensions, expected at most %d", c->file,
                       info->name, json_len(j), RANK_MAX);
    info->rank = (int)json_len(j);
    uint64_t n = (uint64_t)dtypes[info->dtype].bytes;
    bool empty = false, over = false;
    for (int i = 0; i < info->rank; i++) {
        const struct json *d = json_item(j, (size_t)i);
        if (json_type(d) != JSON_INT || !json_int(d, &info->dim[i]) || info->dim[i] < 0)
            return err_set(c->e, ERR_INPUT, "%s: tensor '%s': dimension %d is no count of elements", c->file,
                           info->name, i);
        empty = empty || !info->dim[i];
        if (info->dim[i])
            over = over || __builtin_mul_overflow(n, (uint64_t)info->dim[i], &n);
    }
    /* zeros do not excuse the rest: who multiplies in another order must not overflow either */
    if (over || n > INT64_MAX)
        return err_set(c->e, ERR_INPUT, "%s: tensor '%s': the product of its shape does not fit in 63 bits",
                       c->file, info->name);
    *bytes = empty ? 0 : n;
    return 0;
}

static int read_range(const struct parse *c, const struct json *o, struct st_entry *t, uint64_t bytes)
{
    const struct json *j = json_get(o, "data_offsets");
    const char *name = t->info.name;
    int64_t a = 0, b = 0;
    if (json_type(j) != JSON_ARRAY || json_len(j) != 2 || json_type(json_item(j, 0)) != JSON_INT ||
        json_type(json_item(j, 1)) != JSON_INT || !json_int(json_item(j, 0), &a) ||
        !json_int(json_item(j, 1), &b))
        return err_set(c->e, ERR_INPUT, "%s: tensor '%s': data_offsets is not a pair of integers", c->file,
                       name);
    if (a < 0 || b < a)
        return err_set(c->e, ERR_INPUT, "%s: tensor '%s': data_offsets [%lld, %lld] run backwards", c->file,
                       name, (long long)a, (long long)b);
    if ((uint64_t)b > c->data)
        return err_set(c->e, ERR_INPUT,
                       "%s: tensor '%s': data ends at byte %llu, but the file ends at byte %llu", c->file,
                       name, (unsigned long long)(LEAD + c->head + (uint64_t)b),
                       (unsigned long long)(LEAD + c->head + c->data));
    if ((uint64_t)(b - a) != bytes)
        return err_set(c->e, ERR_INPUT,
                       "%s: tensor '%s': found %lld bytes at byte %llu, expected %llu by dtype and shape",
                       c->file, name, (long long)(b - a), (unsigned long long)(LEAD + c->head + (uint64_t)a),
                       (unsigned long long)bytes);
    t->begin = LEAD + c->head + (uint64_t)a;
    t->end = LEAD + c->head + (uint64_t)b;
    return 0;
}

static int read_entry(const struct parse *c, const char *name, const struct json *o, struct st_entry *t)
{
    uint64_t bytes = 0;
    if (!*name)
        return err_set(c->e, ERR_INPUT, "%s: found a tensor with an empty name", c->file);
    if (strlen(name) > NAME_LIMIT)
        return err_set(c->e, ERR_LIMIT,
                       "%s: tensor '%.40s...': found a name of %zu bytes, expected at most %d", c->file, name,
                       strlen(name), NAME_LIMIT);
    if (json_type(o) != JSON_OBJECT)
        return err_set(c->e, ERR_INPUT, "%s: tensor '%s': found %s, expected an object", c->file, name,
                       json_type_name(json_type(o)));
    char *copy = mem_strdup(name, c->e);
    if (!copy)
        return -1;
    t->info.name = copy;
    if (read_dtype(c, name, o, &t->info.dtype) || read_shape(c, o, &t->info, &bytes))
        return -1;
    return read_range(c, o, t, bytes);
}

/* __metadata__: null (MLX writes that) or an object of strings. Kept as a document of its own. */
static int read_metadata(const struct parse *c, const struct json *j, struct st_file *out)
{
    if (json_type(j) == JSON_NULL)
        return 0;
    if (json_type(j) != JSON_OBJECT)
        return err_set(c->e, ERR_INPUT, "%s: __metadata__ is %s, expected an object or null", c->file,
                       json_type_name(json_type(j)));
    for (void *it = json_first(j); it; it = json_next(j, it))
        if (!json_str(json_it_value(it), NULL))
            return err_set(c->e, ERR_INPUT, "%s: __metadata__ key '%s' is %s, expected a string", c->file,
                           json_it_key(it), json_type_name(json_type(json_it_value(it))));
    struct buf text = { 0 };
    struct jw w;
    jw_init(&w, &text, -1);
    jw_json(&w, j);
    int rc = jw_done(&w, c->e);
    if (!rc) {
        out->metadata = json_parse(text.p, text.len, c->file, c->e);
        rc = out->metadata ? 0 : -1;
    }
    buf_release(&text);
    return rc;
}

static int by_place(const void *a, const void *b)
{
    const struct st_entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct st_entry *)a)->info.name, ((const struct st_entry *)b)->info.name);
}

/* The byte ranges must tile the data: what no tensor owns, or two own, is a sign of a damaged or hostile file. */
static int check_tiling(const struct parse *c, const struct st_file *f)
{
    uint64_t at = LEAD + c->head, end = at + c->data;
    const char *before = NULL;
    for (int64_t i = 0; i < f->n; i++) {
        const struct st_entry *t = &f->entry[i];
        if (t->begin < at)
            return err_set(c->e, ERR_INPUT,
                           "%s: tensor '%s' begins at byte %llu, inside tensor '%s' that ends at byte %llu",
                           c->file, t->info.name, (unsigned long long)t->begin, before ? before : "?",
                           (unsigned long long)at);
        if (t->begin > at)
            return err_set(c->e, ERR_INPUT, "%s: bytes %llu to %llu before tensor '%s' belong to no tensor",
                           c->file, (unsigned long long)at, (unsigned long long)t->begin, t->info.name);
        at = t->end;
        before = t->info.name;
    }
    if (at != end)
        return err_set(c->e, ERR_INPUT, "%s: bytes %llu to %llu at the end belong to no tensor", c->file,
                       (unsigned long long)at, (unsigned long long)end);
    return 0;
}

static int read_entries(const struct parse *c, const struct json *root, struct st_file *out)
{
    out->entry = mem_array(json_len(root) ? json_len(root) : 1, sizeof *out->entry, c->e);
    if (!out->entry)
        return -1;
    for (void *it = json_first(root); it; it = json_next(root, it)) {
        const char *key = json_it_key(it);
        if (!strcmp(key, "__metadata__")) {
            if (read_metadata(c, json_it_value(it), out))
                return -1;
            continue;
        }
        /* counted before it is read, so that st_close frees a half-read one too */
        struct st_entry *t = &out->entry[out->n++];
        if (read_entry(c, key, json_it_value(it), t))
            return -1;
    }
    qsort(out->entry, (size_t)out->n, sizeof *out->entry, by_place);
    if (check_tiling(c, out))
        return -1;
    qsort(out->entry, (size_t)out->n, sizeof *out->entry, by_name);
    return 0;
}

static int check_lead(struct parse *c, const unsigned char *p, uint64_t n)
{
    if (n < LEAD)
        return err_set(c->e, ERR_INPUT,
                       "%s: found %llu bytes, expected at least 8 (the length of the header)", c->file,
                       (unsigned long long)n);
    c->head = load_u64(p);
    if (c->head > n - LEAD) {
        err_set(c->e, ERR_INPUT, "%s: the header is said to take %llu bytes, but %llu follow byte 8", c->file,
                (unsigned long long)c->head, (unsigned long long)(n - LEAD));
        return err_hint(c->e, "the file is truncated, or not in safetensors format");
    }
    if (c->head > HEADER_LIMIT)
        return err_set(c->e, ERR_LIMIT, "%s: found a header of %llu bytes, expected at most %d", c->file,
                       (unsigned long long)c->head, HEADER_LIMIT);
    c->data = n - LEAD - c->head;
    if (!c->head || p[LEAD] != '{')
        return err_set(c->e, ERR_INPUT, "%s: the header does not begin with '{' at byte 8", c->file);
    return 0;
}

int st_parse(const unsigned char *p, uint64_t n, const char *name, struct st_file *out, struct err *e)
{
    struct parse c = { name, 0, 0, e };
    memset(out, 0, sizeof *out);
    if (check_lead(&c, p, n))
        return -1;
    struct json *root = json_parse((const char *)p + LEAD, (size_t)c.head, name, e);
    if (!root)
        return err_while(e, "reading the header of %s (its byte 0 is byte 8 of the file)", name);
    int rc = read_entries(&c, root, out);
    json_free(root);
    out->base = p;
    if (rc)
        st_close(out);
    return rc;
}

int st_open(const char *path, struct st_file *out, struct err *e)
{
    struct mapped map = { 0 };
    memset(out, 0, sizeof *out);
    if (file_map(path, &map, e))
        return -1;
    if (st_parse(map.p, map.n, map.path, out, e)) {
        file_unmap(&map);
        return -1;
    }
    out->map = map;
    return 0;
}

void st_close(struct st_file *f)
{
    for (int64_t i = 0; i < f->n; i++)
        mem_free((void *)(uintptr_t)f->entry[i].info.name);
    mem_free(f->entry);
    json_free(f->metadata);
    file_unmap(&f->map);
    memset(f, 0, sizeof *f);
}

const struct st_entry *st_find(const struct st_file *f, const char *name)
{
    struct st_entry key = { .info.name = name };
    return f->n ? bsearch(&key, f->entry, (size_t)f->n, sizeof *f->entry, by_name) : NULL;
}

struct tensor_view st_view(const struct st_file *f, const struct st_entry *t)
{
    struct tensor_view v = { f->base + t->begin, t->info.dtype, t->info.rank, { 0 } };
    memcpy(v.dim, t->info.dim, sizeof v.dim);
    return v;
}
