/* archive.c - plain, compressed and archived texts give the same content; names and entries that could leave a folder, and
 * bombs, are refused by name. */
#include "help.h"

#include "io/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

/* -- making archives -- */

struct item {
    const char *name, *text;
    unsigned type;    /* AE_IFREG, ... */
    const char *link; /* symbolic or hard */
};

enum { ROOM = 1 << 18 };
static char image[ROOM];

/* An archive of items in `image`; format and filter by libarchive's names ("" = none). Returns its size. */
static size_t make(const char *format, const char *filter, const struct item *item, size_t n)
{
    size_t used = 0;
    struct archive *a = archive_write_new();
    assert_int_equal(archive_write_set_format_by_name(a, format), ARCHIVE_OK);
    if (*filter)
        assert_int_equal(archive_write_add_filter_by_name(a, filter), ARCHIVE_OK);
    archive_write_set_bytes_in_last_block(a, 1);
    assert_int_equal(archive_write_open_memory(a, image, ROOM, &used), ARCHIVE_OK);
    for (size_t i = 0; i < n; i++) {
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, item[i].name);
        archive_entry_set_perm(e, 0644);
        archive_entry_set_filetype(e, item[i].type ? item[i].type : AE_IFREG);
        if (item[i].link && item[i].type == AE_IFLNK)
            archive_entry_set_symlink(e, item[i].link);
        else if (item[i].link)
            archive_entry_set_hardlink(e, item[i].link);
        archive_entry_set_size(e, item[i].text ? (la_int64_t)strlen(item[i].text) : 0);
        assert_true(archive_write_header(a, e) >= ARCHIVE_WARN);
        if (item[i].text)
            assert_true(archive_write_data(a, item[i].text, strlen(item[i].text)) >= 0);
        archive_entry_free(e);
    }
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
    return used;
}

static size_t squeeze(const char *filter, const char *text)
{
    struct item one = { "x", text, 0, NULL };
    return make("raw", filter, &one, 1);
}

/* -- reading them -- */

/* What was handed over, as "index name[size]=text;". */
static int note(void *arg, const struct archive_entry_info *info, const char *p, size_t n, struct err *e)
{
    assert_true(n == 0 || p);
    return buf_printf(arg, e, "%d %s[%zu]=%.*s;", (int)info->index, info->name, n, n > 20 ? 20 : (int)n, p);
}

static int stop_at_first(void *arg, const struct archive_entry_info *info, const char *p, size_t n,
                         struct err *e)
{
    (void)info, (void)p, (void)n, (void)e;
    ++*(int *)arg;
    return 1;
}

static int refuse(void *arg, const struct archive_entry_info *info, const char *p, size_t n, struct err *e)
{
    (void)arg, (void)p, (void)n;
    return err_set(e, ERR_INPUT, "no %s today", info->name);
}

static void reads_as(size_t n, const char *name, const char *want)
{
    struct err e = { 0 };
    struct buf b = { 0 };
    write_file(temp(name), image, n);
    archive_each(temp(name), 1 << 20, note, &b, &e);
    no_error(&e);
    assert_string_equal(b.p ? b.p : "", want);
    buf_release(&b);
}

static void fails_with(size_t n, const char *name, uint64_t limit, enum err_code code, const char *what)
{
    struct err e = { 0 };
    struct buf b = { 0 };
    char want[700];
    const char *path = temp(name);
    write_file(path, image, n);
    assert_int_equal(archive_each(path, limit, note, &b, &e), -1);
    snprintf(want, sizeof want, "%s: %s", path, what);
    same_error(&e, code, want);
    buf_release(&b);
}

static void plain_files_pass_as_they_are(void **state)
{
    (void)state;
    static const char *const texts[] = { "",          "hello\n",   "BZh is how it begins",
                                         "#mtree\n",  "070707000", "begin 644 x\n#0V%T\n`\nend\n",
                                         "!<arch>\n", "PK",        "\x1F\x8B" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char want[100];
        memcpy(image, texts[i], strlen(texts[i]));
        snprintf(want, sizeof want, "0 a.txt[%zu]=%.20s;", strlen(texts[i]), texts[i]);
        reads_as(strlen(texts[i]), "a.txt", want);
    }
    memcpy(image, "plain", 5);
    reads_as(5, "a.gz", "0 a.gz[5]=plain;"); /* its bytes decide, not its name */
}

static void compressed_files_lose_their_suffix(void **state)
{
    (void)state;
    static const struct {
        const char *filter, *name, *inner;
    } rows[] = {
        { "gzip", "t.jsonl.gz", "t.jsonl" }, { "xz", "t.xz", "t" },   { "zstd", "t.txt.zst", "t.txt" },
        { "bzip2", "t.bz2", "t" },           { "lz4", "t.lz4", "t" }, { "gzip", "odd", "odd" }
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char want[100];
        printf("%s\n", rows[i].filter);
        snprintf(want, sizeof want, "0 %s[5]=hello;", rows[i].inner);
        reads_as(squeeze(rows[i].filter, "hello"), rows[i].name, want);
        if (!strcmp(rows[i].filter, "lz4")) /* libarchive 3.6.2 crashes in writing an empty one */
            continue;
        snprintf(want, sizeof want, "0 %s[0]=;", rows[i].inner);
        reads_as(squeeze(rows[i].filter, ""), rows[i].name, want);
    }
}

static const struct item three[] = { { "d", NULL, AE_IFDIR, NULL },
                                     { "d/b.txt", "second", 0, NULL },
                                     { "a.txt", "", 0, NULL },
                                     { "z..x/..y", "odd", 0, NULL } };

static void archives_come_in_their_order(void **state)
{
    (void)state;
    static const struct {
        const char *format, *filter;
    } rows[] = { { "pax", "" },     { "ustar", "" },   { "gnutar", "" },   { "pax", "gzip" },
                 { "ustar", "xz" }, { "pax", "zstd" }, { "pax", "bzip2" }, { "zip", "" } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        printf("%s %s\n", rows[i].format, rows[i].filter);
        reads_as(make(rows[i].format, rows[i].filter, three, 4), "archive",
                 "1 d/b.txt[6]=second;2 a.txt[0]=;3 z..x/..y[3]=odd;");
    }
    reads_as(make("zip", "", NULL, 0), "empty.zip", "");
}

static void archives_inside_archives_stay_closed(void **state)
{
    (void)state;
    char inner[100];
    size_t n = squeeze("gzip", "hello");
    assert_true(n < sizeof inner);
    memcpy(inner, image, n);
    struct err e = { 0 };
    struct buf b = { 0 };
    struct archive *a = archive_write_new();
    struct archive_entry *entry = archive_entry_new();
    size_t used;
    archive_write_set_format_pax(a);
    archive_write_open_memory(a, image, ROOM, &used);
    archive_entry_set_pathname(entry, "in.gz");
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_size(entry, (la_int64_t)n);
    archive_write_header(a, entry);
    archive_write_data(a, inner, n);
    archive_entry_free(entry);
    archive_write_free(a);
    archive_each_in((unsigned char *)image, used, "t.tar", 1000, note, &b, &e);
    no_error(&e);
    char want[40];
    snprintf(want, sizeof want, "0 in.gz[%zu]=", n);
    assert_true(str_starts(b.p, want));
    buf_release(&b);
}

/* Python's zipfile leaves the mode out of an entry that is made from a bare name. */
static void a_zip_without_modes_holds_files(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct buf b = { 0 };
    archive_each("tests/fuzz/corpus/archive/good-zip", 1000, note, &b, &e);
    no_error(&e);
    assert_string_equal(b.p, "0 a.txt[45]=text text text text ;1 b/c.txt[45]=text text text text ;");
    buf_release(&b);
}

static void names_in_unicode_survive(void **state)
{
    (void)state;
    static const struct item one[] = { { "\xC3\xA4/\xE6\x97\xA5.txt", "x", 0, NULL } };
    reads_as(make("pax", "", one, 1), "u.tar", "0 \xC3\xA4/\xE6\x97\xA5.txt[1]=x;");
    reads_as(make("zip", "", one, 1), "u.zip", "0 \xC3\xA4/\xE6\x97\xA5.txt[1]=x;");
}

static const struct {
    const char *name;
    struct item item;
    const char *what;
} dangerous[] = {
    { "absolute",
      { "/etc/passwd", "x", 0, NULL },
      "entry 1 '/etc/passwd' has an absolute name, which is refused" },
    { "upwards", { "../x", "x", 0, NULL }, "entry 1 '../x' has '..' in its name, which is refused" },
    { "upwards inside",
      { "a/../../x", "x", 0, NULL },
      "entry 1 'a/../../x' has '..' in its name, which is refused" },
    { "upwards at the end",
      { "a/..", "x", 0, NULL },
      "entry 1 'a/..' has '..' in its name, which is refused" },
    { "symbolic link", { "l", NULL, AE_IFLNK, "d" }, "entry 1 'l' is a symbolic link, which is refused" },
    { "hard link", { "h", NULL, 0, "ok" }, "entry 1 'h' is a hard link, which is refused" },
    { "device", { "c", NULL, AE_IFCHR, NULL }, "entry 1 'c' is a device, which is refused" },
    { "pipe", { "p", NULL, AE_IFIFO, NULL }, "entry 1 'p' is neither a file nor a folder, which is refused" },
};

static void dangerous_entries_are_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof dangerous / sizeof *dangerous; i++) {
        struct item two[2] = { { "ok", "x", 0, NULL }, dangerous[i].item };
        printf("%s\n", dangerous[i].name);
        fails_with(make("pax", "", two, 2), "bad.tar", 1000, ERR_INPUT, dangerous[i].what);
    }
}

static void limits_hold(void **state)
{
    (void)state;
    fails_with(make("pax", "", three, 4), "limit.tar", 8, ERR_LIMIT,
               "entry 'z..x/..y': found more than 8 bytes of content, expected at most that");
    reads_as(make("pax", "", three, 4), "limit.tar", "1 d/b.txt[6]=second;2 a.txt[0]=;3 z..x/..y[3]=odd;");
    memcpy(image, "123456789", 9);
    fails_with(9, "limit.txt", 8, ERR_LIMIT,
               "entry 'limit.txt': found more than 8 bytes of content, expected at most that");
    size_t big = 40 << 20;
    struct err e = { 0 };
    char *zeros = mem_alloc(big + 1, &e);
    assert_non_null(zeros);
    memset(zeros, 'a', big);
    size_t n = squeeze("gzip", zeros);
    mem_free(zeros);
    write_file(temp("bomb.gz"), image, n);
    struct buf b = { 0 };
    assert_int_equal(archive_each(temp("bomb.gz"), 1 << 30, note, &b, &e), -1);
    assert_int_equal(e.code, ERR_LIMIT);
    assert_non_null(strstr(e.what, "more than 500 times as many"));
    buf_release(&b);
}

static void damaged_archives_are_errors(void **state)
{
    (void)state;
    static const char *const filters[] = { "gzip", "xz", "zstd", "bzip2" };
    static const char text[] = "a text that is long enough for a few bytes to be missing at its end";
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        size_t n = squeeze(filters[i], text);
        struct err e = { 0 };
        struct buf b = { 0 };
        printf("%s\n", filters[i]);
        assert_int_equal(archive_each_in((unsigned char *)image, n / 2, "cut", 1000, note, &b, &e), -1);
        assert_int_equal(e.code, ERR_INPUT);
        assert_true(str_starts(e.what, "cut: entry 0"));
        buf_release(&b);
    }
    size_t n = make("ustar", "", three, 4);
    struct err e = { 0 };
    struct buf b = { 0 };
    assert_true(n > 1100);
    assert_int_equal(archive_each_in((unsigned char *)image, 1026, "cut", 1000, note, &b, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    buf_release(&b);
}

static void callers_stop_and_fail(void **state)
{
    (void)state;
    struct err e = { 0 };
    int calls = 0;
    size_t n = make("pax", "", three, 4);
    assert_int_equal(archive_each_in((unsigned char *)image, n, "t", 1000, stop_at_first, &calls, &e), 0);
    assert_int_equal(calls, 1);
    assert_int_equal(archive_each_in((unsigned char *)image, n, "t", 1000, refuse, NULL, &e), -1);
    same_error(&e, ERR_INPUT, "no d/b.txt today");
    memset(&e, 0, sizeof e);
    assert_int_equal(archive_each(temp("nowhere"), 1000, note, NULL, &e), -1);
    assert_int_equal(e.code, ERR_IO);
}

static void every_failed_allocation_is_an_error(void **state)
{
    (void)state;
    size_t n = make("pax", "gzip", three, 4);
    write_file(temp("memory.tgz"), image, n);
    const char *path = temp("memory.tgz");
    uint64_t before = mem_use().count, k;
    for (k = 1;; k++) {
        struct err e = { 0 };
        struct buf b = { 0 };
        mem_fail_at(k, 0);
        int rc = archive_each(path, 1000, note, &b, &e);
        mem_fail_at(0, 0);
        buf_release(&b);
        assert_int_equal(mem_use().count, before);
        if (!rc)
            break;
        same_error(&e, ERR_NOMEM, "out of memory");
    }
    assert_true(k > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_files_pass_as_they_are),
        cmocka_unit_test(compressed_files_lose_their_suffix),
        cmocka_unit_test(archives_come_in_their_order),
        cmocka_unit_test(archives_inside_archives_stay_closed),
        cmocka_unit_test(a_zip_without_modes_holds_files),
        cmocka_unit_test(names_in_unicode_survive),
        cmocka_unit_test(dangerous_entries_are_refused_by_name),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(damaged_archives_are_errors),
        cmocka_unit_test(callers_stop_and_fail),
        cmocka_unit_test(every_failed_allocation_is_an_error),
    };
    setlocale(LC_CTYPE, "C.UTF-8"); /* as main does */
    return cmocka_run_group_tests(tests, temp_up, temp_down);
}
