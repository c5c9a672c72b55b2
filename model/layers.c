/* layers.c - what differs from layer to layer: windows, rope, the scale of the scores. The rules are enum values of the
 * family's row; a list in config.json (layer_types, no_rope_layers) wins over a rule where the family reads it. */
#include "base/mem.h"
#include "kernels/math.h"
#include "model/config.h"
#include <string.h>

/* Transformers knows more kinds of layers; those belong to steps that are not built. */
static int read_layer_types(struct config *c, const struct json *j, struct err *e)
{
    const struct json *t = json_get(j, "layer_types");
    if (!c->arch->layer_types || json_type(t) == JSON_NULL)
        return 0;
    if (json_type(t) != JSON_ARRAY)
        return config_bad(c, "layer_types", t, e, "a list");
    if (json_len(t) != (size_t)c->layers)
        return err_set(e, ERR_INPUT,
                       "%s: key 'layer_types': found %zu layers, expected num_hidden_layers = %lld", c->file,
                       json_len(t), (long long)c->layers);
    if (!c->local)
        c->local = mem_array((size_t)c->layers, sizeof *c->local, e);
    if (!c->local)
        return -1;
    for (size_t i = 0; i < json_len(t); i++) {
        const char *s = json_str(json_item(t, i), NULL);
        bool window = s && !strcmp(s, "sliding_attention");
        if (!window && (!s || strcmp(s, "full_attention")))
            return config_bad(c, "layer_types", json_item(t, i), e,
                              "'full_attention' or 'sliding_attention'");
        c->local[i] = window;
    }
    return 0;
}

static int read_rope_list(struct config *c, const struct json *j, struct err *e)
{
    const struct json *t = json_get(j, "no_rope_layers");
    if (c->arch->rope != ROPE_LISTED)
        return 0;
    c->rope_off = mem_array((size_t)c->layers, sizeof *c->rope_off, e);
    if (!c->rope_off)
        return -1;
    for (int64_t i = 0; i < c->layers; i++)
        c->rope_off[i] = (i + 1) % c->norope_period == 0;
    if (json_type(t) == JSON_NULL)
        return 0;
    if (json_type(t) != JSON_ARRAY || json_len(t) != (size_t)c->layers)
        return err_set(e, ERR_INPUT,
                       "%s: key 'no_rope_layers': expected a list of num_hidden_layers = %lld numbers",
                       c->file, (long long)c->layers);
    for (size_t i = 0; i < json_len(t); i++) {
        int64_t on;
        if (!json_int(json_item(t, i), &on) || on < 0 || on > 1)
            return config_bad(c, "no_rope_layers", json_item(t, i), e, "0 (no rope) or 1 (rope)");
        c->rope_off[i] = !on;
    }
    return 0;
}

static bool window_by_rule(const struct config *c, int64_t i)
{
    switch (c->arch->window) {
    case WINDOW_ALL: return true;
    case WINDOW_LATE: return i >= c->max_window_layers;
    case WINDOW_EVEN: return i % 2 == 0;
    case WINDOW_PERIOD: return (i + 1) % c->window_period != 0;
    case WINDOW_NOPE: return c->rope_off && c->rope_off[i];
    case WINDOW_NONE: break;
    }
    return false;
}

static int rope_by_rule(const struct config *c, int64_t i, bool window)
{
    switch (c->arch->rope) {
    case ROPE_ALL: return 0;
    case ROPE_BY_KIND: return window;
    case ROPE_WINDOW: return c->layer[i].window > 0 ? 0 : -1;
    case ROPE_LISTED: return c->rope_off[i] ? -1 : 0;
    case ROPE_NONE: break;
    }
    return -1;
}

/* Slopes of ALiBi (arXiv:2108.12409) for any number of heads. n is a power of two: LOW takes n <= heads and fills up with
 * the odd steps of 2n; HIGH takes n >= heads, every second slope first. */
static int read_alibi(struct config *c, struct err *e)
{
    int64_t n = 1, heads = c->heads;
    if (c->arch->alibi == ALIBI_NONE)
        return 0;
    c->alibi = mem_array((size_t)heads, sizeof *c->alibi, e);
    if (!c->alibi)
        return -1;
    while (c->arch->alibi == ALIBI_LOW ? 2 * n <= heads : n < heads)
        n *= 2;
    for (int64_t h = 0; h < heads; h++) {
        double step = (double)(h + 1);
        if (c->arch->alibi == ALIBI_LOW && h >= n)
            step = (double)(2 * (h - n) + 1) / 2;
        if (c->arch->alibi == ALIBI_HIGH && n != heads)
            step = (double)(h < n / 2 ? 2 * (h + 1) : 2 * (h - n / 2) + 1);
        c->alibi[h] = (float)m_pow(2, -8 * step / (double)n);
    }
    return 0;
}

int config_layers(struct config *c, const struct json *j, struct err *e)
{
    /* A family that has use_sliding_window ignores sliding_window without it. */
    bool on = (c->arch->window != WINDOW_LATE && c->arch->window != WINDOW_NOPE) || c->flag[FLAG_USE_WINDOW];
    c->layer = mem_array((size_t)c->layers, sizeof *c->layer, e);
    if (!c->layer || read_alibi(c, e) || read_rope_list(c, j, e) || read_layer_types(c, j, e))
        return -1;
    for (int64_t i = 0; i < c->layers; i++) {
        struct layer *l = &c->layer[i];
        bool window = c->local ? c->local[i] : window_by_rule(c, i);
        l->window = window && on ? c->window : 0;
        l->rope = rope_by_rule(c, i, window);
        l->scale = (float)(c->flag[FLAG_SCALE_BY_LAYER] ? c->attn_scale / (double)(i + 1) : c->attn_scale);
    }
    return 0;
}
