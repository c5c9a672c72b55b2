/* inspect.c - `qpipe inspect`: what a checkpoint holds and how it is quantized. */
#include "pipeline/commands/rows.h"

#include "base/num.h"
#include "io/checkpoint.h"
#include "io/containers/container.h"

#include <string.h>

static const struct opt options[] = { CLI_JSON, { .name = NULL } };

static int64_t bytes_of(const struct tensor_info *t)
{
    int64_t n = dtypes[t->dtype].bytes;
    for (int i = 0; i < t->rank; i++)
        n *= t->dim[i];
    return n;
}

static int shape_text(const struct tensor_info *t, struct buf *out, struct err *e)
{
    for (int i = 0; i < t->rank; i++)
        if (buf_printf(out, e, "%s%lld", i ? " x " : "", (long long)t->dim[i]))
            return -1;
    return 0;
}

/* "X.weight" of a quantized module: how it is stored. */
static bool describe(const struct checkpoint *c, const char *tensor, struct quant_args *a)
{
    char module[512];
    size_t n = strlen(tensor);
    if (!c->container || !str_ends(tensor, ".weight") || n >= sizeof module)
        return false;
    memcpy(module, tensor, n - 7);
    module[n - 7] = '\0';
    return c->container->describe(c->decoder, module, a);
}

static int as_text(const struct checkpoint *c, struct buf *out, struct err *e)
{
    char word[96], size[32];
    const char *family = json_str(json_get(c->config, "model_type"), NULL);
    int64_t total = 0;
    for (int64_t i = 0; i < c->stored.count; i++)
        total += bytes_of(c->stored.at(c->stored.self, i));
    int rc = buf_printf(out, e, "%s: %s, %zu file%s, %lld tensors, %s, %s\n", c->dir,
                        family ? family : "no model_type", c->shards.n, c->shards.n == 1 ? "" : "s",
                        (long long)c->stored.count, num_human_bytes((double)total, size),
                        c->container ? c->container->name : "not quantized");
    for (int64_t i = 0; !rc && i < c->tensors.count; i++) {
        const struct tensor_info *t = c->tensors.at(c->tensors.self, i);
        struct quant_args a;
        rc = buf_printf(out, e, "  %-56s %-8s ", t->name, dtypes[t->dtype].name) || shape_text(t, out, e);
        if (!rc && describe(c, t->name, &a))
            rc = buf_printf(out, e, "  from %s", quant_args_word(&a, word));
        rc = rc || buf_str(out, "\n", e);
    }
    return rc ? -1 : 0;
}

static void tensors_json(const struct checkpoint *c, const struct tensor_source *s, bool stored, struct jw *w)
{
    jw_array(w);
    for (int64_t i = 0; i < s->count; i++) {
        const struct tensor_info *t = s->at(s->self, i);
        struct quant_args a;
        jw_object(w);
        jw_kstr(w, "name", t->name);
        jw_kstr(w, "dtype", dtypes[t->dtype].name);
        jw_key(w, "shape");
        jw_array(w);
        for (int d = 0; d < t->rank; d++)
            jw_int(w, t->dim[d]);
        jw_end_array(w);
        if (stored)
            jw_kstr(w, "file", checkpoint_shard(c, t->name));
        else if (describe(c, t->name, &a)) {
            jw_key(w, "quantized");
            quant_args_json(&a, w);
        }
        jw_end_object(w);
    }
    jw_end_array(w);
}

static int as_json(const struct checkpoint *c, struct buf *out, struct err *e)
{
    struct jw w;
    jw_init(&w, out, 2);
    jw_object(&w);
    jw_kstr(&w, "model_type", json_str(json_get(c->config, "model_type"), NULL));
    jw_kstr(&w, "container", c->container ? c->container->name : NULL);
    jw_key(&w, "stored");
    tensors_json(c, &c->stored, true, &w);
    jw_key(&w, "tensors");
    tensors_json(c, &c->tensors, false, &w);
    jw_end_object(&w);
    return jw_done(&w, e);
}

static int run(struct cli *c, struct err *e)
{
    struct checkpoint ck = { 0 };
    struct buf out = { 0 };
    if (checkpoint_open(c->word.v[0], &ck, e))
        return -1;
    int rc = c->json ? as_json(&ck, &out, e) : as_text(&ck, &out, e);
    if (!rc)
        rc = print_text(&out, e);
    buf_release(&out);
    checkpoint_close(&ck);
    return rc;
}

static const char *const details[] = {
    "Lists every tensor of a checkpoint with dtype and shape; for quantized ones how their values are stored.",
    NULL,
};
const struct command command_inspect = {
    "inspect", "MODEL", "Show what a checkpoint holds and how it is quantized.", options, 1, 1, details,
    run,       false
};
