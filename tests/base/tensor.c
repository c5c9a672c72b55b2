/* tensor.c - tests of base/tensor: every bit pattern of the small floats against the definition of its format, and
 * rounding against a search over all values of the format. */
#include "base/tensor.h"
#include "tests/base/check.h"

#include <math.h>
#include <stdlib.h>

/* The definition of an IEEE-like format, in doubles: sign, exponent bits, mantissa bits, bias. */
static double value(unsigned bits, int exp_bits, int mant_bits)
{
    int bias = (1 << (exp_bits - 1)) - 1;
    unsigned m = bits & ((1u << mant_bits) - 1), x = bits >> mant_bits & ((1u << exp_bits) - 1);
    double v = x ? (1.0 + m / (double)(1 << mant_bits)) * pow(2, (int)x - bias)
                 : m / (double)(1 << mant_bits) * pow(2, 1 - bias);
    return bits >> (exp_bits + mant_bits) & 1 ? -v : v;
}

static void is_float(float got, double want)
{
    if (isnan(want)) {
        assert_true(isnan(got));
        return;
    }
    assert_true((double)got == want);
    assert_int_equal(signbit(got) != 0, signbit(want) != 0);
}

static void all_patterns_of_16_bits(void **state)
{
    (void)state;
    for (unsigned b = 0; b < 1 << 16; b++) {
        uint16_t h = (uint16_t)b;
        float f;
        dtype_to_f32(DT_F16, &h, 1, &f);
        is_float(f, (b & 0x7FFF) > 0x7C00    ? (double)NAN
                    : (b & 0x7FFF) == 0x7C00 ? (b >> 15 ? (double)-INFINITY : (double)INFINITY)
                                             : value(b, 5, 10));
        dtype_to_f32(DT_BF16, &h, 1, &f);
        is_float(f, (b & 0x7FFF) > 0x7F80    ? (double)NAN
                    : (b & 0x7FFF) == 0x7F80 ? (b >> 15 ? (double)-INFINITY : (double)INFINITY)
                                             : value(b, 8, 7));
    }
}

static void all_patterns_of_8_bits(void **state)
{
    (void)state;
    for (unsigned b = 0; b < 256; b++) {
        uint8_t c = (uint8_t)b;
        float f;
        dtype_to_f32(DT_F8_E4M3, &c, 1, &f);
        is_float(f, (b & 0x7F) == 0x7F ? (double)NAN : value(b, 4, 3));
        dtype_to_f32(DT_F8_E5M2, &c, 1, &f);
        is_float(f, (b & 0x7F) > 0x7C    ? (double)NAN
                    : (b & 0x7F) == 0x7C ? (b >> 7 ? (double)-INFINITY : (double)INFINITY)
                                         : value(b, 5, 2));
        dtype_to_f32(DT_F8_E8M0, &c, 1, &f);
        is_float(f, b == 255 ? (double)NAN : pow(2, (int)b - 127));
    }
}

/* The nearest finite value of a format by bisection over its non-negative patterns 0..last; ties to the even pattern;
 * at `over` and above: the pattern `top`. */
static unsigned nearest(double x, int exp_bits, int mant_bits, unsigned last, double over, unsigned top)
{
    double a = fabs(x);
    unsigned sign = signbit(x) ? 1u << (exp_bits + mant_bits) : 0, lo = 0, hi = last;
    if (a >= over)
        return sign | top;
    if (a >= value(last, exp_bits, mant_bits))
        return sign | last;
    while (hi - lo > 1) {
        unsigned mid = (lo + hi) / 2;
        if (value(mid, exp_bits, mant_bits) <= a)
            lo = mid;
        else
            hi = mid;
    }
    double down = a - value(lo, exp_bits, mant_bits), up = value(hi, exp_bits, mant_bits) - a;
    return sign | (down < up || (down == up && !(lo & 1)) ? lo : hi);
}

static void rounds(float x)
{
    uint16_t h;
    uint8_t b;
    dtype_from_f32(DT_F16, &x, 1, &h);
    assert_int_equal(h, nearest((double)x, 5, 10, 0x7BFF, 65520, 0x7C00));
    dtype_from_f32(DT_BF16, &x, 1, &h);
    assert_int_equal(h, nearest((double)x, 8, 7, 0x7F7F, 0x1.FFp127, 0x7F80));
    dtype_from_f32(DT_F8_E4M3, &x, 1, &b);
    assert_int_equal(b, nearest((double)x, 4, 3, 0x7E, 448, 0x7E));
}

static float float_of(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static void random_floats_round_to_nearest_even(void **state)
{
    (void)state;
    uint64_t s = 99;
    for (int i = 0; i < 300000; i++) {
        float x = float_of((uint32_t)next_bits(&s));
        if (isfinite(x))
            rounds(x);
        x = float_of((uint32_t)(next_bits(&s) % (48u << 23)) +
                     (100u << 23)); /* where the small formats live */
        rounds(x);
        rounds(-x);
    }
    rounds(0.0F);
    rounds(-0.0F);
}

/* Halfway points between neighbours, and the floats on either side of them: where rounding goes wrong. */
static void halfway_points_round_to_even(void **state)
{
    (void)state;
    static const struct {
        int exp_bits, mant_bits;
        unsigned last;
    } rows[] = { { 5, 10, 0x7BFF }, { 8, 7, 0x7F7F }, { 4, 3, 0x7E } };
    for (size_t k = 0; k < COUNT(rows); k++)
        for (unsigned b = 0; b < rows[k].last; b++) {
            double half = 0.5 * (value(b, rows[k].exp_bits, rows[k].mant_bits) +
                                 value(b + 1, rows[k].exp_bits, rows[k].mant_bits));
            float x = (float)half;
            assert_true((double)x == half);
            rounds(x);
            rounds(-x);
            rounds(nextafterf(x, INFINITY));
            rounds(nextafterf(x, 0));
        }
}

static void not_finite_and_too_large(void **state)
{
    (void)state;
    static const float in[] = {
        INFINITY, -INFINITY, NAN, 65519.996F, 65520.0F, 3.4028235e38F, 449.0F, -1e9F
    };
    uint16_t h[8], bf[8];
    uint8_t b[8];
    dtype_from_f32(DT_F16, in, 8, h);
    dtype_from_f32(DT_BF16, in, 8, bf);
    dtype_from_f32(DT_F8_E4M3, in, 8, b);
    static const uint16_t half[] = { 0x7C00, 0xFC00, 0, 0x7BFF, 0x7C00, 0x7C00 },
                          brain[] = { 0x7F80, 0xFF80 };
    static const uint8_t f8[] = { 0x7E, 0xFE, 0, 0x7E, 0x7E, 0x7E, 0x7E, 0xFE };
    for (int i = 0; i < 6; i++)
        if (i == 2)
            assert_true((h[i] & 0x7FFF) > 0x7C00);
        else
            assert_int_equal(h[i], half[i]);
    assert_int_equal(bf[0], brain[0]);
    assert_int_equal(bf[1], brain[1]);
    assert_true((bf[2] & 0x7FFF) > 0x7F80);
    assert_int_equal(bf[5], 0x7F80); /* rounds up to infinity */
    for (int i = 0; i < 8; i++)
        if (i != 2)
            assert_int_equal(b[i], f8[i]);
    assert_int_equal(b[2] & 0x7F, 0x7F);
    /* NaNs with any payload stay NaNs: one whose payload is only in the bits that are dropped, too */
    float low = float_of(0x7F800001u);
    assert_true(isnan(dtype_round(DT_BF16, low)));
    assert_true(isnan(dtype_round(DT_F16, low)));
}

static void round_equals_there_and_back(void **state)
{
    (void)state;
    static const enum dtype t[] = { DT_BF16, DT_F16, DT_F32 };
    uint64_t s = 5;
    for (int i = 0; i < 100000; i++) {
        float x = float_of((uint32_t)next_bits(&s)), y;
        if (isnan(x))
            continue;
        for (size_t k = 0; k < COUNT(t); k++) {
            unsigned char there[4];
            dtype_from_f32(t[k], &x, 1, there);
            dtype_to_f32(t[k], there, 1, &y);
            float z = dtype_round(t[k], x);
            assert_memory_equal(&z, &y, sizeof y);
        }
    }
}

static void integers_and_doubles_round_to_nearest(void **state)
{
    (void)state;
    static const int64_t i64[] = { 16777217, -16777219, INT64_MAX, INT64_MIN, 0 };
    static const double f64[] = { 1e40, 16777217.0, -0.1 };
    static const uint8_t u8[] = { 0, 255 };
    static const int8_t i8[] = { -128, 127 };
    static const uint32_t u32[] = { UINT32_MAX };
    float f[5];
    dtype_to_f32(DT_I64, i64, 5, f);
    assert_true(f[0] == 16777216.0F && f[1] == -16777220.0F && f[2] == 0x1p63F && f[3] == -0x1p63F &&
                f[4] == 0.0F);
    dtype_to_f32(DT_F64, f64, 3, f);
    assert_true(isinf(f[0]) && f[1] == 16777216.0F && f[2] == -0.1F);
    dtype_to_f32(DT_U8, u8, 2, f);
    assert_true(f[0] == 0.0F && f[1] == 255.0F);
    dtype_to_f32(DT_I8, i8, 2, f);
    assert_true(f[0] == -128.0F && f[1] == 127.0F);
    dtype_to_f32(DT_U32, u32, 1, f);
    assert_true(f[0] == 0x1p32F);
}

static void names_both_ways(void **state)
{
    (void)state;
    for (int t = 0; t < DT_COUNT; t++) {
        char text[64];
        assert_int_equal(dtype_find(dtypes[t].name), t);
        assert_int_equal(dtype_find_torch(dtypes[t].torch), t);
        snprintf(text, sizeof text, "torch.%s", dtypes[t].torch);
        assert_int_equal(dtype_find_torch(text), t);
    }
    assert_int_equal(dtype_find("bf16"), -1);
    assert_int_equal(dtype_find(""), -1);
    assert_int_equal(dtype_find_torch("torch.torch.bfloat16"), -1);
    assert_int_equal(dtype_find_torch("torch."), -1);
}

static void sizes_of_views(void **state)
{
    (void)state;
    struct tensor_view v = { NULL, DT_BF16, 3, { 2, 3, 5 } }, scalar = { NULL, DT_F64, 0, { 0 } },
                       none = { NULL, DT_F32, 2, { 0, 7 } };
    assert_int_equal(view_elems(&v), 30);
    assert_int_equal(view_bytes(&v), 60);
    assert_int_equal(view_elems(&scalar), 1);
    assert_int_equal(view_bytes(&scalar), 8);
    assert_int_equal(view_elems(&none), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_patterns_of_16_bits),
        cmocka_unit_test(all_patterns_of_8_bits),
        cmocka_unit_test(random_floats_round_to_nearest_even),
        cmocka_unit_test(halfway_points_round_to_even),
        cmocka_unit_test(not_finite_and_too_large),
        cmocka_unit_test(round_equals_there_and_back),
        cmocka_unit_test(integers_and_doubles_round_to_nearest),
        cmocka_unit_test(names_both_ways),
        cmocka_unit_test(sizes_of_views),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
