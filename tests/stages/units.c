/* units.c - a unit's weights are, bit for bit, what the solver left, whatever scheme and container: in the process that made
 * them and in one that takes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/journal.h"
#include "kernels/kernels.h"
#include "stages/rows.h"
#include "stages/unit_record.h"
#include "stages/units.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TINY QP_SOURCE_DIR "/examples/tiny"

static char dir[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "%s/qpipe-units-XXXXXX", path_temporary());
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return path_remove_tree(dir, NULL);
}

static const char *join(const char *name)
{
    static char path[4][128];
    static int k;
    k = (k + 1) % 4;
    snprintf(path[k], sizeof path[k], "%s/%s", dir, name);
    return path[k];
}

struct fixture {
    struct recipe r;
    struct job j;
    struct journal *journal;
};

static void plan(struct fixture *f, const char *modifier)
{
    struct err e = { 0 };
    struct buf text = { 0 };
    struct recipe_args a = { .model = TINY, .output = join("out") };
    buf_printf(&text, &e,
               "version: 1\nstages:\n  - calibrate: { dataset: " TINY
               "/calib.jsonl, samples: 2, sequence_length: 64 }\n  - %s\n",
               modifier);
    if (recipe_parse(text.p, text.len, "r.yaml", &a, &f->r, &e) || job_plan(&f->r, false, &f->j, &e))
        fail_msg("%s: %s", modifier, e.what);
    buf_release(&text);
}

/* A start: a journal, units and a saver of its own. */
static void start(struct fixture *f)
{
    static const struct journal_identity id = { "recipe", "one" };
    struct err e = { 0 };
    struct journal_options o = { .dir = dir, .size = 1, .identity = &id, .n_identity = 1 };
    f->journal = journal_open(&o, &e);
    f->j.units = f->journal ? units_open(&f->j, f->journal, dir, 0, &e) : NULL;
    f->j.saver = f->j.units ? saver_new_in(dir, units_spool(f->j.units), 1 << 30, &e) : NULL;
    if (!f->j.saver)
        fail_msg("%s", e.what);
}

static void stop(struct fixture *f)
{
    struct err e = { 0 };
    assert_int_equal(unit_commit(&f->j, &e), 0);
    saver_free(f->j.saver);
    units_close(f->j.units);
    journal_close(f->journal);
    f->j.saver = NULL;
    f->j.units = NULL;
}

/* Inputs of uneven size, so that an order by falling diagonal is none of the natural ones. */
static void make_gram(struct gram *g, int64_t k)
{
    struct err e = { 0 };
    uint32_t seed = 7;
    int64_t rows = 96;
    float *x = mem_array((size_t)(rows * k), sizeof *x, &e);
    for (int64_t i = 0; i < rows * k; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = ((float)(seed >> 8) * 0x1p-23f - 1.0f) * (float)(1 + i % k * 7 % 5);
    }
    assert_int_equal(gram_init(g, k, 2, false, &e), 0);
    assert_int_equal(gram_add(g, 0, x, rows / 2, k, &e) || gram_add(g, 1, x + rows / 2 * k, rows / 2, k, &e),
                     0);
    assert_int_equal(gram_finish(g, &e), 0);
    mem_free(x);
}

static float *weights_of(const struct fixture *f, const struct module_job *m)
{
    struct err e = { 0 };
    const struct tensor_source *t = job_tensors(&f->j);
    float *w = mem_big((size_t)(m->module->out * m->module->in), sizeof *w, &e);
    assert_int_equal(t->read_f32(t->self, m->module->tensor, 0, m->module->out, w, &e), 0);
    return w;
}

static void solve(struct fixture *f, struct module_job *m, float *w)
{
    struct err e = { 0 };
    struct gram g = { 0 };
    struct factor factor = { 0 };
    struct tune t = { 0 };
    make_gram(&g, m->module->in);
    bool factored = m->solver->needs == NEED_GRAM;
    int rc = fused_scale(&f->j, m, NULL, NULL, &e);
    rc = rc || (factored && factor_init(&factor, &g, m->order, 0.05, &e));
    rc = rc || (factored && tune_wanted(&m->solve) && tune_init(&t, &m->solve, &m->layout, &factor, &g, &e));
    rc = rc || unit_module_begin(&f->j, m, &e) ||
         solve_module(&f->j, m, w, factored ? &factor : NULL, &t, &g, &e) || unit_module_end(&f->j, m, &e);
    if (rc)
        fail_msg("%s: %s", m->module->name, e.what);
    tune_release(&t);
    if (factored)
        factor_release(&factor);
    gram_release(&g);
}

static void same_weights(const struct fixture *f, const struct module_job *m, const float *want,
                         const char *text)
{
    struct err e = { 0 };
    size_t n = (size_t)(m->module->out * m->module->in);
    float *got = mem_big(n, sizeof *got, &e);
    if (unit_weights(&f->j, m, got, &e))
        fail_msg("%s: %s: %s", text, m->module->name, e.what);
    for (size_t i = 0; i < n; i++)
        if (memcmp(&got[i], &want[i], sizeof *got))
            fail_msg("%s: %s, element %zu: %a, the solver left %a", text, m->module->name, i, (double)got[i],
                     (double)want[i]);
    mem_free(got);
}

enum { MODULES = 4 };

/* The attention of the first block: solved and read back; then taken by another start, and read back. */
static void there_and_back(const char *text)
{
    struct fixture f = { 0 };
    struct err e = { 0 };
    float *left[MODULES];
    struct module_job *m[MODULES];
    struct module_result result[MODULES];
    int n = 0;
    journal_clear(dir, &e);
    plan(&f, text);
    start(&f);
    for (int64_t i = 0; i < f.j.load.model.n_modules && n < MODULES; i++)
        if (f.j.module[i].scheme)
            m[n++] = &f.j.module[i];
    assert_int_equal(n, MODULES);
    for (int i = 0; i < n; i++) {
        assert_false(unit_module_done(&f.j, m[i]));
        left[i] = weights_of(&f, m[i]);
        solve(&f, m[i], left[i]);
        assert_true(unit_module_done(&f.j, m[i]));
        same_weights(&f, m[i], left[i], text);
        result[i] = m[i]->result;
    }
    stop(&f);
    start(&f);
    assert_true(journal_resumed(f.journal));
    for (int i = n; i--;) { /* in another order */
        m[i]->done = false;
        memset(&m[i]->result, 0xAA, sizeof m[i]->result);
        assert_int_equal(unit_module_take(&f.j, m[i], &e), 0);
        assert_true(m[i]->done);
        assert_memory_equal(&m[i]->result.solve, &result[i].solve, sizeof result[i].solve);
        assert_int_equal(m[i]->result.tokens, result[i].tokens);
        int64_t before = saver_count(f.j.saver);
        assert_int_equal(unit_module_take(&f.j, m[i], &e), 0); /* again: the value alone */
        assert_int_equal(saver_count(f.j.saver), before);
        same_weights(&f, m[i], left[i], text);
        mem_free(left[i]);
    }
    stop(&f);
    job_release(&f.j);
    recipe_release(&f.r);
}

static void weights_come_back_bit_for_bit(void **state)
{
    (void)state;
    static const char *const scheme[] = { "W4A16",  "W4A16_ASYM", "W8A16",     "W8A8",     "W4A8",
                                          "W4AFP8", "FP8",        "FP8_BLOCK", "NVFP4A16", "MXFP4A16" };
    for (size_t i = 0; i < sizeof scheme / sizeof *scheme; i++)
        for (size_t k = 0; k < 2; k++) {
            char modifier[256];
            snprintf(
                modifier, sizeof modifier,
                k ? "GPTQModifier: { targets: [Linear], ignore: [lm_head], scheme: %s, actorder: weight }"
                  : "QuantizationModifier: { targets: [Linear], ignore: [lm_head], scheme: %s }",
                scheme[i]);
            there_and_back(modifier);
        }
}

static void other_cells_come_back(void **state)
{
    (void)state;
    static const char *const weights[] = {
        "{ num_bits: 3, type: int, symmetric: false, strategy: group, group_size: 32 }",
        "{ num_bits: 8, type: int, symmetric: false, strategy: channel }",
        "{ num_bits: 8, type: int, symmetric: true, strategy: tensor }",
        "{ num_bits: 2, type: int, symmetric: true, strategy: group, group_size: 64 }",
    };
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
        char modifier[320];
        snprintf(
            modifier, sizeof modifier,
            "QuantizationModifier: { ignore: [lm_head], config_groups: { g: { targets: [Linear], weights: %s } } }",
            weights[i]);
        there_and_back(modifier);
    }
}

/* Every prefix of a record is refused, never read beyond its end. */
static void short_records_are_refused(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct buf b = { 0 };
    struct unit_head h = { 1, 1, 3 };
    struct saver_place p = { .name = "a.weight",
                             .spool = "/x/spool.0.0",
                             .dtype = DT_F32,
                             .rank = 2,
                             .dim = { 2, 3 },
                             .at = 5,
                             .bytes = 24 };
    memset(p.sha256, 'a', 64);
    assert_int_equal(unit_put_head(&b, &h, &e) || unit_put_tensor(&b, &p, &e) ||
                         unit_put_source(&b, &(struct unit_source){ 4, 5 }, &e) || buf_add(&b, "abc", 3, &e),
                     0);
    for (size_t n = 0; n <= b.len; n++) {
        char *copy = mem_alloc(n, &e); /* exactly so many bytes: a sanitizer sees one too many */
        memcpy(copy, b.p, n);
        struct unit_reader r = { copy, n, 0 };
        struct unit_head head;
        struct saver_place place;
        struct unit_source source;
        const char *value = NULL;
        bool whole = !unit_get_head(&r, &head) && !unit_get_tensor(&r, &place) &&
                     !unit_get_source(&r, &source) && (value = unit_get_value(&r, &head));
        assert_int_equal(whole, n == b.len);
        if (whole) {
            assert_string_equal(place.name, "a.weight");
            assert_string_equal(place.spool, "spool.0.0");
            assert_int_equal(place.at, 5);
            assert_int_equal(source.sum, 5);
            assert_memory_equal(value, "abc", 3);
        }
        mem_free(copy);
    }
    buf_release(&b);
}

int main(void)
{
    log_setup(LOG_ERROR, LOG_TEXT);
    kernels_init(NULL, 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_come_back_bit_for_bit),
        cmocka_unit_test(other_cells_come_back),
        cmocka_unit_test(short_records_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
