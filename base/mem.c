/* mem.c - the heap behind one door. Each block carries a header of 64 bytes with its size, so that use and peak are
 * known exactly and big blocks stay 64-byte aligned. The n-th allocation can be made to fail by tests.
 *
 * Blocks of a MiB and more are mappings of their own, in pages of 2 MiB where the system has them: they come zeroed without a
 * pass over them, cost few page faults, and give their memory back when freed, so that what is resident follows what is in use. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HEADER = 64, BIG = 1 << 20, HUGE_PAGE = 1 << 21 };
struct header {
    size_t size;
    size_t mapped; /* bytes of a mapping that begins here; 0: from malloc */
};

static _Atomic uint64_t in_use, in_use_peak, blocks;
static _Atomic uint64_t calls, fail_at;
static _Atomic int fail_forever, env_read;

static void read_env(void)
{
    if (atomic_exchange(&env_read, 1))
        return;
    const char *s = getenv("QPIPE_FAIL_ALLOC");
    uint64_t n = 0;
    for (; s && *s >= '0' && *s <= '9'; s++)
        n = n * 10 + (uint64_t)(*s - '0');
    if (n)
        mem_fail_at(n, 1);
}

static int refused(void)
{
    if (!atomic_load_explicit(&env_read, memory_order_relaxed))
        read_env();
    uint64_t mine = atomic_fetch_add(&calls, 1) + 1,
             at = atomic_load_explicit(&fail_at, memory_order_relaxed);
    return at && (mine == at || (mine > at && atomic_load(&fail_forever)));
}

static void count_in(size_t n)
{
    uint64_t now = atomic_fetch_add(&in_use, n) + n, peak = atomic_load(&in_use_peak);
    while (now > peak && !atomic_compare_exchange_weak(&in_use_peak, &peak, now))
        ;
    atomic_fetch_add(&blocks, 1);
}

static void count_out(size_t n)
{
    atomic_fetch_sub(&in_use, n);
    atomic_fetch_sub(&blocks, 1);
}

static struct header *header_of(void *p) { return (struct header *)(void *)((char *)p - HEADER); }

static struct header *take_mapping(size_t n)
{
    void *p = mmap(NULL, n + HEADER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
#ifdef MADV_HUGEPAGE
    if (n >= HUGE_PAGE)
        (void)madvise(p, n + HEADER, MADV_HUGEPAGE);
#endif
    struct header *h = p;
    h->mapped = n + HEADER;
    return h;
}

static struct header *take_small(size_t n)
{
    void *p = aligned_alloc(HEADER, (n + 2 * HEADER - 1) / HEADER * HEADER);
    if (p)
        memset(p, 0, n + HEADER);
    return p;
}

/* Under a sanitizer every block is its own business to watch. */
#if defined(__SANITIZE_ADDRESS__)
enum { WATCHED = 1 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
enum { WATCHED = 1 };
#else
enum { WATCHED = 0 };
#endif
#else
enum { WATCHED = 0 };
#endif

void *mem_alloc(size_t n, struct err *e)
{
    struct header *raw = NULL;
    if (n > SIZE_MAX / 2 - HEADER || refused() ||
        !(raw = n >= BIG && !WATCHED ? take_mapping(n) : take_small(n))) {
        err_nomem(e);
        return NULL;
    }
    raw->size = n;
    count_in(n);
    return (char *)raw + HEADER;
}

void *mem_array(size_t count, size_t size, struct err *e)
{
    if (size && count > (SIZE_MAX / 4) / size) {
        err_nomem(e);
        return NULL;
    }
    return mem_alloc(count * size, e);
}

void *mem_big(size_t count, size_t size, struct err *e) { return mem_array(count, size, e); }

void *mem_resize(void *p, size_t n, struct err *e)
{
    void *q = mem_alloc(n, e);
    if (!q)
        return NULL;
    if (p) {
        size_t old = header_of(p)->size;
        memcpy(q, p, old < n ? old : n);
        mem_free(p);
    }
    return q;
}

void mem_free(void *p)
{
    if (!p)
        return;
    struct header *h = header_of(p);
    count_out(h->size);
    if (h->mapped)
        (void)munmap(h, h->mapped);
    else
        free(h);
}

char *mem_strndup(const char *s, size_t n, struct err *e)
{
    char *p = mem_alloc(n + 1, e);
    if (p && n)
        memcpy(p, s, n);
    return p;
}

char *mem_strdup(const char *s, struct err *e) { return mem_strndup(s, strlen(s), e); }

char *mem_printf(struct err *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        err_nomem(e);
        return NULL;
    }
    char *p = mem_alloc((size_t)n + 1, e);
    if (!p)
        return NULL;
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return p;
}

struct mem_use mem_use(void)
{
    struct mem_use u = { atomic_load(&in_use), atomic_load(&in_use_peak), atomic_load(&blocks) };
    return u;
}

uint64_t mem_fail_at(uint64_t n, int forever)
{
    atomic_store(&env_read, 1);
    uint64_t seen = atomic_exchange(&calls, 0);
    atomic_store(&fail_forever, forever);
    atomic_store(&fail_at, n);
    return seen;
}
