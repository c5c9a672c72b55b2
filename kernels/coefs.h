/* coefs.h - made by bench/kernels_coefs.py; do not edit. Ascending coefficients, what each one approximates is said there
 * and at its use. Static tables: included by math.c and by each level of rows_tmpl.h. */
#ifndef QP_KERNELS_COEFS_H
#define QP_KERNELS_COEFS_H
#include <stdint.h>
// clang-format off
/* (e^r - 1 - r) / r^2, |r| <= ln 2 / 2 */
static const float EXPF_C[5] = {
    0x1.0000000000000p-1f,
    0x1.5554dc0000000p-3f,
    0x1.55551a0000000p-5f,
    0x1.120b6e0000000p-7f,
    0x1.6d110a0000000p-10f,
};
static const double EXP_C[10] = {
    0x1.0000000000001p-1,
    0x1.5555555555556p-3,
    0x1.5555555553d63p-5,
    0x1.11111111109b3p-7,
    0x1.6c16c1788bd90p-10,
    0x1.a01a01a7c41d5p-13,
    0x1.a019b90d2ae7ap-16,
    0x1.71de0dae63bb3p-19,
    0x1.289185613a3d6p-22,
    0x1.af38a9b0ec855p-26,
};
/* log((1+s)/(1-s)) = 2s + s * z * LOG_C(z), z = s^2, s <= 3 - 2 sqrt 2 */
static const double LOG_C[8] = {
    0x1.5555555555555p-1,
    0x1.9999999999a38p-2,
    0x1.2492492476c87p-2,
    0x1.c71c720160b47p-3,
    0x1.745cf901605f5p-3,
    0x1.3b1c360763bddp-3,
    0x1.0fbe83c2cb59ep-3,
    0x1.0c04595976d29p-3,
};
/* the same after the second term: 2s + 2/3 s z + s z^2 LOG2_C(z) */
static const double LOG2_C[7] = {
    0x1.999999999999ep-2,
    0x1.249249248e532p-2,
    0x1.c71c71d7e7fc3p-3,
    0x1.745d09f06d7b6p-3,
    0x1.3b18b8ee7b734p-3,
    0x1.1018ae364848ep-3,
    0x1.08788c3f67ef0p-3,
};
/* sin r = r + r^3 SIN_C(r^2), cos r = 1 - r^2/2 + r^4 COS_C(r^2), |r| <= pi/4 */
static const double SIN_C[7] = {
    -0x1.5555555555555p-3,
    0x1.1111111111110p-7,
    -0x1.a01a01a01992fp-13,
    0x1.71de3a545f836p-19,
    -0x1.ae645410e937bp-26,
    0x1.61217d9252c03p-33,
    -0x1.ab16f5caa192ap-41,
};
static const double COS_C[7] = {
    0x1.5555555555555p-5,
    -0x1.6c16c16c16c16p-10,
    0x1.a01a01a019d06p-16,
    -0x1.27e4fb77125c5p-22,
    0x1.1eed8deac3dfep-29,
    -0x1.9394b8bd50a9ep-37,
    0x1.ab779550c6bfap-45,
};
/* tanh x = x + x^3 TANH_C(x^2), |x| <= 0.625 */
static const double TANH_C[14] = {
    -0x1.5555555555555p-2,
    0x1.1111111111111p-3,
    -0x1.ba1ba1ba1b99ap-5,
    0x1.664f4882bce36p-6,
    -0x1.226e355d4d6a8p-7,
    0x1.d6d3d084f1fd7p-9,
    -0x1.7da35aa6e5838p-10,
    0x1.355773f7a5c76p-11,
    -0x1.f56bd4e09f88fp-13,
    0x1.95de07c21dbb2p-14,
    -0x1.45753299ac858p-15,
    0x1.f1a1ce1a7b415p-17,
    -0x1.4005a237a0b7dp-18,
    0x1.ebecd9e78957dp-21,
};
/* erf x = x + x ERF_C(x^2), |x| < 1 */
static const double ERF_C[15] = {
    0x1.06eba8214db69p-3,
    -0x1.812746b0379e7p-2,
    0x1.ce2f21a042be2p-4,
    -0x1.b82ce31288b47p-6,
    0x1.565bcd0e6a2e8p-8,
    -0x1.c02db40035d75p-11,
    0x1.f9a326f7a7d79p-14,
    -0x1.f4d25bf929e28p-17,
    0x1.b9e6c383b3297p-20,
    -0x1.5f73c32565d65p-23,
    0x1.fcbb250d21c51p-27,
    -0x1.517c8c59c6672p-30,
    0x1.9a0cd61504765p-34,
    -0x1.b3fec4af9bf8ap-38,
    0x1.3bdcc96384a07p-42,
};
/* e^(x^2) erfc x = ERFC_C(t), t = (x - 2) / (x + 2), 1 <= x <= 6 */
static const double ERFC_C[20] = {
    0x1.058671b52c776p-2,
    -0x1.b57034efd3f72p-2,
    0x1.eeea7dc8a78b3p-3,
    -0x1.437f0b68c0c23p-4,
    0x1.e9471597a0cf0p-9,
    0x1.ca95ed5345877p-8,
    -0x1.bc25a47fdc01cp-11,
    -0x1.016b5cebeedccp-10,
    0x1.6d5f051ffac54p-15,
    0x1.6da979b51a66ap-13,
    0x1.cdca320d1ead8p-16,
    -0x1.ceb930ed5b76ep-16,
    -0x1.d472cf9a21cb1p-17,
    0x1.760b170d3a57ap-20,
    0x1.f68e0f750e1e5p-19,
    0x1.42078b6e1a78bp-20,
    -0x1.a32250f3a8102p-22,
    -0x1.272b8c1b9e73bp-21,
    -0x1.5d960f2f87fe4p-23,
    0x1.9632255c395a3p-23,
};
/* the same over 0 <= x <= 20, to about 1e-10: GELU in float32 */
static const double GELU_C[16] = {
    0x1.058671b52c49ap-2,
    -0x1.b57034f0373c6p-2,
    0x1.eeea7dc7eda76p-3,
    -0x1.437f0b1853aafp-4,
    0x1.e947219e4c26ep-9,
    0x1.ca95a301522d9p-8,
    -0x1.bc28ddfc52a51p-11,
    -0x1.0164066834e7dp-10,
    0x1.6edac4e04e284p-15,
    0x1.6cf8a4924a195p-13,
    0x1.c2bb06feb49b1p-16,
    -0x1.c7aeb798ec38ep-16,
    -0x1.a8d9938f93e2ap-17,
    0x1.835591903b261p-20,
    0x1.4cec34b72c1d1p-19,
    0x1.27a16ce0707aap-21,
};
static const float LN2F[2] = { 0x1.62e4000000000p-1f, 0x1.7f7d1c0000000p-20f };
static const double LN2_EXP[2] = { 0x1.62e42fefa3800p-1, 0x1.ef35793c76730p-45 };
static const double LN2_DD[2] = { 0x1.62e42fefa3800p-1, 0x1.ef35793c76730p-45 };
static const double TWO_THIRDS[2] = { 0x1.5555555555555p-1, 0x1.5555555555555p-55 };
static const double PIO2[3] = { 0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54, -0x1.f1976b7ed8fbcp-110 };
static const double LOG2E[1] = { 0x1.71547652b82fep+0 };
static const double TWO_OVER_PI[1] = { 0x1.45f306dc9c883p-1 };
/* the first 1280 bits of 2/pi after the point */
static const uint64_t TWO_OVER_PI_BITS[20] = {
    UINT64_C(0xa2f9836e4e441529),
    UINT64_C(0xfc2757d1f534ddc0),
    UINT64_C(0xdb6295993c439041),
    UINT64_C(0xfe5163abdebbc561),
    UINT64_C(0xb7246e3a424dd2e0),
    UINT64_C(0x06492eea09d1921c),
    UINT64_C(0xfe1deb1cb129a73e),
    UINT64_C(0xe88235f52ebb4484),
    UINT64_C(0xe99c7026b45f7e41),
    UINT64_C(0x3991d639835339f4),
    UINT64_C(0x9c845f8bbdf9283b),
    UINT64_C(0x1ff897ffde05980f),
    UINT64_C(0xef2f118b5a0a6d1f),
    UINT64_C(0x6d367ecf27cb09b7),
    UINT64_C(0x4f463f669e5fea2d),
    UINT64_C(0x7527bac7ebe5f17b),
    UINT64_C(0x3d0739f78a5292ea),
    UINT64_C(0x6bfb5fb11f8d5d08),
    UINT64_C(0x56033046fc7b6bab),
    UINT64_C(0xf0cfbc209af4361d),
};
// clang-format on
#endif
