/* dataset_overlap.c - do two data sets share a run of tokens? A rolling hash of every window of one, looked up for every
 * window of the other, each hit compared token by token: no false alarms, none missed. */
#include "text/dataset.h"

#include "base/mem.h"

#include <string.h>

#define BASE 0x9E3779B97F4A7C15u /* odd: powers never vanish modulo 2^64 */

struct window {
    uint64_t hash;
    const int32_t *at; /* NULL: free */
};
struct windows {
    struct window *slot;
    size_t n; /* a power of two */
    size_t len;
};

static uint64_t slide(uint64_t h, uint64_t top, int32_t out, int32_t in)
{
    return (h - top * ((uint32_t)out + 1u)) * BASE + (uint32_t)in + 1u;
}

/* The slot of an equal window, or the free one where it belongs. */
static struct window *place(const struct windows *w, uint64_t hash, const int32_t *at)
{
    for (size_t i = (hash ^ hash >> 32) & (w->n - 1);; i = (i + 1) & (w->n - 1)) {
        struct window *s = &w->slot[i];
        if (!s->at || (s->hash == hash && !memcmp(s->at, at, w->len * sizeof *at)))
            return s;
    }
}

/* each_window - stops at the first window that is already there when `find`; else enters all. */
static bool each_window(const struct windows *w, const int32_t *v, int64_t n, uint64_t top, bool find)
{
    int64_t len = (int64_t)w->len;
    uint64_t h = 0;
    for (int64_t i = 0; i < n; i++) {
        h = i < len ? h * BASE + (uint32_t)v[i] + 1u : slide(h, top, v[i - len], v[i]);
        if (i + 1 < len)
            continue;
        struct window *s = place(w, h, v + i + 1 - len);
        if (find && s->at)
            return true;
        if (!find && !s->at)
            *s = (struct window){ h, v + i + 1 - len };
    }
    return false;
}

int dataset_overlap(const struct dataset *a, const struct dataset *b, int64_t window, bool *found,
                    int64_t *at_seq, struct err *e)
{
    if (window < 1)
        return err_set(e, ERR_INPUT, "overlap: found a window of %lld tokens, expected at least 1",
                       (long long)window);
    struct windows w = { NULL, 16, (size_t)window };
    uint64_t top = 1;
    while (w.n < 2 * (size_t)a->tokens)
        w.n *= 2;
    w.slot = mem_array(w.n, sizeof *w.slot, e);
    if (!w.slot)
        return -1;
    for (int64_t i = 1; i < window && i < a->tokens; i++)
        top *= BASE;
    for (int64_t i = 0; i < a->n; i++)
        each_window(&w, a->seq[i], a->len[i], top, false);
    *found = false;
    *at_seq = -1;
    for (int64_t i = 0; i < b->n && !*found; i++)
        if (each_window(&w, b->seq[i], b->len[i], top, true)) {
            *found = true;
            *at_seq = i;
        }
    mem_free(w.slot);
    return 0;
}
