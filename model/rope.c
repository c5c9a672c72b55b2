/* rope.c - kinds of rope scaling as rows: which keys they need and how they change the frequencies b^(-2j/R).
 * Formulas: RoPE (arXiv:2104.09864), position interpolation (2306.15595), YaRN (2309.00071), LongRoPE (2402.13753), and
 * Llama 3.1's bands. */
#include "model/rope.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "kernels/math.h"
#include "model/config.h"
#include <math.h>
#include <string.h>

enum { NEED_FACTOR = 1, NEED_BANDS = 2, NEED_LISTS = 4, BY_LENGTH = 8, MORE_THAN_ONE_PAIR = 16 };
struct rope_kind {
    const char *name;
    unsigned needs;
    void (*freq)(const struct rope *r, int64_t length,
                 float *freq);             /* plain frequencies in, scaled ones out */
    double (*scale)(const struct rope *r); /* NULL: 1 */
};

static const double pi = 3.14159265358979323846;

static double power(double base, double exponent) { return exponent == 0 ? 1 : m_pow(base, exponent); }

/* f_j = 1 / base^(2j/R) in float32 steps, as the reference takes them. */
static void plain_freq(const struct rope *r, double base, float *freq)
{
    for (int64_t j = 0; j < r->rot / 2; j++) {
        float exponent = (float)(2 * j) / (float)r->rot;
        freq[j] = 1.0f / (float)power(base, (double)exponent);
    }
}

static void freq_linear(const struct rope *r, int64_t length, float *freq)
{
    (void)length;
    for (int64_t j = 0; j < r->rot / 2; j++)
        freq[j] /= (float)r->factor;
}

static void freq_dynamic(const struct rope *r, int64_t length, float *freq)
{
    double n = (double)r->max_positions, d = (double)r->rot;
    if (length <= r->max_positions)
        return;
    double grow = r->factor * (double)length / n - (r->factor - 1);
    plain_freq(r, r->theta * power(grow, d / (d - 2)), freq);
}

static void freq_llama3(const struct rope *r, int64_t length, float *freq)
{
    double trained = (double)r->original, low = trained / r->low_freq, high = trained / r->high_freq;
    (void)length;
    for (int64_t j = 0; j < r->rot / 2; j++) {
        float f = freq[j];
        float wave = (float)(2 * pi) / f;
        float smooth = ((float)trained / wave - (float)r->low_freq) / (float)(r->high_freq - r->low_freq);
        if ((double)wave > low)
            freq[j] = f / (float)r->factor;
        else if ((double)wave >= high)
            freq[j] = (1 - smooth) * f / (float)r->factor + smooth * f;
    }
}

/* The dimension whose wave turns `turns` times in the trained length. */
static double yarn_dim(const struct rope *r, double turns)
{
    return (double)r->rot * m_log((double)r->original / (2 * pi * turns)) / (2 * m_log(r->theta));
}

static void freq_yarn(const struct rope *r, int64_t length, float *freq)
{
    double low = yarn_dim(r, r->beta_fast), high = yarn_dim(r, r->beta_slow);
    (void)length;
    if (r->truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = low > 0 ? low : 0;
    high = high < (double)(r->rot - 1) ? high : (double)(r->rot - 1);
    if (low == high)
        high += 0.001;
    for (int64_t j = 0; j < r->rot / 2; j++) {
        float ramp = ((float)j - (float)low) / (float)(high - low);
        ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
        freq[j] = freq[j] / (float)r->factor * ramp + freq[j] * (1 - ramp);
    }
}

static double yarn_m(double factor, double m) { return factor <= 1 ? 1 : 0.1 * m * m_log(factor) + 1; }

static double scale_yarn(const struct rope *r)
{
    if (r->mscale > 0 && r->mscale_all > 0)
        return yarn_m(r->factor, r->mscale) / yarn_m(r->factor, r->mscale_all);
    return yarn_m(r->factor, 1);
}

static void freq_longrope(const struct rope *r, int64_t length, float *freq)
{
    const double *f = length > r->original ? r->long_factor : r->short_factor;
    for (int64_t j = 0; j < r->rot / 2; j++) {
        float exponent = (float)(2 * j) / (float)r->rot;
        freq[j] = 1.0f / ((float)f[j] * (float)power(r->theta, (double)exponent));
    }
}

static double scale_longrope(const struct rope *r)
{
    if (r->factor <= 1 || r->original <= 1)
        return 1;
    return sqrt(1 + m_log(r->factor) / m_log((double)r->original));
}

static const struct rope_kind kinds[] = {
    { "default", 0, NULL, NULL },
    { "linear", NEED_FACTOR, freq_linear, NULL },
    { "dynamic", NEED_FACTOR | BY_LENGTH | MORE_THAN_ONE_PAIR, freq_dynamic, NULL },
    { "llama3", NEED_FACTOR | NEED_BANDS, freq_llama3, NULL },
    { "yarn", 0, freq_yarn, scale_yarn },
    { "longrope", NEED_LISTS | BY_LENGTH, freq_longrope, scale_longrope },
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

bool rope_by_length(const struct rope *r) { return (r->kind->needs & BY_LENGTH) != 0; }

void rope_freq(const struct rope *r, int64_t length, float *freq, float *scale)
{
    plain_freq(r, r->theta, freq);
    if (r->kind->freq)
        r->kind->freq(r, length, freq);
    double a = r->attention_factor;
    if (!r->kind->scale)
        a = 1;
    else if (!(a > 0))
        a = r->kind->scale(r);
    *scale = (float)a;
}

void rope_table(const struct rope *r, int64_t length, float *cos, float *sin, float *freq)
{
    int64_t half = r->rot / 2;
    float scale;
    rope_freq(r, length, freq, &scale);
    for (int64_t p = 0; p < length; p++)
        for (int64_t j = 0; j < half; j++) {
            double angle = (double)((float)p * freq[j]);
            cos[p * half + j] = (float)m_cos(angle) * scale;
            sin[p * half + j] = (float)m_sin(angle) * scale;
        }
}

void rope_release(struct rope *r)
{
    mem_free(r->long_factor);
    mem_free(r->short_factor);
    r->long_factor = r->short_factor = NULL;
}

static int find_kind(const struct config *c, const struct json *o, struct rope *r, struct err *e)
{
    char key[64];
    const struct json *v = config_get(o, "rope_type|type", key);
    const char *name = v ? json_str(v, NULL) : "default";
    if (!name)
        return config_bad(c, key, v, e, "the name of a rope scaling");
    if (c->arch->rope_su && (!strcmp(name, "su") || !strcmp(name, "yarn")))
        name = "longrope";
    for (int i = 0; i < N_KINDS; i++)
        if (!strcmp(kinds[i].name, name))
            r->kind = &kinds[i];
    if (r->kind)
        return 0;
    const char *near = str_nearest(name, &kinds[0].name, N_KINDS, sizeof kinds[0]);
    err_set(e, ERR_UNBUILT, "%s: key '%s': found '%.80s', which is no rope scaling that this version has",
            c->file, key, name);
    if (near)
        return err_hint(e, "Did you mean '%s'?", near);
    return err_hint(e, "Built are default, linear, dynamic, llama3, yarn, longrope.");
}

static double *read_list(const struct config *c, const struct json *o, const char *key, int64_t n,
                         struct err *e)
{
    const struct json *l = json_get(o, key);
    if (json_type(l) != JSON_ARRAY || json_len(l) != (size_t)n) {
        err_set(e, ERR_INPUT,
                "%s: key '%s': found %s of %zu, expected a list of %lld numbers (half the rotary dims)",
                c->file, key, l ? json_type_name(json_type(l)) : "nothing", json_len(l), (long long)n);
        return NULL;
    }
    double *v = mem_array((size_t)n, sizeof *v, e);
    for (int64_t i = 0; v && i < n; i++)
        if (!json_num(json_item(l, (size_t)i), &v[i]) || !(v[i] >= 1e-6 && v[i] <= 1e9)) {
            config_bad(c, key, json_item(l, (size_t)i), e, "a number in [1e-06, 1e+09]");
            mem_free(v);
            return NULL;
        }
    return v;
}

static int read_values(const struct config *c, const struct json *o, struct rope *r, struct err *e)
{
    unsigned needs = r->kind->needs;
    const struct key rows[] = {
        { "factor", KEY_REAL, offsetof(struct rope, factor), needs & NEED_FACTOR ? REQUIRED : 0, 1, 1e6, 0 },
        { "low_freq_factor", KEY_REAL, offsetof(struct rope, low_freq), needs & NEED_BANDS ? REQUIRED : 0,
          1e-6, 1e6, 0 },
        { "high_freq_factor", KEY_REAL, offsetof(struct rope, high_freq), needs & NEED_BANDS ? REQUIRED : 0,
          1e-6, 1e6, 0 },
        { "beta_fast", KEY_REAL, offsetof(struct rope, beta_fast), 32, 1e-6, 1e6, 0 },
        { "beta_slow", KEY_REAL, offsetof(struct rope, beta_slow), 1, 1e-6, 1e6, 0 },
        { "mscale", KEY_REAL, offsetof(struct rope, mscale), 0, 0, 1e6, 0 },
        { "mscale_all_dim", KEY_REAL, offsetof(struct rope, mscale_all), 0, 0, 1e6, 0 },
        { "attention_factor", KEY_REAL, offsetof(struct rope, attention_factor), 0, 1e-6, 1e6, 0 },
        { "partial_rotary_factor", KEY_REAL, offsetof(struct rope, partial), c->partial_rotary, 1e-6, 1, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (config_real(c, o, &rows[i], (double *)(void *)((char *)r + rows[i].at), e))
            return -1;
    struct key orig = {
        "original_max_position_embeddings", KEY_INT, 0, needs & NEED_BANDS ? REQUIRED : 0, 1, MAX_POSITIONS, 0
    };
    if (config_int(c, o, &orig, &r->original, e))
        return -1;
    const struct json *t = json_get(o, "truncate");
    r->truncate = true;
    if (json_type(t) != JSON_NULL && !json_bool(t, &r->truncate))
        return config_bad(c, "truncate", t, e, "true or false");
    return 0;
}

/* One table. o: its object or NULL; theta: when the object has none. */
static int read_rope(const struct config *c, const struct json *o, double theta, struct rope *r,
                     struct err *e)
{
    struct key kt = { "rope_theta", KEY_REAL, 0, theta, 1.01, 1e15, 0 };
    if (find_kind(c, o, r, e) || read_values(c, o, r, e) || config_real(c, o, &kt, &r->theta, e))
        return -1;
    r->max_positions = c->max_positions;
    if (c->orig_positions)
        r->original = c->orig_positions;
    if (!r->original)
        r->original = c->max_positions;
    if (!(r->factor > 0))
        r->factor = (double)c->max_positions / (double)r->original;
    r->rot = c->rotary_dim ? c->rotary_dim : (int64_t)((double)c->head_dim * r->partial);
    if (r->rot < 2 || r->rot % 2 || r->rot > c->head_dim)
        return err_set(e, ERR_INPUT,
                       "%s: rope turns %lld of %lld head dims, expected an even number of at least 2",
                       c->file, (long long)r->rot, (long long)c->head_dim);
    if ((r->kind->needs & MORE_THAN_ONE_PAIR) && r->rot < 4)
        return err_set(e, ERR_INPUT, "%s: rope_type '%s' with 2 rotary dims, expected at least 4", c->file,
                       r->kind->name);
    if ((r->kind->needs & NEED_BANDS) && !(r->high_freq > r->low_freq))
        return err_set(e, ERR_INPUT, "%s: high_freq_factor %g is not larger than low_freq_factor %g", c->file,
                       r->high_freq, r->low_freq);
    if (!(r->kind->needs & NEED_LISTS))
        return 0;
    r->long_factor = read_list(c, o, "long_factor", r->rot / 2, e);
    if (!r->long_factor)
        return -1;
    r->short_factor = read_list(c, o, "short_factor", r->rot / 2, e);
    return r->short_factor ? 0 : -1;
}

int rope_read(struct config *c, const struct json *j, struct err *e)
{
    char key[64];
    const struct json *o = config_get(j, "rope_parameters|rope_scaling", key);
    const struct json *full = json_get(o, "full_attention"), *local = json_get(o, "sliding_attention");
    if (o && json_type(o) != JSON_OBJECT)
        return config_bad(c, key, o, e, "an object or null");
    if (full && json_type(full) != JSON_OBJECT)
        return config_bad(c, "full_attention", full, e, "an object");
    if (local && json_type(local) != JSON_OBJECT)
        return config_bad(c, "sliding_attention", local, e, "an object");
    c->n_ropes = c->arch->rope == ROPE_BY_KIND ? 2 : 1;
    if (read_rope(c, full ? full : o, c->rope_theta, &c->rope[0], e))
        return -1;
    if (c->n_ropes == 1)
        return 0;
    /* A flat object scales the full layers only. */
    return read_rope(c, local, c->rope_local_theta, &c->rope[1], e);
}
