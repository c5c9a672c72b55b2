/* rows.h - inside stages: the rows of the table, one file each, and what several of them share. */
#ifndef QP_STAGES_ROWS_H
#define QP_STAGES_ROWS_H
#include "stages/job.h"

extern const struct stage stage_load, stage_calibrate, stage_gptq, stage_rtn, stage_verify, stage_save;
extern const struct stage stage_awq, stage_smoothquant, stage_logeq;

/* plan_targets - matches the modifier's quant_config against the modules and fills scheme, grid, layout, observer of each
 * that it means; `fill` sets what is the modifier's own (solver, options). Modules claimed twice are an error. */
int plan_targets(struct job *j, int index,
                 int (*fill)(struct job *j, int index, struct module_job *m, struct err *e), struct err *e);

/* solve_module - w [out, in] float32 through observer and solver to codes, which go to the saver; w becomes the decoded
 * weights. f, t, g: NULL where the solver needs none. */
int solve_module(struct job *j, struct module_job *m, float *w, const struct factor *f, const struct tune *t,
                 const struct gram *g, struct err *e);
/* importance_of - E[x^2] per input column, from the diagonal of the Gram matrix; owned. */
float *importance_of(const struct gram *g, struct err *e);
/* Of pass.c, for stream.c: the name of its tensor without .weight (owned); ERR_INPUT when decoded weights are not finite. */
char *tensor_prefix(const struct module_job *m, struct err *e);
int refuse_overflow(const struct module_job *m, struct err *e);
/* fused.c: fused_plan - ERR_INPUT when only some of the matrices that share a global scale are on its grid, or when matrices
 * that a runtime joins have different schemes (`serve: { fused: ... }` decides: error, note, nothing).
 * fused_scale - fills m->global_scale and that of its siblings, if its grid has one: before the first of them is solved.
 * g: the group of the walk that m stands in, with the Gram matrix of its input, or NULL (weights are read from the checkpoint). */
int fused_plan(struct job *j, struct err *e);
int fused_scale(struct job *j, struct module_job *m, const struct walk_group *g, const struct gram *gram,
                struct err *e);
/* clip_plan - behind all modifiers: what AWQModifier's clip search means. ERR_INPUT where something else decides about ranges. */
int clip_plan(struct job *j, struct err *e);
/* serve_plan - ERR_INPUT when `serve:` asks for devices that a planned matrix can not be cut for. */
int serve_plan(struct job *j, struct err *e);
/* dataset_of - a dataset by the tokenizer of the source model. */
int dataset_of(const struct job *j, const struct dataset_options *o, struct dataset *out, struct err *e);
/* scheme_error - why a module's scheme can not be done, with its place in the recipe; for what is not built, the presets that are. */
int scheme_error(const struct module_job *m, const struct err *why, struct err *e);
int stream_run(struct job *j, struct err *e); /* stream.c: no data: module after module, in strips of rows */
int calibrated_run(struct job *j, const char *spill_dir, struct err *e); /* the walk */
#endif
