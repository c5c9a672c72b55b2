/* replay.c - runs a fuzz entry over files without libFuzzer: every past find is replayed by any compiler in every test
 * run, and, with --mutate N, N broken variants of each file too (cut off, bytes changed, pieces doubled), always the same
 * ones. Not a fuzzer: no coverage feedback. Each input is handed over in a block of exactly its size, so that the address
 * sanitizer sees one byte too many.
 *
 *   replay_NAME [--mutate N] [--seconds S] FILE|FOLDER...      exit 1: no input at all */
#include "base/err.h"
#include "base/mem.h"
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LARGEST = 64 << 20 };
struct replay {
    long mutations;  /* of each file */
    double deadline; /* no further mutations after it; files themselves always run */
    uint64_t random; /* state of splitmix64, from the file's size: the same variants in every run */
    size_t files, variants, dropped;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static size_t pick(struct replay *r, size_t n)
{
    uint64_t z = (r->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return n ? (size_t)((z ^ (z >> 31)) % n) : 0;
}

static void give(const uint8_t *data, size_t size)
{
    struct err e = { 0 };
    uint8_t *exact = mem_alloc(size, &e);
    if (!exact) {
        fprintf(stderr, "replay: no memory for %zu bytes\n", size);
        exit(1);
    }
    if (size)
        memcpy(exact, data, size);
    LLVMFuzzerTestOneInput(exact, size);
    mem_free(exact);
}

/* One variant in work (room for 2 * size): a cut, up to four changed bytes, or a piece written twice. */
static size_t mutate(struct replay *r, const uint8_t *data, size_t size, uint8_t *work)
{
    static const uint8_t telling[] = { 0, 1, 0x7f, 0x80, 0xff, '"', '{', '[', '\n', ':', '-', '9', '\\' };
    memcpy(work, data, size);
    size_t at = pick(r, size), n = 1 + pick(r, size - at);
    switch (pick(r, 3)) {
    case 0: return at;
    case 1:
        for (size_t i = 0, k = 1 + pick(r, 4); i < k; i++) {
            size_t byte = pick(r, size);
            unsigned flipped = work[byte] ^ (1u << pick(r, 8));
            work[byte] = (uint8_t)(pick(r, 2) ? telling[pick(r, sizeof telling)] : flipped);
        }
        return size;
    default: memcpy(work + at + n, data + at, size - at); return size + n;
    }
}

static int run_file(struct replay *r, const char *path)
{
    struct err e = { 0 };
    struct stat st;
    FILE *f = fopen(path, "rb");
    if (!f || fstat(fileno(f), &st) || st.st_size > LARGEST) {
        fprintf(stderr, "replay: can not read %s, or larger than %d bytes\n", path, LARGEST);
        if (f)
            fclose(f);
        return -1;
    }
    size_t size = (size_t)st.st_size;
    uint8_t *data = mem_alloc(size, &e), *work = mem_alloc(2 * size, &e);
    int rc = data && work && fread(data, 1, size, f) == size ? 0 : -1;
    fclose(f);
    if (!rc) {
        fprintf(stderr, "replay: %s\n", path); /* the last line before a crash names the input */
        r->files++;
        r->random = size;
        give(data, size);
        for (long i = 0; size && i < r->mutations; i++) {
            if (now() > r->deadline) {
                r->dropped += (size_t)(r->mutations - i);
                break;
            }
            size_t n = mutate(r, data, size, work);
            give(work, n);
            r->variants++;
        }
    }
    mem_free(data);
    mem_free(work);
    return rc;
}

static int run_path(struct replay *r, const char *path)
{
    struct dirent **names;
    struct stat st;
    int rc = 0;
    if (stat(path, &st) || !S_ISDIR(st.st_mode))
        return run_file(r, path);
    int n = scandir(path, &names, NULL, alphasort);
    if (n < 0) {
        fprintf(stderr, "replay: can not list %s\n", path);
        return -1;
    }
    for (int i = 0; i < n; i++) {
        char inner[4096];
        int len = snprintf(inner, sizeof inner, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && len > 0 && (size_t)len < sizeof inner)
            rc |= run_path(r, inner);
        free(names[i]);
    }
    free(names);
    return rc;
}

int main(int argc, char **argv)
{
    struct replay r = { 0 };
    double start = now();
    int rc = 0, i = 1;
    r.deadline = start + 3600;
    for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
        if (strcmp(argv[i], "--mutate") == 0)
            r.mutations = strtol(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seconds") == 0)
            r.deadline = start + (double)strtol(argv[i + 1], NULL, 10);
        else
            return fprintf(stderr, "replay: unknown option %s\n", argv[i]), 2;
    }
    for (; i < argc; i++)
        rc |= run_path(&r, argv[i]);
    printf("replay: %zu files, %zu variants, %.1f s\n", r.files, r.variants, now() - start);
    if (r.dropped)
        printf("skipped: %zu variants of fuzz inputs (time limit)\n", r.dropped);
    return rc || r.files == 0;
}
