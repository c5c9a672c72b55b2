/* num.h - numbers as text, both ways, whatever the locale: the only place that parses or prints reals. */
#ifndef QP_BASE_NUM_H
#define QP_BASE_NUM_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whole-string parsers: false when s is not exactly such a number. Decimal only, no leading zeros (other than "0"),
 * no underscores, no '+'. num_real takes 1, 1.5, 1e-3, 1.5E+2; neither takes inf or nan. */
bool num_int(const char *s, int64_t *out);
bool num_real(const char *s, double *out);
/* num_bytes - "512", "64K", "16MiB", "2G", "1.5GiB": K, M, G, T are powers of 1024; false when malformed. */
bool num_bytes(const char *s, int64_t *out);

/* num_shortest - the shortest decimal text that reads back as the same double ("0.01", "1e-05", "3.0"); integral
 * values get ".0" so that they stay reals. Not finite: "null". Returns the length; out has room for 32. */
int num_shortest(double v, char *out);
int num_shortest_f(float v, char *out); /* the shortest that reads back as the same float */
/* num_human - "1.23 GiB", "640 B": for people; out has room for 32. */
const char *num_human_bytes(double n, char *out);
#endif
