/* activations.h - static quantizers of inputs, keys and values: decided at plan time, observed in the walk, saved. */
#ifndef QP_STAGES_ACTIVATIONS_H
#define QP_STAGES_ACTIVATIONS_H
#include "stages/job.h"

/* Plan: a module's input_activations (its scheme and module are set), a stage's kv_cache_scheme. Both may set needs_data.
 * Errors have no place in the recipe for the former. */
int activations_plan(struct job *j, struct module_job *m, const char *group, struct err *e);
int cache_plan(struct job *j, int index, struct err *e);

/* Run: the input of a group in a chunk (of all the chunks), and what follows into the file when each rank has seen its own;
 * the same for the cache of a block. walk_hooks' input, solve and cache call them; all ranks call the two that save. */
int activations_input(struct job *j, const struct walk_group *g, int64_t chunk, const float *x, int64_t rows,
                      int64_t ldx, struct err *e);
int activations_save(struct job *j, const struct walk_group *g, struct err *e);
int cache_input(struct job *j, int64_t block, int64_t chunk, const float *k, const float *v, int64_t rows,
                int64_t width, struct err *e);
int cache_save(struct job *j, int64_t block, struct err *e);
void activations_job_release(struct job *j);
#endif
