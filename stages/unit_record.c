/* unit_record.c - units to bytes and back; whatever the bytes are, reading them is safe. */
#include "stages/unit_record.h"

#include "base/file.h"

#include <string.h>

int unit_put_head(struct buf *out, const struct unit_head *h, struct err *e)
{
    return buf_add(out, &h->tensors, 4, e) || buf_add(out, &h->sources, 4, e) || buf_add(out, &h->value, 8, e)
               ? -1
               : 0;
}

static int put_text(struct buf *out, const char *s, struct err *e)
{
    uint32_t n = (uint32_t)strlen(s);
    return buf_add(out, &n, sizeof n, e) || buf_add(out, s, n + 1, e) ? -1 : 0;
}

int unit_put_tensor(struct buf *out, const struct saver_place *p, struct err *e)
{
    uint32_t shape[2] = { (uint32_t)p->dtype, (uint32_t)p->rank };
    return put_text(out, p->name, e) || put_text(out, path_base(p->spool), e) ||
                   buf_add(out, shape, sizeof shape, e) ||
                   buf_add(out, p->dim, (size_t)p->rank * sizeof p->dim[0], e) ||
                   buf_add(out, &p->at, 8, e) || buf_add(out, &p->bytes, 8, e) || put_text(out, p->sha256, e)
               ? -1
               : 0;
}

int unit_put_source(struct buf *out, const struct unit_source *s, struct err *e)
{
    return buf_add(out, &s->index, 8, e) || buf_add(out, &s->sum, 8, e) ? -1 : 0;
}

static int get(struct unit_reader *r, void *out, size_t n)
{
    if (n > r->n - r->at)
        return -1;
    memcpy(out, r->p + r->at, n);
    r->at += n;
    return 0;
}

static const char *get_text(struct unit_reader *r)
{
    uint32_t n;
    if (get(r, &n, sizeof n) || n >= r->n - r->at ||
        memchr(r->p + r->at, '\0', (size_t)n + 1) != r->p + r->at + n)
        return NULL;
    r->at += (size_t)n + 1;
    return r->p + r->at - n - 1;
}

int unit_get_head(struct unit_reader *r, struct unit_head *out)
{
    return get(r, &out->tensors, 4) || get(r, &out->sources, 4) || get(r, &out->value, 8) ? -1 : 0;
}

int unit_get_tensor(struct unit_reader *r, struct saver_place *out)
{
    uint32_t shape[2];
    memset(out, 0, sizeof *out);
    out->name = get_text(r);
    out->spool = out->name ? get_text(r) : NULL;
    if (!out->spool || strchr(out->spool, '/') || get(r, shape, sizeof shape) || shape[0] >= DT_COUNT ||
        shape[1] > RANK_MAX || get(r, out->dim, shape[1] * sizeof out->dim[0]) || get(r, &out->at, 8) ||
        get(r, &out->bytes, 8))
        return -1;
    out->dtype = (enum dtype)shape[0];
    out->rank = (int)shape[1];
    for (int i = 0; i < out->rank; i++)
        if (out->dim[i] < 0 || out->dim[i] > INT64_C(1) << 40)
            return -1;
    const char *sha = get_text(r);
    if (!sha || strlen(sha) != 64)
        return -1;
    memcpy(out->sha256, sha, 65);
    return 0;
}

int unit_get_source(struct unit_reader *r, struct unit_source *out)
{
    return get(r, &out->index, 8) || get(r, &out->sum, 8) ? -1 : 0;
}

const void *unit_get_value(struct unit_reader *r, const struct unit_head *h)
{
    const void *at = r->p + r->at;
    if (h->value != r->n - r->at)
        return NULL;
    r->at = r->n;
    return at;
}
