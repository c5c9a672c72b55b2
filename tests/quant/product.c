/* product.c - grids x solvers x containers: every preset scheme and every integer width, solved by every solver and saved
 * in every container, is read back as the same codes, scales and floats; or it is refused with a reason. */
#include "help.h"

#include "base/file.h"
#include "io/checkpoint.h"
#include "io/containers/container.h"
#include "io/save.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 24, COLS = 256 };

static char work[64];
static struct gram gram;
static struct factor factor;
static int worked, refused;

static int set_up(void **state)
{
    (void)state;
    struct err e = { 0 };
    float *x = inputs(71, 700, COLS);
    fill_gram(&gram, x, 700, COLS, 14);
    mem_free(x);
    snprintf(work, sizeof work, "/tmp/qpipe-product-XXXXXX");
    return !mkdtemp(work) || factor_init(&factor, &gram, ACTORDER_STATIC, 0.01, &e) ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    factor_release(&factor);
    gram_release(&gram);
    return path_remove_tree(work, NULL);
}

static void must(int rc, const struct err *e)
{
    if (rc || e->code)
        fail_msg("%s (%s)", e->what, e->hint);
}

/* w becomes the decoded values, q holds codes and parameters. */
static void solve(const struct solver *s, const struct quant_args *a, enum dtype t, float *w,
                  struct qtensor *q)
{
    struct err e = { 0 };
    const struct solve_options o = { .dampening_frac = 0.01, .block_size = 128 };
    fitted(q, a, w, ROWS, COLS, t);
    must(s->solve(&o, s->needs == NEED_GRAM ? &factor : NULL, &gram, w, q, NULL, &e), &e);
}

static void save(const struct container *c, const char *dir, const struct quant_scheme *s,
                 const struct qtensor *q)
{
    struct err e = { 0 };
    struct buf text = { 0 };
    struct strs targets = { 0 }, ignored = { 0 };
    struct packed_group g = { "group_0", s, &targets };
    struct packed_module m = { "x.m", "Linear", "group_0" };
    struct json *config = json_parse("{}", 2, "c", &e);
    struct container_job job = { config, &g, 1, &m, 1, &ignored, NULL };
    struct saver *out = saver_new(dir, 1 << 30, &e);
    int64_t n, bytes = 0;
    char path[128];
    must(strs_add(&targets, "Linear", &e) || !out || c->pack(out, "x.m", s, q, &e) || saver_finish(out, &e) ||
             c->write_config(&job, &text, &e),
         &e);
    const struct saved_tensor *t = saver_tensors(out, &n);
    for (int64_t i = 0; i < n; i++) {
        struct tensor_view v = { NULL, t[i].dtype, t[i].rank, { 0 } };
        memcpy(v.dim, t[i].dim, sizeof v.dim);
        bytes += view_bytes(&v);
    }
    assert_int_equal(bytes, c->packed_bytes(s, &q->layout));
    snprintf(path, sizeof path, "%s/config.json", dir);
    struct out_file *f = file_create(path, &e);
    must(!f || file_put(f, text.p, text.len, &e) || file_finish(f, NULL, &e), &e);
    saver_free(out);
    strs_release(&targets);
    buf_release(&text);
    json_free(config);
}

static void same_again(const char *dir, const struct qtensor *q, const float *w)
{
    struct err e = { 0 };
    struct checkpoint c;
    struct qtensor back;
    static float shown[ROWS * COLS], decoded[ROWS * COLS];
    size_t cells = (size_t)(q->layout.param_rows * q->layout.param_cols);
    must(checkpoint_open(dir, &c, &e), &e);
    must(c.container->unpack(c.decoder, "x.m", &back, &e) ||
             c.tensors.read_f32(c.tensors.self, "x.m.weight", 0, ROWS, shown, &e),
         &e);
    qtensor_decode(&back, 0, ROWS, decoded);
    same_codes(back.codes, q->codes, ROWS * COLS);
    same_floats(back.scale, q->scale, (int64_t)cells);
    assert_true(back.global_scale == q->global_scale);
    assert_int_equal(!back.zero, !q->zero);
    if (q->zero)
        same_codes(back.zero, q->zero, (int64_t)cells);
    same_floats(shown, w, ROWS * COLS);
    same_floats(decoded, w, ROWS * COLS);
    assert_non_null(grid_find(back.layout.grid));
    qtensor_release(&back);
    checkpoint_close(&c);
}

static void check_one(const struct container *c, const struct solver *s, const struct quant_scheme *k,
                      enum dtype t)
{
    struct qtensor q;
    char dir[100];
    float *w = numbers(81, ROWS * COLS, 0.1f);
    for (int i = 0; i < ROWS * COLS; i++)
        w[i] = dtype_round(t, w[i]);
    snprintf(dir, sizeof dir, "%s/%d", work, worked++);
    must(path_make_dir(dir, NULL), &(struct err){ 0 });
    solve(s, &k->weights, t, w, &q);
    save(c, dir, k, &q);
    same_again(dir, &q, w);
    qtensor_release(&q);
    mem_free(w);
}

static void check_everywhere(const struct quant_scheme *k)
{
    static const enum dtype types[] = { DT_F32, DT_BF16, DT_F16 };
    for (int c = 0; containers[c]; c++) {
        struct err e = { 0 };
        if (containers[c]->fits(k, &e)) {
            assert_true(e.code == ERR_INPUT || e.code == ERR_UNBUILT);
            assert_true(strlen(e.what) > 20);
            refused++;
            continue;
        }
        /* integers in one dtype each: the grid and container tests have all */
        int n = k->weights.type == QUANT_INT ? 1 : 3;
        for (int s = 0; solvers[s]; s++)
            for (int t = 0; t < n; t++)
                check_one(containers[c], solvers[s], k, types[(t + worked) % 3]);
    }
}

static void weights_of_every_preset_come_back_from_every_solver_and_container(void **state)
{
    (void)state;
    refused = 0;
    for (const struct preset *p = presets; p->name; p++) {
        struct quant_scheme k = p->scheme;
        k.has_input = false;
        if (k.has_weights)
            check_everywhere(&k);
    }
    int least = 0;
    for (int c = 0; containers[c]; c++)
        least += !strcmp(containers[c]->name, "compressed-tensors");
    assert_int_equal(least, 1);
    printf("%d times out and back, %d times refused with a reason\n", worked, refused);
    assert_true(worked >= 29 * 2);
}

static void whole_presets_fit_compressed_tensors(void **state)
{
    (void)state;
    const struct container *c = container_find("compressed-tensors");
    for (const struct preset *p = presets; p->name; p++) {
        struct err e = { 0 };
        if (!p->scheme.has_weights)
            continue;
        assert_int_equal(c->fits(&p->scheme, &e), 0);
    }
}

static void every_width_and_cell_of_integers_comes_back(void **state)
{
    (void)state;
    for (int bits = 2; bits <= 8; bits++)
        for (int sym = 0; sym < 2; sym++)
            for (int how = STRATEGY_TENSOR; how <= STRATEGY_BLOCK; how++) {
                struct quant_scheme k = { .has_weights = true };
                if ((bits + sym + how) % 2) /* half of them: the grid and container tests have all */
                    continue;
                k.weights = int_args(bits, sym, (enum strategy)how,
                                     how == STRATEGY_GROUP   ? 32
                                     : how == STRATEGY_BLOCK ? 16
                                                             : 0);
                if (how == STRATEGY_BLOCK)
                    k.weights.group_size = 0;
                check_everywhere(&k);
            }
}

static void only_float4_and_mx_say_that_readers_decode_to_bfloat16(void **state)
{
    (void)state;
    const struct container *c = container_find("compressed-tensors");
    for (const struct preset *p = presets; p->name; p++) {
        struct quant_scheme k = p->scheme;
        k.has_input = false;
        bool byte = k.has_weights && k.weights.scale_dtype >= 0;
        assert_null(c->remark(&k, DT_BF16));
        assert_int_equal(c->remark(&k, DT_F16) != NULL, byte);
        assert_int_equal(c->remark(&k, DT_F32) != NULL, byte);
    }
}

int main(void)
{
    kernels_init(NULL, 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_of_every_preset_come_back_from_every_solver_and_container),
        cmocka_unit_test(whole_presets_fit_compressed_tensors),
        cmocka_unit_test(every_width_and_cell_of_integers_comes_back),
        cmocka_unit_test(only_float4_and_mx_say_that_readers_decode_to_bfloat16),
    };
    return cmocka_run_group_tests_name("grids, solvers, containers", tests, set_up, tear_down);
}
