/* file_ops.h - inside base: the counter that lets tests fail the n-th file operation. */
#ifndef QP_BASE_FILE_OPS_H
#define QP_BASE_FILE_OPS_H
int file_op_refused(void); /* 1: this operation must fail; errno is ENOSPC */
#endif
