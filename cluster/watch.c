/* watch.c - the watchdog thread. What it reads is atomic; nobody waits for it, and it waits for nobody. */
#include "cluster/watch.h"
#include "base/log.h"
#include "base/num.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ABORT_MS = 2000 }; /* MPI_Abort takes 3 to 90 ms where it works */
static struct {
    pthread_t thread;
    bool running;
    atomic_bool stop, over;
    /* times in milliseconds since watch_start; shifted by the time in which the whole process stood still */
    double start;
    _Atomic int64_t heard[WATCH_PEERS], limit;
    _Atomic int n_peers; /* 0: the process itself must come on; then heard[0] is when it came last */
    int rank, peer[WATCH_PEERS], status;
    const char *_Atomic doing;
    _Atomic int waits_peer;
    _Atomic size_t waits_bytes;
    atomic_bool waits_sending;
} watch;

static int64_t now_ms(void) { return (int64_t)(1000 * (clock_seconds() - watch.start)); }

int watch_deadline(double *out, struct err *e)
{
    const char *text = getenv("QPIPE_DEADLINE");
    *out = 60;
    if (!text || (num_real(text, out) && *out >= 0.5 && *out <= 1e6))
        return 0;
    err_set(e, ERR_INPUT,
            "environment variable QPIPE_DEADLINE is \"%.40s\", expected seconds from 0.5 to 1000000", text);
    return err_hint(e, "It says how long a rank waits for a sign of life of another.");
}

static void nap_ms(int64_t ms)
{
    struct timespec t = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };
    nanosleep(&t, NULL);
}

/* One line, by one write: lines of several ranks do not mix. */
static void end(int k, int64_t silent)
{
    char text[512], wait[96] = "";
    size_t bytes = atomic_load(&watch.waits_bytes);
    int n;
    if (bytes)
        snprintf(wait, sizeof wait, " while it %s %zu bytes %s rank %d",
                 atomic_load(&watch.waits_sending) ? "sent" : "waited for", bytes,
                 atomic_load(&watch.waits_sending) ? "to" : "from", atomic_load(&watch.waits_peer));
    if (atomic_load(&watch.n_peers))
        n = snprintf(
            text, sizeof text,
            "rank %d: heard nothing from rank %d for %.1f s (deadline %.1f s)%s: stopped, ended or cut off; "
            "run it again to go on\n",
            watch.rank, watch.peer[k], 1e-3 * (double)silent, 1e-3 * (double)atomic_load(&watch.limit), wait);
    else
        n = snprintf(text, sizeof text, "rank %d: no end of %s after %.1f s; run it again to go on\n",
                     watch.rank, atomic_load(&watch.doing), 1e-3 * (double)silent);
    if (write(STDERR_FILENO, text, (size_t)n) < 0) {
        /* nowhere left to say it */
    }
    if (atomic_load(&watch.n_peers)) {
        atomic_store(&watch.over, true);
        nap_ms(ABORT_MS);
    }
    _exit(watch.status);
}

bool watch_over(void) { return atomic_load(&watch.over); }

static void *look(void *arg)
{
    int64_t before = now_ms();
    (void)arg;
    while (!atomic_load(&watch.stop)) {
        int64_t limit = atomic_load(&watch.limit), tick = limit / 10 < 250 ? limit / 10 : 250;
        nap_ms(tick);
        int64_t now = now_ms(), stood = now - before - tick;
        int n = atomic_load(&watch.n_peers);
        for (int k = 0; k < (n ? n : 1) && stood > 500 + limit / 4; k++)
            atomic_fetch_add(&watch.heard[k], stood);
        for (int k = 0; k < (n ? n : 1); k++)
            if (now - atomic_load(&watch.heard[k]) > limit && limit == atomic_load(&watch.limit))
                end(k, now - atomic_load(&watch.heard[k]));
        before = now;
    }
    return NULL;
}

int watch_start(int rank, double seconds, const char *doing, struct err *e)
{
    sigset_t all, old;
    watch.start = clock_seconds();
    watch.rank = rank;
    watch.status = ERR_RESUME;
    atomic_store(&watch.doing, doing);
    atomic_store(&watch.limit, (int64_t)(1000 * seconds));
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&watch.thread, NULL, look, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    watch.running = rc == 0;
    return rc ? err_set(e, ERR_IO, "the watchdog thread can not be started: %s", strerror(rc)) : 0;
}

void watch_peers(const int *peer, int n, double seconds)
{
    for (int k = 0; k < n; k++) {
        watch.peer[k] = peer[k];
        watch_heard(k);
    }
    atomic_store(&watch.limit, (int64_t)(1000 * seconds));
    atomic_store(&watch.n_peers, n);
}

void watch_heard(int k) { atomic_store(&watch.heard[k], now_ms()); }

void watch_last(double seconds, const char *doing, int status)
{
    watch.status = status;
    atomic_store(&watch.doing, doing);
    watch_heard(0);
    atomic_store(&watch.n_peers, 0); /* before the limit, which may be shorter than a silence so far */
    atomic_store(&watch.limit, (int64_t)(1000 * seconds));
}

void watch_stop(void)
{
    if (!watch.running)
        return;
    atomic_store(&watch.stop, true);
    pthread_join(watch.thread, NULL);
    watch.running = false;
    atomic_store(&watch.stop, false);
}

void watch_waits(bool sending, int peer, size_t bytes)
{
    atomic_store(&watch.waits_sending, sending);
    atomic_store(&watch.waits_peer, peer);
    atomic_store(&watch.waits_bytes, bytes);
}
