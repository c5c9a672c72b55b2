/* version.c - the commit that this build was made from. */
#include "base/version.h"

const char *version_commit(void) { return QP_COMMIT; }
