/* tok_bpe.c - the model BPE: characters to ids, then merges of neighbours, lowest rank first and leftmost among equals
 * (Sennrich et al., arXiv:1508.07909), as `tokenizers` orders them. A heap of candidates makes a word of n characters
 * cost O(n log n): without a pre-tokenizer a whole text is one word. */
#include "text/tok.h"

#include "base/mem.h"

#include <string.h>

struct merge {
    uint64_t pair; /* left id << 32 | right id; NO_PAIR: free */
    uint32_t rank;
    int32_t id; /* what the two become */
};
#define NO_PAIR UINT64_MAX

struct symbol {
    int32_t id, prev, next; /* neighbours by index, -1 at the ends */
    bool gone;              /* merged into its left neighbour */
};
struct candidate {
    uint64_t order; /* rank << 32 | position */
    int32_t id;
};
/* A word seen before: its bytes in cache_text, its ids in cache_ids. */
struct seen {
    uint32_t at, n, ids_at, n_ids;
};
enum { CACHE_SLOTS = 1 << 15, CACHE_WORD = 128, CACHE_TEXT = 4 << 20, SHORT_CHARS = 0x800 };

struct bpe {
    struct vocab vocab;
    struct merge *merge;
    size_t n_merge; /* slots, a power of two */
    bool byte_fallback, fuse_unk, ignore_merges;
    char *unk; /* NULL: unknown characters vanish */
    int32_t unk_id, byte_id[256];
    int32_t char_id[SHORT_CHARS]; /* of characters of one or two bytes; -1: not in the vocabulary */
    struct seen *seen;            /* [CACHE_SLOTS] */
    struct buf cache_text;
    struct ids cache_ids;
    struct symbol *sym;
    size_t n_sym, cap_sym;
    struct candidate *heap;
    size_t n_heap, cap_heap;
};

static void bpe_free(void *own)
{
    struct bpe *b = own;
    vocab_release(&b->vocab);
    buf_release(&b->cache_text);
    ids_release(&b->cache_ids);
    mem_free(b->merge);
    mem_free(b->unk);
    mem_free(b->seen);
    mem_free(b->sym);
    mem_free(b->heap);
    mem_free(b);
}

const struct vocab *bpe_vocab(const struct part *model) { return &((const struct bpe *)model->own)->vocab; }

static struct merge *merge_slot(const struct bpe *b, int32_t left, int32_t right)
{
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right, h = pair * 0x9E3779B97F4A7C15u;
    for (size_t i = (h ^ h >> 32) & (b->n_merge - 1);; i = (i + 1) & (b->n_merge - 1))
        if (b->merge[i].pair == pair || b->merge[i].pair == NO_PAIR)
            return &b->merge[i];
}

/* Both spellings: ["a", "b"] and "a b". */
static int merge_words(const struct json *j, size_t at, const char *file, struct slice *l, struct slice *r,
                       struct err *e)
{
    const char *s = json_str(j, &l->n);
    if (s) {
        const char *gap = memchr(s, ' ', l->n);
        size_t left = gap ? (size_t)(gap - s) : 0;
        if (!gap || memchr(gap + 1, ' ', l->n - left - 1))
            return err_set(e, ERR_INPUT,
                           "%s: model.merges[%zu]: found '%s', expected two tokens with one space between",
                           file, at, s);
        *r = slice_of(gap + 1, l->n - left - 1);
        *l = slice_of(s, left);
        return 0;
    }
    l->p = json_str(json_item(j, 0), &l->n);
    r->p = json_str(json_item(j, 1), &r->n);
    if (json_type(j) == JSON_ARRAY && json_len(j) == 2 && l->p && r->p)
        return 0;
    return err_set(e, ERR_INPUT,
                   "%s: model.merges[%zu]: found %s, expected a string or a list of two strings", file, at,
                   json_type_name(json_type(j)));
}

static int merge_id(const struct bpe *b, size_t at, struct slice s, const char *file, int32_t *id,
                    struct err *e)
{
    *id = vocab_find(&b->vocab, s.p, s.n);
    return *id >= 0 ? 0
                    : err_set(e, ERR_INPUT, "%s: model.merges[%zu]: token '%.*s' is not in the vocabulary",
                              file, at, (int)(s.n > 100 ? 100 : s.n), s.p);
}

static int read_merges(struct bpe *b, const struct json *list, const char *file, struct err *e)
{
    struct buf joined = { 0 };
    size_t n = json_len(list);
    int rc = -1;
    uint32_t rank = 0;
    if (json_type(list) != JSON_ARRAY)
        return err_set(e, ERR_INPUT, "%s: model.merges: found %s, expected a list", file,
                       list ? json_type_name(json_type(list)) : "nothing");
    for (b->n_merge = 16; b->n_merge < 2 * n;)
        b->n_merge *= 2;
    b->merge = mem_array(b->n_merge, sizeof *b->merge, e);
    if (!b->merge)
        return -1;
    for (size_t i = 0; i < b->n_merge; i++)
        b->merge[i].pair = NO_PAIR;
    for (size_t i = 0; i < n; i++) {
        const struct json *j = json_item(list, i);
        struct slice l, r;
        int32_t left, right, id;
        const char *s = json_str(j, NULL);
        if (s && !strncmp(s, "#version", 8)) /* the first line of a merges.txt */
            continue;
        joined.len = 0;
        if (merge_words(j, i, file, &l, &r, e) || merge_id(b, i, l, file, &left, e) ||
            merge_id(b, i, r, file, &right, e) || buf_add(&joined, l.p, l.n, e) ||
            buf_add(&joined, r.p, r.n, e) || merge_id(b, i, slice_of(joined.p, joined.len), file, &id, e))
            goto done;
        struct merge *m = merge_slot(b, left, right); /* a pair given twice: the last one counts */
        *m = (struct merge){ (uint64_t)(uint32_t)left << 32 | (uint32_t)right, rank++, id };
    }
    rc = 0;
done:
    buf_release(&joined);
    return rc;
}

/* Affixes and dropout would change ids; files of the families we know have none. */
static int refuse_options(const struct json *j, const struct part_reader *r, struct err *e)
{
    static const char *const affix[] = { "continuing_subword_prefix", "end_of_word_suffix" };
    for (int i = 0; i < 2; i++) {
        size_t n = 0;
        const struct json *v = json_get(j, affix[i]);
        const char *s = json_str(v, &n);
        if (json_type(v) != JSON_NULL && !s)
            return err_set(e, ERR_INPUT, "%s: model.%s: found %s, expected a string or null", r->file,
                           affix[i], json_type_name(json_type(v)));
        if (n)
            return err_set(e, ERR_UNBUILT, "%s: model.%s '%s' is not built", r->file, affix[i], s);
    }
    double d = 0;
    const struct json *v = json_get(j, "dropout");
    if (json_type(v) != JSON_NULL && !json_num(v, &d))
        return err_set(e, ERR_INPUT, "%s: model.dropout: found %s, expected a number or null", r->file,
                       json_type_name(json_type(v)));
    return d > 0 || d < 0 ? err_set(e, ERR_UNBUILT, "%s: model.dropout: random merges are not built", r->file)
                          : 0;
}

static void small_tables(struct bpe *b)
{
    for (unsigned c = 0; c < SHORT_CHARS; c++) {
        char s[4];
        b->char_id[c] = vocab_find(&b->vocab, s, (size_t)utf8_put(c, s));
    }
    for (unsigned i = 0; i < 256; i++) {
        static const char hex[] = "0123456789ABCDEF";
        char s[] = { '<', '0', 'x', hex[i >> 4], hex[i & 15], '>' };
        b->byte_id[i] = vocab_find(&b->vocab, s, sizeof s);
    }
}

int bpe_parse(struct part *p, const struct json *j, struct part_reader *r, struct err *e)
{
    struct bpe *b = mem_alloc(sizeof *b, e);
    if (!b)
        return -1;
    p->own = b;
    p->own_free = bpe_free;
    const struct json *vocab = json_get(j, "vocab"), *unk = json_get(j, "unk_token");
    if (json_type(vocab) != JSON_OBJECT)
        return err_set(e, ERR_INPUT, "%s: model.vocab: found %s, expected an object of token: id", r->file,
                       vocab ? json_type_name(json_type(vocab)) : "nothing");
    if (refuse_options(j, r, e) || part_bool(j, "byte_fallback", false, r, &b->byte_fallback, e) ||
        part_bool(j, "fuse_unk", false, r, &b->fuse_unk, e) ||
        part_bool(j, "ignore_merges", false, r, &b->ignore_merges, e))
        return -1;
    if (vocab_read(&b->vocab, vocab, r->file, e) || read_merges(b, json_get(j, "merges"), r->file, e))
        return -1;
    if (json_type(unk) != JSON_NULL) {
        size_t n;
        const char *s;
        if (part_str(j, "unk_token", r, &s, &n, e) || !(b->unk = mem_strndup(s, n, e)))
            return -1;
        b->unk_id = vocab_find(&b->vocab, s, n);
    }
    small_tables(b);
    b->seen = mem_array(CACHE_SLOTS, sizeof *b->seen, e);
    return b->seen ? 0 : -1;
}

static int push_symbol(struct bpe *b, int32_t id, struct err *e)
{
    if (b->n_sym >= INT32_MAX)
        return err_set(e, ERR_LIMIT, "a word has more than 2^31 characters");
    if (grow((void **)&b->sym, &b->cap_sym, b->n_sym + 1, sizeof *b->sym, e))
        return -1;
    int32_t at = (int32_t)b->n_sym++;
    b->sym[at] = (struct symbol){ id, at - 1, at + 1, false };
    return 0;
}

static int push_bytes(struct bpe *b, const char *p, int len, bool *ok, struct err *e)
{
    *ok = true;
    for (int i = 0; i < len; i++)
        *ok = *ok && b->byte_id[(unsigned char)p[i]] >= 0;
    for (int i = 0; *ok && i < len; i++)
        if (push_symbol(b, b->byte_id[(unsigned char)p[i]], e))
            return -1;
    return 0;
}

/* Characters to symbols. An unknown one becomes its bytes (all or none), else waits as `unk`: with fuse_unk a run of
 * them is one, and it is written when the next known character comes, not when its bytes do (as the library does). */
static int split_chars(struct bpe *b, const char *p, size_t n, struct err *e)
{
    bool waiting = false;
    b->n_sym = 0;
    for (size_t i = 0; i < n;) {
        int len;
        unsigned c = utf8_get(p + i, n - i, &len);
        int32_t id = c < SHORT_CHARS ? b->char_id[c] : vocab_find(&b->vocab, p + i, (size_t)len);
        bool done = false;
        if (id < 0 && b->byte_fallback && push_bytes(b, p + i, len, &done, e))
            return -1;
        i += (size_t)len;
        if (done || (id < 0 && !b->unk))
            continue;
        if (id < 0 && b->unk_id < 0)
            return err_set(e, ERR_INPUT,
                           "the unknown token '%s' is not in the vocabulary, and U+%04X needs it", b->unk, c);
        if (waiting && (id >= 0 || !b->fuse_unk) && push_symbol(b, b->unk_id, e))
            return -1;
        waiting = id < 0;
        if (id >= 0 && push_symbol(b, id, e))
            return -1;
    }
    if (waiting && push_symbol(b, b->unk_id, e))
        return -1;
    if (b->n_sym)
        b->sym[b->n_sym - 1].next = -1;
    return 0;
}

static void sift_down(struct candidate *h, size_t n, size_t i)
{
    struct candidate x = h[i];
    for (size_t k; (k = 2 * i + 1) < n; i = k) {
        k += k + 1 < n && h[k + 1].order < h[k].order;
        if (x.order <= h[k].order)
            break;
        h[i] = h[k];
    }
    h[i] = x;
}

static int push_candidate(struct bpe *b, int32_t at, bool keep_heap, struct err *e)
{
    int32_t next = at < 0 ? -1 : b->sym[at].next;
    if (next < 0)
        return 0;
    const struct merge *m = merge_slot(b, b->sym[at].id, b->sym[next].id);
    if (m->pair == NO_PAIR)
        return 0;
    if (grow((void **)&b->heap, &b->cap_heap, b->n_heap + 1, sizeof *b->heap, e))
        return -1;
    struct candidate x = { (uint64_t)m->rank << 32 | (uint32_t)at, m->id };
    size_t i = b->n_heap++;
    for (; keep_heap && i && b->heap[(i - 1) / 2].order > x.order; i = (i - 1) / 2)
        b->heap[i] = b->heap[(i - 1) / 2];
    b->heap[i] = x;
    return 0;
}

/* merge_all - candidates go stale when a neighbour changes; a stale one is known by its pair making another token. */
static int merge_all(struct bpe *b, struct err *e)
{
    b->n_heap = 0;
    for (size_t i = 0; i + 1 < b->n_sym; i++)
        if (push_candidate(b, (int32_t)i, false, e))
            return -1;
    for (size_t i = b->n_heap / 2; i-- > 0;)
        sift_down(b->heap, b->n_heap, i);
    while (b->n_heap) {
        struct candidate top = b->heap[0];
        b->heap[0] = b->heap[--b->n_heap];
        if (b->n_heap)
            sift_down(b->heap, b->n_heap, 0);
        int32_t at = (int32_t)(uint32_t)top.order;
        struct symbol *s = &b->sym[at];
        if (s->gone || s->next < 0)
            continue;
        struct symbol *right = &b->sym[s->next];
        const struct merge *m = merge_slot(b, s->id, right->id);
        if (m->pair == NO_PAIR || m->id != top.id)
            continue;
        s->id = top.id;
        right->gone = true;
        s->next = right->next;
        if (s->next >= 0)
            b->sym[s->next].prev = at;
        if (push_candidate(b, s->prev, true, e) || push_candidate(b, at, true, e))
            return -1;
    }
    return 0;
}

/* ids: those of out from `from` on; a word of unknown characters may have none. */
static void remember(struct bpe *b, struct seen *s, const char *p, size_t n, const struct ids *out,
                     size_t from)
{
    size_t n_ids = out->n - from;
    struct err ignored = { 0 }; /* no memory for the cache: the word is worked out again next time */
    if (b->cache_text.len + n > CACHE_TEXT || b->cache_ids.n + n_ids > CACHE_TEXT) {
        memset(b->seen, 0, CACHE_SLOTS * sizeof *b->seen);
        b->cache_text.len = b->cache_ids.n = 0;
    }
    struct seen now = { (uint32_t)b->cache_text.len, (uint32_t)n, (uint32_t)b->cache_ids.n, (uint32_t)n_ids };
    if (!ids_add(&b->cache_ids, n_ids ? out->v + from : NULL, n_ids, &ignored) &&
        !buf_add(&b->cache_text, p, n, &ignored))
        *s = now;
}

int bpe_tokenize(const struct part *model, const char *p, size_t n, struct ids *out, struct err *e)
{
    struct bpe *b = model->own;
    struct seen *s = n <= CACHE_WORD ? &b->seen[bytes_hash(p, n) & (CACHE_SLOTS - 1)] : NULL;
    if (s && s->n == n && !memcmp(b->cache_text.p + s->at, p, n))
        return s->n_ids ? ids_add(out, b->cache_ids.v + s->ids_at, s->n_ids, e) : 0;
    size_t from = out->n;
    int32_t whole = b->ignore_merges ? vocab_find(&b->vocab, p, n) : -1;
    if (whole >= 0) {
        if (ids_add(out, &whole, 1, e))
            return -1;
    } else {
        if (split_chars(b, p, n, e) || merge_all(b, e))
            return -1;
        for (int32_t i = b->n_sym ? 0 : -1; i >= 0; i = b->sym[i].next)
            if (ids_add(out, &b->sym[i].id, 1, e))
                return -1;
    }
    if (s)
        remember(b, s, p, n, out, from);
    return 0;
}

int bpe_run(const struct part *p, struct work *w, struct err *e)
{
    w->ids.n = 0;
    for (size_t i = 0; i < w->cur.n; i++) {
        const struct piece *x = &w->cur.v[i];
        if (x->id >= 0 ? ids_add(&w->ids, &x->id, 1, e)
                       : bpe_tokenize(p, w->cur.text.p + x->at, x->n, &w->ids, e))
            return -1;
    }
    return 0;
}
