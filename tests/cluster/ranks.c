/* ranks.c - run by mpirun on several ranks (no cmocka: each rank is a process). `rows N`: N ranks open, messages and
 * collectives move the right bytes, on the world and on parts of it. `alone`: without a launcher no MPI is loaded. `large`:
 * one message above 2^31 bytes. `fault`: a job for failure.sh and network.sh to break. */
#include "base/log.h"
#include "cluster/comm.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int wrong;

static void expect(bool cond, const char *what, const struct err *e)
{
    if (cond)
        return;
    fprintf(stderr, "ranks: wrong: %s\n", what);
    if (e && e->code)
        err_print(e, stderr);
    wrong++;
}

/* Byte i of the message that `from` sends in round `salt`: neighbours, ranks and rounds differ. */
static unsigned char byte_of(size_t i, int from, int salt)
{
    return (unsigned char)(i * 131 + (size_t)from * 17 + (size_t)salt * 29 + (i >> 8));
}

static void fill(unsigned char *p, size_t n, int from, int salt)
{
    for (size_t i = 0; i < n; i++)
        p[i] = byte_of(i, from, salt);
}

static bool is(const unsigned char *p, size_t n, int from, int salt)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != byte_of(i, from, salt))
            return false;
    return true;
}

static const size_t lengths[] = { 0, 1, 6, 7, 8, 13, 14, 15, 996, 997, 998, 1994, 32768, 100003 };
enum { N_LENGTHS = sizeof lengths / sizeof *lengths, MOST = 100003 };

/* Every ordered pair, one message of each length behind the other: they arrive in order. */
static void pairs(const struct comm *c, unsigned char *buf)
{
    struct err e = { 0 };
    for (int from = 0; from < c->size; from++)
        for (int to = 0; to < c->size; to++)
            for (int k = 0; from != to && k < N_LENGTHS; k++) {
                if (c->rank == from) {
                    fill(buf, lengths[k], from, k);
                    expect(!comm_send(c, to, buf, lengths[k], &e), "send", &e);
                } else if (c->rank == to) {
                    memset(buf, 0, MOST);
                    expect(!comm_recv(c, from, buf, lengths[k], &e), "recv", &e);
                    expect(is(buf, lengths[k], from, k), "recv gives what was sent", NULL);
                }
            }
}

static void one_to_all(const struct comm *c, unsigned char *buf)
{
    struct err e = { 0 };
    for (int root = 0; root < c->size; root++)
        for (int k = 0; k < N_LENGTHS; k++) {
            memset(buf, 0, MOST);
            if (c->rank == root)
                fill(buf, lengths[k], root, k + 50);
            expect(!comm_bcast(c, buf, lengths[k], root, &e), "bcast", &e);
            expect(is(buf, lengths[k], root, k + 50), "bcast gives the root's bytes", NULL);
        }
    expect(!comm_bcast(c, NULL, 0, 0, &e), "bcast of nothing", &e);
}

static void large_to_all(const struct comm *c)
{
    size_t n = ((size_t)3 << 20) + 5; /* above one piece of a broadcast */
    unsigned char *p = calloc(n, 1);
    struct err e = { 0 };
    if (c->rank == c->size - 1)
        fill(p, n, c->rank, 1);
    expect(!comm_bcast(c, p, n, c->size - 1, &e) && is(p, n, c->size - 1, 1), "a bcast in pieces", &e);
    free(p);
}

static void all_to_one(const struct comm *c, unsigned char *buf)
{
    enum { N = 1001 };
    unsigned char part[N];
    struct err e = { 0 };
    for (int root = 0; root < c->size; root++) {
        fill(part, N, c->rank, root);
        memset(buf, 0, MOST);
        expect(!comm_gather(c, part, N, c->rank == root ? buf : NULL, root, &e), "gather", &e);
        for (int r = 0; c->rank == root && r < c->size; r++)
            expect(is(buf + r * N, N, r, root), "gather has rank r's part at r", NULL);
    }
}

/* Rows of 0, 3, 8 and 40000 bytes (packed, and too large for a pack), owners in turn, in runs, and all the last one's. */
static void tables(const struct comm *c)
{
    static const struct {
        size_t row;
        int64_t n;
    } of[] = { { 0, 5 }, { 3, 5000 }, { 8, 9001 }, { 40000, 9 }, { 8, 0 }, { 8, 1 } };
    struct err e = { 0 };
    for (size_t k = 0; k < sizeof of / sizeof *of; k++)
        for (int how = 0; how < 3; how++) {
            size_t row = of[k].row;
            int64_t n = of[k].n;
            unsigned char *rows = calloc((size_t)n * row + 1, 1);
            int *owner = calloc((size_t)n + 1, sizeof *owner);
            for (int64_t i = 0; i < n; i++) {
                owner[i] = how == 0 ? (int)(i % c->size) : how == 1 ? (int)(i * c->size / n) : c->size - 1;
                if (owner[i] == c->rank)
                    fill(rows + (size_t)i * row, row, owner[i], (int)i);
            }
            expect(!comm_share(c, rows, row, n, owner, &e), "share", &e);
            for (int64_t i = 0; i < n; i++)
                expect(is(rows + (size_t)i * row, row, owner[i], (int)i), "share gives the owner's row",
                       NULL);
            free(rows);
            free(owner);
        }
}

/* All well; each rank failing alone; all but rank 0; a signal at the last rank. */
static void agreement(const struct comm *c)
{
    struct err e = { 0 };
    char text[160];
    expect(!comm_agree(c, 0, &e) && !e.code, "agreement that all is well", &e);
    for (int bad = 0; bad < c->size; bad++) {
        e = (struct err){ 0 };
        if (c->rank >= bad) {
            struct src_pos at = { "a.yaml", 3, c->rank + 1 };
            err_at(&e, ERR_LIMIT, at, "found %d", c->rank);
            err_hint(&e, "a hint");
        }
        expect(comm_agree(c, c->rank >= bad ? -1 : 0, &e) == -1 && comm_agreed(), "agreement on a failure",
               NULL);
        snprintf(text, sizeof text, c->rank == bad ? "found %d" : "rank %d: found %d",
                 bad + (c->rank == bad ? 0 : c->first), bad);
        expect(e.code == ERR_LIMIT && !strcmp(e.what, text) && e.at.line == 3 && e.at.col == bad + 1 &&
                   !strcmp(e.at.file, "a.yaml") && !strcmp(e.hint, "a hint"),
               "the lowest rank's error is everyone's", &e);
    }
    e = (struct err){ 0 };
    interrupted = c->rank == c->size - 1 ? 15 : 0;
    expect(comm_agree(c, 0, &e) == -1 && e.code == ERR_RESUME, "one rank's signal is everyone's", &e);
    interrupted = 0;
}

static int rows(int n)
{
    static unsigned char buf[MOST];
    struct comm c;
    struct err e = { 0 };
    if (comm_open(&c, &e)) {
        err_print(&e, stderr);
        return 1;
    }
    expect(c.size == n && c.rank >= 0 && c.rank < n, "size is what the launcher was told", NULL);
    expect(comm_world()->size == n && comm_world()->rank == c.rank, "comm_world is what is open", NULL);
    expect((c.kind == &comm_single) == (n == 1), "one rank is `single`", NULL);
    expect(!comm_agreed(), "nothing was agreed on yet", NULL);
    agreement(&c);
    pairs(&c, buf);
    one_to_all(&c, buf);
    large_to_all(&c);
    all_to_one(&c, buf);
    tables(&c);
    for (int first = 0; first < n; first++)
        for (int m = 1; m <= n - first; m += 2) {
            struct comm sub = comm_sub(&c, first, m);
            bool inside = c.rank >= first && c.rank < first + m;
            expect(sub.size == m && sub.rank == (inside ? c.rank - first : -1), "ranks of a part", NULL);
            if (inside && m == (n > 3 ? 3 : n))
                pairs(&sub, buf), one_to_all(&sub, buf), tables(&sub);
        }
    expect(!comm_barrier(&c, &e), "barrier", &e);
    comm_close(&c);
    expect(comm_world()->size == 1, "comm_world is single when nothing is open", NULL);
    return wrong != 0;
}

static int alone(void)
{
    struct comm c;
    struct err e = { 0 };
    char line[512];
    expect(!comm_open(&c, &e) && c.kind == &comm_single && c.size == 1, "without a launcher one process", &e);
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps))
        expect(!strstr(line, "libmpi") && !strstr(line, "qpipe-mpi"), "no MPI is loaded", NULL);
    if (maps)
        fclose(maps);
    comm_close(&c);
    return wrong != 0;
}

/* One rank of a job that something happens to: `fault HOW SECONDS TOKEN`. Rank 1 does not answer for so long, computing
 * beside MPI; the others wait for its 8 bytes. HOW: wait; abort: the last rank ends the job with 75; leave: it ends alone. */
static int fault(const char *how, double seconds)
{
    struct comm c;
    struct err e = { 0 };
    int64_t word = 0;
    if (comm_open(&c, &e)) {
        err_print(&e, stderr);
        return (int)e.code;
    }
    printf("rank %d pid %d\n", c.rank, (int)getpid());
    fflush(stdout);
    bool last = c.rank == c.size - 1;
    double begin = clock_seconds();
    if (last && !strcmp(how, "abort"))
        comm_abort(&c, ERR_RESUME);
    if (last && !strcmp(how, "leave"))
        _exit(3);
    if (c.rank == 1) {
        while (clock_seconds() < begin + seconds)
            word++;
        for (int r = 0; r < c.size; r++)
            expect(r == 1 || !comm_send(&c, r, &word, sizeof word, &e), "send after a while", &e);
    } else {
        expect(!comm_recv(&c, 1, &word, sizeof word, &e) && word > 0, "recv after a while", &e);
        struct rusage use;
        getrusage(RUSAGE_SELF, &use);
        printf("rank %d waited %.2f s with %.3f s of CPU in all\n", c.rank, clock_seconds() - begin,
               (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                   1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec));
    }
    comm_close(&c);
    return wrong != 0;
}

/* A message above 2^31 bytes from rank 0 to rank 1, by 8 bytes that know their place. */
static int large(void)
{
    size_t n = (size_t)290 << 20;
    struct comm c;
    struct err e = { 0 };
    uint64_t *p = malloc(n * sizeof *p);
    if (!p || comm_open(&c, &e)) {
        err_print(&e, stderr);
        return 1;
    }
    for (size_t i = 0; i < n; i++)
        p[i] = c.rank ? 0 : i * UINT64_C(0x9e3779b97f4a7c15);
    expect(c.rank ? !comm_recv(&c, 0, p, n * sizeof *p, &e) : !comm_send(&c, 1, p, n * sizeof *p, &e),
           "2.4 GB", &e);
    for (size_t i = 0; i < n && !wrong; i++)
        expect(p[i] == i * UINT64_C(0x9e3779b97f4a7c15), "every byte of 2.4 GB", NULL);
    comm_close(&c);
    free(p);
    return wrong != 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "rows") == 0)
        return rows((int)strtol(argv[2], NULL, 10));
    if (argc == 2 && strcmp(argv[1], "alone") == 0)
        return alone();
    if (argc == 2 && strcmp(argv[1], "large") == 0)
        return large();
    if (argc == 5 && strcmp(argv[1], "fault") == 0) /* the fourth word is for whoever looks for the process */
        return fault(argv[2], strtod(argv[3], NULL));
    fprintf(stderr, "use: cluster_ranks rows N|alone|large|fault HOW SECONDS TOKEN\n");
    return 2;
}
