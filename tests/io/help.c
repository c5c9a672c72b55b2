/* help.c - see help.h. */
#include "help.h"

#include <dirent.h>

static char root[64];
enum { PATHS = 20000 };
static char *paths[PATHS];
static int n_paths;

int temp_up(void **state)
{
    (void)state;
    const char *base = "/tmp/qpipe-io-XXXXXX";
    memcpy(root, base, strlen(base) + 1);
    return mkdtemp(root) ? 0 : -1;
}

int temp_down(void **state)
{
    (void)state;
    while (n_paths)
        free(paths[--n_paths]);
    return path_remove_tree(root, NULL);
}

const char *join(const char *dir, const char *name)
{
    char *p = NULL;
    assert_true(n_paths < PATHS && asprintf(&p, "%s/%s", dir, name) > 0);
    return paths[n_paths++] = p;
}

const char *temp(const char *name) { return join(root, name); }

const char *temp_folder(const char *name)
{
    const char *path = temp(name);
    struct err e = { 0 };
    if (path_exists(path) && path_remove_tree(path, &e))
        no_error(&e);
    if (path_make_dir(path, &e))
        no_error(&e);
    return path;
}

void write_file(const char *path, const void *p, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

void write_text(const char *path, const char *text) { write_file(path, text, strlen(text)); }

size_t count_files(const char *dir)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *it; (it = readdir(d));)
        n += strcmp(it->d_name, ".") && strcmp(it->d_name, "..");
    closedir(d);
    return n;
}

struct buf st_image(const char *header, size_t n)
{
    struct buf b = { 0 };
    struct err e = { 0 };
    unsigned char lead[8] = { 0 };
    size_t len = strlen(header);
    for (int i = 0; i < 8; i++)
        lead[i] = (unsigned char)((uint64_t)len >> 8 * i);
    assert_int_equal(buf_add(&b, lead, 8, &e) || buf_add(&b, header, len, &e), 0);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)i;
        assert_int_equal(buf_add(&b, &c, 1, &e), 0);
    }
    return b;
}

void write_st(const char *path, const char *header, size_t n)
{
    struct buf b = st_image(header, n);
    write_file(path, b.p, b.len);
    buf_release(&b);
}

void no_error(const struct err *e)
{
    if (!e->code)
        return;
    err_print(e, stdout);
    fail_msg("%s", e->what);
}

void same_error(const struct err *e, enum err_code code, const char *what)
{
    if (strcmp(e->what, what) || e->code != code)
        printf("found    %s: %s\nexpected %s: %s\n", err_name(e->code), e->what, err_name(code), what);
    assert_string_equal(e->what, what);
    assert_int_equal(e->code, code);
}

void memory_error(const struct err *e)
{
    if (e->code != ERR_INPUT)
        same_error(e, ERR_NOMEM, "out of memory");
}

const char *fixture(const char *archive)
{
    char command[1024];
    const char *from = join("../shared/fixtures", archive);
    if (!path_exists(from)) {
        printf("skipped: %s (no ../shared)\n", archive);
        return NULL;
    }
    const char *to = temp(path_base(archive));
    if (path_is_dir(to))
        return to;
    temp_folder(path_base(archive));
    snprintf(command, sizeof command, "tar xJf '%s' -C '%s'", from, to);
    assert_int_equal(system(command), 0);
    return to;
}
