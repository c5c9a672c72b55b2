/* math.c - exp, log, pow, sin, cos, tanh, erf from + - * / and fma only. Polynomials: coefs.h (bench/kernels_coefs.py).
 * fma() of the C library is exact everywhere; with FMA hardware it is one instruction behind a call. m_expf does without. */
#include "kernels/math.h"
#include "kernels/coefs.h"
#include "kernels/simd_c.h"

#define INF      (__builtin_inf())
#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

static uint64_t bits_of(double x)
{
    uint64_t u;
    memcpy(&u, &x, 8);
    return u;
}
static double of_bits(uint64_t u)
{
    double x;
    memcpy(&x, &u, 8);
    return x;
}
static double poly(const double *c, int n, double x)
{
    double r = c[n - 1];
    for (int i = n - 2; i >= 0; i--)
        r = fma(r, x, c[i]);
    return r;
}

/* e^(x + lo), |lo| much below |x|; the same operations as d_exp of rows_tmpl.h when lo is 0 */
static double exp_sum(double x, double lo)
{
    const double magic = 0x1.8p52;
    x = -746.0 > x ? -746.0 : x; /* NaN passes */
    x = 710.0 < x ? 710.0 : x;
    double t = fma(x, LOG2E[0], magic), n = t - magic;
    double h = fma(n, -LN2_EXP[0], x), r = fma(n, -LN2_EXP[1], h);
    double rest = fma(n, -LN2_EXP[1], h - r); /* what r lost */
    double q = poly(EXP_C, COUNT(EXP_C), r);
    rest = fma(lo, 1.0 + fma(r * r, q, r), rest);
    return scale_d(1.0 + (r + fma(r * r, q, rest)), t);
}
double m_exp(double x) { return exp_sum(x, -0.0); }

float m_expf(float x)
{
    const float magic = 0x1.8p23F;
    x = -104.0F > x ? -104.0F : x;
    x = 89.0F < x ? 89.0F : x;
    float t = soft_fmaf(x, (float)LOG2E[0], magic), n = t - magic;
    float h = soft_fmaf(n, -LN2F[0], x), r = soft_fmaf(n, -LN2F[1], h), rest = soft_fmaf(n, -LN2F[1], h - r);
    float q = EXPF_C[4];
    for (int i = 3; i >= 0; i--)
        q = soft_fmaf(q, r, EXPF_C[i]);
    return scale_f(1.0F + (r + soft_fmaf(r * r, q, rest)), t);
}

/* x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt 2; x positive and finite */
static double split(double x, double *k)
{
    int64_t shift = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        shift = 54;
    }
    uint64_t u = bits_of(x), above = u - UINT64_C(0x3fe6a09e667f3bcd); /* bits of sqrt(1/2) */
    int64_t e = (int64_t)above >> 52;
    *k = (double)(e - shift);
    return of_bits(u - ((uint64_t)e << 52)) - 1.0;
}
double m_log(double x)
{
    if (!(x > 0.0) || x == INF)
        return x == INF ? x : x == 0.0 ? -INF : (x - x) / 0.0; /* negative, NaN: NaN */
    double k, f = split(x, &k), s = f / (2.0 + f), z = s * s, half = 0.5 * f * f;
    double r = s * (half + z * poly(LOG_C, COUNT(LOG_C), z)); /* log(1+f) = f - f^2/2 + r */
    return k * LN2_EXP[0] - ((half - (r + k * LN2_EXP[1])) - f);
}

/* log x = returned + *lo with about 2^-65 of relative error: the first two terms of the series in s in pairs of doubles */
static double log_pair(double x, double *lo)
{
    double k, f = split(x, &k), d = 2.0 + f, d_lo = f - (d - 2.0);
    double s = f / d, s_lo = (fma(-s, d, f) - s * d_lo) / d;
    double z = s * s, z_lo = fma(s, s, -z) + 2.0 * s * s_lo;
    double p = s * z, p_lo = fma(s, z, -p) + (s * z_lo + s_lo * z);
    double t = TWO_THIRDS[0] * p,
           t_lo = fma(TWO_THIRDS[0], p, -t) + (TWO_THIRDS[0] * p_lo + TWO_THIRDS[1] * p);
    double rest = p * z * poly(LOG2_C, COUNT(LOG2_C), z);
    double a = k * LN2_DD[0], b = 2.0 * s; /* |a| > |b| or a == 0: the sums below are exact */
    double h = a + b, h_lo = b - (h - a);
    if (k == 0.0)
        h_lo = 0.0;
    double g = h + t, g_lo = t - (g - h);
    double small = g_lo + (h_lo + (2.0 * s_lo + (k * LN2_DD[1] + (t_lo + rest)))), sum = g + small;
    *lo = small - (sum - g);
    return sum;
}
double m_pow(double x, double y)
{
    if (y == 0.0 || x == 1.0)
        return 1.0;
    if (!(x > 0.0) || x == INF || !(y - y == 0.0))
        return x == 0.0 && y > 0.0 ? 0.0 : m_exp(y * m_log(x));
    double lo, hi = log_pair(x, &lo), p = y * hi;
    if (!(p < 800.0 && p > -800.0))
        return m_exp(p);
    return exp_sum(p, fma(y, hi, -p) + y * lo);
}

/* 64 bits of 2/pi from bit `at` (0 is the first after the point); zeros before */
static uint64_t two_over_pi(int64_t at)
{
    uint64_t v = 0;
    for (int64_t i = 0; i < 64; i++) {
        int64_t b = at + i;
        uint64_t bit = b < 0 ? 0 : TWO_OVER_PI_BITS[b / 64] >> (63 - b % 64) & 1;
        v = v << 1 | bit;
    }
    return v;
}
/* x - n pi/2 for |x| >= 2^30, n mod 4 returned (Payne & Hanek, SIGNUM 18, 1983): only 192 bits of 2/pi matter, those
 * whose product with the integer mantissa is neither a multiple of 4 nor below 2^-130 */
static unsigned reduce_far(double x, double *r, double *lo)
{
    __extension__ typedef unsigned __int128 u128;
    __extension__ typedef __int128 i128;
    uint64_t u = bits_of(x), m = (u & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1) << 52;
    int64_t at = (int64_t)(u >> 52 & 0x7ff) - 1075 - 2;
    u128 p0 = (u128)m * two_over_pi(at + 128), p1 = (u128)m * two_over_pi(at + 64) + (p0 >> 64);
    uint64_t top = m * two_over_pi(at) + (uint64_t)(p1 >> 64);
    u128 frac = ((u128)top << 64 | (uint64_t)p1) << 2 | (uint64_t)p0 >> 62;
    unsigned quadrant = (unsigned)(top >> 62) + (unsigned)(frac >> 127);
    i128 v = (i128)frac; /* in units of 2^-128; the upper half is negative: nearest multiple */
    double hi = (double)v, low = (double)(v - (i128)hi);
    hi *= 0x1p-128;
    low *= 0x1p-128;
    *r = hi * PIO2[0];
    *lo = fma(hi, PIO2[0], -*r) + (hi * PIO2[1] + low * PIO2[0]);
    if (u >> 63) {
        *r = -*r;
        *lo = -*lo;
        quadrant = 0U - quadrant;
    }
    return quadrant & 3U;
}
static unsigned reduce(double x, double *r, double *lo)
{
    const double magic = 0x1.8p52;
    if (!(x < 0x1p30 && x > -0x1p30))
        return reduce_far(x, r, lo);
    double n = fma(x, TWO_OVER_PI[0], magic) - magic;
    double a = fma(-n, PIO2[0], x); /* exact: a multiple of 2^-53 below 1 */
    *r = fma(-n, PIO2[1], a);
    *lo = fma(-n, PIO2[1], a - *r) - n * PIO2[2];
    return (unsigned)((int64_t)n & 3);
}
static double sin_near(double r, double lo)
{
    double z = r * r;
    return r + (r * z * poly(SIN_C, COUNT(SIN_C), z) + lo * (1.0 - 0.5 * z));
}
static double cos_near(double r, double lo)
{
    double z = r * r, half = 0.5 * z, w = 1.0 - half;
    return w + (((1.0 - w) - half) + (z * z * poly(COS_C, COUNT(COS_C), z) - r * lo));
}
static double sin_quadrant(double x, unsigned turn)
{
    double r, lo;
    if (!(x - x == 0.0))
        return x - x; /* inf, NaN: NaN */
    if (turn == 0 && x < 0x1p-27 && x > -0x1p-27)
        return x;
    unsigned q = reduce(x, &r, &lo) + turn;
    double v = q & 1U ? cos_near(r, lo) : sin_near(r, lo);
    return q & 2U ? -v : v;
}
double m_sin(double x) { return sin_quadrant(x, 0); }
double m_cos(double x) { return sin_quadrant(x, 1); }

double m_tanh(double x)
{
    double a = fabs(x), z = x * x;
    if (a < 0x1p-30)
        return x; /* keeps the sign of zero */
    if (a < 0.625)
        return x + x * z * poly(TANH_C, COUNT(TANH_C), z);
    double v = 1.0 - 2.0 / (m_exp(a > 20.0 ? 40.0 : a + a) + 1.0);
    return x != x ? x : x < 0.0 ? -v : v;
}

double m_erf(double x)
{
    double a = fabs(x), v = 1.0;
    if (a < 1.0)
        return x + x * poly(ERF_C, COUNT(ERF_C), x * x);
    if (a < 6.0) /* 1 - erf(6) = 2e-17 */
        v = 1.0 - m_exp(-a * a) * poly(ERFC_C, COUNT(ERFC_C), (a - 2.0) / (a + 2.0));
    return x != x ? x : x < 0.0 ? -v : v;
}
