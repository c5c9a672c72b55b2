/* units.h - a unit is a piece of a run that is done once, whatever happens to the process: the tensors that the saver was given
 * between unit_begin and unit_end, and a few bytes of numbers, under a key ("module/model.layers.0.mlp.up_proj"). Units are
 * written to the journal in the order in which they end; a run that goes on takes them instead of computing them again,
 * on any number of ranks. One unit at a time, by the main thread of a rank. */
#ifndef QP_STAGES_UNITS_H
#define QP_STAGES_UNITS_H
#include "base/tensor.h"
#include "stages/job.h"

struct journal;
struct units;
/* units_open - over a journal (borrowed) and its folder; the job's saver spools into units_spool, a path in that folder. Until
 * j->units is set all of the functions below do nothing, and no unit is done. */
struct units *units_open(const struct job *j, struct journal *journal, const char *dir, int rank,
                         struct err *e);
const char *units_spool(const struct units *u);
void units_close(struct units *u); /* NULL is allowed */
/* unit_check_source - ERR_INPUT when a tensor of the checkpoint (by its index there) is not what it was when a unit was made
 * from it: the checkpoint changed while it was used. v: its bytes now. */
int unit_check_source(const struct job *j, int64_t tensor, const struct tensor_view *v, struct err *e);

/* Keys of modules: "module/NAME"; the value is m->result. unit_module_done: false too when nothing is kept. unit_module_take
 * sets m->done and m->result. */
bool unit_module_done(const struct job *j, const struct module_job *m);
int unit_module_begin(struct job *j, const struct module_job *m, struct err *e);
int unit_module_end(struct job *j, const struct module_job *m, struct err *e);
int unit_module_take(struct job *j, struct module_job *m, struct err *e);

int unit_begin(struct job *j, const char *key, struct err *e);
/* unit_end - the unit is complete: value [n] is kept with its tensors. Committed to disk at the latest when a second has
 * passed since the last commit, and by unit_commit. */
int unit_end(struct job *j, const void *value, size_t n, struct err *e);
int unit_commit(struct job *j, struct err *e);
/* unit_done - a unit of this key was ended, by this run or an earlier one, on this rank or (after units_refresh) another. */
bool unit_done(const struct job *j, const char *key);
/* unit_take - its tensors go to this rank's saver (by place, nothing is copied), its value to value [n]. ERR_INPUT when the
 * stored bytes are not what the record says (digest, length). Taking a unit again, or one that this rank made, only reads the
 * value. */
int unit_take(struct job *j, const char *key, void *value, size_t n, struct err *e);
/* unit_tensor - the stored bytes of one tensor of a unit that this saver has; valid while the saver is. */
int unit_tensor(const struct job *j, const char *name, struct tensor_view *out, struct err *e);
/* unit_weights - w [out, in]: the decoded weights of a module whose unit this saver has, bit for bit as the solver left them. */
int unit_weights(const struct job *j, const struct module_job *m, float *w, struct err *e);
/* units_span - which tensors of the saver are a unit's; false: it has none of it. */
bool units_span(const struct job *j, const char *key, int64_t *first, int64_t *n);
/* units_refresh - what other ranks have committed: call behind a barrier that follows their unit_commit. */
int units_refresh(struct job *j, struct err *e);
/* Notes that no unit is made of, for snapshot.c: kept with the next commit. unit_noted: borrowed, NULL: none. */
int unit_note(struct job *j, const char *key, const void *value, size_t n, struct err *e);
const void *unit_noted(const struct job *j, const char *key, size_t *n);
int64_t units_keys(const struct job *j);
const char *units_key(const struct job *j, int64_t i); /* of 0 .. units_keys - 1 */
const char *units_dir(const struct job *j);            /* the work folder */
int units_start(const struct job *j);                  /* which start of the job this is */
bool units_eager(const struct job *j);                 /* a test wants everything kept at once */
/* units_gather - commits, and takes the units of all ranks: afterwards every rank's saver has every tensor (their bytes stay
 * where they are) and every module its result. All ranks call it. */
int units_gather(struct job *j, struct err *e);
#endif
