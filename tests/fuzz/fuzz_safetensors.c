/* fuzz_safetensors.c - any bytes as a safetensors file: an error with a text, or tensors that tile the data exactly and can
 * be read to their last byte. */
#include "base/json.h"
#include "base/mem.h"
#include "io/safetensors.h"
#include "io/shards.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every element as float32 where the dtype has such, and every byte: the largest of them. */
static unsigned touch(const struct st_file *f, const struct st_entry *t)
{
    struct tensor_view v = st_view(f, t);
    uint64_t n = (uint64_t)view_bytes(&v);
    unsigned most = 0;
    float x[64];
    BUG_ON(n != t->end - t->begin || st_find(f, t->info.name) != t);
    for (uint64_t i = 0; i < n; i++)
        most = ((const uint8_t *)v.data)[i] > most ? ((const uint8_t *)v.data)[i] : most;
    int64_t elems = view_elems(&v), step = dtypes[v.dtype].bytes;
    for (int64_t i = 0; dtypes[v.dtype].is_float && i < elems; i += 64)
        read_stored_f32(v.dtype, (const uint8_t *)v.data + i * step, elems - i < 64 ? elems - i : 64, x);
    return most;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = { 0 };
    struct st_file f;
    if (st_parse(data, size, "input", &f, &e)) {
        BUG_ON(e.code != ERR_INPUT && e.code != ERR_LIMIT && e.code != ERR_UNBUILT);
        BUG_ON(!e.what[0] || f.entry);
        return 0;
    }
    uint64_t bytes = 0;
    for (int64_t i = 0; i < f.n; i++) {
        bytes += f.entry[i].end - f.entry[i].begin;
        BUG_ON(touch(&f, &f.entry[i]) > 255);
    }
    BUG_ON(bytes > size - 8);
    st_close(&f);
    return 0;
}
