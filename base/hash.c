/* hash.c - SHA-256 by OpenSSL's libcrypto (1.8 GB/s with SHA instructions). */
#include "base/hash.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

struct hash {
    EVP_MD_CTX *ctx;
};

struct hash *hash_new(struct err *e)
{
    struct hash *h = mem_alloc(sizeof *h, e);
    if (!h)
        return NULL;
    h->ctx = EVP_MD_CTX_new();
    if (!h->ctx || EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) != 1) {
        hash_free(h);
        err_nomem(e);
        return NULL;
    }
    return h;
}

void hash_free(struct hash *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->ctx);
    mem_free(h);
}

int hash_add(struct hash *h, const void *p, size_t n, struct err *e)
{
    return EVP_DigestUpdate(h->ctx, p, n) == 1
               ? 0
               : err_set(e, ERR_BUG, "libcrypto refused to hash %zu bytes", n);
}

int hash_hex(struct hash *h, char out[HASH_HEX], struct err *e)
{
    unsigned char d[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    int ok = EVP_DigestFinal_ex(h->ctx, d, &n) == 1 && n == 32;
    hash_free(h);
    if (!ok)
        return err_set(e, ERR_BUG, "libcrypto gave no SHA-256");
    for (unsigned i = 0; i < 32; i++) {
        out[2 * i] = "0123456789abcdef"[d[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[d[i] & 15];
    }
    out[64] = '\0';
    return 0;
}

int hash_bytes(const void *p, size_t n, char out[HASH_HEX], struct err *e)
{
    struct hash *h = hash_new(e);
    if (!h)
        return -1;
    if (hash_add(h, p, n, e)) {
        hash_free(h);
        return -1;
    }
    return hash_hex(h, out, e);
}

static int hash_fd(int fd, const char *path, struct hash *h, struct err *e)
{
    enum { PIECE = 1 << 17 };
    unsigned char *buf = mem_alloc(PIECE, e);
    if (!buf)
        return -1;
    int rc = -1;
    for (;;) {
        ssize_t n = read(fd, buf, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            err_io(e, "read", path);
        if (n <= 0) {
            rc = n < 0 ? -1 : 0;
            break;
        }
        if (hash_add(h, buf, (size_t)n, e))
            break;
    }
    mem_free(buf);
    return rc;
}

int hash_file(const char *path, char out[HASH_HEX], struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_io(e, "open", path);
    struct hash *h = hash_new(e);
    int rc = h ? hash_fd(fd, path, h, e) : -1;
    close(fd);
    if (rc) {
        hash_free(h);
        return -1;
    }
    return hash_hex(h, out, e);
}
