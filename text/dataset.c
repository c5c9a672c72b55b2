/* dataset.c - records to token sequences: order, encoding, cutting or joining, counts and hashes. Reading files is
 * data_formats.c's business. Order of events: all records are read, put in order, encoded one by one until there are
 * enough sequences. */
#include "text/dataset.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "text/data_source.h"

#include <string.h>

/* One load under way. */
struct load {
    const struct dataset_options *o;
    struct tokenizer *t;
    int64_t vocab;
    const struct source *s;
    struct dataset *out;
    int64_t cap;
    struct ids ids; /* of the current record; joined ones for PACK_CONCATENATE */
    size_t from;    /* where the current record begins in `ids` */
};

static int add_sequence(struct load *l, const int32_t *v, int64_t n, struct err *e)
{
    struct dataset *d = l->out;
    if (d->n == l->cap) {
        int64_t to = l->cap ? 2 * l->cap : 64;
        void *seq = mem_resize(d->seq, (size_t)to * sizeof *d->seq, e);
        if (seq)
            d->seq = seq;
        void *len = seq ? mem_resize(d->len, (size_t)to * sizeof *d->len, e) : NULL;
        if (!len)
            return -1;
        d->len = len;
        l->cap = to;
    }
    int32_t *copy = mem_array((size_t)n, sizeof *copy, e);
    if (!copy)
        return -1;
    memcpy(copy, v, (size_t)n * sizeof *v);
    d->seq[d->n] = copy;
    d->len[d->n++] = n;
    d->tokens += n;
    return 0;
}

static bool enough(const struct load *l) { return l->o->samples && l->out->n >= l->o->samples; }

/* encode - appends the record's ids; 1: it has none. */
static int encode(struct load *l, uint64_t i, struct err *e)
{
    const struct source_record *r = &l->s->record[i];
    l->from = l->ids.n;
    if (!r->n)
        return 1;
    if (l->s->kind == SOURCE_IDS) {
        if (ids_add(&l->ids, l->s->ids.v + r->at, r->n, e))
            return -1;
    } else if (tokenizer_encode(l->t, l->s->text.p + r->at, r->n, l->o->special, &l->ids, e)) {
        return err_while(e, "encoding record %llu of %s", (unsigned long long)i + 1, l->o->path);
    }
    for (size_t k = l->from; l->vocab > 0 && k < l->ids.n; k++)
        if (l->ids.v[k] < 0 || l->ids.v[k] >= l->vocab) {
            err_set(e, ERR_INPUT, "%s: record %llu: token %zu has id %d, expected one in [0, %lld)",
                    l->o->path, (unsigned long long)i + 1, k - l->from, l->ids.v[k], (long long)l->vocab);
            return err_hint(e, "The ids were made for a model with a larger vocabulary.");
        }
    return l->ids.n == l->from;
}

static int take_truncated(struct load *l, struct err *e)
{
    int64_t n = (int64_t)l->ids.n;
    int64_t keep = l->o->sequence_length && n > l->o->sequence_length ? l->o->sequence_length : n;
    l->ids.n = 0;
    if (keep < l->o->min_length) {
        l->out->skipped_short++;
        return 0;
    }
    l->out->cut += keep < n;
    return add_sequence(l, l->ids.v, keep, e);
}

static int take_joined(struct load *l, struct err *e)
{
    size_t block = (size_t)l->o->sequence_length, at = 0;
    for (; l->ids.n - at >= block && !enough(l); at += block)
        if (add_sequence(l, l->ids.v + at, (int64_t)block, e))
            return -1;
    memmove(l->ids.v, l->ids.v + at, (l->ids.n - at) * sizeof *l->ids.v);
    l->ids.n -= at;
    return 0;
}

static int take_all(struct load *l, const uint64_t *order, struct err *e)
{
    for (uint64_t i = 0; i < l->s->n && !enough(l); i++) {
        int empty = encode(l, order ? order[i] : i, e);
        if (empty < 0 || check_interrupt(e))
            return -1;
        l->out->skipped_empty += empty;
        if (!empty && (l->o->pack == PACK_CONCATENATE ? take_joined(l, e) : take_truncated(l, e)))
            return -1;
    }
    if (l->o->pack == PACK_CONCATENATE)
        l->out->cut = (int64_t)l->ids.n;
    return 0;
}

static void little(uint64_t v, int n, unsigned char *out)
{
    for (int i = 0; i < n; i++)
        out[i] = (unsigned char)(v >> 8 * i);
}

/* For each sequence its length as i64, then its ids as i32. */
static int hash_tokens(struct dataset *d, struct err *e)
{
    unsigned char b[8];
    struct hash *h = hash_new(e);
    int rc = h ? 0 : -1;
    for (int64_t i = 0; !rc && i < d->n; i++) {
        little((uint64_t)d->len[i], 8, b);
        rc = hash_add(h, b, 8, e);
        for (int64_t k = 0; !rc && k < d->len[i]; k++) {
            little((uint32_t)d->seq[i][k], 4, b);
            rc = hash_add(h, b, 4, e);
        }
    }
    if (rc) {
        hash_free(h);
        return -1;
    }
    return hash_hex(h, d->tokens_sha256, e);
}

static int check_options(const struct dataset_options *o, struct err *e)
{
    if (o->samples < 0 || o->sequence_length < 0 || o->min_length < 0)
        return err_set(
            e, ERR_INPUT,
            "samples, sequence_length and min_length: found a negative number, expected 0 or more");
    if (o->pack == PACK_CONCATENATE && !o->sequence_length)
        return err_set(e, ERR_INPUT, "packing by concatenation needs a sequence_length, found 0");
    if (o->sequence_length && o->min_length > o->sequence_length)
        return err_set(e, ERR_INPUT,
                       "min_length %lld is above sequence_length %lld: no sequence could be that long",
                       (long long)o->min_length, (long long)o->sequence_length);
    return 0;
}

static int check_left(const struct dataset_options *o, const struct dataset *d, struct err *e)
{
    if (d->n)
        return 0;
    if (o->pack == PACK_CONCATENATE)
        err_set(e, ERR_INPUT,
                "%s: no sequence of %lld tokens: %lld records, %lld of them empty, hold %lld tokens", o->path,
                (long long)o->sequence_length, (long long)d->records, (long long)d->skipped_empty,
                (long long)d->cut);
    else
        err_set(e, ERR_INPUT,
                "%s: no sequence: of %lld records %lld are empty, %lld shorter than min_length %lld", o->path,
                (long long)d->records, (long long)d->skipped_empty, (long long)d->skipped_short,
                (long long)o->min_length);
    return -1;
}

static int load_from(struct load *l, struct err *e)
{
    const struct dataset_options *o = l->o;
    struct dataset *d = l->out;
    uint64_t *order = NULL;
    int rc = -1;
    d->records = (int64_t)l->s->n;
    d->format = l->s->format;
    d->from_ids = l->s->kind == SOURCE_IDS;
    if (l->s->kind == SOURCE_TEXT && !l->t)
        return err_set(e, ERR_INPUT, "%s holds text, and there is no tokenizer to read it with", o->path);
    if (o->shuffle) {
        order = mem_array(l->s->n, sizeof *order, e);
        if (!order)
            return -1;
        rng_permutation(o->seed, 1, l->s->n, order);
    }
    if (!take_all(l, order, e) && !check_left(o, d, e) && !hash_tokens(d, e))
        rc = 0;
    mem_free(order);
    ids_release(&l->ids);
    return rc;
}

int dataset_load(const struct dataset_options *o, struct tokenizer *t, int64_t vocab, struct dataset *out,
                 struct err *e)
{
    struct source s = { .path = o->path, .field = o->field };
    struct dataset d = { 0 };
    struct load l = { .o = o, .t = t, .vocab = vocab, .s = &s, .out = &d };
    int rc = check_options(o, e) || hash_file(o->path, d.source_sha256, e) || source_read(&s, e) ||
             load_from(&l, e);
    source_release(&s);
    if (rc) {
        dataset_release(&d);
        return -1;
    }
    *out = d;
    return 0;
}

void dataset_release(struct dataset *d)
{
    for (int64_t i = 0; i < d->n; i++)
        mem_free(d->seq[i]);
    mem_free(d->seq);
    mem_free(d->len);
    *d = (struct dataset){ 0 };
}

int dataset_records(const char *path, const char *field,
                    int (*f)(void *arg, const char *p, size_t n, struct err *e), void *arg, struct err *e)
{
    struct source s = { .path = path, .field = field, .by_line = true };
    int rc = source_read(&s, e);
    if (!rc && s.kind == SOURCE_IDS)
        rc = err_set(e, ERR_INPUT, "%s holds token ids, expected text", path);
    for (size_t i = 0; !rc && i < s.n; i++)
        rc = f(arg, s.text.p + s.record[i].at, s.record[i].n, e);
    source_release(&s);
    return rc ? -1 : 0;
}
