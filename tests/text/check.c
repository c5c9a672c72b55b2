/* check.c - helpers of the tests of this room; no test itself. */
#include "check.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool have_shared(void)
{
    if (path_is_dir(SHARED "tokenizers"))
        return true;
    printf("skipped: tokenizers of real families (no ../shared)\n");
    return false;
}

void run_command(const char *command, struct buf *out)
{
    struct err e = { 0 };
    static char piece[1 << 16];
    FILE *f = popen(command, "r");
    assert_non_null(f);
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;)
        must(buf_add(out, piece, n, &e), &e);
    if (pclose(f))
        fail_msg("command failed: %s", command);
}

struct json *json_of_xz(const char *path)
{
    struct err e = { 0 };
    struct buf b = { 0 };
    char command[500];
    snprintf(command, sizeof command, "xz -dc %s", path);
    run_command(command, &b);
    struct json *j = json_parse(b.p, b.len, path, &e);
    must(j ? 0 : -1, &e);
    buf_release(&b);
    return j;
}

void expect_error(struct err *e, enum err_code code, const char *what)
{
    if (e->code != code || strcmp(e->what, what) != 0) {
        err_print(e, stdout);
        printf("  expected %s: %s\n", err_name(code), what);
    }
    assert_int_equal(e->code, code);
    assert_string_equal(e->what, what);
    *e = (struct err){ 0 };
}

void must(int rc, const struct err *e)
{
    if (rc)
        err_print(e, stdout);
    assert_int_equal(rc, 0);
}

static char folder[64];

const char *temp_file(const char *name, const void *p, size_t n)
{
    static char path[8][256];
    static int turn;
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "/tmp/qpipe-text-XXXXXX");
        assert_non_null(mkdtemp(folder));
    }
    char *s = path[turn++ % 8];
    snprintf(s, sizeof path[0], "%s/%s", folder, name);
    FILE *f = fopen(s, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    return s;
}

void temp_remove(void)
{
    struct err e = { 0 };
    if (folder[0])
        must(path_remove_tree(folder, &e), &e);
    folder[0] = 0;
}
