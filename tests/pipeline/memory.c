/* memory.c - memory is planned, then kept: the peak of a run lies within 15 % of what `plan` said, whatever the mode, the budget,
 * the number of samples. Each run is a process of its own, because a peak never falls. */
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

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct row {
    const char *mode, *budget;
    int samples, verify;
    const char *gptq;   /* its options */
    const char *stages; /* instead: all modifiers */
};
#define W4           "scheme: W4A16"
#define AWQ(options) "  - AWQModifier: " options "\n"
#define RTN(scheme)  "  - QuantizationModifier: {ignore: [lm_head], scheme: " scheme "}\n"
static const struct row rows[] = {
    { "true", "2GiB", 16, 0, W4, NULL },
    { "true", "0", 16, 0, W4, NULL },
    { "true", "4MiB", 48, 0, W4, NULL },
    { "block", "2GiB", 16, 0, W4, NULL },
    { "false", "2GiB", 16, 0, W4, NULL },
    { "true", "2GiB", 48, 1, W4, NULL },
    { "true", "1MiB", 8, 1, W4, NULL },
    { "true", "2GiB", 16, 0, W4 ", preset: none", NULL },
    { "true", "2GiB", 16, 0, W4 ", preset: none, calibration: asymmetric", NULL },
    { "true", "2GiB", 4, 0, W4 ", preset: best, sweeps: 1", NULL },
    { "true", "2GiB", 16, 0, "AWQ", AWQ("{}") RTN("W4A16_ASYM") },
    { "true", "1MiB", 64, 0, "AWQ", AWQ("{}") RTN("W4A16_ASYM") },
    { "true", "2GiB", 16, 0, "AWQ, clip", AWQ("{clip: true}") RTN("W4A16_ASYM") },
    { "true", "2GiB", 16, 0, "AWQ, GPTQ",
      AWQ("{}") "  - GPTQModifier: {scheme: W4A16_ASYM, ignore: [lm_head]}\n" },
    { "true", "2GiB", 16, 0, "AWQ by outputs", AWQ("{search: output, n_grid: 3}") RTN("W4A16_ASYM") },
    { "true", "2GiB", 16, 0, "SmoothQuant", "  - SmoothQuantModifier: {}\n" RTN("W8A8") },
    { "true", "1MiB", 64, 0, "SmoothQuant", "  - SmoothQuantModifier: {}\n" RTN("W8A8") },
    { "true", "2GiB", 16, 0, "FP8, KV",
      RTN("FP8, kv_cache_scheme: {num_bits: 8, type: float, strategy: tensor, dynamic: false, symmetric: true}") },
    { "true", "1MiB", 64, 0, "FP8, KV",
      RTN("FP8, kv_cache_scheme: {num_bits: 8, type: float, strategy: tensor, dynamic: false, symmetric: true}") },
};

static const char *model = QP_SOURCE_DIR "/examples/tiny";

static void write_recipe(const struct row *r, struct buf *out)
{
    struct err e = { 0 };
    buf_printf(
        out, &e,
        "version: 1\nmodel: %s\nstages:\n"
        "  - calibrate: {dataset: %s/examples/tiny/calib.jsonl, samples: %d, sequence_length: 256, sequential: %s, activation_budget: %s}\n",
        model, QP_SOURCE_DIR, r->samples, r->mode, r->budget);
    if (r->stages)
        buf_str(out, r->stages, &e);
    else
        buf_printf(out, &e, "  - GPTQModifier: {%s, ignore: [lm_head]}\n", r->gptq);
    if (r->verify)
        buf_printf(out, &e,
                   "  - verify: {dataset: %s/examples/tiny/heldout.txt, samples: 8, sequence_length: 256}\n",
                   QP_SOURCE_DIR);
}

/* The child's status: 0 within 15 %, 1 not, 2 the run failed. */
static int run_row(const struct row *r, const char *dir)
{
    struct err e = { 0 };
    struct buf text = { 0 };
    struct recipe recipe;
    struct job j;
    struct run_report report;
    struct recipe_args args = { .output = dir };
    write_recipe(r, &text);
    if (!kernels_init(NULL, 2) || recipe_parse(text.p, text.len, "memory.yaml", &args, &recipe, &e) ||
        job_plan(&recipe, false, &j, &e) || run_job(&j, true, RESUME_NEVER, &report, &e)) {
        err_print(&e, stderr);
        return 2;
    }
    double planned = (double)report.cost.peak, found = (double)mem_use().peak;
    printf("sequential %-5s budget %-5s samples %2d verify %d %s: planned %.2f MiB, peak %.2f MiB\n", r->mode,
           r->budget, r->samples, r->verify, r->gptq, planned / 0x1p20, found / 0x1p20);
    fflush(stdout);
    return found > 1.15 * planned || found < planned / 1.15;
}

static void the_peak_of_a_run_is_what_the_plan_said(void **state)
{
    (void)state;
    char dir[] = "/tmp/qpipe-memory-XXXXXX";
    assert_non_null(mkdtemp(dir));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[64];
        int status = 0;
        snprintf(out, sizeof out, "%s/out", dir);
        fflush(stdout);
        pid_t child = fork();
        if (!child)
            _exit(run_row(&rows[i], out));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    path_remove_tree(dir, NULL);
}

/* -- depth and samples -- */

static void copy_file(const char *to_dir, const char *name, const char *old, const char *new)
{
    char from[256], to[256];
    struct buf b = { 0 };
    struct err e = { 0 };
    snprintf(from, sizeof from, "%s/examples/tiny/%s", QP_SOURCE_DIR, name);
    snprintf(to, sizeof to, "%s/%s", to_dir, name);
    assert_int_equal(file_read(from, 1 << 24, &b, &e), 0);
    struct out_file *f = file_create(to, &e);
    assert_non_null(f);
    const char *at = old ? strstr(b.p, old) : NULL;
    assert_true(!old || at);
    size_t n = at ? (size_t)(at - b.p) : b.len;
    assert_int_equal(file_put(f, b.p, n, &e), 0);
    if (at) {
        assert_int_equal(file_put(f, new, strlen(new), &e), 0);
        n += strlen(old);
        assert_int_equal(file_put(f, b.p + n, b.len - n, &e), 0);
    }
    assert_int_equal(file_finish(f, NULL, &e), 0);
    buf_release(&b);
}

enum { SOURCE_LAYERS = 2 };
static const char layer_prefix[] = "model.layers.";

/* The name of a tensor of the deep model in the example model: layer i is a copy of layer i % 2. */
static void source_name(const char *name, char out[128])
{
    size_t n = sizeof layer_prefix - 1;
    char *rest = NULL;
    if (strncmp(name, layer_prefix, n)) {
        snprintf(out, 128, "%s", name);
        return;
    }
    long layer = strtol(name + n, &rest, 10);
    snprintf(out, 128, "%s%ld%s", layer_prefix, layer % SOURCE_LAYERS, rest);
}

static void declare(struct st_writer *w, const struct tensor_info *t, int layers)
{
    struct err e = { 0 };
    char name[128];
    size_t n = sizeof layer_prefix - 1;
    if (strncmp(t->name, layer_prefix, n)) {
        assert_int_equal(st_writer_add(w, t->name, t->dtype, t->rank, t->dim, &e), 0);
        return;
    }
    char *rest = NULL;
    for (long i = strtol(t->name + n, &rest, 10); i < layers; i += SOURCE_LAYERS) {
        snprintf(name, sizeof name, "%s%ld%s", layer_prefix, i, rest);
        assert_int_equal(st_writer_add(w, name, t->dtype, t->rank, t->dim, &e), 0);
    }
}

/* The example model with so many layers. */
static void write_deep(const char *dir, int layers)
{
    struct err e = { 0 };
    struct st_file f = { 0 };
    char path[256], name[128], count[64], sha[65];
    assert_int_equal(path_make_dir(dir, &e), 0);
    snprintf(count, sizeof count, "\"num_hidden_layers\": %d", layers);
    copy_file(dir, "config.json", "\"num_hidden_layers\": 2", count);
    copy_file(dir, "tokenizer.json", NULL, NULL);
    copy_file(dir, "tokenizer_config.json", NULL, NULL);
    assert_int_equal(st_open(QP_SOURCE_DIR "/examples/tiny/model.safetensors", &f, &e), 0);
    struct st_writer *w = st_writer_new(&e);
    for (int64_t i = 0; i < f.n; i++)
        declare(w, &f.entry[i].info, layers);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    assert_int_equal(st_writer_begin(w, path, &e), 0);
    for (const struct tensor_info *due; (due = st_writer_next(w));) {
        source_name(due->name, name);
        const struct st_entry *t = st_find(&f, name);
        assert_non_null(t);
        assert_int_equal(st_writer_put(w, f.base + t->begin, t->end - t->begin, &e), 0);
    }
    assert_int_equal(st_writer_finish(w, sha, &e), 0);
    st_close(&f);
}

/* Peak bytes of a run in a process of its own; the plan is checked on the way. */
static double peak_of(const struct row *r, const char *out)
{
    int status = 0, channel[2];
    double peak = 0;
    assert_int_equal(pipe(channel), 0);
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        int rc = run_row(r, out);
        peak = (double)mem_use().peak;
        _exit(write(channel[1], &peak, sizeof peak) == sizeof peak ? rc : 3);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(read(channel[0], &peak, sizeof peak), sizeof peak);
    close(channel[0]);
    close(channel[1]);
    return peak;
}

static void memory_grows_neither_with_layers_nor_with_samples(void **state)
{
    (void)state;
    char dir[] = "/tmp/qpipe-memory-XXXXXX", four[64], sixteen[64], out[64];
    assert_non_null(mkdtemp(dir));
    snprintf(four, sizeof four, "%s/4", dir);
    snprintf(sixteen, sizeof sixteen, "%s/16", dir);
    snprintf(out, sizeof out, "%s/out", dir);
    write_deep(four, 4);
    write_deep(sixteen, 16);
    const struct row few = { "true", "1MiB", 20, 0, W4 ", preset: none", NULL },
                     many = { "true", "1MiB", 160, 0, W4 ", preset: none", NULL };
    model = four;
    double small = peak_of(&few, out), long_text = peak_of(&many, out);
    model = sixteen;
    double large = peak_of(&few, out);
    assert_true(large < 1.05 * small);     /* four times the layers: their tables */
    assert_true(long_text < 1.05 * small); /* eight times the samples: their token ids */
    path_remove_tree(dir, NULL);
}

int main(void)
{
    log_setup(LOG_ERROR, LOG_TEXT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_peak_of_a_run_is_what_the_plan_said),
        cmocka_unit_test(memory_grows_neither_with_layers_nor_with_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
