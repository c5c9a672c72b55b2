/* Products: the order of sums of kernels.h checked element by element with fmaf of the C library, all levels, widths 1, 2, 3,
 * 7, odd shapes and leading dimensions, guards around C. Negative control: another order must differ. */
#include "check.h"

enum form { NT, NN, GRAM, CROSS, FORMS };
struct shape {
    int64_t m, n, k;
    int pad; /* added to each leading dimension */
};

static float operand(enum form f, int left, const float *p, int64_t ld, int64_t i, int64_t k)
{
    int by_k = left ? f >= GRAM : f != NT;
    return by_k ? p[k * ld + i] : p[i * ld + k];
}
/* the definition; block: length of a chain */
static float element(enum form f, const struct shape *s, const float *a, int64_t lda, const float *b,
                     int64_t ldb, int64_t i, int64_t j, float c, int64_t block)
{
    for (int64_t p = 0; p < s->k; p += block) {
        float sum = 0.0F;
        for (int64_t q = p; q < s->k && q < p + block; q++)
            sum = fmaf(operand(f, 1, a, lda, i, q), operand(f, 0, b, ldb, j, q), sum);
        c += sum;
    }
    return c;
}
static void call(enum form f, const struct shape *s, const float *a, int64_t lda, const float *b, int64_t ldb,
                 float *c, int64_t ldc, int accumulate)
{
    switch (f) {
    case NT: k_gemm_nt(s->m, s->n, s->k, a, lda, b, ldb, c, ldc, accumulate); break;
    case NN: k_gemm_nn(s->m, s->n, s->k, a, lda, b, ldb, c, ldc, accumulate); break;
    case GRAM: k_gram(s->k, s->m, a, lda, c, ldc); break;
    case CROSS: k_gram_cross(s->k, s->m, s->n, a, lda, b, ldb, c, ldc); break;
    case FORMS: break;
    }
}
static struct shape of_form(enum form f, struct shape s)
{
    if (f == GRAM)
        s.n = s.m;
    return s;
}

struct operands {
    float *a, *b;
    int64_t lda, ldb, ldc;
};
static struct operands operands_make(enum form f, const struct shape *s)
{
    struct operands o = { .lda = (f >= GRAM ? s->m : s->k) + s->pad,
                          .ldb = (f == NT ? s->k : s->n) + s->pad,
                          .ldc = s->n + s->pad };
    int64_t na = (f >= GRAM ? s->k : s->m) * o.lda, nb = (f == NT ? s->n : s->k) * o.ldb;
    o.a = guarded(na, 1, 1);
    o.b = f == GRAM ? o.a : guarded(nb, 3, 2);
    return o;
}
static void operands_free(enum form f, const struct operands *o)
{
    guarded_free(o->a, 1);
    if (f != GRAM)
        guarded_free(o->b, 3);
}
static float *result_make(const struct shape *s, const struct operands *o)
{
    return guarded(s->m * o->ldc, 5, 3);
}

/* expected C: the definition, gaps between rows and the upper triangle of a Gram matrix as they were */
static void expect(enum form f, const struct shape *s, const struct operands *o, float *c, int accumulate,
                   int64_t block)
{
    for (int64_t i = 0; i < s->m; i++)
        for (int64_t j = 0; j < (f == GRAM ? i + 1 : s->n); j++) {
            float *e = c + i * o->ldc + j;
            *e = element(f, s, o->a, o->lda, o->b, o->ldb, i, j, accumulate || f >= GRAM ? *e : 0.0F, block);
        }
}
static void check_shape(enum form f, struct shape s, int n_widths, int accumulate)
{
    s = of_form(f, s);
    struct operands o = operands_make(f, &s);
    float *want = result_make(&s, &o);
    expect(f, &s, &o, want, accumulate, KERNEL_KBLOCK);
    for (int l = 0; l < LEVELS; l++)
        for (int w = 0; w < n_widths; w++) {
            if (!level_use(l, widths[w]))
                continue;
            float *c = result_make(&s, &o);
            call(f, &s, o.a, o.lda, o.b, o.ldb, c, o.ldc, accumulate);
            if (!same_f(want, c, s.m * o.ldc))
                fail_msg("form %d %ld x %ld x %ld pad %d level %s width %d", f, (long)s.m, (long)s.n,
                         (long)s.k, s.pad, kernels_level(), kernels_threads());
            guarded_check(c, s.m * o.ldc);
            guarded_free(c, 5);
        }
    guarded_free(want, 5);
    operands_free(f, &o);
}

static void small_shapes(void **state)
{
    static const int64_t sizes[] = { 1, 2, 5, 6, 7, 13, 14, 15, 16, 17, 31, 32, 33, 47 };
    static const int64_t ks[] = { 0, 1, 2, 7, 8, 9, 16, 17, 255, 256, 257, 513 };
    (void)state;
    uint32_t seed = 9;
    for (int f = 0; f < FORMS; f++)
        for (int r = 0; r < 60; r++) {
            struct shape s = { sizes[(next_random(&seed) >> 8) % 14], sizes[(next_random(&seed) >> 8) % 14],
                               ks[(next_random(&seed) >> 8) % 12], (int)((next_random(&seed) >> 8) % 4) };
            check_shape((enum form)f, s, 1, r & 1);
        }
}
static void empty_product(void **state)
{
    (void)state;
    float c[4] = { 1, 2, 3, 4 };
    for (int l = 0; l < LEVELS; l++) {
        if (!level_use(l, 2))
            continue;
        k_gemm_nt(0, 5, 5, c, 1, c, 1, c, 1, 0);
        k_gemm_nt(2, 2, 0, NULL, 1, NULL, 1, c, 2, 1);
        assert_true(c[0] == 1 && c[3] == 4);
    }
    k_gemm_nt(2, 2, 0, NULL, 1, NULL, 1, c, 2, 0);
    assert_true(c[0] == 0 && c[3] == 0);
}
/* above the threshold of the pool, past the cache blocks of rows and k; definition and widths */
static void large_shapes(void **state)
{
    (void)state;
    check_shape(NT, (struct shape){ 131, 67, 521, 1 }, WIDTHS, 0);
    check_shape(NN, (struct shape){ 97, 131, 521, 0 }, WIDTHS, 1);
    check_shape(CROSS, (struct shape){ 61, 131, 523, 2 }, WIDTHS, 0);
    check_shape(GRAM, (struct shape){ 131, 0, 523, 3 }, WIDTHS, 0);
    check_shape(NT, (struct shape){ 1, 1031, 3001, 0 }, 2, 0);
}
/* past every cache block: too long for level c, the first level and width that runs is the reference */
static void huge_shapes(void **state)
{
    static const struct shape shapes[] = { { 701, 3301, 1111, 1 },
                                           { 1063, 41, 2050, 0 },
                                           { 17, 3109, 530, 0 } };
    (void)state;
    for (int f = 0; f < FORMS; f++)
        for (int i = 0; i < 3; i++) {
            struct shape s = of_form((enum form)f, shapes[i]);
            struct operands o = operands_make((enum form)f, &s);
            float *want = NULL;
            for (int l = 1; l < LEVELS; l++)
                for (int w = 0; w < WIDTHS; w++) {
                    if (!level_use(l, widths[w]))
                        continue;
                    float *c = result_make(&s, &o);
                    call((enum form)f, &s, o.a, o.lda, o.b, o.ldb, c, o.ldc, 1);
                    guarded_check(c, s.m * o.ldc);
                    if (!want) {
                        want = c;
                        continue;
                    }
                    assert_true(same_f(want, c, s.m * o.ldc));
                    guarded_free(c, 5);
                }
            for (int64_t q = 0; want && q < 200; q++) { /* spots against the definition */
                int64_t r = q * 7919 % s.m, j = f == GRAM ? q * 104729 % (r + 1) : q * 104729 % s.n;
                float *start = result_make(&s, &o);
                float e = element((enum form)f, &s, o.a, o.lda, o.b, o.ldb, r, j, start[r * o.ldc + j],
                                  KERNEL_KBLOCK);
                assert_true(same_f(&e, want + r * o.ldc + j, 1));
                guarded_free(start, 5);
                q += q == 20 ? 150 : 0;
            }
            if (want)
                guarded_free(want, 5);
            operands_free((enum form)f, &o);
        }
}
static void special_values(void **state)
{
    struct shape s = { 19, 37, 300, 0 };
    (void)state;
    for (int wild = 0; wild < 2; wild++) {
        struct operands o = operands_make(NT, &s);
        season(o.a, s.m * o.lda, wild, 5);
        season(o.b, s.n * o.ldb, wild, 6);
        float *want = result_make(&s, &o);
        expect(NT, &s, &o, want, 0, KERNEL_KBLOCK);
        for (int l = 0; l < LEVELS; l++) {
            if (!level_use(l, 1))
                continue;
            float *c = result_make(&s, &o);
            call(NT, &s, o.a, o.lda, o.b, o.ldb, c, o.ldc, 0);
            assert_true(same_f(want, c, s.m * o.ldc));
            guarded_free(c, 5);
        }
        guarded_free(want, 5);
        operands_free(NT, &o);
    }
}
/* a chain over all of k, or blocks of 128, is another number: the checks above can fail */
static void negative_control(void **state)
{
    struct shape s = { 20, 40, 600, 0 };
    (void)state;
    struct operands o = operands_make(NT, &s);
    float *c = result_make(&s, &o), *wrong = result_make(&s, &o);
    assert_non_null(kernels_init(NULL, 1));
    call(NT, &s, o.a, o.lda, o.b, o.ldb, c, o.ldc, 0);
    static const int64_t blocks[] = { 128, 600 };
    for (int i = 0; i < 2; i++) {
        expect(NT, &s, &o, wrong, 0, blocks[i]);
        assert_int_not_equal(memcmp(wrong, c, (size_t)(s.m * o.ldc) * 4), 0);
    }
    guarded_free(c, 5);
    guarded_free(wrong, 5);
    operands_free(NT, &o);
}
static void accuracy(void **state)
{
    struct shape s = { 33, 65, 2000, 0 };
    (void)state;
    struct operands o = operands_make(NT, &s);
    float *c = result_make(&s, &o);
    assert_non_null(kernels_init(NULL, 2));
    call(NT, &s, o.a, o.lda, o.b, o.ldb, c, o.ldc, 0);
    for (int64_t i = 0; i < s.m; i++)
        for (int64_t j = 0; j < s.n; j++) {
            double sum = 0, size = 0;
            for (int64_t p = 0; p < s.k; p++) {
                double t = (double)o.a[i * o.lda + p] * (double)o.b[j * o.ldb + p];
                sum += t;
                size += fabs(t);
            }
            assert_true(fabs(sum - (double)c[i * o.ldc + j]) < 3e-7 * size);
        }
    guarded_free(c, 5);
    operands_free(NT, &o);
}

struct nested {
    struct operands o;
    struct shape s;
    float *c[4];
};
static void nested_one(void *arg, int64_t i)
{
    struct nested *n = arg;
    call(NT, &n->s, n->o.a, n->o.lda, n->o.b, n->o.ldb, n->c[i], n->o.ldc, 0);
}
static void inside_k_parallel(void **state)
{
    struct nested n = { .s = { 150, 170, 600, 1 } };
    (void)state;
    n.o = operands_make(NT, &n.s);
    float *want = result_make(&n.s, &n.o);
    assert_non_null(kernels_init(NULL, 1));
    call(NT, &n.s, n.o.a, n.o.lda, n.o.b, n.o.ldb, want, n.o.ldc, 0);
    assert_non_null(kernels_init(NULL, 3));
    for (int i = 0; i < 4; i++)
        n.c[i] = result_make(&n.s, &n.o);
    k_parallel(4, nested_one, &n);
    for (int i = 0; i < 4; i++) {
        assert_true(same_f(want, n.c[i], n.s.m * n.o.ldc));
        guarded_free(n.c[i], 5);
    }
    guarded_free(want, 5);
    operands_free(NT, &n.o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_shapes),   cmocka_unit_test(empty_product),
        cmocka_unit_test(large_shapes),   cmocka_unit_test(huge_shapes),
        cmocka_unit_test(special_values), cmocka_unit_test(negative_control),
        cmocka_unit_test(accuracy),       cmocka_unit_test(inside_k_parallel),
    };
    return cmocka_run_group_tests_name("kernels.gemm", tests, NULL, NULL);
}
