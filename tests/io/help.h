/* help.h - what the tests of io share: temporary folders, files, exact errors, fixtures of ../shared. */
#ifndef QP_TESTS_IO_HELP_H
#define QP_TESTS_IO_HELP_H
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A new folder for this test program and one that removes it: cmocka's group set-up and tear-down. */
int temp_up(void **state);
int temp_down(void **state);
/* "<temporary folder>/name"; paths live until temp_down. */
const char *temp(const char *name);
const char *temp_folder(const char *name); /* made, empty; an old one is removed first */
const char *join(const char *dir, const char *name);
void write_file(const char *path, const void *p, size_t n);
void write_text(const char *path, const char *text);
size_t count_files(const char *dir); /* entries, hidden ones too */

/* A safetensors file in memory: header length, header, n bytes 0, 1, 2, ... */
struct buf st_image(const char *header, size_t n);
void write_st(const char *path, const char *header, size_t n);

void no_error(const struct err *e); /* fails the test with the error's text */
/* The error's code and whole text; the text is printed when it differs. */
void same_error(const struct err *e, enum err_code code, const char *what);
/* Out of memory, where JSON was parsed: jansson takes some of its own failed allocations for bad text, or drops a letter,
 * and base/json.c does not notice; an input error is let pass here until it does. */
void memory_error(const struct err *e);

/* Fixtures: an archive of ../shared unpacked into a folder of temp(). NULL: not there (said once on stdout). */
const char *fixture(const char *archive);
#endif
