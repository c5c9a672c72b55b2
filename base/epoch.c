/* epoch.c - SOURCE_DATE_EPOCH. */
#include "base/epoch.h"

#include <stdlib.h>

int source_date(int64_t *out, struct err *e)
{
    const int64_t last = INT64_C(253402300799);
    const char *text = getenv("SOURCE_DATE_EPOCH"), *p = text;
    int64_t v = 0;
    *out = 0;
    if (!text || !*text)
        return 0;
    for (; *p >= '0' && *p <= '9' && v <= last; p++)
        v = 10 * v + (*p - '0');
    if (*p || v > last) {
        err_set(e, ERR_INPUT,
                "SOURCE_DATE_EPOCH: found '%.40s', expected seconds since 1970 as a decimal number", text);
        return err_hint(e, "unset it, or take it from the release: git log -1 --format=%%ct");
    }
    *out = v;
    return 0;
}
