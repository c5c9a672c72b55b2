/* containers.c - the table of containers, and the methods that are known by name only. */
#include "io/containers/container.h"

#include "io/containers/ct.h"

#include <string.h>

const struct container *const containers[] = { &compressed_tensors, NULL };

static const struct {
    const char *method, *what;
} unbuilt[] = {
    { "aqlm", "additive codebooks" },
    { "auto-round", "Intel AutoRound" },
    { "awq", "AutoAWQ: gemm, gemv" },
    { "bitnet", "ternary weights" },
    { "bitsandbytes", "nf4, fp4, int8" },
    { "eetq", "int8" },
    { "exl2", "ExLlamaV2" },
    { "exl3", "ExLlamaV3 trellis" },
    { "fbgemm_fp8", "float8 by rows" },
    { "fp8", "float8 by blocks" },
    { "fp_quant", "MXFP4 and NVFP4 with Hadamard rotations" },
    { "gguf", "llama.cpp" },
    { "gptq", "GPTQ: v1, v2, planar" },
    { "higgs", "Hadamard rotations with grids" },
    { "hqq", "half-quadratic" },
    { "mlx", "MLX affine, mxfp4, nvfp4, mxfp8" },
    { "modelopt", "NVIDIA ModelOpt" },
    { "mxfp4", "gpt-oss" },
    { "quanto", "optimum-quanto" },
    { "quark", "AMD Quark" },
    { "quip", "QuIP#" },
    { "spqr", "sparse outliers" },
    { "torchao", "torchao tensor subclasses" },
    { "vptq", "vector codebooks" },
};

const struct container *container_find(const char *name)
{
    for (const struct container *const *c = containers; *c; c++)
        if (!strcmp((*c)->name, name))
            return *c;
    return NULL;
}

const struct container *container_by_method(const char *quant_method)
{
    for (const struct container *const *c = containers; *c; c++)
        if (!strcmp((*c)->quant_method, quant_method))
            return *c;
    return NULL;
}

const char *container_unbuilt(const char *quant_method)
{
    for (size_t i = 0; i < sizeof unbuilt / sizeof *unbuilt; i++)
        if (!strcmp(unbuilt[i].method, quant_method))
            return unbuilt[i].what;
    return NULL;
}
