/* rebuild_sample.c - a few modules made again. Those without data are read, rounded and compared alone; those with data need the
 * walk, which ends behind the last block that was drawn. */
#include "base/mem.h"
#include "base/num.h"
#include "base/rng.h"
#include "pipeline/rebuild.h"
#include "stages/rows.h"

#include <stdlib.h>
#include <string.h>

static const uint64_t STREAM = UINT64_C(0x72656275696C64); /* "rebuild" */

static int by_number(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

int64_t rebuild_draw(const char manifest_sha256[HASH_HEX], int64_t n, int64_t k, int64_t *out, struct err *e)
{
    char head[17];
    memcpy(head, manifest_sha256, 16);
    head[16] = '\0';
    uint64_t *order = mem_array((size_t)n + 1, sizeof *order, e);
    if (!order)
        return -1;
    rng_permutation(strtoull(head, NULL, 16), STREAM, (uint64_t)n, order);
    k = k < n ? k : n;
    for (int64_t i = 0; i < k; i++)
        out[i] = (int64_t)order[i];
    qsort(out, (size_t)k, sizeof *out, by_number);
    mem_free(order);
    return k;
}

static bool drawn(const struct rebuild *r, const struct module_job *m)
{
    return strs_has(&r->module, m->module->name);
}

static bool walks(const struct job *j) { return j->needs_data; }

/* What need not be made is taken for done. With data, whatever lies before a drawn module is made too: its inputs come from there. */
static void leave_out(struct job *j, const struct rebuild *r)
{
    int64_t end = 0;
    for (int64_t i = 0; i < j->load.model.n_modules; i++)
        if (j->module[i].scheme && drawn(r, &j->module[i]) && j->module[i].module->block + 1 > end)
            end = j->module[i].module->block + 1;
    for (int64_t i = 0; i < j->load.model.n_modules; i++) {
        struct module_job *m = &j->module[i];
        bool before = walks(j) && m->module->block >= 0 && m->module->block < end;
        m->done = m->scheme && !drawn(r, m) && !before;
    }
    j->walk_end = end;
    j->needs_data = j->needs_data && end > 0; /* modules that no walk reaches need none */
}

static int digest_wrong(struct rebuild *r, const char *name, const char *found, const char *expected,
                        struct err *e)
{
    char *line = mem_printf(e, "tensor %s: found sha256 %s, expected %s", name, found, expected);
    int rc = line ? strs_add(&r->wrong, line, e) : -1;
    mem_free(line);
    r->tensors_differ++;
    return rc;
}

static const struct saved_tensor *made(const struct saved_tensor *t, int64_t n, const char *name)
{
    for (int64_t i = 0; i < n; i++)
        if (!strcmp(t[i].name, name))
            return &t[i];
    return NULL;
}

static bool belongs(const char *tensor, const char *prefix)
{
    size_t n = strlen(prefix);
    return !strncmp(tensor, prefix, n) && tensor[n] == '.' && !strchr(tensor + n + 1, '.');
}

/* Every tensor that the manifest lists of this module, and no other. The module's bias is copied, not made. */
static int compare_module(struct job *j, const struct module_job *m, const struct json *listed,
                          struct rebuild *r, struct err *e)
{
    int64_t n = 0, found = 0, of_module = 0;
    const struct saved_tensor *t = saver_tensors(j->saver, &n);
    char *prefix = tensor_prefix(m, e);
    int rc = prefix ? 0 : -1;
    for (int64_t i = 0; !rc && i < n; i++)
        of_module += belongs(t[i].name, prefix);
    for (size_t i = 0; !rc && i < json_len(listed); i++) {
        const char *name = json_str(json_get(json_item(listed, i), "name"), NULL);
        const char *sha = json_str(json_get(json_item(listed, i), "sha256"), NULL);
        if (!name || !sha || !belongs(name, prefix) || (m->module->bias && !strcmp(m->module->bias, name)))
            continue;
        const struct saved_tensor *s = made(t, n, name);
        r->tensors++;
        found += s != NULL;
        if (!s || strcmp(s->sha256, sha))
            rc = digest_wrong(r, name, s ? s->sha256 : "nothing", sha, e);
    }
    if (!rc && found != of_module) {
        r->tensors_differ++;
        char *line = mem_printf(e, "module %s: made %lld tensors, the manifest lists %lld of them",
                                m->module->name, (long long)of_module, (long long)found);
        rc = line ? strs_add(&r->wrong, line, e) : -1;
        mem_free(line);
    }
    mem_free(prefix);
    return rc;
}

int rebuild_modules(struct job *j, const char *dir, const struct json *predicate, struct rebuild *r,
                    struct err *e)
{
    const struct json *listed = json_get(json_get(predicate, "outputs"), "tensors");
    leave_out(j, r);
    j->saver = saver_new(dir, (uint64_t)j->save->shard_size, e);
    if (!j->saver || pass_run(j, dir, e) || saver_finish(j->saver, e))
        return -1;
    int rc = 0;
    for (int64_t i = 0; !rc && i < j->load.model.n_modules; i++)
        if (drawn(r, &j->module[i]) && j->module[i].scheme) {
            r->modules++;
            rc = compare_module(j, &j->module[i], listed, r, e);
        }
    return rc;
}
