/* bits.c - the bit streams: the published examples, and every width and length against one bit at a time. */
#include "help.h"

#include "io/containers/bits.h"

/* The definition: bit k of the stream is bit k % 32 of word k / 32. */
static void slow_pack(const uint8_t *u, int64_t n, int b, uint32_t *out)
{
    memset(out, 0, (size_t)bits_words(n, b) * 4);
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < b; k++)
            out[(i * b + k) / 32] |= (uint32_t)(u[i] >> k & 1) << ((i * b + k) % 32);
}

static void documented_examples(void **state)
{
    (void)state;
    const int8_t q4[8] = { -4, -2, 0, -2, 2, 0, -3, -5 }, zp[8] = { -3, 0, 2, 3, -3, 2, 0, 2 };
    const uint8_t u3[24] = { 4, 4, 5, 4, 5, 4, 4, 4, 4, 4, 4, 6, 4, 3, 4, 5, 4, 5, 5, 5, 3, 4, 3, 4 };
    uint32_t w[3];
    bits_pack((const uint8_t *)q4, 8, 4, 8, (uint8_t *)w);
    assert_int_equal(w[0], 0x358a6864);
    bits_pack((const uint8_t *)zp, 8, 4, 8, (uint8_t *)w);
    assert_int_equal(w[0], 0xa8a5ba85);
    bits_pack(u3, 24, 3, 0, (uint8_t *)w);
    assert_int_equal(w[0], 0x24925964);
    assert_int_equal(w[1], 0x3b6cb1cd);
    assert_int_equal(w[2], 0x8e); /* 72 bits */
}

static void every_width_and_length_round_trips(void **state)
{
    (void)state;
    for (int b = 1; b <= 8; b++)
        for (int64_t n = 0; n < 100; n++) {
            uint8_t u[100], code[100], back[101];
            uint32_t want[26], got[26];
            unsigned bias = 1u << (b - 1);
            int64_t words = bits_words(n, b);
            assert_int_equal(words, (n * b + 31) / 32);
            for (int64_t i = 0; i < n; i++) {
                u[i] = (uint8_t)((unsigned)(i * i * 37 + 11 * i + 5 * b) & ((1u << b) - 1));
                code[i] = (uint8_t)(u[i] - bias);
            }
            memset(got, 0xAA, sizeof got);
            slow_pack(u, n, b, want);
            bits_pack(code, n, b, bias, (uint8_t *)got);
            assert_memory_equal(got, want, (size_t)words * 4);
            assert_int_equal(got[words], 0xAAAAAAAA); /* nothing behind the last word */
            memset(back, 0x55, sizeof back);
            bits_unpack((uint8_t *)got, n, b, bias, back);
            assert_memory_equal(back, code, (size_t)n);
            assert_int_equal(back[n], 0x55);
            for (int64_t i = 0; i < n; i++)
                assert_int_equal(bits_at((uint8_t *)got, 1, i, b), u[i]);
        }
}

static void columns_of_words_are_read_with_a_stride(void **state)
{
    (void)state;
    for (int b = 1; b <= 8; b++) {
        uint8_t u[40];
        uint32_t line[10], table[30];
        for (int i = 0; i < 40; i++)
            u[i] = (uint8_t)((unsigned)(i * 29 + b) & ((1u << b) - 1));
        slow_pack(u, 40, b, line);
        memset(table, 0xFF, sizeof table);
        for (int64_t w = 0; w < bits_words(40, b); w++)
            table[3 * w + 1] = line[w];
        for (int i = 0; i < 40; i++)
            assert_int_equal(bits_at((uint8_t *)(table + 1), 3, i, b), u[i]);
    }
}

static void padded_words_hold_whole_codes(void **state)
{
    (void)state;
    for (int b = 1; b <= 8; b++)
        for (int64_t n = 0; n < 70; n++) {
            int per = 32 / b;
            uint32_t words[70] = { 0 };
            uint8_t code[71];
            for (int64_t i = 0; i < n; i++)
                words[i / per] |= ((uint32_t)(i * 7 + b) & ((1u << b) - 1)) << (i % per * b);
            assert_int_equal(bits_padded_words(n, b), (n + per - 1) / per);
            memset(code, 0x55, sizeof code);
            bits_unpack_padded((uint8_t *)words, n, b, 0, code);
            for (int64_t i = 0; i < n; i++) {
                assert_int_equal(code[i], (unsigned)(i * 7 + b) & ((1u << b) - 1));
                assert_int_equal(bits_padded_at((uint8_t *)words, 1, i, b), code[i]);
            }
            assert_int_equal(code[n], 0x55);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documented_examples),
        cmocka_unit_test(every_width_and_length_round_trips),
        cmocka_unit_test(columns_of_words_are_read_with_a_stride),
        cmocka_unit_test(padded_words_hold_whole_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
