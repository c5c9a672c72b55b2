/* hash_rng.c - tests of base/hash (vectors of FIPS 180-4, files in pieces) and base/rng (vectors of Random123). */
#include "base/file.h"
#include "base/hash.h"
#include "base/rng.h"
#include "tests/base/check.h"

#include <stdlib.h>
#include <unistd.h>

static void fips_vectors(void **state)
{
    (void)state;
    static char million[1000001];
    memset(million, 'a', 1000000);
    static const struct {
        const char *text, *hex;
    } rows[] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
        { million, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char hex[HASH_HEX];
        assert_int_equal(hash_bytes(rows[i].text, strlen(rows[i].text), hex, NULL), 0);
        assert_string_equal(hex, rows[i].hex);
    }
}

static void pieces_of_any_size_give_one_hash(void **state)
{
    (void)state;
    char data[1000], want[HASH_HEX], hex[HASH_HEX];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 7);
    assert_int_equal(hash_bytes(data, sizeof data, want, NULL), 0);
    for (size_t piece = 1; piece < 130; piece++) {
        struct hash *h = hash_new(NULL);
        for (size_t at = 0; at < sizeof data; at += piece)
            assert_int_equal(
                hash_add(h, data + at, at + piece < sizeof data ? piece : sizeof data - at, NULL), 0);
        assert_int_equal(hash_hex(h, hex, NULL), 0);
        assert_string_equal(hex, want);
    }
    SWEEP(hash_bytes(data, sizeof data, hex, &e), (void)0);
}

static void a_file_larger_than_a_piece(void **state)
{
    (void)state;
    char path[] = "/tmp/qpipe-test-hash-XXXXXX", want[HASH_HEX], hex[HASH_HEX];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    enum { N = 3 * (1 << 20) + 12345 };
    char *p = mem_alloc(N, NULL);
    for (size_t i = 0; i < N; i++)
        p[i] = (char)(i * i >> 7);
    assert_int_equal(write(fd, p, N), N);
    close(fd);
    assert_int_equal(hash_bytes(p, N, want, NULL), 0);
    assert_int_equal(hash_file(path, hex, NULL), 0);
    assert_string_equal(hex, want);
    mem_free(p);
    SWEEP(hash_file(path, hex, &e), (void)0);
    unlink(path);
    struct err e = { 0 };
    assert_int_equal(hash_file("/tmp/qpipe-test-not-there", hex, &e), -1);
    IS_ERR(e, ERR_IO, "/tmp/qpipe-test-not-there: can not open: No such file or directory");
    struct err dir = { 0 };
    assert_int_equal(hash_file("/tmp", hex, &dir), -1);
    IS_ERR(dir, ERR_IO, "/tmp: can not read: Is a directory");
}

/* Random123 (kat_vectors): counter words 0..3, key words 0..1, output. */
static void philox_vectors(void **state)
{
    (void)state;
    static const uint32_t rows[][10] = {
        { 0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 },
        { ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd },
        { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb,
          0x5001e420, 0x24126ea1 },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const uint32_t *r = rows[i];
        uint32_t out[4];
        rng_block((uint64_t)r[5] << 32 | r[4], (uint64_t)r[3] << 32 | r[2], (uint64_t)r[1] << 32 | r[0], out);
        assert_memory_equal(out, r + 6, sizeof out);
        assert_true(rng_u64((uint64_t)r[5] << 32 | r[4], (uint64_t)r[3] << 32 | r[2],
                            (uint64_t)r[1] << 32 | r[0]) == ((uint64_t)r[7] << 32 | r[6]));
    }
}

static void permutations_are_permutations_and_depend_on_seed_and_stream(void **state)
{
    (void)state;
    uint64_t a[1000], b[1000];
    for (uint64_t n = 0; n < 1000; n += n < 10 ? 1 : 99) {
        char seen[1000] = { 0 };
        rng_permutation(1, 2, n, a);
        for (uint64_t i = 0; i < n; i++) {
            assert_true(a[i] < n);
            assert_false(seen[a[i]]);
            seen[a[i]] = 1;
        }
        rng_permutation(1, 2, n, b);
        assert_memory_equal(a, b, n * sizeof *a);
    }
    rng_permutation(1, 2, 1000, a);
    rng_permutation(1, 3, 1000, b);
    assert_memory_not_equal(a, b, sizeof a);
    rng_permutation(2, 2, 1000, b);
    assert_memory_not_equal(a, b, sizeof a);
}

/* Chi-square with fixed seeds: 99.9 % quantiles of 9, 23 and 99 degrees of freedom are 27.9, 49.7 and 149.4. */
static double chi(const uint64_t *count, size_t bins, double expect)
{
    double sum = 0;
    for (size_t i = 0; i < bins; i++)
        sum += ((double)count[i] - expect) * ((double)count[i] - expect) / expect;
    return sum;
}

static void numbers_are_even(void **state)
{
    (void)state;
    uint64_t below[10] = { 0 }, unit[100] = { 0 }, order[24] = { 0 };
    for (uint64_t i = 0; i < 100000; i++) {
        uint64_t k = rng_below(11, 0, i, 10);
        double u = rng_unit(11, 1, i);
        assert_true(k < 10);
        assert_true(u >= 0 && u < 1);
        below[k]++;
        unit[(int)(u * 100)]++;
    }
    for (uint64_t i = 0; i < 24000; i++) {
        uint64_t p[4], rank = 0;
        rng_permutation(i, 0, 4, p);
        for (int k = 0; k < 4; k++) {
            uint64_t less = 0;
            for (int m = k + 1; m < 4; m++)
                less += p[m] < p[k];
            rank = rank * (uint64_t)(4 - k) + less;
        }
        order[rank]++;
    }
    assert_true(chi(below, 10, 10000) < 27.9);
    assert_true(chi(unit, 100, 1000) < 149.4);
    assert_true(chi(order, 24, 1000) < 49.7);
    for (uint64_t i = 0; i < 1000; i++) {
        assert_int_equal(rng_below(1, 1, i, 1), 0);
        assert_true(rng_below(1, 1, i, UINT64_MAX) < UINT64_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fips_vectors),
        cmocka_unit_test(pieces_of_any_size_give_one_hash),
        cmocka_unit_test(a_file_larger_than_a_piece),
        cmocka_unit_test(philox_vectors),
        cmocka_unit_test(permutations_are_permutations_and_depend_on_seed_and_stream),
        cmocka_unit_test(numbers_are_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
