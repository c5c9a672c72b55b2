/* fuzz_tokenizer.c - a tokenizer.json and a text behind it, with a NUL between. Where the file is accepted, the text is
 * encoded twice (the second time from the cache of words) and decoded: both must agree, ids stay in range, and failures
 * have a code and a text. */
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
    if (!ok)
        abort();
}

static int said(const struct err *e)
{
    return e->what[0] &&
           (e->code == ERR_INPUT || e->code == ERR_LIMIT || e->code == ERR_UNBUILT || e->code == ERR_NOMEM);
}

static void use(struct tokenizer *t, const char *text, size_t n)
{
    struct err e = { 0 }, e2 = { 0 };
    struct ids a = { 0 }, b = { 0 };
    struct buf out = { 0 };
    int rc = tokenizer_encode(t, text, n, true, &a, &e), rc2 = tokenizer_encode(t, text, n, true, &b, &e2);
    check(rc == rc2);
    if (rc) {
        check(said(&e));
    } else {
        check(a.n == b.n && (!a.n || !memcmp(a.v, b.v, a.n * sizeof *a.v)));
        for (size_t i = 0; i < a.n; i++)
            check(a.v[i] >= 0 && a.v[i] < tokenizer_size(t));
        check(!tokenizer_decode(t, a.v, a.n, false, &out, &e) || said(&e));
    }
    ids_release(&a);
    ids_release(&b);
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data, *end = size ? memchr(p, 0, size) : NULL;
    size_t n = end ? (size_t)(end - p) : size;
    struct err e = { 0 };
    struct tokenizer *t = tokenizer_parse(size ? p : "", n, "fuzz", &e);
    if (!t) {
        check(said(&e));
        return 0;
    }
    use(t, end ? end + 1 : "", end ? size - n - 1 : 0);
    tokenizer_free(t);
    return 0;
}
