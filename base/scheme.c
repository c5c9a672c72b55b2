/* scheme.c - words, defaults and JSON of quantization arguments. The preset rows are presets.c. */
#include "base/scheme.h"

#include "base/num.h"
#include "base/tensor.h"

#include <math.h>
#include <string.h>

const char *const strategy_words[] = { "tensor", "channel",      "group",     "block",
                                       "token",  "tensor_group", "attn_head", NULL };
const char *const quant_type_words[] = { "int", "float", NULL };
const char *const actorder_words[] = { "none", "weight", "static", NULL };

void quant_args_default(struct quant_args *a)
{
    memset(a, 0, sizeof *a);
    a->num_bits = 8;
    a->symmetric = true;
    a->strategy = STRATEGY_TENSOR;
    a->scale_dtype = a->zp_dtype = -1;
    a->obs_maxshrink = a->obs_patience = a->obs_grid = a->obs_norm = a->obs_averaging = a->obs_expand =
        (double)NAN;
}

const struct preset *preset_find(const char *name)
{
    for (const struct preset *p = presets; p->name; p++)
        if (str_same_nocase(p->name, name))
            return p;
    return NULL;
}

static void torch_dtype(struct jw *w, const char *key, int t)
{
    char text[40];
    if (t < 0)
        jw_kstr(w, key, NULL);
    else {
        snprintf(text, sizeof text, "torch.%s", dtypes[t].torch);
        jw_kstr(w, key, text);
    }
}

static void observer_kwargs(const struct quant_args *a, struct jw *w)
{
    const struct {
        const char *name;
        double v;
    } rows[] = { { "averaging_constant", a->obs_averaging },
                 { "expand", a->obs_expand },
                 { "grid", a->obs_grid },
                 { "maxshrink", a->obs_maxshrink },
                 { "norm", a->obs_norm },
                 { "patience", a->obs_patience } };
    jw_key(w, "observer_kwargs");
    jw_object(w);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!isnan(rows[i].v))
            jw_kreal(w, rows[i].name, rows[i].v);
    jw_end_object(w);
}

void quant_args_json(const struct quant_args *a, struct jw *w)
{
    static const char *const words[] = { NULL, "weight", "static" };
    jw_object(w);
    jw_kstr(w, "actorder", words[a->actorder]);
    jw_key(w, "block_structure");
    if (a->strategy == STRATEGY_BLOCK) {
        jw_array(w);
        jw_int(w, a->block[0]);
        jw_int(w, a->block[1]);
        jw_end_array(w);
    } else
        jw_null(w);
    jw_key(w, "dynamic");
    if (a->dynamic == DYNAMIC_LOCAL)
        jw_str(w, "local");
    else
        jw_bool(w, a->dynamic == DYNAMIC_TRUE);
    jw_key(w, "group_size");
    if (a->group_size)
        jw_int(w, a->group_size);
    else
        jw_null(w);
    jw_kint(w, "num_bits", a->num_bits);
    jw_kstr(w, "observer", a->observer[0] ? a->observer : NULL);
    observer_kwargs(a, w);
    torch_dtype(w, "scale_dtype", a->scale_dtype);
    jw_kstr(w, "strategy", strategy_words[a->strategy]);
    jw_kbool(w, "symmetric", a->symmetric);
    jw_kstr(w, "type", quant_type_words[a->type]);
    /* the peer writes its default only where there are zero points */
    torch_dtype(w, "zp_dtype",
                a->zp_dtype < 0 && !a->symmetric && a->type == QUANT_INT ? DT_I8 : a->zp_dtype);
    jw_end_object(w);
}

const char *quant_args_word(const struct quant_args *a, char *out)
{
    char cell[40] = "";
    if (a->strategy == STRATEGY_BLOCK)
        snprintf(cell, sizeof cell, " %lldx%lld", (long long)a->block[0], (long long)a->block[1]);
    else if (a->group_size > 0)
        snprintf(cell, sizeof cell, " %lld", (long long)a->group_size);
    snprintf(out, 96, "%d-bit %s %s %s%s", a->num_bits, quant_type_words[a->type],
             a->symmetric ? "symmetric" : "asymmetric", strategy_words[a->strategy], cell);
    return out;
}
