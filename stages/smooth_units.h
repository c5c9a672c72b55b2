/* smooth_units.h - inside stages: the scales of a mapping as a unit, "smooth/STAGE/NAME", so that a run that goes on does not
 * search again. Its value: struct smooth_result, then the scales. */
#ifndef QP_STAGES_SMOOTH_UNITS_H
#define QP_STAGES_SMOOTH_UNITS_H
#include "stages/units.h"

bool smooth_unit_done(const struct job *j, const struct smooth_job *s);
/* smooth_unit_keep - s->scale and s->result; smooth_unit_take - the other way. */
int smooth_unit_keep(struct job *j, const struct smooth_job *s, struct err *e);
int smooth_unit_take(struct job *j, struct smooth_job *s, struct err *e);
/* All mappings of a stage: then it needs no walk. */
bool smooth_stage_done(const struct job *j, int stage);
#endif
