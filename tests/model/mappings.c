/* mappings.c - every smoothing mapping of every built family is an identity: random positive scales applied through it leave
 * the logits of the tiny models where they were, and half applied they do not. Mappings of norms are those that
 * llm-compressor resolves, where it resolves any. */
#include "model/mappings.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "help.h"
#include "kernels/kernels.h"
#include "model/arch.h"
#include "model/smoothed.h"
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FIXTURES "../shared/fixtures"
enum { MOST = 64 };

struct bench {
    struct fixture f;
    struct model m;
    struct ids ids;
    float *logits;
    int64_t n;
};

/* Positive, from 1/4 to 4. */
static float *random_scales(int64_t n, uint64_t seed)
{
    struct err e = { 0 };
    float *s = mem_array((size_t)n, sizeof *s, &e);
    assert_non_null(s);
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        s[i] = (float)exp2((double)(seed >> 40) / (double)(1 << 24) * 4 - 2);
    }
    return s;
}

static void add(struct smoothed *s, const struct mapping *p, uint64_t seed)
{
    struct err e = { 0 };
    float *scale = random_scales(p->channels, seed);
    assert_int_equal(smoothed_add(s, p, scale, &e), 0);
    mem_free(scale);
}

/* The fixture as if it were stored as float32: what rounding to its own dtype costs is not the question here. */
static const struct tensor_info *find_f32(void *self, const char *name)
{
    static struct tensor_info copy;
    const struct tensor_source *t = self;
    const struct tensor_info *i = t->find(t->self, name);
    if (!i)
        return NULL;
    copy = *i;
    copy.dtype = DT_F32;
    return &copy;
}

static const struct tensor_info *at_f32(void *self, int64_t i)
{
    const struct tensor_source *t = self;
    return t->at(t->self, i);
}

static int read_f32(void *self, const char *name, int64_t row, int64_t n, float *out, struct err *e)
{
    const struct tensor_source *t = self;
    return t->read_f32(t->self, name, row, n, out, e);
}

/* Largest difference of logits with scales through p (n of them), relative to the largest logit. */
static double moved(const struct bench *b, const struct mapping *p, int n)
{
    struct err e = { 0 };
    struct model m = b->m;
    const struct tensor_source *stored = b->m.tensors;
    struct tensor_source wide = { .at = at_f32, .find = find_f32, .read_f32 = read_f32 };
    memcpy(&wide.self, &stored, sizeof stored);
    wide.count = stored->count;
    struct smoothed *s = smoothed_new(&wide, &e);
    float most = 0;
    assert_non_null(s);
    m.tensors = smoothed_source(s);
    for (int i = 0; i < n; i++)
        add(s, &p[i], 77 + (uint64_t)i);
    float *y = walk_logits(&m, &b->ids.chunks, 1 << 30, &e);
    assert_non_null(y);
    for (int64_t i = 0; i < b->n; i++)
        most = fmaxf(most, fabsf(b->logits[i]));
    double d = (double)(largest_difference(y, b->logits, b->n) / most);
    mem_free(y);
    smoothed_free(s);
    return d;
}

static bool open_bench(struct bench *b, const char *name)
{
    struct err e = { 0 };
    char file[300];
    memset(b, 0, sizeof *b);
    snprintf(file, sizeof file, FIXTURES "/%s/linears.json", name);
    if (!path_exists(file) || fixture_open(&b->f, name, "config.json", &e))
        return false;
    if (model_open(b->f.config, &b->f.source, b->f.dir, &b->m, &e)) {
        assert_int_equal(e.code, ERR_UNBUILT); /* a family that is not built */
        fixture_close(&b->f);
        return false;
    }
    ids_of(&b->f, &b->ids);
    for (int64_t c = 0; c < b->ids.chunks.n; c++)
        b->n += b->ids.chunks.len[c] * b->m.vocab;
    b->logits = walk_logits(&b->m, &b->ids.chunks, 1 << 30, &e);
    assert_non_null(b->logits);
    return true;
}

static void close_bench(struct bench *b)
{
    mem_free(b->logits);
    ids_release(&b->ids);
    model_release(&b->m);
    fixture_close(&b->f);
}

/* The folders of the fixtures. */
static void list_fixtures(struct strs *out)
{
    struct err e = { 0 };
    DIR *d = opendir(FIXTURES);
    assert_non_null(d);
    for (const struct dirent *i; (i = readdir(d));)
        if (*i->d_name != '.')
            assert_int_equal(strs_add(out, i->d_name, &e), 0);
    closedir(d);
    strs_sort(out);
}

static int all_of(const struct model *m, struct mapping out[MOST])
{
    int n = 0;
    for (int64_t b = 0; b < m->n_blocks; b++) {
        assert_true(n + MAPPINGS_MAX <= MOST);
        n += mappings_of(m, b, out + n);
    }
    return n;
}

static void check_model(const char *name, const struct bench *b, int kinds[4])
{
    enum { FLOAT_NOISE = 20 }; /* millionths of the largest logit */
    struct mapping p[MOST];
    int n = all_of(&b->m, p);
    for (int i = 0; i < n; i++) {
        struct mapping half = p[i];
        double d = moved(b, &p[i], 1);
        if (d > FLOAT_NOISE * 1e-6)
            fail_msg("%s: scales of %s move the logits by %g", name, p[i].smooth->name, d);
        half.n--;
        if (moved(b, &half, 1) < 10 * FLOAT_NOISE * 1e-6)
            fail_msg("%s: half a mapping of %s moves nothing: this test can not see it", name,
                     p[i].smooth->name);
        kinds[p[i].kind]++;
    }
    if (n && moved(b, p, n) > 2 * FLOAT_NOISE * 1e-6)
        fail_msg("%s: all mappings together move the logits by %g", name, moved(b, p, n));
    print_message("%-18s %d mappings\n", name, n);
}

static void scales_through_every_mapping_change_nothing(void **state)
{
    struct strs names = { 0 };
    int kinds[4] = { 0 };
    const struct arch *seen[128];
    int n_seen = 0;
    (void)state;
    list_fixtures(&names);
    for (size_t i = 0; i < names.n; i++) {
        struct bench b;
        if (!open_bench(&b, names.v[i]))
            continue;
        check_model(names.v[i], &b, kinds);
        assert_true(n_seen < 128);
        seen[n_seen++] = b.m.arch;
        close_bench(&b);
    }
    strs_release(&names);
    for (int k = 0; k < 4; k++)
        assert_true(kinds[k] > 0);
    for (int64_t i = 0; arch_row(i); i++) {
        bool here = !arch_built(arch_row(i));
        for (int k = 0; k < n_seen; k++)
            here = here || seen[k] == arch_row(i);
        if (!here)
            fail_msg("no fixture of %s", arch_row(i)->name);
    }
}

static const char *word(const struct json *j) { return json_str(j, NULL) ? json_str(j, NULL) : ""; }

static int check_pairs(const char *name, const struct model *m, const struct json *pairs)
{
    struct mapping p[MOST];
    int n = all_of(m, p), found = 0;
    for (size_t i = 0; i < json_len(pairs); i++) {
        const struct json *smooth = json_item(json_item(pairs, i), 0),
                          *balance = json_item(json_item(pairs, i), 1);
        for (int k = 0; k < n; k++) {
            if (strcmp(p[k].smooth->name, word(smooth)) || p[k].kind != MAPPING_NORM)
                continue;
            assert_int_equal(json_len(balance), p[k].n);
            for (int x = 0; x < p[k].n; x++) {
                bool there = false;
                for (size_t y = 0; y < json_len(balance); y++)
                    there = there || !strcmp(word(json_item(balance, y)), p[k].balance[x]->name);
                if (!there)
                    fail_msg("%s: %s is no balance layer of %s there", name, p[k].balance[x]->name,
                             word(smooth));
            }
            found++;
        }
    }
    return found;
}

static void norms_are_balanced_as_in_llm_compressor(void **state)
{
    struct strs names = { 0 };
    struct err e = { 0 };
    int found = 0;
    (void)state;
    list_fixtures(&names);
    for (size_t i = 0; i < names.n; i++) {
        struct bench b;
        char file[300];
        if (!open_bench(&b, names.v[i]))
            continue;
        snprintf(file, sizeof file, FIXTURES "/%s/linears.json", names.v[i]);
        struct json *j = json_read(file, JSON_DEFAULT_LIMIT, &e);
        assert_non_null(j);
        found += check_pairs(names.v[i], &b.m, json_get(j, "awq"));
        json_free(j);
        close_bench(&b);
    }
    strs_release(&names);
    assert_true(found > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scales_through_every_mapping_change_nothing),
        cmocka_unit_test(norms_are_balanced_as_in_llm_compressor),
    };
    if (!fixtures_here()) {
        printf("skipped: mappings of the model fixtures (no ../shared)\n");
        return 77;
    }
    kernels_init(NULL, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
