/* init.c - which level this CPU gets, how many threads. The state is one pointer and one number, set by kernels_init and
 * read everywhere; before it the level is "c" and the width 1. */
#include "kernels/dispatch.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

static struct {
    const struct kern *kern;
    int threads;
} state = { &kern_c, 1 };

const struct kern *kern_now(void) { return state.kern; }
int kernels_threads(void) { return state.threads; }
const char *kernels_level(void) { return state.kern->name; }

static int can_avx2(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return 0;
#endif
}
static int can_avx512(void)
{
#if defined(__x86_64__)
    return can_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
#else
    return 0;
#endif
}
static int can_c(void) { return 1; }

static const struct {
    const struct kern *kern;
    int (*can)(void);
} levels[] = {
    /* slow to fast */
    { &kern_c, can_c },
#if defined(__x86_64__)
    { &kern_avx2, can_avx2 },
    { &kern_avx512, can_avx512 },
#endif
};

static int cores(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
    long n = sysconf(_SC_NPROCESSORS_ONLN); /* more than 1024 CPUs */
    return n > 0 ? (int)n : 1;
}

/* starts the threads of the pool; the packing buffers are theirs for good */
static void first_job(void *arg, int worker)
{
    (void)arg;
    (void)worker;
    gemm_scratch();
}

const char *kernels_init(const char *force, int threads)
{
    const struct kern *pick = NULL;
    (void)can_avx2;
    (void)can_avx512;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if ((!force || strcmp(force, levels[i].kern->name) == 0) && levels[i].can())
            pick = levels[i].kern;
    if (!pick)
        return NULL;
    state.kern = pick;
    state.threads = threads > 0 ? threads : cores();
    pool_enter();
    pool_team(state.threads, first_job, NULL);
    return pick->name;
}
