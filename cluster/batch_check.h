/* batch_check.h - inside cluster: what a row can not do, before a line is written. */
#ifndef QP_CLUSTER_BATCH_CHECK_H
#define QP_CLUSTER_BATCH_CHECK_H
#include "cluster/batch.h"

int batch_check(const struct batch_kind *k, const struct batch_job *j, struct err *e);
#endif
