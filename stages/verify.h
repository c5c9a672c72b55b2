/* verify.h - what was saved, opened again from disk as a user would, and measured against the original. */
#ifndef QP_STAGES_VERIFY_H
#define QP_STAGES_VERIFY_H
#include "stages/job.h"
#include "stages/metrics.h"

struct threshold_result {
    const char *name; /* the option: "max_kl" */
    double limit, found;
    bool met;
};
struct verify_report {
    struct module_metric *metric; /* [job->load.model.n_modules]; only quantized ones are filled */
    int64_t n;
    bool has_text;
    struct kl_result kl;
    char text_sha256[65], tokens_sha256[65];
    struct threshold_result threshold[4];
    int n_thresholds;
    bool passed;
};
/* verify_run - dir: the saved checkpoint. spill_dir: for activations. ERR_INPUT when held-out text overlaps the calibration
 * text (unless allow_overlap) or when what stands on disk does not hold the planned modules. */
int verify_run(struct job *j, const char *dir, const char *spill_dir, struct verify_report *out,
               struct err *e);
void verify_release(struct verify_report *r);
void verify_json(const struct job *j, const struct verify_report *r, struct jw *w);
#endif
