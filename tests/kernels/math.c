/* kernels/math.h against the long double functions of the C library (64-bit significands: 2^-11 of what is measured), over
 * the ranges of the header, huge arguments and special values. Errors are in units of the last place of the result. */
#include "kernels/math.h"
#include "check.h"

static double ulps(double got, long double want)
{
    int e;
    double w = (double)want;
    if (w != w || isinf(w) || got != got || isinf(got))
        return (w != w && got != got) || w == got ? 0 : 1e9;
    (void)frexp(w, &e);
    double ulp = ldexp(1.0, e - 53 < -1074 ? -1074 : e - 53);
    return (double)fabsl(((long double)got - want) / (long double)ulp);
}
static double fraction(uint32_t *s)
{
    return (double)next_random(s) * 0x1p-32 + (double)next_random(s) * 0x1p-64;
}

struct range {
    const char *name;
    double (*f)(double);
    long double (*ref)(long double);
    double lo, hi, bound;
    int by_exponent; /* x = lo * (hi / lo)^u, both signs for odd and even functions */
};
static const struct range ranges[] = {
    { "exp", m_exp, expl, -745, 709.7, 1.0, 0 },     { "exp near 0", m_exp, expl, 1e-12, 1, 1.0, 1 },
    { "log", m_log, logl, 0.5, 2, 1.0, 0 },          { "log wide", m_log, logl, 1e-320, 1e308, 1.0, 1 },
    { "sin", m_sin, sinl, -10, 10, 1.0, 0 },         { "sin 1e6", m_sin, sinl, -1e6, 1e6, 1.0, 0 },
    { "sin 1e9", m_sin, sinl, -1e9, 1e9, 1.0, 0 },   { "sin huge", m_sin, sinl, 1e9, 1e300, 1.0, 1 },
    { "cos", m_cos, cosl, -10, 10, 1.0, 0 },         { "cos 1e6", m_cos, cosl, -1e6, 1e6, 1.0, 0 },
    { "cos huge", m_cos, cosl, 1e9, 1e300, 1.0, 1 }, { "sin near 0", m_sin, sinl, 1e-300, 1, 1.0, 1 },
    { "tanh", m_tanh, tanhl, -22, 22, 2.0, 0 },      { "tanh near 0", m_tanh, tanhl, 1e-300, 1, 2.0, 1 },
    { "erf", m_erf, erfl, -7, 7, 2.0, 0 },           { "erf near 0", m_erf, erfl, 1e-290, 1, 2.0, 1 },
};
static void against_long_double(void **state)
{
    (void)state;
    for (size_t r = 0; r < sizeof ranges / sizeof *ranges; r++) {
        const struct range *g = ranges + r;
        uint32_t seed = 77;
        double worst = 0, at = 0;
        for (int i = 0; i < 200000; i++) {
            double u = fraction(&seed), x = g->by_exponent ? exp(log(g->lo) + u * (log(g->hi) - log(g->lo)))
                                                           : g->lo + u * (g->hi - g->lo);
            double e = ulps(g->f(x), g->ref((long double)x));
            if (!(e <= worst)) {
                worst = e;
                at = x;
            }
        }
        print_message("%-12s %.3f ulp at %a\n", g->name, worst, at);
        assert_true(worst < g->bound);
    }
}
static void powers(void **state)
{
    (void)state;
    uint32_t seed = 5;
    double worst = 0;
    for (int i = 0; i < 300000; i++) {
        double x = exp((fraction(&seed) * 2 - 1) * (i % 3 == 0 ? 700 : i % 3 == 1 ? 14 : 0.01));
        double y = (fraction(&seed) * 2 - 1) * 700 / fabs(log(x) + 1e-3);
        double e = ulps(m_pow(x, y), powl((long double)x, (long double)y));
        worst = e > worst ? e : worst;
    }
    print_message("pow %.3f ulp\n", worst);
    assert_true(worst < 1.5);
    assert_true(m_pow(2, 10) == 1024 && m_pow(10000.0, 0) == 1 && m_pow(1, 1e300) == 1 && m_pow(0, 2) == 0);
    assert_true(isinf(m_pow(2, 1e6)) && m_pow(2, -1e6) == 0 && isinf(m_pow((double)INFINITY, 2)) &&
                isnan(m_pow(-2, 0.5)));
    assert_true(m_pow(2, -1074) == 0x1p-1074 && m_pow(0x1p-1074, 0.5) == 0x1p-537);
}
static void float_exp(void **state)
{
    (void)state;
    double worst = 0;
    for (uint64_t u = 0; u < UINT64_C(1) << 32; u += 211) {
        uint32_t b = (uint32_t)u;
        float x, y;
        memcpy(&x, &b, 4);
        y = m_expf(x);
        double want = exp((double)x);
        int e;
        if (x != x) {
            assert_true(y != y);
            continue;
        }
        if (want > 3.4028235677973366e38) {
            assert_true(isinf(y));
            continue;
        }
        (void)frexp(want, &e);
        double err = fabs((double)y - want) / ldexp(1.0, e - 24 < -149 ? -149 : e - 24);
        worst = err > worst ? err : worst;
    }
    print_message("expf %.3f ulp\n", worst);
    assert_true(worst < 1.0);
}
static void specials(void **state)
{
    const double inf = (double)INFINITY, nan = (double)NAN;
    (void)state;
    assert_true(m_exp(inf) == inf && m_exp(-inf) == 0 && isnan(m_exp(nan)) && m_exp(0) == 1 &&
                m_exp(-0.0) == 1);
    assert_true(m_exp(-746) == 0 && m_exp(710) == inf && m_exp(-745) == 0x1p-1074 && m_exp(709.78) < inf);
    assert_true(m_log(0) == -inf && m_log(inf) == inf && isnan(m_log(-1)) && isnan(m_log(nan)) &&
                m_log(1) == 0);
    assert_true(isnan(m_sin(inf)) && isnan(m_cos(-inf)) && isnan(m_sin(nan)) && m_cos(0) == 1 &&
                m_sin(0) == 0);
    assert_true(signbit(m_sin(-0.0)) && signbit(m_tanh(-0.0)) && signbit(m_erf(-0.0)));
    assert_true(m_tanh(inf) == 1 && m_tanh(-inf) == -1 && m_tanh(1000) == 1 && isnan(m_tanh(nan)));
    assert_true(m_erf(inf) == 1 && m_erf(-inf) == -1 && m_erf(-30) == -1 && isnan(m_erf(nan)));
    assert_true(m_expf(0.0F) == 1.0F && m_expf(-INFINITY) == 0.0F && m_expf(INFINITY) == INFINITY &&
                m_expf(-200.0F) == 0.0F);
    /* the closest float64 to a multiple of pi/2 (Muller): the far reduction must not cancel away */
    assert_true(ulps(m_cos(6381956970095103.0 * 0x1p797), cosl(6381956970095103.0L * 0x1p797L)) < 1);
}
/* bits of the day the polynomials were made: a change here is a change of output bits */
static void fixed_bits(void **state)
{
    (void)state;
    uint64_t h = UINT64_C(1469598103934665603);
    uint32_t seed = 3;
    for (int i = 0; i < 20000; i++) {
        double x = (fraction(&seed) * 2 - 1) * 30;
        double v[] = { m_exp(x),        m_log(fabs(x)), m_pow(fabs(x), x), m_sin(x * 1000),
                       m_cos(x * 1e10), m_tanh(x / 10), m_erf(x / 8),      (double)m_expf((float)x) };
        for (size_t k = 0; k < sizeof v; k++)
            h = (h ^ ((const unsigned char *)v)[k]) * UINT64_C(1099511628211);
    }
    print_message("hash %016llx\n", (unsigned long long)h);
    assert_true(h == UINT64_C(0x082e4b217208c3c4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_long_double), cmocka_unit_test(powers),
        cmocka_unit_test(float_exp),           cmocka_unit_test(specials),
        cmocka_unit_test(fixed_bits),
    };
    return cmocka_run_group_tests_name("kernels.math", tests, NULL, NULL);
}
