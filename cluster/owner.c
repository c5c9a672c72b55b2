/* owner.c - the token of the process that works on a job: one line in the file `owner`, replaced by rename. A scheduler may
 * start a second copy of a job while the first still runs; the newer token counts, and who finds another's stops. */
#include "cluster/journal_file.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static const char *first_set(const char *const *names)
{
    for (; *names; names++) {
        const char *v = getenv(*names);
        if (v && *v)
            return v;
    }
    return "-";
}

int owner_take(const char *dir, char token[OWNER_MAX], struct err *e)
{
    static const char *const job[] = { "SLURM_JOB_ID", "PBS_JOBID", "JOB_ID", NULL }, *const restart[] = {
        "SLURM_RESTART_COUNT", NULL
    };
    char host[128] = "";
    uint64_t random[2] = { 0 };
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return err_io(e, "read", "random numbers");
    if (gethostname(host, sizeof host - 1))
        host[0] = '\0';
    snprintf(token, OWNER_MAX, "job=%.64s restart=%.16s host=%s pid=%ld random=%016llx%016llx",
             first_set(job), first_set(restart), host, (long)getpid(), (unsigned long long)random[0],
             (unsigned long long)random[1]);
    char *path = path_join(dir, "owner", e);
    int rc = path ? file_replace(path, token, strlen(token), e) : -1;
    mem_free(path);
    return rc;
}

int owner_read(const char *dir, char token[OWNER_MAX], struct err *e)
{
    struct buf b = { 0 };
    char *path = path_join(dir, "owner", e);
    int rc = path ? 0 : -1;
    token[0] = '\0';
    if (!rc && path_exists(path) && !(rc = file_read(path, 1 << 16, &b, e)))
        snprintf(token, OWNER_MAX, "%.*s", (int)(b.len < OWNER_MAX ? b.len : OWNER_MAX - 1), b.p);
    mem_free(path);
    buf_release(&b);
    return rc;
}

int owner_check(const char *dir, const char *mine, struct err *e)
{
    char now[OWNER_MAX];
    struct err why = { 0 };
    if (owner_read(dir, now, &why)) {
        if (why.code != ERR_IO) { /* memory: says nothing about the owner */
            if (e)
                *e = why;
            return -1;
        }
        now[0] = '\0';
    }
    if (!strcmp(now, mine))
        return 0;
    err_set(e, ERR_RESUME, "%s/owner: another process works on this output now (%s)", dir,
            *now ? now : "it has removed the work folder");
    return err_hint(e, "this one stops; what it has finished is not lost to the other");
}
