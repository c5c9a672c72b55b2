/* fuzz_config.c - bytes as config.json of a checkpoint with one tiny Llama block. Reading them ends in an error with a
 * text, or in a model that runs: then three tokens are walked, and every logit is a number that was written. */
#include "base/json.h"
#include "base/mem.h"
#include "kernels/kernels.h"
#include "model/model.h"
#include "model/walk.h"
#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct tensor_info tensors[] = {
    { "lm_head.weight", DT_F32, 2, { 16, 8 } },
    { "model.embed_tokens.weight", DT_F32, 2, { 16, 8 } },
    { "model.layers.0.input_layernorm.weight", DT_F32, 1, { 8 } },
    { "model.layers.0.mlp.down_proj.weight", DT_F32, 2, { 8, 12 } },
    { "model.layers.0.mlp.gate_proj.weight", DT_F32, 2, { 12, 8 } },
    { "model.layers.0.mlp.up_proj.weight", DT_F32, 2, { 12, 8 } },
    { "model.layers.0.post_attention_layernorm.weight", DT_F32, 1, { 8 } },
    { "model.layers.0.self_attn.k_proj.weight", DT_F32, 2, { 8, 8 } },
    { "model.layers.0.self_attn.o_proj.weight", DT_F32, 2, { 8, 8 } },
    { "model.layers.0.self_attn.q_proj.weight", DT_F32, 2, { 8, 8 } },
    { "model.layers.0.self_attn.v_proj.weight", DT_F32, 2, { 8, 8 } },
    { "model.norm.weight", DT_F32, 1, { 8 } },
};
enum { N = sizeof tensors / sizeof *tensors, TOKENS = 3 };

static const struct tensor_info *at(void *self, int64_t i)
{
    (void)self;
    return &tensors[i];
}

static const struct tensor_info *find(void *self, const char *name)
{
    (void)self;
    for (int i = 0; i < N; i++)
        if (!strcmp(tensors[i].name, name))
            return &tensors[i];
    return NULL;
}

static int read_f32(void *self, const char *name, int64_t row, int64_t n, float *out, struct err *e)
{
    const struct tensor_info *t = find(self, name);
    (void)e;
    assert(t && row >= 0 && n >= 0 && row + n <= t->dim[0]);
    int64_t per = t->rank == 2 ? t->dim[1] : 1;
    for (int64_t i = 0; i < n * per; i++)
        out[i] = (float)((row * per + i) % 7) * 0.25f - 0.5f;
    return 0;
}

static void walk(const struct model *m)
{
    static const int32_t id[TOKENS] = { 1, 15, 0 };
    const int32_t *seq[1] = { id };
    const int64_t len[1] = { TOKENS };
    struct chunks c = { seq, len, 1 };
    struct walk_options o = { 1 << 20, NULL };
    struct err e = { 0 };
    float logits[TOKENS * 16];
    assert(m->vocab == 16 && m->n_blocks == 1);
    struct walker *w = walker_new(m, &c, &o, &e);
    assert(w);
    for (int64_t b = 0; b <= m->n_blocks; b++) {
        int rc = walker_block(w, b, WALK_TRUE, NULL, &e);
        assert(!rc);
    }
    assert(!walker_logits(w, 0, logits, &e));
    walker_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tensor_source source = { NULL, N, at, find, read_f32, NULL, NULL };
    struct err e = { 0 };
    struct model m;
    if (kernels_threads() != 1)
        kernels_init("c", 1);
    struct json *j = json_parse((const char *)data, size, "config.json", &e);
    if (j && !model_open(j, &source, "M", &m, &e)) {
        walk(&m);
        model_release(&m);
    } else {
        assert(e.code == ERR_INPUT || e.code == ERR_LIMIT || e.code == ERR_UNBUILT);
        assert(e.what[0]);
    }
    json_free(j);
    return 0;
}
