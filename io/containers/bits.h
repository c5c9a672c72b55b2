/* bits.h - codes of 1 to 8 bits as a stream, least significant bit first, code i at bit i*b, in little-endian 32-bit
 * words that a code may cross. compressed-tensors (>= 0.18), GPTQ and MLX store this; only their order of codes differs.
 * Bytes in memory are the bytes in the file: eight codes are always b whole bytes, and words show only at the end. */
#ifndef QP_IO_BITS_H
#define QP_IO_BITS_H
#include <stdint.h>

/* Words of a stream of n codes: ceil(n * b / 32). */
int64_t bits_words(int64_t n, int b);
/* bits_pack - n codes to out, 4 * bits_words(n, b) bytes, unused bits zero. Stored is (code + bias) modulo 2^b: bias
 * 2^(b-1) for signed codes (offset binary), 0 for unsigned ones. int8_t arrays may be passed as uint8_t.
 * bits_unpack - the way back: code = stored - bias, modulo 256. */
void bits_pack(const uint8_t *code, int64_t n, int b, unsigned bias, uint8_t *out);
void bits_unpack(const uint8_t *in, int64_t n, int b, unsigned bias, uint8_t *code);

/* The older layout of compressed-tensors <= 0.17: floor(32 / b) codes a word, idle bits at its top; the same as the
 * stream for 1, 2, 4, 8 bits. Read only. */
int64_t bits_padded_words(int64_t n, int b);
void bits_unpack_padded(const uint8_t *in, int64_t n, int b, unsigned bias, uint8_t *code);
/* bits_at - code i of a stream whose words lie `stride` words apart (a packed column); stored value, no bias. */
unsigned bits_at(const uint8_t *in, int64_t stride, int64_t i, int b);
unsigned bits_padded_at(const uint8_t *in, int64_t stride, int64_t i, int b);
#endif
