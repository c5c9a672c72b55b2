/* collect.c - collectives out of send and recv, the same for every communicator: binomial trees, no arithmetic. All ranks
 * call them in the same order; every message has one sender and one receiver that know its length, so nothing is looked
 * for and nothing is buffered. */
#include "base/log.h"
#include "cluster/comm.h"
#include <stdbool.h>
#include <string.h>

enum {
    BCAST_PIECE = 1 << 20, /* bytes: while a rank passes one piece on, the next one travels to it */
    PACK = 1 << 15,        /* bytes of small rows that travel together */
};

/* Place of a rank in the tree with root's place 0: parent of place v is v without its lowest bit, its children are
 * v + 1, v + 2, v + 4, ... below that bit. */
static int place(const struct comm *c, int root) { return (c->rank - root + c->size) % c->size; }
static int rank_at(const struct comm *c, int root, int v) { return (v + root) % c->size; }
static int low_bit(const struct comm *c, int v)
{
    int bit = 1;
    while (v ? !(v & bit) : bit < c->size)
        bit *= 2;
    return bit;
}

static int pass_down(const struct comm *c, int root, char *data, size_t n, struct err *e)
{
    int v = place(c, root), bit = low_bit(c, v);
    if (v && comm_recv(c, rank_at(c, root, v - bit), data, n, e))
        return -1;
    for (bit /= 2; bit; bit /= 2) /* the largest part of the tree first */
        if (v + bit < c->size && comm_send(c, rank_at(c, root, v + bit), data, n, e))
            return -1;
    return 0;
}

int comm_bcast(const struct comm *c, void *data, size_t n_bytes, int root, struct err *e)
{
    BUG_ON(root < 0 || root >= c->size);
    for (size_t at = 0; c->size > 1 && at < n_bytes; at += BCAST_PIECE)
        if (pass_down(c, root, (char *)data + at, n_bytes - at < BCAST_PIECE ? n_bytes - at : BCAST_PIECE, e))
            return -1;
    return 0;
}

int comm_barrier(const struct comm *c, struct err *e)
{
    char token = 0;
    int bit = low_bit(c, c->rank);
    for (int b = 1; b < bit; b *= 2)
        if (c->rank + b < c->size && comm_recv(c, c->rank + b, &token, 1, e))
            return -1;
    if (c->rank && comm_send(c, c->rank - bit, &token, 1, e))
        return -1;
    return comm_bcast(c, &token, 1, 0, e);
}

int comm_gather(const struct comm *c, const void *part, size_t n_bytes, void *all, int root, struct err *e)
{
    BUG_ON(root < 0 || root >= c->size);
    if (!n_bytes)
        return 0;
    if (c->rank != root)
        return comm_send(c, root, part, n_bytes, e);
    for (int r = 0; r < c->size; r++) {
        char *to = (char *)all + (size_t)r * n_bytes;
        if (r == root)
            memmove(to, part, n_bytes); /* part may be its own place in all */
        else if (comm_recv(c, r, to, n_bytes, e))
            return -1;
    }
    return 0;
}

/* The rows of one owner travel to rank 0 in index order: small ones packed, as many as fit; large ones from their place. */
static int rows_to_0(const struct comm *c, char *rows, size_t row, int64_t n, const int *owner, int who,
                     struct err *e)
{
    char pack[PACK];
    int64_t at[PACK / 8]; /* which rows are in the pack */
    size_t most = row ? PACK / row : 0;
    most = most < PACK / 8 ? most : PACK / 8;
    for (int64_t i = 0; i < n;) {
        size_t k = 0;
        for (; i < n && (k < most || !most); i++) {
            if (owner[i] != who)
                continue;
            if (!most && (c->rank ? comm_send(c, 0, rows + (size_t)i * row, row, e)
                                  : comm_recv(c, who, rows + (size_t)i * row, row, e)))
                return -1;
            if (most)
                at[k++] = i;
        }
        for (size_t j = 0; c->rank && j < k; j++)
            memcpy(pack + j * row, rows + (size_t)at[j] * row, row);
        if (k && (c->rank ? comm_send(c, 0, pack, k * row, e) : comm_recv(c, who, pack, k * row, e)))
            return -1;
        for (size_t j = 0; !c->rank && j < k; j++)
            memcpy(rows + (size_t)at[j] * row, pack + j * row, row);
    }
    return 0;
}

int comm_share(const struct comm *c, void *rows, size_t row_bytes, int64_t n, const int *owner, struct err *e)
{
    for (int64_t i = 0; i < n; i++)
        BUG_ON(owner[i] < 0 || owner[i] >= c->size);
    if (c->size == 1 || !row_bytes)
        return 0;
    for (int r = 1; r < c->size; r++)
        if ((c->rank == r || c->rank == 0) && rows_to_0(c, rows, row_bytes, n, owner, r, e))
            return -1;
    return comm_bcast(c, rows, (size_t)n * row_bytes, 0, e);
}

/* What every rank says, and then what all are told. */
struct verdict {
    int failed;      /* this rank failed; told: the lowest that did, -1: none */
    int interrupted; /* the signal that this rank got, 0: none; told: of the lowest that got one */
};

static int ask_all(const struct comm *c, struct verdict *v, struct err *e)
{
    struct verdict mine = *v;
    if (c->rank)
        return comm_send(c, 0, &mine, sizeof mine, e) || comm_bcast(c, v, sizeof *v, 0, e) ? -1 : 0;
    *v = (struct verdict){ mine.failed ? 0 : -1, mine.interrupted };
    for (int r = 1; r < c->size; r++) {
        if (comm_recv(c, r, &mine, sizeof mine, e))
            return -1;
        v->failed = v->failed < 0 && mine.failed ? r : v->failed;
        v->interrupted = v->interrupted ? v->interrupted : mine.interrupted;
    }
    return comm_bcast(c, v, sizeof *v, 0, e);
}

/* The error of another rank, as this one says it. */
static void adopt(struct err *e, const struct err *theirs, int rank)
{
    char what[sizeof e->what];
    if (strncmp(theirs->what, "rank ", 5) == 0) /* agreed on before: it names who found it */
        snprintf(what, sizeof what, "%s", theirs->what);
    else
        snprintf(what, sizeof what, "rank %d: %.*s", rank, (int)sizeof what - 24, theirs->what);
    *e = *theirs;
    memcpy(e->what, what, sizeof what);
    e->at.file = e->at.line ? e->file : NULL; /* their pointer is of their process */
}

static bool agreed;

bool comm_agreed(void) { return agreed; }

int comm_agree(const struct comm *c, int rc, struct err *e)
{
    struct verdict v = { rc != 0, interrupted };
    struct err sent = { 0 };
    if (c->size > 1) {
        if (ask_all(c, &v, &sent)) { /* the job is broken; an error of this rank's own says more about why */
            if (e && !e->code)
                *e = sent;
            return -1;
        }
    } else
        v.failed = rc ? 0 : -1;
    agreed = (v.failed >= 0 || v.interrupted) && c->size == comm_world()->size;
    if (v.failed < 0)
        return v.interrupted
                   ? err_set(e, ERR_RESUME, "interrupted by signal %d; run it again to go on", v.interrupted)
                   : 0;
    if (c->size == 1)
        return -1;
    if (c->rank == v.failed && e)
        sent = *e;
    if (comm_bcast(c, &sent, sizeof sent, v.failed, e)) {
        agreed = false;
        return -1;
    }
    if (c->rank != v.failed && e)
        adopt(e, &sent, c->first + v.failed);
    return -1;
}
