/* identity.c - the lines. Small files count whole; of shards the header does (names, shapes, places), and their size: what
 * their tensors hold is in the records of the units that were made from them (stages/units.c). */
#include "pipeline/identity.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/version.h"
#include "kernels/compute.h"

#include <string.h>

static int add(struct identity *id, const char *what, const char *value, struct err *e)
{
    return strs_add(&id->text, what, e) || strs_add(&id->text, value, e) ? -1 : 0;
}

/* The bytes of a file that count: all, or of a safetensors file those of its header. */
static uint64_t counted(const struct mapped *m, bool shard)
{
    uint64_t n;
    if (!shard || m->n < sizeof n)
        return m->n;
    memcpy(&n, m->p, sizeof n);
    return n <= m->n - sizeof n ? n + sizeof n : m->n;
}

static int add_file(const struct job *j, const char *name, bool shard, struct identity *id, struct err *e)
{
    struct mapped m = { 0 };
    char sha[HASH_HEX];
    char *path = path_join(j->load.checkpoint.dir, name, e);
    int rc = path && !file_map(path, &m, e) ? hash_bytes(m.p, (size_t)counted(&m, shard), sha, e) : -1;
    char *what = rc ? NULL : mem_printf(e, "input %s", name);
    char *value =
        what ? mem_printf(e, "%llu bytes, %s%s", (unsigned long long)m.n, shard ? "header " : "sha256 ", sha)
             : NULL;
    rc = value ? add(id, what, value, e) : -1;
    file_unmap(&m);
    mem_free(value);
    mem_free(what);
    mem_free(path);
    return rc;
}

static int add_files(const struct job *j, struct identity *id, struct err *e)
{
    const struct checkpoint *c = &j->load.checkpoint;
    struct strs small = { 0 };
    int rc = checkpoint_side_files(c, &small, e) || strs_add(&small, "config.json", e) ? -1 : 0;
    strs_sort(&small);
    for (size_t i = 0; !rc && i < small.n; i++)
        rc = add_file(j, small.v[i], false, id, e);
    for (size_t i = 0; !rc && i < c->shards.n; i++)
        rc = add_file(j, c->shards.v[i], true, id, e);
    strs_release(&small);
    return rc;
}

static int add_recipe(const struct job *j, struct identity *id, struct err *e)
{
    struct buf text = { 0 };
    int rc = recipe_resolved(j->recipe, false, &text, e) ? -1 : add(id, "recipe", text.p, e);
    buf_release(&text);
    return rc;
}

static int add_build(struct identity *id, struct err *e)
{
    const struct compute *c = compute_now();
    char *text = mem_printf(e, "qpipe %s, commit %s, math %s", QP_VERSION, version_commit(),
                            c->exact ? "exact" : c->version());
    int rc = text ? add(id, "build", text, e) : -1;
    mem_free(text);
    return rc;
}

int identity_of(const struct job *j, struct identity *id, struct err *e)
{
    if (add_recipe(j, id, e) || add_build(id, e) || add_files(j, id, e) ||
        (job_calibrates(j) && add(id, "calibration tokens", j->data.tokens_sha256, e)))
        return -1;
    id->n = id->text.n / 2;
    id->line = mem_array(id->n + 1, sizeof *id->line, e);
    for (size_t i = 0; id->line && i < id->n; i++)
        id->line[i] = (struct journal_identity){ id->text.v[2 * i], id->text.v[2 * i + 1] };
    return id->line ? 0 : -1;
}

void identity_release(struct identity *id)
{
    mem_free(id->line);
    strs_release(&id->text);
    memset(id, 0, sizeof *id);
}
