/* fixture.c - see fixture.h. */
#include "fixture.h"
#include "base/file.h"
#include "help.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST = 4 };
static struct unpacked {
    char archive[128], dir[64];
} unpacked[MOST]; /* what atexit removes */

static void remove_all(void)
{
    for (int i = 0; i < MOST; i++)
        if (unpacked[i].dir[0])
            path_remove_tree(unpacked[i].dir, NULL);
}

const char *fixture_unpack(const char *archive)
{
    char command[512];
    int i = 0;
    for (; i < MOST && unpacked[i].archive[0]; i++)
        if (strcmp(unpacked[i].archive, archive) == 0)
            return unpacked[i].dir[0] ? unpacked[i].dir : NULL;
    assert_true(i < MOST);
    if (i == 0)
        atexit(remove_all);
    snprintf(unpacked[i].archive, sizeof unpacked[i].archive, "%s", archive);
    if (!path_exists(archive)) {
        printf("skipped: %s (no ../shared)\n", archive);
        return NULL;
    }
    snprintf(unpacked[i].dir, sizeof unpacked[i].dir, "/tmp/qpipe-quant-XXXXXX");
    assert_non_null(mkdtemp(unpacked[i].dir));
    snprintf(command, sizeof command, "tar xJf %s -C %s", archive, unpacked[i].dir);
    assert_int_equal(system(command), 0);
    return unpacked[i].dir;
}

void tensors_read(struct tensors *t, const char *dir, const char *file)
{
    struct err e = { 0 };
    char path[256];
    uint64_t n;
    memset(t, 0, sizeof *t);
    snprintf(path, sizeof path, "%s/%s", dir, file);
    if (file_read(path, 1 << 26, &t->bytes, &e))
        no_error(&e);
    memcpy(&n, t->bytes.p, sizeof n);
    t->header = json_parse(t->bytes.p + 8, (size_t)n, path, &e);
    no_error(&e);
    t->data = 8 + (size_t)n;
}

void tensors_free(struct tensors *t)
{
    json_free(t->header);
    buf_release(&t->bytes);
}

int tensors_find(const struct tensors *t, const char *name, struct tensor_view *v)
{
    const struct json *j = json_get(t->header, name), *shape = json_get(j, "shape");
    int64_t from = 0;
    if (!j)
        return 0;
    memset(v, 0, sizeof *v);
    v->dtype = (enum dtype)dtype_find(json_str(json_get(j, "dtype"), NULL));
    v->rank = (int)json_len(shape);
    for (int i = 0; i < v->rank; i++)
        assert_true(json_int(json_item(shape, (size_t)i), &v->dim[i]));
    assert_true(json_int(json_item(json_get(j, "data_offsets"), 0), &from));
    v->data = t->bytes.p + t->data + (size_t)from;
    return 1;
}

float *tensors_f32(const struct tensors *t, const char *name, int64_t *rows, int64_t *cols)
{
    struct tensor_view v;
    if (!tensors_find(t, name, &v))
        fail_msg("no tensor %s", name);
    int64_t n = view_elems(&v);
    float *x = mem_array((size_t)n, sizeof *x, NULL);
    assert_non_null(x);
    dtype_to_f32(v.dtype, v.data, n, x);
    *rows = v.rank ? v.dim[0] : 1;
    *cols = n / *rows;
    return x;
}

int unpack_code(const int32_t *words, int bits, int64_t i)
{
    int64_t bit = i * bits;
    unsigned v = 0;
    for (int b = 0; b < bits; b++)
        v |= ((uint32_t)words[(bit + b) / 32] >> ((bit + b) % 32) & 1u) << b;
    return (int)v - (1 << (bits - 1));
}
