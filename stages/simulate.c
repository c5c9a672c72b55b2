/* simulate.c - a container's words about activations, asked for module by module and layer by layer. */
#include "stages/simulate.h"

#include "base/mem.h"
#include "io/containers/container.h"
#include "model/arch.h"
#include "model/config.h"

#include <string.h>

char *module_prefix(const struct module *m, struct err *e)
{
    size_t n = strlen(m->tensor);
    return mem_strndup(m->tensor, str_ends(m->tensor, ".weight") ? n - 7 : n, e);
}

char *attention_prefix(const struct model *m, int64_t b, struct err *e)
{
    const struct module *o = model_part(m, b, P_O);
    char *name = o && o->tensor ? module_prefix(o, e) : NULL, *dot = name ? strrchr(name, '.') : NULL;
    if (dot)
        *dot = 0;
    return name;
}

static int read_modules(const struct checkpoint *c, const struct model *m, struct activations *out, bool *any,
                        struct err *e)
{
    for (int64_t i = 0; i < m->n_modules; i++) {
        if (!m->module[i].tensor || !m->module[i].quantizable)
            continue;
        char *name = module_prefix(&m->module[i], e);
        int rc = name ? c->container->activation(c->decoder, name, &out->module[i], e) : -1;
        mem_free(name);
        if (rc)
            return -1;
        *any = *any || out->module[i].on;
    }
    return 0;
}

static int read_caches(const struct checkpoint *c, const struct model *m, struct activations *out, bool *any,
                       struct err *e)
{
    if (!c->container->cache_scheme(c->decoder))
        return 0;
    for (int64_t b = 0; b < m->n_blocks; b++) {
        char *name = attention_prefix(m, b, e);
        if (!name)
            return err_set(e, ERR_UNBUILT,
                           "layer %lld has no attention whose cache kv_cache_scheme could mean",
                           (long long)b);
        int rc = c->container->cache(c->decoder, name, m->config->kv_heads, &out->key[b], &out->value[b], e);
        mem_free(name);
        if (rc)
            return -1;
        *any = true;
    }
    return 0;
}

int simulate_open(const struct checkpoint *c, enum simulate how, struct model *m, struct activations *out,
                  struct err *e)
{
    bool any = false;
    memset(out, 0, sizeof *out);
    if (!c->container || how == ACTIVATIONS_FLOAT)
        return 0;
    if (activations_init(out, m->n_modules, m->n_blocks, e) || read_modules(c, m, out, &any, e) ||
        read_caches(c, m, out, &any, e)) {
        activations_release(out);
        return err_while(e, "reading how %s rounds activations (activations: float leaves it out)", c->dir);
    }
    if (any)
        m->activations = out;
    else
        activations_release(out);
    return 0;
}

void simulate_count(const struct model *m, int64_t *inputs, int64_t *caches)
{
    const struct activations *a = m->activations;
    *inputs = *caches = 0;
    for (int64_t i = 0; a && i < a->n_modules; i++)
        *inputs += a->module[i].on;
    for (int64_t i = 0; a && i < a->n_blocks; i++)
        *caches += a->key[i].on;
}
