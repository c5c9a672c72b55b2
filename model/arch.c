/* arch.c - looking up rows of the architectures table, and saying what a known family still lacks. */
#include "model/arch.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/steps.h"
#include <string.h>

enum { MAX_ROWS = 128 };
/* All rows in the order of the files; computed on each call, so that no global is written. */
static int64_t all_rows(const struct arch *rows[MAX_ROWS])
{
    const struct arch *const *const lists[] = { families_rms, families_ln, families_later };
    int64_t n = 0;
    for (size_t l = 0; l < sizeof lists / sizeof *lists; l++)
        for (const struct arch *const *a = lists[l]; *a; a++) {
            BUG_ON(n == MAX_ROWS);
            rows[n++] = *a;
        }
    return n;
}

const struct arch *arch_row(int64_t i)
{
    const struct arch *rows[MAX_ROWS];
    return i >= 0 && i < all_rows(rows) ? rows[i] : NULL;
}

static bool has_alias(const char *list, const char *name)
{
    size_t n = strlen(name);
    while (list) {
        size_t len = strcspn(list, "|");
        if (len == n && !memcmp(list, name, n))
            return true;
        list = list[len] ? list + len + 1 : NULL;
    }
    return false;
}

const struct arch *arch_find(const char *model_type)
{
    const struct arch *rows[MAX_ROWS];
    int64_t n = all_rows(rows);
    for (int64_t i = 0; i < n; i++)
        if (!strcmp(rows[i]->name, model_type) || has_alias(rows[i]->aliases, model_type))
            return rows[i];
    return NULL;
}

int arch_unknown(const char *model_type, const char *file, struct err *e)
{
    const struct arch *rows[MAX_ROWS];
    const char *names[MAX_ROWS];
    int64_t n = all_rows(rows);
    for (int64_t i = 0; i < n; i++)
        names[i] = rows[i]->name;
    const char *near = str_nearest(model_type, names, (size_t)n, sizeof *names);
    err_set(e, ERR_UNBUILT,
            "%s: key 'model_type': found '%.80s', which is no architecture that this version knows", file,
            model_type);
    if (near)
        return err_hint(e, "Did you mean '%s'?", near);
    return err_hint(e, "`qpipe list architectures` shows what is built.");
}

/* Steps of one list whose kind is not built, into need[]. */
static void missing_in(const struct step *s, bool need[STEP_COUNT])
{
    for (; s && s->kind != STEP_COUNT; s++)
        if (!step_kinds[s->kind].run)
            need[s->kind] = true;
}

static bool missing_steps(const struct arch *a, bool need[STEP_COUNT])
{
    bool any = false;
    missing_in(a->prologue, need);
    for (const struct block_list *b = a->block; b->steps; b++)
        missing_in(b->steps, need);
    missing_in(a->epilogue, need);
    for (int k = 0; k < STEP_COUNT; k++)
        any = any || need[k];
    return any;
}

bool arch_built(const struct arch *a)
{
    bool need[STEP_COUNT] = { false };
    return !missing_steps(a, need) && !a->missing;
}

int arch_check(const struct arch *a, struct err *e)
{
    bool need[STEP_COUNT] = { false };
    char list[160] = "";
    size_t at = 0;
    if (missing_steps(a, need))
        for (int k = 0; k < STEP_COUNT; k++)
            if (need[k] && at < sizeof list)
                at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", at ? ", " : "step ",
                                       step_kinds[k].name);
    if (!at && !a->missing)
        return 0;
    err_set(e, ERR_UNBUILT, "architecture '%s' is known, but this version lacks %s%s%s", a->name, list,
            at && a->missing ? ", " : "", a->missing ? a->missing : "");
    return err_hint(e, "`qpipe list architectures` shows what is built. Data-free recipes need no model.");
}
