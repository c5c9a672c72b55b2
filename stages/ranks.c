/* ranks.c - who has what. */
#include "stages/ranks.h"

#include "base/mem.h"

struct span ranks_chunks(const struct comm *c, int64_t n)
{
    struct span s;
    tree_chunks(c->rank, c->size, n, &s.first, &s.end);
    return s;
}

struct chunks ranks_sequences(const struct dataset *d, struct span s)
{
    return (struct chunks){ (const int32_t *const *)d->seq + s.first, d->len + s.first, s.end - s.first };
}

static int link_send(void *arg, int to, const void *p, size_t n, struct err *e)
{
    return comm_send(arg, to, p, n, e);
}

static int link_recv(void *arg, int from, void *p, size_t n, struct err *e)
{
    return comm_recv(arg, from, p, n, e);
}

struct links ranks_links(const struct comm *c)
{
    return (struct links){ c->rank, c->size, (void *)(uintptr_t)c, link_send, link_recv };
}

static int share(const struct comm *c, void *rows, size_t row_bytes, int64_t n,
                 int (*owner)(int64_t, int64_t, int), struct err *e)
{
    if (c->size == 1 || !n)
        return 0;
    int *who = mem_array((size_t)n, sizeof *who, e);
    if (!who)
        return -1;
    for (int64_t i = 0; i < n; i++)
        who[i] = owner(i, n, c->size);
    int rc = comm_share(c, rows, row_bytes, n, who, e);
    mem_free(who);
    return rc;
}

static int of_chunk(int64_t i, int64_t n, int size) { return tree_owner((int)(i * TREE_LEAVES / n), size); }

static int around(int64_t i, int64_t n, int size) { return (void)n, (int)(i % size); }

int ranks_share_chunks(const struct comm *c, void *rows, size_t row_bytes, int64_t n, struct err *e)
{
    return share(c, rows, row_bytes, n, of_chunk, e);
}

int ranks_share_around(const struct comm *c, void *rows, size_t row_bytes, int64_t n, struct err *e)
{
    return share(c, rows, row_bytes, n, around, e);
}

void ranks_by_cost(const double *cost, int64_t n, int size, int *owner)
{
    for (int64_t i = 0; i < n; i++) {
        double least = 0;
        owner[i] = 0;
        for (int r = 0; r < size; r++) {
            double load = 0;
            for (int64_t k = 0; k < i; k++)
                load += owner[k] == r ? cost[k] : 0;
            if (r && load >= least)
                continue;
            least = load;
            owner[i] = r;
        }
    }
}

void ranks_runs(const double *cost, int64_t n, int size, int *owner)
{
    double all = 0, so_far = 0;
    for (int64_t i = 0; i < n; i++)
        all += cost[i];
    for (int64_t i = 0; i < n; i++) {
        double middle = so_far + cost[i] / 2;
        int r = all > 0 ? (int)(middle / all * size) : 0;
        owner[i] = r < size ? r : size - 1;
        so_far += cost[i];
    }
}
