/* journal.c - the records of all ranks and starts in memory, by key; and this start's file. */
#include "cluster/journal.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/table.h"
#include "cluster/journal_file.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

const char *const resume_words[] = { "auto", "required", "never", NULL };

struct record {
    char *key;
    void *value;
    size_t n;
};
struct source { /* a file of another rank or start */
    char *name;
    struct journal_cursor cursor;
    bool foreign; /* of another identity: its notes are nobody's, its work is refused */
};
struct journal {
    char *dir, *name; /* name: of this start's file; NULL: only looking */
    int rank, start;
    struct buf identity;
    char token[OWNER_MAX];
    struct out_file *file;
    struct buf waiting;         /* encoded, not written yet */
    int64_t n_waiting, n_noted; /* of them for people */
    uint64_t chain;
    double last, took; /* the last commit: when, seconds */
    int64_t kill_at, written, safe;
    bool resumed, broken; /* broken: a write failed half-way; nothing may follow it in this file */
    struct table index;   /* key -> index of record */
    struct record *record;
    int64_t n, cap;
    struct source *source;
    size_t n_sources;
};

/* -- records in memory -- */

static int remember(struct journal *j, const char *key, const void *value, size_t n, struct err *e)
{
    int64_t at;
    void *copy = mem_alloc(n + 1, e);
    if (!copy)
        return -1;
    memcpy(copy, value, n);
    if (j->n == j->cap) {
        int64_t cap = 2 * j->cap + 64;
        struct record *more = mem_resize(j->record, (size_t)cap * sizeof *more, e);
        if (!more) {
            mem_free(copy);
            return -1;
        }
        j->record = more;
        j->cap = cap;
    }
    /* an older value of the key stays where it is: it may be borrowed */
    bool had = table_get(&j->index, key, &at);
    struct record *r = &j->record[j->n];
    r->value = copy;
    r->n = n;
    r->key = had ? NULL : mem_strdup(key, e);
    if ((!had && !r->key) || table_put(&j->index, key, j->n, e)) {
        mem_free(r->key);
        mem_free(copy);
        return -1;
    }
    j->n++;
    return 0;
}

const void *journal_get(const struct journal *j, const char *key, size_t *n)
{
    int64_t at;
    if (!table_get(&j->index, key, &at))
        return NULL;
    if (n)
        *n = j->record[at].n;
    return j->record[at].value;
}

int64_t journal_count(const struct journal *j) { return (int64_t)j->index.n; }

const char *journal_key(const struct journal *j, int64_t i)
{
    for (int64_t k = 0; k < j->n; k++)
        if (j->record[k].key && !i--)
            return j->record[k].key;
    return NULL;
}

/* -- identity -- */

static int identity_text(const struct journal_options *o, struct buf *out, struct err *e)
{
    for (size_t i = 0; i < o->n_identity; i++)
        if (buf_add(out, o->identity[i].what, strlen(o->identity[i].what) + 1, e) ||
            buf_add(out, o->identity[i].value, strlen(o->identity[i].value) + 1, e))
            return -1;
    return 0;
}

/* The next string of p [n], or NULL at its end. */
static const char *next_string(const char *p, size_t n, size_t *at)
{
    const char *s = p + *at;
    const char *end = *at < n ? memchr(s, '\0', n - *at) : NULL;
    if (!end)
        return NULL;
    *at += (size_t)(end - s) + 1;
    return s;
}

static const char *value_of(const char *p, size_t n, const char *what)
{
    size_t at = 0;
    for (const char *w; (w = next_string(p, n, &at));) {
        const char *v = next_string(p, n, &at);
        if (v && !strcmp(w, what))
            return v;
    }
    return NULL;
}

/* The first line in which a and b differ. */
static void first_difference(const char *a, const char *b, struct slice *x, struct slice *y)
{
    for (;;) {
        *x = slice_of(a, strcspn(a, "\n"));
        *y = slice_of(b, strcspn(b, "\n"));
        bool same = x->n == y->n && !memcmp(a, b, x->n);
        if (!same || !a[x->n] || !b[y->n])
            return;
        a += x->n + 1;
        b += y->n + 1;
    }
}

static int say_difference(const struct journal *j, const char *what, const char *found, const char *expected,
                          struct err *e)
{
    if (!found || !expected)
        err_set(e, ERR_INPUT, "%s holds the work of another job: its %s is %s", j->dir, what,
                found ? "gone" : "new");
    else {
        struct slice x, y;
        first_difference(found, expected, &x, &y);
        err_set(e, ERR_INPUT, "%s holds the work of another job: %s differs: found '%.*s', expected '%.*s'",
                j->dir, what, (int)(x.n < 120 ? x.n : 120), x.p, (int)(y.n < 120 ? y.n : 120), y.p);
    }
    return err_hint(e, "run it as it was begun to go on; --resume never forgets what was finished");
}

static int compare_identity(const struct journal *j, const char *p, size_t n, struct err *e)
{
    if (n == j->identity.len && !memcmp(p, j->identity.p, n))
        return 0;
    size_t at = 0;
    for (const char *w; (w = next_string(j->identity.p, j->identity.len, &at));) {
        const char *mine = next_string(j->identity.p, j->identity.len, &at), *theirs = value_of(p, n, w);
        if (!theirs || strcmp(mine, theirs))
            return say_difference(j, w, theirs, mine, e);
    }
    at = 0;
    for (const char *w; (w = next_string(p, n, &at)); (void)next_string(p, n, &at))
        if (!value_of(j->identity.p, j->identity.len, w))
            return say_difference(j, w, value_of(p, n, w), NULL, e);
    return err_set(e, ERR_INPUT, "%s holds the work of another job", j->dir);
}

/* -- files -- */

static bool is_work(const char *key) { return strchr(key, '/') != NULL; }

struct reading {
    struct journal *j;
    struct source *s;
    struct err why; /* in what the identity differs */
};

static int take_record(void *arg, const char *key, const void *value, size_t n, struct err *e)
{
    struct reading *r = arg;
    if (!strcmp(key, journal_identity_key)) {
        r->s->foreign = r->j->name && compare_identity(r->j, value, n, &r->why);
        return 0;
    }
    if (r->s->foreign && !is_work(key))
        return 0;
    if (r->s->foreign) {
        if (e)
            *e = r->why;
        return -1;
    }
    r->j->safe++;
    r->j->resumed = r->j->resumed || (!r->j->file && is_work(key));
    return remember(r->j, key, value, n, e);
}

static int read_source(struct journal *j, struct source *s, struct err *e)
{
    char *path = path_join(j->dir, s->name, e);
    struct reading r = { .j = j, .s = s };
    int rc = path ? journal_scan(path, &s->cursor, take_record, &r, e) : -1;
    mem_free(path);
    return rc;
}

/* "journal.3.12" -> 3, 12 */
static bool journal_name(const char *name, int *rank, int *start)
{
    int end = 0;
    return sscanf(name, "journal.%d.%d%n", rank, start, &end) == 2 && !name[end];
}

/* A spool's name without its journal is left where a removal was cut short; its number is taken all the same. */
static bool spool_name(const char *name, int *rank, int *start)
{
    int end = 0;
    return sscanf(name, "spool.%d.%d%n", rank, start, &end) == 2 && !name[end];
}

static int add_source(struct journal *j, const char *name, struct err *e)
{
    for (size_t i = 0; i < j->n_sources; i++)
        if (!strcmp(j->source[i].name, name))
            return 0;
    struct source *more = mem_resize(j->source, (j->n_sources + 1) * sizeof *more, e);
    if (!more)
        return -1;
    j->source = more;
    memset(&more[j->n_sources], 0, sizeof *more);
    more[j->n_sources].name = mem_strdup(name, e);
    if (!more[j->n_sources].name)
        return -1;
    j->n_sources++;
    return 0;
}

int journal_refresh(struct journal *j, struct err *e)
{
    struct strs names = { 0 };
    int rc = path_list(j->dir, &names, e), rank, start;
    for (size_t i = 0; !rc && i < names.n; i++) {
        bool journal = journal_name(names.v[i], &rank, &start);
        if (!j->file && (journal || spool_name(names.v[i], &rank, &start)) && rank == j->rank &&
            start >= j->start)
            j->start = start + 1;
        if (journal && (!j->file || strcmp(names.v[i], j->name)))
            rc = add_source(j, names.v[i], e);
    }
    strs_release(&names);
    for (size_t i = 0; !rc && i < j->n_sources; i++)
        rc = read_source(j, &j->source[i], e);
    return rc;
}

int journal_clear(const char *dir, struct err *e)
{
    struct strs names = { 0 };
    int rc = path_list(dir, &names, e);
    for (size_t i = 0; !rc && i < names.n; i++)
        if (str_starts(names.v[i], "journal.") || str_starts(names.v[i], "spool.") ||
            str_starts(names.v[i], "walk.")) {
            char *path = path_join(dir, names.v[i], e);
            rc = path ? path_remove_tree(path, e) : -1;
            mem_free(path);
        }
    strs_release(&names);
    return rc;
}

/* This start's number is the first that nobody had; a name that appears meanwhile is another start's. */
static int create_file(struct journal *j, struct err *e)
{
    for (;; j->start++) {
        mem_free(j->name);
        j->name = mem_printf(e, "journal.%d.%d", j->rank, j->start);
        char *path = j->name ? path_join(j->dir, j->name, e) : NULL;
        struct err why = { 0 };
        if (path && !path_exists(path))
            j->file = file_scratch(path, &why);
        bool taken = path && !j->file && path_exists(path);
        mem_free(path);
        if (j->file)
            break;
        if (taken)
            continue;
        if (e && !e->code)
            *e = why;
        return -1;
    }
    return journal_encode(&j->waiting, journal_identity_key, j->identity.p, j->identity.len, &j->chain, e) ||
                   path_sync_dir(j->dir, e)
               ? -1
               : 0;
}

/* -- the door -- */

static struct journal *new_journal(const char *dir, struct err *e)
{
    struct journal *j = mem_alloc(sizeof *j, e);
    if (!j)
        return NULL;
    j->dir = mem_strdup(dir, e);
    if (j->dir)
        return j;
    journal_close(j);
    return NULL;
}

static int begin(struct journal *j, const struct journal_options *o, struct err *e)
{
    j->rank = o->rank;
    j->name = mem_strdup("", e); /* records of another identity are refused */
    if (!j->name || identity_text(o, &j->identity, e) ||
        (o->resume == RESUME_NEVER && !o->rank && journal_clear(o->dir, e)) || journal_refresh(j, e))
        return -1;
    if (o->resume == RESUME_REQUIRED && !j->resumed) {
        err_set(e, ERR_INPUT, "%s: nothing that was finished is there to go on from", o->dir);
        return err_hint(e, "--resume auto begins anew then");
    }
    if (o->rank ? owner_read(o->dir, j->token, e) : owner_take(o->dir, j->token, e))
        return -1;
    return create_file(j, e);
}

struct journal *journal_open(const struct journal_options *o, struct err *e)
{
    struct journal *j = new_journal(o->dir, e);
    const char *kill = getenv("QPIPE_KILL_AT_RECORD");
    if (!j)
        return NULL;
    j->kill_at = kill ? strtoll(kill, NULL, 10) : 0;
    if (!begin(j, o, e)) {
        j->last = clock_seconds();
        return j;
    }
    journal_close(j);
    err_while(e, "opening the journal in %s", o->dir);
    return NULL;
}

struct journal *journal_look(const char *dir, struct err *e)
{
    struct journal *j = new_journal(dir, e);
    if (j && !journal_refresh(j, e))
        return j;
    journal_close(j);
    return NULL;
}

int journal_put(struct journal *j, const char *key, const void *value, size_t n, struct err *e)
{
    size_t before = j->waiting.len;
    uint64_t chain = j->chain;
    if (journal_encode(&j->waiting, key, value, n, &j->chain, e) || remember(j, key, value, n, e)) {
        j->waiting.len = before;
        j->chain = chain;
        return -1;
    }
    j->n_waiting++;
    return 0;
}

int journal_note(struct journal *j, const char *key, const void *value, size_t n, struct err *e)
{
    if (journal_put(j, key, value, n, e))
        return -1;
    j->n_noted++;
    return 0;
}

/* For tests: the process dies behind its n-th record, as if the power had gone. */
static void die_here(const struct journal *j)
{
    if (j->kill_at && j->written >= j->kill_at)
        raise(SIGKILL);
}

int journal_commit(struct journal *j, int (*sync)(void *arg, struct err *e), void *arg, struct err *e)
{
    if (!j->n_waiting)
        return 0;
    double start = clock_seconds();
    if (j->broken)
        return err_set(e, ERR_IO, "%s/%s: an earlier write failed", j->dir, j->name);
    if (journal_owned(j, e) || (sync && sync(arg, e)))
        return -1;
    if (file_put(j->file, j->waiting.p, j->waiting.len, e) || file_sync(j->file, e)) {
        j->broken = true;
        return err_while(e, "writing the journal in %s", j->dir);
    }
    j->waiting.len = 0;
    j->written += j->n_waiting - j->n_noted;
    j->safe += j->n_waiting;
    j->n_waiting = j->n_noted = 0;
    j->last = clock_seconds();
    j->took = j->last - start;
    die_here(j);
    return 0;
}

bool journal_due(const struct journal *j)
{
    double pause = 10 * j->took > 1 ? 10 * j->took : 1;
    return j->n_waiting && (j->kill_at || clock_seconds() - j->last >= pause);
}

int journal_owned(const struct journal *j, struct err *e) { return owner_check(j->dir, j->token, e); }
bool journal_eager(const struct journal *j) { return j->kill_at > 0; }
bool journal_resumed(const struct journal *j) { return j->resumed; }
int64_t journal_committed(const struct journal *j) { return j->safe; }
int journal_start(const struct journal *j) { return j->start; }

void journal_close(struct journal *j)
{
    if (!j)
        return;
    file_keep(j->file, NULL);
    for (int64_t i = 0; i < j->n; i++) {
        mem_free(j->record[i].key);
        mem_free(j->record[i].value);
    }
    for (size_t i = 0; i < j->n_sources; i++)
        mem_free(j->source[i].name);
    mem_free(j->record);
    mem_free(j->source);
    table_release(&j->index);
    buf_release(&j->identity);
    buf_release(&j->waiting);
    mem_free(j->name);
    mem_free(j->dir);
    mem_free(j);
}
