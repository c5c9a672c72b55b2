/* bits.c - the bit streams of bits.h. Groups of eight codes are moved through one 64-bit word; b is a constant in each
 * of the eight copies of the loops, so that compilers unroll and vectorise them. */
#include "io/containers/bits.h"

#include "base/err.h"

#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "bits.c takes the bytes of a word in memory order"
#endif

int64_t bits_words(int64_t n, int b) { return (n * b + 31) / 32; }

int64_t bits_padded_words(int64_t n, int b)
{
    int64_t per = 32 / b;
    return (n + per - 1) / per;
}

static inline uint64_t gather8(const uint8_t *code, int n, int b, unsigned bias)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++)
        v |= (uint64_t)((code[i] + bias) & ((1u << b) - 1)) << (i * b);
    return v;
}

static inline void scatter8(uint64_t v, int n, int b, unsigned bias, uint8_t *code)
{
    for (int i = 0; i < n; i++)
        code[i] = (uint8_t)((unsigned)(v >> (i * b) & ((1u << b) - 1)) - bias);
}

static inline void pack_whole(const uint8_t *code, int64_t octets, int b, unsigned bias, uint8_t *out)
{
    for (int64_t k = 0; k < octets; k++) {
        uint64_t v = gather8(code + 8 * k, 8, b, bias);
        memcpy(out + k * b, &v, (size_t)b);
    }
}

static inline void unpack_whole(const uint8_t *in, int64_t octets, int b, unsigned bias, uint8_t *code)
{
    for (int64_t k = 0; k < octets; k++) {
        uint64_t v = 0;
        memcpy(&v, in + k * b, (size_t)b);
        scatter8(v, 8, b, bias, code + 8 * k);
    }
}

#define EACH_WIDTH(b, CALL) \
    switch (b) {            \
    case 1: CALL(1); break; \
    case 2: CALL(2); break; \
    case 3: CALL(3); break; \
    case 4: CALL(4); break; \
    case 5: CALL(5); break; \
    case 6: CALL(6); break; \
    case 7: CALL(7); break; \
    case 8: CALL(8); break; \
    default: BUG_ON(1);     \
    }

void bits_pack(const uint8_t *code, int64_t n, int b, unsigned bias, uint8_t *out)
{
    int64_t octets = n / 8, at = octets * b;
    int rest = (int)(n % 8);
#define PACK(B) pack_whole(code, octets, B, bias, out)
    EACH_WIDTH(b, PACK)
#undef PACK
    memset(out + at, 0, (size_t)(4 * bits_words(n, b) - at));
    uint64_t v = gather8(code + 8 * octets, rest, b, bias);
    memcpy(out + at, &v, (size_t)((rest * b + 7) / 8));
}

void bits_unpack(const uint8_t *in, int64_t n, int b, unsigned bias, uint8_t *code)
{
    int64_t octets = n / 8;
    int rest = (int)(n % 8);
#define UNPACK(B) unpack_whole(in, octets, B, bias, code)
    EACH_WIDTH(b, UNPACK)
#undef UNPACK
    uint64_t v = 0;
    memcpy(&v, in + octets * b, (size_t)((rest * b + 7) / 8));
    scatter8(v, rest, b, bias, code + 8 * octets);
}

static uint32_t word_at(const uint8_t *in, int64_t i)
{
    uint32_t w;
    memcpy(&w, in + 4 * i, sizeof w);
    return w;
}

void bits_unpack_padded(const uint8_t *in, int64_t n, int b, unsigned bias, uint8_t *code)
{
    int per = 32 / b;
    for (int64_t i = 0; i < n; i += per) {
        int k = n - i < per ? (int)(n - i) : per;
        scatter8(word_at(in, i / per), k, b, bias, code + i);
    }
}

unsigned bits_at(const uint8_t *in, int64_t stride, int64_t i, int b)
{
    int64_t w = i * b / 32;
    int shift = (int)(i * b % 32);
    uint64_t v = word_at(in, w * stride);
    if (shift + b > 32)
        v |= (uint64_t)word_at(in, (w + 1) * stride) << 32;
    return (unsigned)(v >> shift & ((1u << b) - 1));
}

unsigned bits_padded_at(const uint8_t *in, int64_t stride, int64_t i, int b)
{
    int per = 32 / b;
    return word_at(in, i / per * stride) >> (i % per * b) & ((1u << b) - 1);
}
