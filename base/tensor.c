/* tensor.c - dtype conversions, exact or rounded to nearest even, in plain C that compilers vectorise. */
#include "base/tensor.h"

#include <math.h>
#include <string.h>

const struct dtype_info dtypes[DT_COUNT] = {
    [DT_BOOL] = { "BOOL", "bool", 1, 0 },
    [DT_U8] = { "U8", "uint8", 1, 0 },
    [DT_I8] = { "I8", "int8", 1, 0 },
    [DT_U16] = { "U16", "uint16", 2, 0 },
    [DT_I16] = { "I16", "int16", 2, 0 },
    [DT_U32] = { "U32", "uint32", 4, 0 },
    [DT_I32] = { "I32", "int32", 4, 0 },
    [DT_U64] = { "U64", "uint64", 8, 0 },
    [DT_I64] = { "I64", "int64", 8, 0 },
    [DT_F8_E4M3] = { "F8_E4M3", "float8_e4m3fn", 1, 1 },
    [DT_F8_E5M2] = { "F8_E5M2", "float8_e5m2", 1, 1 },
    [DT_F8_E8M0] = { "F8_E8M0", "float8_e8m0fnu", 1, 1 },
    [DT_F16] = { "F16", "float16", 2, 1 },
    [DT_BF16] = { "BF16", "bfloat16", 2, 1 },
    [DT_F32] = { "F32", "float32", 4, 1 },
    [DT_F64] = { "F64", "float64", 8, 1 },
};

int dtype_find(const char *name)
{
    for (int t = 0; t < DT_COUNT; t++)
        if (!strcmp(dtypes[t].name, name))
            return t;
    return -1;
}

int dtype_find_torch(const char *name)
{
    if (!strncmp(name, "torch.", 6))
        name += 6;
    for (int t = 0; t < DT_COUNT; t++)
        if (!strcmp(dtypes[t].torch, name))
            return t;
    return -1;
}

static float from_bits(uint32_t b)
{
    float f;
    memcpy(&f, &b, sizeof f);
    return f;
}

static uint32_t to_bits(float f)
{
    uint32_t b;
    memcpy(&b, &f, sizeof b);
    return b;
}

/* A small float with `mant` mantissa bits and exponent bias `bias`; no infinities are decoded here. */
static float small_float(unsigned mag, int mant, int bias)
{
    unsigned exp = mag >> mant, frac = mag & ((1u << mant) - 1);
    return exp ? ldexpf((float)(frac | 1u << mant), (int)exp - bias - mant)
               : ldexpf((float)frac, 1 - bias - mant);
}

static float half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, mag = h & 0x7FFFu;
    if (mag >= 0x7C00)
        return from_bits(sign | 0x7F800000u | (mag & 0x3FF) << 13);
    if (mag < 0x400)
        return from_bits(sign | to_bits((float)mag * 0x1p-24f));
    return from_bits(sign | ((mag << 13) + (112u << 23)));
}

static float e4m3_to_float(uint8_t b)
{
    float v = (b & 0x7F) == 0x7F ? NAN : small_float(b & 0x7F, 3, 7);
    return b & 0x80 ? -v : v;
}

static float e5m2_to_float(uint8_t b)
{
    unsigned mag = b & 0x7F;
    float v = mag > 0x7C ? NAN : mag == 0x7C ? INFINITY : small_float(mag, 2, 15);
    return b & 0x80 ? -v : v;
}

#define INTEGERS(T)                     \
    do {                                \
        const T *s = src;               \
        for (int64_t i = 0; i < n; i++) \
            dst[i] = (float)s[i];       \
    } while (0)

void dtype_to_f32(enum dtype t, const void *src, int64_t n, float *dst)
{
    const uint8_t *b = src;
    const uint16_t *h = src;
    switch (t) {
    case DT_F32: memcpy(dst, src, (size_t)n * 4); break;
    case DT_BF16:
        for (int64_t i = 0; i < n; i++)
            dst[i] = from_bits((uint32_t)h[i] << 16);
        break;
    case DT_F16:
        for (int64_t i = 0; i < n; i++)
            dst[i] = half_to_float(h[i]);
        break;
    case DT_F8_E4M3:
        for (int64_t i = 0; i < n; i++)
            dst[i] = e4m3_to_float(b[i]);
        break;
    case DT_F8_E5M2:
        for (int64_t i = 0; i < n; i++)
            dst[i] = e5m2_to_float(b[i]);
        break;
    case DT_F8_E8M0:
        for (int64_t i = 0; i < n; i++)
            dst[i] = b[i] == 255 ? NAN : ldexpf(1.0f, (int)b[i] - 127);
        break;
    case DT_F64: INTEGERS(double); break;
    case DT_BOOL:
    case DT_U8: INTEGERS(uint8_t); break;
    case DT_I8: INTEGERS(int8_t); break;
    case DT_U16: INTEGERS(uint16_t); break;
    case DT_I16: INTEGERS(int16_t); break;
    case DT_U32: INTEGERS(uint32_t); break;
    case DT_I32: INTEGERS(int32_t); break;
    case DT_U64: INTEGERS(uint64_t); break;
    case DT_I64: INTEGERS(int64_t); break;
    case DT_COUNT: BUG_ON(1);
    }
}

static uint16_t float_to_bf16(float x)
{
    uint32_t b = to_bits(x);
    if ((b & 0x7FFFFFFF) > 0x7F800000)
        return (uint16_t)(b >> 16 | 0x40);
    return (uint16_t)((b + 0x7FFF + (b >> 16 & 1)) >> 16);
}

static uint16_t float_to_half(float x)
{
    uint32_t b = to_bits(x), sign = b >> 16 & 0x8000, mag = b & 0x7FFFFFFF;
    if (mag > 0x7F800000)
        return (uint16_t)(sign | 0x7E00);
    if (mag >= 0x477FF000) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7C00);
    if (mag < 0x38800000) /* subnormal: adding 0.5 puts the last kept bit at weight 2^-24, rounded to even */
        return (uint16_t)(sign | (to_bits(from_bits(mag) + 0.5f) - 0x3F000000u));
    return (uint16_t)(sign | ((mag + 0xFFF + (mag >> 13 & 1) - (112u << 23)) >> 13));
}

static uint8_t float_to_e4m3(float x)
{
    uint32_t b = to_bits(x), sign = b >> 24 & 0x80, mag = b & 0x7FFFFFFF;
    if (mag > 0x7F800000)
        return (uint8_t)(sign | 0x7F);
    if (from_bits(mag) >= 448.0f)
        return (uint8_t)(sign | 0x7E);
    if (mag < 0x3C800000) /* below 2^-6: multiples of 2^-9, to even */
        return (uint8_t)(sign | (to_bits(from_bits(mag) + 16384.0f) - 0x46800000u));
    return (uint8_t)(sign | ((mag + 0x7FFFF + (mag >> 20 & 1) - (120u << 23)) >> 20));
}

void dtype_from_f32(enum dtype t, const float *src, int64_t n, void *dst)
{
    uint16_t *h = dst;
    uint8_t *b = dst;
    switch (t) {
    case DT_F32: memcpy(dst, src, (size_t)n * 4); break;
    case DT_BF16:
        for (int64_t i = 0; i < n; i++)
            h[i] = float_to_bf16(src[i]);
        break;
    case DT_F16:
        for (int64_t i = 0; i < n; i++)
            h[i] = float_to_half(src[i]);
        break;
    case DT_F8_E4M3:
        for (int64_t i = 0; i < n; i++)
            b[i] = float_to_e4m3(src[i]);
        break;
    default: BUG_ON(1);
    }
}

float dtype_round(enum dtype t, float x)
{
    if (t == DT_BF16)
        return from_bits((uint32_t)float_to_bf16(x) << 16);
    if (t == DT_F16)
        return half_to_float(float_to_half(x));
    return x;
}

int64_t view_elems(const struct tensor_view *v)
{
    int64_t n = 1;
    for (int i = 0; i < v->rank; i++)
        n *= v->dim[i];
    return n;
}

int64_t view_bytes(const struct tensor_view *v) { return view_elems(v) * dtypes[v->dtype].bytes; }
