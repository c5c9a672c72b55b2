/* bind.h - names of modules and tensors, and which tensor of the checkpoint each module reads. */
#ifndef QP_MODEL_BIND_H
#define QP_MODEL_BIND_H
#include "model/arch.h"
#include "model/model.h"

/* bind_name - the full name of a part (row: of a part with a module per head). with_base: with the family's base prefix. */
char *bind_name(const struct arch *a, const struct part *p, const char *name, int64_t block, int64_t row,
                bool with_base, struct err *e);
/* bind_tensors - fills tensor, bias, tied of every module and m->unread. ERR_INPUT: missing, or of another shape. */
int bind_tensors(struct model *m, struct err *e);
#endif
