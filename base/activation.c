/* activation.c - activation quantizers as values: which can be computed, and the parameters of static ones. The arithmetic
 * is that of compressed-tensors 0.19 (quantization/utils/helpers.py, calculate_qparams): in the dtype of the observed
 * values, one rounding after each operation. */
#include "base/activation.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

const char *const simulate_words[] = { "simulate", "float", NULL };

int activation_init(struct activation *a, const struct quant_args *args, int64_t n, struct err *e)
{
    memset(a, 0, sizeof *a);
    a->args = *args;
    a->n = n;
    a->scale = n ? mem_array((size_t)n, sizeof *a->scale, e) : NULL;
    if (n && !args->symmetric)
        a->zero = mem_array((size_t)n, sizeof *a->zero, e);
    a->on = !n || (a->scale && (args->symmetric || a->zero));
    if (a->on)
        return 0;
    activation_release(a);
    return -1;
}

void activation_release(struct activation *a)
{
    mem_free(a->scale);
    mem_free(a->zero);
    memset(a, 0, sizeof *a);
}

bool activation_is_static(const struct quant_args *a) { return a->dynamic != DYNAMIC_TRUE; }

void activation_range(const struct quant_args *a, float *least, float *most)
{
    if (a->type == QUANT_FLOAT) {
        *most = a->num_bits == 4 ? 6.0f : 448.0f;
        *least = -*most;
        return;
    }
    *least = -(float)(1 << (a->num_bits - 1));
    *most = -*least - 1.0f;
}

const char *activation_word(const struct quant_args *a, char *out)
{
    static const char *const how[] = { "static", "dynamic", "local" };
    char word[96];
    snprintf(out, 128, "%s, %s", quant_args_word(a, word), how[a->dynamic]);
    return out;
}

static bool is_mx(const struct quant_args *a)
{
    return a->type == QUANT_FLOAT && a->group_size == 32 && a->scale_dtype == DT_U8 &&
           a->strategy == STRATEGY_GROUP;
}

static int unbuilt(const struct quant_args *a, const char *why, struct err *e)
{
    char word[128];
    return err_set(e, ERR_UNBUILT, "activations that are %s: %s", activation_word(a, word), why);
}

static int check_numbers(const struct quant_args *a, struct err *e)
{
    char word[128];
    if (a->type == QUANT_FLOAT ? a->num_bits != 4 && a->num_bits != 8 : a->num_bits < 2 || a->num_bits > 8)
        return err_set(e, ERR_INPUT,
                       "activations that are %s: expected integers of 2 to 8 bits, or floats of 4 or 8",
                       activation_word(a, word));
    if (a->type == QUANT_FLOAT && !a->symmetric)
        return unbuilt(a, "floats with a zero point are not built yet", e);
    if (a->strategy == STRATEGY_TENSOR_GROUP || is_mx(a))
        return 0;
    if (a->scale_dtype == DT_U8 || a->scale_dtype == DT_F8_E4M3)
        return unbuilt(a, "scales of a byte are built for MX (group 32) and NVFP4 (tensor_group 16)", e);
    return 0;
}

static int check_groups(const struct quant_args *a, int64_t width, struct err *e)
{
    char word[128];
    if (a->group_size < 1)
        return err_set(e, ERR_INPUT, "activations that are %s have no group_size", activation_word(a, word));
    if (width % a->group_size)
        return err_set(e, ERR_INPUT,
                       "%lld inputs can not be cut in groups of %lld, which input_activations ask for",
                       (long long)width, (long long)a->group_size);
    if (a->strategy == STRATEGY_GROUP)
        return a->dynamic == DYNAMIC_TRUE ? 0 : unbuilt(a, "static scales of groups are not built yet", e);
    if (a->dynamic != DYNAMIC_LOCAL || a->scale_dtype != DT_F8_E4M3 || a->type != QUANT_FLOAT ||
        a->num_bits != 4)
        return unbuilt(
            a,
            "tensor_group is built for 4-bit floats with dynamic: local and scale_dtype torch.float8_e4m3fn",
            e);
    return 0;
}

static int check_input(const struct quant_args *a, int64_t width, struct err *e)
{
    char word[128];
    switch (a->strategy) {
    case STRATEGY_TOKEN:
        if (a->dynamic == DYNAMIC_TRUE)
            return 0;
        break;
    case STRATEGY_TENSOR:
        if (a->dynamic != DYNAMIC_LOCAL)
            return 0;
        break;
    case STRATEGY_GROUP:
    case STRATEGY_TENSOR_GROUP: return check_groups(a, width, e);
    default: break;
    }
    return err_set(e, ERR_INPUT, "input_activations that are %s mean nothing", activation_word(a, word));
}

int activation_check(const struct quant_args *a, enum activation_role role, int64_t width, struct err *e)
{
    if (check_numbers(a, e))
        return -1;
    if (role == ACTIVATION_INPUT)
        return check_input(a, width, e);
    if (a->dynamic != DYNAMIC_FALSE)
        return unbuilt(a, "a kv_cache_scheme is built with static scales only (dynamic: false)", e);
    if (a->strategy != STRATEGY_TENSOR && a->strategy != STRATEGY_ATTN_HEAD)
        return unbuilt(a, "a kv_cache_scheme is built for the strategies tensor and attn_head", e);
    return 0;
}

static float rounded(enum dtype t, float x) { return dtype_round(t, x); }

static float epsilon(enum dtype t) { return t == DT_BF16 ? 0x1p-7f : t == DT_F16 ? 0x1p-10f : 0x1p-23f; }

void activation_params(const struct quant_args *a, enum dtype t, float min, float max, float *scale,
                       int8_t *zero)
{
    float least, most, s;
    activation_range(a, &least, &most);
    float lo = rounded(t, min < 0 ? min : 0), hi = rounded(t, max > 0 ? max : 0);
    if (a->symmetric) {
        float half = rounded(t, (most - least) / 2);
        s = rounded(t, (hi > -lo ? hi : -lo) / half);
        *scale = s > 0 ? s : epsilon(t);
        return;
    }
    s = rounded(t, rounded(t, hi - lo) / rounded(t, most - least));
    float z = s > 0 ? rounded(t, least - rounded(t, lo / s)) : least;
    z = z < least ? least : z > most ? most : z;
    *scale = s > 0 ? s : epsilon(t);
    *zero = (int8_t)rintf(z);
}

int activations_init(struct activations *a, int64_t n_modules, int64_t n_blocks, struct err *e)
{
    memset(a, 0, sizeof *a);
    a->n_modules = n_modules;
    a->n_blocks = n_blocks;
    a->module = mem_array((size_t)n_modules + 1, sizeof *a->module, e);
    a->key = a->module ? mem_array((size_t)n_blocks + 1, sizeof *a->key, e) : NULL;
    a->value = a->key ? mem_array((size_t)n_blocks + 1, sizeof *a->value, e) : NULL;
    if (a->value)
        return 0;
    activations_release(a);
    return -1;
}

void activations_release(struct activations *a)
{
    for (int64_t i = 0; a->module && i < a->n_modules; i++)
        activation_release(&a->module[i]);
    for (int64_t i = 0; i < a->n_blocks; i++) {
        if (a->key)
            activation_release(&a->key[i]);
        if (a->value)
            activation_release(&a->value[i]);
    }
    mem_free(a->module);
    mem_free(a->key);
    mem_free(a->value);
    memset(a, 0, sizeof *a);
}
