/* batch.c - the table of schedulers, names for the shell, times, and what a job may ask of a row. */
#include "cluster/batch_check.h"

#include "base/mem.h"

#include <string.h>

const char *const launcher_words[] = { "auto", "none", "srun-pmix", "srun-pmi2", "openmpi", "mpich", NULL };
const struct batch_kind *const batches[] = { &batch_slurm, &batch_pbs, &batch_sge, &batch_local, NULL };
static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/:=@%+,";

const struct batch_kind *batch_find(const char *name)
{
    for (const struct batch_kind *const *k = batches; *k; k++)
        if (!strcmp((*k)->name, name))
            return *k;
    return NULL;
}

/* A line of a script is a line: nobody can read, and no scheduler takes, what a control character makes of it. */
static int check_line(const char *what, const char *s, struct err *e)
{
    for (const unsigned char *p = (const unsigned char *)s; *p; p++)
        if (*p < 0x20 || *p == 0x7F) {
            err_set(e, ERR_INPUT,
                    "%s: found the character 0x%02x in '%.*s...', expected none such in a job script", what,
                    *p, (int)((const char *)p - s > 60 ? 60 : (const char *)p - s), s);
            return err_hint(e, "rename it");
        }
    return 0;
}

int shell_quote(struct buf *out, const char *word, struct err *e)
{
    if (check_line("job script", word, e))
        return -1;
    if (*word && strspn(word, plain) == strlen(word))
        return buf_str(out, word, e);
    int rc = buf_str(out, "'", e);
    for (const char *p = word; !rc && *p; p++)
        rc = *p == '\'' ? buf_str(out, "'\\''", e) : buf_add(out, p, 1, e);
    return rc || buf_str(out, "'", e) ? -1 : 0;
}

int batch_time(struct buf *out, int64_t s, bool days, struct err *e)
{
    long long d = days ? s / 86400 : 0, h = s / 3600 - d * 24, m = s / 60 % 60;
    return d ? buf_printf(out, e, "%lld-%02lld:%02lld:%02lld", d, h, m, (long long)s % 60)
             : buf_printf(out, e, "%02lld:%02lld:%02lld", h, m, (long long)s % 60);
}

int batch_lines(const struct batch_job *j, const char *mark, struct buf *out, struct err *e)
{
    for (size_t i = 0; i < j->lines.n; i++)
        if (buf_printf(out, e, "%s%s\n", mark, j->lines.v[i]))
            return -1;
    return 0;
}

/* Names that schedulers take: Grid Engine none that begin with a digit. */
char *batch_name(const char *text, struct err *e)
{
    const size_t n = strlen(text);
    bool ahead = !n || !((text[0] >= 'a' && text[0] <= 'z') || (text[0] >= 'A' && text[0] <= 'Z'));
    char *name = mem_printf(e, "%s%.100s", ahead ? "q" : "", text);
    for (char *p = name; name && *p; p++)
        if (!memchr(plain, *p, strcspn(plain, "/")))
            *p = '_';
    return name;
}

static int check_word(const char *what, const char *word, struct err *e)
{
    if (!word || (*word && strspn(word, plain) == strlen(word)))
        return 0;
    err_set(e, ERR_INPUT, "--%s: found '%.80s', expected one word of plain characters", what, word);
    return err_hint(e, "directives of schedulers know no quotes that all of them agree on");
}

static int check_limit(const struct batch_kind *k, const struct batch_job *j, struct err *e)
{
    if (!k->has_limit && (j->seconds || j->links > 1)) {
        err_set(e, ERR_INPUT, "--time, --chain: the scheduler '%s' has no time limit", k->name);
        return err_hint(e, "leave them out; kill -TERM stops the job, and submitting again goes on");
    }
    if (j->seconds && (j->warn < 1 || j->warn >= j->seconds)) {
        err_set(e, ERR_INPUT, "--warn: found %lld seconds, expected fewer than the %lld of --time",
                (long long)j->warn, (long long)j->seconds);
        return err_hint(e, "the job is asked to stop so long before its limit");
    }
    return 0;
}

static int check_launcher(const struct batch_kind *k, const struct batch_job *j, struct err *e)
{
    bool srun = j->launcher == LAUNCH_PMIX || j->launcher == LAUNCH_PMI2;
    if (srun && k != &batch_slurm) {
        err_set(e, ERR_INPUT, "--launcher: found '%s', which is Slurm's, with the scheduler '%s'",
                launcher_words[j->launcher], k->name);
        return err_hint(e, "take openmpi or mpich");
    }
    if (k == &batch_local && j->nodes > 1)
        return err_set(e, ERR_INPUT, "--nodes: found %lld, expected 1: the scheduler 'local' is this machine",
                       (long long)j->nodes);
    if (j->launcher == LAUNCH_NONE && j->nodes * j->ranks_a_node > 1) {
        err_set(e, ERR_INPUT, "--launcher: found 'none' for %lld ranks, expected a launcher of MPI",
                (long long)(j->nodes * j->ranks_a_node));
        return err_hint(e, "take auto");
    }
    return 0;
}

int batch_check(const struct batch_kind *k, const struct batch_job *j, struct err *e)
{
    const struct strs *const lists[] = { &j->about, &j->env, &j->lines, &j->setup };
    static const char *const names[] = { "recipe", "environment", "--line", "--setup" };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        for (size_t n = 0; n < lists[i]->n; n++)
            if (check_line(names[i], lists[i]->v[n], e))
                return -1;
    return check_word("partition", j->partition, e) || check_word("account", j->account, e) ||
                   check_word("pe", j->parallel_env, e) || check_limit(k, j, e) || check_launcher(k, j, e)
               ? -1
               : 0;
}
