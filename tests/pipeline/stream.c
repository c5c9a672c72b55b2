/* stream.c - recipes without data on architectures that nobody has a row for: strips of rows give the bytes that the whole
 * matrix gives, errors name rows of the matrix, and memory does not grow with the number of layers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/safetensors.h"
#include "kernels/kernels.h"
#include "pipeline/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char work[64];
static float bad = 0.0f; /* a value for element 4000, 7 of every matrix, unless 0 */

static uint32_t next(uint32_t *s) { return *s = *s * 1664525u + 1013904223u; }

static void fill(float *x, int64_t rows, int64_t cols, uint32_t seed)
{
    for (int64_t i = 0; i < rows * cols; i++)
        x[i] = ((float)(next(&seed) >> 8) * 0x1p-23f - 1.0f) * (1.0f + (float)(i / cols % 5)) * 0.03f;
    if (bad != 0.0f)
        x[4000 * cols + 7] = bad;
}

/* A folder with `layers` blocks of one matrix each, in an architecture that does not exist. */
static void write_model(const char *dir, int layers, int64_t rows, int64_t cols, enum dtype t)
{
    static const char config[] =
        "{\"model_type\": \"nonesuch\", \"hidden_size\": 64, \"num_hidden_layers\": 99}";
    struct err e = { 0 };
    char path[160], name[96], sha[65];
    struct st_writer *w = st_writer_new(&e);
    float *x = mem_big((size_t)(rows * cols), sizeof *x, &e);
    void *bytes = mem_big((size_t)(rows * cols), (size_t)dtypes[t].bytes, &e);
    int64_t dim[2] = { rows, cols };
    assert_true(w && x && bytes);
    assert_int_equal(path_make_dir(dir, &e), 0);
    for (int i = 0; i < layers; i++) {
        snprintf(name, sizeof name, "model.layers.%02d.mlp.up_proj.weight", i);
        assert_int_equal(st_writer_add(w, name, t, 2, dim, &e), 0);
    }
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    assert_int_equal(st_writer_begin(w, path, &e), 0);
    for (int i = 0; i < layers; i++) {
        fill(x, rows, cols, (uint32_t)i + 1);
        dtype_from_f32(t, x, rows * cols, bytes);
        assert_int_equal(st_writer_put(w, bytes, (uint64_t)(rows * cols * dtypes[t].bytes), &e), 0);
    }
    assert_int_equal(st_writer_finish(w, sha, &e), 0);
    snprintf(path, sizeof path, "%s/config.json", dir);
    struct out_file *f = file_create(path, &e);
    assert_non_null(f);
    assert_int_equal(file_put(f, config, sizeof config - 1, &e), 0);
    assert_int_equal(file_finish(f, NULL, &e), 0);
    mem_free(x);
    mem_free(bytes);
}

static int run(const char *model, const char *scheme, const char *out, struct run_report *report,
               struct module_job *first, struct err *e)
{
    struct buf text = { 0 };
    struct recipe r;
    struct job j;
    struct recipe_args a = { .model = model, .output = out };
    if (buf_printf(&text, e,
                   "version: 1\nstages:\n  - QuantizationModifier:\n      config_groups:\n"
                   "        g: {targets: [Linear], %s}\n",
                   scheme))
        return -1;
    int rc = recipe_parse(text.p, text.len, "r.yaml", &a, &r, e);
    buf_release(&text);
    if (rc)
        return -1;
    rc = job_plan(&r, false, &j, e);
    if (!rc) {
        rc = run_job(&j, true, RESUME_NEVER, report, e);
        if (!rc && first)
            *first = j.module[0];
        if (!rc)
            run_report_release(report);
        job_release(&j);
    }
    if (first)
        first->scheme = NULL; /* the recipe's; it goes */
    recipe_release(&r);
    return rc;
}

/* The same matrix at once: observer, solver, container. */
static void pack_whole(const char *dir, const struct quant_args *a, const float *w, int64_t rows,
                       int64_t cols, enum dtype t)
{
    struct err e = { 0 };
    struct quant_scheme s = { .has_weights = true, .weights = *a };
    struct grid_layout l;
    struct qtensor q;
    struct observer_params p;
    const struct observer *o;
    const struct grid *g = grid_for(a, &e);
    const struct container *c = containers[0];
    const char *name = "model.layers.00.mlp.up_proj";
    assert_non_null(g);
    assert_int_equal(layout_init(&l, a, rows, cols, t, &e), 0);
    l.grid = g->name;
    float *copy = mem_big((size_t)(rows * cols), sizeof *copy, &e);
    memcpy(copy, w, (size_t)(rows * cols) * sizeof *w);
    assert_int_equal(path_make_dir(dir, &e), 0);
    struct saver *out = saver_new(dir, UINT64_C(1) << 40, &e);
    struct solve_options none = { .block_size = 128 };
    if (!out || qtensor_init(&q, &l, &e) || observer_resolve(a, &o, &p, &e) ||
        o->fit(&p, copy, NULL, &q, &e) || solver_find("rtn")->solve(&none, NULL, NULL, copy, &q, NULL, &e) ||
        c->pack(out, name, &s, &q, &e) || saver_finish(out, &e))
        fail_msg("%s", e.what);
    saver_free(out);
    qtensor_release(&q);
    mem_free(copy);
}

/* Every tensor of a stands in b with the same bytes. */
static int same_tensors(const char *a, const char *b)
{
    struct err e = { 0 };
    struct st_file x, y;
    char path[160];
    snprintf(path, sizeof path, "%s/model.safetensors", a);
    assert_int_equal(st_open(path, &x, &e), 0);
    snprintf(path, sizeof path, "%s/model.safetensors", b);
    assert_int_equal(st_open(path, &y, &e), 0);
    int n = 0;
    for (int64_t i = 0; i < x.n; i++) {
        const struct st_entry *t = st_find(&y, x.entry[i].info.name);
        if (!t)
            fail_msg("no %s", x.entry[i].info.name);
        struct tensor_view v = st_view(&x, &x.entry[i]), u = st_view(&y, t);
        assert_int_equal(view_bytes(&v), view_bytes(&u));
        if (memcmp(v.data, u.data, (size_t)view_bytes(&v)))
            fail_msg("%s differs", x.entry[i].info.name);
        n++;
    }
    st_close(&x);
    st_close(&y);
    return n;
}

static const struct {
    const char *weights; /* of the recipe */
    enum dtype dtype;
    int tensors;
} cases[] = {
    { "weights: {num_bits: 4, strategy: group, group_size: 128}", DT_BF16, 3 },
    { "weights: {num_bits: 3, symmetric: false, strategy: group, group_size: 64}", DT_F32, 4 },
    { "weights: {num_bits: 8, strategy: channel}", DT_F16, 3 },
    { "weights: {num_bits: 4, symmetric: false, strategy: tensor}", DT_BF16, 4 },
    { "weights: {num_bits: 8, type: float, strategy: tensor}", DT_F32, 2 },
    { "weights: {num_bits: 8, type: float, strategy: block, block_structure: [128, 128]}", DT_BF16, 2 },
    { "weights: {num_bits: 4, type: float, strategy: tensor_group, group_size: 16, scale_dtype: torch.float8_e4m3fn}",
      DT_BF16, 3 },
    { "weights: {num_bits: 4, type: float, strategy: group, group_size: 32, scale_dtype: torch.uint8}",
      DT_F32, 2 },
    { "weights: {num_bits: 4, strategy: group, group_size: 128, observer: memoryless_mse}", DT_BF16, 3 },
};

/* 4500 rows of 1152: 81 strips, three batches, a short strip at the end; for blocks 36 strips and a short block. */
static void strips_give_the_bytes_of_the_whole_matrix(void **state)
{
    (void)state;
    enum { ROWS = 4500, COLS = 1152 };
    assert_true(kernels_init(NULL, 3));
    struct err e = { 0 };
    char model[96], out[96], whole[96];
    float *w = mem_big(ROWS * COLS, sizeof *w, &e);
    snprintf(model, sizeof model, "%s/m", work);
    snprintf(out, sizeof out, "%s/out", work);
    snprintf(whole, sizeof whole, "%s/whole", work);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum dtype t = cases[i].dtype;
        struct run_report report;
        struct module_job first;
        write_model(model, 1, ROWS, COLS, t);
        if (run(model, cases[i].weights, out, &report, &first, &e))
            fail_msg("%s: %s", cases[i].weights, e.what);
        fill(w, ROWS, COLS, 1);
        for (int64_t k = 0; k < ROWS * COLS; k++)
            w[k] = dtype_round(t, w[k]);
        pack_whole(whole, &first.layout.args, w, ROWS, COLS, t);
        assert_int_equal(same_tensors(whole, out), cases[i].tensors);
        assert_true(first.result.solve.weight_error > 0 && first.result.solve.weight_error < 0.5);
        assert_int_equal(
            path_remove_tree(model, &e) || path_remove_tree(out, &e) || path_remove_tree(whole, &e), 0);
    }
    mem_free(w);
}

static void an_error_names_the_row_of_the_matrix(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct run_report report;
    char model[96], out[96];
    snprintf(model, sizeof model, "%s/nan", work);
    snprintf(out, sizeof out, "%s/never", work);
    bad = (float)NAN;
    write_model(model, 1, 4100, 256, DT_BF16);
    bad = 0.0f;
    assert_int_equal(run(model, cases[0].weights, out, &report, NULL, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_string_equal(e.what, "weight is NaN at row 4000, column 7, expected finite numbers");
    assert_false(path_exists(out));
}

struct peak {
    double planned, found;
};

/* Planned and found peak of a run, in a process of its own. */
static struct peak peak_of(int layers)
{
    struct peak p = { 0 };
    int pipe_of[2], status;
    char model[96], out[96];
    snprintf(model, sizeof model, "%s/layers%d", work, layers);
    snprintf(out, sizeof out, "%s/out%d", work, layers);
    pid_t writer = fork();
    if (!writer) {
        write_model(model, layers, 2048, 1024, DT_BF16);
        _exit(0);
    }
    assert_int_equal(waitpid(writer, &status, 0), writer);
    assert_int_equal(pipe(pipe_of), 0);
    pid_t child = fork();
    if (!child) {
        struct err e = { 0 };
        struct run_report report = { 0 };
        int rc = kernels_init(NULL, 2) ? run(model, cases[0].weights, out, &report, NULL, &e) : -1;
        p = (struct peak){ (double)report.cost.peak, (double)mem_use().peak };
        _exit(rc || write(pipe_of[1], &p, sizeof p) != (ssize_t)sizeof p);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
    assert_int_equal(read(pipe_of[0], &p, sizeof p), sizeof p);
    close(pipe_of[0]);
    close(pipe_of[1]);
    printf("%d layers: planned %.2f MiB, peak %.2f MiB\n", layers, p.planned / 0x1p20, p.found / 0x1p20);
    return p;
}

/* First of the tests: a child starts with its parent's peak, and after the parent's pool has run it could not use its own. */
static void memory_is_planned_and_does_not_grow_with_layers(void **state)
{
    (void)state;
    struct peak a = peak_of(4), b = peak_of(16);
    assert_true(a.found < 1.15 * a.planned && a.found > a.planned / 1.15);
    assert_true(b.found < 1.15 * b.planned && b.found > b.planned / 1.15);
    assert_true(b.found < 1.05 * a.found);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(work, sizeof work, "/tmp/qpipe-stream-XXXXXX");
    return mkdtemp(work) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return path_remove_tree(work, NULL);
}

int main(void)
{
    log_setup(LOG_ERROR, LOG_TEXT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_planned_and_does_not_grow_with_layers),
        cmocka_unit_test(strips_give_the_bytes_of_the_whole_matrix),
        cmocka_unit_test(an_error_names_the_row_of_the_matrix),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
