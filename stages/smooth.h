/* smooth.h - smoothing modifiers (AWQ, SmoothQuant): which mappings they use, decided at plan time; their pass over the float
 * model before anything is quantized; and the tensors with their scales, which everything behind reads. */
#ifndef QP_STAGES_SMOOTH_H
#define QP_STAGES_SMOOTH_H
#include "base/json.h"
#include "base/node.h"
#include "model/mappings.h"
#include "model/smoothed.h"
#include "model/walk.h"
#include "quant/smooth.h"
#include "quant/stats.h"

struct job;
struct smooth_job;
/* A row of what smoothing modifiers are at run time. */
struct smoother {
    bool quantizers; /* of use only where a later modifier quantizes a balance layer */
    bool (*needs_gram)(const struct job *j, const struct smooth_job *s);
    /* The scales come from runs of all ranks over their own sequences: then every rank calls scales(). NULL: never. */
    bool (*together)(const struct job *j, const struct smooth_job *s);
    /* w: the walker that stops at g, over this rank's chunks. out [mapping channels], and s->result; g: the group that the balance modules stand in, gram NULL unless needed. */
    int (*scales)(const struct job *j, struct smooth_job *s, struct walker *w, const struct walk_group *g,
                  const struct channel_stats *c, const struct gram *gram, float *out, struct err *e);
    double (*flops)(const struct job *j, const struct smooth_job *s); /* of scales() */
    int64_t (*bytes)(const struct job *j, const struct smooth_job *s);
};
struct smooth_result {
    bool searched; /* ratio, duo, before and after mean something */
    double ratio, before, after;
    bool duo;
    float least, most; /* scales */
    int64_t tokens;
};
struct smooth_job {
    struct mapping map;
    int stage; /* index of the modifier in the recipe */
    const struct smoother *smoother;
    int owner;     /* rank that finds the scales, or -1: all of them together */
    bool restored; /* an earlier run has found them */
    float *scale;  /* [map.channels] while its stage runs, on ranks that have found it; owned */
    struct smooth_result result;
};
struct smooth_state {
    struct smooth_job *v;
    int64_t n;
    struct smoothed *tensors; /* while running */
};
/* smooth_plan - the mappings of modifier `index` into j->smooth: the model's own, or those that the recipe names, each of
 * which must be one of the model's (else it would change the function). norms: mappings of norms only. grouped: also v -> o
 * where heads share values. ERR_INPUT with place. */
struct smooth_wants {
    const struct node *mappings, *ignore;
    bool norms, grouped;
};
int smooth_plan(struct job *j, int index, const struct smoother *s, const struct smooth_wants *w,
                struct err *e);
/* smooth_check - behind all modifiers: leaves out mappings of nothing that is quantized (for a smoother that needs it), and
 * refuses tensors that can not be saved changed. */
int smooth_check(struct job *j, struct err *e);
int smooth_run(struct job *j, const char *spill_dir, struct err *e);
void smooth_release(struct job *j);
/* Does smoothing change this module's weight? Its distance from the original then says nothing. */
bool smooth_changes(const struct job *j, const struct module *m);
int smooth_save(struct job *j, const char *tensor, struct err *e); /* a changed tensor to the saver */
void smooth_json(const struct job *j, struct jw *w);               /* a list: one object a mapping */
int smooth_text(const struct job *j, struct buf *out, struct err *e);
#endif
