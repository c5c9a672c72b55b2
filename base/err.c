/* err.c - filling and printing struct err. Fixed-size buffers: reporting "out of memory" allocates nothing. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

QP_PRINTF(3, 0)
static void put_what(struct err *e, enum err_code c, const char *fmt, va_list ap)
{
    e->code = c;
    e->hint[0] = e->trail[0] = '\0';
    vsnprintf(e->what, sizeof e->what, fmt, ap);
}

int err_set(struct err *e, enum err_code c, const char *fmt, ...)
{
    if (!e || e->code)
        return -1;
    va_list ap;
    va_start(ap, fmt);
    put_what(e, c, fmt, ap);
    va_end(ap);
    memset(&e->at, 0, sizeof e->at);
    return -1;
}

int err_at(struct err *e, enum err_code c, struct src_pos at, const char *fmt, ...)
{
    if (!e || e->code)
        return -1;
    va_list ap;
    va_start(ap, fmt);
    put_what(e, c, fmt, ap);
    va_end(ap);
    snprintf(e->file, sizeof e->file, "%s", at.file ? at.file : "");
    e->at = at;
    e->at.file = e->file;
    return -1;
}

int err_hint(struct err *e, const char *fmt, ...)
{
    if (!e || !e->code || e->hint[0])
        return -1;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->hint, sizeof e->hint, fmt, ap);
    va_end(ap);
    return -1;
}

int err_while(struct err *e, const char *fmt, ...)
{
    if (!e || !e->code)
        return -1;
    size_t n = strlen(e->trail);
    if (n + 2 >= sizeof e->trail)
        return -1;
    if (n)
        e->trail[n++] = '\n';
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->trail + n, sizeof e->trail - n, fmt, ap);
    va_end(ap);
    return -1;
}

int err_io(struct err *e, const char *tried, const char *path)
{
    int why = errno;
    if (why == ENOMEM)
        return err_nomem(e);
    return err_set(e, ERR_IO, "%s: can not %s: %s", path, tried, strerror(why));
}

int err_nomem(struct err *e) { return err_set(e, ERR_NOMEM, "out of memory"); }

void err_print(const struct err *e, FILE *out)
{
    if (e->at.line && e->at.col)
        fprintf(out, "%s:%d:%d: ", e->file, e->at.line, e->at.col);
    else if (e->at.line)
        fprintf(out, "%s:%d: ", e->file, e->at.line);
    fprintf(out, "%s\n", e->what);
    if (e->hint[0])
        fprintf(out, "  hint: %s\n", e->hint);
    for (const char *p = e->trail; *p;) {
        const char *nl = strchr(p, '\n');
        int n = nl ? (int)(nl - p) : (int)strlen(p);
        fprintf(out, "  while %.*s\n", n, p);
        p += n + (nl != NULL);
    }
}

const char *err_name(enum err_code c)
{
    switch (c) {
    case ERR_OK: return "ok";
    case ERR_CHECK: return "check";
    case ERR_INPUT: return "input";
    case ERR_LIMIT: return "limit";
    case ERR_IO: return "io";
    case ERR_NOMEM: return "memory";
    case ERR_UNBUILT: return "unbuilt";
    case ERR_BUG: return "bug";
    case ERR_RESUME: return "interrupted";
    }
    return "bug";
}

void err_bug(const char *file, int line, const char *cond)
{
    fprintf(stderr, "qpipe: a mistake of qpipe's own at %s:%d: %s\n", file, line, cond);
    fprintf(stderr, "  hint: please report it with the recipe and this line\n");
    fflush(stderr);
    _Exit(ERR_BUG);
}
