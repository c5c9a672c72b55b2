/* list.c - the architectures and steps tables as rows for `qpipe list`. `built` follows from the steps, so the rows are
 * put together here; every call writes the same values. Main thread only. */
#include "model/arch.h"
#include "model/model.h"
#include "model/steps.h"

const struct table_row *model_architectures(int64_t *n)
{
    static struct table_row rows[128];
    int64_t i = 0;
    for (const struct arch *a; (a = arch_row(i)) != NULL; i++) {
        BUG_ON(i == 128);
        rows[i] = (struct table_row){ a->name, a->doc, arch_built(a) };
    }
    *n = i;
    return rows;
}

const struct table_row *model_steps(int64_t *n)
{
    static struct table_row rows[STEP_COUNT];
    for (int k = 0; k < STEP_COUNT; k++)
        rows[k] = (struct table_row){ step_kinds[k].name, step_kinds[k].doc, step_kinds[k].run != NULL };
    *n = STEP_COUNT;
    return rows;
}
