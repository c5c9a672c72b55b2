/* log.h - what qpipe says while it works, on stderr: lines for people or JSON, and progress with rate and ETA on a
 * terminal (plain lines every few seconds otherwise). Results go to stdout by whoever has them, never through here. */
#ifndef QP_BASE_LOG_H
#define QP_BASE_LOG_H
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };
void log_setup(enum log_level max, enum log_format format); /* once, at start */
void log_say(enum log_level level, const char *fmt, ...) QP_PRINTF(2, 3);
void log_err(const struct err *e); /* an error as the format wants it */

/* Progress: one bar at a time, from the main thread. unit: "blocks", "files". */
void progress_start(const char *what, int64_t total, const char *unit);
void progress_at(int64_t done, const char *detail); /* detail may be NULL */
void progress_end(void);
double clock_seconds(void); /* monotonic; for rates and reports only, never for what is hashed */

/* interrupt - set by SIGINT, SIGTERM, SIGUSR1 and SIGUSR2: long loops ask and end with ERR_RESUME. On several ranks
 * (interrupt_together, set by main) a loop goes on, and all end where they agree (comm_agree): one that ended alone would
 * leave the others waiting. */
extern volatile int interrupted;
extern bool interrupt_together;
int check_interrupt(struct err *e); /* 0, or -1 with ERR_RESUME */
#endif
