/* math.h - exp, log, sin, cos, tanh, erf from + - * / sqrt and fma only, so that their bits depend on nothing but the
 * argument (glibc's float64 versions differ between machines with and without FMA). Errors below 2 ulp of float64 in
 * the ranges that a forward pass uses (sin, cos: |x| < 1e6). Element loops over them are in kernels.h. */
#ifndef QP_KERNELS_MATH_H
#define QP_KERNELS_MATH_H
double m_exp(double x);
double m_log(double x);
double m_pow(double x, double y); /* x > 0: exp(y log x) with an extended-precision log, below 4 ulp */
double m_sin(double x);
double m_cos(double x);
double m_tanh(double x);
double m_erf(double x);
float m_expf(float x); /* float32 result, below 1 ulp, vectorised in the k_ loops with equal bits */
#endif
