/* smoothed.c - reading tensors through the scales of mappings (smoothed.h). */
#include "model/smoothed.h"
#include "base/mem.h"
#include "model/arch.h"
#include "model/config.h"
#include <math.h>
#include <string.h>

/* One scaling of one tensor, seen as a matrix [dim0, rest]: rows (axis 0) or columns (axis 1). */
struct change {
    char *tensor;
    float *factor; /* by row or column */
    int axis;
    bool divide;
    float offset;
};
struct smoothed {
    const struct tensor_source *base;
    struct tensor_source source;
    struct change *change; /* by tensor, those of one tensor as they were added */
    int64_t n, cap;
};

/* Where the changes of a tensor begin: the first whose name is not less. */
static int64_t first_of(const struct smoothed *s, const char *tensor)
{
    int64_t lo = 0, hi = s->n;
    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        if (strcmp(s->change[mid].tensor, tensor) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static const struct tensor_info *at(void *self, int64_t i)
{
    const struct smoothed *s = self;
    return s->base->at(s->base->self, i);
}

static const struct tensor_info *find(void *self, const char *name)
{
    const struct smoothed *s = self;
    return s->base->find(s->base->self, name);
}

static void apply(const struct change *c, enum dtype t, int64_t row, int64_t n, int64_t rest, float *x)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < rest; j++) {
            float *v = &x[i * rest + j], f = c->factor[c->axis ? j : row + i];
            float y = c->divide ? (*v + c->offset) / f - c->offset : *v * f;
            *v = t == DT_BF16 || t == DT_F16 ? dtype_round(t, y) : y;
        }
}

static int read_f32(void *self, const char *name, int64_t row, int64_t n, float *out, struct err *e)
{
    const struct smoothed *s = self;
    if (s->base->read_f32(s->base->self, name, row, n, out, e))
        return -1;
    for (int64_t i = first_of(s, name); i < s->n && !strcmp(s->change[i].tensor, name); i++) {
        const struct tensor_info *t = find(self, name);
        int64_t rest = 1;
        for (int d = 1; d < t->rank; d++)
            rest *= t->dim[d];
        apply(&s->change[i], t->dtype, row, n, rest, out);
    }
    return 0;
}

static int view(void *self, const char *name, struct tensor_view *out, struct err *e)
{
    const struct smoothed *s = self;
    if (smoothed_changes(s, name))
        return err_set(e, ERR_BUG, "tensor '%s' was smoothed and has no stored bytes", name);
    return s->base->view(s->base->self, name, out, e);
}

static void no_close(void *self) { (void)self; }

struct smoothed *smoothed_new(const struct tensor_source *base, struct err *e)
{
    struct smoothed *s = mem_alloc(sizeof *s, e);
    if (!s)
        return NULL;
    s->base = base;
    s->source = (struct tensor_source){ s, base->count, at, find, read_f32, view, no_close };
    return s;
}

/* Takes factor. */
static int add(struct smoothed *s, const char *tensor, float *factor, int axis, const struct mapping *p,
               struct err *e)
{
    bool divide = p != NULL;
    if (s->n == s->cap) {
        int64_t cap = 2 * s->cap + 16;
        struct change *more = mem_resize(s->change, (size_t)cap * sizeof *more, e);
        if (!more) {
            mem_free(factor);
            return -1;
        }
        s->change = more;
        s->cap = cap;
    }
    char *name = mem_strdup(tensor, e);
    if (!name) {
        mem_free(factor);
        return -1;
    }
    int64_t i = first_of(s, name);
    while (i < s->n && !strcmp(s->change[i].tensor, name))
        i++;
    memmove(s->change + i + 1, s->change + i, (size_t)(s->n - i) * sizeof *s->change);
    s->change[i] = (struct change){ name, factor, axis, divide, p ? p->offset : 0 };
    s->n++;
    return 0;
}

static bool turned(const struct module *m) { return !strcmp(m->classes[0], "Conv1D"); }

static int add_balance(struct smoothed *s, const struct mapping *p, const struct module *m,
                       const float *scale, struct err *e)
{
    float *f = mem_array((size_t)m->in, sizeof *f, e);
    for (int64_t c = 0; f && c < m->in; c++)
        f[c] = scale[mapping_channel(p, c)];
    return f ? add(s, m->tensor, f, turned(m) ? 0 : 1, NULL, e) : -1;
}

/* The rows of the smooth module that belong to channels; all others are divided by one. */
static int add_smooth(struct smoothed *s, const struct mapping *p, const char *tensor, int axis,
                      const float *scale, struct err *e)
{
    float *f = mem_array((size_t)p->smooth->out, sizeof *f, e);
    for (int64_t r = 0; f && r < p->smooth->out; r++)
        f[r] = 1;
    for (int64_t c = 0; f && c < p->channels; c++)
        f[mapping_row(p, c)] = p->root ? sqrtf(scale[c]) : scale[c];
    return f ? add(s, tensor, f, axis, p, e) : -1;
}

int smoothed_add(struct smoothed *s, const struct mapping *p, const float *scale, struct err *e)
{
    struct mapping plain = *p;
    plain.offset = 0; /* of the weight alone */
    if (add_smooth(s, p, p->smooth->tensor, turned(p->smooth) ? 1 : 0, scale, e) ||
        (p->smooth->bias && add_smooth(s, &plain, p->smooth->bias, 0, scale, e)))
        return -1;
    for (int i = 0; i < p->n; i++)
        if (add_balance(s, p, p->balance[i], scale, e))
            return -1;
    return 0;
}

const struct tensor_source *smoothed_source(const struct smoothed *s) { return &s->source; }

bool smoothed_changes(const struct smoothed *s, const char *tensor)
{
    if (!s)
        return false;
    int64_t i = first_of(s, tensor);
    return i < s->n && !strcmp(s->change[i].tensor, tensor);
}

void smoothed_free(struct smoothed *s)
{
    if (!s)
        return;
    for (int64_t i = 0; i < s->n; i++) {
        mem_free(s->change[i].tensor);
        mem_free(s->change[i].factor);
    }
    mem_free(s->change);
    mem_free(s);
}

int64_t smoothed_bytes(const struct mapping *p)
{
    int64_t floats = p->smooth->out * (p->smooth->bias ? 2 : 1);
    for (int i = 0; i < p->n; i++)
        floats += p->balance[i]->in;
    return floats * (int64_t)sizeof(float) + (p->n + 2) * (int64_t)(sizeof(struct change) + 64);
}
