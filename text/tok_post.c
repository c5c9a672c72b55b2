/* tok_post.c - post-processors: tokens that a model wants round its text. Offsets and pairs of texts do not exist here. */
#include "text/tok.h"

#include "base/mem.h"

#include <string.h>

static int slot_ids(struct slot *s, const struct json *list, const char *token, const struct part_reader *r,
                    struct err *e)
{
    size_t n = json_len(list);
    if (json_type(list) != JSON_ARRAY || !n)
        return err_set(e, ERR_INPUT, "%s: %s: special_tokens: '%s' has no list of ids", r->file, r->where,
                       token);
    s->ids = mem_array(n, sizeof *s->ids, e);
    if (!s->ids)
        return -1;
    for (; s->n < n; s->n++)
        if (part_id(json_item(list, s->n), token, r, &s->ids[s->n], e))
            return -1;
    return 0;
}

static int read_slot(struct slot *s, const struct json *item, const struct json *tokens,
                     const struct part_reader *r, struct err *e)
{
    const struct json *seq = json_get(item, "Sequence"), *special = json_get(item, "SpecialToken");
    const char *id = json_str(json_get(seq ? seq : special, "id"), NULL);
    if (!id)
        return err_set(e, ERR_INPUT,
                       "%s: %s: single: found %s, expected {\"SpecialToken\"} or {\"Sequence\"} with an id",
                       r->file, r->where, json_type_name(json_type(item)));
    if (!seq)
        return slot_ids(s, json_get(json_get(tokens, id), "ids"), id, r, e);
    if (strcmp(id, "A") != 0)
        return err_set(e, ERR_INPUT, "%s: %s: single: found sequence '%s', expected 'A'", r->file, r->where,
                       id);
    s->sequence = true;
    return 0;
}

/* `pair` is for two texts, which we never encode together. */
int post_template_parse(struct part *p, const struct json *j, struct part_reader *r, struct err *e)
{
    const struct json *single = json_get(j, "single");
    size_t n = json_len(single);
    if (json_type(single) != JSON_ARRAY)
        return err_set(e, ERR_INPUT, "%s: %s: key 'single': found %s, expected a list", r->file, r->where,
                       single ? json_type_name(json_type(single)) : "nothing");
    p->slot = mem_array(n, sizeof *p->slot, e);
    if (!p->slot)
        return -1;
    p->n_slot = n;
    for (size_t i = 0; i < n; i++)
        if (read_slot(&p->slot[i], json_item(single, i), json_get(j, "special_tokens"), r, e))
            return -1;
    return 0;
}

/* "cls": ["<s>", 0], "sep": ["</s>", 2] */
int post_pair_parse(struct part *p, const struct json *j, struct part_reader *r, struct err *e)
{
    static const char *const keys[] = { "cls", NULL, "sep" };
    p->slot = mem_array(3, sizeof *p->slot, e);
    if (!p->slot)
        return -1;
    p->n_slot = 3;
    for (int i = 0; i < 3; i++) {
        p->slot[i].sequence = !keys[i];
        if (!keys[i])
            continue;
        p->slot[i].ids = mem_array(1, sizeof *p->slot[i].ids, e);
        if (!p->slot[i].ids || part_id(json_item(json_get(j, keys[i]), 1), keys[i], r, p->slot[i].ids, e))
            return -1;
        p->slot[i].n = 1;
    }
    return 0;
}

int post_template_run(const struct part *p, struct work *w, struct err *e)
{
    w->ids_next.n = 0;
    for (size_t i = 0; i < p->n_slot; i++) {
        const struct slot *s = &p->slot[i];
        if (ids_add(&w->ids_next, s->sequence ? w->ids.v : s->ids, s->sequence ? w->ids.n : s->n, e))
            return -1;
    }
    struct ids l = w->ids;
    w->ids = w->ids_next;
    w->ids_next = l;
    return 0;
}

int post_none_run(const struct part *p, struct work *w, struct err *e)
{
    (void)p, (void)w, (void)e;
    return 0;
}
