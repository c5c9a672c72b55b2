/* batch_submit.c - a script handed over: the scheduler's command is started (no shell in between), and its first line is the id. */
#include "cluster/batch.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
enum { MOST_WORDS = 12, MOST_SAID = 4096 };

/* What a child must not inherit from this program: ignored signals. */
static int attributes(posix_spawnattr_t *a, bool session)
{
    sigset_t usual, none;
    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    int flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | (session ? POSIX_SPAWN_SETSID : 0);
    return posix_spawnattr_init(a) || posix_spawnattr_setsigdefault(a, &usual) ||
           posix_spawnattr_setsigmask(a, &none) || posix_spawnattr_setflags(a, (short)flags);
}

/* spawn - argv in folder; stdout goes to `out`, or for a session of its own to the file `log`, with stderr. */
static int spawn(char *const *argv, const char *folder, int out, const char *log, pid_t *pid)
{
    posix_spawn_file_actions_t f;
    posix_spawnattr_t a;
    int rc = posix_spawn_file_actions_init(&f);
    if (rc)
        return rc;
    rc = posix_spawn_file_actions_addchdir_np(&f, folder);
    rc = rc ? rc : posix_spawn_file_actions_addopen(&f, 0, "/dev/null", O_RDONLY, 0);
    if (log) {
        rc = rc ? rc : posix_spawn_file_actions_addopen(&f, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0666);
        rc = rc ? rc : posix_spawn_file_actions_adddup2(&f, 1, 2);
    } else
        rc = rc ? rc : posix_spawn_file_actions_adddup2(&f, out, 1);
    rc = rc ? rc : attributes(&a, log != NULL);
    if (!rc) {
        rc = posix_spawnp(pid, argv[0], &f, &a, argv, environ);
        posix_spawnattr_destroy(&a);
    }
    posix_spawn_file_actions_destroy(&f);
    return rc;
}

static int not_started(const char *name, int error, struct err *e)
{
    errno = error;
    if (error != ENOENT)
        return err_io(e, "start", name);
    err_set(e, ERR_INPUT, "found no '%s' on this machine, or no such folder", name);
    return err_hint(e, "submit where the scheduler's commands are; --dry-run prints the script only");
}

/* Everything that the command says, the first MOST_SAID bytes of it. */
static int listen(int fd, char *said)
{
    size_t n = 0;
    char rest[256];
    for (;;) {
        bool full = n == MOST_SAID - 1;
        ssize_t r = full ? read(fd, rest, sizeof rest) : read(fd, said + n, MOST_SAID - 1 - n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            break;
        n += full ? 0 : (size_t)r;
    }
    said[n] = '\0';
    return 0;
}

static int command(char *const *argv, const char *folder, char *said, struct err *e)
{
    int ends[2], status = 0;
    pid_t pid = 0;
    if (pipe2(ends, O_CLOEXEC))
        return err_io(e, "open", "a pipe");
    int rc = spawn(argv, folder, ends[1], NULL, &pid);
    close(ends[1]);
    if (!rc)
        rc = listen(ends[0], said);
    close(ends[0]);
    if (rc)
        return not_started(argv[0], rc, e);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return err_io(e, "wait for", argv[0]);
    if (WIFEXITED(status) && !WEXITSTATUS(status))
        return 0;
    err_set(e, ERR_IO, "%s ended with status %d, and the job was not taken", argv[0],
            WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return err_hint(e, "what it said stands above; the script can be read with --dry-run");
}

static char *read_id(const struct batch_kind *k, const char *said, struct err *e)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-[]@:";
    size_t n = strcspn(said, k->id_end);
    char *id = mem_strndup(said, n, e);
    if (id && n && n < 200 && strspn(id, letters) == n)
        return id;
    if (id)
        err_set(e, ERR_INPUT, "%s said '%.80s', expected the id of a job", k->command[0], said);
    mem_free(id);
    return NULL;
}

static int local(const struct batch_job *j, const char *script, struct strs *ids, struct err *e)
{
    char *log = mem_printf(e, "%s.submit.log", j->name), *id = NULL;
    char *argv[] = { (char *)(uintptr_t) "bash", (char *)(uintptr_t)script, NULL };
    pid_t pid = 0;
    int rc = log ? spawn(argv, j->folder, -1, log, &pid) : -1;
    if (rc > 0)
        rc = not_started("bash", rc, e);
    if (!rc)
        rc = (id = mem_printf(e, "%ld", (long)pid)) ? strs_add(ids, id, e) : -1;
    mem_free(id);
    mem_free(log);
    return rc;
}

static int hand_over(const struct batch_kind *k, const struct batch_job *j, const char *script,
                     struct strs *ids, struct err *e)
{
    char *argv[MOST_WORDS], *made[3] = { NULL }, said[MOST_SAID];
    size_t n = 0, m = 0;
    int rc = 0;
    for (; k->command[n]; n++)
        argv[n] = (char *)(uintptr_t)k->command[n];
    for (; !rc && ids->n && k->after[m]; m++) {
        const char *gap = strstr(k->after[m], "%s");
        made[m] = gap ? mem_printf(e, "%.*s%s%s", (int)(gap - k->after[m]), k->after[m], ids->v[ids->n - 1],
                                   gap + 2)
                      : mem_strdup(k->after[m], e);
        rc = made[m] ? 0 : -1;
        argv[n++] = made[m];
    }
    argv[n++] = (char *)(uintptr_t)script;
    argv[n] = NULL;
    BUG_ON(n >= MOST_WORDS);
    rc = rc ? rc : command(argv, j->folder, said, e);
    char *id = rc ? NULL : read_id(k, said, e);
    rc = id ? strs_add(ids, id, e) : -1;
    mem_free(id);
    while (m)
        mem_free(made[--m]);
    return rc;
}

int batch_submit(const struct batch_kind *k, const struct batch_job *j, const char *script, struct strs *ids,
                 struct err *e)
{
    if (!*k->command)
        return local(j, script, ids, e);
    for (int64_t i = 0; i < j->links; i++)
        if (hand_over(k, j, script, ids, e)) {
            for (size_t n = 0; n < ids->n; n++)
                err_while(e, "submitting a chain whose job %s is in the queue already", ids->v[n]);
            return -1;
        }
    return 0;
}
