/* tree.c - the tree of sums on several ranks: each rank is a thread, its messages go through pipes. Bits against one rank for 1
 * to 20 ranks, with leaves that are empty, with and without the half; who gets a sum and who does not; the map of leaves and chunks. */
#include "quant/tree.h"
#include "help.h"
#include "quant/cross.h"
#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum { K = 37, N = 640, MOST = 20 };

struct world {
    int size;
    int pipe[MOST][MOST][2]; /* [from][to] */
    int64_t chunks;
    const float *x, *x0;
    bool wants[MOST];
    struct gram gram[MOST];
    struct cross cross[MOST];
};
struct rank {
    struct world *w;
    int rank;
    struct err e;
    int rc;
};

static int put(void *arg, int to, const void *p, size_t n, struct err *e)
{
    struct rank *r = arg;
    for (const char *q = p; n;) {
        ssize_t k = write(r->w->pipe[r->rank][to][1], q, n);
        if (k <= 0)
            return err_set(e, ERR_IO, "pipe");
        q += k;
        n -= (size_t)k;
    }
    return 0;
}

static int get(void *arg, int from, void *p, size_t n, struct err *e)
{
    struct rank *r = arg;
    for (char *q = p; n;) {
        ssize_t k = read(r->w->pipe[from][r->rank][0], q, n);
        if (k <= 0)
            return err_set(e, ERR_IO, "pipe");
        q += k;
        n -= (size_t)k;
    }
    return 0;
}

static int add_own(struct rank *r, const struct links *l)
{
    struct world *w = r->w;
    int64_t first, end;
    tree_chunks(r->rank, w->size, w->chunks, &first, &end);
    if (gram_init_on(&w->gram[r->rank], K, w->chunks, 1, l, &r->e) ||
        cross_init(&w->cross[r->rank], K, w->chunks, l, &r->e))
        return -1;
    for (int64_t c = first; c < end; c++) {
        int64_t from = N * c / w->chunks, n = N * (c + 1) / w->chunks - from;
        if (gram_add(&w->gram[r->rank], c, w->x + from * K, n, K, &r->e) ||
            cross_add(&w->cross[r->rank], c, w->x + from * K, w->x0 + from * K, n, K, &r->e))
            return -1;
    }
    return 0;
}

static void *run(void *arg)
{
    struct rank *r = arg;
    struct links l = { r->rank, r->w->size, r, put, get };
    r->rc = add_own(r, &l) || gram_finish_on(&r->w->gram[r->rank], &l, r->w->wants, &r->e) ||
            cross_finish(&r->w->cross[r->rank], &l, r->w->wants, &r->e);
    return NULL;
}

static void open_world(struct world *w, int size, int64_t chunks, const float *x, const float *x0)
{
    *w = (struct world){ .size = size, .chunks = chunks, .x = x, .x0 = x0 };
    for (int a = 0; a < size; a++)
        for (int b = 0; b < size; b++)
            assert_int_equal(pipe(w->pipe[a][b]), 0);
}

static void run_world(struct world *w)
{
    pthread_t thread[MOST];
    struct rank rank[MOST];
    for (int r = 0; r < w->size; r++) {
        rank[r] = (struct rank){ .w = w, .rank = r };
        assert_int_equal(pthread_create(&thread[r], NULL, run, &rank[r]), 0);
    }
    for (int r = 0; r < w->size; r++) {
        pthread_join(thread[r], NULL);
        assert_int_equal(rank[r].rc, 0);
    }
}

static void close_world(struct world *w)
{
    for (int a = 0; a < w->size; a++) {
        gram_release(&w->gram[a]);
        cross_release(&w->cross[a]);
        for (int b = 0; b < w->size; b++)
            close(w->pipe[a][b][0]), close(w->pipe[a][b][1]);
    }
}

static void same_sums(const struct world *w, const struct gram *g, const struct cross *c)
{
    for (int r = 0; r < w->size; r++) {
        if (!w->wants[r]) {
            assert_null(w->gram[r].sum);
            assert_null(w->gram[r].half);
            assert_null(w->cross[r].sum);
            continue;
        }
        assert_int_equal(w->gram[r].rows, g->rows);
        assert_int_equal(w->gram[r].sequences, g->sequences);
        assert_int_equal(w->gram[r].half_rows, g->half_rows);
        assert_int_equal(w->cross[r].sequences, c->sequences);
        same_floats(w->cross[r].sum, c->sum, K * K);
        for (int i = 0; i < K; i++) {
            same_floats(w->gram[r].sum + i * K, g->sum + i * K, i + 1);
            if (g->half)
                same_floats(w->gram[r].half + i * K, g->half + i * K, i + 1);
            else
                assert_null(w->gram[r].half);
        }
    }
}

static void sums_are_the_same_on_any_number_of_ranks(void **state)
{
    (void)state;
    static const int sizes[] = { 1, 2, 3, 4, 5, 7, 8, 16, 20 };
    static const int64_t chunks[] = { 1, 2, 5, 16, 23, 64 };
    float *x = inputs(1, N, K), *x0 = inputs(2, N, K);
    for (size_t k = 0; k < sizeof chunks / sizeof *chunks; k++) {
        struct world one, many;
        open_world(&one, 1, chunks[k], x, x0);
        one.wants[0] = true;
        run_world(&one);
        assert_int_equal(one.gram[0].rows, N);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            open_world(&many, sizes[i], chunks[k], x, x0);
            for (int r = 0; r < sizes[i]; r++)
                many.wants[r] = r % 3 != 1;
            run_world(&many);
            same_sums(&many, &one.gram[0], &one.cross[0]);
            close_world(&many);
        }
        close_world(&one);
    }
    mem_free(x);
    mem_free(x0);
}

static void each_leaf_and_each_chunk_has_one_owner(void **state)
{
    (void)state;
    for (int size = 1; size <= 40; size++) {
        int at = 0;
        for (int r = 0; r < size; r++) {
            int first, end;
            tree_span(r, size, &first, &end);
            assert_int_equal(first, at);
            for (int i = first; i < end; i++)
                assert_int_equal(tree_owner(i, size), r);
            at = end;
        }
        assert_int_equal(at, TREE_LEAVES);
        for (int64_t n = 1; n < 70; n++) {
            int64_t next = 0;
            for (int r = 0; r < size; r++) {
                int64_t first, end;
                tree_chunks(r, size, n, &first, &end);
                assert_int_equal(first, next);
                for (int64_t c = first; c < end; c++)
                    assert_int_equal(tree_owner((int)(c * TREE_LEAVES / n), size), r);
                next = end;
            }
            assert_int_equal(next, n);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_the_same_on_any_number_of_ranks),
        cmocka_unit_test(each_leaf_and_each_chunk_has_one_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
