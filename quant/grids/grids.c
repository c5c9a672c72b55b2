/* grids.c - the table of grids and the way from a recipe's words to a row of it. */
#include "base/str.h"
#include "quant/grid.h"
#include <string.h>

extern const struct grid grid_int, grid_fp8, grid_nvfp4, grid_mxfp4, grid_mxfp8;

const struct grid *const grids[] = { &grid_int, &grid_fp8, &grid_nvfp4, &grid_mxfp4, &grid_mxfp8, NULL };

const struct grid *grid_find(const char *name)
{
    for (int i = 0; grids[i]; i++)
        if (strcmp(grids[i]->name, name) == 0)
            return grids[i];
    return NULL;
}

const struct grid *grid_for(const struct quant_args *a, struct err *e)
{
    char word[96], names[288] = "";
    for (int i = 0; grids[i]; i++) {
        struct err why = { 0 };
        if (grids[i]->accepts(a, &why) == 0)
            return grids[i];
        if (why.code == ERR_INPUT) { /* this grid's own kind, but malformed */
            err_set(e, why.code, "%s", why.what);
            err_hint(e, "%s", why.hint);
            return NULL;
        }
        size_t at = strlen(names);
        snprintf(names + at, sizeof names - at, "%s%s", i ? "; " : "", grids[i]->doc);
    }
    err_set(e, ERR_UNBUILT, "weights %s: no grid of this version realises them", quant_args_word(a, word));
    err_hint(e, "Grids that exist: %s.", names);
    return NULL;
}
