/* The pool: every index once, workers in range, nesting runs on the caller, IEEE mode in every worker; choice of level; lanes
 * of the softmax exponential against m_expf. */
#include "check.h"
#include "kernels/dispatch.h"
#include "kernels/math.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

enum { MANY = 1000 };
static void count(void *arg, int64_t i)
{
    int *hits = arg;
    assert_in_range(k_worker(), 0, kernels_threads() - 1);
    hits[i]++;
}
static void each_index_once(void **state)
{
    static const int64_t sizes[] = { 0, 1, 2, 3, 17, MANY };
    (void)state;
    for (int w = 0; w < WIDTHS; w++)
        for (int s = 0; s < 6; s++) {
            int hits[MANY] = { 0 };
            assert_non_null(kernels_init(NULL, widths[w]));
            assert_int_equal(kernels_threads(), widths[w]);
            k_parallel(sizes[s], count, hits);
            for (int i = 0; i < MANY; i++)
                assert_int_equal(hits[i], i < sizes[s]);
        }
}
struct inner {
    int outer, mixed, hits[50];
};
static void inner_body(void *arg, int64_t i)
{
    struct inner *n = arg;
    n->mixed |= k_worker() != n->outer;
    n->hits[i]++;
}
static void outer_body(void *arg, int64_t i)
{
    struct inner *n = (struct inner *)arg + i;
    n->outer = k_worker();
    k_parallel(50, inner_body, n);
}
static void nested_runs_on_the_caller(void **state)
{
    struct inner all[20];
    (void)state;
    memset(all, 0, sizeof all);
    assert_non_null(kernels_init(NULL, 3));
    k_parallel(20, outer_body, all);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(all[i].mixed, 0);
        for (int k = 0; k < 50; k++)
            assert_int_equal(all[i].hits[k], 1);
    }
}
static void subnormals(void *arg, int64_t i)
{
    volatile float tiny = 1e-40F, half = 0.5F;
    ((float *)arg)[i] = tiny * half;
}
static void no_flush_to_zero(void **state)
{
    float r[64];
    (void)state;
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() | 0x8040U); /* what crtfastmath.o does */
#endif
    assert_non_null(kernels_init(NULL, 3));
    k_parallel(64, subnormals, r);
    for (int i = 0; i < 64; i++)
        assert_true(r[i] > 0);
}
static void levels(void **state)
{
    (void)state;
    assert_null(kernels_init("sse9", 1));
    assert_null(kernels_init("", 1));
    assert_string_equal(kernels_init("c", 0), "c");
    assert_string_equal(kernels_level(), "c");
    assert_true(kernels_threads() >= 1);
    const char *best = NULL;
    for (int l = 0; l < LEVELS; l++)
        if (level_use(l, 1))
            best = kernels_level();
    assert_string_equal(kernels_init(NULL, 1), best);
}
/* lane by lane; alone, with one maximum at 0, s[i] becomes m_expf(s[i]) */
static void softmax_is_m_expf(void **state)
{
    (void)state;
    for (int l = 0; l < LEVELS; l++) {
        uint32_t seed = 8;
        if (!level_use(l, 1))
            continue;
        for (int64_t n = 1; n <= 70; n++) {
            float s[70], in[70];
            struct soft p = { .scale = 1.0F };
            for (int64_t i = 0; i < n; i++)
                s[i] = in[i] = i == n / 2 ? 0.0F : -fabsf(uniform(&seed)) * (i % 3 ? 100.0F : 1.0F);
            (void)kern_now()->softmax(&p, n, s);
            for (int64_t i = 0; i < n; i++) {
                float e = m_expf(in[i]);
                assert_true(same_f(&e, s + i, 1));
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_index_once),   cmocka_unit_test(nested_runs_on_the_caller),
        cmocka_unit_test(no_flush_to_zero),  cmocka_unit_test(levels),
        cmocka_unit_test(softmax_is_m_expf),
    };
    return cmocka_run_group_tests_name("kernels.parallel", tests, NULL, NULL);
}
