/* log.c - lines on stderr, progress, interruption. */
#include "base/log.h"

#include "base/json.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
    enum log_level max;
    enum log_format format;
    pthread_mutex_t lock;
    struct {
        char what[64], unit[24];
        int64_t total;
        double start, last;
        bool open, drawn;
    } bar;
} state = { .max = LOG_INFO, .lock = PTHREAD_MUTEX_INITIALIZER };

volatile int interrupted;
bool interrupt_together;

void log_setup(enum log_level max, enum log_format format)
{
    state.max = max;
    state.format = format;
}

double clock_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool terminal(void) { return state.format == LOG_TEXT && isatty(STDERR_FILENO); }

static void clear_bar(void)
{
    if (state.bar.drawn) {
        fputs("\r\033[K", stderr);
        state.bar.drawn = false;
    }
}

static void json_line(const char *level, const char *text, const struct err *err)
{
    struct buf b = { 0 };
    struct jw w;
    jw_init(&w, &b, -1);
    jw_object(&w);
    jw_kstr(&w, "level", level);
    jw_kstr(&w, "message", text);
    if (err) {
        jw_kstr(&w, "error", err_name(err->code));
        if (err->at.line) {
            jw_kstr(&w, "file", err->file);
            jw_kint(&w, "line", err->at.line);
            jw_kint(&w, "column", err->at.col);
        }
        if (err->hint[0])
            jw_kstr(&w, "hint", err->hint);
        if (err->trail[0])
            jw_kstr(&w, "while", err->trail);
    }
    jw_end_object(&w);
    fprintf(stderr, "%s\n", jw_done(&w, NULL) ? text : b.p);
    buf_release(&b);
}

void log_say(enum log_level level, const char *fmt, ...)
{
    static const char *const names[] = { "error", "warning", "info", "debug" };
    char text[1024];
    if (level > state.max)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&state.lock);
    clear_bar();
    if (state.format == LOG_JSON)
        json_line(names[level], text, NULL);
    else
        fprintf(stderr, "%s%s%s\n", level == LOG_INFO ? "" : names[level], level == LOG_INFO ? "" : ": ",
                text);
    pthread_mutex_unlock(&state.lock);
}

void log_err(const struct err *e)
{
    pthread_mutex_lock(&state.lock);
    clear_bar();
    if (state.format == LOG_JSON)
        json_line("error", e->what, e);
    else
        err_print(e, stderr);
    pthread_mutex_unlock(&state.lock);
}

void progress_start(const char *what, int64_t total, const char *unit)
{
    snprintf(state.bar.what, sizeof state.bar.what, "%s", what);
    snprintf(state.bar.unit, sizeof state.bar.unit, "%s", unit);
    state.bar.total = total;
    state.bar.start = clock_seconds();
    state.bar.last = state.bar.start;
    state.bar.open = true;
}

static void json_progress(int64_t done, const char *detail, double spent)
{
    struct buf b = { 0 };
    struct jw w;
    jw_init(&w, &b, -1);
    jw_object(&w);
    jw_kstr(&w, "level", "progress");
    jw_kstr(&w, "what", state.bar.what);
    jw_kint(&w, "done", done);
    jw_kint(&w, "total", state.bar.total);
    jw_kstr(&w, "unit", state.bar.unit);
    jw_kreal(&w, "seconds", (double)(int64_t)(spent * 10) / 10);
    jw_kstr(&w, "detail", detail);
    jw_end_object(&w);
    if (!jw_done(&w, NULL))
        fprintf(stderr, "%s\n", b.p);
    buf_release(&b);
}

static void draw(int64_t done, const char *detail, double now)
{
    double spent = now - state.bar.start, rate = spent > 0 ? (double)done / spent : 0;
    char eta[32] = "";
    if (rate > 0 && done < state.bar.total)
        snprintf(eta, sizeof eta, ", %.0f s left", (double)(state.bar.total - done) / rate);
    if (terminal()) {
        int full = state.bar.total > 0
                       ? (int)(20 * (done < state.bar.total ? done : state.bar.total) / state.bar.total)
                       : 0;
        fprintf(stderr, "\r\033[K%s [%.*s%.*s] %lld/%lld %s, %.2g a second%s%s%s", state.bar.what, full,
                "####################", 20 - full, "....................", (long long)done,
                (long long)state.bar.total, state.bar.unit, rate, eta, detail ? ", " : "",
                detail ? detail : "");
        fflush(stderr);
        state.bar.drawn = true;
    } else if (state.format == LOG_JSON)
        json_progress(done, detail, spent);
    else
        fprintf(stderr, "%s: %lld of %lld %s, %.1f s%s%s%s\n", state.bar.what, (long long)done,
                (long long)state.bar.total, state.bar.unit, spent, eta, detail ? ", " : "",
                detail ? detail : "");
}

void progress_at(int64_t done, const char *detail)
{
    if (!state.bar.open || state.max < LOG_INFO)
        return;
    double now = clock_seconds(), pause = terminal() ? 0.1 : 5.0;
    pthread_mutex_lock(&state.lock);
    if (now - state.bar.last >= pause || done == state.bar.total) {
        state.bar.last = now;
        draw(done, detail, now);
    }
    pthread_mutex_unlock(&state.lock);
}

void progress_end(void)
{
    pthread_mutex_lock(&state.lock);
    clear_bar();
    state.bar.open = false;
    pthread_mutex_unlock(&state.lock);
}

int check_interrupt(struct err *e)
{
    return interrupted && !interrupt_together ? err_set(e, ERR_RESUME, "interrupted; nothing was published")
                                              : 0;
}
