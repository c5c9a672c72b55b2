/* smooth_units.c - keeping and taking the scales of mappings. */
#include "stages/smooth_units.h"

#include "base/mem.h"

#include <string.h>

static char *key_of(const struct smooth_job *s, struct err *e)
{
    return mem_printf(e, "smooth/%d.%d/%s", s->stage, s->map.balance[0]->group, s->map.smooth->name);
}

bool smooth_unit_done(const struct job *j, const struct smooth_job *s)
{
    char *key = j->units ? key_of(s, NULL) : NULL;
    bool done = key && unit_done(j, key);
    mem_free(key);
    return done;
}

static size_t size_of(const struct smooth_job *s)
{
    return sizeof s->result + (size_t)s->map.channels * sizeof(float);
}

int smooth_unit_keep(struct job *j, const struct smooth_job *s, struct err *e)
{
    if (!j->units)
        return 0;
    char *key = key_of(s, e), *value = key ? mem_alloc(size_of(s), e) : NULL;
    int rc = -1;
    if (value) {
        memcpy(value, &s->result, sizeof s->result);
        memcpy(value + sizeof s->result, s->scale, size_of(s) - sizeof s->result);
        rc = unit_begin(j, key, e) || unit_end(j, value, size_of(s), e) ? -1 : 0;
    }
    mem_free(value);
    mem_free(key);
    return rc;
}

int smooth_unit_take(struct job *j, struct smooth_job *s, struct err *e)
{
    char *key = key_of(s, e), *value = key ? mem_alloc(size_of(s), e) : NULL;
    int rc = value ? unit_take(j, key, value, size_of(s), e) : -1;
    if (!rc) {
        memcpy(&s->result, value, sizeof s->result);
        memcpy(s->scale, value + sizeof s->result, size_of(s) - sizeof s->result);
    }
    mem_free(value);
    mem_free(key);
    return rc;
}

bool smooth_stage_done(const struct job *j, int stage)
{
    for (int64_t i = 0; i < j->smooth.n; i++)
        if (j->smooth.v[i].stage == stage && !smooth_unit_done(j, &j->smooth.v[i]))
            return false;
    return true;
}
