/* snapshot.c - a file of float32 streams a rank and block, `walk.BLOCK.FIRST.START`, and a note in the journal that says which chunks
 * it has and their sums. The file before the last one goes when the last one is noted. */
#include "stages/snapshot.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sum.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What the journal says of a file; sums of its chunks follow. */
struct note {
    int64_t block, first, end, width;
    char file[80];
};
struct found {
    struct note note;
    const unsigned char *sums; /* uint64_t each, not aligned */
};

static char *path_of(const struct job *j, const char *file, struct err *e)
{
    return path_join(units_dir(j), file, e);
}

static uint64_t sum_at(const struct found *f, int64_t chunk)
{
    uint64_t sum;
    memcpy(&sum, f->sums + (size_t)(chunk - f->note.first) * sizeof sum, sizeof sum);
    return sum;
}

/* Bytes before a chunk in the file that begins with chunk `first`. */
static uint64_t offset(const struct job *j, const struct note *n, int64_t chunk)
{
    int64_t tokens = 0;
    for (int64_t i = n->first; i < chunk; i++)
        tokens += j->data.len[i];
    return (uint64_t)(tokens * n->width) * sizeof(float);
}

/* -- keeping -- */

static int write_streams(struct span own, struct walker *w, struct out_file *f, uint64_t *sums, struct err *e)
{
    for (int64_t c = own.first; c < own.end; c++) {
        const float *x;
        int64_t n;
        if (walker_stream(w, c - own.first, &x, &n, e) || file_put(f, x, (size_t)n * sizeof *x, e))
            return -1;
        sums[c - own.first] = sum_bytes(x, (size_t)n * sizeof *x, (uint64_t)c);
    }
    return file_sync(f, e);
}

static int note_file(struct job *j, const struct note *n, const uint64_t *sums, struct err *e)
{
    char key[64];
    struct buf value = { 0 };
    snprintf(key, sizeof key, "walk.%lld.%lld", (long long)n->block, (long long)n->first);
    int rc = buf_add(&value, n, sizeof *n, e) ||
                     buf_add(&value, sums, (size_t)(n->end - n->first) * sizeof *sums, e) ||
                     unit_note(j, key, value.p, value.len, e) || unit_commit(j, e)
                 ? -1
                 : 0;
    buf_release(&value);
    return rc;
}

/* The file of an earlier block is of no use any more. */
static void forget(const struct job *j, const char *file)
{
    char *path = *file ? path_of(j, file, NULL) : NULL;
    if (path)
        unlink(path);
    mem_free(path);
}

static int write_file_of(struct job *j, struct span own, struct walker *w, const struct note *note,
                         uint64_t *sums, struct err *e)
{
    char *path = path_of(j, note->file, e);
    struct out_file *f = path ? file_scratch(path, e) : NULL;
    int rc = f ? write_streams(own, w, f, sums, e) : -1;
    if (f && rc)
        file_abandon(f);
    else if (f)
        rc = file_keep(f, e);
    mem_free(path);
    return rc;
}

/* No room for a snapshot is no reason to stop: the run goes on without. */
static int keep(struct job *j, struct snapshots *s, struct span own, struct walker *w, int64_t block,
                struct err *e)
{
    struct err why = { 0 };
    struct note note = { block, own.first, own.end, j->load.model.hidden, "" };
    snprintf(note.file, sizeof note.file, "walk.%lld.%lld.%d", (long long)block, (long long)own.first,
             units_start(j));
    uint64_t *sums = mem_array((size_t)(own.end - own.first) + 1, sizeof *sums, e);
    int rc = sums ? 0 : -1;
    if (sums && write_file_of(j, own, w, &note, sums, &why)) {
        rc = why.code == ERR_IO ? 0 : -1;
        s->off = true;
        if (rc && e)
            *e = why;
        else
            log_say(LOG_WARN, "activations are not kept any more: %s", why.what);
    } else if (sums && !(rc = note_file(j, &note, sums, e))) {
        forget(j, s->file);
        memcpy(s->file, note.file, sizeof s->file);
    }
    mem_free(sums);
    return rc;
}

/* Rank 0's clock decides for all, so that all keep the same blocks. */
int snapshot_keep(struct job *j, struct snapshots *s, struct span own, struct walker *w, int64_t block,
                  struct err *e)
{
    double now = clock_seconds(), pause = 20 * s->took > 10 ? 20 * s->took : 10;
    int due = units_eager(j) || (s->last > 0 && now - s->last >= pause);
    s->last = s->last > 0 ? s->last : now; /* the first block only starts the clock */
    if (comm_bcast(j->comm, &due, sizeof due, 0, e))
        return -1;
    if (!due || !j->units)
        return 0;
    if (!s->off && own.end > own.first && keep(j, s, own, w, block, e))
        return err_while(e, "keeping the activations before block %lld", (long long)block);
    s->last = clock_seconds();
    s->took = s->last - now;
    return 0;
}

/* -- finding -- */

static bool read_note(const struct job *j, const char *key, struct found *out)
{
    size_t n;
    const unsigned char *p = unit_noted(j, key, &n);
    if (!p || n < sizeof out->note)
        return false;
    memcpy(&out->note, p, sizeof out->note);
    out->sums = p + sizeof out->note;
    const struct note *o = &out->note;
    return o->first >= 0 && o->first < o->end && o->end <= j->data.n && o->width == j->load.model.hidden &&
           memchr(o->file, '\0', sizeof o->file) &&
           n == sizeof *o + (size_t)(o->end - o->first) * sizeof(uint64_t);
}

/* The note that has a chunk's stream before a block. */
static bool note_of(const struct job *j, int64_t block, int64_t chunk, struct found *out)
{
    int64_t n = units_keys(j);
    for (int64_t i = 0; i < n; i++) {
        const char *key = units_key(j, i);
        if (!strncmp(key, "walk.", 5) && read_note(j, key, out) && out->note.block == block &&
            out->note.first <= chunk && chunk < out->note.end)
            return true;
    }
    return false;
}

static bool all_finished(const struct job *j, int64_t block)
{
    for (int64_t i = 0; i < j->load.model.n_modules; i++) {
        const struct module_job *m = &j->module[i];
        if (m->scheme && m->module->block >= 0 && m->module->block < block && !m->restored)
            return false;
    }
    return true;
}

/* The stream of one chunk, mapped; false when it is not what was kept. */
static bool stream_of(const struct job *j, const struct found *f, int64_t chunk, struct mapped *map,
                      const unsigned char **x, size_t *bytes)
{
    char *path = path_of(j, f->note.file, NULL);
    uint64_t at = offset(j, &f->note, chunk);
    *bytes = (size_t)(j->data.len[chunk] * f->note.width) * sizeof(float);
    bool sound = path && !file_map(path, map, NULL);
    mem_free(path);
    if (!sound)
        return false;
    *x = map->p + at;
    sound = at + *bytes <= map->n && sum_bytes(*x, *bytes, (uint64_t)chunk) == sum_at(f, chunk);
    if (!sound)
        file_unmap(map);
    return sound;
}

/* Are this rank's streams before a block there? */
static bool have(const struct job *j, struct span own, int64_t block)
{
    for (int64_t c = own.first; c < own.end; c++) {
        struct found f;
        struct mapped map = { 0 };
        const unsigned char *x;
        size_t bytes;
        if (!note_of(j, block, c, &f) || !stream_of(j, &f, c, &map, &x, &bytes))
            return false;
        file_unmap(&map);
    }
    return true;
}

/* The last block that any note speaks of, before `below`. */
static int64_t candidate(const struct job *j, int64_t below)
{
    int64_t best = 0, n = units_keys(j);
    for (int64_t i = 0; i < n; i++) {
        struct found f;
        const char *key = units_key(j, i);
        if (!strncmp(key, "walk.", 5) && read_note(j, key, &f) && f.note.block < below && f.note.block > best)
            best = f.note.block;
    }
    return best;
}

int snapshot_find(struct job *j, struct span own, int64_t *block, struct err *e)
{
    int64_t b = j->load.model.n_blocks + 1;
    *block = 0;
    if (!j->units)
        return 0;
    for (;;) {
        b = candidate(j, b);
        int64_t mine = b;
        if (comm_bcast(j->comm, &b, sizeof b, 0, e))
            return -1;
        int ok = b == mine && b > 0 && all_finished(j, b) && have(j, own, b);
        int *all = mem_array((size_t)j->comm->size, sizeof *all, e);
        if (!all)
            return -1;
        all[j->comm->rank] = ok;
        int rc = ranks_share_around(j->comm, all, sizeof *all, j->comm->size, e);
        for (int r = 0; !rc && r < j->comm->size; r++)
            ok = ok && all[r];
        mem_free(all);
        if (rc)
            return -1;
        if (ok)
            *block = b;
        if (ok || !b)
            return 0;
    }
}

int snapshot_take(struct job *j, struct span own, int64_t block, struct walker *w, struct err *e)
{
    for (int64_t c = own.first; c < own.end; c++) {
        struct found f;
        struct mapped map = { 0 };
        const unsigned char *x;
        size_t bytes;
        int64_t n;
        float *to = walker_place(w, c - own.first, &n);
        if (!note_of(j, block, c, &f) || !stream_of(j, &f, c, &map, &x, &bytes) ||
            bytes != (size_t)n * sizeof *to)
            return err_set(e, ERR_INPUT, "%s: the activations before block %lld changed while they were read",
                           units_dir(j), (long long)block);
        memcpy(to, x, bytes);
        file_unmap(&map);
        if (walker_placed(w, e))
            return -1;
    }
    walker_resume(w, block);
    for (int64_t i = 0; i < j->load.model.n_modules; i++) {
        struct module_job *m = &j->module[i];
        if (m->scheme && m->module->block >= 0 && m->module->block < block && unit_module_take(j, m, e))
            return -1;
    }
    return 0;
}
