/* shards.c - finding the files of a checkpoint, checking them against their index, and one sorted list of all tensors.
 * Files that the index does not name (`consolidated.safetensors` beside shards) are left alone, with a line in the log. */
#include "io/shards.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static const char index_name[] = "model.safetensors.index.json", single_name[] = "model.safetensors";

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct shard_tensor *)a)->entry->info.name,
                  ((const struct shard_tensor *)b)->entry->info.name);
}

const struct shard_tensor *shards_find(const struct shards *s, const char *name)
{
    struct st_entry key = { .info.name = name };
    struct shard_tensor probe = { &key, 0 };
    return s->n ? bsearch(&probe, s->tensor, (size_t)s->n, sizeof *s->tensor, by_name) : NULL;
}

/* -- which files -- */

/* A file name of the index: in the folder itself, and of the format that we read. */
static int check_file_name(const char *index, const char *tensor, const struct json *j, struct err *e)
{
    const char *name = json_str(j, NULL);
    if (!name)
        return err_set(e, ERR_INPUT, "%s: weight_map of tensor '%s' is %s, expected a file name", index,
                       tensor, json_type_name(json_type(j)));
    if (strchr(name, '/') || !str_ends(name, ".safetensors"))
        return err_set(e, ERR_INPUT,
                       "%s: tensor '%s' is said to lie in '%s', expected a *.safetensors file of the folder",
                       index, tensor, name);
    return 0;
}

static int files_of_index(const struct json *map, const char *index, struct strs *out, struct err *e)
{
    struct strs all = { 0 };
    int rc = 0;
    for (void *it = json_first(map); !rc && it; it = json_next(map, it)) {
        rc = check_file_name(index, json_it_key(it), json_it_value(it), e);
        const char *name = json_str(json_it_value(it), NULL);
        /* neighbours are mostly of one file */
        if (!rc && (!all.n || strcmp(all.v[all.n - 1], name)))
            rc = strs_add(&all, name, e);
    }
    strs_sort(&all);
    for (size_t i = 0; !rc && i < all.n; i++)
        if (!i || strcmp(all.v[i], all.v[i - 1]))
            rc = strs_add(out, all.v[i], e);
    strs_release(&all);
    if (!rc && !out->n)
        rc = err_set(e, ERR_INPUT, "%s: weight_map names no tensor", index);
    return rc;
}

static int no_weights(const char *dir, const struct strs *all, struct err *e)
{
    err_set(e, ERR_INPUT, "%s: found no *.safetensors file", dir);
    for (size_t i = 0; i < all->n; i++)
        if (str_ends(all->v[i], ".bin") || str_ends(all->v[i], ".pt") || str_ends(all->v[i], ".gguf"))
            return err_hint(e, "%s is not read; convert the model to safetensors (save_pretrained) first",
                            all->v[i]);
    return -1;
}

static int files_without_index(const char *dir, struct strs *out, struct err *e)
{
    struct strs all = { 0 };
    const char *only = NULL;
    size_t n = 0;
    int rc = path_list(dir, &all, e);
    for (size_t i = 0; !rc && i < all.n; i++)
        if (str_ends(all.v[i], ".safetensors")) {
            only = all.v[i];
            n++;
        }
    if (!rc && strs_has(&all, single_name))
        rc = strs_add(out, single_name, e);
    else if (!rc && n == 1)
        rc = strs_add(out, only, e);
    else if (!rc && n)
        rc = err_set(e, ERR_INPUT, "%s: found %zu *.safetensors files, but neither %s nor %s", dir, n,
                     index_name, single_name);
    else if (!rc)
        rc = no_weights(dir, &all, e);
    strs_release(&all);
    return rc;
}

/* -- opening -- */

static int open_files(const char *dir, const char *index, struct shards *s, struct err *e)
{
    s->file = mem_array(s->name.n, sizeof *s->file, e);
    if (!s->file)
        return -1;
    for (size_t i = 0; i < s->name.n; i++) {
        char *path = path_join(dir, s->name.v[i], e);
        if (!path)
            return -1;
        int rc = 0;
        if (index && !path_exists(path))
            rc = err_set(e, ERR_INPUT, "%s: names the file '%s', which is not there", index, s->name.v[i]);
        rc = rc || st_open(path, &s->file[i], e);
        mem_free(path);
        if (rc)
            return -1;
    }
    return 0;
}

static int merge(const char *dir, struct shards *s, struct err *e)
{
    size_t total = 0;
    for (size_t i = 0; i < s->name.n; i++)
        total += (size_t)s->file[i].n;
    s->tensor = mem_array(total ? total : 1, sizeof *s->tensor, e);
    if (!s->tensor)
        return -1;
    for (size_t i = 0; i < s->name.n; i++)
        for (int64_t k = 0; k < s->file[i].n; k++) {
            struct shard_tensor t = { &s->file[i].entry[k], (int64_t)i };
            s->tensor[s->n++] = t;
        }
    qsort(s->tensor, (size_t)s->n, sizeof *s->tensor, by_name);
    for (int64_t i = 1; i < s->n; i++)
        if (!by_name(&s->tensor[i - 1], &s->tensor[i])) {
            /* equal names: qsort leaves their order open, the message must not */
            int64_t a = s->tensor[i - 1].shard, b = s->tensor[i].shard;
            return err_set(e, ERR_INPUT, "%s: tensor '%s' lies in both %s and %s", dir,
                           s->tensor[i].entry->info.name, s->name.v[a < b ? a : b], s->name.v[a < b ? b : a]);
        }
    return 0;
}

/* Every tensor of the index must lie where it says. Tensors that only a shard knows stay: other readers see them too. */
static int check_index(const struct json *map, const char *index, const struct shards *s, struct err *e)
{
    for (void *it = json_first(map); it; it = json_next(map, it)) {
        const char *want = json_str(json_it_value(it), NULL), *name = json_it_key(it);
        const struct shard_tensor *t = shards_find(s, name);
        if (!t)
            return err_set(e, ERR_INPUT, "%s: tensor '%s' is not in %s", index, name, want);
        if (strcmp(s->name.v[t->shard], want))
            return err_set(e, ERR_INPUT, "%s: tensor '%s' is said to lie in %s, but lies in %s", index, name,
                           want, s->name.v[t->shard]);
    }
    if ((size_t)s->n != json_len(map))
        log_say(LOG_WARN, "%s names %zu tensors, the files hold %lld: all of them are taken", index,
                json_len(map), (long long)s->n);
    return 0;
}

static int tell_unread(const char *dir, const struct shards *s, struct err *e)
{
    struct strs all = { 0 };
    int rc = path_list(dir, &all, e);
    for (size_t i = 0; !rc && i < all.n; i++)
        if (str_ends(all.v[i], ".safetensors") && !strs_has(&s->name, all.v[i]))
            log_say(LOG_INFO, "%s/%s is not part of the checkpoint: not read", dir, all.v[i]);
    strs_release(&all);
    return rc;
}

static int open_indexed(const char *dir, const char *index, struct shards *s, struct err *e)
{
    struct json *root = json_read(index, JSON_BIG_LIMIT, e);
    if (!root)
        return -1;
    const struct json *map = json_get(root, "weight_map");
    int rc = -1;
    if (json_type(map) != JSON_OBJECT)
        err_set(e, ERR_INPUT, "%s: key 'weight_map' is %s, expected an object", index,
                map ? json_type_name(json_type(map)) : "missing");
    else
        rc = files_of_index(map, index, &s->name, e) || open_files(dir, index, s, e) || merge(dir, s, e) ||
             check_index(map, index, s, e);
    json_free(root);
    return rc ? -1 : 0;
}

struct shards *shards_open(const char *dir, struct err *e)
{
    struct shards *s = mem_alloc(sizeof *s, e);
    char *index = s ? path_join(dir, index_name, e) : NULL;
    int rc = index ? 0 : -1;
    if (!rc && path_exists(index))
        rc = open_indexed(dir, index, s, e);
    else if (!rc)
        rc = files_without_index(dir, &s->name, e) || open_files(dir, NULL, s, e) || merge(dir, s, e);
    rc = rc || tell_unread(dir, s, e);
    mem_free(index);
    if (!rc)
        return s;
    shards_free(s);
    return NULL;
}

void shards_free(struct shards *s)
{
    if (!s)
        return;
    for (size_t i = 0; s->file && i < s->name.n; i++)
        st_close(&s->file[i]);
    mem_free(s->file);
    mem_free(s->tensor);
    strs_release(&s->name);
    mem_free(s);
}

/* -- as a tensor_source -- */

static const struct tensor_info *source_at(void *self, int64_t i)
{
    const struct shards *s = self;
    BUG_ON(i < 0 || i >= s->n);
    return &s->tensor[i].entry->info;
}

static const struct tensor_info *source_find(void *self, const char *name)
{
    const struct shard_tensor *t = shards_find(self, name);
    return t ? &t->entry->info : NULL;
}

static const struct shard_tensor *need(const struct shards *s, const char *name, struct err *e)
{
    const struct shard_tensor *t = shards_find(s, name);
    if (!t)
        err_set(e, ERR_INPUT, "the checkpoint holds no tensor '%s'", name);
    return t;
}

void read_stored_f32(enum dtype t, const unsigned char *p, int64_t n, float *out)
{
    /* data of a shard with an odd header length lies on odd addresses: such pieces go through an aligned one */
    int64_t size = dtypes[t].bytes;
    if ((uintptr_t)p % (uintptr_t)size == 0) {
        dtype_to_f32(t, p, n, out);
        return;
    }
    uint64_t piece[512];
    int64_t fit = (int64_t)sizeof piece / size;
    for (int64_t i = 0; i < n; i += fit) {
        int64_t k = n - i < fit ? n - i : fit;
        memcpy(piece, p + i * size, (size_t)(k * size));
        dtype_to_f32(t, piece, k, out + i);
    }
}

enum { FORGET = 1 << 20 };

static int source_read(void *self, const char *name, int64_t row, int64_t n, float *out, struct err *e)
{
    const struct shards *s = self;
    const struct shard_tensor *t = need(s, name, e);
    if (!t)
        return -1;
    const struct tensor_info *info = &t->entry->info;
    const char *file = s->file[t->shard].map.path;
    int64_t rows = info->rank ? info->dim[0] : 1, width = 1;
    for (int i = 1; i < info->rank; i++)
        width *= info->dim[i];
    if (row < 0 || n < 0 || row > rows || n > rows - row)
        return err_set(e, ERR_INPUT, "%s: tensor '%s': rows %lld to %lld asked for, it has %lld", file, name,
                       (long long)row, (long long)(row + n), (long long)rows);
    if (!dtypes[info->dtype].is_float)
        return err_set(e, ERR_INPUT, "%s: tensor '%s' is %s, expected a floating-point dtype", file, name,
                       dtypes[info->dtype].name);
    const unsigned char *p = s->file[t->shard].base + t->entry->begin;
    int64_t from = row * width * dtypes[info->dtype].bytes, bytes = n * width * dtypes[info->dtype].bytes;
    read_stored_f32(info->dtype, p + from, n * width, out);
    /* pages of a matrix are not needed again soon: they stay in the page cache, not in what is resident here */
    const struct mapped *map = &s->file[t->shard].map;
    if (bytes >= FORGET)
        file_forget(map, (uint64_t)(p - (const unsigned char *)map->p) + (uint64_t)from, (uint64_t)bytes);
    return 0;
}

static int source_view(void *self, const char *name, struct tensor_view *out, struct err *e)
{
    const struct shards *s = self;
    const struct shard_tensor *t = need(s, name, e);
    if (!t)
        return -1;
    *out = st_view(&s->file[t->shard], t->entry);
    return 0;
}

static void source_close(void *self) { shards_free(self); }

struct tensor_source shards_source(struct shards *s)
{
    struct tensor_source t = { s, s->n, source_at, source_find, source_read, source_view, source_close };
    return t;
}
