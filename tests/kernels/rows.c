/* Row and element loops: every level gives the bits of level c for lengths 0 to 70 and some longer, at odd alignment, with
 * special values; widths 1, 2, 3, 7 agree; float64 references bound the error; guards stay. */
#include "check.h"
#include "kernels/math.h"

enum { N = 3, LONG = 40007 };
struct buffers {
    float *x, *y, *w, *b, *cos, *sin;
    int64_t d, ld, n;
};
typedef void one_fn(const struct buffers *b);

static void rms(const struct buffers *b)
{
    k_rmsnorm(b->n, b->d, b->x, b->ld, b->w, 1.0F, 1e-6, b->y, b->ld);
}
static void rms_bare(const struct buffers *b)
{
    k_rmsnorm(b->n, b->d, b->x, b->ld, NULL, 0.0F, 1e-5, b->y, b->ld);
}
static void layer(const struct buffers *b)
{
    k_layernorm(b->n, b->d, b->x, b->ld, b->w, b->b, 0.0F, 1e-5, b->y, b->ld);
}
static void layer_bare(const struct buffers *b)
{
    k_layernorm(b->n, b->d, b->x, b->ld, NULL, NULL, 0.0F, 1e-5, b->y, b->ld);
}
static void bias(const struct buffers *b) { k_add_bias(b->n, b->d, b->y, b->ld, b->b); }
static void axpy(const struct buffers *b) { k_axpy(b->d, 0.37F, b->x, b->y); }
static void mul(const struct buffers *b) { k_mul(b->d, b->x, b->y); }
static void silu(const struct buffers *b) { k_act(ACT_SILU, b->d, b->y, NULL); }
static void silu_mul(const struct buffers *b) { k_act(ACT_SILU, b->d, b->y, b->x); }
static void gelu(const struct buffers *b) { k_act(ACT_GELU, b->d, b->y, NULL); }
static void gelu_tanh(const struct buffers *b) { k_act(ACT_GELU_TANH, b->d, b->y, b->x); }
static void quick_gelu(const struct buffers *b) { k_act(ACT_QUICK_GELU, b->d, b->y, NULL); }
static void relu(const struct buffers *b) { k_act(ACT_RELU, b->d, b->y, NULL); }
static void relu2(const struct buffers *b) { k_act(ACT_RELU2, b->d, b->y, b->x); }
static void rope_halves(const struct buffers *b)
{
    k_rope(b->n, 1, b->d, b->d / 2 * 2, 0, b->cos, b->sin, b->y, b->ld);
}
static void rope_pairs(const struct buffers *b)
{
    k_rope(b->n, 1, b->d, b->d / 2 * 2, 1, b->cos, b->sin, b->y, b->ld);
}

static const struct {
    const char *name;
    one_fn *f;
} doors[] = {
    { "rmsnorm", rms },
    { "rmsnorm bare", rms_bare },
    { "layernorm", layer },
    { "layernorm bare", layer_bare },
    { "add_bias", bias },
    { "axpy", axpy },
    { "mul", mul },
    { "silu", silu },
    { "silu mul", silu_mul },
    { "gelu", gelu },
    { "gelu_tanh", gelu_tanh },
    { "quick_gelu", quick_gelu },
    { "relu", relu },
    { "relu2", relu2 },
    { "rope halves", rope_halves },
    { "rope pairs", rope_pairs },
};

/* kind 0: plain; 1: scaled up, seasoned; 2: seasoned with infinities and NaN */
static struct buffers make(int64_t d, int kind, int odd)
{
    struct buffers b = { .d = d, .ld = d + odd, .n = N };
    int64_t n = N * b.ld;
    b.x = guarded(n, odd, 1);
    b.y = guarded(n, odd, 2);
    b.w = guarded(d, odd, 3);
    b.b = guarded(d, odd, 4);
    b.cos = guarded(n, odd, 5);
    b.sin = guarded(n, odd, 6);
    for (int64_t i = 0; kind && i < n; i++) {
        b.x[i] *= 30.0F;
        b.y[i] *= 100.0F;
    }
    if (kind) {
        season(b.x, n, kind == 2, 8);
        season(b.y, n, kind == 2, 9);
    }
    return b;
}
static void drop(struct buffers *b, int odd)
{
    float *all[] = { b->x, b->y, b->w, b->b, b->cos, b->sin };
    for (int i = 0; i < 6; i++)
        guarded_free(all[i], odd);
}
static void compare(size_t door, int64_t d, int kind, int odd, int n_widths)
{
    struct buffers want = make(d, kind, odd);
    assert_int_equal(level_use(0, 1), 1);
    doors[door].f(&want);
    for (int l = 0; l < LEVELS; l++)
        for (int w = 0; w < n_widths; w++) {
            if (!level_use(l, widths[w]))
                continue;
            struct buffers got = make(d, kind, odd);
            doors[door].f(&got);
            if (!same_f(want.y, got.y, N * want.ld) || !same_f(want.x, got.x, N * want.ld))
                fail_msg("%s length %ld kind %d level %s width %d", doors[door].name, (long)d, kind,
                         kernels_level(), widths[w]);
            guarded_check(got.y, N * got.ld);
            drop(&got, odd);
        }
    drop(&want, odd);
}
static void levels_agree(void **state)
{
    (void)state;
    for (size_t f = 0; f < sizeof doors / sizeof *doors; f++)
        for (int64_t d = 0; d <= 70; d++)
            for (int kind = 0; kind < 3; kind++)
                compare(f, d, kind, (int)(d % 5), 1);
}
static void widths_agree(void **state)
{
    (void)state;
    for (size_t f = 0; f < sizeof doors / sizeof *doors; f++)
        compare(f, LONG, 1, 1, WIDTHS);
}

static double act_ref(enum k_act a, double x)
{
    switch (a) {
    case ACT_SILU: return x / (1 + exp(-x));
    case ACT_GELU: return 0.5 * x * erfc(-x / sqrt(2.0));
    case ACT_GELU_TANH: return 0.5 * x * (1 + tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
    case ACT_QUICK_GELU: return x / (1 + exp(-1.702 * x));
    case ACT_RELU: return x > 0 ? x : 0;
    case ACT_RELU2: return x > 0 ? x * x : 0;
    case ACT_COUNT: break;
    }
    return 0;
}
static void activations_are_right(void **state)
{
    (void)state;
    assert_non_null(kernels_init(NULL, 1));
    for (int a = 0; a < ACT_COUNT; a++) {
        double worst = 0;
        for (int i = -120000; i <= 120000; i++) {
            float x = (float)i * 1e-4F, y = x;
            k_act((enum k_act)a, 1, &y, NULL);
            double want = act_ref((enum k_act)a, (double)x), tail = a == ACT_GELU_TANH && x < -3 ? 3e-7 : 0;
            double err = (fabs((double)y - want) - tail) / (fabs(want) + 1e-37);
            worst = err > worst ? err : worst;
        }
        print_message("act %d: relative error %.2g\n", a, worst);
        assert_true(worst < (a == ACT_GELU_TANH || a == ACT_QUICK_GELU || a == ACT_SILU ? 3e-6 : 1.3e-7));
    }
}
static void norms_are_right(void **state)
{
    (void)state;
    struct buffers b = make(1003, 0, 1);
    rms(&b);
    for (int64_t r = 0; r < N; r++) {
        double ss = 0;
        for (int64_t i = 0; i < b.d; i++)
            ss += (double)b.x[r * b.ld + i] * (double)b.x[r * b.ld + i];
        for (int64_t i = 0; i < b.d; i++) {
            double want = (double)b.x[r * b.ld + i] / sqrt(ss / (double)b.d + 1e-6) * (1.0 + (double)b.w[i]);
            assert_true(fabs(want - (double)b.y[r * b.ld + i]) <= 6.1e-8 * fabs(want));
        }
    }
    layer(&b);
    for (int64_t r = 0; r < N; r++) {
        double mean = 0, var = 0;
        for (int64_t i = 0; i < b.d; i++)
            mean += (double)b.x[r * b.ld + i] / (double)b.d;
        for (int64_t i = 0; i < b.d; i++)
            var += pow((double)b.x[r * b.ld + i] - mean, 2) / (double)b.d;
        for (int64_t i = 0; i < b.d; i++) {
            double want =
                ((double)b.x[r * b.ld + i] - mean) / sqrt(var + 1e-5) * (double)b.w[i] + (double)b.b[i];
            assert_true(fabs(want - (double)b.y[r * b.ld + i]) <= 6.1e-8 * fabs(want) + 1e-12);
        }
    }
    drop(&b, 1);
}
/* two heads of 8, 6 rotated; dims 6 and 7 stay */
static void rope_is_right(void **state)
{
    float c[3] = { 0.5F, 0.25F, -1.0F }, s[3] = { 0.1F, 0.2F, 0.3F };
    (void)state;
    for (int pairs = 0; pairs < 2; pairs++) {
        float x[16], y[16];
        for (int i = 0; i < 16; i++)
            x[i] = y[i] = (float)(i + 1);
        k_rope(1, 2, 8, 6, pairs, c, s, y, 16);
        for (int h = 0; h < 2; h++) {
            for (int j = 0; j < 3; j++) {
                int p = h * 8 + (pairs ? 2 * j : j), q = h * 8 + (pairs ? 2 * j + 1 : j + 3);
                assert_true(y[p] == x[p] * c[j] - x[q] * s[j] && y[q] == x[q] * c[j] + x[p] * s[j]);
            }
            assert_true(y[h * 8 + 6] == x[h * 8 + 6] && y[h * 8 + 7] == x[h * 8 + 7]);
        }
    }
}
static void elements_are_right(void **state)
{
    float x[5] = { 1, 2, 3, 4, 5 }, y[5] = { 10, 20, 30, 40, 50 }, b[2] = { 1, 2 };
    (void)state;
    k_axpy(5, 2, x, y);
    k_mul(5, x, y);
    assert_true(y[0] == 12 && y[4] == 300);
    k_add_bias(2, 2, y, 3, b);
    assert_true(y[0] == 13 && y[1] == 50 && y[2] == 108 && y[3] == 193 && y[4] == 302);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_agree),          cmocka_unit_test(widths_agree),
        cmocka_unit_test(activations_are_right), cmocka_unit_test(norms_are_right),
        cmocka_unit_test(rope_is_right),         cmocka_unit_test(elements_are_right),
    };
    return cmocka_run_group_tests_name("kernels.rows", tests, NULL, NULL);
}
