/* pool_openmp.c - the team by OpenMP (-DQPIPE_POOL=openmp). Set OMP_WAIT_POLICY=passive before the program is loaded when
 * other work shares the cores; do not fork after the first job. */
#include "kernels/dispatch.h"

#include <omp.h>

int k_worker(void) { return omp_get_thread_num(); }
int pool_inside(void) { return omp_in_parallel(); }

void pool_team(int width, team_fn *f, void *arg)
{
    if (width < 2 || omp_in_parallel()) {
        f(arg, k_worker());
        return;
    }
    omp_set_dynamic(0); /* the width asked for is the width given */
#pragma omp parallel num_threads(width) default(none) shared(f, arg)
    {
        pool_enter();
        f(arg, omp_get_thread_num());
    }
}
