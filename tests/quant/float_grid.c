/* float_grid.c - the float grids without fixtures: numbers of E2M1 and E4M3 against brute force, the peer's thresholds,
 * scales of every kind, shared global scales, what comes back, and every grid under every solver and observer. */
#include "help.h"
#include <float.h>
#include <math.h>
#include <string.h>

static const char *const names[] = { "FP8_BLOCK", "FP8_DYNAMIC", "FP8", "NVFP4A16", "MXFP4A16", "MXFP8A16" };
enum { NAMES = sizeof names / sizeof names[0] };
static const enum dtype types[] = { DT_F32, DT_BF16, DT_F16 };

static const struct quant_args *args_of(const char *preset) { return &preset_find(preset)->scheme.weights; }

static struct grid_layout layout_of(const char *preset, enum dtype t)
{
    struct grid_layout l;
    struct err e = { 0 };
    if (layout_init(&l, args_of(preset), 2, 64, t, &e))
        no_error(&e);
    return l;
}

static const struct grid *grid_of(const char *preset)
{
    struct err e = { 0 };
    const struct grid *g = grid_for(args_of(preset), &e);
    no_error(&e);
    return g;
}

/* ---- numbers ---- */

/* Values of the codes 0 .. n-1, ascending. */
static int magnitudes(int bits, double *v)
{
    if (bits == 4) {
        static const double e2m1[] = { 0, 0.5, 1, 1.5, 2, 3, 4, 6 };
        memcpy(v, e2m1, sizeof e2m1);
        return 8;
    }
    for (int c = 0; c < 127; c++)
        v[c] = c < 8 ? ldexp(c, -9) : ldexp(8 + c % 8, c / 8 - 10);
    return 127;
}

/* The nearest one, the even code of two that are as near. */
static int brute(const double *v, int n, double a)
{
    int best = 0;
    for (int c = 1; c < n; c++) {
        double was = fabs(a - v[best]), is = fabs(a - v[c]);
        if (is < was || (is == was && c % 2 == 0))
            best = c;
    }
    return best;
}

static uint8_t code_by(const char *preset, float x, float *decoded)
{
    struct grid_layout l = layout_of(preset, DT_F32);
    float each, one = 1.0f, zero = 0.0f;
    int8_t c, own, by_each;
    grid_of(preset)->round(&l, &x, 1, 1.0f, 0, &c, decoded);
    grid_of(preset)->round_own(&l, &x, 1, 1.0f, 0, &own, NULL);
    struct k_number number;
    grid_of(preset)->number(&l, &number);
    k_round_each(&number, 1, &x, &one, &zero, &by_each, &each);
    assert_true(c == own && c == by_each);
    assert_memory_equal(&each, decoded, sizeof each);
    return (uint8_t)c;
}

static void check_number(const char *preset, int bits, const double *v, int n, float x)
{
    float decoded;
    int want = brute(v, n, fabs((double)x)), sign = x < 0.0f ? 1 << (bits - 1) : 0;
    int got = code_by(preset, x, &decoded);
    if (got != (want | sign) || fabs((double)decoded) != v[want] || !signbit(decoded) != !sign)
        fail_msg("%s: %a: code %d, value %a; want %d", preset, (double)x, got, (double)decoded, want | sign);
}

static void check_numbers(const char *preset, int bits)
{
    double v[127];
    int n = magnitudes(bits, v);
    for (int c = 0; c < n; c++) {
        float at = (float)v[c], tie = (float)(c + 1 < n ? (v[c] + v[c + 1]) / 2 : v[c] * 2);
        const float x[] = { at,  nextafterf(at, INFINITY),  nextafterf(at, 0),
                            tie, nextafterf(tie, INFINITY), nextafterf(tie, 0) };
        for (int i = 0; i < 6; i++) {
            check_number(preset, bits, v, n, x[i]);
            check_number(preset, bits, v, n, -x[i]);
        }
    }
    float *r = numbers(11, 20000, (float)v[n - 1] / 3);
    for (int i = 0; i < 20000; i++)
        check_number(preset, bits, v, n, i % 2 ? r[i] : r[i] * 0x1p-8f);
    mem_free(r);
}

static void every_code_tie_and_neighbour_rounds_as_brute_force_says(void **state)
{
    (void)state;
    check_numbers("FP8_DYNAMIC", 8);
    check_numbers("MXFP8A16", 8);
    check_numbers("NVFP4A16", 4);
    check_numbers("MXFP4A16", 4);
}

static void four_bits_have_the_peers_thresholds(void **state)
{
    (void)state;
    static const struct {
        float x;
        int below, at, above;
    } rows[] = { { 0.25f, 0, 0, 1 }, { 0.75f, 1, 2, 2 }, { 1.25f, 2, 2, 3 }, { 1.75f, 3, 4, 4 },
                 { 2.5f, 4, 4, 5 },  { 3.5f, 5, 6, 6 },  { 5.0f, 6, 6, 7 } };
    float d;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(code_by("NVFP4A16", nextafterf(rows[i].x, 0), &d), rows[i].below);
        assert_int_equal(code_by("NVFP4A16", rows[i].x, &d), rows[i].at);
        assert_int_equal(code_by("NVFP4A16", nextafterf(rows[i].x, 9), &d), rows[i].above);
    }
}

static void what_is_too_large_saturates_and_zero_keeps_no_sign_of_its_own(void **state)
{
    (void)state;
    float d;
    assert_int_equal(code_by("FP8", 1e30f, &d), 0x7e);
    assert_int_equal(code_by("FP8", -INFINITY, &d), 0xfe);
    assert_int_equal(code_by("FP8", 465.0f, &d), 0x7e);
    assert_int_equal(code_by("NVFP4A16", 1e30f, &d), 7);
    assert_int_equal(code_by("NVFP4A16", -INFINITY, &d), 15);
    /* a negative weight that rounds to zero is -0; a weight of -0 is 0, for the peer adds a zero point of 0 to it */
    assert_int_equal(code_by("FP8", -1e-30f, &d), 0x80);
    assert_int_equal(code_by("FP8", -0.0f, &d), 0);
    assert_int_equal(code_by("MXFP4A16", -1e-30f, &d), 8);
    assert_int_equal(code_by("MXFP4A16", -0.0f, &d), 0);
    int8_t c;
    float nan = NAN;
    struct grid_layout l = layout_of("FP8", DT_F32);
    grid_of("FP8")->round(&l, &nan, 1, 1.0f, 0, &c, &d); /* never a code that means NaN */
    assert_int_equal(c & 0x7f, 0x7e);
}

/* ---- scales ---- */

static float scale_of(const char *preset, enum dtype t, float global, float most)
{
    struct grid_layout l = layout_of(preset, t);
    float s, mirrored;
    grid_of(preset)->params(&l, global, -most / 3, most, &s, NULL);
    grid_of(preset)->params(&l, global, -most, most / 3, &mirrored, NULL);
    assert_true(s == mirrored);
    return s;
}

/* Recorded from compressed-tensors 0.19.0: calculate_qparams of rows whose largest weight is `most`. */
static void scales_are_the_peers_at_the_edges(void **state)
{
    (void)state;
    static const struct {
        const char *preset;
        enum dtype t;
        float most, scale;
    } rows[] = {
        { "FP8_DYNAMIC", DT_F32, 0.0f, 0x1p-23f },
        { "FP8_DYNAMIC", DT_F32, 1.0f, 0x1.24924ap-9f },
        { "FP8_DYNAMIC", DT_F32, 1e-38f, 0x1.f1c8p-136f },
        { "FP8_DYNAMIC", DT_BF16, 0.0f, 0x1p-7f },
        { "FP8_DYNAMIC", DT_BF16, 1.0f, 0x1.24p-9f },
        { "FP8_DYNAMIC", DT_F16, 1.0f, 0x1.248p-9f },
        { "FP8_DYNAMIC", DT_F16, 3e-6f, 0x1p-10f }, /* 3e-6 / 448 is none of its numbers */
        { "MXFP4A16", DT_F32, 0.0f, 0x1p-127f },
        { "MXFP4A16", DT_F32, 1.0f, 0x1p-2f },
        { "MXFP4A16", DT_F32, 1e-38f, 0x1p-127f },
        { "MXFP4A16", DT_BF16, 3e-6f, 0x1p-21f },
        { "MXFP8A16", DT_F32, 1.0f, 0x1p-8f },
        { "MXFP8A16", DT_BF16, 3e-6f, 0x1p-27f },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        float s = scale_of(rows[i].preset, rows[i].t, 0, dtype_round(rows[i].t, rows[i].most));
        if (s != rows[i].scale)
            fail_msg("row %d: scale %a, want %a", (int)i, (double)s, (double)rows[i].scale);
    }
}

static void powers_of_two_step_at_one_and_three_quarters(void **state)
{
    (void)state;
    for (int top = 2; top <= 8; top += 6)
        for (int x = -126; x <= 127; x++) {
            const char *preset = top == 2 ? "MXFP4A16" : "MXFP8A16";
            float one = ldexpf(1.0f, x), step = nextafterf(1.75f * one, 0);
            int down = x - top < -127 ? -127 : x - top, up = x + 1 - top < -127 ? -127 : x + 1 - top;
            assert_true(scale_of(preset, DT_F32, 0, one) == ldexpf(1.0f, down));
            assert_true(scale_of(preset, DT_F32, 0, step) == ldexpf(1.0f, down));
            assert_true(scale_of(preset, DT_F32, 0, 1.75f * one) == ldexpf(1.0f, up));
        }
}

static void a_global_scale_is_2688_by_the_largest_weight_and_one_where_that_is_no_number(void **state)
{
    (void)state;
    struct grid_layout l = layout_of("NVFP4A16", DT_F32), b = layout_of("NVFP4A16", DT_BF16);
    float (*global)(const struct grid_layout *, float) = grid_of("NVFP4A16")->global_scale;
    assert_true(global(&l, 2688.0f) == 2688.0f * (1.0f / 2688.0f));
    assert_true(global(&l, 3.2578125f) ==
                2688.0f * (1.0f / 3.2578125f)); /* the reciprocal is rounded first */
    assert_true(global(&l, 0.0f) == 1.0f && global(&l, 1e-40f) == 1.0f);
    assert_true(global(&l, FLT_MAX) > 0.0f && isfinite(global(&l, FLT_MAX)));
    assert_true(global(&b, 3.375f) ==
                800.0f); /* 796.4; 1/3.375 is 0.296875 in BF16, then 798, a tie, to even */
    assert_true(global(&b, 3.265625f) == 824.0f);
    b = layout_of("NVFP4A16", DT_F16);
    assert_true(global(&b, 0.01f) == 2688.0f * (1.0f / 0.01f));
    for (int i = 0; i < NAMES; i++)
        assert_int_equal(grid_of(names[i])->global_scale != NULL, !strcmp(names[i], "NVFP4A16"));
}

/* What qtensor.h promises of scale = e / global. */
static void a_scale_over_its_global_scale_gives_its_own_byte_back(void **state)
{
    (void)state;
    float *r = numbers(21, 300, 1.0f);
    struct grid_layout l = layout_of("NVFP4A16", DT_F32);
    for (int i = 0; i < 304; i++) {
        float most = i < 300 ? ldexpf(fabsf(r[i]) + 0.01f, i % 230 - 110) : i < 302 ? FLT_MAX : 9e-36f;
        float global = grid_of("NVFP4A16")->global_scale(&l, most);
        for (int code = 1; code < 127; code++) {
            uint8_t byte = (uint8_t)code, back;
            float e, again;
            dtype_to_f32(DT_F8_E4M3, &byte, 1, &e);
            again = e / global * global;
            dtype_from_f32(DT_F8_E4M3, &again, 1, &back);
            if (back != byte)
                fail_msg("code %d over %a comes back as %d", code, (double)global, back);
        }
    }
    mem_free(r);
}

static void scales_of_nvfp4_are_e4m3_over_the_global_scale_and_local_ones_on_trial(void **state)
{
    (void)state;
    struct grid_layout l = layout_of("NVFP4A16", DT_BF16), trial;
    const struct grid *g = grid_of("NVFP4A16");
    float s;
    assert_int_equal(l.param_dtype, DT_F8_E4M3);
    assert_int_equal(l.value_dtype, DT_BF16);
    g->params(&l, 824.0f, -1.5f, 0.5f, &s, NULL); /* 824 * 0.25 = 206: E4M3 has 208 */
    assert_true(s == 208.0f / 824.0f);
    g->params(&l, 824.0f, 0.0f, 0.0f, &s, NULL);
    assert_true(s == 0.125f / 824.0f);
    g->params(&l, 824.0f, -99.0f, 0.0f, &s, NULL);
    assert_true(s == 448.0f / 824.0f);
    g->trial(&l, &trial);
    g->params(&trial, 824.0f, -1.0f, 0.5f, &s, NULL);
    assert_true(s == dtype_round(DT_BF16, 1.0f / 6.0f));
}

/* ---- whole matrices ---- */

static void rounded(const char *preset, float *w, int64_t rows, int64_t cols, enum dtype t, struct qtensor *q)
{
    struct err e = { 0 };
    fitted(q, args_of(preset), w, rows, cols, t);
    if (solver_find("rtn")->solve(NULL, NULL, NULL, w, q, NULL, &e))
        no_error(&e);
}

static float *weights(uint64_t seed, int64_t n, float scale, enum dtype t)
{
    float *w = numbers(seed, n, scale);
    for (int64_t i = 0; i < n; i++)
        w[i] = dtype_round(t, w[i]);
    return w;
}

enum { ROWS = 40, COLS = 160 };

static void decoded_weights_round_to_the_same_codes_again(void **state)
{
    (void)state;
    for (int i = 0; i < NAMES; i++)
        for (int k = 0; k < 3; k++) {
            float *w = weights(31, ROWS * COLS, 0.1f, types[k]), out[ROWS * COLS];
            struct qtensor q;
            rounded(names[i], w, ROWS, COLS, types[k], &q);
            qtensor_decode(&q, 0, ROWS, out);
            same_floats(out, w, ROWS * COLS); /* what a solver leaves is what a reader sees */
            const struct grid_layout *l = &q.layout;
            for (int64_t at = 0; at < ROWS * COLS; at++) {
                int64_t cell = at / COLS / l->cell_rows * l->param_cols + at % COLS / l->cell_cols;
                int8_t again, minus = (int8_t)(l->args.num_bits == 4 ? 8 : -128);
                grid_of(names[i])->round(l, &out[at], 1, q.scale[cell], 0, &again, NULL);
                assert_true(again == q.codes[at] || (q.codes[at] == minus && again == 0));
            }
            qtensor_release(&q);
            mem_free(w);
        }
}

static void weights_times_a_power_of_two_have_the_same_codes(void **state)
{
    (void)state;
    for (int i = 0; i < NAMES; i++) {
        float *w = weights(32, ROWS * COLS, 0.1f, DT_BF16), *v = weights(32, ROWS * COLS, 0.1f, DT_BF16);
        struct qtensor q, p;
        for (int64_t k = 0; k < ROWS * COLS; k++)
            v[k] *= 64.0f;
        rounded(names[i], w, ROWS, COLS, DT_BF16, &q);
        rounded(names[i], v, ROWS, COLS, DT_BF16, &p);
        same_codes(q.codes, p.codes, ROWS * COLS);
        for (int64_t k = 0; k < q.layout.param_rows * q.layout.param_cols; k++)
            assert_true(p.scale[k] == q.scale[k] * 64.0f);
        qtensor_release(&q);
        qtensor_release(&p);
        mem_free(w);
        mem_free(v);
    }
}

static void a_preset_global_scale_is_kept_and_an_absent_one_is_the_matrixs_own(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct qtensor q;
    struct observer_params p;
    const struct observer *o;
    float *w = weights(33, ROWS * COLS, 0.1f, DT_F32), most = 0;
    for (int64_t i = 0; i < ROWS * COLS; i++)
        most = fabsf(w[i]) > most ? fabsf(w[i]) : most;
    fitted(&q, args_of("NVFP4A16"), w, ROWS, COLS, DT_F32);
    assert_true(q.global_scale == grid_of("NVFP4A16")->global_scale(&q.layout, most));
    q.global_scale = 824.0f;
    if (observer_resolve(args_of("NVFP4A16"), &o, &p, &e) || o->fit(&p, w, NULL, &q, &e))
        no_error(&e);
    assert_true(q.global_scale == 824.0f);
    for (int64_t i = 0; i < q.layout.param_rows * q.layout.param_cols; i++) {
        float e4m3 = q.scale[i] * 824.0f, back;
        uint8_t byte;
        dtype_from_f32(DT_F8_E4M3, &e4m3, 1, &byte);
        dtype_to_f32(DT_F8_E4M3, &byte, 1, &back);
        assert_true(q.scale[i] == back / 824.0f);
    }
    qtensor_release(&q);
    mem_free(w);
}

static void zeros_stay_zeros_and_what_is_not_finite_is_refused(void **state)
{
    (void)state;
    for (int i = 0; i < NAMES; i++) {
        struct qtensor q;
        struct err e = { 0 };
        float w[4 * 64] = { 0 };
        rounded(names[i], w, 4, 64, DT_BF16, &q);
        for (int k = 0; k < 4 * 64; k++)
            assert_true(q.codes[k] == 0 && w[k] == 0.0f);
        w[2 * 64 + 7] = NAN;
        assert_int_equal(solver_find("rtn")->solve(NULL, NULL, NULL, w, &q, NULL, &e), -1);
        assert_string_equal(e.what, "weight is NaN at row 2, column 7, expected finite numbers");
        qtensor_release(&q);
    }
}

/* ---- products ---- */

static double solved(const char *solver, const struct quant_args *a, enum dtype t, const struct factor *f,
                     const struct gram *g)
{
    struct err e = { 0 };
    struct qtensor q;
    struct solve_result r;
    const struct solve_options o = { .dampening_frac = 0.01, .block_size = 128 };
    float *w = weights(41, ROWS * COLS, 0.1f, t), *was = weights(41, ROWS * COLS, 0.1f, t), out[ROWS * COLS];
    fitted(&q, a, w, ROWS, COLS, t);
    const struct solver *s = solver_find(solver);
    if (s->solve(&o, s->needs == NEED_GRAM ? f : NULL, g, w, &q, &r, &e))
        no_error(&e);
    qtensor_decode(&q, 0, ROWS, out);
    same_floats(out, w, ROWS * COLS);
    for (int64_t i = 0; i < ROWS * COLS; i++)
        was[i] -= out[i];
    double loss = plain_error(g, was, ROWS);
    qtensor_release(&q);
    mem_free(w);
    mem_free(was);
    return loss;
}

static void every_solver_runs_on_every_float_grid_with_every_observer_and_none_is_worse_than_rtn(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct gram g;
    struct factor f;
    float *x = inputs(51, 600, COLS);
    fill_gram(&g, x, 600, COLS, 12);
    if (factor_init(&f, &g, ACTORDER_STATIC, 0.01, &e))
        no_error(&e);
    for (int i = 0; i < NAMES; i++)
        for (int k = 0; observers[k]; k++) {
            enum dtype t = types[(i + k) % 3];
            struct quant_args a = *args_of(names[i]);
            snprintf(a.observer, sizeof a.observer, "%s", observers[k]->name);
            double rtn = solved("rtn", &a, t, &f, &g);
            for (int s = 0; solvers[s]; s++) {
                if (!strcmp(solvers[s]->name, "rtn"))
                    continue;
                double loss = solved(solvers[s]->name, &a, t, &f, &g);
                if (!(loss < rtn) || !(loss > 0))
                    fail_msg("%s on %s with %s: %g, rtn %g", solvers[s]->name, names[i], observers[k]->name,
                             loss, rtn);
            }
        }
    factor_release(&f);
    gram_release(&g);
    mem_free(x);
}

static void automatic_damping_chooses_on_every_float_grid(void **state)
{
    (void)state;
    struct gram g;
    float *x = inputs(52, 600, COLS), *w = weights(42, ROWS * COLS, 0.1f, DT_BF16);
    const float *const all[] = { w };
    fill_gram(&g, x, 600, COLS, 12);
    for (int i = 0; i < NAMES; i++) {
        struct err e = { 0 };
        struct grid_layout l;
        const struct grid_layout *const layout[] = { &l };
        double frac = 0;
        if (layout_init(&l, args_of(names[i]), ROWS, COLS, DT_BF16, &e) ||
            damp_auto(&g, ACTORDER_STATIC, all, layout, 1, &frac, &e))
            no_error(&e);
        assert_true(frac >= 0.003 && frac <= 3.0);
    }
    gram_release(&g);
    mem_free(w);
    mem_free(x);
}

/* The plain search of one row of NVFP4 in float32, as the facts have it: local scales, no global one, no E4M3. */
static void an_mse_search_of_nvfp4_judges_local_scales(void **state)
{
    (void)state;
    struct quant_args a = *args_of("NVFP4A16");
    struct qtensor q;
    float w[16 * 4];
    float *r = numbers(61, 64, 0.1f);
    double v[8];
    memcpy(w, r, sizeof w);
    w[5] = 0.7f;
    int n = magnitudes(4, v);
    snprintf(a.observer, sizeof a.observer, "mse");
    fitted(&q, &a, w, 1, 64, DT_F32);
    a.observer[0] = '\0';
    float best[4], least[4] = { FLT_MAX, FLT_MAX, FLT_MAX, FLT_MAX };
    for (int i = 0, idle = 0; i < 20 && idle < 5; i++, idle++)
        for (int c = 0; c < 4; c++) {
            float most = 0, p = (float)(1.0 - i / 100.0), s;
            double sum = 0;
            for (int k = 0; k < 16; k++)
                most = fabsf(w[c * 16 + k]) > most ? fabsf(w[c * 16 + k]) : most;
            s = most * p / 6.0f;
            for (int k = 0; k < 16; k++) {
                float y = w[c * 16 + k];
                float d = fabsf(copysignf((float)v[brute(v, n, (double)fabsf(y / s))] * s, y) - y);
                sum += pow((double)d, 2.4);
            }
            if ((float)sum < least[c]) {
                least[c] = (float)sum;
                best[c] = most * p;
                idle = -1;
            }
        }
    for (int c = 0; c < 4; c++)
        assert_true(q.scale[c] == scale_of("NVFP4A16", DT_F32, q.global_scale, best[c]));
    qtensor_release(&q);
    mem_free(r);
}

/* ---- refusals ---- */

static void no_grid(const struct quant_args *a, enum err_code code, const char *what)
{
    struct err e = { 0 };
    assert_null(grid_for(a, &e));
    assert_int_equal(e.code, code);
    assert_string_equal(e.what, what);
}

static void every_preset_has_a_grid_and_what_is_none_is_refused_by_name(void **state)
{
    (void)state;
    for (const struct preset *p = presets; p->name; p++)
        assert_true(!p->scheme.has_weights || grid_for(&p->scheme.weights, NULL));
    struct quant_args a = *args_of("NVFP4A16");
    a.group_size = 32;
    no_grid(&a, ERR_INPUT, "group_size: found 32, expected 16 for NVFP4");
    a = *args_of("MXFP4A16");
    a.group_size = 16;
    no_grid(&a, ERR_INPUT, "group_size: found 16, expected 32 for MXFP4");
    a = *args_of("MXFP8A16");
    a.group_size = 64;
    no_grid(&a, ERR_INPUT, "group_size: found 64, expected 32 for MXFP8");
    a = *args_of("FP8");
    a.dynamic = DYNAMIC_TRUE;
    no_grid(&a, ERR_INPUT, "dynamic: found true for weights, expected false: weights are rounded once");
    a = *args_of("FP8");
    a.strategy = STRATEGY_TOKEN;
    no_grid(&a, ERR_INPUT, "strategy: found token for weights, expected tensor, channel, group or block");
    a = *args_of("FP8");
    a.symmetric = false;
    no_grid(&a, ERR_UNBUILT, "weights 8-bit float asymmetric tensor: no grid of this version realises them");
    a = *args_of("NVFP4A16");
    a.scale_dtype = -1;
    no_grid(&a, ERR_INPUT, "scale_dtype: found null, expected torch.float8_e4m3fn for NVFP4");
    a = *args_of("MXFP4A16");
    a.scale_dtype = DT_F8_E4M3;
    no_grid(&a, ERR_INPUT, "scale_dtype: found torch.float8_e4m3fn, expected torch.uint8 for MXFP4");
    a = *args_of("MXFP8A16");
    a.scale_dtype = DT_F8_E4M3;
    no_grid(&a, ERR_UNBUILT, "weights 8-bit float symmetric group 32: no grid of this version realises them");
    a = *args_of("NVFP4A16");
    a.strategy = STRATEGY_CHANNEL;
    no_grid(&a, ERR_UNBUILT,
            "weights 4-bit float symmetric channel 16: no grid of this version realises them");
}

int main(void)
{
    kernels_init(NULL, 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_tie_and_neighbour_rounds_as_brute_force_says),
        cmocka_unit_test(four_bits_have_the_peers_thresholds),
        cmocka_unit_test(what_is_too_large_saturates_and_zero_keeps_no_sign_of_its_own),
        cmocka_unit_test(scales_are_the_peers_at_the_edges),
        cmocka_unit_test(powers_of_two_step_at_one_and_three_quarters),
        cmocka_unit_test(a_global_scale_is_2688_by_the_largest_weight_and_one_where_that_is_no_number),
        cmocka_unit_test(a_scale_over_its_global_scale_gives_its_own_byte_back),
        cmocka_unit_test(scales_of_nvfp4_are_e4m3_over_the_global_scale_and_local_ones_on_trial),
        cmocka_unit_test(decoded_weights_round_to_the_same_codes_again),
        cmocka_unit_test(weights_times_a_power_of_two_have_the_same_codes),
        cmocka_unit_test(a_preset_global_scale_is_kept_and_an_absent_one_is_the_matrixs_own),
        cmocka_unit_test(zeros_stay_zeros_and_what_is_not_finite_is_refused),
        cmocka_unit_test(
            every_solver_runs_on_every_float_grid_with_every_observer_and_none_is_worse_than_rtn),
        cmocka_unit_test(automatic_damping_chooses_on_every_float_grid),
        cmocka_unit_test(an_mse_search_of_nvfp4_judges_local_scales),
        cmocka_unit_test(every_preset_has_a_grid_and_what_is_none_is_refused_by_name),
    };
    return cmocka_run_group_tests_name("float grids", tests, NULL, NULL);
}
