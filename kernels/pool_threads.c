/* pool_threads.c - a team of POSIX threads that sleep between jobs. Written because OpenMP teams spin while they wait and
 * their policy can only be set in the environment before the program is loaded: with other work on the cores, two spinning
 * threads reached 27 GFLOP/s where sleeping ones reach 330 (README). The other implementation is pool_openmp.c.
 *
 * One job at a time. A thread that finds the pool taken by another one works alone, as does a call from inside a job. Threads
 * are started at the first job that wants them and stay; a child of fork starts its own. If a thread cannot be started, the
 * job is done by those that are there: jobs hand out their pieces by a counter. */
#include "kernels/dispatch.h"

#include <pthread.h>

static struct {
    pthread_mutex_t taken; /* held by the thread whose job runs */
    pthread_mutex_t lock;  /* guards what follows */
    pthread_cond_t wake, done;
    team_fn *f;
    void *arg;
    unsigned round; /* counts jobs; a thread works when it has changed and its number is below width */
    int started, width, busy;
} pool = { .taken = PTHREAD_MUTEX_INITIALIZER,
           .lock = PTHREAD_MUTEX_INITIALIZER,
           .wake = PTHREAD_COND_INITIALIZER,
           .done = PTHREAD_COND_INITIALIZER };
static _Thread_local int number, inside;

int k_worker(void) { return number; }
int pool_inside(void) { return inside; }

static void work(team_fn *f, void *arg)
{
    inside = 1;
    pool_enter();
    f(arg, number);
    inside = 0;
}

static void *thread_main(void *arg)
{
    number = (int)(intptr_t)arg;
    (void)pthread_mutex_lock(&pool.lock);
    unsigned seen = pool.round - 1; /* the job it was started for is there by now */
    for (;;) {
        while (pool.round == seen)
            (void)pthread_cond_wait(&pool.wake, &pool.lock);
        seen = pool.round;
        if (number >= pool.width)
            continue;
        team_fn *f = pool.f;
        void *job = pool.arg;
        (void)pthread_mutex_unlock(&pool.lock);
        work(f, job);
        (void)pthread_mutex_lock(&pool.lock);
        if (--pool.busy == 0)
            (void)pthread_cond_signal(&pool.done);
    }
    return NULL;
}

/* a child of fork has one thread: the pool is empty, and nobody holds its locks */
static void forget(void)
{
    (void)pthread_mutex_init(&pool.taken, NULL);
    (void)pthread_mutex_init(&pool.lock, NULL);
    (void)pthread_cond_init(&pool.wake, NULL);
    (void)pthread_cond_init(&pool.done, NULL);
    pool.started = 0;
}
static void on_fork(void) { (void)pthread_atfork(NULL, NULL, forget); }

/* threads 1 .. width - 1 exist; returns how wide the team can be. Called with `taken` held and `lock` held. */
static int start(int width)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, on_fork);
    while (pool.started < width - 1) {
        pthread_t t;
        if (pthread_create(&t, NULL, thread_main, (void *)(intptr_t)(pool.started + 1)) != 0)
            break;
        (void)pthread_detach(t);
        pool.started++;
    }
    return pool.started + 1 < width ? pool.started + 1 : width;
}

void pool_team(int width, team_fn *f, void *arg)
{
    if (width < 2 || inside || pthread_mutex_trylock(&pool.taken) != 0) {
        f(arg, number);
        return;
    }
    (void)pthread_mutex_lock(&pool.lock);
    pool.width = start(width);
    pool.busy = pool.width - 1;
    pool.f = f;
    pool.arg = arg;
    pool.round++;
    (void)pthread_cond_broadcast(&pool.wake);
    (void)pthread_mutex_unlock(&pool.lock);
    work(f, arg);
    (void)pthread_mutex_lock(&pool.lock);
    while (pool.busy > 0)
        (void)pthread_cond_wait(&pool.done, &pool.lock);
    (void)pthread_mutex_unlock(&pool.lock);
    (void)pthread_mutex_unlock(&pool.taken);
}
