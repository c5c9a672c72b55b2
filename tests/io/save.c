/* save.c - shards and index: natural order whatever the order of the calls, limits, hashes, and a folder without
 * leftovers when the disk or memory ends. */
#include "help.h"

#include "base/hash.h"
#include "base/json.h"
#include "io/checkpoint.h"
#include "io/save.h"

/* Tensors of one byte a piece, in natural order. */
static const char *const names[] = { "a.weight", "l.2.w", "l.10.w", "l.10.x", "l.010.y", "l.10.y", "z" };
enum { N = sizeof names / sizeof *names };

static int put(struct saver *s, int i, int64_t bytes, struct err *e)
{
    uint8_t data[64];
    memset(data, 'A' + i, sizeof data);
    return saver_put(s, names[i], DT_U8, 1, &bytes, data, e);
}

/* The names of the shards' tensors in the order of shards, as one text. */
static void saved_as(const char *dir, uint64_t limit, const int *order, int64_t bytes, char *out, size_t room)
{
    struct err e = { 0 };
    int64_t n, f;
    struct saver *s = saver_new(dir, limit, &e);
    for (int i = 0; i < N; i++)
        put(s, order[i], bytes, &e);
    saver_finish(s, &e);
    no_error(&e);
    const struct saved_tensor *t = saver_tensors(s, &n);
    const struct saved_file *file = saver_files(s, &f);
    size_t at = 0;
    assert_int_equal(n, N);
    for (int64_t k = 0; k < f; k++) {
        char hex[HASH_HEX];
        struct buf b = { 0 };
        at += (size_t)snprintf(out + at, room - at, "%s:", file[k].name);
        for (int i = 0; i < N; i++) /* natural order */
            for (int64_t j = 0; j < n; j++)
                if (!strcmp(t[j].name, names[i]) && !strcmp(t[j].file, file[k].name))
                    at += (size_t)snprintf(out + at, room - at, " %s", names[i]);
        at += (size_t)snprintf(out + at, room - at, "\n");
        assert_int_equal(hash_file(join(dir, file[k].name), hex, &e), 0);
        assert_string_equal(hex, file[k].sha256);
        assert_int_equal(file_read(join(dir, file[k].name), 1 << 20, &b, &e), 0);
        assert_int_equal(b.len, file[k].bytes);
        buf_release(&b);
    }
    for (int64_t j = 1; j < n; j++)
        assert_true(strcmp(t[j - 1].name, t[j].name) < 0);
    assert_int_equal(count_files(dir), f);
    saver_free(s);
}

static const int forwards[N] = { 0, 1, 2, 3, 4, 5, 6 }, mixed[N] = { 5, 2, 6, 0, 4, 3, 1 };

static void shards_follow_names_and_not_calls(void **state)
{
    (void)state;
    char a[1000], b[1000];
    static const char want[] = "model-00001-of-00003.safetensors: a.weight l.2.w l.10.w\n"
                               "model-00002-of-00003.safetensors: l.10.x l.010.y l.10.y\n"
                               "model-00003-of-00003.safetensors: z\n"
                               "model.safetensors.index.json:\n";
    saved_as(temp_folder("forwards"), 30, forwards, 10, a, sizeof a);
    saved_as(temp_folder("mixed"), 30, mixed, 10, b, sizeof b);
    assert_string_equal(a, want);
    assert_string_equal(b, want);
    for (int i = 1; i <= 3; i++) {
        char name[40], x[HASH_HEX], y[HASH_HEX];
        struct err e = { 0 };
        snprintf(name, sizeof name, "model-%05d-of-00003.safetensors", i);
        hash_file(join(temp("forwards"), name), x, &e);
        hash_file(join(temp("mixed"), name), y, &e);
        no_error(&e);
        assert_string_equal(x, y);
    }
}

static void limits_cut_at_the_edge(void **state)
{
    (void)state;
    char a[1000];
    /* 70 bytes: one file at the limit, two below it; above a tensor's size each has its own */
    saved_as(temp_folder("one"), 70, mixed, 10, a, sizeof a);
    assert_string_equal(a, "model.safetensors: a.weight l.2.w l.10.w l.10.x l.010.y l.10.y z\n");
    saved_as(temp_folder("two"), 69, mixed, 10, a, sizeof a);
    assert_non_null(strstr(a, "model-00002-of-00002.safetensors: z\n"));
    saved_as(temp_folder("each"), 9, mixed, 10, a, sizeof a);
    assert_non_null(strstr(a, "model-00007-of-00007.safetensors: z\n"));
    saved_as(temp_folder("empty"), 9, mixed, 0, a, sizeof a);
    assert_string_equal(a, "model.safetensors: a.weight l.2.w l.10.w l.10.x l.010.y l.10.y z\n");
}

static void the_index_is_as_transformers_writes_it(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct buf b = { 0 };
    char a[1000];
    saved_as(temp_folder("index"), 40, mixed, 10, a, sizeof a);
    file_read(join(temp("index"), "model.safetensors.index.json"), 1 << 20, &b, &e);
    no_error(&e);
    assert_string_equal(b.p, "{\n  \"metadata\": {\n    \"total_size\": 70\n  },\n  \"weight_map\": {\n"
                             "    \"a.weight\": \"model-00001-of-00002.safetensors\",\n"
                             "    \"l.010.y\": \"model-00002-of-00002.safetensors\",\n"
                             "    \"l.10.w\": \"model-00001-of-00002.safetensors\",\n"
                             "    \"l.10.x\": \"model-00001-of-00002.safetensors\",\n"
                             "    \"l.10.y\": \"model-00002-of-00002.safetensors\",\n"
                             "    \"l.2.w\": \"model-00001-of-00002.safetensors\",\n"
                             "    \"z\": \"model-00002-of-00002.safetensors\"\n  }\n}\n");
    buf_release(&b);
}

static void what_was_saved_is_read(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct checkpoint c;
    char a[1000], hex[HASH_HEX];
    saved_as(temp_folder("read"), 25, mixed, 10, a, sizeof a);
    checkpoint_open(temp("read"), &c, &e);
    no_error(&e);
    assert_int_equal(c.stored.count, N);
    for (int i = 0; i < N; i++) {
        struct tensor_view v;
        c.stored.view(c.stored.self, names[i], &v, &e);
        no_error(&e);
        assert_int_equal(v.dim[0], 10);
        for (int k = 0; k < 10; k++)
            assert_int_equal(((const uint8_t *)v.data)[k], 'A' + i);
        hash_bytes(v.data, 10, hex, &e);
    }
    checkpoint_close(&c);
}

static void a_name_twice_is_refused(void **state)
{
    (void)state;
    struct err e = { 0 };
    const char *dir = temp_folder("twice");
    struct saver *s = saver_new(dir, 100, &e);
    put(s, 1, 3, &e);
    put(s, 0, 3, &e);
    put(s, 1, 3, &e);
    no_error(&e);
    assert_int_equal(saver_finish(s, &e), -1);
    same_error(&e, ERR_INPUT, "tensor 'l.2.w' was saved twice");
    saver_free(s);
    assert_int_equal(count_files(dir), 0);
}

static void nothing_saved_is_an_empty_file(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct checkpoint c;
    const char *dir = temp_folder("nothing");
    struct saver *s = saver_new(dir, 100, &e);
    saver_finish(s, &e);
    saver_free(s);
    checkpoint_open(dir, &c, &e);
    no_error(&e);
    assert_int_equal(c.stored.count, 0);
    checkpoint_close(&c);
}

/* Tensors from three places: put, borrowed, adopted from the spool of a saver that ended early. */
static void tensors_may_stay_where_they_lie(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct checkpoint c;
    const char *dir = temp_folder("places"), *first = temp("places.first"), *second = temp("places.second");
    uint8_t lying[64];
    struct tensor_view v = { lying, DT_U8, 1, { 10 } }, back;
    struct saver_place place[N];
    memset(lying, 'A' + 2, sizeof lying);
    unlink(first);
    unlink(second);
    struct saver *early = saver_new_in(dir, first, 30, &e);
    for (int i = 0; i < N; i++)
        put(early, mixed[i], 10, &e);
    assert_int_equal(saver_sync(early, &e), 0);
    assert_null(saver_new_in(dir, first, 30, NULL)); /* never the same spool twice */
    struct saver *s = saver_new_in(dir, second, 30, &e);
    for (int64_t i = 0; i < N; i++) {
        saver_place_of(early, i, &place[i]);
        assert_string_equal(place[i].spool, first);
        assert_int_equal(place[i].at, 10 * i);
        if (!strcmp(place[i].name, names[2]))
            assert_int_equal(saver_put_borrowed(s, names[2], &v, &e), 0);
        else if (!strcmp(place[i].name, names[4]))
            put(s, 4, 10, &e);
        else
            assert_int_equal(saver_adopt(s, &place[i], &e), 0);
    }
    saver_free(early);
    assert_true(path_exists(first)); /* the caller's */
    for (int64_t i = 0; i < N; i++) {
        assert_int_equal(saver_view(s, i, &back, &e), 0);
        assert_int_equal(((const uint8_t *)back.data)[9], 'A' + mixed[i]);
    }
    assert_int_equal(saver_finish(s, &e), 0);
    no_error(&e);
    saver_free(s);
    assert_true(path_exists(second));
    char plain[1000];
    saved_as(temp_folder("plain"), 30, forwards, 10, plain, sizeof plain);
    for (int i = 1; i <= 3; i++) { /* the bytes do not tell where tensors came from */
        char name[40], x[HASH_HEX], y[HASH_HEX];
        snprintf(name, sizeof name, "model-%05d-of-00003.safetensors", i);
        assert_int_equal(hash_file(join(dir, name), x, &e) || hash_file(join(temp("plain"), name), y, &e), 0);
        assert_string_equal(x, y);
    }
    checkpoint_open(dir, &c, &e);
    no_error(&e);
    assert_int_equal(c.stored.count, N);
    checkpoint_close(&c);
}

static void what_is_adopted_is_looked_at(void **state)
{
    (void)state;
    struct err e = { 0 };
    const char *dir = temp_folder("adopt"), *spool = join(dir, "spool");
    struct saver_place p;
    struct saver *early = saver_new_in(dir, spool, 30, &e), *s;
    put(early, 0, 10, &e);
    saver_place_of(early, 0, &p);
    char name[32], kept[200];
    snprintf(name, sizeof name, "%s", p.name);
    snprintf(kept, sizeof kept, "%s", p.spool);
    p.name = name;
    p.spool = kept;
    saver_free(early);
    s = saver_new_in(dir, join(dir, "other"), 30, &e);
    no_error(&e);
    struct saver_place wrong = p;
    wrong.sha256[3] ^= 1;
    assert_int_equal(saver_adopt(s, &wrong, &e), -1);
    assert_non_null(strstr(e.what, "are not those that were written"));
    memset(&e, 0, sizeof e);
    wrong = p;
    wrong.at = 1; /* reaches behind the end */
    assert_int_equal(saver_adopt(s, &wrong, &e), -1);
    assert_non_null(strstr(e.what, "expected at least 11"));
    memset(&e, 0, sizeof e);
    wrong.at = UINT64_MAX - 3;
    assert_int_equal(saver_adopt(s, &wrong, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    memset(&e, 0, sizeof e);
    wrong = p;
    wrong.dim[0] = 9;
    assert_int_equal(saver_adopt(s, &wrong, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_int_equal(saver_count(s), 0);
    memset(&e, 0, sizeof e);
    assert_int_equal(saver_adopt(s, &p, &e), 0);
    saver_free(s);
}

static int save_all(const char *dir, struct err *e)
{
    struct saver *s = saver_new(dir, 30, e);
    int rc = s ? 0 : -1;
    for (int i = 0; !rc && i < N; i++)
        rc = put(s, mixed[i], 10, e);
    rc = rc || saver_finish(s, e);
    saver_free(s);
    return rc;
}

static void a_full_disk_is_named_and_leaves_no_spool(void **state)
{
    (void)state;
    int failures = 0;
    for (uint64_t n = 1;; n++, failures++) {
        struct err e = { 0 };
        const char *dir = temp_folder("disk");
        file_fail_at(n);
        int rc = save_all(dir, &e);
        file_fail_at(0);
        assert_false(path_exists(join(dir, ".spool")));
        if (!rc)
            break;
        assert_int_equal(e.code, ERR_IO);
        assert_non_null(strstr(e.what, dir));
        assert_false(path_exists(join(dir, "model.safetensors.index.json")));
    }
    assert_true(failures > 20);
}

static void every_failed_allocation_is_an_error(void **state)
{
    (void)state;
    const char *dir = temp("room");
    uint64_t before = mem_use().count, n;
    for (n = 1;; n++) {
        struct err e = { 0 };
        temp_folder("room");
        mem_fail_at(n, 0);
        int rc = save_all(dir, &e);
        mem_fail_at(0, 0);
        assert_int_equal(mem_use().count, before);
        assert_false(path_exists(join(dir, ".spool")));
        if (!rc)
            break;
        same_error(&e, ERR_NOMEM, "out of memory");
    }
    assert_true(n > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_follow_names_and_not_calls),
        cmocka_unit_test(limits_cut_at_the_edge),
        cmocka_unit_test(the_index_is_as_transformers_writes_it),
        cmocka_unit_test(what_was_saved_is_read),
        cmocka_unit_test(a_name_twice_is_refused),
        cmocka_unit_test(tensors_may_stay_where_they_lie),
        cmocka_unit_test(what_is_adopted_is_looked_at),
        cmocka_unit_test(nothing_saved_is_an_empty_file),
        cmocka_unit_test(a_full_disk_is_named_and_leaves_no_spool),
        cmocka_unit_test(every_failed_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, temp_up, temp_down);
}
