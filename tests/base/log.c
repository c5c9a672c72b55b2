/* log.c - tests of base/log: levels, lines that parse as JSON whatever they say, and interruption. */
#include "base/log.h"
#include "base/json.h"
#include "tests/base/check.h"

#include <stdlib.h>
#include <unistd.h>

static FILE *caught;
static int old_stderr;

static void catch_start(void)
{
    fflush(stderr);
    caught = tmpfile();
    old_stderr = dup(STDERR_FILENO);
    dup2(fileno(caught), STDERR_FILENO);
}

static const char *catch_end(void)
{
    static char text[1 << 16];
    fflush(stderr);
    dup2(old_stderr, STDERR_FILENO);
    close(old_stderr);
    rewind(caught);
    text[fread(text, 1, sizeof text - 1, caught)] = '\0';
    fclose(caught);
    return text;
}

static void levels_hold_back_lines(void **state)
{
    (void)state;
    catch_start();
    log_setup(LOG_WARN, LOG_TEXT);
    log_say(LOG_ERROR, "one %d", 1);
    log_say(LOG_WARN, "two");
    log_say(LOG_INFO, "three");
    log_setup(LOG_DEBUG, LOG_TEXT);
    log_say(LOG_INFO, "four");
    log_say(LOG_DEBUG, "five");
    assert_string_equal(catch_end(), "error: one 1\nwarning: two\nfour\ndebug: five\n");
}

static void every_line_is_json(void **state)
{
    (void)state;
    static const char *const texts[] = { "plain",       "quote \" backslash \\ tab \t",
                                         "line\nbreak", "bad \xFF utf-8",
                                         "\x01\x7f",    "" };
    char big[3000];
    memset(big, '"', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    struct err e = { 0 };
    struct src_pos at = { "r\"1.yaml", 3, 4 };
    err_at(&e, ERR_INPUT, at, "found \"x\"");
    err_hint(&e, "write y");
    err_while(&e, "reading");
    err_while(&e, "more");
    catch_start();
    log_setup(LOG_DEBUG, LOG_JSON);
    for (size_t i = 0; i < COUNT(texts); i++)
        log_say(LOG_INFO, "%s", texts[i]);
    log_say(LOG_WARN, "%s", big);
    log_err(&e);
    progress_start("quantizing \"a\"", 3, "blocks");
    progress_at(3, "model.layers.2 \"x\"");
    progress_end();
    const char *p = catch_end();
    int lines = 0;
    for (; *p; lines++) {
        size_t n = strcspn(p, "\n");
        struct err bad = { 0 };
        struct json *j = json_parse(p, n, "line", &bad);
        if (!j)
            fail_msg("%s: %.*s", bad.what, (int)n, p);
        assert_non_null(json_str(json_get(j, "level"), NULL));
        if (lines == 7) {
            int64_t line = 0;
            assert_string_equal(json_str(json_get(j, "error"), NULL), "input");
            assert_string_equal(json_str(json_get(j, "message"), NULL), "found \"x\"");
            assert_string_equal(json_str(json_get(j, "file"), NULL), "r\"1.yaml");
            assert_string_equal(json_str(json_get(j, "hint"), NULL), "write y");
            assert_string_equal(json_str(json_get(j, "while"), NULL), "reading\nmore");
            assert_true(json_int(json_get(j, "line"), &line) && line == 3);
        }
        json_free(j);
        p += n + 1;
    }
    assert_int_equal(lines, 9);
}

static void progress_is_plain_lines_when_not_on_a_terminal(void **state)
{
    (void)state;
    catch_start();
    log_setup(LOG_INFO, LOG_TEXT);
    progress_start("quantizing", 4, "blocks");
    progress_at(1, NULL); /* too soon after the start to say anything */
    progress_at(4, "layer 3");
    progress_end();
    progress_at(4, "after the end");
    log_setup(LOG_WARN, LOG_TEXT);
    progress_start("quiet", 4, "blocks");
    progress_at(4, NULL);
    progress_end();
    const char *text = catch_end();
    assert_true(!strncmp(text, "quantizing: 4 of 4 blocks, ", 27));
    assert_non_null(strstr(text, "s, layer 3\n"));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1); /* one line in all */
}

static void an_interrupt_is_an_error_to_resume_from(void **state)
{
    (void)state;
    struct err e = { 0 };
    assert_int_equal(check_interrupt(&e), 0);
    interrupted = 1;
    assert_int_equal(check_interrupt(&e), -1);
    interrupted = 0;
    assert_int_equal(e.code, ERR_RESUME);
    double a = clock_seconds(), b = clock_seconds();
    assert_true(b >= a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_hold_back_lines),
        cmocka_unit_test(every_line_is_json),
        cmocka_unit_test(progress_is_plain_lines_when_not_on_a_terminal),
        cmocka_unit_test(an_interrupt_is_an_error_to_resume_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
