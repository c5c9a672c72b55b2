/* beats.c - the thread of signs of life. It never blocks in MPI: it tests and sleeps. */
#include "cluster/beats.h"
#include "base/log.h"
#include "cluster/watch.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum { BEAT = 1, LAST = 2 };
struct neighbour {
    int rank;
    struct mpi_request in, out;
    unsigned char got, sent; /* where the bytes of messages under way lie */
    bool out_busy, broken, said_last, heard_last;
    double next; /* when the next beat is due */
};
static struct {
    const struct mpi_door *door;
    struct neighbour of[WATCH_PEERS];
    int n;
    double interval; /* seconds */
    pthread_t thread;
    bool running;
    atomic_bool stop;
} beats;

/* An error here is the other's silence: the watchdog says how long it lasted. */
static void hear(struct neighbour *b, int k)
{
    char why[8];
    bool done = false;
    if (b->heard_last)
        return;
    b->broken = beats.door->test(&b->in, &done, why, sizeof why) != 0;
    if (b->broken || !done)
        return;
    watch_heard(k);
    b->heard_last = b->got == LAST;
    if (!b->heard_last)
        b->broken = beats.door->start(LANE_BEATS, false, b->rank, &b->got, 1, &b->in, why, sizeof why) != 0;
}

static void say(struct neighbour *b, double now, bool last)
{
    char why[8];
    bool done = false;
    if (b->out_busy) {
        b->broken = beats.door->test(&b->out, &done, why, sizeof why) != 0;
        b->out_busy = !done;
    }
    if (b->broken || b->out_busy || b->said_last || (now < b->next && !last))
        return;
    b->sent = last ? LAST : BEAT;
    b->broken = beats.door->start(LANE_BEATS, true, b->rank, &b->sent, 1, &b->out, why, sizeof why) != 0;
    b->out_busy = true;
    b->said_last = last;
    b->next = now + beats.interval;
}

static void *beat(void *arg)
{
    (void)arg;
    for (bool going = true; going;) {
        bool last = atomic_load(&beats.stop);
        double ms = last ? 1 : 1000 * beats.interval / 4;
        struct timespec t = { 0, (long)(1e6 * (ms < 100 ? ms : 100)) };
        going = false;
        if (watch_over())
            beats.door->abort(ERR_RESUME);
        for (int k = 0; k < beats.n; k++) {
            struct neighbour *b = &beats.of[k];
            if (!b->broken)
                hear(b, k);
            if (!b->broken)
                say(b, clock_seconds(), last);
            going |= !b->broken && !(b->said_last && !b->out_busy && b->heard_last);
        }
        if (going || !last)
            nanosleep(&t, NULL);
        going |= !last;
    }
    return NULL;
}

int beats_start(const struct mpi_door *door, int rank, int size, double deadline, struct err *e)
{
    char why[320] = "";
    sigset_t all, old;
    beats.door = door;
    beats.interval = deadline / 10;
    beats.n = size > 2 ? 2 : 1;
    int peer[WATCH_PEERS] = { (rank + 1) % size, (rank + size - 1) % size };
    for (int k = 0; k < beats.n; k++) {
        beats.of[k] = (struct neighbour){ .rank = peer[k] };
        if (door->start(LANE_BEATS, false, peer[k], &beats.of[k].got, 1, &beats.of[k].in, why, sizeof why))
            return err_set(e, ERR_RESUME, "%s", why);
    }
    watch_peers(peer, beats.n, deadline);
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&beats.thread, NULL, beat, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    beats.running = rc == 0;
    return rc ? err_set(e, ERR_IO, "the thread of signs of life can not be started: %s", strerror(rc)) : 0;
}

void beats_stop(void)
{
    if (!beats.running)
        return;
    atomic_store(&beats.stop, true);
    pthread_join(beats.thread, NULL);
    beats.running = false;
}
