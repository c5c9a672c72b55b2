/* golden.c - the main job on the recipes of the peer's golden results: what its README says must be equal is equal.
 *
 * The fixture's model is stored as bf16 and was used as float32; it is written out as float32 first. Each recipe runs through
 * the whole program in block mode (statistics from a block's original weights, as the peer has them), and the manifest is
 * held against the peer's result.json. Reads ../shared; says so and skips where it is not. */
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
#include "pipeline/manifest.h"
#include "stages/metrics.h"
#include "stages/simulate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIXTURE QP_SOURCE_DIR "/../shared/fixtures/gptq_golden"

static char work[256]; /* a temporary folder with golden.tar.xz unpacked and model32 beside */

enum kind {
    ALL_EXACT,   /* every tensor of the file */
    SCALES_NEAR, /* codes and scales of nearly all cells; error within 0.1 % */
    GPTQ,        /* scales exact, layer 0 codes nearly all, errors within 1 % */
    SMOOTHED,    /* scales to 1e-5, AWQ: the peer's choice at every mapping; layer 0 codes nearly all */
    WRONG,       /* the peer refuses it at run time, we at parse */
};
struct row {
    const char *name;
    enum kind kind;
    int bits;
    double codes; /* share of layer 0 codes that may differ */
};
static const struct row rows[] = {
    { "rtn_w3a16", ALL_EXACT, 3, 0 },
    { "rtn_w4a16", ALL_EXACT, 4, 0 },
    { "rtn_w4a16_asym", ALL_EXACT, 4, 0 },
    { "rtn_w8a16", ALL_EXACT, 8, 0 },
    { "rtn_w8a8", ALL_EXACT, 8, 0 },
    { "rtn_w4a16_mse", SCALES_NEAR, 4, 0.01 },
    { "rtn_w4a16_imatrix_mse", SCALES_NEAR, 4, 0.01 },
    { "gptq_w4a16_none", GPTQ, 4, 0.0005 },
    { "gptq_w4a16_weight", GPTQ, 4, 0.0005 },
    { "gptq_w4a16_static", GPTQ, 4, 0.0005 },
    { "gptq_w4a16_asym", GPTQ, 4, 0.0005 },
    { "gptq_w4a16_mse", GPTQ, 4, 0.0005 },
    { "gptq_w4g32_groups", GPTQ, 4, 0.0005 },
    { "gptq_w4g64_asym_weight", GPTQ, 4, 0.0005 },
    { "gptq_w8a8", GPTQ, 8, 0.001 },
    { "gptq_w4a16_group", WRONG, 0, 0 },
    { "rtn_fp8_block", ALL_EXACT, 8, 0 },
    { "rtn_fp8_dynamic", ALL_EXACT, 8, 0 },
    { "rtn_mxfp4a16", ALL_EXACT, 4, 0 },
    { "rtn_nvfp4a16", ALL_EXACT, 4, 0 },
    { "awq_w4a16_asym_duo_true", SMOOTHED, 4, 0.0005 },
    { "awq_w4a16_asym_duo_false", SMOOTHED, 4, 0.0005 },
    { "awq_w4a16_asym_duo_both", SMOOTHED, 4, 0.0005 },
    { "sq_gptq_w8a8", SMOOTHED, 8, 0.001 },
};

static void *must(void *p, const struct err *e)
{
    if (!p || e->code) {
        err_print(e, stderr);
        fail();
    }
    return p;
}

static void ok(int rc, const struct err *e)
{
    if (rc) {
        err_print(e, stderr);
        fail();
    }
}

static char *path(const char *a, const char *b)
{
    struct err e = { 0 };
    return must(path_join(a, b, &e), &e);
}

static void copy_file(const char *from, const char *to)
{
    struct err e = { 0 };
    struct buf b = { 0 };
    ok(file_read(from, 1 << 30, &b, &e), &e);
    struct out_file *f = must(file_create(to, &e), &e);
    ok(file_put(f, b.p, b.len, &e), &e);
    ok(file_finish(f, NULL, &e), &e);
    buf_release(&b);
}

/* model/model.safetensors, every tensor widened to float32. */
static void widen(const char *from, const char *to)
{
    struct err e = { 0 };
    struct st_file f;
    ok(st_open(from, &f, &e), &e);
    struct st_writer *w = must(st_writer_new(&e), &e);
    for (int64_t i = 0; i < f.n; i++)
        ok(st_writer_add(w, f.entry[i].info.name, DT_F32, f.entry[i].info.rank, f.entry[i].info.dim, &e), &e);
    ok(st_writer_begin(w, to, &e), &e);
    for (const struct tensor_info *t; (t = st_writer_next(w));) {
        struct tensor_view v = st_view(&f, st_find(&f, t->name));
        int64_t n = view_elems(&v);
        float *x = must(mem_array((size_t)n, sizeof *x, &e), &e);
        dtype_to_f32(v.dtype, v.data, n, x);
        ok(st_writer_put(w, x, (uint64_t)n * sizeof *x, &e), &e);
        mem_free(x);
    }
    ok(st_writer_finish(w, NULL, &e), &e);
    st_close(&f);
}

static int set_up(void **state)
{
    (void)state;
    struct err e = { 0 };
    char command[1024];
    snprintf(work, sizeof work, "/tmp/qpipe-golden-XXXXXX");
    if (!mkdtemp(work))
        return -1;
    snprintf(command, sizeof command, "tar xJf '%s/golden.tar.xz' -C '%s'", FIXTURE, work);
    if (system(command))
        return -1;
    char *to = path(work, "model32"), *config = path(work, "model32/config.json"),
         *file = path(work, "model32/model.safetensors");
    char *from_config = path(work, "model/config.json"), *from_file = path(work, "model/model.safetensors");
    ok(path_make_dir(to, &e), &e);
    copy_file(from_config, config);
    widen(from_file, file);
    mem_free(to), mem_free(config), mem_free(file), mem_free(from_config), mem_free(from_file);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return path_remove_tree(work, NULL);
}

static void recipe_text(const char *name, struct buf *out)
{
    struct err e = { 0 };
    char file[512];
    snprintf(file, sizeof file, FIXTURE "/recipes/%s.yaml", name);
    ok(file_read(file, 1 << 20, out, &e), &e);
    ok(buf_printf(
           out, &e,
           "\ncalibrate: {dataset: %s/model/tokens.safetensors, sequential: block, shuffle: false, sequence_length: 64}\n",
           work),
       &e);
}

/* The whole job; returns the manifest, or NULL with e set. */
static struct json *run(const char *name, char *out_dir, size_t cap, struct err *e)
{
    struct buf text = { 0 };
    struct recipe r;
    struct job j;
    struct json *manifest = NULL;
    char model[300];
    snprintf(model, sizeof model, "%s/model32", work);
    snprintf(out_dir, cap, "%s/out-%s", work, name);
    recipe_text(name, &text);
    struct recipe_args a = { .model = model, .output = out_dir };
    int rc = recipe_parse(text.p, text.len, "golden.yaml", &a, &r, e);
    buf_release(&text);
    if (rc)
        return NULL;
    if (!job_plan(&r, false, &j, e)) {
        struct run_report report;
        if (!run_job(&j, true, RESUME_NEVER, &report, e)) {
            char *file = path(out_dir, MANIFEST_NAME);
            manifest = json_read(file, JSON_BIG_LIMIT, e);
            mem_free(file);
            run_report_release(&report);
        }
        job_release(&j);
    }
    recipe_release(&r);
    return manifest;
}

static const char *our_sha(const struct json *manifest, const char *tensor)
{
    const struct json *list = json_get(json_get(json_get(manifest, "predicate"), "outputs"), "tensors");
    for (size_t i = 0; i < json_len(list); i++)
        if (!strcmp(json_str(json_get(json_item(list, i), "name"), NULL), tensor))
            return json_str(json_get(json_item(list, i), "sha256"), NULL);
    return "absent";
}

static struct json *peer_result(const char *name)
{
    struct err e = { 0 };
    char file[512];
    snprintf(file, sizeof file, "%s/%s/result.json", work, name);
    return must(json_read(file, JSON_BIG_LIMIT, &e), &e);
}

/* How many of the peer's tensors, all or those with a certain ending, differ from ours. */
static int differing(const struct json *manifest, const struct json *peer, const char *ending)
{
    const struct json *t = json_get(peer, "tensors");
    int n = 0;
    for (void *it = json_first(t); it; it = json_next(t, it)) {
        if (ending && !str_ends(json_it_key(it), ending))
            continue;
        const char *sha = json_str(json_get(json_it_value(it), "sha256"), NULL);
        if (strcmp(sha, our_sha(manifest, json_it_key(it)))) {
            printf("  differs: %s\n", json_it_key(it));
            n++;
        }
    }
    return n;
}

/* Codes of layer 0 that differ: `bits` a code, packed words or int8. */
static void count_codes(const struct st_file *a, const struct st_file *b, int bits, int64_t *differ,
                        int64_t *total)
{
    *differ = *total = 0;
    for (int64_t i = 0; i < b->n; i++) {
        const char *name = b->entry[i].info.name;
        const struct st_entry *mine = st_find(a, name);
        bool packed = str_ends(name, ".weight_packed"),
             plain = b->entry[i].info.dtype == DT_I8 && str_ends(name, ".weight");
        if (!str_starts(name, "model.layers.0.") || (!packed && !plain))
            continue;
        assert_non_null(mine);
        struct tensor_view x = st_view(a, mine), y = st_view(b, &b->entry[i]);
        assert_int_equal(view_bytes(&x), view_bytes(&y));
        const unsigned char *p = x.data, *q = y.data;
        for (int64_t k = 0; k < view_bytes(&x) * 8 / bits; k++) {
            int64_t at = k * bits;
            unsigned d = (unsigned)(p[at / 8] ^ q[at / 8]) >> (at % 8) & ((1u << bits) - 1);
            *differ += d != 0;
        }
        *total += view_bytes(&x) * 8 / bits;
    }
}

static double share_of_codes(const char *name, const char *out_dir, int bits)
{
    struct err e = { 0 };
    struct st_file a, b;
    char mine[600], theirs[512];
    int64_t differ, total;
    snprintf(mine, sizeof mine, "%s/model.safetensors", out_dir);
    /* the static recipe's file is byte-identical to the other's and left out of the archive */
    snprintf(theirs, sizeof theirs, "%s/%s/model.safetensors", work,
             strcmp(name, "gptq_w4a16_static") ? name : "gptq_w4a16_weight");
    ok(st_open(mine, &a, &e), &e);
    ok(st_open(theirs, &b, &e), &e);
    count_codes(&a, &b, bits, &differ, &total);
    st_close(&a);
    st_close(&b);
    printf("  layer 0: %lld of %lld codes differ\n", (long long)differ, (long long)total);
    assert_true(total > 0);
    return (double)differ / (double)total;
}

/* Weighted errors of every module against the peer's, as ratios of ours to theirs. */
static void errors_within(const struct json *manifest, const struct json *peer, double slack)
{
    const struct json *ours = json_get(json_get(manifest, "predicate"), "modules"),
                      *theirs = json_get(peer, "modules");
    double sum_a = 0, sum_b = 0;
    for (void *it = json_first(theirs); it; it = json_next(theirs, it)) {
        double a = 0, b = 0;
        assert_true(json_num(json_get(json_get(ours, json_it_key(it)), "weighted_error"), &a));
        if (!json_num(json_get(json_it_value(it), "err_seq"), &b) &&
            !json_num(json_get(json_it_value(it), "err_float"), &b))
            fail_msg("no error of %s", json_it_key(it));
        if (fabs(a / b - 1) > slack)
            fail_msg("%s: weighted error %g, the peer's %g", json_it_key(it), a, b);
        sum_a += a;
        sum_b += b;
    }
    printf("  sum of weighted errors %.6g, the peer's %.6g\n", sum_a, sum_b);
}

static void read_values(const struct st_file *f, const char *name, float *out, int64_t cap, int64_t *n)
{
    const struct st_entry *x = st_find(f, name);
    if (!x)
        fail_msg("no tensor %s", name);
    struct tensor_view v = st_view(f, x);
    *n = view_elems(&v);
    assert_true(*n > 0 && *n <= cap);
    dtype_to_f32(v.dtype, v.data, *n, out);
}

/* The scales of a norm: its weight before over its weight after. */
static void scales_within(const char *name, const char *out_dir, const char *norm, const char *peer_key)
{
    enum { MOST = 512 };
    struct err e = { 0 };
    struct st_file before, after, extra;
    char file[600], tensor[200];
    float w[MOST], v[MOST], s[MOST];
    int64_t n, n_after, n_scales;
    snprintf(file, sizeof file, "%s/model32/model.safetensors", work);
    ok(st_open(file, &before, &e), &e);
    snprintf(file, sizeof file, "%s/model.safetensors", out_dir);
    ok(st_open(file, &after, &e), &e);
    snprintf(file, sizeof file, "%s/%s/extra.safetensors", work, name);
    ok(st_open(file, &extra, &e), &e);
    snprintf(tensor, sizeof tensor, "%s.weight", norm);
    read_values(&before, tensor, w, MOST, &n);
    read_values(&after, tensor, v, MOST, &n_after);
    read_values(&extra, peer_key, s, MOST, &n_scales);
    assert_true(n == n_after && n == n_scales);
    for (int64_t i = 0; i < n; i++)
        if (fabsf(w[i] / v[i] / s[i] - 1) > 1e-5f)
            fail_msg("%s, channel %d: scale %g, the peer's %g", norm, (int)i, (double)(w[i] / v[i]),
                     (double)s[i]);
    st_close(&before), st_close(&after), st_close(&extra);
}

/* The grid point that won, and its loss, where the peer's second best is not as good. */
static void choice_as_the_peer(const struct json *mine, const struct json *theirs)
{
    const struct json *losses = json_get(theirs, "losses");
    double best = (double)INFINITY, second = (double)INFINITY, a, b = 0;
    for (size_t i = 0; i < json_len(losses); i++) {
        assert_true(json_num(json_item(losses, i), &a));
        second = a < best ? best : a < second ? a : second;
        best = a < best ? a : best;
    }
    assert_true(json_num(json_get(mine, "loss_after"), &a) && fabs(a / best - 1) < 1e-3);
    if (second / best - 1 < 1e-4)
        return;
    bool duo_a, duo_b;
    assert_true(json_num(json_get(mine, "ratio"), &a) && json_num(json_get(theirs, "best_ratio"), &b));
    assert_true(json_bool(json_get(mine, "duo_scaling"), &duo_a) &&
                json_bool(json_get(theirs, "best_duo"), &duo_b));
    assert_true(fabs(a - b) < 1e-9 && duo_a == duo_b);
}

static void smoothed_as_the_peer(const char *name, const char *out_dir, const struct json *manifest,
                                 const struct json *peer)
{
    const struct json *list = json_get(json_get(manifest, "predicate"), "smoothing"),
                      *awq = json_get(peer, "awq");
    char key[300];
    assert_int_equal(json_len(list), awq ? json_len(awq) : 4);
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json *m = json_item(list, i), *balance = json_get(m, "balance");
        const char *smooth = json_str(json_get(m, "smooth"), NULL);
        size_t at = (size_t)snprintf(key, sizeof key, "scales.%s", awq ? smooth : "");
        for (size_t k = 0; !awq && k < json_len(balance); k++)
            at += (size_t)snprintf(key + at, sizeof key - at, "%s%s", k ? "+" : "",
                                   json_str(json_item(balance, k), NULL));
        if (awq) {
            assert_non_null(json_get(awq, smooth));
            choice_as_the_peer(m, json_get(awq, smooth));
        }
        if (str_ends(smooth, "layernorm"))
            scales_within(name, out_dir, smooth, key);
    }
    if (!awq)
        errors_within(manifest, peer, 0.01);
}

static void check_row(const struct row *r)
{
    struct err e = { 0 };
    char out_dir[400];
    printf("%s\n", r->name);
    struct json *m = run(r->name, out_dir, sizeof out_dir, &e);
    if (r->kind == WRONG) {
        assert_null(m);
        assert_int_equal(e.code, ERR_INPUT);
        assert_false(path_exists(out_dir));
        return;
    }
    must(m, &e);
    struct json *peer = peer_result(r->name);
    if (r->kind == ALL_EXACT)
        assert_int_equal(differing(m, peer, NULL), 0);
    else {
        assert_true(share_of_codes(r->name, out_dir, r->bits) <= r->codes);
        if (r->kind == GPTQ) {
            int bad = differing(m, peer, "_scale") + differing(m, peer, "_zero_point");
            assert_true(bad == 0 || (strstr(r->name, "mse") && bad < 3));
            errors_within(m, peer, 0.01);
        }
        if (r->kind == SMOOTHED)
            smoothed_as_the_peer(r->name, out_dir, m, peer);
    }
    json_free(peer);
    json_free(m);
}

static void every_golden_recipe_meets_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_row(&rows[i]);
}

/* Logits of what the rows above saved, inputs rounded where the scheme says so, against the peer's of samples 0 and 1. A
 * sum that differs in its last bit can turn an input's code: behind it, positions of that sequence differ by a code's worth. */
static const struct {
    const char *name;
    int agree; /* of the 8 positions, to 1e-4 */
    double most;
} logit_rows[] = {
    { "rtn_w3a16", 8, 1e-4 }, { "rtn_w4a16", 8, 1e-4 },       { "rtn_w4a16_asym", 8, 1e-4 },
    { "rtn_w8a16", 8, 1e-4 }, { "rtn_fp8_dynamic", 8, 1e-4 }, { "rtn_fp8_block", 8, 1e-4 },
    { "rtn_w8a8", 4, 0.02 },
};
enum { SAMPLES = 2, TOKENS = 64, PLACES = 4, VOCAB = 256 };

struct picked {
    float v[SAMPLES][PLACES][VOCAB];
};

static int pick(void *arg, int64_t window, const float *logits, int64_t len, struct err *e)
{
    struct picked *p = arg;
    (void)e;
    assert_int_equal(len, TOKENS);
    for (int i = 0; window < SAMPLES && i < PLACES; i++)
        memcpy(p->v[window][i], logits + (16 * i + 15) * VOCAB, sizeof p->v[0][0]);
    return 0;
}

static void logits_of(const char *name, struct picked *out)
{
    struct err e = { 0 };
    struct checkpoint c = { 0 };
    struct model m = { 0 };
    struct activations a = { 0 };
    struct dataset d = { 0 };
    struct eval_result r;
    struct metrics_options o = { UINT64_C(1) << 30, "/tmp" };
    char dir[400], tokens[400];
    snprintf(dir, sizeof dir, "%s/out-%s", work, name);
    snprintf(tokens, sizeof tokens, "%s/model/tokens.safetensors", work);
    struct dataset_options options = {
        .path = tokens, .field = "heldout_input_ids", .samples = SAMPLES, .min_length = 2
    };
    ok(checkpoint_open(dir, &c, &e), &e);
    ok(model_open(c.config, &c.tensors, dir, &m, &e), &e);
    ok(simulate_open(&c, ACTIVATIONS_SIMULATE, &m, &a, &e), &e);
    ok(dataset_load(&options, NULL, m.vocab, &d, &e), &e);
    ok(eval_model(&m, &d, &o, pick, out, &r, &e), &e);
    dataset_release(&d);
    activations_release(&a);
    model_release(&m);
    checkpoint_close(&c);
}

static void logits_of_exact_checkpoints_are_the_peers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof logit_rows / sizeof *logit_rows; i++) {
        struct err e = { 0 };
        struct st_file f;
        static struct picked ours;
        char file[400];
        int agree = 0;
        double most = 0;
        snprintf(file, sizeof file, "%s/%s/extra.safetensors", work, logit_rows[i].name);
        ok(st_open(file, &f, &e), &e);
        struct tensor_view v = st_view(&f, st_find(&f, "heldout_logits"));
        assert_int_equal(view_bytes(&v), sizeof ours);
        logits_of(logit_rows[i].name, &ours);
        for (int k = 0; k < SAMPLES * PLACES; k++) {
            double far = 0;
            for (int t = 0; t < VOCAB; t++) {
                float theirs;
                memcpy(&theirs, (const char *)v.data + 4 * (k * VOCAB + t), sizeof theirs);
                far = fmax(far, fabs((double)ours.v[k / PLACES][k % PLACES][t] - (double)theirs));
            }
            agree += far <= 1e-4;
            most = fmax(most, far);
        }
        printf("%s: logits of %d of 8 positions agree, largest difference %.2g\n", logit_rows[i].name, agree,
               most);
        assert_true(agree >= logit_rows[i].agree && most <= logit_rows[i].most);
        st_close(&f);
    }
}

int main(void)
{
    if (!path_exists(FIXTURE "/golden.tar.xz")) {
        printf("skipped: golden results of the peer (no ../shared)\n");
        return 77;
    }
    log_setup(LOG_ERROR, LOG_TEXT);
    if (!kernels_init(getenv("QPIPE_KERNELS"), 2))
        return 1;
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_golden_recipe_meets_the_table),
                                        cmocka_unit_test(logits_of_exact_checkpoints_are_the_peers) };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
