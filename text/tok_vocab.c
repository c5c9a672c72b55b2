/* tok_vocab.c - the vocabulary: bytes of a token to its id and back. One pool of bytes, one open-addressing table. It
 * knows nothing of merges or of added tokens. */
#include "text/tok.h"

#include "base/mem.h"

#include <string.h>

/* Eight bytes a step, mixed by multiplication (the constants are odd parts of sqrt(5) and sqrt(3)). Speed only: a poor
 * hash costs time, never correctness. */
uint64_t bytes_hash(const char *p, size_t n)
{
    uint64_t h = 0x9E3779B97F4A7C15u ^ n, x;
    for (; n >= 8; n -= 8, p += 8) {
        memcpy(&x, p, 8);
        h = (h ^ x) * 0xBB67AE8584CAA73Bu;
        h ^= h >> 29;
    }
    x = 0;
    memcpy(&x, p, n);
    h = (h ^ x) * 0xBB67AE8584CAA73Bu;
    return h ^ h >> 32;
}

static uint32_t *slot_of(const struct vocab *v, const char *p, size_t n)
{
    for (size_t i = bytes_hash(p, n) & (v->n_slot - 1);; i = (i + 1) & (v->n_slot - 1)) {
        const struct vocab_entry *t = &v->entry[v->slot[i] ? v->slot[i] - 1 : 0];
        if (!v->slot[i] || (t->n == n && !memcmp(v->pool + t->at, p, n)))
            return &v->slot[i];
    }
}

int32_t vocab_find(const struct vocab *v, const char *p, size_t n)
{
    if (!v->n)
        return -1;
    uint32_t s = *slot_of(v, p, n);
    return s ? v->entry[s - 1].id : -1;
}

bool vocab_token(const struct vocab *v, int64_t id, struct slice *out)
{
    if (id < 0 || id >= v->n_id || v->of_id[id] < 0)
        return false;
    const struct vocab_entry *t = &v->entry[v->of_id[id]];
    *out = slice_of(v->pool + t->at, t->n);
    return true;
}

void vocab_release(struct vocab *v)
{
    mem_free(v->entry);
    mem_free(v->pool);
    mem_free(v->slot);
    mem_free(v->of_id);
    *v = (struct vocab){ 0 };
}

/* measure - bytes of all tokens and the largest id; wrong values are errors here, so that the second pass can't fail. */
static int measure(const struct json *object, const char *file, size_t *bytes, int64_t *n_id, struct err *e)
{
    *bytes = 0;
    *n_id = 0;
    for (void *it = json_first(object); it; it = json_next(object, it)) {
        int64_t id;
        const struct json *j = json_it_value(it);
        if (!json_int(j, &id))
            return err_set(e, ERR_INPUT, "%s: model.vocab: token '%s': found %s, expected an integer id",
                           file, json_it_key(it), json_type_name(json_type(j)));
        if (id < 0 || id >= VOCAB_MAX_ID)
            return err_set(e, ERR_INPUT,
                           "%s: model.vocab: token '%s': found id %lld, expected one in [0, %d)", file,
                           json_it_key(it), (long long)id, VOCAB_MAX_ID);
        *bytes += strlen(json_it_key(it));
        *n_id = id >= *n_id ? id + 1 : *n_id;
    }
    return *bytes >= UINT32_MAX ? err_set(e, ERR_LIMIT, "%s: model.vocab holds more than 4 GiB of text", file)
                                : 0;
}

static int room(struct vocab *v, size_t count, size_t bytes, int64_t n_id, struct err *e)
{
    for (v->n_slot = 16; v->n_slot < 2 * count;)
        v->n_slot *= 2;
    v->entry = mem_array(count + 1, sizeof *v->entry, e);
    v->pool = mem_alloc(bytes + 1, e);
    v->slot = mem_array(v->n_slot, sizeof *v->slot, e);
    v->of_id = mem_array((size_t)n_id + 1, sizeof *v->of_id, e);
    if (!v->entry || !v->pool || !v->slot || !v->of_id)
        return -1;
    v->n_id = n_id;
    memset(v->of_id, 0xff, ((size_t)n_id + 1) * sizeof *v->of_id);
    return 0;
}

int vocab_read(struct vocab *v, const struct json *object, const char *file, struct err *e)
{
    size_t bytes, at = 0;
    int64_t n_id;
    if (measure(object, file, &bytes, &n_id, e) || room(v, json_len(object), bytes, n_id, e))
        return -1;
    for (void *it = json_first(object); it; it = json_next(object, it)) {
        const char *key = json_it_key(it);
        size_t n = strlen(key);
        int64_t id = 0;
        json_int(json_it_value(it), &id);
        if (v->of_id[id] >= 0) {
            const struct vocab_entry *t = &v->entry[v->of_id[id]];
            return err_set(e, ERR_INPUT, "%s: model.vocab: tokens '%.*s' and '%s' have the same id %lld",
                           file, (int)t->n, v->pool + t->at, key, (long long)id);
        }
        memcpy(v->pool + at, key, n);
        uint32_t *s = slot_of(v, key, n);
        v->entry[v->n] = (struct vocab_entry){ (uint32_t)at, (uint32_t)n, (int32_t)id };
        v->of_id[id] = (int32_t)v->n;
        *s = (uint32_t)++v->n;
        at += n;
    }
    return 0;
}
