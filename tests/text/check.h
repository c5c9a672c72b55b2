/* check.h - what the tests of this room share: fixtures of ../shared through xz and tar, and texts of errors. */
#ifndef QP_TESTS_TEXT_CHECK_H
#define QP_TESTS_TEXT_CHECK_H
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include <setjmp.h> /* cmocka wants it */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SHARED "../shared/"
bool have_shared(void); /* says on stdout what is skipped when it is not there */
/* What a command prints; the test fails when the command does. */
void run_command(const char *command, struct buf *out);
struct json *json_of_xz(const char *path);
/* text holds the whole message "what", with code. */
void expect_error(struct err *e, enum err_code code, const char *what);
void must(int rc, const struct err *e);
/* A file of the given bytes in a folder of this process; the name is returned and stays valid until the next 8 calls. */
const char *temp_file(const char *name, const void *p, size_t n);
void temp_remove(void);
#endif
