/* sum.h - a 64-bit checksum of bytes, at several bytes a clock: tells accidents (a torn write, a file that changed under us)
 * and is no protection against intent: what is published is hashed with SHA-256 (hash.h). */
#ifndef QP_BASE_SUM_H
#define QP_BASE_SUM_H
#include <stddef.h>
#include <stdint.h>

uint64_t sum_bytes(const void *p, size_t n, uint64_t seed);
#endif
