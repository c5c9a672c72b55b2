/* walk.c - what the walker promises: equal bits for every budget and number of threads, three modes that differ in exactly
 * what they say, hooks in order, errors that reach the caller, and memory as planned. */
#include "model/walk.h"
#include "base/log.h"
#include "base/mem.h"
#include "kernels/kernels.h"
#include "model/arch.h"
#include "tiny.h"
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

enum { CHUNKS = 4, LONGEST = 16, BLOCKS = TINY_LAYERS, GROUPS = 4 };
static const int64_t lengths[CHUNKS] = { 7, 1, 16, 3 };

struct bench {
    struct tiny tiny;
    struct json *config;
    struct model m;
    int32_t id[CHUNKS][LONGEST];
    const int32_t *seq[CHUNKS];
    struct chunks chunks;
};

static void bench_open(struct bench *b, const char *add)
{
    struct err e = { 0 };
    tiny_source(&b->tiny);
    b->config = tiny_config(NULL, add, &e);
    assert_non_null(b->config);
    assert_int_equal(model_open(b->config, &b->tiny.source, "M", &b->m, &e), 0);
    for (int c = 0; c < CHUNKS; c++) {
        for (int i = 0; i < LONGEST; i++)
            b->id[c][i] = (c * 11 + i * 7) % TINY_VOCAB;
        b->seq[c] = b->id[c];
    }
    b->chunks = (struct chunks){ b->seq, lengths, CHUNKS };
}

static void bench_close(struct bench *b)
{
    model_release(&b->m);
    json_free(b->config);
}

struct out {
    float logits[CHUNKS][LONGEST * TINY_VOCAB];
    uint64_t spilled;
};

static int go(struct bench *b, uint64_t budget, enum walk_mode mode, const struct walk_hooks *hooks,
              struct out *out, struct err *e)
{
    struct walk_options o = { budget, "/tmp" };
    struct walker *w = walker_new(&b->m, &b->chunks, &o, e);
    int rc = w ? 0 : -1;
    memset(out, 0, sizeof *out);
    for (int64_t i = 0; !rc && i <= b->m.n_blocks; i++)
        rc = walker_block(w, i, mode, hooks, e);
    for (int64_t c = 0; !rc && c < b->chunks.n; c++)
        rc = walker_logits(w, c, out->logits[c], e);
    if (!rc)
        out->spilled = walker_spilled(w);
    walker_free(w);
    return rc;
}

static void any_budget_gives_equal_bits(void **state)
{
    static const uint64_t budgets[] = { 0, 500, 2000, 5000, 1 << 20 };
    struct bench b;
    struct out want, got;
    struct err e = { 0 };
    (void)state;
    bench_open(&b, "");
    assert_int_equal(go(&b, 1 << 30, WALK_TRUE, NULL, &want, &e), 0);
    assert_int_equal(want.spilled, 0);
    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++) {
        assert_int_equal(go(&b, budgets[i], WALK_TRUE, NULL, &got, &e), 0);
        assert_memory_equal(got.logits, want.logits, sizeof want.logits);
        assert_true(budgets[i] < 1728 ? got.spilled > 0 : true); /* 27 tokens x 16 floats */
    }
    bench_close(&b);
}

static void any_number_of_threads_gives_equal_bits(void **state)
{
    static const int threads[] = { 2, 3, 7, 1 };
    struct bench b;
    struct out want, got;
    struct err e = { 0 };
    (void)state;
    bench_open(&b, "");
    assert_int_equal(go(&b, 0, WALK_TRUE, NULL, &want, &e), 0);
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        assert_non_null(kernels_init(NULL, threads[i]));
        assert_int_equal(go(&b, 0, WALK_TRUE, NULL, &got, &e), 0);
        assert_memory_equal(got.logits, want.logits, sizeof want.logits);
    }
    bench_close(&b);
}

/* Alone or among others, with tables that grow with the length of the sequence too. */
static void a_sequence_does_not_know_its_neighbours(void **state)
{
    static const char *const ropes[] = {
        "", "\"rope_scaling\": {\"type\": \"longrope\", \"long_factor\": [2, 3], "
            "\"short_factor\": [1, 1], \"original_max_position_embeddings\": 5}"
    };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct bench b;
        struct out want, got;
        struct err e = { 0 };
        bench_open(&b, ropes[i]);
        assert_int_equal(go(&b, 1 << 30, WALK_TRUE, NULL, &want, &e), 0);
        for (int c = 0; c < CHUNKS; c++) {
            b.chunks = (struct chunks){ b.seq + c, lengths + c, 1 };
            assert_int_equal(go(&b, 1 << 30, WALK_TRUE, NULL, &got, &e), 0);
            assert_memory_equal(got.logits[0], want.logits[c],
                                (size_t)lengths[c] * TINY_VOCAB * sizeof(float));
        }
        bench_close(&b);
    }
}

/* A hook that writes down what it sees, and halves the weights of modules whose name contains `change`. */
struct watch {
    const char *change, *skip;
    float input[BLOCKS + 1][GROUPS][CHUNKS][LONGEST * TINY_INTER];
    int seen[BLOCKS + 1][GROUPS], solved[BLOCKS + 1][GROUPS];
    int fail_input, fail_solve, last;
};

static bool watch_wants(void *arg, const struct walk_group *g)
{
    const struct watch *w = arg;
    return !w->skip || !strstr(g->module[0]->name, w->skip);
}

static int watch_input(void *arg, const struct walk_group *g, int64_t chunk, const float *x, int64_t rows,
                       int64_t ldx, struct err *e)
{
    struct watch *w = arg;
    assert_int_equal(chunk, w->seen[g->block][g->index]++);
    assert_int_equal(w->solved[g->block][g->index], 0);
    assert_int_equal(rows, lengths[chunk]);
    for (int64_t i = 0; i < rows; i++)
        memcpy(&w->input[g->block][g->index][chunk][i * g->k], x + i * ldx, (size_t)g->k * sizeof *x);
    if (w->fail_input && !--w->fail_input)
        return err_set(e, ERR_CHECK, "input was refused");
    return 0;
}

static int watch_solve(void *arg, const struct walk_group *g, struct err *e)
{
    struct watch *w = arg;
    int place = g->block * GROUPS + g->index;
    assert_int_equal(w->seen[g->block][g->index], CHUNKS);
    assert_true(place > w->last);
    w->last = place;
    w->solved[g->block][g->index]++;
    for (int i = 0; i < g->n; i++) {
        assert_int_equal(g->module[i]->group, g->index);
        assert_int_equal(g->module[i]->in, g->k);
        for (int64_t k = 0;
             w->change && strstr(g->module[i]->name, w->change) && k < g->module[i]->out * g->k; k++)
            g->weight[i][k] *= 0.5f;
    }
    if (w->fail_solve && !--w->fail_solve)
        return err_set(e, ERR_CHECK, "solve was refused");
    return 0;
}

static struct watch *watch_new(const char *change)
{
    struct watch *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->change = change;
    w->last = -1;
    return w;
}

static void watched(struct bench *b, enum walk_mode mode, uint64_t budget, struct watch *w, struct out *out)
{
    struct walk_hooks h = { .arg = w, .wants = watch_wants, .input = watch_input, .solve = watch_solve };
    struct err e = { 0 };
    int rc = go(b, budget, mode, &h, out, &e);
    if (rc)
        err_print(&e, stderr);
    assert_int_equal(rc, 0);
}

/* Which inputs of block 0 and 1 differ between two watches, as bits block * GROUPS + group. */
static unsigned changed(const struct watch *a, const struct watch *b)
{
    unsigned bits = 0;
    for (int k = 0; k < BLOCKS; k++)
        for (int g = 0; g < GROUPS; g++)
            if (memcmp(a->input[k][g], b->input[k][g], sizeof a->input[k][g]))
                bits |= 1u << (k * GROUPS + g);
    return bits;
}

static void modes_differ_in_what_later_groups_see(void **state)
{
    static const struct {
        enum walk_mode mode;
        const char *change;
        unsigned seen;    /* inputs that differ from those of the original model */
        bool same_hidden; /* is the last block's output the original one? */
    } cases[] = {
        { WALK_TRUE, "layers.0.self_attn.v_proj", 0xfe, false },
        { WALK_BLOCK, "layers.0.self_attn.v_proj", 0xf0, false },
        { WALK_FALSE, "layers.0.self_attn.v_proj", 0, true },
        { WALK_TRUE, "layers.0.mlp.up_proj", 0xf8, false },
        { WALK_BLOCK, "layers.0.mlp.up_proj", 0xf0, false },
        { WALK_TRUE, "layers.1.mlp.down_proj", 0, false },
        { WALK_BLOCK, "layers.1.mlp.down_proj", 0, false },
        { WALK_FALSE, "layers.1.mlp.down_proj", 0, true },
    };
    struct bench b;
    struct out plain, out;
    (void)state;
    bench_open(&b, "");
    struct watch *none = watch_new(NULL);
    watched(&b, WALK_TRUE, 1 << 30, none, &plain);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct watch *w = watch_new(cases[i].change);
        watched(&b, cases[i].mode, i % 2 ? 0 : 1 << 30, w, &out);
        if (changed(none, w) != cases[i].seen)
            fail_msg("mode %s, %s: inputs %#x differ, expected %#x", walk_mode_words[cases[i].mode],
                     cases[i].change, changed(none, w), cases[i].seen);
        assert_int_equal(!memcmp(out.logits, plain.logits, sizeof plain.logits), cases[i].same_hidden);
        free(w);
    }
    free(none);
    bench_close(&b);
}

static void changed_weights_act_like_a_checkpoint_that_holds_them(void **state)
{
    static const enum walk_mode modes[] = { WALK_TRUE, WALK_BLOCK };
    struct bench b;
    struct out want, got;
    struct err e = { 0 };
    (void)state;
    bench_open(&b, "");
    b.tiny.scaled = "proj";
    assert_int_equal(go(&b, 1 << 30, WALK_TRUE, NULL, &want, &e), 0);
    b.tiny.scaled = NULL;
    for (int i = 0; i < 2; i++) {
        struct watch *w = watch_new("proj");
        watched(&b, modes[i], 0, w, &got);
        assert_memory_equal(got.logits, want.logits, sizeof want.logits);
        free(w);
    }
    bench_close(&b);
}

/* What a pair hook sees: the input of this walk and of the one beside it. */
struct beside {
    struct watch *changed, *original;
};
static bool beside_wants(void *arg, const struct walk_group *g)
{
    return watch_wants(((struct beside *)arg)->changed, g);
}
static int beside_input(void *arg, const struct walk_group *g, int64_t chunk, const float *x, int64_t rows,
                        int64_t ldx, struct err *e)
{
    return watch_input(((struct beside *)arg)->changed, g, chunk, x, rows, ldx, e);
}
static int beside_solve(void *arg, const struct walk_group *g, struct err *e)
{
    return watch_solve(((struct beside *)arg)->changed, g, e);
}
static int beside_pair(void *arg, const struct walk_group *g, int64_t chunk, const float *x, const float *x0,
                       int64_t rows, int64_t ldx, struct err *e)
{
    struct beside *p = arg;
    const float *seen = p->changed->input[g->block][g->index][chunk];
    for (int64_t i = 0; i < rows; i++)
        assert_memory_equal(x + i * ldx, seen + i * g->k, (size_t)g->k * sizeof *x);
    return watch_input(p->original, g, chunk, x0, rows, ldx, e);
}

/* Both walks see what they see alone: the changed one its own inputs, the one beside it those of the original weights. */
static void a_walk_beside_another_keeps_the_original_weights(void **state)
{
    static const enum walk_mode modes[] = { WALK_TRUE, WALK_BLOCK };
    static const uint64_t budgets[] = { 1 << 30, 0 };
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct bench b;
        struct out out;
        struct err e = { 0 };
        bench_open(&b, "");
        struct watch *changed = watch_new("proj"), *plain = watch_new(NULL);
        struct beside p = { watch_new("proj"), watch_new(NULL) };
        watched(&b, modes[i / 2], 1 << 30, changed, &out);
        watched(&b, modes[i / 2], 1 << 30, plain, &out);
        assert_true(memcmp(changed->input, plain->input, sizeof plain->input) != 0);
        struct walk_options o = { budgets[i % 2], "/tmp" };
        struct walk_hooks h = { .arg = &p,
                                .wants = beside_wants,
                                .input = beside_input,
                                .solve = beside_solve,
                                .pair = beside_pair };
        struct walker *w = walker_new(&b.m, &b.chunks, &o, &e), *other = walker_new(&b.m, &b.chunks, &o, &e);
        assert_true(w && other);
        walker_beside(w, other);
        for (int64_t k = 0; k <= b.m.n_blocks; k++)
            assert_int_equal(walker_block(w, k, modes[i / 2], &h, &e), 0);
        assert_memory_equal(p.changed->input, changed->input, sizeof changed->input);
        assert_memory_equal(p.original->input, plain->input, sizeof plain->input);
        walker_free(w);
        walker_free(other);
        free(changed);
        free(plain);
        free(p.changed);
        free(p.original);
        bench_close(&b);
    }
}

static void the_head_is_a_group_whose_change_reaches_the_logits(void **state)
{
    struct bench b;
    struct out plain, out;
    struct err e = { 0 };
    (void)state;
    bench_open(&b, "");
    assert_int_equal(go(&b, 1 << 30, WALK_TRUE, NULL, &plain, &e), 0);
    struct watch *w = watch_new("lm_head");
    watched(&b, WALK_TRUE, 1 << 30, w, &out);
    for (int i = 0; i < lengths[0] * TINY_VOCAB; i++)
        assert_true(out.logits[0][i] == 0.5f * plain.logits[0][i]);
    free(w);
    bench_close(&b);
}

static void groups_that_nobody_wants_are_left_alone(void **state)
{
    struct bench b;
    struct out out;
    (void)state;
    bench_open(&b, "");
    struct watch *w = watch_new(NULL);
    w->skip = "mlp";
    watched(&b, WALK_TRUE, 0, w, &out);
    for (int k = 0; k < BLOCKS; k++) {
        assert_int_equal(w->seen[k][0], CHUNKS);
        assert_int_equal(w->seen[k][1], CHUNKS);
        assert_int_equal(w->seen[k][2] + w->solved[k][2] + w->seen[k][3] + w->solved[k][3], 0);
    }
    free(w);
    bench_close(&b);
}

static void errors_of_hooks_reach_the_caller(void **state)
{
    (void)state;
    for (int mode = WALK_TRUE; mode <= WALK_FALSE; mode++)
        for (int which = 0; which < 2; which++) {
            struct bench b;
            struct out out;
            struct err e = { 0 };
            bench_open(&b, "");
            struct watch *w = watch_new(NULL);
            w->fail_input = which ? 0 : 6;
            w->fail_solve = which ? 2 : 0;
            struct walk_hooks h = {
                .arg = w, .wants = watch_wants, .input = watch_input, .solve = watch_solve
            };
            assert_int_equal(go(&b, 0, (enum walk_mode)mode, &h, &out, &e), -1);
            assert_int_equal(e.code, ERR_CHECK);
            assert_string_equal(e.what, which ? "solve was refused" : "input was refused");
            assert_non_null(strstr(e.trail, "walking block 0"));
            free(w);
            bench_close(&b);
        }
}

static void broken_sequences_and_files_are_errors(void **state)
{
    static const int64_t empty[1] = { 0 };
    struct bench b;
    struct out out;
    struct err e = { 0 };
    (void)state;
    bench_open(&b, "");
    b.id[2][5] = TINY_VOCAB;
    assert_int_equal(go(&b, 0, WALK_TRUE, NULL, &out, &e), -1);
    assert_string_equal(e.what,
                        "sequence 2, token 5: found id 32, expected one in [0, 32) (vocab_size of M)");
    b.id[2][5] = -1;
    e = (struct err){ 0 };
    assert_int_equal(go(&b, 0, WALK_TRUE, NULL, &out, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    b.id[2][5] = 0;
    b.chunks = (struct chunks){ b.seq, empty, 1 };
    e = (struct err){ 0 };
    assert_int_equal(go(&b, 0, WALK_TRUE, NULL, &out, &e), -1);
    assert_string_equal(e.what, "sequence 0: found 0 tokens, expected 1 to 268435456");
    b.chunks = (struct chunks){ b.seq, lengths, CHUNKS };
    b.tiny.fail = true;
    e = (struct err){ 0 };
    assert_int_equal(go(&b, 0, WALK_TRUE, NULL, &out, &e), -1);
    assert_int_equal(e.code, ERR_IO);
    bench_close(&b);
}

static void an_interrupt_ends_the_walk_as_resumable(void **state)
{
    struct bench b;
    struct out out;
    struct err e = { 0 };
    (void)state;
    bench_open(&b, "");
    interrupted = 1;
    int rc = go(&b, 0, WALK_TRUE, NULL, &out, &e);
    interrupted = 0;
    assert_int_equal(rc, -1);
    assert_int_equal(e.code, ERR_RESUME);
    bench_close(&b);
}

static void spilling_that_fails_is_an_error(void **state)
{
    struct bench b;
    struct err e = { 0 };
    struct walk_options nowhere = { 0, "/tmp/no such folder" }, none = { 0, NULL };
    (void)state;
    bench_open(&b, "");
    assert_null(walker_new(&b.m, &b.chunks, &nowhere, &e));
    assert_int_equal(e.code, ERR_IO);
    e = (struct err){ 0 };
    assert_null(walker_new(&b.m, &b.chunks, &none, &e));
    assert_int_equal(e.code, ERR_LIMIT);
    assert_string_equal(e.what,
                        "activations exceed the budget of 0 bytes, and there is no folder to spill to");
    struct rlimit old, small;
    struct out out;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 512;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    e = (struct err){ 0 };
    int rc = go(&b, 0, WALK_TRUE, NULL, &out, &e);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(rc, -1);
    assert_int_equal(e.code, ERR_IO);
    bench_close(&b);
}

static void no_memory_is_an_error_and_leaks_nothing(void **state)
{
    struct bench b;
    struct out out;
    (void)state;
    bench_open(&b, "\"attention_bias\": false");
    uint64_t before = mem_use().now;
    for (uint64_t n = 1;; n++) {
        struct err e = { 0 };
        mem_fail_at(n, 0);
        int rc = go(&b, 3000, WALK_TRUE, NULL, &out, &e);
        mem_fail_at(0, 0);
        assert_int_equal(mem_use().now, before);
        if (!rc)
            break;
        assert_int_equal(e.code, ERR_NOMEM);
        assert_true(n < 5000);
    }
    bench_close(&b);
}

/* Peak of the heap during a walk against what the plan's formulas say. */
static uint64_t most_now;
static int note_peak(void *arg, const struct walk_group *g, int64_t chunk, const float *x, int64_t rows,
                     int64_t ldx, struct err *e)
{
    (void)arg;
    (void)g;
    (void)chunk;
    (void)x;
    (void)rows;
    (void)ldx;
    (void)e;
    most_now = mem_use().now > most_now ? mem_use().now : most_now;
    return 0;
}
static int solve_nothing(void *arg, const struct walk_group *g, struct err *e)
{
    (void)arg;
    (void)g;
    (void)e;
    return 0;
}

static void memory_is_what_the_plan_says(void **state)
{
    enum { N = 8, T = 256 };
    static int32_t id[T];
    const int32_t *seq[N];
    int64_t len[N];
    struct bench b;
    struct out out;
    struct err e = { 0 };
    struct walk_hooks h = { .wants = watch_wants, .input = note_peak, .solve = solve_nothing };
    struct watch all = { 0 };
    (void)state;
    (void)out;
    h.arg = &all;
    bench_open(&b, "");
    for (int i = 0; i < N; i++) {
        seq[i] = id;
        len[i] = T;
    }
    b.chunks = (struct chunks){ seq, len, N };
    uint64_t before = mem_use().now;
    most_now = 0;
    struct walk_options o = { 1 << 30, "/tmp" };
    struct walker *w = walker_new(&b.m, &b.chunks, &o, &e);
    assert_non_null(w);
    assert_int_equal(walker_block(w, 0, WALK_TRUE, &h, &e), 0);
    walker_free(w);
    double plan = (double)model_block_bytes(&b.m, 0) + 4.0 * (double)model_scratch_floats(&b.m, T) +
                  4.0 * N * T * (double)model_live_floats(&b.m, 0);
    double found = (double)(most_now - before);
    if (found < 0.85 * plan || found > 1.15 * plan)
        fail_msg("peak is %g bytes, planned were %g", found, plan);
    bench_close(&b);
}

/* By hand: 2 * (q 256 + k, v 128 each + o 256 + 3 * 384) + head 2 * 512 a token, and attention. */
static void flops_count_the_products(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b, "");
    double matrices = 2 * (2 * (256 + 128 + 128 + 256 + 3 * 384)) + 2 * 512,
           attention = 2 * 4.0 * 16 * (8 + 1) / 2;
    double found = model_forward_flops(&b.m, 1, 8);
    assert_true(found > matrices + attention);
    assert_true(
        found <
        1.35 * (matrices + attention)); /* norms, rope and activations weigh much in a model this small */
    assert_true(model_forward_flops(&b.m, 10, 8) == 10 * found);
    bench_close(&b);
}

/* Runs the whole block again at each of its groups, keeps what came out for chunk 2, and the attention's output for chunk 0. */
struct again {
    struct walker *w;
    float block[LONGEST * TINY_HIDDEN], attn[LONGEST * TINY_HIDDEN];
};

static bool again_wants(void *arg, const struct walk_group *g)
{
    (void)arg;
    return g->block < BLOCKS;
}

static int again_input(void *arg, const struct walk_group *g, int64_t chunk, const float *x, int64_t rows,
                       int64_t ldx, struct err *e)
{
    (void)arg, (void)g, (void)chunk, (void)x, (void)rows, (void)ldx, (void)e;
    return 0;
}

static int again_solve(void *arg, const struct walk_group *g, struct err *e)
{
    struct again *a = arg;
    struct walk_output o;
    char parent[64];
    snprintf(parent, sizeof parent, "model.layers.%d", g->block);
    assert_int_equal(walker_replay(a->w, g, parent, 2, &o, e), 0);
    assert_true(o.rows == lengths[2] && o.width == TINY_HIDDEN);
    if (g->index == 0)
        memcpy(a->block, o.x, sizeof a->block);
    else
        assert_memory_equal(a->block, o.x, sizeof a->block); /* from any cut the same end */
    if (g->index)
        return 0;
    snprintf(parent, sizeof parent, "model.layers.%d.self_attn", g->block);
    assert_int_equal(walker_replay(a->w, g, parent, 2, &o, e), 0);
    memcpy(a->attn, o.x, sizeof a->attn);
    float was = g->weight[0][0];
    g->weight[0][0] += 1; /* a query: another attention, and back */
    assert_int_equal(walker_replay(a->w, g, parent, 2, &o, e), 0);
    assert_memory_not_equal(a->attn, o.x, sizeof a->attn);
    g->weight[0][0] = was;
    return 0;
}

static void a_replay_ends_where_the_walk_does_and_leaves_no_trace(void **state)
{
    struct bench b;
    struct out want;
    struct again a;
    struct err e = { 0 };
    float hidden[LONGEST * TINY_HIDDEN], logits[LONGEST * TINY_VOCAB];
    (void)state;
    bench_open(&b, "");
    assert_int_equal(go(&b, 0, WALK_TRUE, NULL, &want, &e), 0);
    struct walk_options o = { 0, "/tmp" };
    struct walk_hooks h = { .arg = &a, .wants = again_wants, .input = again_input, .solve = again_solve };
    a.w = walker_new(&b.m, &b.chunks, &o, &e);
    assert_non_null(a.w);
    for (int64_t i = 0; i <= b.m.n_blocks; i++) {
        assert_int_equal(walker_block(a.w, i, WALK_TRUE, &h, &e), 0);
        if (i == b.m.n_blocks)
            break;
        assert_int_equal(walker_hidden(a.w, 2, hidden, &e), 0);
        assert_memory_equal(hidden, a.block, (size_t)lengths[2] * TINY_HIDDEN * sizeof(float));
    }
    for (int c = 0; c < CHUNKS; c++) {
        assert_int_equal(walker_logits(a.w, c, logits, &e), 0);
        assert_memory_equal(logits, want.logits[c], (size_t)lengths[c] * TINY_VOCAB * sizeof(float));
    }
    walker_free(a.w);
    bench_close(&b);
}

/* What a cache would get: once for every chunk and block, in any mode, and the same where weights do not change. */
struct cached {
    int calls[BLOCKS];
    float k[BLOCKS][CHUNKS], v[BLOCKS][CHUNKS];
};

static int note_cache(void *arg, int64_t block, int64_t chunk, const float *k, const float *v, int64_t rows,
                      int64_t width, struct err *e)
{
    struct cached *c = arg;
    (void)e;
    assert_true(width == TINY_KV * TINY_HEAD_DIM && rows == lengths[chunk]);
    assert_int_equal(c->calls[block] % CHUNKS, chunk);
    c->calls[block]++;
    for (int64_t i = 0; i < rows * width; i++) {
        c->k[block][chunk] += k[i];
        c->v[block][chunk] += v[i];
    }
    return 0;
}

static bool wants_some(void *arg, const struct walk_group *g)
{
    (void)arg;
    return g->index == 1;
}

static int no_input(void *arg, const struct walk_group *g, int64_t chunk, const float *x, int64_t rows,
                    int64_t ldx, struct err *e)
{
    (void)arg, (void)g, (void)chunk, (void)x, (void)rows, (void)ldx, (void)e;
    return 0;
}

static int no_solve(void *arg, const struct walk_group *g, struct err *e)
{
    (void)arg, (void)g, (void)e;
    return 0;
}

static void keys_and_values_are_shown_once(void **state)
{
    struct cached first;
    struct bench b;
    struct out out;
    struct err e = { 0 };
    (void)state;
    bench_open(&b, "");
    for (int mode = WALK_TRUE; mode <= WALK_FALSE; mode++) {
        struct cached c = { 0 };
        struct walk_hooks h = {
            .arg = &c, .wants = wants_some, .input = no_input, .solve = no_solve, .cache = note_cache
        };
        assert_int_equal(go(&b, 0, (enum walk_mode)mode, &h, &out, &e), 0);
        for (int i = 0; i < BLOCKS; i++)
            assert_int_equal(c.calls[i], CHUNKS);
        if (mode != WALK_TRUE)
            assert_memory_equal(&c, &first, sizeof c);
        first = c;
    }
    bench_close(&b);
}

/* An input of integers is not changed by its integers: a scale of 1 makes the rounding visible as rounding. */
static void rounded_inputs_change_what_they_should(void **state)
{
    static const int threads[] = { 1, 2, 3, 7 };
    struct bench b;
    struct out plain, want, got;
    struct activations a;
    struct err e = { 0 };
    (void)state;
    bench_open(&b, "");
    assert_int_equal(go(&b, 1 << 30, WALK_TRUE, NULL, &plain, &e), 0);
    assert_int_equal(activations_init(&a, b.m.n_modules, b.m.n_blocks, &e), 0);
    b.m.activations = &a;
    assert_int_equal(go(&b, 1 << 30, WALK_TRUE, NULL, &got, &e), 0); /* none is on */
    assert_memory_equal(got.logits, plain.logits, sizeof got.logits);
    struct quant_args token = preset_find("W8A8")->scheme.input, cache = preset_find("FP8")->scheme.input;
    for (int64_t i = 0; i < b.m.n_modules; i++)
        if (b.m.module[i].quantizable && b.m.module[i].block >= 0)
            assert_int_equal(activation_init(&a.module[i], &token, 0, &e), 0);
    assert_int_equal(activation_init(&a.key[1], &cache, 1, &e), 0);
    a.key[1].scale[0] = 0.01f;
    for (int t = 0; t < 4; t++) {
        assert_non_null(kernels_init(NULL, threads[t]));
        assert_int_equal(go(&b, t % 2 ? 0 : 1 << 30, WALK_TRUE, NULL, t ? &got : &want, &e), 0);
        assert_true(!t || !memcmp(got.logits, want.logits, sizeof got.logits));
    }
    float far = 0, size = 0;
    for (int i = 0; i < 7 * TINY_VOCAB; i++) {
        far = fmaxf(far, fabsf(want.logits[0][i] - plain.logits[0][i]));
        size = fmaxf(size, fabsf(plain.logits[0][i]));
    }
    assert_true(far > 0 && far < 0.1f * size); /* 8 bits */
    activations_release(&a);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_budget_gives_equal_bits),
        cmocka_unit_test(a_replay_ends_where_the_walk_does_and_leaves_no_trace),
        cmocka_unit_test(any_number_of_threads_gives_equal_bits),
        cmocka_unit_test(a_sequence_does_not_know_its_neighbours),
        cmocka_unit_test(modes_differ_in_what_later_groups_see),
        cmocka_unit_test(changed_weights_act_like_a_checkpoint_that_holds_them),
        cmocka_unit_test(a_walk_beside_another_keeps_the_original_weights),
        cmocka_unit_test(the_head_is_a_group_whose_change_reaches_the_logits),
        cmocka_unit_test(groups_that_nobody_wants_are_left_alone),
        cmocka_unit_test(errors_of_hooks_reach_the_caller),
        cmocka_unit_test(broken_sequences_and_files_are_errors),
        cmocka_unit_test(an_interrupt_ends_the_walk_as_resumable),
        cmocka_unit_test(spilling_that_fails_is_an_error),
        cmocka_unit_test(no_memory_is_an_error_and_leaks_nothing),
        cmocka_unit_test(memory_is_what_the_plan_says),
        cmocka_unit_test(keys_and_values_are_shown_once),
        cmocka_unit_test(rounded_inputs_change_what_they_should),
        cmocka_unit_test(flops_count_the_products),
    };
    kernels_init(NULL, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
