/* err.h - failures as values: what was found, what was expected, where, and what to do.
 *
 * Every function that can fail takes a `struct err *e` last and returns 0 or -1 (or NULL). The first failure wins;
 * a later one while cleaning up does not hide the cause. Texts: short, factual, lower case, no full stop; a hint
 * is a sentence. Bad input is never a BUG: it sets ERR_INPUT, ERR_LIMIT or ERR_IO. */
#ifndef QP_BASE_ERR_H
#define QP_BASE_ERR_H
#include <stdio.h>

#define QP_MUST_CHECK   __attribute__((warn_unused_result))
#define QP_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* The code is also the exit status of the program (docs/exit-status.md, `qpipe help exit-status`). */
enum err_code {
    ERR_OK = 0,
    ERR_CHECK =
        1, /* everything ran, and a threshold of `verify` was not met, or a recheck found a difference */
    ERR_INPUT = 2,   /* recipe, option, checkpoint or text is wrong */
    ERR_LIMIT = 3,   /* input exceeds a stated limit (size, depth, count) */
    ERR_IO = 4,      /* the system refused a read, write, open, rename */
    ERR_NOMEM = 5,   /* memory */
    ERR_UNBUILT = 6, /* a known name that this version can not do yet */
    ERR_BUG = 70,    /* a mistake of qpipe's own */
    ERR_RESUME = 75, /* interrupted; running again continues or starts over cleanly */
};

/* A place in a text file, from 1. line 0: no position known; col 0: only the line is known. */
struct src_pos {
    const char *file; /* borrowed: must outlive the error (interned by the reader of the file) */
    int line, col;
};

struct err {
    enum err_code code;
    struct src_pos at;
    char file[256];  /* copy of at.file, so that the error outlives its source */
    char what[640];  /* found X, expected Y */
    char hint[320];  /* one thing to do; may be "" */
    char trail[640]; /* "while ..." lines, innermost first */
};

/* All return -1, so that `return err_set(...)` reads well. A NULL e is allowed: nothing is recorded. */
int err_set(struct err *e, enum err_code c, const char *fmt, ...) QP_PRINTF(3, 4);
int err_at(struct err *e, enum err_code c, struct src_pos at, const char *fmt, ...) QP_PRINTF(4, 5);
int err_hint(struct err *e, const char *fmt, ...) QP_PRINTF(2, 3);
int err_while(struct err *e, const char *fmt, ...) QP_PRINTF(2, 3);
/* err_io - ERR_IO (ENOMEM: ERR_NOMEM) with the path, what was tried, and strerror(errno). */
int err_io(struct err *e, const char *tried, const char *path);
int err_nomem(struct err *e);
/* err_print - "file:line:col: what", then hint and trail lines, indented by two. */
void err_print(const struct err *e, FILE *out);
/* err_name - "input", "io", ...: the word used in --json and --log-format json. */
const char *err_name(enum err_code c);

/* BUG - a broken invariant of qpipe's own. Stays in release builds; never reachable from input. */
#define BUG_ON(cond)                            \
    do {                                        \
        if (cond)                               \
            err_bug(__FILE__, __LINE__, #cond); \
    } while (0)
void err_bug(const char *file, int line, const char *cond) __attribute__((noreturn));
#endif
