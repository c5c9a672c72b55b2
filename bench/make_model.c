/* bench/make_model.c - a random Llama for measurements: bf16 safetensors, config.json, token ids. Every byte follows from
 * the arguments (splitmix64), so two machines measure the same work. Weights are not trained, but have what quantizers
 * feel: rows of unequal size, input channels that stand out, tokens that follow one another in families.
 *   bench_make_model DIR [hidden ffn heads kv_heads layers vocab sequences tokens]   writes DIR/model, DIR/tokens.safetensors
 * Target bench_make_model; bench/run calls it. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { HIDDEN, FFN, HEADS, KV, LAYERS, VOCAB, SEQS, TOKENS, DIMS };
static int64_t dim[DIMS] = { 1024, 2816, 16, 4, 4, 8192, 32, 512 };
static const char *const dim_name[DIMS] = { "hidden", "ffn",   "heads",     "kv_heads",
                                            "layers", "vocab", "sequences", "tokens" };
enum { FAMILY = 16 }; /* neighbouring ids whose embeddings are alike */

static void die(const char *what, const char *path)
{
    fprintf(stderr, "bench_make_model: %s %s: %s\n", what, path, strerror(errno));
    exit(1);
}

static uint64_t state = 1;
static uint64_t bits(void)
{
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}
static int64_t below(int64_t n) { return (int64_t)(bits() >> 11) % n; }
static float uniform(void) { return (float)(bits() >> 40) * 0x1p-24F; }
/* Four sums of 16 bits: near enough to a normal variate of mean 0 and deviation 1. */
static float normal(void)
{
    uint64_t b = bits();
    float s = (float)(b & 0xffff) + (float)(b >> 16 & 0xffff) + (float)(b >> 32 & 0xffff) + (float)(b >> 48);
    return (s * 0x1p-16F - 2.0F) * 1.7320508F;
}
static uint16_t bf16(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

enum kind { EMBED, NORM, LINEAR };
struct tensor {
    char name[80];
    enum kind kind;
    int64_t rows, cols; /* NORM: rows only */
};
static struct tensor *list;
static int64_t n_list;

static void add(enum kind kind, int64_t rows, int64_t cols, const char *name)
{
    struct tensor *t = &list[n_list++];
    t->kind = kind;
    t->rows = rows;
    t->cols = cols;
    snprintf(t->name, sizeof t->name, "%s", name);
}
static void add_layer(int64_t i)
{
    int64_t h = dim[HIDDEN], kv = h / dim[HEADS] * dim[KV], f = dim[FFN];
    const struct {
        const char *name;
        int64_t rows, cols;
    } part[] = { { "input_layernorm", h, 0 },   { "self_attn.q_proj", h, h },
                 { "self_attn.k_proj", kv, h }, { "self_attn.v_proj", kv, h },
                 { "self_attn.o_proj", h, h },  { "post_attention_layernorm", h, 0 },
                 { "mlp.gate_proj", f, h },     { "mlp.up_proj", f, h },
                 { "mlp.down_proj", h, f } };
    for (size_t p = 0; p < sizeof part / sizeof *part; p++) {
        char name[80];
        snprintf(name, sizeof name, "model.layers.%lld.%s.weight", (long long)i, part[p].name);
        add(part[p].cols ? LINEAR : NORM, part[p].rows, part[p].cols, name);
    }
}
static int64_t count(const struct tensor *t) { return t->rows * (t->cols ? t->cols : 1); }

static void fill(const struct tensor *t, const uint8_t *loud, uint16_t *out, float *family)
{
    int64_t cols = t->cols ? t->cols : 1;
    for (int64_t r = 0; r < t->rows; r++, out += cols) {
        float row = t->kind == LINEAR ? (below(64) ? 0.8F : 2.0F) / (float)cols * 32.0F : 1.0F;
        for (int64_t c = 0; c < cols; c++) {
            if (t->kind == NORM)
                out[c] = bf16((0.6F + 0.25F * uniform()) * (loud[r] ? 1.8F : 1.0F));
            if (t->kind == LINEAR)
                out[c] = bf16(normal() * row * ((float)cols > 1024 ? 1.6F : 1.0F));
            if (t->kind == EMBED && r % FAMILY == 0)
                family[c] = 0.7F * normal();
            if (t->kind == EMBED)
                out[c] = bf16((family[c] + 0.5F * normal()) * (loud[c] ? 12.0F : 1.0F));
        }
    }
}

static FILE *create(const char *dir, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    if (!f)
        die("create", path);
    return f;
}
static void put(FILE *f, const void *p, size_t n, const char *what)
{
    if (fwrite(p, 1, n, f) != n)
        die("write", what);
}
/* Eight bytes of length, then the header, padded with spaces to a multiple of eight. */
static void put_header(FILE *f, char *text, size_t len)
{
    while (len % 8)
        text[len++] = ' ';
    uint64_t n = len;
    put(f, &n, sizeof n, "header");
    put(f, text, len, "header");
}
static void finish(FILE *f, const char *what)
{
    if (fclose(f))
        die("close", what);
}

static void write_weights(const char *dir)
{
    size_t room = 256 * (size_t)(n_list + 1), len = 0;
    char *text = calloc(room, 1);
    uint8_t *loud = calloc((size_t)dim[HIDDEN], 1);
    float *family = calloc((size_t)dim[HIDDEN], sizeof *family);
    int64_t at = 0, most = 0;
    if (!text || !loud || !family)
        die("allocate", "header");
    for (int64_t i = 0; i < 2 + dim[HIDDEN] / 128; i++)
        loud[below(dim[HIDDEN])] = 1;
    len += (size_t)snprintf(text, room, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (int64_t i = 0; i < n_list; i++) {
        const struct tensor *t = &list[i];
        int64_t end = at + 2 * count(t);
        len += (size_t)snprintf(text + len, room - len, ",\"%s\":{\"dtype\":\"BF16\",\"shape\":[%lld",
                                t->name, (long long)t->rows);
        if (t->cols)
            len += (size_t)snprintf(text + len, room - len, ",%lld", (long long)t->cols);
        len += (size_t)snprintf(text + len, room - len, "],\"data_offsets\":[%lld,%lld]}", (long long)at,
                                (long long)end);
        at = end;
        most = count(t) > most ? count(t) : most;
    }
    text[len++] = '}';
    FILE *f = create(dir, "model.safetensors");
    uint16_t *values = calloc((size_t)most, sizeof *values);
    if (!values)
        die("allocate", "weights");
    put_header(f, text, len);
    for (int64_t i = 0; i < n_list; i++) {
        fill(&list[i], loud, values, family);
        put(f, values, 2 * (size_t)count(&list[i]), list[i].name);
    }
    finish(f, "model.safetensors");
    free(values);
    free(family);
    free(loud);
    free(text);
}

static void write_config(const char *dir)
{
    FILE *f = create(dir, "config.json");
    fprintf(f,
            "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"hidden_size\": %lld, "
            "\"intermediate_size\": %lld, \"num_attention_heads\": %lld, \"num_key_value_heads\": %lld, "
            "\"head_dim\": %lld, \"num_hidden_layers\": %lld, \"vocab_size\": %lld, "
            "\"max_position_embeddings\": 4096, \"rms_norm_eps\": 1e-05, \"rope_theta\": 10000.0, "
            "\"hidden_act\": \"silu\", \"tie_word_embeddings\": false, \"bos_token_id\": 1, "
            "\"eos_token_id\": 2, \"dtype\": \"bfloat16\"}\n",
            (long long)dim[HIDDEN], (long long)dim[FFN], (long long)dim[HEADS], (long long)dim[KV],
            (long long)(dim[HIDDEN] / dim[HEADS]), (long long)dim[LAYERS], (long long)dim[VOCAB]);
    finish(f, "config.json");
}

/* Three of four tokens stay in the family of the one before; low members are more frequent. */
static void write_ids(FILE *f, int64_t rows)
{
    for (int64_t r = 0; r < rows; r++) {
        int64_t family = 0;
        for (int64_t i = 0; i < dim[TOKENS]; i++) {
            if (i == 0 || below(4) == 0)
                family = below(dim[VOCAB] / FAMILY);
            int64_t member = below(FAMILY) * below(FAMILY) / FAMILY;
            int32_t id = i == 0 ? 1 : (int32_t)(family * FAMILY + member);
            put(f, &id, sizeof id, "tokens.safetensors");
        }
    }
}
static void write_tokens(const char *dir)
{
    char text[512];
    int64_t held = dim[SEQS] / 8 > 2 ? dim[SEQS] / 8 : 2, mid = 4 * dim[SEQS] * dim[TOKENS];
    int len = snprintf(
        text, sizeof text - 8,
        "{\"calib_input_ids\":{\"dtype\":\"I32\",\"shape\":[%lld,%lld],\"data_offsets\":[0,%lld]},"
        "\"heldout_input_ids\":{\"dtype\":\"I32\",\"shape\":[%lld,%lld],\"data_offsets\":[%lld,%lld]}}",
        (long long)dim[SEQS], (long long)dim[TOKENS], (long long)mid, (long long)held, (long long)dim[TOKENS],
        (long long)mid, (long long)(mid + 4 * held * dim[TOKENS]));
    FILE *f = create(dir, "tokens.safetensors");
    put_header(f, text, (size_t)len);
    write_ids(f, dim[SEQS] + held);
    finish(f, "tokens.safetensors");
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 2 + DIMS) {
        fprintf(stderr,
                "use: bench_make_model DIR [hidden ffn heads kv_heads layers vocab sequences tokens]\n");
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        dim[i - 2] = strtoll(argv[i], NULL, 10);
        if (dim[i - 2] < 1 || dim[i - 2] > 1 << 20) {
            fprintf(stderr, "bench_make_model: %s: found '%s', expected 1 to 1048576\n", dim_name[i - 2],
                    argv[i]);
            return 2;
        }
    }
    char model[4096];
    snprintf(model, sizeof model, "%s/model", argv[1]);
    if ((mkdir(argv[1], 0777) && errno != EEXIST) || (mkdir(model, 0777) && errno != EEXIST))
        die("make folder", model);
    list = calloc((size_t)(3 + 9 * dim[LAYERS]), sizeof *list);
    if (!list)
        die("allocate", "tensors");
    add(EMBED, dim[VOCAB], dim[HIDDEN], "model.embed_tokens.weight");
    for (int64_t i = 0; i < dim[LAYERS]; i++)
        add_layer(i);
    add(NORM, dim[HIDDEN], 0, "model.norm.weight");
    add(LINEAR, dim[VOCAB], dim[HIDDEN], "lm_head.weight");
    write_config(model);
    write_weights(model);
    write_tokens(argv[1]);
    free(list);
    return 0;
}
