/* journal.c - what a journal promises: what was committed is there again, whatever was torn off behind it; another job's records
 * are refused by name; the older of two owners stops; memory and disk may end at any point. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "cluster/journal.h"
#include "cluster/journal_file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64];

static const struct journal_identity plain[] = { { "recipe", "version: 1\nseed: 1\nbits: 4\n" },
                                                 { "build", "1" },
                                                 { "input a", "10 bytes" } };

static struct journal *start(int rank, enum resume resume, const struct journal_identity *id, size_t n,
                             struct err *e)
{
    struct journal_options o = {
        .dir = dir, .rank = rank, .size = 1, .resume = resume, .identity = id, .n_identity = n
    };
    return journal_open(&o, e);
}

static struct journal *begin(int rank)
{
    struct err e = { 0 };
    struct journal *j = start(rank, RESUME_AUTO, plain, 3, &e);
    if (!j)
        fail_msg("%s", e.what);
    return j;
}

static void put(struct journal *j, int i)
{
    struct err e = { 0 };
    char key[32], value[64];
    snprintf(key, sizeof key, "module/%d", i);
    memset(value, 'a' + i % 26, sizeof value);
    assert_int_equal(journal_put(j, key, value, (size_t)(i % 50), &e), 0);
}

static void commit(struct journal *j)
{
    struct err e = { 0 };
    assert_int_equal(journal_commit(j, NULL, NULL, &e), 0);
}

static bool has(const struct journal *j, int i)
{
    char key[32];
    size_t n = 0;
    snprintf(key, sizeof key, "module/%d", i);
    const char *v = journal_get(j, key, &n);
    for (size_t k = 0; v && k < n; k++)
        assert_int_equal(v[k], 'a' + i % 26);
    assert_true(!v || n == (size_t)(i % 50));
    return v != NULL;
}

static int fresh(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "%s/qpipe-journal-XXXXXX", path_temporary());
    return mkdtemp(dir) ? 0 : -1;
}

static int cleared(void **state)
{
    (void)state;
    path_remove_tree(dir, NULL);
    dir[0] = '\0';
    return 0;
}

static void what_was_committed_is_there_again(void **state)
{
    (void)state;
    struct journal *j = begin(0);
    assert_false(journal_resumed(j));
    for (int i = 0; i < 100; i++) {
        put(j, i);
        assert_true(has(j, i));
        if (i % 7 == 0)
            commit(j);
    }
    assert_int_equal(journal_committed(j), 99);
    journal_close(j); /* 99 was never committed */
    j = begin(0);
    assert_true(journal_resumed(j));
    for (int i = 0; i < 100; i++)
        assert_int_equal(has(j, i), i < 99);
    assert_int_equal(journal_count(j), 99);
    assert_int_equal(journal_start(j), 1);
    assert_null(journal_get(j, "identity", NULL));
    journal_close(j);
}

static void the_last_record_of_a_key_counts(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct journal *j = begin(0);
    size_t n;
    journal_put(j, "a/k", "one", 3, &e);
    const char *first = journal_get(j, "a/k", &n);
    journal_put(j, "a/k", "second", 6, &e);
    assert_memory_equal(first, "one", 3); /* what was borrowed stays */
    assert_memory_equal(journal_get(j, "a/k", &n), "second", 6);
    commit(j);
    journal_close(j);
    j = begin(0);
    assert_memory_equal(journal_get(j, "a/k", &n), "second", 6);
    assert_int_equal(n, 6);
    assert_int_equal(journal_count(j), 1);
    journal_close(j);
}

static void ranks_see_one_another_after_a_refresh(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct journal *r[3];
    for (int i = 0; i < 3; i++)
        r[i] = begin(i);
    for (int i = 0; i < 3; i++) {
        put(r[i], 10 + i);
        commit(r[i]);
    }
    put(r[2], 40); /* not committed: nobody else's business */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(journal_refresh(r[i], &e), 0);
        for (int k = 0; k < 3; k++)
            assert_true(has(r[i], 10 + k));
        assert_int_equal(has(r[i], 40), i == 2);
    }
    for (int i = 0; i < 3; i++)
        journal_close(r[i]);
    struct journal *alone = begin(0); /* on another number of ranks */
    for (int k = 0; k < 3; k++)
        assert_true(has(alone, 10 + k));
    journal_close(alone);
}

/* Every prefix of a file is a file that a dying machine may have left. */
static void every_torn_end_is_forgotten(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct buf whole = { 0 };
    char path[128];
    size_t end[13] = { 0 };
    struct journal *j = begin(0);
    snprintf(path, sizeof path, "%s/journal.0.0", dir);
    for (int i = 0; i < 12; i++) {
        put(j, i);
        commit(j);
        struct buf now = { 0 };
        file_read(path, 1 << 20, &now, &e);
        end[i + 1] = now.len;
        buf_release(&now);
    }
    journal_close(j);
    assert_int_equal(file_read(path, 1 << 20, &whole, &e), 0);
    for (size_t n = 0; n <= whole.len; n++) {
        assert_int_equal(journal_clear(dir, &e), 0);
        FILE *f = fopen(path, "wb");
        fwrite(whole.p, 1, n, f);
        fclose(f);
        j = begin(0);
        for (int i = 0; i < 12; i++)
            assert_int_equal(has(j, i), n >= end[i + 1]);
        bool again = n % 16 == 0 || n == whole.len;
        if (again) { /* and the job goes on behind it */
            put(j, 20);
            commit(j);
        }
        journal_close(j);
        if (again) {
            j = begin(0);
            assert_true(has(j, 20));
            journal_close(j);
        }
    }
    buf_release(&whole);
}

static void a_flipped_bit_ends_the_reading(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct buf whole = { 0 };
    char path[128];
    struct journal *j = begin(0);
    for (int i = 0; i < 4; i++)
        put(j, i);
    commit(j);
    journal_close(j);
    snprintf(path, sizeof path, "%s/journal.0.0", dir);
    assert_int_equal(file_read(path, 1 << 20, &whole, &e), 0);
    for (size_t at = 0; at < whole.len; at++) {
        int found = 0;
        whole.p[at] ^= 0x10;
        journal_clear(dir, &e);
        FILE *f = fopen(path, "wb");
        fwrite(whole.p, 1, whole.len, f);
        fclose(f);
        whole.p[at] ^= 0x10;
        j = begin(0);
        while (found < 4 && has(j, found))
            found++;
        assert_true(found < 4); /* what stands before the damage, and nothing behind it */
        for (int i = found; i < 4; i++)
            assert_false(has(j, i));
        journal_close(j);
    }
    buf_release(&whole);
}

static void another_job_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        struct journal_identity line[3];
        size_t n;
        const char *what;
    } rows[] = {
        { { { "recipe", "version: 1\nseed: 2\nbits: 4\n" }, { "build", "1" }, { "input a", "10 bytes" } },
          3,
          "recipe differs: found 'seed: 1', expected 'seed: 2'" },
        { { { "recipe", "version: 1\nseed: 1\nbits: 4\nmore\n" },
            { "build", "1" },
            { "input a", "10 bytes" } },
          3,
          "recipe differs: found '', expected 'more'" },
        { { { "recipe", "version: 1\nseed: 1\nbits: 4\n" }, { "build", "2" }, { "input a", "10 bytes" } },
          3,
          "build differs: found '1', expected '2'" },
        { { { "recipe", "version: 1\nseed: 1\nbits: 4\n" }, { "build", "1" }, { "input b", "10 bytes" } },
          3,
          "its input b is new" },
        { { { "recipe", "version: 1\nseed: 1\nbits: 4\n" }, { "build", "1" } }, 2, "its input a is gone" },
    };
    struct journal *j = begin(0);
    put(j, 1);
    commit(j);
    journal_close(j);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = { 0 };
        assert_null(start(0, i % 2 ? RESUME_AUTO : RESUME_REQUIRED, rows[i].line, rows[i].n, &e));
        assert_int_equal(e.code, ERR_INPUT);
        if (!strstr(e.what, rows[i].what))
            fail_msg("found '%s', expected '%s'", e.what, rows[i].what);
    }
    j = begin(0); /* nothing of the first job was touched */
    assert_true(has(j, 1));
    journal_close(j);
    struct err e = { 0 };
    j = start(0, RESUME_NEVER, rows[0].line, 3, &e);
    assert_non_null(j);
    assert_false(journal_resumed(j));
    assert_false(has(j, 1));
    journal_close(j);
}

static void notes_bind_nobody(void **state)
{
    (void)state;
    static const struct journal_identity other[] = { { "recipe", "another" } };
    struct err e = { 0 };
    struct journal *j = begin(0);
    assert_int_equal(journal_put(j, "plan", "x", 1, &e), 0);
    commit(j);
    journal_close(j);
    assert_null(start(0, RESUME_REQUIRED, plain, 3, &e));
    assert_int_equal(e.code, ERR_INPUT);
    memset(&e, 0, sizeof e);
    j = start(0, RESUME_AUTO, other, 1, &e);
    assert_non_null(j);
    assert_null(journal_get(j, "plan", NULL)); /* the other job's */
    assert_false(journal_resumed(j));
    put(j, 1);
    commit(j);
    journal_close(j);
    assert_null(start(0, RESUME_AUTO, plain, 3, &e));
    assert_non_null(strstr(e.what, "recipe differs: found 'another'"));
    memset(&e, 0, sizeof e);
    j = start(0, RESUME_AUTO, other, 1, &e);
    assert_true(j && journal_resumed(j) && has(j, 1));
    journal_close(j);
}

static void required_needs_something(void **state)
{
    (void)state;
    struct err e = { 0 };
    assert_null(start(0, RESUME_REQUIRED, plain, 3, &e));
    assert_int_equal(e.code, ERR_INPUT);
    journal_close(begin(0)); /* a start that finished nothing */
    memset(&e, 0, sizeof e);
    assert_null(start(0, RESUME_REQUIRED, plain, 3, &e));
    assert_int_equal(e.code, ERR_INPUT);
    struct journal *j = begin(0);
    put(j, 3);
    commit(j);
    journal_close(j);
    memset(&e, 0, sizeof e);
    j = start(0, RESUME_REQUIRED, plain, 3, &e);
    assert_non_null(j);
    assert_true(journal_resumed(j));
    journal_close(j);
}

static void the_older_of_two_owners_stops(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct journal *old = begin(0), *new;
    put(old, 1);
    commit(old);
    new = begin(0);
    assert_true(has(new, 1));
    put(old, 2);
    assert_int_equal(journal_commit(old, NULL, NULL, &e), -1);
    assert_int_equal(e.code, ERR_RESUME);
    assert_non_null(strstr(e.what, "another process"));
    put(new, 3);
    commit(new);
    journal_close(old);
    journal_close(new);
    new = begin(0);
    assert_true(has(new, 1) && !has(new, 2) && has(new, 3));
    path_remove_tree(dir, &e);
    memset(&e, 0, sizeof e);
    assert_int_equal(journal_owned(new, &e), -1);
    assert_int_equal(e.code, ERR_RESUME);
    journal_close(new);
}

static void who_only_looks_changes_nothing(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct journal *j = begin(0), *look;
    put(j, 1);
    commit(j);
    look = journal_look(dir, &e);
    assert_non_null(look);
    assert_true(has(look, 1));
    put(j, 2);
    commit(j); /* still the owner */
    assert_int_equal(journal_refresh(look, &e), 0);
    assert_true(has(look, 2));
    assert_int_equal(journal_count(look), 2);
    journal_close(look);
    journal_close(j);
    assert_null(journal_look("/nonesuch", &e));
}

static int refuse(void *arg, struct err *e)
{
    *(int *)arg += 1;
    return err_set(e, ERR_IO, "no space");
}

static void nothing_is_written_before_what_it_speaks_of(void **state)
{
    (void)state;
    struct err e = { 0 };
    int asked = 0;
    struct journal *j = begin(0);
    assert_int_equal(journal_commit(j, refuse, &asked, &e), 0);
    assert_int_equal(asked, 0); /* nothing to write */
    put(j, 1);
    assert_int_equal(journal_commit(j, refuse, &asked, &e), -1);
    assert_int_equal(asked, 1);
    journal_close(j);
    j = begin(0);
    assert_false(has(j, 1));
    journal_close(j);
}

/* One whole life; 0 when all of it worked. */
static int life(struct err *e)
{
    struct journal *j = start(0, RESUME_AUTO, plain, 3, e);
    int rc = j ? 0 : -1;
    for (int i = 0; !rc && i < 70; i++) {
        char key[32];
        snprintf(key, sizeof key, "module/%d", i);
        rc = journal_put(j, key, "", 0, e) || (i % 35 == 34 && journal_commit(j, NULL, NULL, e)) ? -1 : 0;
    }
    journal_close(j);
    return rc;
}

static void memory_and_disk_may_end_anywhere(void **state)
{
    (void)state;
    for (int disk = 0; disk < 2; disk++) {
        uint64_t n = 1;
        for (;; n++) {
            struct err e = { 0 };
            journal_clear(dir, &e);
            if (disk)
                file_fail_at(n);
            else
                mem_fail_at(n, 0);
            int rc = life(&e);
            uint64_t used = disk ? file_fail_at(0) : mem_fail_at(0, 0);
            if (!rc) {
                assert_true(used < n);
                break;
            }
            assert_int_equal(e.code, disk ? ERR_IO : ERR_NOMEM);
            memset(&e, 0, sizeof e);
            if (life(&e))
                fail_msg("after failure %llu: %s", (unsigned long long)n, e.what);
        }
        assert_true(n > (disk ? 8 : 60));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, fresh, cleared)
        T(what_was_committed_is_there_again),
        T(the_last_record_of_a_key_counts),
        T(ranks_see_one_another_after_a_refresh),
        T(every_torn_end_is_forgotten),
        T(a_flipped_bit_ends_the_reading),
        T(another_job_is_refused_by_name),
        T(notes_bind_nobody),
        T(required_needs_something),
        T(the_older_of_two_owners_stops),
        T(who_only_looks_changes_nothing),
        T(nothing_is_written_before_what_it_speaks_of),
        T(memory_and_disk_may_end_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
