/* presets.c - the preset schemes of compressed-tensors 0.19.0 (quantization/quant_scheme.py), a row each. */
#include "base/scheme.h"
#include "base/tensor.h"

#include <math.h>
#include <stddef.h>

#define NONE_GIVEN                                                                      \
    .obs_maxshrink = (double)NAN, .obs_patience = (double)NAN, .obs_grid = (double)NAN, \
    .obs_norm = (double)NAN, .obs_averaging = (double)NAN, .obs_expand = (double)NAN
#define FULL(bits, kind, sym, sdt, ...)                                                                   \
    {                                                                                                     \
        .num_bits = bits, .type = kind, .symmetric = sym, .scale_dtype = sdt, .zp_dtype = -1, NONE_GIVEN, \
        __VA_ARGS__                                                                                       \
    }
#define ARGS(bits, kind, ...) FULL(bits, kind, true, -1, __VA_ARGS__)
/* weights */
#define INT_G128(bits)      ARGS(bits, QUANT_INT, .strategy = STRATEGY_GROUP, .group_size = 128)
#define INT_G128_ASYM(bits) FULL(bits, QUANT_INT, false, -1, .strategy = STRATEGY_GROUP, .group_size = 128)
#define INT_CHANNEL(bits)   ARGS(bits, QUANT_INT, .strategy = STRATEGY_CHANNEL)
#define FLOAT8(s)           ARGS(8, QUANT_FLOAT, .strategy = s)
#define MX(bits, dyn) \
    FULL(bits, QUANT_FLOAT, true, DT_U8, .strategy = STRATEGY_GROUP, .group_size = 32, .dynamic = dyn)
#define NV4(dyn, obs)                                                                           \
    FULL(4, QUANT_FLOAT, true, DT_F8_E4M3, .strategy = STRATEGY_TENSOR_GROUP, .group_size = 16, \
         .dynamic = dyn, .observer = obs)
/* activations */
#define TOKEN(bits, kind) ARGS(bits, kind, .strategy = STRATEGY_TOKEN, .dynamic = DYNAMIC_TRUE)

#define WEIGHTS(w) .has_weights = true, .weights = w
#define INPUT(i)   .has_input = true, .input = i
#define ROW(n, ...)                     \
    {                                   \
        n, { .preset = n, __VA_ARGS__ } \
    }
#define INT_ROWS(b)                          \
    ROW("W" #b "A16", WEIGHTS(INT_G128(b))), \
        ROW("W" #b "A8", WEIGHTS(INT_G128(b)), INPUT(TOKEN(8, QUANT_INT)))

// clang-format off
const struct preset presets[] = {
    INT_ROWS(2), ROW("W2A4", WEIGHTS(INT_G128(2)), INPUT(TOKEN(4, QUANT_INT))),
    INT_ROWS(3), ROW("W3A4", WEIGHTS(INT_G128(3)), INPUT(TOKEN(4, QUANT_INT))),
    INT_ROWS(4), ROW("W4A4", WEIGHTS(INT_G128(4)), INPUT(TOKEN(4, QUANT_INT))),
    ROW("W4A16_ASYM", WEIGHTS(INT_G128_ASYM(4))),
    INT_ROWS(5), INT_ROWS(6), INT_ROWS(7),
    ROW("W8A16", WEIGHTS(INT_G128(8))),
    ROW("W8A8", WEIGHTS(INT_CHANNEL(8)), INPUT(TOKEN(8, QUANT_INT))),
    ROW("INT8", WEIGHTS(INT_CHANNEL(8)), INPUT(TOKEN(8, QUANT_INT))),
    ROW("W4AFP8", WEIGHTS(INT_G128(4)), INPUT(TOKEN(8, QUANT_FLOAT))),
    ROW("FP8", WEIGHTS(FLOAT8(STRATEGY_TENSOR)), INPUT(ARGS(8, QUANT_FLOAT, .strategy = STRATEGY_TENSOR, .observer = "static_minmax"))),
    ROW("FP8_DYNAMIC", WEIGHTS(FLOAT8(STRATEGY_CHANNEL)), INPUT(TOKEN(8, QUANT_FLOAT))),
    ROW("FP8_BLOCK", WEIGHTS(ARGS(8, QUANT_FLOAT, .strategy = STRATEGY_BLOCK, .block = { 128, 128 })),
        INPUT(ARGS(8, QUANT_FLOAT, .strategy = STRATEGY_GROUP, .group_size = 128, .dynamic = DYNAMIC_TRUE))),
    ROW("NVFP4A16", WEIGHTS(NV4(DYNAMIC_FALSE, ""))),
    ROW("NVFP4", WEIGHTS(NV4(DYNAMIC_FALSE, "")), INPUT(NV4(DYNAMIC_LOCAL, "static_minmax"))),
    ROW("MXFP4A16", WEIGHTS(MX(4, DYNAMIC_FALSE))),
    ROW("MXFP4", WEIGHTS(MX(4, DYNAMIC_FALSE)), INPUT(MX(4, DYNAMIC_TRUE))),
    ROW("MXFP8A16", WEIGHTS(MX(8, DYNAMIC_FALSE))),
    ROW("MXFP8", WEIGHTS(MX(8, DYNAMIC_FALSE)), INPUT(MX(8, DYNAMIC_TRUE))),
    { "UNQUANTIZED", { .preset = "UNQUANTIZED" } },
    { 0 },
};
// clang-format on
