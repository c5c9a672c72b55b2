/* eval.c - `qpipe eval`: perplexity of any checkpoint that qpipe reads, quantized ones included, and its KL divergence
 * from a reference. */
#include "pipeline/commands/rows.h"

#include "base/file.h"
#include "base/mem.h"
#include "cluster/comm.h"
#include "io/checkpoint.h"
#include "io/safetensors.h"
#include "kernels/math.h"
#include "stages/metrics.h"
#include "stages/simulate.h"

#include <math.h>
#include <string.h>

static const struct opt options[] = {
    { .name = "text",
      .type = OPT_STR,
      .at = CLI_AT(text),
      .doc =
          "Text to score: .txt, .jsonl, .json, also compressed or in an archive; joined and cut into full windows." },
    { .name = "tokens",
      .type = OPT_STR,
      .at = CLI_AT(tokens),
      .doc = "Token ids instead: a JSON list of lists, or a safetensors file with an integer matrix." },
    { .name = "field",
      .type = OPT_STR,
      .at = CLI_AT(field),
      .doc = "JSON key of the text, or the name of the tensor." },
    { .name = "sequence-length",
      .type = OPT_INT,
      .at = CLI_AT(sequence_length),
      .max = 1 << 24,
      .unit = "tokens",
      .doc = "Length of a window of --text; 0: the model's positions, at most 2048." },
    { .name = "samples",
      .type = OPT_INT,
      .at = CLI_AT(samples),
      .max = 1e12,
      .unit = "windows",
      .doc = "At most so many windows; 0: all." },
    { .name = "reference",
      .type = OPT_STR,
      .at = CLI_AT(reference),
      .doc = "Folder of the original: KL divergence and agreement with it." },
    { .name = "logits-out",
      .type = OPT_STR,
      .at = CLI_AT(logits_out),
      .doc = "Write float32 `logits` [windows, length, vocabulary] as safetensors." },
    { .name = "activation-budget",
      .type = OPT_BYTES,
      .at = CLI_AT(activation_budget),
      .def = 2147483648.0,
      .max = 9e18,
      .doc = "Activations held in memory; the rest goes through a file in the temporary folder." },
    { .name = "activations",
      .type = OPT_ENUM,
      .at = CLI_AT(activations),
      .def = ACTIVATIONS_SIMULATE,
      .words = simulate_words,
      .doc =
          "simulate: inputs, keys and values are rounded as the checkpoint asks a runtime to; float: weights alone." },
    CLI_JSON,
    { .name = NULL },
};

struct loaded {
    struct checkpoint ck;
    struct model model;
    struct activations activations;
};

static int load(const char *dir, enum simulate how, struct loaded *l, struct err *e)
{
    if (checkpoint_open(dir, &l->ck, e))
        return -1;
    if (!l->ck.config)
        return err_set(e, ERR_INPUT, "%s: found no config.json", dir);
    if (model_open(l->ck.config, &l->ck.tensors, dir, &l->model, e))
        return -1;
    return simulate_open(&l->ck, how, &l->model, &l->activations, e);
}

static void unload(struct loaded *l)
{
    activations_release(&l->activations);
    model_release(&l->model);
    checkpoint_close(&l->ck);
}

static int read_data(const struct cli *c, const struct loaded *l, struct dataset *d, struct err *e)
{
    if (!c->text == !c->tokens) {
        err_set(e, ERR_INPUT, "qpipe eval: found %s, expected one of --text and --tokens",
                c->text ? "both" : "neither");
        return -1;
    }
    struct dataset_options o = { .path = c->text ? c->text : c->tokens,
                                 .field = c->field,
                                 .samples = c->samples,
                                 .min_length = 2,
                                 .special = true };
    struct tokenizer *t = NULL;
    if (c->text) {
        int64_t most = l->model.max_positions < 2048 ? l->model.max_positions : 2048;
        o.pack = PACK_CONCATENATE;
        o.sequence_length = c->sequence_length ? c->sequence_length : most;
        t = tokenizer_open(l->ck.dir, e);
        if (!t)
            return -1;
    }
    int rc = dataset_load(&o, t, l->model.vocab, d, e);
    tokenizer_free(t);
    return rc;
}

static int put_logits(void *arg, int64_t window, const float *logits, int64_t len, struct err *e)
{
    struct st_writer *w = arg;
    (void)window;
    const struct tensor_info *t = st_writer_next(w);
    return st_writer_put(w, logits, (uint64_t)(len * t->dim[2]) * sizeof *logits, e);
}

static struct st_writer *logits_file(const struct cli *c, const struct dataset *d, int64_t vocab,
                                     struct err *e)
{
    for (int64_t i = 1; i < d->n; i++)
        if (d->len[i] != d->len[0]) {
            err_set(
                e, ERR_INPUT,
                "--logits-out: window %lld has %lld tokens and window 0 has %lld; expected equally long ones",
                (long long)i, (long long)d->len[i], (long long)d->len[0]);
            return NULL;
        }
    struct st_writer *w = st_writer_new(e);
    int64_t dim[3] = { d->n, d->len[0], vocab };
    if (w && (st_writer_add(w, "logits", DT_F32, 3, dim, e) || st_writer_begin(w, c->logits_out, e))) {
        st_writer_abandon(w);
        return NULL;
    }
    return w;
}

static int evaluate(const struct cli *c, const struct loaded *l, const struct dataset *d,
                    const struct metrics_options *o, struct eval_result *r, struct err *e)
{
    struct st_writer *w = NULL;
    if (c->logits_out && comm_world()->size > 1) {
        err_set(e, ERR_UNBUILT, "--logits-out on %d ranks: each has the logits of its own windows",
                comm_world()->size);
        return err_hint(e, "run eval on one rank to write them");
    }
    if (c->logits_out && !(w = logits_file(c, d, l->model.vocab, e)))
        return -1;
    int rc = eval_model(&l->model, d, o, w ? put_logits : NULL, w, r, e);
    if (w && rc)
        st_writer_abandon(w);
    else if (w)
        rc = st_writer_finish(w, NULL, e);
    return rc;
}

/* What was rounded on the way, if anything: a number without it means something else. */
static int report_rounded(const struct model *m, struct buf *out, struct err *e)
{
    int64_t inputs, caches;
    simulate_count(m, &inputs, &caches);
    if (!inputs && !caches)
        return 0;
    return buf_printf(out, e,
                      "rounded as a runtime would: inputs of %lld modules, keys and values of %lld layers\n",
                      (long long)inputs, (long long)caches);
}

static int report(const struct cli *c, const struct model *m, const struct eval_result *r,
                  const struct kl_result *kl, struct buf *out, struct err *e)
{
    if (c->json) {
        struct jw w;
        jw_init(&w, out, 2);
        kl ? kl_json(kl, &w) : eval_json(r, &w);
        return jw_done(&w, e);
    }
    int rc =
        buf_printf(out, e, "tokens %lld in %lld windows, nll %.6f +- %.6f a token, perplexity %.4f\n",
                   (long long)r->tokens, (long long)r->windows, r->nll_per_token, r->nll_se, r->perplexity);
    if (kl)
        rc =
            rc ||
            buf_printf(
                out, e,
                "against the reference: perplexity ratio %.5f, KL %.6f +- %.6f, 99 %% %.5f, same top token %.2f %%\n",
                m_exp(kl->ln_ratio), kl->mean, kl->se_windows, kl->p99, 100 * kl->top1);
    return rc || report_rounded(m, out, e) ? -1 : 0;
}

static int compare(const struct cli *c, const struct loaded *l, const struct dataset *d,
                   const struct metrics_options *o, struct kl_result *kl, struct err *e)
{
    struct loaded ref = { 0 };
    int rc = load(c->reference, (enum simulate)c->activations, &ref, e);
    if (!rc)
        rc = compare_models(&ref.model, &l->model, d, o, NULL, NULL, kl, e);
    unload(&ref);
    return rc;
}

static int run(struct cli *c, struct err *e)
{
    struct loaded l = { 0 };
    struct dataset d = { 0 };
    struct eval_result r = { 0 };
    struct kl_result kl;
    struct buf out = { 0 };
    struct metrics_options o = { (uint64_t)c->activation_budget, path_temporary() };
    int rc = -1;
    int ready = load(c->word.v[0], (enum simulate)c->activations, &l, e) || read_data(c, &l, &d, e) ? -1 : 0;
    if (comm_agree(comm_world(), ready, e) ||
        ((!c->reference || c->logits_out) && evaluate(c, &l, &d, &o, &r, e)))
        goto done;
    if (c->reference) {
        if (compare(c, &l, &d, &o, &kl, e))
            goto done;
        r = kl.q;
    }
    if (report(c, &l.model, &r, c->reference ? &kl : NULL, &out, e) || print_text(&out, e))
        goto done;
    rc = 0;
done:
    buf_release(&out);
    dataset_release(&d);
    unload(&l);
    return rc;
}

static const char *const details[] = {
    "Scores every position of a window but the first; perplexity is exp of the mean negative log-likelihood. Quantized checkpoints are decoded "
    "as a runtime does and computed in float32; inputs of modules, keys and values are rounded where the checkpoint asks for it.",
    NULL,
};
const struct command command_eval = {
    "eval", "MODEL", "Measure perplexity, and KL divergence from a reference.", options, 1, 1, details,
    run,    true
};
