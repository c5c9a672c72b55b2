/* grid.c - the int grid: which arguments it takes, its parameters by hand, ties, clamps, and that a decoded value rounds
 * to its own code in every dtype and width. */
#include "help.h"
#include "quant/grids/round.h"
#include <string.h>

static struct grid_layout layout_of(int bits, int symmetric, enum dtype t)
{
    struct quant_args a = int_args(bits, symmetric, STRATEGY_CHANNEL, -1);
    struct grid_layout l;
    assert_int_equal(layout_init(&l, &a, 1, 8, t, NULL), 0);
    return l;
}

static const struct grid *the_grid(void) { return grid_find("int"); }

static void rounding_to_16_bits_equals_dtype_round_for_every_exponent(void **state)
{
    (void)state;
    static const uint32_t tails[] = { 0,      1,       0xfff,   0x1000,  0x1001,   0x1fff,
                                      0x2000, 0x2fff,  0x3000,  0x7fff,  0x8000,   0x8001,
                                      0xffff, 0x17fff, 0x18000, 0x18001, 0x7ff000, 0x7fffff };
    for (uint32_t high = 0; high < 0x200; high++)
        for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++)
            for (uint32_t step = 0; step < 64; step++) {
                uint32_t u = (high << 23) | ((tails[i] + step * 0x20000u) & 0x7fffffu);
                float x, want[2], got[2];
                memcpy(&x, &u, sizeof x);
                if (x != x)
                    continue;
                want[0] = dtype_round(DT_BF16, x);
                want[1] = dtype_round(DT_F16, x);
                got[0] = round_bf16(x);
                got[1] = round_f16(x);
                if (memcmp(want, got, sizeof want) != 0)
                    fail_msg("%a: bf16 %a, want %a; f16 %a, want %a", (double)x, (double)got[0],
                             (double)want[0], (double)got[1], (double)want[1]);
            }
    assert_true(round_bf16(NAN) != round_bf16(NAN) && round_f16(NAN) != round_f16(NAN));
}

static void parameters_are_those_of_the_formulas(void **state)
{
    (void)state;
    static const struct {
        int bits, symmetric;
        enum dtype t;
        float min, max, scale;
        int zero;
    } cases[] = {
        { 4, 1, DT_F32, -3.0f, 1.5f, 3.0f / 7.5f, 0 },
        { 8, 1, DT_F32, -1.0f, 255.0f, 2.0f, 0 },
        { 2, 1, DT_F32, -3.0f, 3.0f, 2.0f, 0 },
        { 4, 0, DT_F32, -2.0f, 5.5f, 0.5f, -4 },
        { 4, 0, DT_F32, 1.0f, 7.5f, 0.5f, -8 },  /* all positive: zero stays in range */
        { 4, 0, DT_F32, -7.5f, -1.0f, 0.5f, 7 }, /* all negative */
        { 4, 0, DT_F32, 0.0f, 0.0f, 0x1p-23f, 0 },
        { 4, 1, DT_BF16, 0.0f, 0.0f, 0x1p-7f, 0 },
        { 4, 1, DT_F16, 0.0f, 0.0f, 0x1p-10f, 0 },
        { 4, 1, DT_BF16, -1.0f, 0.5f, 0x1.12p-3f, 0 }, /* 1/7.5 = 0x1.1111p-3 */
        { 4, 1, DT_F16, -1.0f, 0.5f, 0x1.110p-3f, 0 },
        { 8, 0, DT_BF16, -1.0f, 1.0f, 0x1.02p-7f, -1 }, /* 2/255; 128 - 1/s = 0.99.. in bf16, half even */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct grid_layout l = layout_of(cases[i].bits, cases[i].symmetric, cases[i].t);
        float scale;
        int8_t zero = 99;
        the_grid()->params(&l, 0, cases[i].min, cases[i].max, &scale, &zero);
        if (scale != cases[i].scale || zero != cases[i].zero)
            fail_msg("case %d: scale %a, zero %d; want %a, %d", (int)i, (double)scale, zero,
                     (double)cases[i].scale, cases[i].zero);
    }
}

static void ties_go_to_even_after_the_clamp(void **state)
{
    (void)state;
    static const float x[] = { 7.5f,  -7.5f, 0.5f,   1.5f,  -0.5f,  6.5f,
                               -8.5f, 99.0f, -99.0f, 1e30f, -1e30f, 2.4999998f };
    static const int8_t want[] = { 7, -8, 0, 2, 0, 6, -8, 7, -8, 7, -8, 2 };
    struct grid_layout l = layout_of(4, 1, DT_F32);
    int8_t codes[12], own[12], each[12];
    float decoded[12], ones[12], zeros[12] = { 0 };
    for (int i = 0; i < 12; i++)
        ones[i] = 1.0f;
    the_grid()->round(&l, x, 12, 1.0f, 0, codes, NULL);
    the_grid()->round_own(&l, x, 12, 1.0f, 0, own, decoded);
    struct k_number number;
    the_grid()->number(&l, &number);
    k_round_each(&number, 12, x, ones, zeros, each, decoded);
    same_codes(codes, want, 12);
    same_codes(own, want, 12);
    same_codes(each, want, 12);
    for (int i = 0; i < 12; i++)
        assert_true(decoded[i] == (float)want[i]);
}

static void half_precision_arithmetic_rounds_quotient_and_sum(void **state)
{
    (void)state;
    /* 1.003 / 2 in bf16 is 0.5, which goes to 0; in float32 it is above 0.5 and goes to 1. */
    struct grid_layout l = layout_of(4, 1, DT_BF16);
    float x = 1.003f;
    int8_t own, plain;
    the_grid()->round_own(&l, &x, 1, 2.0f, 0, &own, NULL);
    the_grid()->round(&l, &x, 1, 2.0f, 0, &plain, NULL);
    assert_int_equal(own, 0);
    assert_int_equal(plain, 1);
    /* 100.25 + 28 = 128.25; bf16 has no quarters there, nor halves above 128. */
    l = layout_of(8, 0, DT_BF16);
    x = 100.5f;
    the_grid()->round_own(&l, &x, 1, 1.0f, -99, &own, NULL);
    assert_int_equal(own, 2); /* 100.5 - 99 = 1.5, to even */
}

/* Does t tell all multiples up to most * scale apart, so that a quotient comes back within 1/2? BF16 has 8 significant
 * bits: half a step is up to most / 256. In its own arithmetic the quotient is rounded once more. */
static int comes_back(enum dtype t, int most, int own) { return t != DT_BF16 || most <= (own ? 63 : 127); }

static void check_width(const struct grid_layout *l, float scale, int zero)
{
    int bits = l->args.num_bits, lo = -(1 << (bits - 1)), hi = -lo - 1;
    int most = hi - zero > zero - lo ? hi - zero : zero - lo;
    float x[256], again[256];
    int8_t codes[256], own[256];
    for (int c = lo; c <= hi; c++)
        x[c - lo] = round_to(l->scale_dtype, (float)(c - zero) * scale);
    the_grid()->round(l, x, hi - lo + 1, scale, zero, codes, again);
    the_grid()->round_own(l, x, hi - lo + 1, scale, zero, own, NULL);
    for (int c = lo; c <= hi; c++) {
        if (comes_back(l->scale_dtype, most, 0) && (codes[c - lo] != c || again[c - lo] != x[c - lo]))
            fail_msg("%d bits, scale %a, zero %d: %d came back as %d", bits, (double)scale, zero, c,
                     codes[c - lo]);
        if (comes_back(l->scale_dtype, most, 1) && own[c - lo] != c)
            fail_msg("own, %d bits, scale %a, zero %d: %d came back as %d", bits, (double)scale, zero, c,
                     own[c - lo]);
        assert_in_range(own[c - lo] - c + 2, 1, 3); /* never further than a neighbour */
    }
}

static void a_decoded_value_rounds_to_its_own_code_where_the_dtype_can_tell_codes_apart(void **state)
{
    (void)state;
    static const enum dtype ts[] = { DT_F32, DT_BF16, DT_F16 };
    float *s = numbers(5, 200, 0.2f);
    for (int b = 2; b <= 8; b++)
        for (int t = 0; t < 3; t++)
            for (int i = 0; i < 200; i++) {
                struct grid_layout l = layout_of(b, 0, ts[t]);
                int lo = -(1 << (b - 1)), hi = -lo - 1;
                check_width(&l, round_to(ts[t], fabsf(s[i]) + 1e-3f), lo + i * (hi - lo) / 199);
            }
    mem_free(s);
}

static void decoding_equals_qtensor_decode(void **state)
{
    (void)state;
    float *w = numbers(8, 24 * 64, 0.1f), out[64], decoded[64];
    struct quant_args a = int_args(5, 0, STRATEGY_GROUP, 64);
    struct qtensor q;
    fitted(&q, &a, w, 24, 64, DT_F16);
    for (int64_t r = 0; r < 24; r++) {
        the_grid()->round(&q.layout, w + r * 64, 64, q.scale[r], q.zero[r], q.codes + r * 64, decoded);
        qtensor_decode(&q, r, 1, out);
        same_floats(out, decoded, 64);
    }
    qtensor_release(&q);
    mem_free(w);
}

static void refused(const struct quant_args *a, enum err_code code, const char *what)
{
    struct err e = { 0 };
    assert_null(grid_for(a, &e));
    assert_int_equal(e.code, code);
    assert_string_equal(e.what, what);
}

static void what_no_grid_realises_is_refused_by_name(void **state)
{
    (void)state;
    struct quant_args a = int_args(4, 1, STRATEGY_GROUP, 32);
    struct err e = { 0 };
    char word[96], text[256];
    assert_ptr_equal(grid_for(&a, &e), the_grid());
    a.type = QUANT_FLOAT;
    a.num_bits = 6;
    snprintf(text, sizeof text, "weights %s: no grid of this version realises them",
             quant_args_word(&a, word));
    refused(&a, ERR_UNBUILT, text);
    assert_null(grid_for(&a, &e));
    assert_string_equal(
        e.hint,
        "Grids that exist: int (2 to 8 bits; tensor, channel, group, block; symmetric or not); fp8 (E4M3; tensor, "
        "channel, group, block; symmetric); nvfp4 (E2M1; tensor_group 16, E4M3 scales); mxfp4 (E2M1; group 32, "
        "E8M0 scales); mxfp8 (E4M3; group 32, E8M0 scales).");
    a = int_args(1, 1, STRATEGY_GROUP, 32);
    refused(&a, ERR_INPUT, "num_bits: found 1, expected 2 to 8 for type int");
    a = int_args(4, 1, STRATEGY_TOKEN, 0);
    refused(&a, ERR_INPUT, "strategy: found token for weights, expected tensor, channel, group or block");
    a = int_args(4, 1, STRATEGY_CHANNEL, 0);
    a.dynamic = DYNAMIC_TRUE;
    refused(&a, ERR_INPUT, "dynamic: found true for weights, expected false: weights are rounded once");
    assert_null(grid_find("fp4"));
}

int main(void)
{
    kernels_init(NULL, 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounding_to_16_bits_equals_dtype_round_for_every_exponent),
        cmocka_unit_test(parameters_are_those_of_the_formulas),
        cmocka_unit_test(ties_go_to_even_after_the_clamp),
        cmocka_unit_test(half_precision_arithmetic_rounds_quotient_and_sum),
        cmocka_unit_test(a_decoded_value_rounds_to_its_own_code_where_the_dtype_can_tell_codes_apart),
        cmocka_unit_test(decoding_equals_qtensor_decode),
        cmocka_unit_test(what_no_grid_realises_is_refused_by_name),
    };
    return cmocka_run_group_tests_name("quant grids", tests, NULL, NULL);
}
