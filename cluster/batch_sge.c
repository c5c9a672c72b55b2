/* batch_sge.c - Grid Engine (and its heirs). The soft limit sends USR1, -notify USR2 before a kill; exit status 99 puts a job back.
 * Slots are cores: a parallel environment (a name of the site's) deals them out, memory is asked for by the slot. */
#include "cluster/batch.h"

static int limit(const struct batch_job *j, struct buf *out, struct err *e)
{
    return buf_str(out, "#$ -l h_rt=", e) || batch_time(out, j->seconds, false, e) ||
                   buf_str(out, ",s_rt=", e) || batch_time(out, j->seconds - j->warn, false, e) ||
                   buf_str(out, "\n", e)
               ? -1
               : 0;
}

static int head(const struct batch_job *j, struct buf *out, struct err *e)
{
    int64_t slots = j->nodes * j->ranks_a_node * j->threads, mib = batch_mib(j->memory * j->nodes);
    const char *pe = j->parallel_env ? j->parallel_env : j->nodes > 1 ? "mpi" : "smp";
    int rc = buf_printf(out, e, "#$ -N %s\n#$ -S /bin/bash\n#$ -cwd\n", j->name);
    if (!rc && slots > 1)
        rc = buf_printf(out, e, "#$ -pe %s %lld\n", pe, (long long)slots);
    rc = rc || buf_printf(out, e, "#$ -l mem_free=%lldM\n", (long long)((mib + slots - 1) / slots));
    rc = rc || (j->seconds ? limit(j, out, e) : 0);
    rc = rc || buf_str(out, "#$ -notify\n", e);
    if (!rc && j->partition)
        rc = buf_printf(out, e, "#$ -q %s\n", j->partition);
    if (!rc && j->account)
        rc = buf_printf(out, e, "#$ -A %s\n", j->account);
    if (!rc && j->n_tasks > 1)
        rc = buf_printf(out, e, "#$ -t 1-%zu\n", j->n_tasks);
    if (!rc && j->n_tasks > 1 && j->parallel)
        rc = buf_printf(out, e, "#$ -tc %lld\n", (long long)j->parallel);
    return rc ||
                   buf_printf(out, e, "#$ -r %s\n#$ -j y\n#$ -o %s.submit%s.log\n", j->requeue ? "y" : "n",
                              j->name, j->n_tasks > 1 ? ".$TASK_ID" : "") ||
                   batch_lines(j, "#$ ", out, e)
               ? -1
               : 0;
}

const struct batch_kind batch_sge = {
    .name = "sge",
    .doc = "Grid Engine: qsub, arrays, soft limit, rescheduling",
    .has_limit = true,
    .has_ranks = true,
    .ranks_by = LAUNCH_OPENMPI,
    .head = head,
    .index = "${SGE_TASK_ID/undefined/1}",
    .first_index = 1,
    .id = "$JOB_ID",
    .own_log = true,
    .again = "exit 99",
    .command = { "qsub", "-terse", NULL },
    .after = { "-hold_jid", "%s", NULL },
    .id_end = ".\n",
};
