/* batch_slurm.c - Slurm (22.05 tried): the limit's signal goes to the script (B:), which passes it on; --requeue covers preemption and
 * lost nodes, and `scontrol requeue` a job that stopped at its limit. */
#include "cluster/batch.h"

static int head(const struct batch_job *j, struct buf *out, struct err *e)
{
    int rc = buf_printf(out, e,
                        "#SBATCH --job-name=%s\n#SBATCH --nodes=%lld\n#SBATCH --ntasks-per-node=%lld\n"
                        "#SBATCH --cpus-per-task=%lld\n#SBATCH --mem=%lldM\n",
                        j->name, (long long)j->nodes, (long long)j->ranks_a_node, (long long)j->threads,
                        (long long)batch_mib(j->memory));
    if (!rc && j->seconds)
        rc = buf_str(out, "#SBATCH --time=", e) || batch_time(out, j->seconds, true, e) ||
             buf_printf(out, e, "\n#SBATCH --signal=B:USR1@%lld\n", (long long)j->warn);
    if (!rc && j->partition)
        rc = buf_printf(out, e, "#SBATCH --partition=%s\n", j->partition);
    if (!rc && j->account)
        rc = buf_printf(out, e, "#SBATCH --account=%s\n", j->account);
    if (!rc && j->n_tasks > 1) {
        rc = buf_printf(out, e, "#SBATCH --array=0-%zu", j->n_tasks - 1);
        if (!rc && j->parallel)
            rc = buf_printf(out, e, "%%%lld", (long long)j->parallel);
        rc = rc || buf_str(out, "\n", e);
    }
    return rc ||
                   buf_printf(out, e,
                              "#SBATCH --%s\n#SBATCH --open-mode=append\n#SBATCH --output=%s.submit%s.log\n",
                              j->requeue ? "requeue" : "no-requeue", j->name, j->n_tasks > 1 ? ".%a" : "") ||
                   batch_lines(j, "#SBATCH ", out, e)
               ? -1
               : 0;
}

const struct batch_kind batch_slurm = {
    .name = "slurm",
    .doc = "Slurm: sbatch, srun, arrays, requeue",
    .has_limit = true,
    .has_ranks = true,
    .ranks_by = LAUNCH_PMIX,
    .head = head,
    .index = "${SLURM_ARRAY_TASK_ID:-0}",
    .id = "$SLURM_JOB_ID",
    .own_log = true,
    .again = "scontrol requeue \"$SLURM_JOB_ID\"",
    .command = { "sbatch", "--parsable", NULL },
    .after = { "--dependency=afterany:%s", NULL },
    .id_end = ";\n",
};
