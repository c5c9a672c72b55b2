/* batch_pbs.c - PBS Professional and OpenPBS. There is no signal before the limit (TERM comes with it, KILL some seconds later): the
 * script has a clock. Putting a job back needs an operator, so what does not fit into one job is a chain. */
#include "cluster/batch.h"

static int head(const struct batch_job *j, struct buf *out, struct err *e)
{
    int rc = buf_printf(
        out, e,
        "#PBS -N %.15s\n#PBS -S /bin/bash\n#PBS -l select=%lld:ncpus=%lld:mpiprocs=%lld:ompthreads=%lld:mem=%lldmb\n",
        j->name, (long long)j->nodes, (long long)(j->ranks_a_node * j->threads), (long long)j->ranks_a_node,
        (long long)j->threads, (long long)batch_mib(j->memory));
    if (!rc && j->nodes > 1)
        rc = buf_str(out, "#PBS -l place=scatter\n", e);
    if (!rc && j->seconds)
        rc = buf_str(out, "#PBS -l walltime=", e) || batch_time(out, j->seconds, false, e) ||
             buf_str(out, "\n", e);
    if (!rc && j->partition)
        rc = buf_printf(out, e, "#PBS -q %s\n", j->partition);
    if (!rc && j->account)
        rc = buf_printf(out, e, "#PBS -A %s\n", j->account);
    if (!rc && j->n_tasks > 1) {
        rc = buf_printf(out, e, "#PBS -J 0-%zu", j->n_tasks - 1);
        if (!rc && j->parallel)
            rc = buf_printf(out, e, "%%%lld", (long long)j->parallel);
        rc = rc || buf_str(out, "\n", e);
    }
    return rc ||
                   buf_printf(out, e, "#PBS -r %s\n#PBS -j oe\n#PBS -o %s.submit.pbs.log\n",
                              j->requeue ? "y" : "n", j->name) ||
                   batch_lines(j, "#PBS ", out, e)
               ? -1
               : 0;
}

const struct batch_kind batch_pbs = {
    .name = "pbs",
    .doc = "PBS Professional and OpenPBS: qsub, arrays, chains",
    .has_limit = true,
    .has_ranks = true,
    .ranks_by = LAUNCH_OPENMPI,
    .head = head,
    .index = "${PBS_ARRAY_INDEX:-0}",
    .id = "$PBS_JOBID",
    .timer = true,
    .command = { "qsub", NULL },
    .after = { "-W", "depend=afterany:%s", NULL },
    .id_end = "\n",
};
