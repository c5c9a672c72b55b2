/* journal_file.c - records to bytes and back. Whatever a file holds, reading it is safe: lengths are held against the file's
 * before anything is touched, and a record whose checksum does not hold ends the reading. */
#include "cluster/journal_file.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/sum.h"

#include <string.h>

enum { HEAD = 16, KEY_MAX = 4096 };
#define JOURNAL_MAX (UINT64_C(1) << 34)

static const unsigned char magic[4] = { 'Q', 'P', 'J', '1' };
const char journal_identity_key[] = "identity";

int journal_encode(struct buf *out, const char *key, const void *value, size_t n, uint64_t *chain,
                   struct err *e)
{
    size_t before = out->len;
    uint32_t keys = (uint32_t)strlen(key);
    uint64_t values = n;
    BUG_ON(!keys || keys > KEY_MAX);
    if (buf_reserve(out, HEAD + keys + n + sizeof *chain, e) || buf_add(out, magic, sizeof magic, e) ||
        buf_add(out, &keys, sizeof keys, e) || buf_add(out, &values, sizeof values, e) ||
        buf_add(out, key, keys, e) || buf_add(out, value, n, e))
        return -1;
    *chain = sum_bytes(out->p + before, out->len - before, *chain);
    return buf_add(out, chain, sizeof *chain, e);
}

/* The record at p, of n bytes left: its size, or 0 when it is not whole. */
static uint64_t record_at(const unsigned char *p, uint64_t n, uint64_t chain, uint32_t *keys,
                          uint64_t *values, uint64_t *sum)
{
    if (n < HEAD + sizeof *sum || memcmp(p, magic, sizeof magic))
        return 0;
    memcpy(keys, p + 4, sizeof *keys);
    memcpy(values, p + 8, sizeof *values);
    if (!*keys || *keys > KEY_MAX || *values > n || HEAD + *keys + *values + sizeof *sum > n)
        return 0;
    uint64_t body = HEAD + *keys + *values;
    memcpy(sum, p + body, sizeof *sum);
    return sum_bytes(p, body, chain) == *sum ? body + sizeof *sum : 0;
}

static int scan(const unsigned char *p, uint64_t n, struct journal_cursor *c,
                int (*f)(void *arg, const char *key, const void *value, size_t n, struct err *e), void *arg,
                struct err *e)
{
    char key[KEY_MAX + 1];
    uint32_t keys;
    uint64_t values, sum, size;
    while (c->at <= n && (size = record_at(p + c->at, n - c->at, c->chain, &keys, &values, &sum))) {
        memcpy(key, p + c->at + HEAD, keys);
        key[keys] = '\0';
        if (f(arg, key, p + c->at + HEAD + keys, values, e))
            return -1;
        c->at += size;
        c->chain = sum;
    }
    return 0;
}

int journal_scan(const char *path, struct journal_cursor *c,
                 int (*f)(void *arg, const char *key, const void *value, size_t n, struct err *e), void *arg,
                 struct err *e)
{
    struct buf b = { 0 };
    if (!path_exists(path))
        return 0;
    int rc = file_read(path, JOURNAL_MAX, &b, e);
    rc = rc ? -1 : scan((const unsigned char *)b.p, b.len, c, f, arg, e);
    buf_release(&b);
    return rc;
}
