/* safetensors.c - the reader refuses every lie with an exact text; the writer gives the bytes of the safetensors
 * library; neither leaks nor crashes when memory or the disk ends. */
#include "help.h"

#include "base/json.h"
#include "io/safetensors.h"

static const struct {
    const char *name, *header;
    size_t data;
    int64_t said; /* header length written instead of the right one; 0: the right one */
    enum err_code code;
    const char *what;
} bad[] = {
    { "header longer than the file", "{}", 0, 1000, ERR_INPUT,
      "f: the header is said to take 1000 bytes, but 2 follow byte 8" },
    { "header length of all ones", "{}", 0, -1, ERR_INPUT,
      "f: the header is said to take 18446744073709551615 bytes, but 2 follow byte 8" },
    { "no object", "[]", 0, 0, ERR_INPUT, "f: the header does not begin with '{' at byte 8" },
    { "space before the object", " {}", 0, 0, ERR_INPUT, "f: the header does not begin with '{' at byte 8" },
    { "bytes without tensors", "{}", 3, 0, ERR_INPUT, "f: bytes 10 to 13 at the end belong to no tensor" },
    { "metadata is a list", "{\"__metadata__\":[]}", 0, 0, ERR_INPUT,
      "f: __metadata__ is a list, expected an object or null" },
    { "metadata holds a number", "{\"__metadata__\":{\"a\":1}}", 0, 0, ERR_INPUT,
      "f: __metadata__ key 'a' is an integer, expected a string" },
    { "entry is a list", "{\"a\":[]}", 0, 0, ERR_INPUT, "f: tensor 'a': found a list, expected an object" },
    { "empty name", "{\"\":{}}", 0, 0, ERR_INPUT, "f: found a tensor with an empty name" },
    { "no dtype", "{\"a\":{\"shape\":[],\"data_offsets\":[0,0]}}", 0, 0, ERR_INPUT,
      "f: tensor 'a': dtype is missing, expected a string" },
    { "dtype is a number", "{\"a\":{\"dtype\":3,\"shape\":[],\"data_offsets\":[0,0]}}", 0, 0, ERR_INPUT,
      "f: tensor 'a': dtype is an integer, expected a string" },
    { "unknown dtype", "{\"a\":{\"dtype\":\"F33\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, 0, ERR_INPUT,
      "f: tensor 'a': found dtype 'F33', expected one of safetensors' names" },
    { "dtype of another version", "{\"a\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[0,1]}}", 1, 0,
      ERR_UNBUILT, "f: tensor 'a': dtype 'F4' is not built yet" },
    { "no shape", "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,0]}}", 0, 0, ERR_INPUT,
      "f: tensor 'a': shape is missing, expected a list" },
    { "rank 7", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1, 0,
      ERR_LIMIT, "f: tensor 'a': found 7 dimensions, expected at most 6" },
    { "negative dimension", "{\"a\":{\"dtype\":\"U8\",\"shape\":[2,-1],\"data_offsets\":[0,1]}}", 1, 0,
      ERR_INPUT, "f: tensor 'a': dimension 1 is no count of elements" },
    { "fractional dimension", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1.5],\"data_offsets\":[0,1]}}", 1, 0,
      ERR_INPUT, "f: tensor 'a': dimension 0 is no count of elements" },
    { "product overflows",
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0, 0, ERR_INPUT,
      "f: tensor 'a': the product of its shape does not fit in 63 bits" },
    { "product overflows beside a zero",
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296,0],\"data_offsets\":[0,0]}}", 0, 0,
      ERR_INPUT, "f: tensor 'a': the product of its shape does not fit in 63 bits" },
    { "bytes overflow", "{\"a\":{\"dtype\":\"F64\",\"shape\":[2305843009213693952],\"data_offsets\":[0,0]}}",
      0, 0, ERR_INPUT, "f: tensor 'a': the product of its shape does not fit in 63 bits" },
    { "no offsets", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, 0, ERR_INPUT,
      "f: tensor 'a': data_offsets is not a pair of integers" },
    { "three offsets", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1, 0, ERR_INPUT,
      "f: tensor 'a': data_offsets is not a pair of integers" },
    { "backwards", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,0]}}", 1, 0, ERR_INPUT,
      "f: tensor 'a': data_offsets [1, 0] run backwards" },
    { "negative offset", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[-1,0]}}", 1, 0, ERR_INPUT,
      "f: tensor 'a': data_offsets [-1, 0] run backwards" },
    { "data behind the end", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 3, 0,
      ERR_INPUT, "f: tensor 'a': data ends at byte 65, but the file ends at byte 64" },
    { "size differs from shape", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, 0,
      ERR_INPUT, "f: tensor 'a': found 4 bytes at byte 62, expected 8 by dtype and shape" },
    { "overlap",
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
      3, 0, ERR_INPUT, "f: tensor 'b' begins at byte 114, inside tensor 'a' that ends at byte 115" },
    { "the same bytes twice",
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}",
      2, 0, ERR_INPUT, NULL },
    { "hole",
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}",
      3, 0, ERR_INPUT, "f: bytes 114 to 115 before tensor 'b' belong to no tensor" },
    { "bytes behind the last tensor", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 2, 0,
      ERR_INPUT, "f: bytes 62 to 63 at the end belong to no tensor" },
    { "duplicate tensor",
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
      0, 0, ERR_INPUT, "not valid JSON: duplicate object key near '\"a\"'" },
    { "cut JSON", "{\"a\":{\"dtype\"", 0, 0, ERR_INPUT, "not valid JSON: ':' expected near end of file" },
    { "text behind the object", "{}x", 0, 0, ERR_INPUT, NULL },
    { "offset above 2^63",
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,18446744073709551615]}}", 1, 0, ERR_INPUT,
      NULL },
};

static void lies_are_refused_with_their_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = { 0 };
        struct st_file f;
        struct buf b = st_image(bad[i].header, bad[i].data);
        for (int k = 0; bad[i].said && k < 8; k++)
            b.p[k] = (char)((uint64_t)bad[i].said >> 8 * k);
        printf("%s\n", bad[i].name);
        assert_int_equal(st_parse((unsigned char *)b.p, b.len, "f", &f, &e), -1);
        if (bad[i].what)
            same_error(&e, bad[i].code, bad[i].what);
        else
            assert_int_equal(e.code, bad[i].code);
        assert_null(f.entry);
        buf_release(&b);
    }
}

static void limits_are_stated(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct st_file f;
    struct buf b = { 0 };
    unsigned char lead[8] = { 1, 0xE1, 0xF5, 5 }; /* 100000001 */
    assert_int_equal(buf_reserve(&b, 100000009, &e), 0);
    memset(b.p, ' ', 100000009);
    memcpy(b.p, lead, 8);
    assert_int_equal(st_parse((unsigned char *)b.p, 100000009, "f", &f, &e), -1);
    same_error(&e, ERR_LIMIT, "f: found a header of 100000001 bytes, expected at most 100000000");
    buf_release(&b);

    char header[1300] = "{\"";
    memset(header + 2, 'n', 1025);
    snprintf(header + 1027, sizeof header - 1027,
             "\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
    b = st_image(header, 0);
    memset(&e, 0, sizeof e);
    assert_int_equal(st_parse((unsigned char *)b.p, b.len, "f", &f, &e), -1);
    same_error(
        &e, ERR_LIMIT,
        "f: tensor 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn...': found a name of 1025 bytes, expected at most 1024");
    buf_release(&b);
}

static void short_files_are_refused(void **state)
{
    (void)state;
    for (size_t n = 0; n < 8; n++) {
        struct err e = { 0 };
        struct st_file f;
        char want[96];
        snprintf(want, sizeof want, "f: found %zu bytes, expected at least 8 (the length of the header)", n);
        assert_int_equal(st_parse((const unsigned char *)"\2\0\0\0\0\0\0\0", n, "f", &f, &e), -1);
        same_error(&e, ERR_INPUT, want);
    }
}

/* Every cut of a good file is an error: nothing but the whole one reads. */
static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct buf b = st_image("{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}", 3);
    struct st_file f;
    for (size_t n = 0; n < b.len; n++) {
        struct err e = { 0 };
        assert_int_equal(st_parse((unsigned char *)b.p, n, "f", &f, &e), -1);
        assert_int_equal(e.code, ERR_INPUT);
    }
    assert_int_equal(st_parse((unsigned char *)b.p, b.len, "f", &f, NULL), 0);
    st_close(&f);
    buf_release(&b);
}

static void odd_but_valid_headers_are_read(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct st_file f;
    /* null metadata, unknown member, rank 0, an empty tensor between two, names out of order, spaces at the end */
    struct buf b = st_image(
        "{\"__metadata__\":null,\"z\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4],\"x\":1},"
        "\"b\":{\"dtype\":\"BF16\",\"shape\":[0,7],\"data_offsets\":[4,4]},"
        "\"a\":{\"dtype\":\"U8\",\"shape\":[1,3],\"data_offsets\":[4,7]}}   ",
        7);
    st_parse((unsigned char *)b.p, b.len, "f", &f, &e);
    no_error(&e);
    assert_int_equal(f.n, 3);
    assert_null(f.metadata);
    assert_string_equal(f.entry[0].info.name, "a");
    assert_null(st_find(&f, "c"));
    struct tensor_view v = st_view(&f, st_find(&f, "a"));
    assert_int_equal(v.rank, 2);
    assert_int_equal(v.dim[1], 3);
    assert_memory_equal(v.data, "\4\5\6", 3);
    v = st_view(&f, st_find(&f, "z"));
    assert_int_equal(v.rank, 0);
    assert_int_equal(view_bytes(&v), 4);
    assert_memory_equal(v.data, "\0\1\2\3", 4);
    v = st_view(&f, st_find(&f, "b"));
    assert_int_equal(view_bytes(&v), 0);
    st_close(&f);
    buf_release(&b);
    b = st_image("{\"__metadata__\":{\"format\":\"pt\"}}", 0);
    assert_int_equal(st_parse((unsigned char *)b.p, b.len, "f", &f, &e), 0);
    assert_string_equal(json_str(json_get(f.metadata, "format"), NULL), "pt");
    st_close(&f);
    buf_release(&b);
}

/* -- writing -- */

static const struct {
    const char *name;
    enum dtype t;
    int rank;
    int64_t dim[2];
} golden_tensors[] = {
    { "z.BOOL", DT_BOOL, 1, { 3 } },
    { "z.U8", DT_U8, 1, { 3 } },
    { "z.I8", DT_I8, 1, { 3 } },
    { "z.E4", DT_F8_E4M3, 1, { 3 } },
    { "z.E5", DT_F8_E5M2, 1, { 3 } },
    { "z.E8", DT_F8_E8M0, 1, { 3 } },
    { "z.I16", DT_I16, 1, { 3 } },
    { "z.U16", DT_U16, 1, { 3 } },
    { "z.I32", DT_I32, 1, { 3 } },
    { "z.U32", DT_U32, 1, { 3 } },
    { "z.I64", DT_I64, 1, { 3 } },
    { "z.U64", DT_U64, 1, { 3 } },
    { "z.F16", DT_F16, 1, { 3 } },
    { "z.BF16", DT_BF16, 1, { 3 } },
    { "z.F32", DT_F32, 1, { 3 } },
    { "z.F64", DT_F64, 1, { 3 } },
    { "\xC3\xA9\"\\\n/x", DT_F32, 2, { 2, 2 } },
    { "scalar", DT_F32, 0, { 0 } },
    { "empty", DT_F32, 2, { 0, 4 } },
};
enum { GOLDEN_N = sizeof golden_tensors / sizeof *golden_tensors };

/* The bytes that golden.safetensors has: zeros, but 1.5 in `scalar` and ones in the 2 x 2. */
static int write_golden(const char *path, char sha256[65], struct err *e)
{
    struct st_writer *w = st_writer_new(e);
    if (!w)
        return -1;
    int rc = 0;
    for (int i = 0; !rc && i < GOLDEN_N; i++)
        rc = st_writer_add(w, golden_tensors[i].name, golden_tensors[i].t, golden_tensors[i].rank,
                           golden_tensors[i].dim, e);
    rc = rc || st_writer_begin(w, path, e);
    for (const struct tensor_info *t; !rc && (t = st_writer_next(w));) {
        float data[8] = { 0 };
        struct tensor_view v = { data, t->dtype, t->rank, { t->dim[0], t->dim[1] } };
        if (!strcmp(t->name, "scalar"))
            data[0] = 1.5f;
        for (int i = 0; t->rank == 2 && i < 4; i++)
            data[i] = 1.0f;
        rc = st_writer_put(w, data, (uint64_t)view_bytes(&v), e);
    }
    if (!rc)
        return st_writer_finish(w, sha256, e);
    st_writer_abandon(w);
    return -1;
}

static void written_bytes_equal_the_librarys(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct buf mine = { 0 }, want = { 0 };
    write_golden(temp("golden.safetensors"), NULL, &e);
    file_read(temp("golden.safetensors"), 1 << 20, &mine, &e);
    file_read("tests/io/golden.safetensors", 1 << 20, &want, &e);
    no_error(&e);
    assert_int_equal(mine.len, want.len);
    assert_memory_equal(mine.p, want.p, want.len);
    buf_release(&mine);
    buf_release(&want);
}

static void pieces_and_read_back(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct st_file f;
    const char *path = temp("pieces.safetensors");
    struct st_writer *w = st_writer_new(&e);
    st_writer_add(w, "b", DT_I16, 1, (int64_t[]){ 3 }, &e);
    st_writer_add(w, "a", DT_U8, 1, (int64_t[]){ 2 }, &e);
    st_writer_begin(w, path, &e);
    no_error(&e);
    assert_string_equal(st_writer_next(w)->name, "b");
    st_writer_put(w, "\1\2", 2, &e);
    st_writer_put(w, "", 0, &e);
    assert_string_equal(st_writer_next(w)->name, "b");
    st_writer_put(w, "\3\4\5\6", 4, &e);
    assert_string_equal(st_writer_next(w)->name, "a");
    st_writer_put(w, "\7\10", 2, &e);
    assert_null(st_writer_next(w));
    st_writer_finish(w, NULL, &e);
    st_open(path, &f, &e);
    no_error(&e);
    assert_memory_equal(st_view(&f, st_find(&f, "b")).data, "\1\2\3\4\5\6", 6);
    assert_memory_equal(st_view(&f, st_find(&f, "a")).data, "\7\10", 2);
    st_close(&f);
}

static void a_name_twice_is_refused(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct st_writer *w = st_writer_new(&e);
    st_writer_add(w, "a", DT_U8, 0, NULL, &e);
    st_writer_add(w, "b", DT_U8, 0, NULL, &e);
    st_writer_add(w, "a", DT_F32, 0, NULL, &e);
    no_error(&e);
    assert_int_equal(st_writer_begin(w, "f", &e), -1);
    same_error(&e, ERR_INPUT, "f: tensor 'a' is to be written twice");
    st_writer_abandon(w);
}

/* -- when things end -- */

static void every_failed_operation_leaves_no_file(void **state)
{
    (void)state;
    const char *path = temp("fault.safetensors");
    int failures = 0;
    for (uint64_t n = 1;; n++) {
        struct err e = { 0 };
        file_fail_at(n);
        int rc = write_golden(path, NULL, &e);
        file_fail_at(0);
        if (!rc)
            break;
        failures++;
        assert_int_equal(e.code, ERR_IO);
        assert_non_null(strstr(e.what, path));
        assert_false(path_exists(path));
    }
    assert_true(failures > 4);
    assert_true(path_exists(path));
    unlink(path);
}

static void every_failed_allocation_is_an_error(void **state)
{
    (void)state;
    const char *path = temp("memory.safetensors");
    uint64_t before = mem_use().count, n;
    for (n = 1;; n++) {
        struct err e = { 0 };
        struct st_file f;
        mem_fail_at(n, 0);
        int rc = write_golden(path, NULL, &e) || st_open(path, &f, &e);
        mem_fail_at(0, 0);
        unlink(path);
        if (!rc) {
            st_close(&f);
            break;
        }
        memory_error(&e);
        assert_int_equal(mem_use().count, before);
    }
    assert_true(n > 40);
    assert_int_equal(mem_use().count, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lies_are_refused_with_their_place),
        cmocka_unit_test(limits_are_stated),
        cmocka_unit_test(short_files_are_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(odd_but_valid_headers_are_read),
        cmocka_unit_test(written_bytes_equal_the_librarys),
        cmocka_unit_test(pieces_and_read_back),
        cmocka_unit_test(a_name_twice_is_refused),
        cmocka_unit_test(every_failed_operation_leaves_no_file),
        cmocka_unit_test(every_failed_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, temp_up, temp_down);
}
