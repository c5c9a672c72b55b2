/* data_formats.c - files to records: the formats table and its readers. What a record becomes (ids, sequences) is
 * dataset.c's business. To add a format: a reader here and a row in ROWS. */
#include "text/data_source.h"

#include "base/mem.h"
#include "io/archive.h"
#include "io/safetensors.h"

#include <string.h>

typedef int reader_fn(struct source *s, const char *p, size_t n, struct err *e);
static int read_text(struct source *s, const char *p, size_t n, struct err *e);
static int read_jsonl(struct source *s, const char *p, size_t n, struct err *e);
static int read_json(struct source *s, const char *p, size_t n, struct err *e);
static int read_tensor(struct source *s, const char *p, size_t n, struct err *e);

/* name, endings, reader, doc. `ids-json` is `json` whose items turn out to be lists of integers. */
#define ROWS(X)                                                                                              \
    X("text", ".txt", read_text, "one record, or one per document where form feeds stand between documents") \
    X("jsonl", ".jsonl", read_jsonl, "one object per line; the record is the string under the field")        \
    X("json", ".json", read_json, "a list of strings or objects, or an object with one list")                \
    X("ids-json", ".json", read_json, "token ids: a list of lists of integers")                              \
    X("ids-safetensors", ".safetensors", read_tensor, "token ids: an integer matrix, one record per row")

#define ROW_PUBLIC(name, endings, read, doc) { name, endings, doc },
const struct data_format data_formats[] = { ROWS(ROW_PUBLIC){ NULL, NULL, NULL } };
#define ROW_READER(name, endings, read, doc) read,
static reader_fn *const readers[] = { ROWS(ROW_READER) };

static int add_record(struct source *s, enum source_kind kind, size_t at, size_t n, struct err *e)
{
    if (s->kind != SOURCE_EMPTY && s->kind != kind)
        return err_set(e, ERR_INPUT, "%s: record %zu holds %s, the records before it hold %s", s->where,
                       s->n + 1, kind == SOURCE_IDS ? "token ids" : "text",
                       kind == SOURCE_IDS ? "text" : "token ids");
    if (s->n == s->cap) {
        size_t to = s->cap ? 2 * s->cap : 64;
        struct source_record *v = mem_resize(s->record, to * sizeof *v, e);
        if (!v)
            return -1;
        s->record = v;
        s->cap = to;
    }
    s->kind = kind;
    s->record[s->n++] = (struct source_record){ at, n };
    return 0;
}

static int add_text(struct source *s, const char *p, size_t n, struct err *e)
{
    size_t at = s->text.len;
    return buf_add(&s->text, p, n, e) ? -1 : add_record(s, SOURCE_TEXT, at, n, e);
}

/* Documents between form feeds (by_line: lines). What lies behind the last separator counts when it is not empty. */
static int read_text(struct source *s, const char *p, size_t n, struct err *e)
{
    char cut = s->by_line ? '\n' : '\f';
    while (n) {
        const char *end = memchr(p, cut, n);
        size_t len = end ? (size_t)(end - p) : n;
        if (add_text(s, p, len, e))
            return -1;
        p += len + (end ? 1 : 0);
        n -= len + (end ? 1 : 0);
    }
    return 0;
}

static int add_ids(struct source *s, const struct json *list, const char *what, struct err *e)
{
    size_t at = s->ids.n;
    for (size_t i = 0; i < json_len(list); i++) {
        int64_t id;
        const struct json *j = json_item(list, i);
        if (!json_int(j, &id))
            return err_set(e, ERR_INPUT, "%s: %s: item %zu: found %s, expected an integer id", s->where, what,
                           i, json_type_name(json_type(j)));
        if (id < 0 || id > INT32_MAX)
            return err_set(e, ERR_INPUT, "%s: %s: item %zu: found id %lld, expected one in [0, 2^31)",
                           s->where, what, i, (long long)id);
        int32_t v = (int32_t)id;
        if (ids_add(&s->ids, &v, 1, e))
            return -1;
    }
    return add_record(s, SOURCE_IDS, at, s->ids.n - at, e);
}

static int missing_field(struct source *s, const struct json *object, const char *field, const char *what,
                         struct err *e)
{
    struct buf names = { 0 };
    int rc = 0;
    for (void *it = json_first(object); it && !rc && names.len < 200; it = json_next(object, it))
        rc = buf_printf(&names, e, "%s'%.60s'", names.len ? ", " : "", json_it_key(it));
    if (!rc) {
        err_set(e, ERR_INPUT, "%s: %s: no field '%s', found %s", s->where, what, field,
                names.len ? names.p : "none");
        err_hint(e, "Name the field that holds the text.");
    }
    buf_release(&names);
    return -1;
}

/* One record as JSON: an object with the field, a string, or a list of ids. */
static int add_item(struct source *s, const struct json *j, const char *what, bool objects_only,
                    struct err *e)
{
    const char *field = s->field ? s->field : "text", *text;
    size_t n;
    if (json_type(j) == JSON_OBJECT) {
        const struct json *v = json_get(j, field);
        if (!v)
            return missing_field(s, j, field, what, e);
        if (!(text = json_str(v, &n)))
            return err_set(e, ERR_INPUT, "%s: %s: field '%s': found %s, expected a string", s->where, what,
                           field, json_type_name(json_type(v)));
        return add_text(s, text, n, e);
    }
    if (!objects_only && (text = json_str(j, &n)))
        return add_text(s, text, n, e);
    if (!objects_only && json_type(j) == JSON_ARRAY)
        return add_ids(s, j, what, e);
    return err_set(e, ERR_INPUT, "%s: %s: found %s, expected an object%s", s->where, what,
                   json_type_name(json_type(j)), objects_only ? "" : ", a string or a list of ids");
}

static bool blank(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r", p[i]) || !p[i])
            return false;
    return true;
}

/* Blank lines are no records. The parser counts lines from its own first one, so the line is put right on the way out. */
static int read_jsonl(struct source *s, const char *p, size_t n, struct err *e)
{
    for (int line = 1; n; line++) {
        const char *end = memchr(p, '\n', n);
        size_t len = end ? (size_t)(end - p) : n;
        if (!blank(p, len)) {
            char what[32];
            struct err own = { 0 };
            struct json *j = json_parse(p, len, s->where, &own);
            if (!j) {
                own.at.line = own.at.line ? line : 0;
                if (e && !e->code)
                    *e = own;
                return -1;
            }
            snprintf(what, sizeof what, "line %d", line);
            int rc = add_item(s, j, what, true, e);
            json_free(j);
            if (rc)
                return -1;
        }
        p += len + (end ? 1 : 0);
        n -= len + (end ? 1 : 0);
    }
    return 0;
}

static int read_list(struct source *s, const struct json *root, struct err *e)
{
    const struct json *list = json_type(root) == JSON_ARRAY ? root : NULL;
    if (json_type(root) == JSON_OBJECT && json_len(root) == 1 &&
        json_type(json_it_value(json_first(root))) == JSON_ARRAY)
        list = json_it_value(json_first(root));
    if (!list)
        return err_set(e, ERR_INPUT,
                       "%s: found %s with %zu members, expected a list, or an object with one list in it",
                       s->where, json_type_name(json_type(root)), json_len(root));
    for (size_t i = 0; i < json_len(list); i++) {
        char what[32];
        snprintf(what, sizeof what, "record %zu", i + 1);
        if (add_item(s, json_item(list, i), what, false, e))
            return -1;
    }
    return 0;
}

static int read_json(struct source *s, const char *p, size_t n, struct err *e)
{
    struct json *root = json_parse(p, n, s->where, e);
    int rc = root ? read_list(s, root, e) : -1;
    json_free(root);
    if (s->kind == SOURCE_IDS && !strcmp(s->format, "json"))
        s->format = "ids-json";
    return rc;
}

static bool is_id_matrix(const struct st_entry *t)
{
    enum dtype d = t->info.dtype;
    return t->info.rank == 2 && d != DT_BOOL && !dtypes[d].is_float;
}

/* The tensor that `field` names; without one: calib_input_ids, input_ids, or the only integer matrix. */
static const struct st_entry *choose(struct source *s, const struct st_file *f, struct err *e)
{
    const struct st_entry *t = NULL;
    const char *names[] = { s->field ? s->field : "calib_input_ids", s->field ? s->field : "input_ids" };
    int64_t found = 0;
    for (int i = 0; i < 2 && !t; i++)
        t = st_find(f, names[i]);
    if (!t && s->field) {
        err_set(e, ERR_INPUT, "%s: no tensor '%s' among %lld", s->where, s->field, (long long)f->n);
        return NULL;
    }
    for (int64_t i = 0; !t && i < f->n; i++)
        found += is_id_matrix(&f->entry[i]);
    for (int64_t i = 0; !t && found == 1 && i < f->n; i++)
        t = is_id_matrix(&f->entry[i]) ? &f->entry[i] : NULL;
    if (!t) {
        err_set(e, ERR_INPUT, "%s: found %lld integer matrices and none called calib_input_ids or input_ids",
                s->where, (long long)found);
        err_hint(e, "Name the tensor that holds the ids.");
        return NULL;
    }
    if (is_id_matrix(t))
        return t;
    err_set(e, ERR_INPUT, "%s: tensor '%s': found %s of rank %d, expected an integer matrix", s->where,
            t->info.name, dtypes[t->info.dtype].name, t->info.rank);
    return NULL;
}

static int64_t int_at(const char *p, enum dtype t)
{
    union {
        int8_t i8;
        uint8_t u8;
        int16_t i16;
        uint16_t u16;
        int32_t i32;
        uint32_t u32;
        int64_t i64;
        uint64_t u64;
    } v = { 0 };
    memcpy(&v, p, (size_t)dtypes[t].bytes);
    switch (t) {
    case DT_I8: return v.i8;
    case DT_U8: return v.u8;
    case DT_I16: return v.i16;
    case DT_U16: return v.u16;
    case DT_I32: return v.i32;
    case DT_U32: return v.u32;
    case DT_U64: return v.u64 > INT64_MAX ? -1 : (int64_t)v.u64;
    default: return v.i64;
    }
}

static int read_rows(struct source *s, const struct st_entry *t, const char *p, struct err *e)
{
    for (int64_t row = 0; row < t->info.dim[0]; row++) {
        size_t at = s->ids.n;
        for (int64_t i = 0; i < t->info.dim[1]; i++, p += dtypes[t->info.dtype].bytes) {
            int64_t id = int_at(p, t->info.dtype);
            int32_t v = (int32_t)id;
            if (id < 0 || id > INT32_MAX)
                return err_set(
                    e, ERR_INPUT,
                    "%s: tensor '%s': row %lld: item %lld: found id %lld, expected one in [0, 2^31)",
                    s->where, t->info.name, (long long)row, (long long)i, (long long)id);
            if (ids_add(&s->ids, &v, 1, e))
                return -1;
        }
        if (add_record(s, SOURCE_IDS, at, s->ids.n - at, e))
            return -1;
    }
    return 0;
}

static int read_tensor(struct source *s, const char *p, size_t n, struct err *e)
{
    struct st_file f = { 0 };
    if (st_parse((const unsigned char *)p, n, s->where, &f, e))
        return -1;
    const struct st_entry *t = choose(s, &f, e);
    int rc = t ? read_rows(s, t, p + t->begin, e) : -1;
    st_close(&f);
    return rc;
}

static int read_entry(void *arg, const struct archive_entry_info *info, const char *p, size_t n,
                      struct err *e)
{
    struct source *s = arg;
    const char *name = info->name;
    bool own =
        !strcmp(name, s->path) || !strcmp(name, strrchr(s->path, '/') ? strrchr(s->path, '/') + 1 : s->path);
    snprintf(s->where, sizeof s->where, own ? "%.480s" : "%.240s: entry '%.240s'", s->path, name);
    for (int i = 0; data_formats[i].name; i++)
        if (str_ends(name, data_formats[i].endings)) {
            if (!s->format)
                s->format = data_formats[i].name;
            return readers[i](s, p, n, e);
        }
    err_set(e, ERR_INPUT, "%s: no data format has this ending, expected .txt, .jsonl, .json or .safetensors",
            s->where);
    return err_hint(e, "Files inside an archive are all read; leave others out of it.");
}

int source_read(struct source *s, struct err *e)
{
    s->kind = SOURCE_EMPTY;
    return archive_each(s->path, (uint64_t)SOURCE_LIMIT_GIB << 30, read_entry, s, e);
}

void source_release(struct source *s)
{
    buf_release(&s->text);
    ids_release(&s->ids);
    mem_free(s->record);
    *s = (struct source){ 0 };
}
