/* batch_script.c - the script that all rows share: comments, the row's directives, the environment, signals, one task, the end. */
#include "cluster/batch_check.h"

#include <string.h>

enum { MOST_STARTS = 100 }; /* of a task that puts itself back: ends what makes no progress */

static int title(const struct batch_kind *k, const struct batch_job *j, struct buf *out, struct err *e)
{
    int rc = buf_printf(
        out, e,
        "#!/bin/bash\n# Written by qpipe submit for %s. It may be read, changed, and handed over again:\n#   cd ",
        k->doc);
    rc = rc || shell_quote(out, j->folder, e) || buf_str(out, " &&", e);
    for (const char *const *w = k->command; !rc && *w; w++)
        rc = buf_printf(out, e, " %s", *w);
    rc = rc || buf_printf(out, e, "%s %s.submit.sh\n#\n", *k->command ? "" : " bash", j->name);
    for (size_t i = 0; !rc && i < j->about.n; i++)
        rc = buf_printf(out, e, "#%s%s\n", *j->about.v[i] ? " " : "", j->about.v[i]);
    return rc || k->head(j, out, e) ? -1 : 0;
}

static int assign(struct buf *out, const char *name, const char *value, const char *end, struct err *e)
{
    return buf_printf(out, e, "%s=", name) || shell_quote(out, value, e) || buf_str(out, end, e) ? -1 : 0;
}

static int environment(const struct batch_kind *k, const struct batch_job *j, struct buf *out, struct err *e)
{
    int rc = buf_str(out, "\nset -u\n", e);
    if (!rc && j->env.n)
        rc = buf_str(out, "\n# The environment when this was written.\n", e);
    for (size_t i = 0; !rc && i < j->env.n; i++) {
        const char *eq = strchr(j->env.v[i], '=');
        rc = buf_printf(out, e, "export %.*s=", (int)(eq - j->env.v[i]), j->env.v[i]) ||
             shell_quote(out, eq + 1, e) || buf_str(out, "\n", e);
    }
    if (!rc && j->setup.n)
        rc = buf_str(out, "\n# Lines of --setup.\n", e);
    for (size_t i = 0; !rc && i < j->setup.n; i++)
        rc = buf_printf(out, e, "%s\n", j->setup.v[i]);
    rc = rc || buf_str(out, "\ncd ", e) || shell_quote(out, j->workdir, e) ||
         buf_str(out, " || exit 4\n", e) || assign(out, "folder", j->folder, "\n", e) ||
         assign(out, "program", j->program, "\n", e);
    if (!rc && k->index && j->n_tasks > 1)
        rc = buf_printf(out, e, "index=%s\n", k->index);
    if (!rc && !k->own_log)
        rc = buf_printf(out, e, "exec >>\"$folder/%s.submit%s.log\" 2>&1\n", j->name,
                        k->index && j->n_tasks > 1 ? ".$index" : "");
    return rc ? -1 : 0;
}

static int signals(const struct batch_kind *k, const struct batch_job *j, struct buf *out, struct err *e)
{
    int rc = buf_str(
        out,
        "\n# Asked to stop, the program ends at the next point of its journal, with status 75. USR1 comes before a limit, TERM from\n"
        "# whoever wants the job gone. bash runs a trap only while it waits, so the program runs behind it.\n"
        "pid='' caught='' signals=0\n"
        "stop() {\n"
        "    caught=${caught:-$1} signals=$((signals + 1))\n"
        "    [ -z \"$pid\" ] || kill -USR1 \"$pid\" 2>/dev/null\n"
        "}\n"
        "trap 'stop USR1' USR1\n"
        "trap 'stop TERM' TERM INT\n",
        e);
    if (!rc && k == &batch_sge)
        rc = buf_str(out, "trap 'stop TERM' USR2 # what -notify sends before a kill\n", e);
    if (!rc && k->timer && j->seconds)
        rc = buf_printf(
            out, e,
            "\n# Nothing comes before the limit: a clock says it, %lld seconds early.\n"
            "(trap 'kill \"$nap\"; exit' TERM; sleep %lld & nap=$!; wait \"$nap\"; kill -USR1 $$) &\n"
            "clock=$!\n"
            "trap 'kill \"$clock\" 2>/dev/null' EXIT\n",
            (long long)j->warn, (long long)(j->seconds - j->warn));
    return rc ? -1 : 0;
}

/* label, state, done and the program's words of one task. */
static int task(const struct batch_job *j, const struct batch_task *t, const char *number, const char *margin,
                struct buf *out, struct err *e)
{
    int rc = buf_str(out, margin, e) || assign(out, "label", t->label, " ", e) ||
             buf_printf(out, e, "state=$folder/%s.submit%s.state ", j->name, number) ||
             assign(out, "output", t->done ? t->done : "", "\n", e) || buf_printf(out, e, "%sset --", margin);
    for (size_t i = 0; !rc && i < t->words.n; i++)
        rc = buf_str(out, " ", e) || shell_quote(out, t->words.v[i], e);
    return rc || buf_str(out, "\n", e) ? -1 : 0;
}

static int tasks(const struct batch_kind *k, const struct batch_job *j, struct buf *out, struct err *e)
{
    int rc = buf_str(out, "\n# What the program is told.\ntask() {\n", e);
    char number[32];
    if (j->n_tasks == 1)
        return rc || task(j, j->task, "", "    ", out, e) ? -1 : 0;
    rc = rc || buf_str(out, "    case $1 in\n", e);
    for (size_t i = 0; !rc && i < j->n_tasks; i++) {
        snprintf(number, sizeof number, ".%zu", i + (size_t)k->first_index);
        rc = buf_printf(out, e, "    %s)\n", number + 1) ||
             task(j, j->task + i, number, "        ", out, e) || buf_str(out, "        ;;\n", e);
    }
    return rc || buf_str(
                     out,
                     "    *)\n        echo \"found task '$1' of this array, which has none such\"\n        return 2\n"
                     "        ;;\n    esac\n",
                     e)
               ? -1
               : 0;
}

/* cluster-facts: without --kill-on-bad-exit the ranks beside a killed one wait for ever; Open MPI binds all threads of a rank to one
 * core and needs 8 minutes to see a lost node; srun gives tasks no more than one core unless told again. */
static int launch(const struct batch_kind *k, const struct batch_job *j, struct buf *out, struct err *e)
{
    long long n = (long long)(j->nodes * j->ranks_a_node), per = (long long)j->ranks_a_node;
    switch (j->launcher) {
    case LAUNCH_PMIX:
    case LAUNCH_PMI2:
        return buf_printf(out, e, "srun --mpi=%s --kill-on-bad-exit=1 --cpus-per-task=%lld ",
                          j->launcher == LAUNCH_PMIX ? "pmix" : "pmi2", (long long)j->threads);
    case LAUNCH_OPENMPI:
        return buf_printf(out, e,
                          "%s\"${QPIPE_MPIRUN:-mpirun}\" -n %lld --map-by ppr:%lld:node --bind-to none \\\n"
                          "        --mca oob_tcp_keepalive_time 4 --mca oob_tcp_keepalive_intvl 1 \\\n"
                          "        --mca oob_tcp_keepalive_probes 3 \\\n        ",
                          k == &batch_sge ? "setsid " : "", n, per);
    case LAUNCH_MPICH:
        return buf_printf(out, e, "%s\"${QPIPE_MPIRUN:-mpiexec}\" -n %lld -ppn %lld ",
                          k == &batch_sge ? "setsid " : "", n, per);
    case LAUNCH_AUTO:
    case LAUNCH_NONE: break;
    }
    /* Grid Engine signals the whole group of the script: once is enough */
    return k == &batch_sge ? buf_str(out, "setsid ", e) : 0;
}

static int run(const struct batch_kind *k, const struct batch_job *j, struct buf *out, struct err *e)
{
    int rc = buf_printf(
        out, e,
        "    local status='' line\n"
        "    starts=0\n"
        "    [ ! -s \"$state\" ] || read -r status starts <\"$state\"\n"
        "    if [ \"${status:-75}\" -ne 75 ]; then\n"
        "        echo \"$label: ended before, with status $status\"\n"
        "        return \"$status\"\n"
        "    fi\n"
        "    if [ -n \"$output\" ] && [ -e \"$output\" ]; then\n"
        "        echo \"$label: is done\"\n"
        "        echo \"0 $starts\" >\"$state\"\n"
        "        return 0\n"
        "    fi\n"
        "    starts=$((starts + 1))\n"
        "    echo \"75 $starts\" >\"$state\"\n"
        "    echo \"== $label: start $starts, job %s on $(hostname), $(date -u +%%Y-%%m-%%dT%%H:%%M:%%SZ)\"\n"
        "    \"$program\" version | while read -r line; do echo \"== $line\"; done\n"
        "    env | grep -E '^(SLURM_JOB_NODELIST|PBS_NODEFILE|PE_HOSTFILE|OMP_|OMPI_|UCX_|QPIPE_)' | sort | sed 's/^/== /'\n"
        "    ",
        k->id);
    return rc || launch(k, j, out, e) ||
                   buf_str(
                       out,
                       "\"$program\" \"$@\" &\n"
                       "    pid=$!\n"
                       "    [ -z \"$caught\" ] || stop \"$caught\" # it came before there was anybody to tell\n"
                       "    # a signal ends wait, not the program\n"
                       "    while before=$signals; wait \"$pid\"; status=$?; [ \"$signals\" -ne \"$before\" ]; do :; done\n"
                       "    pid=''\n",
                       e)
               ? -1
               : 0;
}

static int judge(const struct batch_job *j, struct buf *out, struct err *e)
{
    int rc = buf_str(out,
                     "    case $status in\n"
                     "    138) status=75 ;; # USR1 before the program could catch it\n",
                     e);
    if (!rc && j->launcher != LAUNCH_NONE)
        rc = buf_str(
            out, "    9 | 15 | 137 | 143 | 205 | 255) status=75 ;; # a rank, a node or a launcher was lost\n",
            e);
    return rc || buf_str(out,
                         "    esac\n"
                         "    echo \"$status $starts\" >\"$state\"\n"
                         "    echo \"== $label: status $status, $(date -u +%Y-%m-%dT%H:%M:%SZ)\"\n"
                         "    return \"$status\"\n"
                         "}\n",
                         e)
               ? -1
               : 0;
}

static int ending(const struct batch_kind *k, const struct batch_job *j, struct buf *out, struct err *e)
{
    if (!k->index && j->n_tasks > 1)
        return buf_printf(out, e,
                          "\nworst=0\n"
                          "for number in $(seq 0 %zu); do\n"
                          "    task \"$number\" || worst=$?\n"
                          "    [ -z \"$caught\" ] || break\n"
                          "done\n"
                          "exit \"$worst\"\n",
                          j->n_tasks - 1);
    int rc = buf_printf(out, e, "\ntask%s\nended=$?\n", j->n_tasks > 1 ? " \"$index\"" : "");
    if (!rc && j->links > 1)
        rc = buf_str(
            out,
            "# With 75 the next job of the chain goes on; else it finds the state file and does nothing.\n",
            e);
    else if (!rc && k->again && j->requeue)
        rc =
            buf_printf(out, e,
                       "# More to do, and nobody wanted the job gone: back into the queue.\n"
                       "if [ \"$ended\" -eq 75 ] && [ \"$caught\" != TERM ] && [ \"$starts\" -lt %d ]; then\n"
                       "    %s\n"
                       "fi\n",
                       MOST_STARTS, k->again);
    else if (!rc)
        rc = buf_str(out, "# After 75, hand this script over again: the journal has what is done.\n", e);
    return rc || buf_str(out, "exit \"$ended\"\n", e) ? -1 : 0;
}

int batch_script(const struct batch_kind *k, const struct batch_job *j, struct buf *out, struct err *e)
{
    BUG_ON(!j->n_tasks || j->nodes < 1 || j->ranks_a_node < 1 || j->launcher == LAUNCH_AUTO);
    return batch_check(k, j, e) || title(k, j, out, e) || environment(k, j, out, e) ||
                   signals(k, j, out, e) || tasks(k, j, out, e) || run(k, j, out, e) || judge(j, out, e) ||
                   ending(k, j, out, e)
               ? -1
               : 0;
}
