/* regex.c - PCRE2 with limits. The interpreter and the JIT give the same matches; the JIT is used where it compiles, and
 * the interpreter where a long text needs more than the JIT's 32 KiB of stack. */
#include "base/regex.h"

#include "base/mem.h"
#include "base/str.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

struct regex {
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *limits;
};

static void *take(size_t n, void *arg)
{
    (void)arg;
    return mem_alloc(n, NULL);
}

static void give(void *p, void *arg)
{
    (void)arg;
    mem_free(p);
}

static int compile(struct regex *r, const char *pattern, size_t n, unsigned flags, pcre2_general_context *g,
                   struct err *e)
{
    int code;
    PCRE2_SIZE at;
    uint32_t how =
        PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK | (flags & REGEX_PYTHON_MATCH ? PCRE2_ANCHORED : 0);
    pcre2_compile_context *cc = pcre2_compile_context_create(g);
    if (!cc)
        return err_nomem(e);
    pcre2_set_max_pattern_length(cc, 1 << 16);
    pcre2_set_parens_nest_limit(cc, 100);
    r->code = pcre2_compile((PCRE2_SPTR)pattern, n, how, &code, &at, cc);
    pcre2_compile_context_free(cc);
    if (!r->code) {
        if (code == PCRE2_ERROR_NOMEMORY || code == 121)
            return err_nomem(e);
        PCRE2_UCHAR msg[160];
        pcre2_get_error_message(code, msg, sizeof msg);
        return err_set(e, ERR_INPUT, "pattern '%.*s'%s is malformed at position %zu: %s",
                       n > 80 ? 80 : (int)n, pattern, n > 80 ? "..." : "", at, (char *)msg);
    }
    return 0;
}

struct regex *regex_new(const char *pattern, size_t n, unsigned flags, struct err *e)
{
    struct regex *r = mem_alloc(sizeof *r, e);
    if (!r)
        return NULL;
    if (utf8_valid(pattern, n) != n) {
        err_set(e, ERR_INPUT, "pattern is not valid UTF-8 at byte %zu", utf8_valid(pattern, n));
        mem_free(r);
        return NULL;
    }
    pcre2_general_context *g = pcre2_general_context_create(take, give, NULL);
    int rc = g ? compile(r, pattern, n, flags, g, e) : err_nomem(e);
    if (!rc) {
        pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE); /* refusal is fine: the interpreter stays */
        r->data = pcre2_match_data_create(1, g);
        r->limits = pcre2_match_context_create(g);
        if (!r->data || !r->limits)
            rc = err_nomem(e);
        else {
            pcre2_set_match_limit(r->limits, 5000000);
            pcre2_set_heap_limit(r->limits, 64 << 10); /* KiB */
            pcre2_set_depth_limit(r->limits, 1000000);
        }
    }
    pcre2_general_context_free(g);
    if (rc) {
        regex_free(r);
        return NULL;
    }
    return r;
}

void regex_free(struct regex *r)
{
    if (!r)
        return;
    pcre2_match_context_free(r->limits);
    pcre2_match_data_free(r->data);
    pcre2_code_free(r->code);
    mem_free(r);
}

int regex_find(struct regex *r, const char *p, size_t n, size_t from, size_t *start, size_t *end,
               struct err *e)
{
    int rc = pcre2_match(r->code, (PCRE2_SPTR)p, n, from, PCRE2_NO_UTF_CHECK, r->data, r->limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(r->code, (PCRE2_SPTR)p, n, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, r->data,
                         r->limits);
    if (rc == PCRE2_ERROR_NOMATCH)
        return 0;
    if (rc == PCRE2_ERROR_NOMEMORY)
        return err_nomem(e);
    if (rc < 0) {
        PCRE2_UCHAR msg[160];
        pcre2_get_error_message(rc, msg, sizeof msg);
        return err_set(e, ERR_LIMIT, "a regular expression gave up: %s", (char *)msg);
    }
    PCRE2_SIZE *v = pcre2_get_ovector_pointer(r->data);
    *start = v[0];
    *end = v[1];
    return 1;
}
