/* tokenizer.c - tokenizer.json to a chain of parts, and a text through the chain: the two doors of tokenizer.h and the
 * order of their steps. What each step does lies in tok_*.c. */
#include "text/tok.h"

#include "base/file.h"
#include "base/mem.h"

#include <string.h>

int ids_add(struct ids *l, const int32_t *v, size_t n, struct err *e)
{
    if (!n)
        return 0;
    if (grow((void **)&l->v, &l->cap, l->n + n, sizeof *l->v, e))
        return -1;
    memcpy(l->v + l->n, v, n * sizeof *v);
    l->n += n;
    return 0;
}

void ids_release(struct ids *l)
{
    mem_free(l->v);
    *l = (struct ids){ 0 };
}

void work_release(struct work *w)
{
    buf_release(&w->cur.text);
    buf_release(&w->next.text);
    buf_release(&w->norm);
    buf_release(&w->norm_next);
    mem_free(w->cur.v);
    mem_free(w->next.v);
    mem_free(w->spans.v);
    mem_free(w->cuts.v);
    mem_free(w->chars);
    ids_release(&w->ids);
    ids_release(&w->ids_next);
    *w = (struct work){ 0 };
}

void tokenizer_free(struct tokenizer *t)
{
    if (!t)
        return;
    for (int i = 0; i < TABLE_COUNT; i++)
        part_free(t->chain[i]);
    added_release(&t->added);
    work_release(&t->work);
    mem_free(t->name);
    mem_free(t);
}

static int check_slots(const struct tokenizer *t, const struct part *p, struct err *e)
{
    for (size_t i = 0; p && i < p->n_child; i++)
        if (check_slots(t, p->child[i], e))
            return -1;
    for (size_t i = 0; p && i < p->n_slot; i++)
        for (size_t k = 0; k < p->slot[i].n; k++)
            if (p->slot[i].ids[k] >= t->size)
                return err_set(e, ERR_INPUT, "%s: post_processor: id %d is not below the number of ids, %lld",
                               t->name, p->slot[i].ids[k], (long long)t->size);
    return 0;
}

static int read_all(struct tokenizer *t, const struct json *root, struct err *e)
{
    static const char *const keys[TABLE_COUNT] = { "normalizer", "pre_tokenizer", "model", "post_processor",
                                                   "decoder" };
    struct part_reader r = { t->name, TABLE_NORMALIZER, "", t };
    if (json_type(root) != JSON_OBJECT)
        return err_set(e, ERR_INPUT, "%s: found %s, expected an object", t->name,
                       json_type_name(json_type(root)));
    for (int i = 0; i < TABLE_COUNT; i++) {
        r.table = (enum part_table)i;
        snprintf(r.where, sizeof r.where, "%s", keys[i]);
        if (part_read(json_get(root, keys[i]), &r, &t->chain[i], e))
            return -1;
    }
    if (!t->chain[TABLE_MODEL])
        return err_set(e, ERR_INPUT, "%s: key 'model': found nothing, expected an object", t->name);
    t->size = bpe_vocab(t->chain[TABLE_MODEL])->n_id;
    if (added_read(&t->added, json_get(root, "added_tokens"), t, e))
        return -1;
    return check_slots(t, t->chain[TABLE_POST], e);
}

static struct tokenizer *from_json(struct json *root, const char *name, struct err *e)
{
    struct tokenizer *t = mem_alloc(sizeof *t, e);
    if (!t)
        return NULL;
    t->name = mem_strdup(name, e);
    if (!t->name || read_all(t, root, e)) {
        tokenizer_free(t);
        return NULL;
    }
    return t;
}

struct tokenizer *tokenizer_parse(const char *json, size_t n, const char *name, struct err *e)
{
    struct json *root = json_parse(json, n, name, e);
    struct tokenizer *t = root ? from_json(root, name, e) : NULL;
    json_free(root);
    return t;
}

struct tokenizer *tokenizer_open(const char *model_dir, struct err *e)
{
    char *path = path_join(model_dir, "tokenizer.json", e);
    struct json *root = path ? json_read(path, JSON_BIG_LIMIT, e) : NULL;
    struct tokenizer *t = root ? from_json(root, path, e) : NULL;
    json_free(root);
    mem_free(path);
    return t;
}

int64_t tokenizer_size(const struct tokenizer *t) { return t->size; }

/* normalize_all - the text between added tokens through the normalizers, then cut at the "normalized" added tokens. */
static int normalize_all(struct tokenizer *t, struct err *e)
{
    struct work *w = &t->work;
    w->next.n = w->next.text.len = 0;
    for (size_t i = 0; i < w->cur.n; i++) {
        struct piece x = w->cur.v[i];
        size_t at = w->next.text.len;
        if (x.id >= 0) {
            if (pieces_add(&w->next, at, 0, x.id, false, e))
                return -1;
            continue;
        }
        if (tokenizer_normalize(t->chain[TABLE_NORMALIZER], w, w->cur.text.p + x.at, x.n, e) ||
            buf_add(&w->next.text, w->norm.p, w->norm.len, e) ||
            added_cut(&t->added, &t->added.normal, w->norm.p, w->norm.len, at, x.first, &w->next, e))
            return -1;
    }
    work_swap_all(w);
    return 0;
}

int tokenizer_encode(struct tokenizer *t, const char *text, size_t n, bool special, struct ids *out,
                     struct err *e)
{
    struct work *w = &t->work;
    w->cur.n = w->cur.text.len = 0;
    if (utf8_repair(text, n, &w->cur.text, e) || buf_reserve(&w->cur.text, 1, e))
        return -1;
    if (added_cut(&t->added, &t->added.raw, w->cur.text.p, w->cur.text.len, 0, true, &w->cur, e) ||
        normalize_all(t, e) || part_run(t->chain[TABLE_PRE], w, e) || part_run(t->chain[TABLE_MODEL], w, e))
        return -1;
    if (special && part_run(t->chain[TABLE_POST], w, e))
        return -1;
    return ids_add(out, w->ids.v, w->ids.n, e);
}

static int token_of(const struct tokenizer *t, int32_t id, bool skip_special, struct slice *out,
                    struct err *e)
{
    const struct added_token *k = added_by_id(&t->added, id);
    if (k) {
        *out = slice_of(k->content, skip_special && k->special ? 0 : k->n);
        return skip_special && k->special;
    }
    if (vocab_token(bpe_vocab(t->chain[TABLE_MODEL]), id, out))
        return 0;
    return err_set(e, ERR_INPUT, "%s: id %d is no token", t->name, id);
}

int tokenizer_decode(struct tokenizer *t, const int32_t *ids, size_t n, bool skip_special, struct buf *out,
                     struct err *e)
{
    struct work *w = &t->work;
    struct slice s;
    w->cur.n = w->cur.text.len = 0;
    for (size_t i = 0; i < n; i++) {
        int skip = token_of(t, ids[i], skip_special, &s, e);
        if (skip < 0)
            return -1;
        if (skip)
            continue;
        if (!t->chain[TABLE_DECODER] && w->cur.n && buf_add(&w->cur.text, " ", 1, e))
            return -1;
        size_t at = w->cur.text.len;
        if (buf_add(&w->cur.text, s.p, s.n, e) || pieces_add(&w->cur, at, s.n, 0, false, e))
            return -1;
    }
    if (buf_reserve(&w->cur.text, 1, e) || part_run(t->chain[TABLE_DECODER], w, e))
        return -1;
    return buf_add(out, w->cur.text.p, w->cur.text.len, e);
}
