/* epoch.h - the only time that may enter what is written: SOURCE_DATE_EPOCH (reproducible-builds.org), else the start of 1970. */
#ifndef QP_BASE_EPOCH_H
#define QP_BASE_EPOCH_H
#include "base/err.h"
#include <stdint.h>

/* source_date - seconds since 1970 from the environment's SOURCE_DATE_EPOCH; 0 when it is not set or empty. ERR_INPUT: it is not a
 * decimal number in [0, 253402300799] (the year 9999). */
int source_date(int64_t *out, struct err *e);
#endif
