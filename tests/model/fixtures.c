/* fixtures.c - tiny models of every built family against what transformers computes for them: logits, hidden states, Gram
 * matrices of inputs, and lists of Linear modules. Tolerances are those of the fixtures' README. */
#include "base/mem.h"
#include "base/str.h"
#include "help.h"
#include "kernels/kernels.h"
#include "model/arch.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const names[] = {
    "llama-bias",
    "llama-dynamic",
    "llama-linear",
    "llama-longrope",
    "llama-mha",
    "llama-yarn",
    "llama-yarn-opts",
    "llama2-gqa",
    "llama31",
    "llama32-tied",
    "mistral-nemo",
    "mistral-swa",
    "qwen2",
    "qwen2-tied-swa",
    "qwen3",
    "gemma",
    "gemma2",
    "gemma3-text",
    "phi3-longrope",
    "phi3-swa",
    "phi4-mini",
    "olmo2",
    "granite",
    "glm4",
    "smollm3",
    "gpt2",
    "gpt2-layeridx",
    "gpt-neo",
    "gpt-neox",
    "gpt-neox-serial",
    "gptj",
    "bloom",
    "bloom-6heads",
    "falcon-7b",
    "falcon-11b",
    "falcon-40b",
    "mpt",
    "mpt-clip",
    "opt",
    "opt-350m",
    "phi",
    "starcoder2",
    "stablelm",
    "stablelm-qknorm",
    "nemotron",
    "cohere",
    "cohere-qknorm",
    "cohere2",
};
enum { N_NAMES = sizeof names / sizeof *names };

static void show(const struct err *e)
{
    if (e->code)
        err_print(e, stderr);
}

struct grams {
    const struct fixture *f;
    double *g[64];
    const struct module *module[64];
    int64_t k[64];
    int n;
};

static bool wants_all(void *arg, const struct walk_group *g)
{
    (void)arg;
    (void)g;
    return true;
}

static int add_gram(void *arg, const struct walk_group *g, int64_t chunk, const float *x, int64_t rows,
                    int64_t ldx, struct err *e)
{
    struct grams *s = arg;
    int i = 0;
    (void)chunk;
    while (i < s->n && s->module[i] != g->module[0])
        i++;
    if (i == s->n) {
        assert_true(s->n < 64);
        s->module[s->n] = g->module[0];
        s->k[s->n] = g->k;
        s->g[s->n++] = mem_array((size_t)(g->k * g->k), sizeof(double), e);
    }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t a = 0; a < g->k; a++)
            for (int64_t b = 0; b < g->k; b++)
                s->g[i][a * g->k + b] += (double)x[r * ldx + a] * (double)x[r * ldx + b];
    return 0;
}

static int solve_nothing(void *arg, const struct walk_group *g, struct err *e)
{
    (void)arg;
    (void)g;
    (void)e;
    return 0;
}

/* Every gram.* of the fixture that names a module of this group (modules of a group share one key). */
static int compare_grams(const struct grams *s, const struct model *m)
{
    int compared = 0;
    for (int i = 0; i < s->n; i++)
        for (int64_t o = 0; o < m->n_modules; o++) {
            char key[256];
            float most = 0;
            double worst = 0;
            if (m->module[o].block != s->module[i]->block || m->module[o].group != s->module[i]->group)
                continue;
            snprintf(key, sizeof key, "gram.%s", m->module[o].name);
            struct tensor_view v = golden(s->f, key);
            const float *want = v.data;
            if (!want)
                continue;
            assert_int_equal(v.dim[0], s->k[i]);
            for (int64_t a = 0; a < s->k[i]; a++)
                most = fmaxf(most, want[a * s->k[i] + a]);
            for (int64_t a = 0; a < s->k[i] * s->k[i]; a++)
                worst = fmax(worst, fabs(s->g[i][a] - (double)want[a]));
            if (worst > 1e-4 * (double)most)
                fail_msg("%s: %s differs by %g", s->f->dir, key, worst);
            compared++;
        }
    return compared;
}

static int compare_hidden(struct walker *w, const struct fixture *f, const struct ids *ids, const char *key)
{
    struct tensor_view v = golden(f, key);
    const float *want = v.data;
    if (!want)
        return 0;
    int64_t t = v.dim[1], h = v.dim[2];
    float *x = malloc((size_t)(t * h) * sizeof *x);
    assert_non_null(x);
    for (int64_t b = 0; b < ids->chunks.n; b++) {
        struct err e = { 0 };
        assert_int_equal(walker_hidden(w, b, x, &e), 0);
        for (int64_t i = 0; i < t * h; i++) {
            float g = want[b * t * h + i];
            if (!(fabsf(x[i] - g) <= 1e-4f + 1e-5f * fabsf(g)))
                fail_msg("%s %s at %lld: found %g, expected %g", f->dir, key, (long long)i, (double)x[i],
                         (double)g);
        }
    }
    free(x);
    return 1;
}

static float compare_logits(struct walker *w, const struct fixture *f, const struct ids *ids)
{
    struct tensor_view v = golden(f, "logits");
    int64_t n = v.dim[1] * v.dim[2];
    float *y = malloc((size_t)n * sizeof *y), most = 0;
    assert_non_null(y);
    for (int64_t b = 0; b < ids->chunks.n; b++) {
        struct err e = { 0 };
        assert_int_equal(walker_logits(w, b, y, &e), 0);
        most = fmaxf(most, largest_difference(y, (const float *)v.data + b * n, n));
    }
    free(y);
    return most;
}

static void walk_fixture(struct fixture *f, const struct model *m, const char *name, const char *config)
{
    struct err e = { 0 };
    struct ids ids;
    struct grams grams = { .f = f };
    struct walk_hooks hooks = { &grams, wants_all, add_gram, solve_nothing, NULL };
    struct walk_options o = { 1 << 30, "/tmp" };
    int hidden = 0;
    char key[64];
    ids_of(f, &ids);
    struct walker *w = walker_new(m, &ids.chunks, &o, &e);
    show(&e);
    assert_non_null(w);
    hidden += compare_hidden(w, f, &ids, "hidden.embed");
    for (int64_t b = 0; b <= m->n_blocks; b++) {
        int rc = walker_block(w, b, WALK_TRUE, &hooks, &e);
        show(&e);
        assert_int_equal(rc, 0);
        snprintf(key, sizeof key, b < m->n_blocks ? "hidden.%lld" : "hidden.final", (long long)b);
        hidden += compare_hidden(w, f, &ids, key);
    }
    float d = compare_logits(w, f, &ids);
    int n = compare_grams(&grams, m), all = 0;
    for (int64_t i = 0; i < f->golden.n; i++)
        all += str_starts(f->golden.entry[i].info.name, "gram.");
    assert_int_equal(n, all);
    print_message("%-18s %-14s logits %.1e, %d hidden, %d grams\n", name, config, (double)d, hidden, n);
    if (!(d <= 2e-4f))
        fail_msg("%s %s: logits differ by %g", name, config, (double)d);
    for (int i = 0; i < grams.n; i++)
        mem_free(grams.g[i]);
    walker_free(w);
    ids_release(&ids);
}

static void reproduces(const char *config)
{
    for (int i = 0; i < N_NAMES; i++) {
        struct fixture f;
        struct model m;
        struct err e = { 0 };
        int rc = fixture_open(&f, names[i], config, &e) || model_open(f.config, &f.source, f.dir, &m, &e);
        show(&e);
        assert_int_equal(rc, 0);
        assert_int_equal(m.unread.n, 0);
        walk_fixture(&f, &m, names[i], config);
        model_release(&m);
        fixture_close(&f);
    }
}

static void logits_hidden_and_grams_match_transformers(void **state)
{
    (void)state;
    reproduces("config.json");
}

static void old_configs_give_the_same(void **state)
{
    (void)state;
    reproduces("config.v4.json");
}

/* The next module of the model that is a Linear (or, second, a Conv1D). */
static const struct module *next_linear(const struct model *m, int64_t *at, const char *class)
{
    for (; *at < m->n_modules; ++*at)
        for (const char *const *c = m->module[*at].classes; *c; c++)
            if (!strcmp(*c, class))
                return &m->module[(*at)++];
    return NULL;
}

static const char *text(const struct json *o, const char *key)
{
    const char *s = json_str(json_get(o, key), NULL);
    return s ? s : "";
}

static int64_t number(const struct json *o, const char *key)
{
    int64_t n = -1;
    json_int(json_get(o, key), &n);
    return n;
}

/* opt-350m lists project_out before project_in; qpipe lists them where they run. */
static void check_list(const struct model *m, const struct json *list, const char *class)
{
    int64_t at = 0, listed = 0, found = 0;
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json *want = json_item(list, i);
        bool projection = strstr(text(want, "name"), "project_") != NULL;
        if (strcmp(text(want, "class"), class) && strcmp(text(want, "class"), "FalconLinear"))
            continue;
        const struct module *o = model_module(m, text(want, "name"));
        if (!o)
            fail_msg("%s: module %s is missing", m->name, text(want, "name"));
        assert_int_equal(o->out, number(want, "out"));
        assert_int_equal(o->in, number(want, "in"));
        assert_int_equal(o->bias != NULL, json_type(json_get(want, "bias")) == JSON_TRUE);
        listed++;
        if (projection)
            continue;
        const struct module *next;
        do
            next = next_linear(m, &at, class);
        while (next && (strstr(next->name, "project_") ||
                        (!strcmp(next->name, "lm_head") && strcmp(o->name, "lm_head"))));
        if (strcmp(o->name, "lm_head") && next != o)
            fail_msg("%s: %s stands where %s was expected", m->name, next ? next->name : "nothing", o->name);
    }
    at = 0;
    while (next_linear(m, &at, class))
        found++;
    assert_int_equal(found, listed);
}

/* Modules of one shared_input list are in one group, and only those. */
static void check_shared(const struct model *m, const struct json *shared)
{
    for (size_t i = 0; i < json_len(shared); i++) {
        const struct json *list = json_item(shared, i);
        const struct module *first = model_module(m, json_str(json_item(list, 0), NULL));
        size_t members = 0;
        assert_non_null(first);
        assert_true(first->group >= 0);
        for (size_t k = 0; k < json_len(list); k++) {
            const struct module *o = model_module(m, json_str(json_item(list, k), NULL));
            assert_non_null(o);
            assert_int_equal(o->block, first->block);
            assert_int_equal(o->group, first->group);
        }
        for (int64_t k = 0; k < m->n_modules; k++)
            members += m->module[k].block == first->block && m->module[k].group == first->group;
        assert_int_equal(members, json_len(list));
    }
}

static void linears_and_groups_are_those_of_llm_compressor(void **state)
{
    (void)state;
    for (int i = 0; i < N_NAMES; i++) {
        struct fixture f;
        struct model m;
        struct err e = { 0 };
        char path[512];
        assert_int_equal(fixture_open(&f, names[i], "config.json", &e), 0);
        assert_int_equal(model_open(f.config, &f.source, f.dir, &m, &e), 0);
        snprintf(path, sizeof path, "%s/linears.json", f.dir);
        struct json *j = json_read(path, JSON_DEFAULT_LIMIT, &e);
        assert_non_null(j);
        check_list(&m, json_get(j, "modules"), "Linear");
        check_list(&m, json_get(j, "modules"), "Conv1D");
        check_shared(&m, json_get(j, "shared_input"));
        json_free(j);
        model_release(&m);
        fixture_close(&f);
    }
}

static void families_without_steps_say_which(void **state)
{
    static const struct {
        const char *fixture, *what;
    } cases[] = {
        { "mixtral", "architecture 'mixtral' is known, but this version lacks step MOE" },
        { "deepseek-v3", "architecture 'deepseek_v3' is known, but this version lacks step MLA, MOE" },
        { "qwen3-next",
          "architecture 'qwen3_next' is known, but this version lacks step GATE, CONV, DELTA, MOE" },
        { "lfm2", "architecture 'lfm2' is known, but this version lacks step GATE, CONV" },
        { "falcon-rw-alibi",
          "../shared/fixtures/falcon-rw-alibi/config.json: falcon with 'alibi': true rounds its slopes to "
          "bfloat16, which is not built" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture f;
        struct model m;
        struct err e = { 0 };
        assert_int_equal(fixture_open(&f, cases[i].fixture, "config.json", &e), 0);
        assert_int_equal(model_open(f.config, &f.source, f.dir, &m, &e), -1);
        assert_int_equal(e.code, ERR_UNBUILT);
        assert_string_equal(e.what, cases[i].what);
        fixture_close(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linears_and_groups_are_those_of_llm_compressor),
        cmocka_unit_test(logits_hidden_and_grams_match_transformers),
        cmocka_unit_test(old_configs_give_the_same),
        cmocka_unit_test(families_without_steps_say_which),
    };
    if (!fixtures_here()) {
        printf("skipped: %d model fixtures (no ../shared)\n", N_NAMES);
        return 77;
    }
    kernels_init(NULL, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
