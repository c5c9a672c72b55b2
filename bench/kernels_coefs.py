#!/usr/bin/env python3
"""Makes kernels/coefs.h: polynomials of kernels/math.c and of the element loops, from Chebyshev interpolation at 60
digits (mpmath 1.3). Run by hand: python3 bench/kernels_coefs.py > kernels/coefs.h; the table is committed."""
import struct
from mpmath import mp, mpf, exp, log, sin, cos, tanh, erf, erfc, sqrt, pi, floor

mp.dps = 60


def fit(f, lo, hi, n):
    """Coefficients (ascending) of the polynomial of degree n - 1 through the Chebyshev nodes of [lo, hi]."""
    lo, hi = mpf(lo), mpf(hi)
    xs = [(lo + hi) / 2 + (hi - lo) / 2 * cos(pi * (2 * i + 1) / (2 * n)) for i in range(n)]
    d = [f(x) for x in xs]  # Newton's divided differences
    for j in range(1, n):
        for i in range(n - 1, j - 1, -1):
            d[i] = (d[i] - d[i - 1]) / (xs[i] - xs[i - j])
    c = [mpf(0)] * n
    for i in range(n - 1, -1, -1):  # c = c * (x - xs[i]) + d[i]
        c = [d[i] - xs[i] * c[0]] + [c[k - 1] - xs[i] * c[k] for k in range(1, n)]
    return c


def dbl(x):
    return float(x)  # mpmath rounds to nearest even


def hexf(x, f32=False):
    x = dbl(x)
    if f32:
        x = struct.unpack('f', struct.pack('f', x))[0]
    return x.hex() + ('f' if f32 else '')


def table(name, c, f32=False):
    t = 'float' if f32 else 'double'
    body = ',\n    '.join(hexf(v, f32) for v in c)
    print(f'static const {t} {name}[{len(c)}] = {{\n    {body},\n}};')


def parts(name, x, n, keep=53):
    """x as a sum of n doubles; all but the last keep `keep` bits."""
    out = []
    for i in range(n):
        if i < n - 1 and keep < 53:
            e = int(floor(log(abs(x), 2)))
            h = mpf(int(floor(x * mpf(2) ** (keep - 1 - e)))) * mpf(2) ** (e - keep + 1)
        else:
            h = x
        out.append(dbl(h))
        x -= mpf(out[-1])
    print(f'static const double {name}[{n}] = {{ ' + ', '.join(v.hex() for v in out) + ' };')


def by_sqrt(f):
    return lambda z: f(sqrt(z))


L = log(mpf(2)) / 2 * mpf('1.0001')
print('/* coefs.h - made by bench/kernels_coefs.py; do not edit. Ascending coefficients, what each one approximates is said there')
print(' * and at its use. Static tables: included by math.c and by each level of rows_tmpl.h. */')
print('#ifndef QP_KERNELS_COEFS_H\n#define QP_KERNELS_COEFS_H\n#include <stdint.h>\n// clang-format off')
print('/* (e^r - 1 - r) / r^2, |r| <= ln 2 / 2 */')
fexp = lambda r: (exp(r) - 1 - r) / r**2 if abs(r) > mpf(10)**-15 else mpf(1) / 2
table('EXPF_C', fit(fexp, -L, L, 5), True)
table('EXP_C', fit(fexp, -L, L, 10))
print('/* log((1+s)/(1-s)) = 2s + s * z * LOG_C(z), z = s^2, s <= 3 - 2 sqrt 2 */')
zmax = (3 - 2 * sqrt(mpf(2)))**2 * mpf('1.0001')
flog = lambda z: (log((1 + sqrt(z)) / (1 - sqrt(z))) / sqrt(z) - 2) / z
table('LOG_C', fit(flog, mpf('1e-12'), zmax, 8))
print('/* the same after the second term: 2s + 2/3 s z + s z^2 LOG2_C(z) */')
table('LOG2_C', fit(lambda z: (flog(z) - mpf(2) / 3) / z, mpf('1e-10'), zmax, 7))
print('/* sin r = r + r^3 SIN_C(r^2), cos r = 1 - r^2/2 + r^4 COS_C(r^2), |r| <= pi/4 */')
Q = (pi / 4)**2 * mpf('1.001')
table('SIN_C', fit(by_sqrt(lambda r: (sin(r) - r) / r**3), mpf('1e-12'), Q, 7))
table('COS_C', fit(by_sqrt(lambda r: (cos(r) - 1 + r * r / 2) / r**4), mpf('1e-10'), Q, 7))
print('/* tanh x = x + x^3 TANH_C(x^2), |x| <= 0.625 */')
table('TANH_C', fit(by_sqrt(lambda x: (tanh(x) - x) / x**3), mpf('1e-12'), mpf('0.391'), 14))
print('/* erf x = x + x ERF_C(x^2), |x| < 1 */')
table('ERF_C', fit(by_sqrt(lambda x: erf(x) / x - 1), mpf('1e-16'), mpf('1.001'), 15))
print('/* e^(x^2) erfc x = ERFC_C(t), t = (x - 2) / (x + 2), 1 <= x <= 6 */')
fe = lambda t: (lambda x: exp(x * x) * erfc(x))(2 * (1 + t) / (1 - t))
table('ERFC_C', fit(fe, mpf(-1) / 3 - mpf('0.001'), mpf('0.501'), 20))
print('/* the same over 0 <= x <= 20, to about 1e-10: GELU in float32 */')
table('GELU_C', fit(fe, mpf(-1), mpf(18) / 22, 16))
print('static const float LN2F[2] = { %s, %s };' % (hexf(mpf(round(log(mpf(2)) * 2**16)) / 2**16, True),
      hexf(log(mpf(2)) - mpf(round(log(mpf(2)) * 2**16)) / 2**16, True)))
parts('LN2_EXP', log(mpf(2)), 2, 42)   # n * LN2_EXP[0] is exact for |n| < 2^11
parts('LN2_DD', log(mpf(2)), 2, 42)
parts('TWO_THIRDS', mpf(2) / 3, 2)
parts('PIO2', pi / 2, 3)
parts('LOG2E', 1 / log(mpf(2)), 1)
parts('TWO_OVER_PI', 2 / pi, 1)
mp.dps = 500
v = 2 / pi
words = [int(floor(v * mpf(2)**(64 * (i + 1)))) % 2**64 for i in range(20)]
print('/* the first 1280 bits of 2/pi after the point */')
print('static const uint64_t TWO_OVER_PI_BITS[20] = {\n    ' + ',\n    '.join(f'UINT64_C(0x{w:016x})' for w in words) + ',\n};')
print('// clang-format on\n#endif')
