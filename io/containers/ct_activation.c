/* ct_activation.c - activation quantizers in compressed-tensors: input_scale, input_zero_point and input_global_scale beside
 * a module's weight, k_scale and v_scale beside an attention's projections. Dynamic ones are words of config.json alone.
 * Source of names and shapes: compressed-tensors 0.19.0 (quantization/lifecycle/initialize.py). */
#include "io/containers/ct.h"

#include "base/mem.h"
#include "io/save.h"

#include <math.h>
#include <string.h>

/* -- out -- */

static int put(struct saver *out, const char *module, const char *what, const char *tail, enum dtype t,
               int64_t n, const void *data, struct err *e)
{
    char *name = mem_printf(e, "%s.%s_%s", module, what, tail);
    int64_t dim[3] = { n, 1, 1 }; /* heads stand before tokens and the head's dimension */
    int rc = name ? saver_put(out, name, t, n > 1 ? 3 : 1, dim, data, e) : -1;
    mem_free(name);
    return rc;
}

int ct_pack_activation(struct saver *out, const char *module, const char *what, const struct activation *a,
                       enum dtype t, struct err *e)
{
    if (a->args.strategy == STRATEGY_TENSOR_GROUP)
        return put(out, module, what, "global_scale", DT_F32, 1, &a->global, e);
    if (!a->n)
        return 0;
    float *scale = mem_array((size_t)a->n, sizeof *scale, e);
    if (!scale)
        return -1;
    dtype_from_f32(t, a->scale, a->n, scale);
    int rc = put(out, module, what, "scale", t, a->n, scale, e);
    mem_free(scale);
    return rc || (a->zero && put(out, module, what, "zero_point", DT_I8, a->n, a->zero, e)) ? -1 : 0;
}

/* -- in -- */

/* A stored tensor of n numbers as float32; *found: it is there. */
static int numbers(const struct tensor_source *t, const char *module, const char *what, const char *tail,
                   int64_t n, float *out, bool *found, struct err *e)
{
    struct tensor_view v;
    char *name = mem_printf(e, "%s.%s_%s", module, what, tail);
    if (!name)
        return -1;
    *found = t->find(t->self, name) != NULL;
    int rc = *found ? t->view(t->self, name, &v, e) : 0;
    if (!rc && *found && view_elems(&v) != n)
        rc = err_set(e, ERR_INPUT, "tensor '%s' holds %lld numbers, expected %lld", name,
                     (long long)view_elems(&v), (long long)n);
    if (!rc && *found && v.dtype != DT_I8 && !dtypes[v.dtype].is_float)
        rc = err_set(e, ERR_INPUT, "tensor '%s' is %s, expected a float or I8", name, dtypes[v.dtype].name);
    for (int64_t i = 0; !rc && *found && i < n; i++) {
        if (v.dtype == DT_I8)
            out[i] = (float)((const int8_t *)v.data)[i];
        else
            dtype_to_f32(v.dtype, (const char *)v.data + i * dtypes[v.dtype].bytes, 1, &out[i]);
        if (!isfinite(out[i]) || (strcmp(tail, "zero_point") && !(out[i] > 0)))
            rc = err_set(e, ERR_INPUT, "tensor '%s' holds %g, expected a positive number", name,
                         (double)out[i]);
    }
    mem_free(name);
    return rc;
}

static int lost(const char *module, const char *what, const char *tail, struct err *e)
{
    return err_set(e, ERR_INPUT, "module '%s' has no tensor '%s_%s', which config.json's scheme asks for",
                   module, what, tail);
}

static int read_scales(const struct tensor_source *t, const char *module, const char *what,
                       struct activation *a, struct err *e)
{
    bool found;
    float least, most;
    activation_range(&a->args, &least, &most);
    if (numbers(t, module, what, "scale", a->n, a->scale, &found, e))
        return -1;
    if (!found)
        return lost(module, what, "scale", e);
    if (!a->zero)
        return 0;
    float *z = mem_array((size_t)a->n, sizeof *z, e);
    int rc = z ? numbers(t, module, what, "zero_point", a->n, z, &found, e) : -1;
    if (!rc && !found)
        rc = lost(module, what, "zero_point", e);
    for (int64_t i = 0; !rc && i < a->n; i++) {
        if (z[i] < least || z[i] > most)
            rc = err_set(e, ERR_INPUT, "module '%s': %s_zero_point %g is no code of %d bits", module, what,
                         (double)z[i], a->args.num_bits);
        a->zero[i] = (int8_t)z[i];
    }
    mem_free(z);
    return rc;
}

static int read_stored(const struct tensor_source *t, const char *module, const char *what,
                       const struct quant_args *args, int64_t n, struct activation *a, struct err *e)
{
    bool found;
    if (activation_init(a, args, args->dynamic == DYNAMIC_FALSE ? n : 0, e))
        return -1;
    int rc = a->n ? read_scales(t, module, what, a, e) : 0;
    if (!rc && args->strategy == STRATEGY_TENSOR_GROUP) {
        rc = numbers(t, module, what, "global_scale", 1, &a->global, &found, e);
        if (!rc && !found)
            rc = lost(module, what, "global_scale", e);
    }
    if (rc)
        activation_release(a);
    return rc;
}

/* A group that rounds inputs of float weights: its modules are not in the decoder's list, and must not pass as floats. */
static int only_inputs(const struct ct_config *c, struct err *e)
{
    for (size_t i = 0; i < c->n_groups; i++)
        if (c->group[i].scheme.has_input && !c->group[i].scheme.has_weights)
            return err_set(
                e, ERR_UNBUILT,
                "config group '%s' rounds the inputs of unquantized weights, which is not built yet",
                c->group[i].name);
    return 0;
}

int ct_activation(void *decoder, const char *module, struct activation *out, struct err *e)
{
    int64_t in;
    const struct ct_group *g = ct_group_of(decoder, module, &in);
    memset(out, 0, sizeof *out);
    if (!g)
        return only_inputs(ct_config_of(decoder), e);
    if (g->scheme.has_output)
        return err_set(e, ERR_UNBUILT, "module '%s': output_activations are not built yet", module);
    if (!g->scheme.has_input)
        return 0;
    if (activation_check(&g->scheme.input, ACTIVATION_INPUT, in, e) ||
        read_stored(ct_stored(decoder), module, "input", &g->scheme.input, 1, out, e))
        return err_while(e, "reading how module '%s' rounds its input", module);
    return 0;
}

/* k_scale and v_scale beside the projections; files of older versions have output_scale at k_proj and v_proj instead. */
static int read_cache(const struct tensor_source *t, const char *attention, const char *what,
                      const struct quant_args *args, int64_t n, struct activation *a, struct err *e)
{
    char *now = mem_printf(e, "%s.%s_scale", attention, what),
         *module = now ? mem_printf(e, "%s.%s_proj", attention, what) : NULL,
         *old = module ? mem_printf(e, "%s.output_scale", module) : NULL;
    int rc = -1;
    if (old)
        rc = !t->find(t->self, now) && t->find(t->self, old) ? read_stored(t, module, "output", args, n, a, e)
                                                             : read_stored(t, attention, what, args, n, a, e);
    mem_free(now);
    mem_free(module);
    mem_free(old);
    return rc;
}

int ct_cache(void *decoder, const char *attention, int64_t heads, struct activation *key,
             struct activation *value, struct err *e)
{
    const struct quant_args *a = ct_cache_args(decoder);
    memset(key, 0, sizeof *key);
    memset(value, 0, sizeof *value);
    if (!a)
        return 0;
    int64_t n = a->strategy == STRATEGY_ATTN_HEAD ? heads : 1;
    if (activation_check(a, ACTIVATION_KV, heads, e) ||
        read_cache(ct_stored(decoder), attention, "k", a, n, key, e) ||
        read_cache(ct_stored(decoder), attention, "v", a, n, value, e)) {
        activation_release(key);
        return err_while(e, "reading how '%s' rounds its cache", attention);
    }
    return 0;
}
