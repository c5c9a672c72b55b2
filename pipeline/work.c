/* work.c - opening and leaving the work folder. */
#include "pipeline/work.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/comm.h"
#include "pipeline/identity.h"
#include "stages/units.h"

#include <string.h>

static char *work_name(const char *output, const char *tail, struct err *e)
{
    int n = (int)strlen(output);
    while (n > 1 && output[n - 1] == '/')
        n--;
    return mem_printf(e, "%.*s%s", n, output, tail);
}

int64_t work_done(const struct job *j)
{
    int64_t n = 0;
    for (int64_t i = 0; i < j->load.model.n_modules; i++)
        n += j->module[i].scheme && unit_module_done(j, &j->module[i]);
    return n;
}

/* Outputs that earlier starts were filling: everything in them is made again. */
static int remove_outputs(const char *dir, struct err *e)
{
    struct strs names = { 0 };
    int rc = path_list_folders(dir, &names, e);
    for (size_t i = 0; !rc && i < names.n; i++) {
        char *path = path_join(dir, names.v[i], e);
        rc = path ? path_remove_tree(path, e) : -1;
        mem_free(path);
    }
    strs_release(&names);
    return rc;
}

static int open_journal(const struct job *j, enum resume resume, struct work *w, struct err *e)
{
    struct identity id = { 0 };
    int rc = identity_of(j, &id, e);
    if (!rc) {
        struct journal_options o = { .dir = w->dir,
                                     .rank = j->comm->rank,
                                     .size = j->comm->size,
                                     .resume = resume,
                                     .identity = id.line,
                                     .n_identity = id.n };
        w->journal = journal_open(&o, e);
    }
    identity_release(&id);
    return w->journal ? 0 : -1;
}

static void say_found(const struct job *j, const struct work *w)
{
    if (journal_resumed(w->journal))
        log_say(LOG_INFO, "continues: %lld of %zu modules were finished", (long long)work_done(j),
                j->n_quantized);
}

/* The output is filled under a name of this start, so that a copy of the job that still runs can not write into it. */
static int open_output(const struct job *j, bool force, struct work *w, struct err *e)
{
    int start = journal_start(w->journal);
    if (comm_bcast(j->comm, &start, sizeof start, 0, e))
        return -1;
    w->path = mem_printf(e, "%s/out.%d", w->dir, start);
    if (!w->path || j->comm->rank)
        return w->path ? 0 : -1;
    if (!remove_outputs(w->dir, e))
        w->out = dir_create_in(j->recipe->output, w->path, force, e);
    return w->out ? 0 : -1;
}

static int open_units(struct job *j, struct work *w, struct err *e)
{
    j->units = units_open(j, w->journal, w->dir, j->comm->rank, e);
    if (!j->units)
        return -1;
    j->saver = saver_new_in(w->path, units_spool(j->units), (uint64_t)j->save->shard_size, e);
    if (!j->saver)
        return -1;
    say_found(j, w);
    return 0;
}

/* Rank 0 decides about what is there; the others open it behind rank 0. */
static int open_all(struct job *j, bool force, enum resume resume, struct work *w, struct err *e)
{
    const struct comm *c = j->comm;
    enum resume others = resume == RESUME_NEVER ? RESUME_AUTO : resume;
    return comm_agree(c, c->rank ? 0 : open_journal(j, resume, w, e), e) ||
                   comm_agree(c, c->rank ? open_journal(j, others, w, e) : 0, e) ||
                   comm_agree(c, open_output(j, force, w, e), e) || comm_agree(c, open_units(j, w, e), e)
               ? -1
               : 0;
}

int work_open(struct job *j, bool force, enum resume resume, struct work *w, struct err *e)
{
    memset(w, 0, sizeof *w);
    w->dir = work_name(j->recipe->output, ".work", e);
    if (!w->dir)
        return -1;
    bool had = path_exists(w->dir);
    int rc = 0;
    if (resume == RESUME_REQUIRED && !had) {
        rc = err_set(e, ERR_INPUT, "%s: no such folder: nothing that was finished is there to go on from",
                     w->dir);
        err_hint(e, "--resume auto begins anew then");
    } else if (!j->comm->rank)
        rc = path_make_dir(w->dir, e);
    if (!comm_agree(j->comm, rc, e) && !open_all(j, force, resume, w, e))
        return 0;
    struct err why = { 0 };
    if (had && !w->journal) { /* of another job, or not to be read: left as it is */
        mem_free(w->dir);
        return -1;
    }
    why.code = e ? e->code : ERR_INPUT;
    work_close(j, w, false, &why);
    return -1;
}

/* Nothing that is worth to go on from: no record is safe, or the same error would come again. */
static bool worthless(const struct work *w, const struct err *e)
{
    if (!w->journal || !journal_committed(w->journal))
        return true;
    return e && (e->code == ERR_INPUT || e->code == ERR_LIMIT || e->code == ERR_UNBUILT);
}

void work_close(struct job *j, struct work *w, bool published, struct err *e)
{
    struct err lost = { 0 };
    bool mine = w->journal && !journal_owned(w->journal, &lost);
    bool first = !j->comm->rank;
    if (!published && mine && j->saver)
        (void)unit_commit(j, NULL);
    if (w->journal && j->comm->size > 1)
        (void)journal_refresh(w->journal, NULL); /* others may have finished something */
    if (w->journal && !mine && !published && lost.code == ERR_RESUME && e)
        *e = lost; /* that is why a file was not there, or a name taken */
    dir_abandon(w->out);
    bool remove = published || worthless(w, e);
    saver_free(j->saver);
    j->saver = NULL;
    units_close(j->units);
    j->units = NULL;
    journal_close(w->journal);
    if (remove && first && (mine || !w->journal))
        path_remove_tree(w->dir, NULL);
    mem_free(w->path);
    mem_free(w->dir);
    memset(w, 0, sizeof *w);
}
