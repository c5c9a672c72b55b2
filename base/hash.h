/* hash.h - SHA-256 of bytes and files (OpenSSL's libcrypto), and 128-bit fingerprints made of it. */
#ifndef QP_BASE_HASH_H
#define QP_BASE_HASH_H
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

enum { HASH_HEX = 65 }; /* 64 digits and a NUL */
struct hash;            /* a running SHA-256 */
struct hash *hash_new(struct err *e);
int hash_add(struct hash *h, const void *p, size_t n, struct err *e);
int hash_hex(struct hash *h, char out[HASH_HEX], struct err *e); /* finishes and frees h */
void hash_free(struct hash *h);                                  /* NULL is allowed */
int hash_bytes(const void *p, size_t n, char out[HASH_HEX], struct err *e);
int hash_file(const char *path, char out[HASH_HEX], struct err *e); /* reads in pieces */
#endif
