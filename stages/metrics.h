/* metrics.h - numbers about two models on the same tokens, as defined in docs/metrics.md. Every position of a window but
 * the first token is scored (p(token_{i+1} | tokens 0..i)); natural logarithms. */
#ifndef QP_STAGES_METRICS_H
#define QP_STAGES_METRICS_H
#include "base/json.h"
#include "model/walk.h"
#include "text/dataset.h"

/* Sums of one model. */
struct eval_result {
    int64_t windows, tokens; /* tokens: scored positions */
    double nll_per_token, perplexity;
    double nll_se; /* of nll_per_token, over windows */
};
/* Two models, q against base. */
struct kl_result {
    struct eval_result base, q;
    double mean, se, se_windows; /* of KL(base || q) */
    double median, p90, p95, p99, p999, max;
    double top1, top1_se;         /* share of positions with the same argmax */
    double ln_ratio, ln_ratio_se; /* mean(nll_q - nll_base), paired */
    double dp_rms;                /* RMS of p_q(token) - p_base(token) */
};
/* One module on held-out text. */
struct module_metric {
    double weight_error; /* |W - Q|_F / |W|_F */
    double output_error; /* tr(E H E^T) / tr(W H W^T), H of the original's inputs; NAN without text */
};
struct metrics_options {
    uint64_t activation_budget;
    const char *spill_dir;
};
/* eval_model - logits_out: NULL or called with each window's logits [len, vocab]. */
int eval_model(const struct model *m, const struct dataset *d, const struct metrics_options *o,
               int (*logits_out)(void *arg, int64_t window, const float *logits, int64_t len, struct err *e),
               void *arg, struct eval_result *out, struct err *e);
/* compare_models - both walk side by side, block by block. metric: NULL or [base->n_modules], output errors of the modules
 * for which wanted[i] (their weight in `q`'s tensors is read for it). */
int compare_models(const struct model *base, const struct model *q, const struct dataset *d,
                   const struct metrics_options *o, const bool *wanted, struct module_metric *metric,
                   struct kl_result *out, struct err *e);
/* weight_errors - metric[i].weight_error of the wanted modules; no text needed. */
int weight_errors(const struct model *base, const struct model *q, const bool *wanted,
                  struct module_metric *metric, struct err *e);
void eval_json(const struct eval_result *r, struct jw *w);
void kl_json(const struct kl_result *r, struct jw *w);
#endif
