/* ct_fixtures.c - checkpoints that llm-compressor wrote: every decoded weight has the peer's bits, codes survive the way
 * out and back as the same tensors, and config.json says what the peer says. */
#include "help.h"

#include "base/hash.h"
#include "base/json.h"
#include "io/checkpoint.h"
#include "io/containers/container.h"
#include "io/save.h"

#include <dirent.h>

static int walked;

/* f for every folder of `from` whose name starts with `head`. */
static void each_folder(const char *from, const char *head, void (*f)(const char *dir))
{
    struct err e = { 0 };
    struct strs names = { 0 };
    DIR *d = from ? opendir(from) : NULL;
    if (!d)
        return;
    for (struct dirent *it; (it = readdir(d));)
        if (str_starts(it->d_name, head) && it->d_name[0] != '.')
            assert_int_equal(strs_add(&names, it->d_name, &e), 0);
    closedir(d);
    strs_sort(&names);
    for (size_t i = 0; i < names.n; i++) {
        char dir[600];
        snprintf(dir, sizeof dir, "%s/%s", from, names.v[i]);
        if (!path_is_dir(dir))
            continue;
        walked++;
        f(dir);
    }
    strs_release(&names);
}

static const char *fixtures(void) { return fixture("containers/compressed-tensors.tar.xz"); }

/* -- decoding -- */

/* Reads in two unequal parts, so that rows do not depend on where reading began. */
static float *read_weight(const struct checkpoint *c, const char *name, int64_t *n)
{
    struct err e = { 0 };
    const struct tensor_info *t = c->tensors.find(c->tensors.self, name);
    assert_non_null(t);
    int64_t rows = t->dim[0], cols = t->dim[1], cut = rows / 3;
    float *v = mem_big((size_t)(rows * cols), sizeof *v, &e);
    assert_non_null(v);
    c->tensors.read_f32(c->tensors.self, name, cut, rows - cut, v + cut * cols, &e);
    c->tensors.read_f32(c->tensors.self, name, 0, cut, v, &e);
    no_error(&e);
    *n = rows * cols;
    return v;
}

static void check_decoded(const char *dir)
{
    struct err e = { 0 };
    struct checkpoint c;
    char hex[HASH_HEX];
    struct json *want = json_read(join(dir, "peer_dequant.json"), 1 << 20, &e);
    checkpoint_open(dir, &c, &e);
    no_error(&e);
    assert_true(json_len(want) > 0);
    for (void *it = json_first(want); it; it = json_next(want, it)) {
        int64_t n;
        float *v = read_weight(&c, json_it_key(it), &n);
        hash_bytes(v, (size_t)n * 4, hex, &e);
        const char *peer = json_str(json_item(json_it_value(it), 1), NULL);
        if (strcmp(hex, peer))
            printf("%s: %s differs\n", dir, json_it_key(it));
        assert_string_equal(hex, peer);
        mem_free(v);
    }
    json_free(want);
    checkpoint_close(&c);
}

static void decoded_weights_have_the_peers_bits(void **state)
{
    (void)state;
    walked = 0;
    each_folder(fixtures(), "ct-", check_decoded);
    if (!walked)
        skip();
    assert_int_equal(walked, 30);
}

/* -- listing -- */

static void check_listing(const char *dir)
{
    struct err e = { 0 };
    struct checkpoint c;
    checkpoint_open(dir, &c, &e);
    no_error(&e);
    const struct tensor_source *t = &c.tensors;
    for (int64_t i = 0; i < t->count; i++) {
        const struct tensor_info *info = t->at(t->self, i);
        assert_null(strstr(info->name, ".weight_"));
        assert_null(strstr(info->name, ".input_scale"));
        assert_ptr_equal(t->find(t->self, info->name), info);
        assert_true(!i || strcmp(t->at(t->self, i - 1)->name, info->name) < 0);
    }
    const char *packed = "model.layers.0.mlp.up_proj.weight";
    struct tensor_view v;
    assert_int_equal(t->view(t->self, packed, &v, &e), -1);
    same_error(&e, ERR_INPUT,
               "tensor 'model.layers.0.mlp.up_proj.weight' is decoded from codes: it has no stored bytes");
    checkpoint_close(&c);
}

static void parts_of_codes_are_not_listed(void **state)
{
    (void)state;
    const char *all = fixtures();
    if (!all)
        skip();
    check_listing(join(all, "ct-w4a16asym-g32"));
    check_listing(join(all, "ct-w8a8-static-asym"));
    check_listing(join(all, "ct-nvfp4"));
}

/* -- out and back -- */

static void same_stored(const struct checkpoint *a, const struct checkpoint *b, const char *name)
{
    struct err e = { 0 };
    struct tensor_view x, y;
    a->stored.view(a->stored.self, name, &x, &e);
    b->stored.view(b->stored.self, name, &y, &e);
    no_error(&e);
    assert_int_equal(x.dtype, y.dtype);
    assert_int_equal(x.rank, y.rank);
    assert_memory_equal(x.dim, y.dim, sizeof x.dim);
    assert_memory_equal(x.data, y.data, (size_t)view_bytes(&x));
}

static struct quant_scheme scheme_of(const char *dir, const struct quant_args *a)
{
    struct quant_scheme s = { .has_weights = true, .weights = *a };
    struct err e = { 0 };
    struct json *j = json_read(join(dir, "config.json"), 1 << 20, &e);
    const struct json *groups = json_get(json_get(j, "quantization_config"), "config_groups");
    const char *format = json_str(json_get(json_get(groups, "group_0"), "format"), NULL);
    snprintf(s.format, sizeof s.format, "%s", format);
    json_free(j);
    return s;
}

/* Codes and parameters give the same floats as the source that shows the module decoded. */
static void same_decoded(const struct checkpoint *c, const char *name, const struct qtensor *q)
{
    int64_t n;
    float *shown = read_weight(c, name, &n), *mine = mem_array((size_t)n, sizeof *mine, NULL);
    assert_int_equal(n, q->layout.rows * q->layout.cols);
    qtensor_decode(q, 0, q->layout.rows, mine);
    assert_memory_equal(mine, shown, (size_t)n * sizeof *mine);
    mem_free(shown);
    mem_free(mine);
}

/* Every module as codes, packed again: the tensors and the bytes of them are those of the peer. */
static void check_repacked(const char *dir)
{
    struct err e = { 0 };
    struct checkpoint c, again;
    if (strstr(dir, "padded") || strstr(dir, "mixed"))
        return;
    checkpoint_open(dir, &c, &e);
    no_error(&e);
    const char *out = temp_folder("again");
    struct saver *s = saver_new(out, UINT64_MAX, &e);
    int64_t planned = 0, modules = 0, n, bytes = 0;
    for (int64_t i = 0; i < c.tensors.count; i++) {
        const char *name = c.tensors.at(c.tensors.self, i)->name;
        char module[200];
        struct quant_args a;
        struct qtensor q;
        snprintf(module, sizeof module, "%.*s", (int)strlen(name) - 7, name);
        if (!str_ends(name, ".weight") || !c.container->describe(c.decoder, module, &a))
            continue;
        struct quant_scheme scheme = scheme_of(dir, &a);
        c.container->unpack(c.decoder, module, &q, &e);
        no_error(&e);
        same_decoded(&c, name, &q);
        c.container->pack(s, module, &scheme, &q, &e);
        no_error(&e);
        planned += c.container->packed_bytes(&scheme, &q.layout);
        qtensor_release(&q);
        modules++;
    }
    saver_finish(s, &e);
    no_error(&e);
    const struct saved_tensor *t = saver_tensors(s, &n);
    write_text(join(out, "config.json"), "{}");
    checkpoint_open(out, &again, &e);
    no_error(&e);
    for (int64_t i = 0; i < n; i++) {
        struct tensor_view v;
        same_stored(&c, &again, t[i].name);
        again.stored.view(again.stored.self, t[i].name, &v, &e);
        bytes += view_bytes(&v);
    }
    assert_true(modules >= 8);
    assert_int_equal(bytes, planned);
    checkpoint_close(&again);
    checkpoint_close(&c);
    saver_free(s);
}

static void codes_go_out_as_they_came(void **state)
{
    (void)state;
    walked = 0;
    each_folder(fixtures(), "ct-", check_repacked);
    if (!walked)
        skip();
}

/* -- config.json -- */

/* Equal values: objects by keys, lists in order, but `ignore` as a set. */
static bool same_json(const struct json *a, const struct json *b, bool set)
{
    double x, y;
    if (json_type(a) == JSON_OBJECT) {
        bool same = json_type(b) == JSON_OBJECT && json_len(a) == json_len(b);
        for (void *it = json_first(a); same && it; it = json_next(a, it))
            same = json_get(b, json_it_key(it)) && same_json(json_it_value(it), json_get(b, json_it_key(it)),
                                                             !strcmp(json_it_key(it), "ignore"));
        return same;
    }
    if (json_type(a) == JSON_ARRAY) {
        bool same = json_type(b) == JSON_ARRAY && json_len(a) == json_len(b);
        for (size_t i = 0; same && i < json_len(a); i++) {
            bool found = false;
            for (size_t k = set ? 0 : i; k < (set ? json_len(b) : i + 1); k++)
                found = found || same_json(json_item(a, i), json_item(b, k), false);
            same = found;
        }
        return same;
    }
    if (json_num(a, &x) && json_num(b, &y))
        return x == y; /* Python writes 10000.0, the parser tells it from 10000 */
    const char *s = json_str(a, NULL), *t = json_str(b, NULL);
    return json_type(a) == json_type(b) && (!s || !strcmp(s, t));
}

struct written {
    struct quant_scheme scheme[4];
    struct quant_args cache;
    struct strs targets[4];
    struct packed_group group[4];
    struct strs ignored;
};

static void args_from(const struct json *j, struct quant_args *a)
{
    int64_t bits = 8, group = 0;
    bool on = false;
    quant_args_default(a);
    json_int(json_get(j, "num_bits"), &bits);
    json_int(json_get(j, "group_size"), &group);
    json_bool(json_get(j, "symmetric"), &a->symmetric);
    a->num_bits = (int)bits;
    a->group_size = group;
    for (int k = 0; strategy_words[k]; k++)
        if (!strcmp(strategy_words[k], json_str(json_get(j, "strategy"), NULL)))
            a->strategy = (enum strategy)k;
    const char *type = json_str(json_get(j, "type"), NULL), *order = json_str(json_get(j, "actorder"), NULL);
    a->type = strcmp(type, "float") ? QUANT_INT : QUANT_FLOAT;
    a->dynamic = json_bool(json_get(j, "dynamic"), &on) && on ? DYNAMIC_TRUE : DYNAMIC_FALSE;
    if (json_str(json_get(j, "dynamic"), NULL))
        a->dynamic = DYNAMIC_LOCAL;
    const struct json *block = json_get(j, "block_structure");
    for (size_t k = 0; k < json_len(block); k++)
        json_int(json_item(block, k), &a->block[k]);
    a->actorder = !order ? ACTORDER_NONE : !strcmp(order, "static") ? ACTORDER_STATIC : ACTORDER_WEIGHT;
    const char *scale = json_str(json_get(j, "scale_dtype"), NULL);
    a->scale_dtype = scale ? dtype_find_torch(scale) : -1;
    const char *zp = json_str(json_get(j, "zp_dtype"), NULL),
               *observer = json_str(json_get(j, "observer"), NULL);
    a->zp_dtype = zp ? dtype_find_torch(zp) : -1;
    snprintf(a->observer, sizeof a->observer, "%s", observer ? observer : "");
    const struct json *kw = json_get(j, "observer_kwargs");
    json_num(json_get(kw, "maxshrink"), &a->obs_maxshrink);
    json_num(json_get(kw, "patience"), &a->obs_patience);
    json_num(json_get(kw, "grid"), &a->obs_grid);
    json_num(json_get(kw, "norm"), &a->obs_norm);
    json_num(json_get(kw, "averaging_constant"), &a->obs_averaging);
}

static void strings_from(const struct json *j, struct strs *out)
{
    struct err e = { 0 };
    for (size_t i = 0; i < json_len(j); i++)
        assert_int_equal(strs_add(out, json_str(json_item(j, i), NULL), &e), 0);
}

static struct container_job job_of(const struct json *config, struct written *w)
{
    struct container_job job = { .config = config, .group = w->group, .ignored = &w->ignored };
    const struct json *q = json_get(config, "quantization_config"), *groups = json_get(q, "config_groups");
    memset(w, 0, sizeof *w);
    for (void *it = json_first(groups); it; it = json_next(groups, it), job.n_groups++) {
        size_t k = job.n_groups;
        const struct json *v = json_it_value(it), *in = json_get(v, "input_activations");
        assert_true(k < 4);
        w->scheme[k].has_weights = true;
        args_from(json_get(v, "weights"), &w->scheme[k].weights);
        w->scheme[k].has_input = json_type(in) == JSON_OBJECT;
        if (w->scheme[k].has_input)
            args_from(in, &w->scheme[k].input);
        strings_from(json_get(v, "targets"), &w->targets[k]);
        struct packed_group g = { json_it_key(it), &w->scheme[k], &w->targets[k] };
        w->group[k] = g;
    }
    strings_from(json_get(q, "ignore"), &w->ignored);
    if (json_type(json_get(q, "kv_cache_scheme")) == JSON_OBJECT) {
        args_from(json_get(q, "kv_cache_scheme"), &w->cache);
        job.kv_cache = &w->cache;
    }
    return job;
}

static int compared;

/* The peer's own config as the source's: what is written in its place must be equal to it. Formats are inferred. */
static void check_config(const char *dir)
{
    struct err e = { 0 };
    struct written w;
    struct buf text = { 0 };
    if (!path_exists(join(dir, "config.json")) || strstr(dir, "padded")) /* another version wrote those */
        return;
    struct json *peer = json_read(join(dir, "config.json"), 1 << 20, &e);
    no_error(&e);
    const struct container *c = container_by_method("compressed-tensors");
    struct container_job job = job_of(peer, &w);
    if (job.n_groups && !c->fits(job.group[0].scheme, &e)) {
        c->write_config(&job, &text, &e);
        no_error(&e);
        struct json *mine = json_parse(text.p, text.len, "mine", &e);
        no_error(&e);
        if (!same_json(mine, peer, false))
            printf("%s:\n%s\n", dir, text.p);
        assert_true(same_json(mine, peer, false));
        json_free(mine);
        compared++;
    } else if (job.n_groups)
        assert_int_equal(e.code, ERR_UNBUILT);
    for (int k = 0; k < 4; k++)
        strs_release(&w.targets[k]);
    strs_release(&w.ignored);
    buf_release(&text);
    json_free(peer);
}

static void config_says_what_the_peer_says(void **state)
{
    (void)state;
    compared = 0;
    each_folder(fixtures(), "ct-", check_config);
    each_folder(fixture("gptq_golden/golden.tar.xz"), "", check_config);
    if (!compared)
        skip();
    printf("%d config.json compared\n", compared);
    assert_true(compared >= 45);
}

/* The line at *p without its end, *p moved behind it; NULL at the end. */
static char *next_line(char **p)
{
    char *line = **p ? *p : NULL, *end = strchr(*p, '\n');
    if (end)
        *end = '\0';
    *p = end ? end + 1 : *p + strlen(*p);
    return line;
}

/* Two lines that differ may do so in the spelling of one number only (10000.0, 1e+04). */
static void same_line(const char *a, const char *b)
{
    struct err e = { 0 };
    double x = 0, y = 1;
    const char *v = strstr(a, "\": "), *w = strstr(b, "\": ");
    if (!strcmp(a, b))
        return;
    assert_true(v && w && v - a == w - b && !memcmp(a, b, (size_t)(v - a)));
    struct json *j = json_parse(v + 3, strcspn(v + 3, ","), "a", &e),
                *k = json_parse(w + 3, strcspn(w + 3, ","), "b", &e);
    json_num(j, &x);
    json_num(k, &y);
    if (x != y)
        printf("%s\n%s\n", a, b);
    assert_true(x == y);
    json_free(j);
    json_free(k);
}

/* Indent, order and spelling of words too. */
static void config_has_the_peers_lines(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct written w;
    struct buf text = { 0 }, want = { 0 };
    const char *all = fixtures();
    if (!all)
        skip();
    const char *path = join(join(all, "ct-w4a16asym-g32"), "config.json");
    struct json *peer = json_read(path, 1 << 20, &e);
    struct container_job job = job_of(peer, &w);
    container_find("compressed-tensors")->write_config(&job, &text, &e);
    file_read(path, 1 << 20, &want, &e);
    no_error(&e);
    char *p = text.p, *q = want.p, *line;
    while ((line = next_line(&p))) {
        char *peers = next_line(&q);
        assert_non_null(peers);
        same_line(line, peers);
    }
    assert_null(next_line(&q));
    strs_release(&w.targets[0]);
    strs_release(&w.ignored);
    buf_release(&text);
    buf_release(&want);
    json_free(peer);
}

/* -- activations -- */

static int quantizers;

/* What the file holds of one quantizer goes out with the same names, shapes and bytes. */
static void same_out(const char *dir, const struct tensor_source *t, const char *module, const char *what,
                     const struct activation *a)
{
    struct err e = { 0 };
    struct checkpoint back;
    static const char *const tails[] = { "scale", "zero_point", "global_scale" };
    char name[200], to[600];
    struct tensor_view v, w;
    snprintf(name, sizeof name, "%s.%s_scale", module, what);
    const struct tensor_info *scale = t->find(t->self, name);
    snprintf(to, sizeof to, "%s/out", dir);
    assert_int_equal(path_make_dir(to, &e), 0);
    struct saver *s = saver_new(to, 1 << 30, &e);
    assert_int_equal(containers[0]->pack_activation(s, module, what, a, scale ? scale->dtype : DT_F32, &e),
                     0);
    assert_int_equal(saver_finish(s, &e), 0);
    saver_free(s);
    assert_int_equal(checkpoint_open(to, &back, &e), 0);
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s.%s_%s", module, what, tails[i]);
        bool there = t->find(t->self, name) != NULL;
        assert_int_equal(back.stored.find(back.stored.self, name) != NULL, there);
        if (!there)
            continue;
        assert_int_equal(t->view(t->self, name, &v, &e), 0);
        assert_int_equal(back.stored.view(back.stored.self, name, &w, &e), 0);
        assert_true(v.dtype == w.dtype && v.rank == w.rank && view_bytes(&v) == view_bytes(&w));
        assert_memory_equal(v.data, w.data, (size_t)view_bytes(&v));
    }
    checkpoint_close(&back);
    assert_int_equal(path_remove_tree(to, &e), 0);
}

static void check_activations(const char *dir)
{
    struct err e = { 0 };
    struct checkpoint c;
    struct activation a, k, v;
    checkpoint_open(dir, &c, &e);
    no_error(&e);
    const struct tensor_source *t = &c.stored;
    for (int64_t i = 0; i < t->count; i++) {
        char module[200];
        const char *name = t->at(t->self, i)->name;
        if (!str_ends(name, ".weight_scale"))
            continue;
        snprintf(module, sizeof module, "%.*s", (int)(strlen(name) - 13), name);
        assert_int_equal(c.container->activation(c.decoder, module, &a, &e), 0);
        if (a.on && activation_is_static(&a.args)) {
            same_out(dir, t, module, "input", &a);
            quantizers++;
        }
        activation_release(&a);
    }
    assert_int_equal(c.container->cache_scheme(c.decoder) != NULL, strstr(dir, "kv8") != NULL);
    if (c.container->cache_scheme(c.decoder)) {
        assert_int_equal(c.container->cache(c.decoder, "model.layers.1.self_attn", 1, &k, &v, &e), 0);
        assert_true(k.on && v.on && k.n == 1 && k.scale[0] > 0);
        same_out(dir, t, "model.layers.1.self_attn", "k", &k);
        same_out(dir, t, "model.layers.1.self_attn", "v", &v);
        quantizers += 2;
        activation_release(&k);
        activation_release(&v);
        assert_int_equal(c.container->cache(c.decoder, "model.layers.7.self_attn", 1, &k, &v, &e), -1);
        assert_non_null(strstr(e.what, "no tensor 'k_scale'"));
    }
    checkpoint_close(&c);
}

static void activation_scales_go_out_as_they_came(void **state)
{
    (void)state;
    walked = quantizers = 0;
    each_folder(fixtures(), "ct-", check_activations);
    if (!walked)
        skip();
    assert_true(quantizers >= 3 * 14 + 2); /* fp8-static, nvfp4, w8a8-static-asym; kv8 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoded_weights_have_the_peers_bits),
        cmocka_unit_test(parts_of_codes_are_not_listed),
        cmocka_unit_test(codes_go_out_as_they_came),
        cmocka_unit_test(config_says_what_the_peer_says),
        cmocka_unit_test(config_has_the_peers_lines),
        cmocka_unit_test(activation_scales_go_out_as_they_came),
    };
    int rc = cmocka_run_group_tests(tests, temp_up, temp_down);
    return rc ? rc : path_is_dir("../shared/fixtures/containers") ? 0 : 77;
}
