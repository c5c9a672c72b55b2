/* check.h - what the tests of base share: cmocka's headers, a text of an error, and the sweep that fails one allocation
 * after the other. Not for other rooms: they have their own. */
#ifndef QP_TESTS_BASE_CHECK_H
#define QP_TESTS_BASE_CHECK_H
#include "base/err.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* The error must be of that code and have exactly that text. */
#define IS_ERR(e, c, text)                   \
    do {                                     \
        assert_string_equal((e).what, text); \
        assert_int_equal((e).code, c);       \
    } while (0)

/* SWEEP - for n = 1, 2, ...: `call` (0 = success) with its n-th allocation refused must end in ERR_NOMEM with the heap
 * as it was; the first n that is not reached ends the loop, and `undo` cleans up. `call` sets struct err e. */
#define SWEEP(call, undo)                                   \
    do {                                                    \
        uint64_t sweep_now = mem_use().now, sweep_n = 0;    \
        for (int sweep_rc = -1; sweep_rc;) {                \
            struct err e = { 0 };                           \
            mem_fail_at(++sweep_n, 0);                      \
            sweep_rc = (call);                              \
            int sweep_hit = mem_fail_at(0, 0) >= sweep_n;   \
            if (sweep_rc) {                                 \
                assert_int_equal(e.code, ERR_NOMEM);        \
                assert_true(sweep_hit);                     \
                assert_int_equal(mem_use().now, sweep_now); \
            } else {                                        \
                undo;                                       \
            }                                               \
            assert_true(sweep_n < 100000);                  \
        }                                                   \
        assert_true(sweep_n > 1);                           \
    } while (0)

/* A small generator for test data; any seed but 0 runs through all values. */
static inline uint64_t next_bits(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}
#endif
