/* name_order.h - inside io: the order of tensors in shards. */
#ifndef QP_IO_NAME_ORDER_H
#define QP_IO_NAME_ORDER_H
/* name_order - runs of digits compare as numbers, everything else by bytes; names that are equal so (01, 1) by bytes at last. */
int name_order(const char *a, const char *b);
#endif
