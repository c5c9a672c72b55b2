/* diff_tensors.c - the tensors of two folders held against each other: which differ, and of the first one what: a code, a
 * scale, a plain value. The order is the model's: the first module that differs is where the two runs parted. */
#include "base/file.h"
#include "base/mem.h"
#include "base/num.h"
#include "io/checkpoint.h"
#include "io/containers/container.h"
#include "pipeline/diff.h"

#include <stdlib.h>
#include <string.h>

struct place {
    const char *name; /* of a tensor that at least one side has; borrowed from its source */
    int64_t module;   /* index in the order of the model; large: it belongs to none */
    size_t prefix;    /* bytes of name that are the module's */
};
struct sides {
    struct checkpoint a, b;
    struct place *place;
    int64_t n;
};

static int by_model(const void *x, const void *y)
{
    const struct place *a = x, *b = y;
    if (a->module != b->module)
        return a->module < b->module ? -1 : 1;
    return strcmp(a->name, b->name);
}

static int by_name(const void *x, const void *y)
{
    return strcmp(((const struct place *)x)->name, ((const struct place *)y)->name);
}

static int list_names(struct sides *s, struct err *e)
{
    const struct tensor_source *a = &s->a.stored, *b = &s->b.stored;
    s->place = mem_array((size_t)(a->count + b->count) + 1, sizeof *s->place, e);
    if (!s->place)
        return -1;
    for (int64_t i = 0; i < a->count; i++)
        s->place[s->n++] = (struct place){ a->at(a->self, i)->name, INT64_MAX, 0 };
    for (int64_t i = 0; i < b->count; i++)
        if (!a->find(a->self, b->at(b->self, i)->name))
            s->place[s->n++] = (struct place){ b->at(b->self, i)->name, INT64_MAX, 0 };
    qsort(s->place, (size_t)s->n, sizeof *s->place, by_name);
    return 0;
}

/* "model.layers.0.mlp.up_proj" owns "model.layers.0.mlp.up_proj.weight_scale": what follows its name has no dot. Names are sorted
 * here, so those that begin with a module's stand together. */
static void claim(struct sides *s, const char *module, int64_t index)
{
    size_t n = strlen(module);
    int64_t lo = 0, hi = s->n;
    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        if (strcmp(s->place[mid].name, module) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < s->n && !strncmp(s->place[lo].name, module, n); lo++) {
        struct place *p = &s->place[lo];
        if (p->name[n] == '.' && !strchr(p->name + n + 1, '.')) {
            p->module = index;
            p->prefix = n;
        }
    }
}

static size_t described(const struct checkpoint *c, const char *tensor)
{
    struct quant_args ignored;
    char module[1024];
    const char *dot = strrchr(tensor, '.');
    size_t n = dot ? (size_t)(dot - tensor) : 0;
    if (!n || n >= sizeof module)
        return 0;
    memcpy(module, tensor, n);
    module[n] = '\0';
    return c->container->describe(c->decoder, module, &ignored) ? n : 0;
}

static void order_by_modules(struct sides *s, const struct json *modules)
{
    int64_t index = 0;
    for (void *it = json_first(modules); it; it = json_next(modules, it))
        claim(s, json_it_key(it), index++);
    if (s->a.container) /* without a manifest the container knows its modules, and names give the order */
        for (int64_t i = 0; i < s->n; i++)
            s->place[i].prefix = s->place[i].prefix ? s->place[i].prefix : described(&s->a, s->place[i].name);
    qsort(s->place, (size_t)s->n, sizeof *s->place, by_model);
}

/* -- what differs in a pair of tensors -- */

enum verdict { SAME, DIFFERS, ABSENT, DTYPE, SHAPE };

static int compare(const struct sides *s, const char *name, enum verdict *out, struct tensor_view *x,
                   struct tensor_view *y, struct err *e)
{
    const struct tensor_source *a = &s->a.stored, *b = &s->b.stored;
    *out = SAME;
    if (!a->find(a->self, name) || !b->find(b->self, name)) {
        *out = ABSENT;
        return 0;
    }
    if (a->view(a->self, name, x, e) || b->view(b->self, name, y, e))
        return -1;
    if (x->dtype != y->dtype)
        *out = DTYPE;
    else if (x->rank != y->rank || memcmp(x->dim, y->dim, (size_t)x->rank * sizeof x->dim[0]))
        *out = SHAPE;
    else if (memcmp(x->data, y->data, (size_t)view_bytes(x)))
        *out = DIFFERS;
    file_drop(x->data, (uint64_t)view_bytes(x));
    file_drop(y->data, (uint64_t)view_bytes(y));
    return 0;
}

static char *shape_text(const struct tensor_view *v, struct err *e)
{
    struct buf b = { 0 };
    int rc = buf_str(&b, "[", e);
    for (int i = 0; !rc && i < v->rank; i++)
        rc = buf_printf(&b, e, "%s%lld", i ? ", " : "", (long long)v->dim[i]);
    if (!rc && !buf_str(&b, "]", e))
        return b.p;
    buf_release(&b);
    return NULL;
}

static void element_text(const struct tensor_view *v, int64_t i, char out[64])
{
    const unsigned char *p = (const unsigned char *)v->data + i * dtypes[v->dtype].bytes;
    float f;
    double d;
    uint64_t bits = 0;
    memcpy(&bits, p, (size_t)dtypes[v->dtype].bytes);
    if (v->dtype == DT_F64) {
        memcpy(&d, p, sizeof d);
        num_shortest(d, out);
    } else if (dtypes[v->dtype].is_float) {
        dtype_to_f32(v->dtype, &bits, 1, &f); /* p may lie at any address */
        num_shortest_f(f, out);
    } else
        snprintf(out, 64, "0x%0*llx", 2 * dtypes[v->dtype].bytes, (unsigned long long)bits);
}

static int set_part(struct difference *d, const char *part, const char *tensor, const char *a, const char *b,
                    struct err *e)
{
    d->part = part;
    return difference_set(d, tensor, a, b, e);
}

/* Elements as they are stored: floats as numbers, all others as bits. */
static int stored_element(const char *name, const struct tensor_view *x, const struct tensor_view *y,
                          struct difference *d, struct err *e)
{
    int64_t size = dtypes[x->dtype].bytes, n = view_elems(x), at = 0, differ = 0, cols = 1;
    const char *p = x->data, *q = y->data;
    for (int64_t i = n; i-- > 0;)
        if (memcmp(p + i * size, q + i * size, (size_t)size)) {
            at = i;
            differ++;
        }
    for (int i = 1; i < x->rank; i++)
        cols *= x->dim[i];
    char a[64], b[64];
    element_text(x, at, a);
    element_text(y, at, b);
    if (set_part(d, "value", name, a, b, e))
        return -1;
    d->row = at / cols;
    d->col = at % cols;
    d->also = mem_printf(e, "%lld of %lld elements differ", (long long)differ, (long long)n);
    return d->also ? 0 : -1;
}

/* -- codes and parameters -- */

struct counted {
    int64_t at, differ, n; /* the first, how many, of how many */
};

static struct counted count(const void *x, const void *y, int64_t n, size_t size)
{
    struct counted c = { -1, 0, x && y ? n : 0 };
    const char *p = x, *q = y;
    for (int64_t i = 0; i < c.n; i++)
        if (memcmp(p + (size_t)i * size, q + (size_t)i * size, size)) {
            c.at = c.at < 0 ? i : c.at;
            c.differ++;
        }
    return c;
}

/* The tensor that holds it: the first of the module that differs and has the word in its name. */
static const char *holder(const struct sides *s, int64_t first, const char *word)
{
    const struct place *p = &s->place[first];
    for (int64_t i = first; i < s->n && !strncmp(s->place[i].name, p->name, p->prefix + 1); i++) {
        enum verdict v;
        struct tensor_view x, y;
        if (strstr(s->place[i].name + p->prefix, word) && !compare(s, s->place[i].name, &v, &x, &y, NULL) &&
            v != SAME)
            return s->place[i].name;
    }
    return p->name;
}

static int matrices(const struct sides *s, int64_t first, const struct qtensor *x, const struct qtensor *y,
                    struct difference *d, struct err *e)
{
    const struct grid_layout *l = &x->layout;
    char a[64], b[64];
    struct counted code = count(x->codes, y->codes, l->rows * l->cols, 1);
    bool cells = l->param_rows == y->layout.param_rows && l->param_cols == y->layout.param_cols;
    int64_t params =
        cells ? l->param_rows * l->param_cols : 0; /* other cells: only codes can be held side by side */
    struct counted scale = count(x->scale, y->scale, params, sizeof(float));
    struct counted zero = count(x->zero, y->zero, params, 1);
    const struct counted *c = scale.differ ? &scale : zero.differ ? &zero : &code;
    int64_t cols = c == &code ? l->cols : l->param_cols;
    if (memcmp(&x->global_scale, &y->global_scale, sizeof(float))) {
        num_shortest_f(x->global_scale, a);
        num_shortest_f(y->global_scale, b);
        return set_part(d, "global_scale", holder(s, first, "global_scale"), a, b, e);
    }
    if (!c->differ)
        return 0;
    if (c == &scale) {
        num_shortest_f(x->scale[c->at], a);
        num_shortest_f(y->scale[c->at], b);
    } else {
        const int8_t *p = c == &zero ? x->zero : x->codes, *q = c == &zero ? y->zero : y->codes;
        snprintf(a, sizeof a, "%d", p[c->at]);
        snprintf(b, sizeof b, "%d", q[c->at]);
    }
    const char *part = c == &scale ? "scale" : c == &zero ? "zero_point" : "code";
    if (set_part(d, part, holder(s, first, c == &scale ? "scale" : c == &zero ? "zero" : "weight"), a, b, e))
        return -1;
    d->row = c->at / cols;
    d->col = c->at % cols;
    d->also = mem_printf(e, "%lld of %lld codes, %lld of %lld scales, %lld of %lld zero points differ",
                         (long long)code.differ, (long long)code.n, (long long)scale.differ,
                         (long long)scale.n, (long long)zero.differ, (long long)zero.n);
    return d->also ? 0 : -1;
}

/* The module's matrix as codes, when both sides hold it so and alike; else nothing is said here. */
static int decoded(struct sides *s, int64_t first, struct difference *d, struct err *e)
{
    const struct place *p = &s->place[first];
    struct qtensor x = { 0 }, y = { 0 };
    if (!p->prefix || !s->a.container || s->a.container != s->b.container)
        return 0;
    char *module = mem_strndup(p->name, p->prefix, e);
    int rc = module ? 0 : -1;
    if (!rc && !s->a.container->unpack(s->a.decoder, module, &x, NULL)) {
        if (!s->b.container->unpack(s->b.decoder, module, &y, NULL)) {
            if (x.layout.rows == y.layout.rows && x.layout.cols == y.layout.cols)
                rc = matrices(s, first, &x, &y, d, e);
            qtensor_release(&y);
        }
        qtensor_release(&x);
    }
    mem_free(module);
    return rc;
}

static int explain(struct sides *s, int64_t i, enum verdict v, const struct tensor_view *x,
                   const struct tensor_view *y, struct difference *d, struct err *e)
{
    const char *name = s->place[i].name;
    bool in_a = s->a.stored.find(s->a.stored.self, name) != NULL;
    if (s->place[i].prefix && !(d->module = mem_strndup(name, s->place[i].prefix, e)))
        return -1;
    if (v == ABSENT)
        return set_part(d, "absent", name, in_a ? "is there" : "nothing", in_a ? "nothing" : "is there", e);
    if (v == DTYPE)
        return set_part(d, "dtype", name, dtypes[x->dtype].name, dtypes[y->dtype].name, e);
    if (v == SHAPE) {
        char *a = shape_text(x, e), *b = shape_text(y, e);
        int rc = a && b ? set_part(d, "shape", name, a, b, e) : -1;
        mem_free(a);
        mem_free(b);
        return rc;
    }
    if (decoded(s, i, d, e))
        return -1;
    return d->what ? 0 : stored_element(name, x, y, d, e);
}

static int walk(struct sides *s, struct diff *d, struct err *e)
{
    for (int64_t i = 0; i < s->n; i++) {
        enum verdict v;
        struct tensor_view x = { 0 }, y = { 0 };
        if (compare(s, s->place[i].name, &v, &x, &y, e))
            return -1;
        d->tensors++;
        if (v == SAME)
            continue;
        d->tensors_differ++;
        if (!d->first[DIFF_TENSOR].what && explain(s, i, v, &x, &y, &d->first[DIFF_TENSOR], e))
            return -1;
    }
    return 0;
}

int diff_tensors(const char *a, const char *b, const struct json *modules, struct diff *d, struct err *e)
{
    struct sides s = { 0 };
    int rc = checkpoint_open(a, &s.a, e) || checkpoint_open(b, &s.b, e) || list_names(&s, e) ? -1 : 0;
    if (!rc) {
        order_by_modules(&s, modules);
        rc = walk(&s, d, e);
    }
    mem_free(s.place);
    checkpoint_close(&s.a);
    checkpoint_close(&s.b);
    return rc;
}
