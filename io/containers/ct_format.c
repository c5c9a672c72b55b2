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

/* -- what each format holds -- */

static bool is_byte_scale(int t) { return t == DT_U8 || t == DT_F8_E4M3; }

static bool holds_int(const struct quant_args *w) { return w->type == QUANT_INT; }

static bool holds_fp8(const struct quant_args *w)
{
    return w->type == QUANT_FLOAT && w->num_bits == 8 && !is_byte_scale(w->scale_dtype);
}

static bool holds_any(const struct quant_args *w) { return holds_int(w) || holds_fp8(w); }

static bool holds_nvfp4(const struct quant_args *w)
{
    return w->type == QUANT_FLOAT && w->num_bits == 4 && w->strategy == STRATEGY_TENSOR_GROUP &&
           w->group_size == 16 && w->scale_dtype == DT_F8_E4M3;
}

static bool holds_mx(const struct quant_args *w)
{
    return w->type == QUANT_FLOAT && w->strategy == STRATEGY_GROUP && w->group_size == 32 &&
           w->scale_dtype == DT_U8;
}

static bool holds_mxfp4(const struct quant_args *w) { return holds_mx(w) && w->num_bits == 4; }

static bool holds_mxfp8(const struct quant_args *w) { return holds_mx(w) && w->num_bits == 8; }

const struct ct_form ct_forms[] = {
    [CT_PACK] = { "int", holds_int, "integers", true, 0 },
    [CT_INT] = { "int", holds_int, "integers", false, 0 },
    [CT_NAIVE] = { NULL, holds_any, "integers, or 8-bit floats whose scales are no bytes", false, 0 },
    [CT_FLOAT] = { "fp8", holds_fp8, "8-bit floats whose scales are no bytes", false, 0 },
    [CT_NVFP4] = { "nvfp4", holds_nvfp4,
                   "4-bit floats of strategy tensor_group 16 with scale_dtype torch.float8_e4m3fn", true, 1 },
    [CT_MXFP4] = { "mxfp4", holds_mxfp4, "4-bit floats of strategy group 32 with scale_dtype torch.uint8",
                   true, 1 },
    [CT_MXFP8] = { "mxfp8", holds_mxfp8, "8-bit floats of strategy group 32 with scale_dtype torch.uint8",
                   false, 1 },
    [CT_DENSE] = { NULL, NULL, "nothing that is quantized", false, 0 },
};

const char *ct_grid_name(enum ct_format f, const struct quant_args *w)
{
    return ct_forms[f].grid ? ct_forms[f].grid : w->type == QUANT_INT ? "int" : "fp8";
}

static int check_int(const struct quant_args *w, struct err *e)
{
    if (w->num_bits < 1 || w->num_bits > 8)
        return err_set(e, ERR_INPUT, "compressed-tensors holds weights of 1 to 8 bits, found num_bits %d",
                       w->num_bits);
    if (w->strategy == STRATEGY_TENSOR_GROUP)
        return err_set(e, ERR_INPUT, "compressed-tensors holds no integer weights of strategy %s",
                       strategy_words[w->strategy]);
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

static int check_float(const struct quant_args *w, struct err *e)
{
    if (!w->symmetric)
        return err_set(e, ERR_UNBUILT, "asymmetric weights of type float are not built yet");
    if (w->strategy == STRATEGY_TENSOR_GROUP && w->num_bits != 4)
        return err_set(e, ERR_INPUT, "compressed-tensors holds no %d-bit weights of strategy %s", w->num_bits,
                       strategy_words[w->strategy]);
    return 0;
}

static int check_weights(const struct quant_args *w, struct err *e)
{
    char word[96];
    if (w->strategy == STRATEGY_TOKEN || w->strategy == STRATEGY_ATTN_HEAD)
        return err_set(e, ERR_INPUT, "strategy %s is for activations, not for weights",
                       strategy_words[w->strategy]);
    if (w->dynamic != DYNAMIC_FALSE)
        return err_set(e, ERR_INPUT, "weights are %s with 'dynamic', expected 'dynamic: false'",
                       quant_args_word(w, word));
    return w->type == QUANT_INT ? check_int(w, e) : check_float(w, e);
}

/* Dynamic activations are words in config.json, static ones tensors beside the module (ct_activation.c). */
static int check_activations(const struct quant_scheme *s, struct err *e)
{
    if (s->has_output)
        return err_set(e, ERR_UNBUILT, "output_activations are not built yet");
    /* whether groups divide the inputs is seen with the module */
    return s->has_input ? activation_check(&s->input, ACTIVATION_INPUT, 0, e) : 0;
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
    if (check_weights(&s->weights, e))
        return -1;
    if (!ct_forms[f].holds || !ct_forms[f].holds(&s->weights)) {
        err_set(e, ERR_INPUT, "format '%s' holds %s, and the weights are %s", ct_format_words[f],
                ct_forms[f].what, quant_args_word(&s->weights, word));
        return s->format[0] ? err_hint(e, "leave `format` out: it follows from the weights")
                            : err_hint(e, "the preset schemes are what the readers of this format know");
    }
    *out = (enum ct_format)f;
    return check_activations(s, e);
}

/* The readers of FP4 and MX weights compute them in bfloat16, whatever the model is in. */
static const char *remark(const struct quant_scheme *s, enum dtype weight)
{
    enum ct_format f;
    if (ct_format_of(s, &f, NULL) || !ct_forms[f].bfloat16 || weight == DT_BF16)
        return NULL;
    return "weights are decoded to bfloat16 by compressed-tensors whatever the model's dtype is: transformers "
           "on a CPU fails to multiply them with activations of another dtype; start from a bfloat16 "
           "checkpoint";
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
    .remark = remark,
    .pack = ct_pack,
    .pack_begin = ct_pack_begin,
    .row_bytes = ct_row_bytes,
    .pack_rows = ct_pack_rows,
    .pack_end = ct_pack_end,
    .pack_activation = ct_pack_activation,
    .packed_bytes = ct_packed_bytes,
    .write_config = ct_write_config,
    .open = ct_open,
    .describe = ct_describe,
    .activation = ct_activation,
    .cache_scheme = ct_cache_args,
    .cache = ct_cache,
    .unpack = ct_unpack,
    .close = ct_close,
};
