/* num.c - tests of base/num: what is a number and what is none, and that printed numbers are the shortest that read back. */
#include "base/num.h"
#include "tests/base/check.h"

#include <math.h>

static void integers(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        bool ok;
        int64_t v;
    } rows[] = {
        { "0", true, 0 },
        { "-0", true, 0 },
        { "7", true, 7 },
        { "-12", true, -12 },
        { "", false, 0 },
        { "-", false, 0 },
        { "+1", false, 0 },
        { "01", false, 0 },
        { "-01", false, 0 },
        { "0100", false, 0 },
        { "1_000", false, 0 },
        { "0x10", false, 0 },
        { "1 ", false, 0 },
        { " 1", false, 0 },
        { "1.0", false, 0 },
        { "1e3", false, 0 },
        { "2:4", false, 0 },
        { "--1", false, 0 },
        { "00", false, 0 },
        { "\xD9\xA1", false, 0 },
        { "9223372036854775807", true, INT64_MAX },
        { "9223372036854775808", false, 0 },
        { "-9223372036854775808", true, INT64_MIN },
        { "-9223372036854775809", false, 0 },
        { "99999999999999999999999999", false, 0 },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t v = 0;
        assert_int_equal(num_int(rows[i].s, &v), rows[i].ok);
        assert_int_equal(v, rows[i].v);
    }
}

static void reals(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        bool ok;
        double v;
    } rows[] = {
        { "1", true, 1 },        { "1.5", true, 1.5 },  { "1e-3", true, 1e-3 },   { "1.5E+2", true, 150 },
        { "-0.25", true, -.25 }, { "1e-400", true, 0 }, { "1e308", true, 1e308 }, { "1e309", false, 0 },
        { "inf", false, 0 },     { "nan", false, 0 },   { ".5", false, 0 },       { "5.", false, 0 },
        { "1e", false, 0 },      { "1e+", false, 0 },   { "0x1p3", false, 0 },    { "01.5", false, 0 },
        { "1,5", false, 0 },     { "", false, 0 },      { "-", false, 0 },        { "1.5f", false, 0 },
        { "1_0.0", false, 0 },   { "+1.0", false, 0 },  { " 1.0", false, 0 },     { "1.0 ", false, 0 },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        double v = 0;
        assert_int_equal(num_real(rows[i].s, &v), rows[i].ok);
        assert_true(v == rows[i].v);
    }
}

static void sizes(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        int64_t v; /* -1: malformed */
    } rows[] = { { "512", 512 },
                 { "64K", 65536 },
                 { "16MiB", 16 << 20 },
                 { "2G", (int64_t)2 << 30 },
                 { "1.5GiB", (int64_t)3 << 29 },
                 { "1KB", 1000 },
                 { "3 MB", 3000000 },
                 { "1T", (int64_t)1 << 40 },
                 { "0", 0 },
                 { "", -1 },
                 { "K", -1 },
                 { "1k", -1 },
                 { "-1", -1 },
                 { "1e3", -1 },
                 { "1.5.5M", -1 },
                 { "12X", -1 },
                 { "9999999999T", -1 },
                 { "01M", -1 },
                 { "1.M", -1 } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t v = -1;
        assert_int_equal(num_bytes(rows[i].s, &v), rows[i].v >= 0);
        assert_int_equal(v, rows[i].v);
    }
}

static void printing_is_as_python_prints(void **state)
{
    (void)state;
    static const struct {
        double v;
        const char *text;
    } rows[] = { { 0.01, "0.01" },
                 { 1e-5, "1e-05" },
                 { 3, "3.0" },
                 { 10, "10.0" },
                 { 100, "100.0" },
                 { 1e4, "10000.0" },
                 { 500000, "500000.0" },
                 { 1e15, "1000000000000000.0" },
                 { 1e16, "1e+16" },
                 { 1.5e300, "1.5e+300" },
                 { 0.0001, "0.0001" },
                 { 0.00001234, "1.234e-05" },
                 { -0.5, "-0.5" },
                 { 0, "0.0" },
                 { -0.0, "-0.0" },
                 { 5e-324, "5e-324" },
                 { 0.1 + 0.2, "0.30000000000000004" },
                 { 1.7976931348623157e308, "1.7976931348623157e+308" },
                 { 123456789012345680.0, "1.2345678901234568e+17" },
                 { (double)INFINITY, "null" },
                 { (double)NAN, "null" } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char t[32];
        int n = num_shortest(rows[i].v, t);
        assert_string_equal(t, rows[i].text);
        assert_int_equal(n, strlen(t));
    }
    char t[32];
    num_shortest_f(0.1F, t);
    assert_string_equal(t, "0.1");
    num_shortest_f(16777216.0F, t);
    assert_string_equal(t, "16777216.0");
    num_shortest_f(1e-45F, t);
    assert_string_equal(t, "1e-45");
}

static int digits(const char *s)
{
    int n = 0, zeros = 0;
    for (; *s && *s != 'e'; s++) {
        if (*s >= '1' && *s <= '9') {
            n += 1 + zeros;
            zeros = 0;
        } else if (*s == '0' && n)
            zeros++;
    }
    return n;
}

static void doubles_read_back_and_no_shorter_text_does(void **state)
{
    (void)state;
    uint64_t s = 0x9E3779B97F4A7C15u;
    for (int i = 0; i < 200000; i++) {
        uint64_t bits = i < 2046 ? (uint64_t)(i + 1) << 52 : next_bits(&s); /* all powers of two first */
        double v, back;
        char t[32], shorter[40];
        memcpy(&v, &bits, sizeof v);
        if (!isfinite(v))
            continue;
        int n = num_shortest(v, t);
        assert_int_equal(n, strlen(t));
        assert_true(n < 32);
        assert_true(num_real(t, &back));
        assert_memory_equal(&back, &v, sizeof v);
        int d = digits(t);
        if (d > 1) {
            snprintf(shorter, sizeof shorter, "%.*e", d - 2, v);
            assert_true(num_real(shorter, &back));
            assert_true(back != v);
        }
    }
}

static void floats_read_back(void **state)
{
    (void)state;
    uint64_t s = 42;
    for (int i = 0; i < 100000; i++) {
        uint32_t bits = i < 254 ? (uint32_t)(i + 1) << 23 : (uint32_t)next_bits(&s);
        float v, back;
        char t[32];
        double wide;
        memcpy(&v, &bits, sizeof v);
        if (!isfinite(v))
            continue;
        int n = num_shortest_f(v, t);
        assert_int_equal(n, strlen(t));
        assert_true(num_real(t, &wide));
        back = (float)wide;
        assert_memory_equal(&back, &v, sizeof v);
        assert_true(digits(t) <= 9);
    }
}

static void integers_read_back(void **state)
{
    (void)state;
    uint64_t s = 7;
    for (int i = 0; i < 100000; i++) {
        int64_t v = (int64_t)(next_bits(&s) >> (i % 64)), back = 0;
        char t[32];
        snprintf(t, sizeof t, "%lld", (long long)v);
        assert_true(num_int(t, &back));
        assert_true(back == v);
    }
}

static void sizes_for_people(void **state)
{
    (void)state;
    static const struct {
        double v;
        const char *text;
    } rows[] = { { 0, "0 B" },
                 { 640, "640 B" },
                 { 1024, "1.00 KiB" },
                 { 1.23 * 1073741824, "1.23 GiB" },
                 { 512.0 * 1048576, "512 MiB" },
                 { 1e30, "888178419700125 PiB" } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char t[32];
        assert_string_equal(num_human_bytes(rows[i].v, t), rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers),
        cmocka_unit_test(reals),
        cmocka_unit_test(sizes),
        cmocka_unit_test(printing_is_as_python_prints),
        cmocka_unit_test(doubles_read_back_and_no_shorter_text_does),
        cmocka_unit_test(floats_read_back),
        cmocka_unit_test(integers_read_back),
        cmocka_unit_test(sizes_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
