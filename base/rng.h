/* rng.h - counter-based random numbers (Philox4x32-10, Salmon et al. 2011): a value depends on seed, stream and
 * index only, never on how many were drawn before, by whom, or in which order. */
#ifndef QP_BASE_RNG_H
#define QP_BASE_RNG_H
#include <stdint.h>

void rng_block(uint64_t seed, uint64_t stream, uint64_t index, uint32_t out[4]);
uint64_t rng_u64(uint64_t seed, uint64_t stream, uint64_t index);
double rng_unit(uint64_t seed, uint64_t stream, uint64_t index);                /* [0, 1), 53 bits */
uint64_t rng_below(uint64_t seed, uint64_t stream, uint64_t index, uint64_t n); /* [0, n), n > 0, unbiased */
/* rng_permutation - a random order of 0..n-1 (Fisher-Yates from the end). */
void rng_permutation(uint64_t seed, uint64_t stream, uint64_t n, uint64_t *out);
#endif
