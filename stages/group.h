/* group.h - the solves of one input group: who solves which matrix, with what dampening, and that every rank has the results and the
 * decoded weights afterwards. The outcome depends on the inputs' sums and the group's weights alone: not on the order of the
 * solves, not on ranks, not on what an earlier run has finished. */
#ifndef QP_STAGES_GROUP_H
#define QP_STAGES_GROUP_H
#include "quant/cross.h"
#include "stages/job.h"

struct group_sums {
    struct gram *gram;   /* NULL: no matrix needs it; not finished yet */
    struct cross *cross; /* NULL: no asymmetric calibration */
};
/* group_needs - the group's inputs must be added up for a module that is still to be solved; half: for a two-fold choice. */
bool group_needs(const struct job *j, const struct walk_group *g, bool *half);
bool group_asymmetric(const struct job *j, const struct walk_group *g);
/* group_planned - module i of the group if it is quantized, or NULL. */
struct module_job *group_planned(const struct job *j, const struct walk_group *g, int i);
/* group_solve - all ranks call it. */
int group_solve(struct job *j, const struct walk_group *g, const struct group_sums *s, struct err *e);
#endif
