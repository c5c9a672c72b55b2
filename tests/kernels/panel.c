/* Loops of the solvers: every level gives the bits of level c for all kinds of numbers and stores, for 1 to 70 columns;
 * plain loops written here say the same of rounding with feedback and of coordinate descent; transposition and back. */
#include "kernels/panel.h"
#include "base/minifloat.h"
#include "base/round.h"
#include "check.h"

enum { COLS = 70, CELLS = 5, ROWS = 27 };

static const struct k_number numbers[] = {
    { K_FAKE_INT, -8, 7, DT_BF16 },        { K_FAKE_INT, -2, 1, DT_F32 },
    { K_FAKE_INT, -128, 127, DT_F16 },     { K_FAKE_E2M1, 0, 0, DT_BF16 },
    { K_FAKE_E2M1, 0, 0, DT_F32 },         { K_FAKE_E2M1, 0, 0, DT_F16 },
    { K_FAKE_E4M3_NUMBER, 0, 0, DT_BF16 }, { K_FAKE_E4M3_NUMBER, 0, 0, DT_F32 },
};
enum { NUMBERS = sizeof numbers / sizeof *numbers };

struct arrays {
    float w[COLS][K_PANEL], target[COLS][K_PANEL], q[COLS][K_PANEL], e[COLS][K_PANEL], t[COLS][COLS],
        rr[COLS];
    float scale[CELLS][K_PANEL], zero[CELLS][K_PANEL], cost[K_PANEL];
    int8_t code[COLS][K_PANEL];
    int64_t cell[COLS];
    double error[K_PANEL], weight[K_PANEL], peer[K_PANEL];
};

static void fill(float *p, int64_t n, uint32_t seed, float scale, float from)
{
    for (int64_t i = 0; i < n; i++)
        p[i] = from + scale * uniform(&seed);
}

static void make(struct arrays *a, const struct k_number *m)
{
    memset(a, 0, sizeof *a);
    fill(a->w[0], COLS * K_PANEL, 1, 1.0F, 0);
    fill(a->target[0], COLS * K_PANEL, 2, 1.0F, 0);
    fill(a->t[0], COLS * COLS, 3, 0.3F, 0);
    fill(a->rr, COLS, 4, 0.4F, 1.0F);
    fill(a->scale[0], CELLS * K_PANEL, 5, 0.05F, 0.15F);
    for (int i = 0; m->kind == K_FAKE_INT && i < CELLS * K_PANEL; i++)
        a->zero[i / K_PANEL][i % K_PANEL] = (float)(i % 3 - 1);
    for (int j = 0; j < COLS; j++)
        a->cell[j] = j * 7 % CELLS;
}

static struct k_panel view(struct arrays *a)
{
    return (struct k_panel){ .w = a->w[0],
                             .target = a->target[0],
                             .q = a->q[0],
                             .e = a->e[0],
                             .code = a->code[0],
                             .t = a->t[0],
                             .rr = a->rr,
                             .ldt = COLS,
                             .scale = a->scale[0],
                             .zero = a->zero[0],
                             .cell = a->cell };
}

static void work(struct arrays *a, const struct k_number *m, int64_t n)
{
    struct k_panel p = view(a);
    k_panel_round(m, &p, 0, n / 2);
    k_panel_terms(&p, 0, n / 2, n / 2, n);
    k_panel_round(m, &p, n / 2, n);
    k_panel_cost(&p, n / 3, n, a->cost);
    k_panel_sums(&p, n, a->error, a->weight, a->peer);
}

static void levels_agree_on_panels(void **state)
{
    (void)state;
    static struct arrays want, got;
    for (int m = 0; m < NUMBERS; m++)
        for (int64_t n = 1; n <= COLS; n++)
            for (int l = 0; l < LEVELS; l++) {
                struct arrays *a = l ? &got : &want;
                if (!level_use(l, 1))
                    continue;
                make(a, &numbers[m]);
                work(a, &numbers[m], n);
                if (l)
                    assert_memory_equal(&want, &got, sizeof want);
            }
}

/* The number and the code of x by definition. */
static float number_of(const struct k_number *m, float x, float zero, int8_t *code)
{
    if (m->kind == K_FAKE_INT) {
        float v = x + zero;
        v = rintf(v < m->least ? m->least : v > m->most ? m->most : v);
        *code = (int8_t)v;
        return v - zero + 0.0F;
    }
    enum minifloat k = m->kind == K_FAKE_E2M1 ? E2M1 : E4M3;
    float v = minifloat_nearest(k, x + 0.0F);
    *code = (int8_t)minifloat_code(k, v);
    return v;
}

static void rounding_with_feedback_is_the_plain_loop(void **state)
{
    (void)state;
    static struct arrays a, b;
    assert_true(level_use(0, 1));
    for (int m = 0; m < NUMBERS; m++) {
        struct k_panel p = view(&a);
        make(&a, &numbers[m]);
        make(&b, &numbers[m]);
        k_panel_round(&numbers[m], &p, 0, COLS);
        for (int j = 0; j < COLS; j++)
            for (int r = 0; r < K_PANEL; r++) {
                float s = b.scale[b.cell[j]][r];
                for (int i = 0; i < j; i++) {
                    float term = b.e[i][r] * b.t[j][i];
                    b.target[j][r] += term;
                }
                float v = number_of(&numbers[m], b.target[j][r] / s, b.zero[b.cell[j]][r], &b.code[j][r]);
                b.q[j][r] = dtype_round(numbers[m].store, v * s);
                b.e[j][r] = b.w[j][r] - b.q[j][r];
            }
        assert_memory_equal(&a, &b, sizeof a);
    }
}

struct descent {
    float h[COLS * COLS], g[ROWS * COLS], q[ROWS * COLS], scale[ROWS * CELLS];
    int8_t code[ROWS * COLS], zero[ROWS * CELLS];
    uint8_t done[ROWS];
    double gain[ROWS];
};

static void make_descent(struct descent *d, const struct k_number *m)
{
    memset(d, 0, sizeof *d);
    fill(d->g, ROWS * COLS, 6, 0.5F, 0);
    fill(d->scale, ROWS * CELLS, 7, 0.05F, 0.15F);
    fill(d->h, COLS * COLS, 8, 0.1F, 0);
    for (int i = 0; i < COLS; i++)
        for (int j = 0; j <= i; j++)
            d->h[j * COLS + i] = d->h[i * COLS + j] += i == j ? 1.0F : 0.0F;
    for (int i = 0; m->kind == K_FAKE_INT && i < ROWS * CELLS; i++)
        d->zero[i] = (int8_t)(i % 3 - 1);
    for (int i = 0; i < ROWS * COLS; i++) {
        int c = i / COLS * CELLS + i % COLS / 16;
        d->q[i] = number_of(m, (float)(i % 5 - 2), d->zero[c], &d->code[i]) * d->scale[c];
    }
    d->done[3] = 1;
}

static struct k_descent descent_of(struct descent *d, int64_t k, int last)
{
    return (struct k_descent){ .k = k,
                               .rows = ROWS,
                               .ld = COLS,
                               .h = d->h,
                               .scale = d->scale,
                               .zero = d->zero,
                               .cell_rows = 1,
                               .cell_cols = 16,
                               .cells = CELLS,
                               .g = d->g,
                               .q = d->q,
                               .code = d->code,
                               .done = d->done,
                               .last = last,
                               .gain = d->gain };
}

static void levels_agree_on_descent(void **state)
{
    (void)state;
    static struct descent want, got;
    for (int m = 0; m < NUMBERS; m++)
        for (int64_t k = 1; k <= COLS; k++)
            for (int l = 0; l < LEVELS; l++) {
                struct descent *d = l ? &got : &want;
                struct k_descent job = descent_of(d, k, (int)(k % 2));
                if (!level_use(l, 1))
                    continue;
                make_descent(d, &numbers[m]);
                k_descend(&numbers[m], &job);
                if (l)
                    assert_memory_equal(&want, &got, sizeof want);
            }
}

static void descent_is_the_plain_loop(void **state)
{
    (void)state;
    static struct descent a, b;
    int moved = 0;
    assert_true(level_use(0, 1));
    for (int m = 0; m < NUMBERS; m++) {
        struct k_descent job = descent_of(&a, COLS, 0);
        make_descent(&a, &numbers[m]);
        make_descent(&b, &numbers[m]);
        k_descend(&numbers[m], &job);
        for (int r = 0; r < ROWS; r++)
            for (int j = 0; !b.done[r] && j < COLS; j++) {
                int at = r * COLS + j, c = r * CELLS + j / 16;
                int8_t code;
                float h = b.h[j * COLS + j], t = b.q[at] - b.g[at] / h;
                float next = dtype_round(
                    numbers[m].store, number_of(&numbers[m], t / b.scale[c], b.zero[c], &code) * b.scale[c]);
                float was = (b.q[at] - t) * (b.q[at] - t), is = (next - t) * (next - t);
                if (!(was - is > 0.0F))
                    continue;
                float far = next - b.q[at];
                for (int i = 0; i < COLS; i++) {
                    float term = far * b.h[j * COLS + i];
                    b.g[r * COLS + i] += term;
                }
                b.q[at] = next;
                b.code[at] = code;
                b.gain[r] += (double)h * (double)(was - is);
                moved++;
            }
        assert_memory_equal(&a, &b, sizeof a);
    }
    assert_true(moved > ROWS * NUMBERS);
}

static void cells_and_columns_of_any_length(void **state)
{
    (void)state;
    static float x[200], weight[200], scale[200], zero[200], q[2][200];
    static int8_t code[2][200];
    fill(x, 200, 9, 1.0F, 0);
    fill(weight, 200, 10, 0.5F, 1.0F);
    fill(scale, 200, 11, 0.05F, 0.15F);
    for (int m = 0; m < NUMBERS; m++)
        for (int64_t n = 1; n <= 200; n++) {
            float want = 0;
            for (int l = 0; l < LEVELS; l++) {
                if (!level_use(l, 1))
                    continue;
                float sum = k_cell_error(&numbers[m], n, x, weight, 0.13F, 0.0F);
                k_round_each(&numbers[m], n, x, scale, zero, code[l > 0], q[l > 0]);
                want = l ? want : sum;
                assert_true(same_f(&want, &sum, 1));
                if (l) {
                    assert_memory_equal(code[0], code[1], (size_t)n);
                    assert_true(same_f(q[0], q[1], n));
                }
            }
            double sum = 0;
            for (int64_t i = 0; i < n; i++) {
                int8_t c;
                double d =
                    (double)number_of(&numbers[m], x[i] / 0.13F, 0.0F, &c) * (double)0.13F - (double)x[i];
                sum += (double)weight[i] * pow(fabs(d), 2.5);
            }
            assert_true(fabs((double)want - sum) <= 2e-3 * sum + 1e-9);
        }
}

static void a_panel_comes_back_as_it_went(void **state)
{
    (void)state;
    for (int l = 0; l < LEVELS; l++)
        for (int64_t n = 1; n <= K_COLUMNS && level_use(l, 1); n += n < 20 ? 1 : 13)
            for (int64_t rows = 1; rows <= K_PANEL; rows += 5) {
                float *from = guarded(K_PANEL * (n + 3), 1, 12), panel[K_STORE], back[K_STORE];
                k_panel_load(rows, n, from, n + 3, panel);
                for (int64_t j = 0; j < n; j++)
                    for (int64_t r = 0; r < K_PANEL; r++)
                        assert_true(panel[j * K_PANEL + r] == (r < rows ? from[r * (n + 3) + j] : 0.0F));
                k_panel_store(n, panel, back);
                for (int64_t r = 0; r < K_PANEL; r++)
                    for (int64_t j = 0; j < K_COLUMNS; j++)
                        assert_true(back[r * K_COLUMNS + j] ==
                                    (r < rows && j < n ? from[r * (n + 3) + j] : 0.0F));
                guarded_free(from, 1);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_agree_on_panels),
        cmocka_unit_test(rounding_with_feedback_is_the_plain_loop),
        cmocka_unit_test(levels_agree_on_descent),
        cmocka_unit_test(descent_is_the_plain_loop),
        cmocka_unit_test(cells_and_columns_of_any_length),
        cmocka_unit_test(a_panel_comes_back_as_it_went),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
