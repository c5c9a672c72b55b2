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

static void write_recipe(const struct row *r, struct buf *out)
{
    struct err e = { 0 };
    buf_printf(
        out, &e,
        "version: 1\nmodel: %s/examples/tiny\nstages:\n"
        "  - calibrate: {dataset: %s/examples/tiny/calib.jsonl, samples: %d, sequence_length: 256, sequential: %s, activation_budget: %s}\n",
        QP_SOURCE_DIR, QP_SOURCE_DIR, r->samples, r->mode, r->budget);
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

int main(void)
{
    log_setup(LOG_ERROR, LOG_TEXT);
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_peak_of_a_run_is_what_the_plan_said) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
