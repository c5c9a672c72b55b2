/* archive_write.c - archives of folders: equal bytes for equal files, the whole or nothing when memory or disk fails, and back again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/epoch.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "io/archive_extract.h"
#include "io/archive_write.h"
#include "io/folder.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

static char work[64], from[96], to[96], back[96];

static void put(const char *dir, const char *name, const void *p, size_t n, long when)
{
    struct err e = { 0 };
    char *path = path_join(dir, name, &e);
    struct out_file *f = file_create(path, &e);
    assert_non_null(f);
    assert_int_equal(file_put(f, p, n, &e), 0);
    assert_int_equal(file_finish(f, NULL, &e), 0);
    struct timeval t[2] = { { when, 0 }, { when, 0 } };
    assert_int_equal(utimes(path, t), 0);
    mem_free(path);
}

static int begin(void **state)
{
    (void)state;
    snprintf(work, sizeof work, "/tmp/qpipe-archive.XXXXXX");
    if (!mkdtemp(work))
        return -1;
    snprintf(from, sizeof from, "%s/from", work);
    snprintf(to, sizeof to, "%s/a", work);
    snprintf(back, sizeof back, "%s/back", work);
    return mkdir(from, 0700) || mkdir(back, 0755);
}

static int end(void **state)
{
    (void)state;
    return path_remove_tree(work, NULL);
}

static void fill(long when, mode_t mode)
{
    static unsigned char big[3 << 20]; /* more than a piece, and hard to compress */
    uint32_t s = 7;
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (unsigned char)((s = s * 1664525u + 1013904223u) >> 24);
    put(from, "b.safetensors", big, sizeof big, when);
    put(from, "a", "", 0, when);
    put(from, "Z", "upper case sorts first", 22, when);
    put(from, "\xC3\xBC ml\xC3\xA4ut", "x", 1, when);
    char *p = path_join(from, "Z", NULL);
    assert_int_equal(chmod(p, mode), 0);
    mem_free(p);
}

static void empty(const char *dir)
{
    path_remove_tree(dir, NULL);
    assert_int_equal(mkdir(dir, 0755), 0);
}

/* Another time, another mode, another order of making: the same archive. */
static void same_bytes(void **state)
{
    (void)state;
    for (int i = 0; archive_tails[i]; i++) {
        char sha[2][HASH_HEX], name[32];
        struct err e = { 0 };
        snprintf(name, sizeof name, "x%s", archive_tails[i]);
        for (int k = 0; k < 2; k++) {
            empty(from);
            fill(k ? 1000000000 : 1700000000, k ? 0600 : 0755);
            assert_int_equal(archive_write(from, to, name, 0, sha[k], &e), 0);
            char on_disk[HASH_HEX];
            assert_int_equal(hash_file(to, on_disk, &e), 0);
            assert_string_equal(on_disk, sha[k]);
            unlink(to);
        }
        assert_string_equal(sha[0], sha[1]);
        assert_int_equal(archive_write(from, to, name, 1, sha[1], &e), 0);
        assert_string_not_equal(sha[0], sha[1]); /* the time is in it */
        unlink(to);
    }
}

static void and_back(void **state)
{
    (void)state;
    empty(from);
    fill(5, 0644);
    for (int i = 0; archive_tails[i]; i++) {
        char name[32], sha[HASH_HEX], a[HASH_HEX], b[HASH_HEX];
        struct err e = { 0 };
        struct strs files = { 0 };
        snprintf(name, sizeof name, "x%s", archive_tails[i]);
        assert_int_equal(archive_write(from, to, name, 0, sha, &e), 0);
        struct folder f = { 0 };
        assert_int_equal(folder_open(to, &f, &e), 0);
        assert_int_equal(path_list(f.dir, &files, &e), 0);
        assert_int_equal(files.n, 4);
        for (size_t k = 0; k < files.n; k++) {
            char *x = path_join(from, files.v[k], &e), *y = path_join(f.dir, files.v[k], &e);
            assert_int_equal(hash_file(x, a, &e) || hash_file(y, b, &e), 0);
            assert_string_equal(a, b);
            mem_free(x);
            mem_free(y);
        }
        char *temporary = mem_strdup(f.extracted, &e);
        folder_close(&f);
        assert_false(path_exists(temporary));
        mem_free(temporary);
        strs_release(&files);
        unlink(to);
    }
}

/* Every allocation of ours and every file operation fails once: an error, no file, and no folder left. */
static void faults(void **state)
{
    (void)state;
    char sha[HASH_HEX];
    empty(from);
    fill(5, 0644);
    for (int what = 0; what < 2; what++) {
        unlink(to);
        for (uint64_t n = 1;; n++) {
            struct err e = { 0 };
            if (what)
                mem_fail_at(n, 0);
            else
                file_fail_at(n);
            int rc = archive_write(from, to, "x.tar.zst", 0, sha, &e);
            mem_fail_at(0, 0);
            file_fail_at(0);
            assert_int_equal(path_exists(to), !rc);
            if (!rc) {
                assert_true(n > 3); /* something did fail before */
                break;
            }
            assert_int_equal(e.code, what ? ERR_NOMEM : ERR_IO);
            assert_non_null(strstr(e.trail, "x.tar.zst"));
        }
    }
    for (uint64_t n = 1;; n++) {
        struct err e = { 0 };
        char *root = NULL;
        empty(back);
        mem_fail_at(n, 0);
        int rc = archive_extract(to, back, &root, &e);
        mem_fail_at(0, 0);
        assert_int_equal(rc != 0, !root);
        mem_free(root);
        if (!rc) {
            assert_true(n > 3);
            break;
        }
        assert_int_equal(e.code, ERR_NOMEM);
    }
    unlink(to);
}

static void names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool good;
    } rows[] = {
        { "a.tar", true }, { "deep/a.tar.gz", true }, { "a.b.tar.xz", true }, { "a.tar.zst", true },
        { ".tar", false }, { "a.zip", false },        { "a.tgz", false },     { "a.tar.bz2", false },
        { "a", false },    { "a.tar/b", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(archive_writable(rows[i].name), rows[i].good);
}

static void source_dates(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t want; /* -1: refused */
    } rows[] = { { NULL, 0 },
                 { "", 0 },
                 { "0", 0 },
                 { "1700000000", 1700000000 },
                 { "253402300799", INT64_C(253402300799) },
                 { "253402300800", -1 },
                 { "-1", -1 },
                 { "1.5", -1 },
                 { " 1", -1 },
                 { "1 ", -1 },
                 { "0x10", -1 },
                 { "now", -1 },
                 { "99999999999999999999999", -1 } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = { 0 };
        int64_t got = -7;
        if (rows[i].text)
            setenv("SOURCE_DATE_EPOCH", rows[i].text, 1);
        else
            unsetenv("SOURCE_DATE_EPOCH");
        assert_int_equal(source_date(&got, &e), rows[i].want < 0 ? -1 : 0);
        if (rows[i].want >= 0)
            assert_int_equal(got, rows[i].want);
        else
            assert_int_equal(e.code, ERR_INPUT);
    }
    unsetenv("SOURCE_DATE_EPOCH");
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8"); /* as main does */
    const struct CMUnitTest tests[] = { cmocka_unit_test(same_bytes), cmocka_unit_test(and_back),
                                        cmocka_unit_test(faults), cmocka_unit_test(names),
                                        cmocka_unit_test(source_dates) };
    return cmocka_run_group_tests(tests, begin, end);
}
