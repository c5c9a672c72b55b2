/* file.c - tests of base/file: reading, mapping, and output that is complete under its name or not there at all,
 * whichever file operation fails. */
#include "base/file.h"
#include "base/hash.h"
#include "tests/base/check.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char *base; /* a fresh folder for each test */

static int setup(void **state)
{
    static char name[64];
    (void)state;
    snprintf(name, sizeof name, "/tmp/qpipe-test-file-XXXXXX");
    base = mkdtemp(name);
    return base ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return path_remove_tree(base, NULL);
}

static const char *in_base(const char *name)
{
    static char text[4][256];
    static int k;
    k = (k + 1) % 4;
    snprintf(text[k], sizeof text[k], "%s/%s", base, name);
    return text[k];
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fwrite(text, 1, strlen(text), f);
    fclose(f);
}

static int entries(const char *path)
{
    DIR *d = opendir(path);
    int n = 0;
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static void is_text(const char *path, const char *text)
{
    struct buf b = { 0 };
    assert_int_equal(file_read(path, 1 << 20, &b, NULL), 0);
    assert_string_equal(b.p, text);
    assert_int_equal(b.len, strlen(text));
    buf_release(&b);
}

static void reading_whole_files(void **state)
{
    (void)state;
    struct buf b = { 0 };
    write_file(in_base("empty"), "");
    is_text(in_base("empty"), "");
    write_file(in_base("ten"), "0123456789");
    assert_int_equal(file_read(in_base("ten"), 10, &b, NULL), 0);
    buf_release(&b);
    struct err e = { 0 };
    char want[512];
    assert_int_equal(file_read(in_base("ten"), 9, &b, &e), -1);
    snprintf(want, sizeof want, "%s: found more than 9 bytes, expected at most that", in_base("ten"));
    IS_ERR(e, ERR_LIMIT, want);
    buf_release(&b);
    struct err absent = { 0 }, folder = { 0 };
    assert_int_equal(file_read(in_base("none"), 9, &b, &absent), -1);
    snprintf(want, sizeof want, "%s: can not open: No such file or directory", in_base("none"));
    IS_ERR(absent, ERR_IO, want);
    assert_int_equal(file_read(base, 9, &b, &folder), -1);
    assert_int_equal(folder.code, ERR_IO);
    buf_release(&b);
}

static void mapping(void **state)
{
    (void)state;
    struct mapped m = { 0 };
    file_unmap(&m);
    write_file(in_base("some"), "some bytes");
    assert_int_equal(file_map(in_base("some"), &m, NULL), 0);
    assert_int_equal(m.n, 10);
    assert_memory_equal(m.p, "some bytes", 10);
    assert_string_equal(m.path, in_base("some"));
    file_forget(&m, 3, 100);
    file_forget(&m, 100, 1);
    assert_memory_equal(m.p, "some bytes", 10);
    file_unmap(&m);
    write_file(in_base("empty"), "");
    assert_int_equal(file_map(in_base("empty"), &m, NULL), 0);
    assert_int_equal(m.n, 0);
    file_unmap(&m);
    struct err folder = { 0 };
    assert_int_equal(file_map(base, &m, &folder), -1);
    assert_int_equal(folder.code, ERR_INPUT);
    assert_non_null(strstr(folder.what, "expected a regular file"));
    SWEEP(file_map(in_base("some"), &m, &e), file_unmap(&m));
}

static int write_one(const char *path, char hex[65], struct err *e)
{
    struct out_file *f = file_create(path, e);
    if (!f)
        return -1;
    if (file_put(f, "abc", 3, e) || file_put(f, "", 0, e) || file_put(f, "def", 3, e)) {
        file_abandon(f);
        return -1;
    }
    assert_int_equal(file_tell(f), 6);
    return file_finish(f, hex, e);
}

static void a_written_file_carries_its_hash(void **state)
{
    (void)state;
    char hex[65], want[65];
    assert_int_equal(write_one(in_base("f"), hex, NULL), 0);
    hash_bytes("abcdef", 6, want, NULL);
    assert_string_equal(hex, want);
    is_text(in_base("f"), "abcdef");
    struct err there = { 0 };
    assert_int_equal(write_one(in_base("f"), hex, &there), -1); /* never over another file */
    assert_int_equal(there.code, ERR_IO);
    assert_non_null(strstr(there.what, "File exists"));
    is_text(in_base("f"), "abcdef");
    SWEEP(write_one(in_base("g"), hex, &e), unlink(in_base("g")));
}

static void any_failing_operation_leaves_no_file(void **state)
{
    (void)state;
    char hex[65];
    for (uint64_t n = 1; n < 100; n++) {
        struct err e = { 0 };
        file_fail_at(n);
        int rc = write_one(in_base("f"), hex, &e);
        file_fail_at(0);
        if (!rc) {
            assert_int_equal(n, 6); /* create, three writes, fsync */
            return;
        }
        assert_int_equal(e.code, ERR_IO);
        assert_non_null(strstr(e.what, in_base("f")));
        assert_non_null(strstr(e.what, "No space left on device"));
        assert_int_equal(entries(base), 0);
    }
    fail();
}

/* One output folder of two files, the way a run makes it. */
static int make_output(const char *path, bool force, const char *text, struct err *e)
{
    struct out_dir *d = dir_create(path, force, e);
    if (!d)
        return -1;
    char *a = path_join(dir_path(d), "a", e), *b = path_join(dir_path(d), "b", e);
    struct out_file *f = a && b ? file_create(a, e) : NULL;
    int rc = f ? file_put(f, text, strlen(text), e) : -1;
    if (rc)
        file_abandon(f);
    else
        rc = file_finish(f, NULL, e);
    f = rc ? NULL : file_create(b, e);
    rc = f ? file_finish(f, NULL, e) : -1;
    mem_free(a);
    mem_free(b);
    if (rc) {
        dir_abandon(d);
        return -1;
    }
    return dir_publish(d, e);
}

static void an_output_folder_is_complete_or_absent(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct err e = { 0 };
        file_fail_at(n);
        int rc = make_output(in_base("out"), false, "new", &e);
        file_fail_at(0);
        if (!rc) {
            assert_true(n > 8);
            break;
        }
        assert_true(n < 100);
        assert_int_equal(e.code, ERR_IO);
        assert_non_null(strstr(e.what, base));
        assert_int_equal(entries(base), 0);
    }
    is_text(in_base("out/a"), "new");
    is_text(in_base("out/b"), "");
    assert_int_equal(entries(base), 1);
    assert_int_equal(entries(in_base("out")), 2);
}

static void force_keeps_the_old_one_until_the_new_one_is_there(void **state)
{
    (void)state;
    assert_int_equal(make_output(in_base("out"), false, "old", NULL), 0);
    struct err refused = { 0 };
    char want[512];
    assert_int_equal(make_output(in_base("out"), false, "new", &refused), -1);
    snprintf(want, sizeof want, "output '%s' exists already", in_base("out"));
    IS_ERR(refused, ERR_INPUT, want);
    assert_non_null(strstr(refused.hint, "--force"));
    for (uint64_t n = 1;; n++) {
        struct err e = { 0 };
        file_fail_at(n);
        int rc = make_output(in_base("out"), true, "new", &e);
        file_fail_at(0);
        assert_int_equal(entries(base), 1);
        if (!rc)
            break;
        assert_true(n < 100);
        is_text(in_base("out/a"), "old");
    }
    is_text(in_base("out/a"), "new");
    /* a file can stand where the folder shall be */
    path_remove_tree(in_base("out"), NULL);
    write_file(in_base("out"), "a file");
    assert_int_equal(make_output(in_base("out"), true, "newer", NULL), 0);
    is_text(in_base("out/a"), "newer");
    assert_int_equal(entries(base), 1);
}

static void allocation_failures_leave_nothing(void **state)
{
    (void)state;
    SWEEP(make_output(in_base("out"), false, "x", &e), path_remove_tree(in_base("out"), NULL));
    assert_int_equal(entries(base), 0);
}

static void publishing_under_another_name(void **state)
{
    (void)state;
    struct out_dir *d = dir_create(in_base("out/"), false, NULL);
    assert_non_null(d);
    assert_false(path_exists(in_base("out")));
    assert_int_equal(dir_publish_as(d, in_base("out.rejected"), NULL), 0);
    assert_true(path_is_dir(in_base("out.rejected")));
    assert_false(path_exists(in_base("out")));
    struct err e = { 0 };
    d = dir_create(in_base("out"), true, NULL);
    assert_int_equal(dir_publish_as(d, in_base("out.rejected"), &e),
                     -1); /* force does not reach the other name */
    assert_int_equal(e.code, ERR_INPUT);
    assert_int_equal(entries(base), 1);
}

static void an_output_that_appears_meanwhile_is_kept(void **state)
{
    (void)state;
    struct out_dir *d = dir_create(in_base("out"), false, NULL);
    struct err e = { 0 };
    char want[512];
    mkdir(in_base("out"), 0777);
    write_file(in_base("out/mine"), "mine");
    assert_int_equal(dir_publish(d, &e), -1);
    snprintf(want, sizeof want, "output '%s' appeared meanwhile", in_base("out"));
    IS_ERR(e, ERR_INPUT, want);
    is_text(in_base("out/mine"), "mine");
    assert_int_equal(entries(base), 1);
    dir_abandon(NULL);
}

static void names_of_paths(void **state)
{
    (void)state;
    static const struct {
        const char *path, *dir, *last;
    } rows[] = { { "a/b.yaml", "a", "b.yaml" }, { "b.yaml", ".", "b.yaml" }, { "/b", "/", "b" },
                 { "/a/b", "/a", "b" },         { "a/", "a", "" },           { "", ".", "" } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *d = path_dir(rows[i].path, NULL);
        assert_string_equal(d, rows[i].dir);
        assert_string_equal(path_base(rows[i].path), rows[i].last);
        mem_free(d);
    }
    static const char *const joins[][3] = { { "a", "b", "a/b" }, { "a/", "b", "a/b" }, { ".", "b", "b" },
                                            { "", "b", "b" },    { "a", "/b", "/b" },  { "/", "b", "/b" } };
    for (size_t i = 0; i < COUNT(joins); i++) {
        char *p = path_join(joins[i][0], joins[i][1], NULL);
        assert_string_equal(p, joins[i][2]);
        mem_free(p);
    }
}

static void folders(void **state)
{
    (void)state;
    struct strs l = { 0 };
    assert_int_equal(path_make_dir(in_base("x/y/z"), NULL), 0);
    assert_int_equal(path_make_dir(in_base("x/y/z"), NULL), 0);
    write_file(in_base("x/c"), "");
    write_file(in_base("x/a"), "");
    write_file(in_base("outside"), "kept");
    assert_int_equal(symlink("../outside", in_base("x/link")), 0);
    assert_int_equal(symlink(base, in_base("x/y/loop")), 0);
    assert_int_equal(path_list(in_base("x"), &l, NULL), 0);
    assert_int_equal(l.n, 3); /* links to files count, folders do not */
    assert_string_equal(l.v[0], "a");
    assert_string_equal(l.v[1], "c");
    strs_release(&l);
    struct err e = { 0 }, not_there = { 0 };
    assert_int_equal(path_make_dir(in_base("x/a/deep"), &e), -1);
    assert_int_equal(e.code, ERR_IO);
    struct err file = { 0 };
    assert_int_equal(path_make_dir(in_base("x/a"), &file), -1); /* a file is no folder */
    assert_int_equal(file.code, ERR_IO);
    assert_int_equal(path_list(in_base("none"), &l, &not_there), -1);
    assert_int_equal(not_there.code, ERR_IO);
    assert_int_equal(path_remove_tree(in_base("x"), NULL), 0);
    assert_false(path_exists(in_base("x")));
    is_text(in_base("outside"), "kept"); /* what links pointed to stays */
    assert_int_equal(path_remove_tree(in_base("x"), NULL), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
static void a_replaced_file_is_old_or_new(void **state)
{
    (void)state;
    const char *path = in_base("token");
    struct err e = { 0 };
    assert_int_equal(file_replace(path, "old", 3, &e), 0);
    for (uint64_t n = 1;; n++) {
        file_fail_at(n);
        int rc = file_replace(path, "newer", 5, &e);
        uint64_t used = file_fail_at(0);
        assert_int_equal(entries(base), 1);
        if (!rc) {
            assert_true(n > 3 && used < n);
            break;
        }
        assert_int_equal(e.code, ERR_IO);
        is_text(path, strstr(e.what, "fsync") && !strstr(e.what, "token") ? "newer" : "old");
        memset(&e, 0, sizeof e);
    }
    is_text(path, "newer");
}

static void a_scratch_file_may_stay(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct out_file *f = file_scratch(in_base("spool"), &e);
    assert_non_null(f);
    assert_int_equal(file_put(f, "abc", 3, &e) || file_sync(f, &e) || file_put(f, "d", 1, &e), 0);
    assert_int_equal(file_keep(f, &e), 0);
    assert_int_equal(file_keep(NULL, &e), 0);
    is_text(in_base("spool"), "abcd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_replaced_file_is_old_or_new, setup, teardown),
        cmocka_unit_test_setup_teardown(a_scratch_file_may_stay, setup, teardown),
        TEST(reading_whole_files),
        TEST(mapping),
        TEST(a_written_file_carries_its_hash),
        TEST(any_failing_operation_leaves_no_file),
        TEST(an_output_folder_is_complete_or_absent),
        TEST(force_keeps_the_old_one_until_the_new_one_is_there),
        TEST(allocation_failures_leave_nothing),
        TEST(publishing_under_another_name),
        TEST(an_output_that_appears_meanwhile_is_kept),
        TEST(names_of_paths),
        TEST(folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
