/* phase.c - exclusive seconds per phase, one clock reading a change. */
#include "base/phase.h"
#include "base/log.h"

static const char *const names[PHASE_COUNT] = {
    [PHASE_REST] = "rest",         [PHASE_WEIGHTS] = "weights",     [PHASE_STORE] = "store",
    [PHASE_MATRICES] = "matrices", [PHASE_ATTENTION] = "attention", [PHASE_ROWS] = "rows",
    [PHASE_GRAM] = "gram",         [PHASE_FACTOR] = "factor",       [PHASE_SOLVE] = "solve",
};
static double seconds[PHASE_COUNT], since;
static enum phase now;

enum phase phase_enter(enum phase p)
{
    enum phase before = now;
    double t = clock_seconds();
    if (since > 0)
        seconds[before] += t - since;
    since = t;
    now = p;
    return before;
}

void phase_report(void)
{
    (void)phase_enter(now);
    for (int i = 0; i < PHASE_COUNT; i++)
        if (seconds[i] > 0)
            log_say(LOG_DEBUG, "phase %s: %.3f s", names[i], seconds[i]);
}
