/* version.h - which qpipe this is. The commit comes from the build (cmake/version.cmake), "unknown" outside git. */
#ifndef QP_BASE_VERSION_H
#define QP_BASE_VERSION_H
#define QP_VERSION "0.1.0"
const char *version_commit(void);
#endif
