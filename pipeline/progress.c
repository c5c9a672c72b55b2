/* progress.c - `plan` and `error` into a journal. */
#include "pipeline/progress.h"

#include "base/mem.h"
#include "base/version.h"

#include <time.h>

static const char plan_key[] = "plan", error_key[] = "error";

static int put(struct journal *journal, const char *key, struct jw *w, struct err *e)
{
    if (jw_done(w, e) || journal_put(journal, key, w->out->p, w->out->len, e))
        return -1;
    return journal_commit(journal, NULL, NULL, e);
}

static void blocks(const struct job *j, struct jw *w)
{
    const struct model *m = &j->load.model;
    int64_t i = 0;
    jw_key(w, "blocks");
    jw_array(w);
    while (i < m->n_modules) {
        int64_t block = j->module[i].module->block;
        jw_array(w);
        for (; i < m->n_modules && j->module[i].module->block == block; i++)
            if (j->module[i].scheme)
                jw_str(w, j->module[i].module->name);
        jw_end_array(w);
    }
    jw_end_array(w);
}

int progress_plan(const struct job *j, struct journal *journal, int64_t done, struct err *e)
{
    struct buf text = { 0 };
    struct jw w;
    jw_init(&w, &text, -1);
    jw_object(&w);
    jw_kstr(&w, "version", QP_VERSION);
    jw_kint(&w, "start", journal_start(journal));
    jw_kint(&w, "time", (int64_t)time(NULL));
    jw_kint(&w, "modules", (int64_t)j->n_quantized);
    jw_kint(&w, "done", done);
    blocks(j, &w);
    jw_end_object(&w);
    int rc = put(journal, plan_key, &w, e);
    buf_release(&text);
    return rc;
}

void progress_error(struct journal *journal, const struct err *why)
{
    struct buf text = { 0 };
    struct jw w;
    struct err ignored = { 0 };
    if (!journal || !why || !why->code)
        return;
    jw_init(&w, &text, -1);
    jw_object(&w);
    jw_kint(&w, "start", journal_start(journal));
    jw_kint(&w, "time", (int64_t)time(NULL));
    jw_kint(&w, "status", why->code);
    jw_kstr(&w, "error", err_name(why->code));
    jw_kstr(&w, "what", why->what);
    jw_end_object(&w);
    (void)put(journal, error_key, &w, &ignored);
    buf_release(&text);
}

bool progress_kept(const struct journal *journal)
{
    int64_t own =
        (journal_get(journal, plan_key, NULL) != NULL) + (journal_get(journal, error_key, NULL) != NULL);
    return journal_count(journal) > own;
}
