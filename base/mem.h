/* mem.h - the one door to the heap. Every allocation of the program goes through it, so that tests can fail the
 * n-th one, and so that the peak can be measured against the plan. Zero bytes give a valid pointer. */
#ifndef QP_BASE_MEM_H
#define QP_BASE_MEM_H
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

void *mem_alloc(size_t n, struct err *e);                  /* zeroed; NULL + ERR_NOMEM */
void *mem_array(size_t count, size_t size, struct err *e); /* zeroed; overflow of count*size is ERR_NOMEM */
void *mem_resize(void *p, size_t n,
                 struct err *e); /* contents kept, growth not zeroed; p stays valid on failure */
void mem_free(void *p);
char *mem_strdup(const char *s, struct err *e);
char *mem_strndup(const char *s, size_t n, struct err *e); /* copies n bytes, adds a NUL */
char *mem_printf(struct err *e, const char *fmt, ...) QP_PRINTF(2, 3);

/* mem_big - 64-byte aligned, zeroed, for matrices. Freed with mem_free. */
void *mem_big(size_t count, size_t size, struct err *e);

/* What the heap holds now and held at most, in bytes (all threads). */
struct mem_use {
    uint64_t now, peak, count;
};
struct mem_use mem_use(void);

/* mem_fail_at - tests: the n-th allocation from now fails (1 = the next; 0 = never), and with `forever` all after it.
 * The environment variable QPIPE_FAIL_ALLOC=N sets it at start. Returns the number of allocations since the last call. */
uint64_t mem_fail_at(uint64_t n, int forever);
#endif
