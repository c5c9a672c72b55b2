/* main.c - the door from the shell: signals, locale, kernels, the job's ranks, one command, and what the end of it says. */
#include "base/log.h"
#include "base/mem.h"
#include "cluster/comm.h"
#include "cluster/place.h"
#include "kernels/kernels.h"
#include "pipeline/cli.h"

#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct comm job; /* the ranks that run this command together */

/* The first signal asks for a clean end; a second SIGINT or SIGTERM ends at once. SIGUSR1 and SIGUSR2 are what schedulers
 * send before a time limit; some send them twice. */
static void on_signal(int sig)
{
    interrupted = sig;
    if (sig == SIGINT || sig == SIGTERM)
        signal(sig, SIG_DFL);
}

/* A scheduler's warning may come more than once; each only asks. */
static void on_warning(int sig) { interrupted = sig; }

/* A mapped input that shrank under us: nothing can be computed any more, and nothing was published. */
static void on_bus(int sig)
{
    static const char text[] = "qpipe: an input file was cut or changed while it was read\n";
    (void)sig;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) {
        /* nowhere left to say it */
    }
    _exit(ERR_IO);
}

static void signals(void)
{
    struct sigaction bus = { .sa_handler = on_bus };
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGUSR1, on_warning);
    signal(SIGUSR2, on_warning);
    signal(SIGPIPE, SIG_IGN); /* writing to a closed pipe is an error like any other */
    sigaction(SIGBUS, &bus, NULL);
}

static int start(const struct cli *c, struct err *e)
{
    const char *force = c->kernels ? c->kernels : getenv("QPIPE_KERNELS");
    int threads = (int)c->threads;
    if (job.size > 1 && comm_place(&job, threads, &threads, e))
        return -1;
    if (!kernels_init(force && *force ? force : NULL, threads)) {
        err_set(e, ERR_INPUT, "kernels: found '%s', expected c, avx2 or avx512, and a processor that has it",
                force ? force : "");
        return err_hint(e, "leave it out: the fastest is taken, and the bits are the same");
    }
    return 0;
}

/* Several ranks meet before anything else is done, also when this one has failed already: the others find the same. */
static int join(const struct command *cmd, const struct cli *c, int rc, struct err *e)
{
    struct comm_launch l;
    struct err launch = { 0 };
    log_setup((enum log_level)c->log_level, (enum log_format)c->log_format);
    if (comm_launched(&l, &launch))
        l.size = 1; /* comm_open says it */
    if ((rc && l.size == 1) || comm_open(&job, e))
        return -1;
    if (job.size > 1) {
        interrupt_together = true; /* one rank that stopped alone would leave the others waiting */
        if (job.rank && c->log_level < LOG_DEBUG)
            log_setup(LOG_ERROR, (enum log_format)c->log_format); /* rank 0 speaks for all */
    }
    if (!rc && job.size > 1 && !cmd->ranks) {
        rc = err_set(e, ERR_UNBUILT, "`qpipe %s` runs on one rank only, found %d", cmd->name, job.size);
        err_hint(e, "run it without the launcher: one process uses all cores of its machine");
    }
    if (job.size > 1)
        rc = comm_agree(&job, rc, e);
    if (rc)
        return -1;
    rc = start(c, e);
    return job.size > 1 ? comm_agree(&job, rc, e) : rc;
}

static const struct command *find(const char *name, struct err *e)
{
    const struct command *cmd = command_find(name);
    const char *names[32];
    size_t n = 0;
    if (cmd)
        return cmd;
    for (; commands[n] && n < 32; n++)
        names[n] = commands[n]->name;
    const char *near = str_nearest(name, names, n, sizeof *names);
    err_set(e, ERR_INPUT, "found no command '%s'", name);
    if (near)
        err_hint(e, "did you mean 'qpipe %s'?", near);
    else
        err_hint(e, "`qpipe help` lists the commands");
    return NULL;
}

static int dispatch(int argc, char **argv, struct err *e)
{
    const char *name = argc > 1 ? argv[1] : "help";
    const char *const words[][2] = {
        { "--help", "help" }, { "-h", "help" }, { "--version", "version" }, { "-V", "version" }
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(name, words[i][0]))
            name = words[i][1];
    const struct command *cmd = find(name, e);
    struct cli c = { .log_level = LOG_INFO };
    if (!cmd)
        return join(NULL, &c, -1, e);
    if (argc > 2 && (!strcmp(argv[2], "--help") || !strcmp(argv[2], "-h"))) {
        char *args[] = { argv[0], (char *)(uintptr_t) "help", argv[1], NULL };
        return dispatch(3, args, e);
    }
    int rc = cli_parse(cmd, argc > 2 ? argc - 2 : 0, argv + 2, &c, e);
    if (!(rc = join(cmd, &c, rc, e)))
        rc = cmd->run(&c, e);
    cli_release(cmd, &c);
    return rc;
}

/* Several ranks end alike: what all know of is said once and has one status; what one rank alone found ends the others, who
 * may wait for it. Only what another run would find again is not resumable. */
static int end_of_ranks(const struct err *e)
{
    enum err_code status = e->code;
    struct err mine = *e;
    if (!comm_agreed()) {
        snprintf(mine.what, sizeof mine.what, "rank %d: %.*s", job.rank, (int)sizeof mine.what - 24, e->what);
        log_err(&mine);
        comm_abort(&job, ERR_RESUME);
    }
    if (job.rank == 0)
        log_err(e);
    return status == ERR_INPUT || status == ERR_LIMIT || status == ERR_UNBUILT ? (int)status : ERR_RESUME;
}

/* OpenMP's workers spin between two loops unless the environment says otherwise before the library is loaded: with other work
 * on the cores that costs milliseconds a loop (docs/decisions.md). So the program starts itself once more, saying so. */
static void wait_patiently(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") || setenv("OMP_WAIT_POLICY", "passive", 0))
        return;
    execv("/proc/self/exe",
          argv); /* returns only when it could not: then workers spin, and all else is the same */
}

int main(int argc, char **argv)
{
    struct err e = { 0 };
    wait_patiently(argv);
    setlocale(LC_CTYPE, "C.UTF-8"); /* names in archives; nothing else of the locale, ever */
    signals();
    int rc = dispatch(argc, argv, &e);
    if (rc < 0 && !e.code)
        e.code = ERR_BUG;
    if (rc < 0 && job.size > 1)
        rc = end_of_ranks(&e);
    else if (rc < 0) {
        log_err(&e);
        rc = (int)e.code;
    }
    comm_close(&job);
    return rc;
}
