/* ct_format.c - which of compressed-tensors' formats holds a scheme, and why not; the container's row. Inference follows
 * the peer's order (mxfp4, mxfp8, nvfp4, int, pack, float, naive), so that a scheme without `format` gets the same one. */
#include "io/containers/ct.h"

#include <string.h>

const char *const ct_format_words[] = {
    [CT_PACK] = "pack-quantized",
    [CT_INT] = "int-quantized",
    [CT_NAIVE] = "naive-quantized",
    [CT_FLOAT] = "float-quantized",
    [CT_NVFP4] = "nvfp4-pack-quantized",
    [CT_MXFP4] = "mxfp4-pack-quantized",
    [CT_MXFP8] = "mxfp8-quantized",
    [CT_DENSE] = "dense",
    [CT_FORMATS] = NULL,
};

int ct_format_find(const char *name)
{
    for (int f = 0; f < CT_FORMATS; f++)
        if (!strcmp(ct_format_words[f], name))
            return f;
    return -1;
}

enum ct_format ct_infer(const struct quant_scheme *s)
{
    const struct quant_args *w = &s->weights;
    if (!s->has_weights)
        return CT_DENSE;
    if (w->type == QUANT_FLOAT && w->num_bits == 4 && w->group_size == 32)
        return CT_MXFP4;
    if (w->type == QUANT_FLOAT && w->num_bits == 8 && w->group_size == 32 && w->scale_dtype == DT_U8)
        return CT_MXFP8;
    if (w->type == QUANT_FLOAT && w->num_bits == 4 && w->group_size == 16)
        return CT_NVFP4;
    if (w->type == QUANT_INT)
        return s->has_input ? CT_INT : CT_PACK;
    return s->has_input ? CT_FLOAT : CT_NAIVE;
}

bool ct_packs_zero(const struct quant_args *a)
{
    return a->strategy == STRATEGY_GROUP || a->strategy == STRATEGY_CHANNEL;
}

static int check_weights(const struct quant_args *w, struct err *e)
{
    char word[96];
    if (w->num_bits < 1 || w->num_bits > 8)
        return err_set(e, ERR_INPUT, "compressed-tensors holds weights of 1 to 8 bits, found num_bits %d",
                       w->num_bits);
    if (w->strategy == STRATEGY_TOKEN || w->strategy == STRATEGY_ATTN_HEAD ||
        w->strategy == STRATEGY_TENSOR_GROUP)
        return err_set(e, ERR_INPUT, "compressed-tensors holds no integer weights of strategy %s",
                       strategy_words[w->strategy]);
    if (w->dynamic != DYNAMIC_FALSE)
        return err_set(e, ERR_INPUT, "weights are %s with 'dynamic', expected 'dynamic: false'",
                       quant_args_word(w, word));
    if (w->scale_dtype >= 0 && w->scale_dtype != DT_F32 && w->scale_dtype != DT_F16 &&
        w->scale_dtype != DT_BF16)
        return err_set(e, ERR_INPUT,
                       "scales of integer weights are float32, float16 or bfloat16, found scale_dtype %s",
                       dtypes[w->scale_dtype].torch);
    if (w->zp_dtype >= 0 && w->zp_dtype != DT_I8)
        return err_set(e, ERR_INPUT, "zero points of integer weights are int8, found zp_dtype %s",
                       dtypes[w->zp_dtype].torch);
    return 0;
}

static int check_activations(const struct quant_scheme *s, struct err *e)
{
    if (s->has_input && s->input.dynamic == DYNAMIC_FALSE)
        return err_set(e, ERR_UNBUILT,
                       "static input_activations (an input_scale in the checkpoint) are not built yet");
    if (s->has_output)
        return err_set(e, ERR_UNBUILT, "output_activations are not built yet");
    return 0;
}

int ct_format_of(const struct quant_scheme *s, enum ct_format *out, struct err *e)
{
    char word[96];
    int f = s->format[0] ? ct_format_find(s->format) : (int)ct_infer(s);
    if (!s->has_weights)
        return err_set(e, ERR_INPUT,
                       "the scheme quantizes no weights: compressed-tensors has nothing to hold");
    if (f < 0) {
        err_set(e, ERR_INPUT, "found format '%s', expected one of compressed-tensors' formats", s->format);
        const char *near = str_nearest(s->format, ct_format_words, CT_FORMATS, sizeof *ct_format_words);
        return near ? err_hint(e, "did you mean '%s'?", near) : -1;
    }
    if (s->weights.type == QUANT_FLOAT)
        return err_set(e, ERR_UNBUILT, "%s (weights %s) is not built yet", ct_format_words[f],
                       quant_args_word(&s->weights, word));
    if (f != CT_PACK && f != CT_INT && f != CT_NAIVE) {
        err_set(e, ERR_INPUT, "format '%s' can not hold weights that are %s", ct_format_words[f],
                quant_args_word(&s->weights, word));
        return err_hint(e, "leave `format` out, or use pack-quantized, int-quantized or naive-quantized");
    }
    *out = (enum ct_format)f;
    return check_weights(&s->weights, e) ? -1 : check_activations(s, e);
}

static int fits(const struct quant_scheme *s, struct err *e)
{
    enum ct_format f;
    return ct_format_of(s, &f, e);
}

const struct container compressed_tensors = {
    .name = "compressed-tensors",
    .doc = "what llm-compressor writes; read by transformers and vLLM",
    .quant_method = "compressed-tensors",
    .fits = fits,
    .pack = ct_pack,
    .packed_bytes = ct_packed_bytes,
    .write_config = ct_write_config,
    .open = ct_open,
    .describe = ct_describe,
    .unpack = ct_unpack,
    .close = ct_close,
};
