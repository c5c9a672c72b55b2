/* work.c - opening and leaving the work folder. */
#include "pipeline/work.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/comm.h"
#include "pipeline/identity.h"
#include "pipeline/progress.h"
#include "stages/smooth_units.h"

#include <string.h>
#include <unistd.h>

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

static int exists_already(const char *output, struct err *e)
{
    err_set(e, ERR_INPUT, "output '%s' exists already", output);
    return err_hint(e, "give another output, or --force to replace it when the new one is complete");
}

int work_refuse_existing(const char *output, bool force, struct err *e)
{
    char *work = output && !force && path_exists(output) ? work_name(output, ".work", e) : NULL;
    int rc = work && !path_exists(work) ? exists_already(output, e) : 0;
    mem_free(work);
    return rc;
}

int work_published(struct work *w, struct err *e)
{
    return journal_put(w->journal, "published", "", 0, e) || journal_commit(w->journal, NULL, NULL, e) ||
                   journal_owned(w->journal, e)
               ? -1
               : 0;
}

/* An output under its name and no folder in which one is filled: the rename was the last that happened. */
static bool was_published(const struct work *w)
{
    struct strs folders = { 0 };
    struct journal *j = path_is_dir(w->dir) ? journal_look(w->dir, NULL) : NULL;
    bool yes =
        j && journal_get(j, "published", NULL) && !path_list_folders(w->dir, &folders, NULL) && !folders.n;
    journal_close(j);
    strs_release(&folders);
    return yes;
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

/* Journals go last: while one is there, the next start knows what the rest is. */
static void remove_work(const char *dir)
{
    struct strs names = { 0 };
    if (!path_list(dir, &names, NULL))
        for (size_t i = 0; i < names.n; i++) {
            char *path = str_starts(names.v[i], "journal.") ? NULL : path_join(dir, names.v[i], NULL);
            if (path)
                path_remove_tree(path, NULL);
            mem_free(path);
        }
    strs_release(&names);
    remove_outputs(dir, NULL);
    path_remove_tree(dir, NULL);
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
    int64_t scales = 0;
    for (int64_t i = 0; i < j->smooth.n; i++)
        scales += smooth_unit_done(j, &j->smooth.v[i]);
    if (journal_resumed(w->journal) && j->smooth.n)
        log_say(LOG_INFO, "continues: scales of %lld of %lld mappings were found", (long long)scales,
                (long long)j->smooth.n);
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
    return j->comm->rank ? 0 : progress_plan(j, w->journal, work_done(j), e);
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

/* What stands under the output's name already: nothing that matters, this job's own work, or an error. */
static int look_at_output(const struct job *j, bool force, struct work *w, struct err *e)
{
    if (force || !path_exists(j->recipe->output))
        return 0;
    w->finished = was_published(w) && !open_journal(j, RESUME_AUTO, w, NULL);
    if (w->finished)
        return 0;
    (void)rmdir(w->dir); /* empty: of a run that died when all else was done */
    return exists_already(j->recipe->output, e);
}

int work_open(struct job *j, bool force, enum resume resume, struct work *w, struct err *e)
{
    memset(w, 0, sizeof *w);
    w->dir = work_name(j->recipe->output, ".work", e);
    if (!w->dir)
        return -1;
    int rc = j->comm->rank ? 0 : look_at_output(j, force, w, e);
    if (comm_agree(j->comm, rc, e) || comm_bcast(j->comm, &w->finished, sizeof w->finished, 0, e)) {
        mem_free(w->dir);
        return -1;
    }
    if (w->finished)
        return 0;
    bool had = path_exists(w->dir);
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

/* Is something finished on disk, as the next run would find it? */
static bool kept(const struct work *w)
{
    struct journal *j = journal_look(w->dir, NULL);
    bool yes = j && progress_kept(j);
    journal_close(j);
    return yes;
}

/* Nothing that is worth to go on from: no record is safe, or the input is at fault, and not in comparison with what an
 * earlier run has found. */
static bool worthless(const struct work *w, const struct err *e)
{
    if (!w->journal || !kept(w))
        return true;
    return !journal_resumed(w->journal) && e &&
           (e->code == ERR_INPUT || e->code == ERR_LIMIT || e->code == ERR_UNBUILT);
}

void work_close(struct job *j, struct work *w, bool published, struct err *e)
{
    struct err lost = { 0 };
    bool mine = w->journal && !journal_owned(w->journal, &lost);
    bool first = !j->comm->rank;
    if (!published && mine && j->saver && !unit_commit(j, NULL))
        progress_error(w->journal, e);
    if (w->journal && !mine && !published && lost.code == ERR_RESUME && e)
        *e = lost; /* that is why a file was not there, or a name taken */
    dir_abandon(w->out);
    bool remove = published || worthless(w, e);
    if (!remove && mine && first)
        log_say(LOG_INFO, "%s keeps what was finished: the same command goes on from there", w->dir);
    saver_free(j->saver);
    j->saver = NULL;
    units_close(j->units);
    j->units = NULL;
    journal_close(w->journal);
    if (remove && first && (mine || !w->journal))
        remove_work(w->dir);
    mem_free(w->path);
    mem_free(w->dir);
    memset(w, 0, sizeof *w);
}
