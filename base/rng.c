/* rng.c - Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011). */
#include "base/rng.h"

void rng_block(uint64_t seed, uint64_t stream, uint64_t index, uint32_t out[4])
{
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    uint32_t x[4] = { (uint32_t)index, (uint32_t)(index >> 32), (uint32_t)stream, (uint32_t)(stream >> 32) };
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * x[0], b = (uint64_t)0xCD9E8D57u * x[2];
        uint32_t y0 = (uint32_t)(b >> 32) ^ x[1] ^ k0, y2 = (uint32_t)(a >> 32) ^ x[3] ^ k1;
        x[1] = (uint32_t)b;
        x[3] = (uint32_t)a;
        x[0] = y0;
        x[2] = y2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < 4; i++)
        out[i] = x[i];
}

uint64_t rng_u64(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint32_t w[4];
    rng_block(seed, stream, index, w);
    return (uint64_t)w[1] << 32 | w[0];
}

double rng_unit(uint64_t seed, uint64_t stream, uint64_t index)
{
    return (double)(rng_u64(seed, stream, index) >> 11) * 0x1p-53;
}

uint64_t rng_below(uint64_t seed, uint64_t stream, uint64_t index, uint64_t n)
{
    /* The two 64-bit words of a block make a 128-bit fraction: the bias of its high product is below n / 2^128. */
    uint32_t w[4];
    rng_block(seed, stream, index, w);
    uint64_t lo = (uint64_t)w[3] << 32 | w[2], hi = (uint64_t)w[1] << 32 | w[0];
    __extension__ typedef unsigned __int128 u128;
    u128 carry = (u128)lo * n >> 64;
    return (uint64_t)(((u128)hi * n + carry) >> 64);
}

void rng_permutation(uint64_t seed, uint64_t stream, uint64_t n, uint64_t *out)
{
    for (uint64_t i = 0; i < n; i++)
        out[i] = i;
    for (uint64_t i = n; i > 1; i--) {
        uint64_t j = rng_below(seed, stream, i, i), t = out[i - 1];
        out[i - 1] = out[j];
        out[j] = t;
    }
}
