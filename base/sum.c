/* sum.c - four lanes of (xor, rotate, multiply by an odd constant), folded and mixed at the end. Words are read as
 * little-endian, which is all that this program runs on (base/num.c checks nothing else either). */
#include "base/sum.h"

#include <string.h>

static const uint64_t odd[4] = { UINT64_C(0x9E3779B97F4A7C15), UINT64_C(0xC2B2AE3D27D4EB4F),
                                 UINT64_C(0xD6E8FEB86659FD93), UINT64_C(0xA0761D6478BD642F) };

static uint64_t rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }

static uint64_t word(const unsigned char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return w;
}

static uint64_t step(uint64_t lane, uint64_t w, uint64_t by) { return rotate(lane ^ (w * by), 29) * odd[0]; }

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 31) * odd[1];
    x = (x ^ x >> 29) * odd[2];
    return x ^ x >> 32;
}

uint64_t sum_bytes(const void *data, size_t n, uint64_t seed)
{
    const unsigned char *p = data;
    uint64_t lane[4], out = mix(seed + n);
    size_t left = n;
    for (int i = 0; i < 4; i++)
        lane[i] = seed + odd[i];
    for (; left >= 32; left -= 32, p += 32)
        for (int i = 0; i < 4; i++)
            lane[i] = step(lane[i], word(p + 8 * i), odd[1]);
    for (int i = 0; i < 4; i++)
        out = mix(out ^ lane[i]) * odd[3] + (uint64_t)i;
    for (; left >= 8; left -= 8, p += 8)
        out = step(out, word(p), odd[2]);
    for (; left; left--, p++)
        out = step(out, *p + UINT64_C(1), odd[3]);
    return mix(out);
}
