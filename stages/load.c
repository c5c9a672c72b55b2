/* load.c - the load stage: a checkpoint's folder, its shape, its modules. Headers and small files only; tensors are
 * mapped, and read when a block or module is due. */
#include "stages/rows.h"

#include "base/mem.h"

#include <string.h>

static int weight_dtype(struct job *j, struct module_job *m, struct err *e)
{
    const struct tensor_source *t = &j->load.checkpoint.tensors;
    const struct tensor_info *info = t->find(t->self, m->module->tensor);
    if (!info)
        return err_set(e, ERR_BUG, "module '%s' lost its tensor '%s'", m->module->name, m->module->tensor);
    m->dtype = info->dtype;
    return 0;
}

/* The place of an architecture's error is config.json, which its text names; the rest is for the plan's reader. */
static int note_names(struct job *j, struct err *e)
{
    if (j->load.model.arch)
        return 0;
    return job_note(j, e,
                    "modules are known by the names of their tensors alone (%.300s); see the rules below",
                    j->load.why.what);
}

static int plan(struct job *j, int index, struct err *e)
{
    (void)index;
    if (!j->recipe->model) {
        err_set(e, ERR_INPUT, "%s: no model is named", j->recipe->path);
        return err_hint(e, "give --model DIR, or `model:` in the recipe");
    }
    struct load_state *l = &j->load;
    if (checkpoint_open(j->recipe->model, &l->checkpoint, e))
        return -1;
    if (l->checkpoint.container) {
        err_set(e, ERR_INPUT, "%s: the checkpoint is quantized already (%s)", j->recipe->model,
                l->checkpoint.container->name);
        return err_hint(e, "start from the original checkpoint; `qpipe inspect` shows what this one holds");
    }
    if (!l->checkpoint.config)
        return err_set(e, ERR_INPUT, "%s: found no config.json", j->recipe->model);
    if (model_open_any(l->checkpoint.config, &l->checkpoint.tensors, j->recipe->model, &l->model, &l->why,
                       e) ||
        note_names(j, e))
        return -1;
    j->module = mem_array((size_t)l->model.n_modules, sizeof *j->module, e);
    if (!j->module)
        return -1;
    for (int64_t i = 0; i < l->model.n_modules; i++) {
        j->module[i].module = &l->model.module[i];
        j->module[i].stage = -1;
        if (l->model.module[i].tensor && weight_dtype(j, &j->module[i], e))
            return -1;
    }
    return 0;
}

const struct stage stage_load = { "load", plan };
