/* units.c - units between the journal, which keeps them, and the saver, which has their bytes. */
#include "stages/units.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sum.h"
#include "base/table.h"
#include "cluster/comm.h"
#include "cluster/journal.h"
#include "kernels/kernels.h"
#include "stages/unit_record.h"

#include <string.h>

struct span { /* tensors of a unit in this rank's saver */
    int64_t first, n;
};
struct units {
    struct journal *journal;
    char *dir, *spool;
    char *open; /* the key of the unit that is being made, or NULL */
    int64_t first;
    struct table here; /* key -> index of span: units that this saver has */
    struct span *span;
    int64_t n_spans, cap;
    uint64_t *sum; /* [stored tensors]: of sources */
    bool *known;
    int64_t blocks_known; /* tensors of blocks below this one have their sums */
};

/* -- open, close -- */

struct units *units_open(const struct job *j, struct journal *journal, const char *dir, int rank,
                         struct err *e)
{
    size_t n = (size_t)j->load.checkpoint.stored.count + 1;
    struct units *u = mem_alloc(sizeof *u, e);
    if (!u)
        return NULL;
    u->journal = journal;
    u->blocks_known = -1;
    u->dir = mem_strdup(dir, e);
    u->spool = u->dir ? mem_printf(e, "%s/spool.%d.%d", dir, rank, journal_start(journal)) : NULL;
    u->sum = u->spool ? mem_array(n, sizeof *u->sum, e) : NULL;
    u->known = u->sum ? mem_array(n, sizeof *u->known, e) : NULL;
    if (u->known)
        return u;
    units_close(u);
    return NULL;
}

const char *units_spool(const struct units *u) { return u->spool; }

void units_close(struct units *u)
{
    if (!u)
        return;
    table_release(&u->here);
    mem_free(u->span);
    mem_free(u->sum);
    mem_free(u->known);
    mem_free(u->open);
    mem_free(u->spool);
    mem_free(u->dir);
    mem_free(u);
}

/* -- what a unit was made from -- */

enum { PIECE = 1 << 20 };

struct summing {
    const unsigned char *p;
    int64_t n;
    uint64_t *sum;
};

static void sum_piece(void *arg, int64_t i)
{
    struct summing *s = arg;
    int64_t at = i * PIECE, n = s->n - at < PIECE ? s->n - at : PIECE;
    s->sum[i] = sum_bytes(s->p + at, (size_t)n, (uint64_t)i);
}

/* The sum of the sums of its pieces, so that threads can share it; piece after piece where there is no memory. */
static uint64_t sum_of(const struct tensor_view *v, bool threads)
{
    struct summing s = { .p = v->data, .n = view_bytes(v) };
    int64_t n = (s.n + PIECE - 1) / PIECE;
    uint64_t all = sum_bytes(&s.n, sizeof s.n, 0);
    s.sum = threads && n > 1 ? mem_array((size_t)n, sizeof *s.sum, NULL) : NULL;
    if (s.sum)
        k_parallel(n, sum_piece, &s);
    for (int64_t i = 0; i < n; i++) {
        uint64_t one;
        if (!s.sum) {
            struct summing single = { .p = s.p + i * PIECE, .n = s.n - i * PIECE };
            one = sum_bytes(single.p, (size_t)(single.n < PIECE ? single.n : PIECE), (uint64_t)i);
        } else
            one = s.sum[i];
        all = sum_bytes(&one, sizeof one, all);
    }
    mem_free(s.sum);
    return all;
}

static int64_t index_of(const struct job *j, const char *tensor)
{
    const struct tensor_source *t = &j->load.checkpoint.stored;
    int64_t lo = 0, hi = t->count;
    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        int c = strcmp(t->at(t->self, mid)->name, tensor);
        if (!c)
            return mid;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return -1;
}

/* The sum of a source tensor is taken once, and goes into the record of the unit that is being made. */
static int add_source(struct job *j, const char *tensor, struct buf *out, uint32_t *n, struct err *e)
{
    struct units *u = j->units;
    const struct tensor_source *t = &j->load.checkpoint.stored;
    struct tensor_view v;
    int64_t i = tensor ? index_of(j, tensor) : -1;
    if (i < 0 || u->known[i])
        return 0;
    if (t->view(t->self, tensor, &v, e))
        return -1;
    u->sum[i] = sum_of(&v, true);
    u->known[i] = true;
    ++*n;
    return unit_put_source(out, &(struct unit_source){ (uint64_t)i, u->sum[i] }, e);
}

/* "module/NAME", "smooth/2/NAME" -> the module, or NULL */
static const struct module *module_of(const struct job *j, const char *key)
{
    const char *name = strrchr(key, '/');
    return name ? model_module(&j->load.model, name + 1) : NULL;
}

/* A walk has read everything up to the module's block; without one a module depends on its own tensors alone. */
static int add_sources(struct job *j, const char *key, struct buf *out, uint32_t *n, struct err *e)
{
    struct units *u = j->units;
    const struct module *m = module_of(j, key);
    if (!m)
        return 0;
    if (add_source(j, m->tensor, out, n, e) || add_source(j, m->bias, out, n, e))
        return -1;
    if (!job_calibrates(j) || m->block < u->blocks_known)
        return 0;
    for (int64_t i = 0; i < j->load.model.n_modules; i++) {
        const struct module *o = &j->load.model.module[i];
        if (o->block <= m->block && o->block >= u->blocks_known &&
            (add_source(j, o->tensor, out, n, e) || add_source(j, o->bias, out, n, e)))
            return -1;
    }
    u->blocks_known = m->block + 1;
    return 0;
}

int unit_check_source(const struct job *j, int64_t i, const struct tensor_view *v, struct err *e)
{
    const struct units *u = j->units;
    const struct tensor_source *t = &j->load.checkpoint.stored;
    if (!u || !u->known[i] || u->sum[i] == sum_of(v, false))
        return 0;
    err_set(e, ERR_INPUT, "%s: tensor '%s' changed while this run used it", j->recipe->model,
            t->at(t->self, i)->name);
    return err_hint(e, "leave the checkpoint alone while it is read, and run again with --resume never");
}

/* -- making -- */

int unit_begin(struct job *j, const char *key, struct err *e)
{
    struct units *u = j->units;
    if (!u)
        return 0;
    BUG_ON(u->open);
    if (check_interrupt(e))
        return -1;
    u->open = mem_strdup(key, e);
    u->first = saver_count(j->saver);
    return u->open ? 0 : -1;
}

static int have(struct units *u, const char *key, int64_t first, int64_t n, struct err *e)
{
    if (u->n_spans == u->cap) {
        int64_t cap = 2 * u->cap + 64;
        struct span *more = mem_resize(u->span, (size_t)cap * sizeof *more, e);
        if (!more)
            return -1;
        u->span = more;
        u->cap = cap;
    }
    u->span[u->n_spans] = (struct span){ first, n };
    return table_put(&u->here, key, u->n_spans++, e);
}

static int encode(struct job *j, const char *key, const void *value, size_t n, struct buf *out, struct err *e)
{
    const struct units *u = j->units;
    struct buf sources = { 0 };
    struct unit_head h = { .tensors = (uint32_t)(saver_count(j->saver) - u->first), .value = n };
    int rc = add_sources(j, key, &sources, &h.sources, e);
    rc = rc ? rc : unit_put_head(out, &h, e);
    for (int64_t i = u->first; !rc && i < saver_count(j->saver); i++) {
        struct saver_place p;
        saver_place_of(j->saver, i, &p);
        BUG_ON(!p.spool); /* borrowed bytes are no unit's */
        rc = unit_put_tensor(out, &p, e);
    }
    rc = rc || (sources.len && buf_add(out, sources.p, sources.len, e)) || (n && buf_add(out, value, n, e))
             ? -1
             : 0;
    buf_release(&sources);
    return rc;
}

int unit_end(struct job *j, const void *value, size_t n, struct err *e)
{
    struct units *u = j->units;
    struct buf b = { 0 };
    if (!u)
        return 0;
    BUG_ON(!u->open);
    char *key = u->open;
    u->open = NULL;
    int rc = encode(j, key, value, n, &b, e) || have(u, key, u->first, saver_count(j->saver) - u->first, e) ||
                     journal_put(u->journal, key, b.p, b.len, e) ||
                     (journal_due(u->journal) && unit_commit(j, e))
                 ? -1
                 : 0;
    mem_free(key);
    buf_release(&b);
    return rc;
}

static int sync_spool(void *arg, struct err *e) { return saver_sync(arg, e); }

int unit_commit(struct job *j, struct err *e)
{
    return j->units ? journal_commit(j->units->journal, sync_spool, j->saver, e) : 0;
}

int units_refresh(struct job *j, struct err *e)
{
    return j->units ? journal_refresh(j->units->journal, e) : 0;
}

/* -- taking -- */

bool unit_done(const struct job *j, const char *key)
{
    return j->units && journal_get(j->units->journal, key, NULL);
}

static int damaged(const struct units *u, const char *key, struct err *e)
{
    return err_set(e, ERR_INPUT, "%s: the record of '%s' is not what a record is", u->dir, key);
}

static int take_tensors(struct job *j, const char *key, struct unit_reader *r, uint32_t n, struct err *e)
{
    struct units *u = j->units;
    int64_t first = saver_count(j->saver);
    for (uint32_t i = 0; i < n; i++) {
        struct saver_place p;
        if (unit_get_tensor(r, &p))
            return damaged(u, key, e);
        char *path = path_join(u->dir, p.spool, e);
        p.spool = path;
        int rc = path ? saver_adopt(j->saver, &p, e) : -1;
        mem_free(path);
        if (rc)
            return -1;
    }
    return have(u, key, first, n, e);
}

static int skip_tensors(struct unit_reader *r, uint32_t n)
{
    struct saver_place p;
    while (n--)
        if (unit_get_tensor(r, &p))
            return -1;
    return 0;
}

/* What the unit was made from must be what is there now. */
static int check_sources(struct job *j, const char *key, struct unit_reader *r, uint32_t n, struct err *e)
{
    struct units *u = j->units;
    const struct tensor_source *t = &j->load.checkpoint.stored;
    while (n--) {
        struct unit_source s;
        struct tensor_view v;
        if (unit_get_source(r, &s) || s.index >= (uint64_t)t->count)
            return damaged(u, key, e);
        const char *name = t->at(t->self, (int64_t)s.index)->name;
        if (!u->known[s.index]) {
            if (t->view(t->self, name, &v, e))
                return -1;
            u->sum[s.index] = sum_of(&v, true);
            u->known[s.index] = true;
        }
        if (u->sum[s.index] == s.sum)
            continue;
        err_set(e, ERR_INPUT, "%s: tensor '%s' is not what it was when this job began", j->recipe->model,
                name);
        return err_hint(e, "put the old checkpoint back to go on, or begin anew with --resume never");
    }
    return 0;
}

int unit_take(struct job *j, const char *key, void *value, size_t n, struct err *e)
{
    struct units *u = j->units;
    struct unit_reader r = { 0 };
    struct unit_head h;
    int64_t at;
    BUG_ON(!u);
    r.p = journal_get(u->journal, key, &r.n);
    BUG_ON(!r.p);
    if (unit_get_head(&r, &h))
        return damaged(u, key, e);
    bool here = table_get(&u->here, key, &at);
    if (here && skip_tensors(&r, h.tensors))
        return damaged(u, key, e);
    if (!here && take_tensors(j, key, &r, h.tensors, e)) {
        err_hint(e, "what was kept is damaged: begin anew with --resume never");
        return err_while(e, "taking %s", key);
    }
    if (check_sources(j, key, &r, h.sources, e))
        return -1;
    const void *stored = unit_get_value(&r, &h);
    if (!stored || h.value != n)
        return damaged(u, key, e);
    if (n)
        memcpy(value, stored, n);
    return 0;
}

int unit_tensor(const struct job *j, const char *name, struct tensor_view *out, struct err *e)
{
    for (int64_t i = saver_count(j->saver); i--;) {
        struct saver_place p;
        saver_place_of(j->saver, i, &p);
        if (!strcmp(p.name, name))
            return saver_view(j->saver, i, out, e);
    }
    return err_set(e, ERR_INPUT, "no tensor '%s' was saved yet", name);
}

bool units_span(const struct job *j, const char *key, int64_t *first, int64_t *n)
{
    int64_t at;
    if (!j->units || !table_get(&j->units->here, key, &at))
        return false;
    *first = j->units->span[at].first;
    *n = j->units->span[at].n;
    return true;
}

/* -- of all ranks -- */

/* Tensors of a unit that another rank made; what it says beside them is its reader's. */
static int take_bytes(struct job *j, const char *key, struct err *e)
{
    struct units *u = j->units;
    struct unit_reader r = { 0 };
    struct unit_head h;
    int64_t at;
    r.p = journal_get(u->journal, key, &r.n);
    if (table_get(&u->here, key, &at))
        return 0;
    if (unit_get_head(&r, &h))
        return damaged(u, key, e);
    return h.tensors ? take_tensors(j, key, &r, h.tensors, e) : 0;
}

static bool holds_tensors(const char *key)
{
    return str_starts(key, "module/") || str_starts(key, "activation/") || str_starts(key, "tensor/");
}

int units_gather(struct job *j, struct err *e)
{
    if (unit_commit(j, e) || comm_agree(j->comm, 0, e))
        return -1;
    if (!j->units || (j->comm->size > 1 && units_refresh(j, e)))
        return j->units ? -1 : 0;
    for (int64_t i = 0; i < j->load.model.n_modules; i++)
        if (j->module[i].scheme && unit_module_take(j, &j->module[i], e))
            return -1;
    int64_t n = journal_count(j->units->journal);
    for (int64_t i = 0; i < n; i++) {
        const char *key = journal_key(j->units->journal, i);
        if (holds_tensors(key) && take_bytes(j, key, e))
            return -1;
    }
    return 0;
}

/* -- notes -- */

int unit_note(struct job *j, const char *key, const void *value, size_t n, struct err *e)
{
    return j->units ? journal_note(j->units->journal, key, value, n, e) : 0;
}

const void *unit_noted(const struct job *j, const char *key, size_t *n)
{
    return j->units ? journal_get(j->units->journal, key, n) : NULL;
}

int64_t units_keys(const struct job *j) { return j->units ? journal_count(j->units->journal) : 0; }
const char *units_key(const struct job *j, int64_t i) { return journal_key(j->units->journal, i); }
const char *units_dir(const struct job *j) { return j->units->dir; }
int units_start(const struct job *j) { return journal_start(j->units->journal); }
bool units_eager(const struct job *j) { return j->units && journal_eager(j->units->journal); }
