/* tok_added.c - added tokens: found in a text before anything else happens to it (or right after normalization), the
 * leftmost first, of those the longest. */
#include "text/tok.h"

#include "base/mem.h"

#include <string.h>

static uint32_t *child_link(struct trie *t, uint32_t at, unsigned char b)
{
    uint32_t *link = at ? &t->node[at].child : &t->first[b];
    while (*link && t->node[*link].byte != b)
        link = &t->node[*link].sibling;
    return link;
}

static int trie_add(struct trie *t, const char *p, size_t n, int32_t token, struct err *e)
{
    if (grow((void **)&t->node, &t->cap, t->n + n + 1, sizeof *t->node, e))
        return -1;
    if (!t->n)
        t->node[t->n++] = (struct trie_node){ 0, 0, -1, 0 };
    uint32_t at = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t *link = child_link(t, at, (unsigned char)p[i]);
        if (!*link) {
            *link = (uint32_t)t->n;
            t->node[t->n++] = (struct trie_node){ 0, 0, -1, (unsigned char)p[i] };
        }
        at = *link;
    }
    if (at && t->node[at].token < 0) /* equal after normalization: the first one */
        t->node[at].token = token;
    return 0;
}

/* trie_match - the longest token at p, or -1. */
static int32_t trie_match(const struct trie *t, const char *p, size_t n, size_t *len)
{
    int32_t best = -1;
    uint32_t at = t->first[(unsigned char)p[0]];
    for (size_t i = 0; at; at = t->node[at].child) {
        while (at && t->node[at].byte != (unsigned char)p[i])
            at = t->node[at].sibling;
        if (!at)
            break;
        i++;
        if (t->node[at].token >= 0) {
            best = t->node[at].token;
            *len = i;
        }
        if (i == n)
            break;
    }
    return best;
}

static unsigned char_before(const char *p, size_t end, size_t *at)
{
    int len;
    *at = end - 1;
    while (*at && ((unsigned char)p[*at] & 0xC0) == 0x80)
        --*at;
    return utf8_get(p + *at, end - *at, &len);
}

static bool stands_alone(const char *p, size_t n, size_t at, size_t end)
{
    size_t before;
    int len;
    return !(at && char_is_word(char_before(p, at, &before))) &&
           !(end < n && char_is_word(utf8_get(p + end, n - end, &len)));
}

static size_t spaces_left(const char *p, size_t at)
{
    for (size_t c; at && char_is_space(char_before(p, at, &c));)
        at = c;
    return at;
}

static size_t spaces_right(const char *p, size_t n, size_t end)
{
    int len;
    while (end < n && char_is_space(utf8_get(p + end, n - end, &len)))
        end += (size_t)len;
    return end;
}

int added_cut(const struct added *a, const struct trie *t, const char *p, size_t n, size_t base, bool first,
              struct pieces *out, struct err *e)
{
    size_t done = 0, len = 0;
    for (size_t i = 0; i < n;) {
        int32_t hit = t->first[(unsigned char)p[i]] ? trie_match(t, p + i, n - i, &len) : -1;
        if (hit < 0) {
            i++;
            continue;
        }
        const struct added_token *k = &a->v[hit];
        size_t at = i, end = i + len;
        i = end;
        if (k->single_word && !stands_alone(p, n, at, end))
            continue;
        if (k->lstrip) {
            at = spaces_left(p, at);
            at = at < done ? done : at;
        }
        if (k->rstrip)
            end = spaces_right(p, n, end);
        if (done < at && pieces_add(out, base + done, at - done, -1, first && !done, e))
            return -1;
        if (pieces_add(out, base + at, end - at, k->id, false, e))
            return -1;
        done = end;
    }
    return done < n ? pieces_add(out, base + done, n - done, -1, first && !done, e) : 0;
}

const struct added_token *added_by_id(const struct added *a, int64_t id)
{
    return id >= 0 && (size_t)id < a->n_id && a->of_id[id] ? &a->v[a->of_id[id] - 1] : NULL;
}

static int enter_id(struct added *a, int32_t id, struct err *e)
{
    size_t before = a->n_id;
    if (grow((void **)&a->of_id, &a->n_id, (size_t)id + 1, sizeof *a->of_id, e))
        return -1;
    memset(a->of_id + before, 0, (a->n_id - before) * sizeof *a->of_id);
    a->of_id[id] = (int32_t)a->n;
    return 0;
}

void added_release(struct added *a)
{
    for (size_t i = 0; i < a->n; i++)
        mem_free(a->v[i].content);
    mem_free(a->v);
    mem_free(a->of_id);
    mem_free(a->raw.node);
    mem_free(a->normal.node);
    *a = (struct added){ 0 };
}

static int read_one(struct added_token *k, const struct json *j, const struct part_reader *r, struct err *e)
{
    const char *s;
    if (json_type(j) != JSON_OBJECT)
        return err_set(e, ERR_INPUT, "%s: %s: found %s, expected an object", r->file, r->where,
                       json_type_name(json_type(j)));
    if (part_str(j, "content", r, &s, &k->n, e) || part_id(json_get(j, "id"), "key 'id'", r, &k->id, e) ||
        part_bool(j, "special", false, r, &k->special, e) ||
        part_bool(j, "lstrip", false, r, &k->lstrip, e) || part_bool(j, "rstrip", false, r, &k->rstrip, e) ||
        part_bool(j, "single_word", false, r, &k->single_word, e) ||
        part_bool(j, "normalized", !k->special, r, &k->normalized, e))
        return -1;
    k->content = mem_strndup(s, k->n, e);
    return k->content ? 0 : -1;
}

/* The id in the list and the id in the vocabulary are two places for one fact. */
static int agree(const struct added *a, const struct added_token *k, const struct vocab *v,
                 const struct part_reader *r, struct err *e)
{
    struct slice other;
    int32_t id = vocab_find(v, k->content, k->n);
    if (id >= 0 && id != k->id)
        return err_set(e, ERR_INPUT, "%s: %s: token '%s' has id %d, and %d in model.vocab", r->file, r->where,
                       k->content, k->id, id);
    if (id < 0 && vocab_token(v, k->id, &other))
        return err_set(e, ERR_INPUT, "%s: %s: tokens '%s' and '%.*s' have the same id %d", r->file, r->where,
                       k->content, (int)other.n, other.p, k->id);
    const struct added_token *twin = added_by_id(a, k->id);
    if (twin)
        return err_set(e, ERR_INPUT, "%s: %s: tokens '%s' and '%s' have the same id %d", r->file, r->where,
                       twin->content, k->content, k->id);
    return 0;
}

static int place(struct added *a, struct tokenizer *t, int32_t i, struct err *e)
{
    struct added_token *k = &a->v[i];
    struct work *w = &t->work;
    if (!k->n)
        return 0;
    if (!k->normalized)
        return trie_add(&a->raw, k->content, k->n, i, e);
    if (tokenizer_normalize(t->chain[TABLE_NORMALIZER], w, k->content, k->n, e))
        return -1;
    return trie_add(&a->normal, w->norm.p, w->norm.len, i, e);
}

int added_read(struct added *a, const struct json *list, struct tokenizer *t, struct err *e)
{
    struct part_reader r = { t->name, TABLE_COUNT, "", t };
    size_t n = json_len(list);
    if (json_type(list) == JSON_NULL)
        return 0;
    if (json_type(list) != JSON_ARRAY)
        return err_set(e, ERR_INPUT, "%s: added_tokens: found %s, expected a list", t->name,
                       json_type_name(json_type(list)));
    a->v = mem_array(n, sizeof *a->v, e);
    if (!a->v)
        return -1;
    for (size_t i = 0; i < n; i++) {
        snprintf(r.where, sizeof r.where, "added_tokens[%zu]", i);
        struct added_token *k = &a->v[a->n++];
        if (read_one(k, json_item(list, i), &r, e) || agree(a, k, bpe_vocab(t->chain[TABLE_MODEL]), &r, e) ||
            enter_id(a, k->id, e))
            return -1;
        t->size = k->id >= t->size ? k->id + 1 : t->size;
    }
    /* Special ones first: where two are equal after normalization, the special one is found. */
    for (int special = 1; special >= 0; special--)
        for (size_t i = 0; i < n; i++)
            if (a->v[i].special == special && place(a, t, (int32_t)i, e))
                return -1;
    return 0;
}
