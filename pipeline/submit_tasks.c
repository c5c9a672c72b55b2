/* submit_tasks.c - recipes and variants of a command line to runs: the program's words for each, and what each needs by its plan. */
#include "base/file.h"
#include "base/mem.h"
#include "pipeline/manifest.h"
#include "pipeline/plan.h"
#include "pipeline/submit.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

enum { MOST_TASKS = 1000 };

char *submission_absolute(const char *path, struct err *e)
{
    char here[PATH_MAX];
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    if (*path == '/')
        return mem_strndup(path, n, e);
    if (!getcwd(here, sizeof here)) {
        err_io(e, "find", "the working folder");
        return NULL;
    }
    return mem_printf(e, "%s/%.*s", here, (int)n, path);
}

/* ---- what one run needs ---- */

/* Verification walks both models over the held-out text, and sums Gram matrices of it for the modules' output errors. */
static double verify_flop(const struct job *j, const struct plan_cost *c)
{
    double tokens = (double)j->heldout.tokens;
    int64_t longest = 0;
    if (!j->verify || tokens <= 0)
        return 0;
    for (int64_t i = 0; i < j->heldout.n; i++)
        longest = j->heldout.len[i] > longest ? j->heldout.len[i] : longest;
    return 2 * model_forward_flops(&j->load.model, j->heldout.tokens, longest) +
           (c->tokens ? c->gram * tokens / (double)c->tokens : 0);
}

static int check_output(const struct cli *c, const struct recipe *r, struct err *e)
{
    if (!r->output) {
        err_set(e, ERR_INPUT, "%s: no output is named", r->path);
        return err_hint(e, "give `output:` in the recipe, or --output for one run");
    }
    if (c->force || !path_exists(r->output))
        return 0;
    err_set(e, ERR_INPUT, "output '%s' exists already", r->output);
    return err_hint(e, "give another output, or --force to replace it when the new one is complete");
}

static int measure(const struct cli *c, const struct recipe *r, struct demand *d, struct err *e)
{
    struct job j;
    struct plan_cost cost;
    if (check_output(c, r, e) || job_plan(r, c->allow_unmatched, &j, e))
        return -1;
    plan_cost(&j, &cost);
    d->forward = cost.forward;
    d->blocks = j.load.model.n_blocks > 0 ? j.load.model.n_blocks : 1;
    d->kept = !j.smooth.n && !j.by_layers && !job_asymmetric(&j); /* as stages/snapshot.h does it */
    d->walk = cost.forward + cost.gram + cost.factor + cost.solve;
    d->verify = verify_flop(&j, &cost);
    d->bytes = cost.bytes_in + cost.bytes_out + (cost.verify ? cost.bytes_in + cost.bytes_out : 0);
    d->peak = cost.peak;
    job_release(&j);
    return (d->output = submission_absolute(r->output, e)) ? 0 : -1;
}

/* ---- tasks ---- */

static int words(const struct cli *c, const char *recipe, const char *variant, struct strs *w, struct err *e)
{
    const struct {
        const char *option, *value;
    } given[] = { { "--variant", variant },  { "--model", c->model }, { "--dataset", c->dataset },
                  { "--output", c->output }, { "--seed", c->seed },   { "--kernels", c->kernels } };
    char *path = mem_printf(e, "%s%s", *recipe == '-' ? "./" : "", recipe);
    int rc = !path || strs_add(w, "run", e) || strs_add(w, path, e);
    for (size_t i = 0; !rc && i < sizeof given / sizeof *given; i++)
        rc = given[i].value ? strs_add(w, given[i].option, e) || strs_add(w, given[i].value, e) : 0;
    for (size_t i = 0; !rc && i < c->set.n; i++)
        rc = strs_add(w, "--set", e) || strs_add(w, c->set.v[i], e);
    rc = rc || (c->allow_unmatched && strs_add(w, "--allow-unmatched", e));
    rc = rc || (c->force && strs_add(w, "--force", e));
    mem_free(path);
    return rc ? -1 : 0;
}

static int grow(struct submission *s, struct err *e)
{
    size_t n = s->job.n_tasks;
    if (n == MOST_TASKS)
        return err_set(e, ERR_LIMIT, "found more than %d runs, expected at most so many in one array",
                       MOST_TASKS);
    struct batch_task *t = mem_resize(s->job.task, (n + 1) * sizeof *t, e);
    if (!t)
        return -1;
    s->job.task = t;
    struct demand *d = mem_resize(s->demand, (n + 1) * sizeof *d, e);
    if (!d)
        return -1;
    s->demand = d;
    memset(t + n, 0, sizeof *t);
    memset(d + n, 0, sizeof *d);
    s->job.n_tasks++;
    return 0;
}

static int add_task(const struct cli *c, const char *recipe, const char *variant, struct submission *s,
                    struct err *e)
{
    struct cli one = *c;
    struct recipe r;
    char *word[] = { (char *)(uintptr_t)recipe };
    one.word = (struct strs){ word, 1, 1 };
    one.variant = (char *)(uintptr_t)variant;
    if (c->output && s->job.n_tasks) {
        err_set(e, ERR_INPUT, "--output names one folder, and there are several runs");
        return err_hint(e, "name outputs in the recipes; those of variants get -NAME appended");
    }
    if (grow(s, e))
        return -1;
    struct batch_task *t = &s->job.task[s->job.n_tasks - 1];
    struct demand *d = &s->demand[s->job.n_tasks - 1];
    if (cli_recipe(&one, &r, e))
        return -1;
    int rc = measure(&one, &r, d, e);
    recipe_release(&r);
    for (size_t i = 0; !rc && i + 1 < s->job.n_tasks; i++)
        if (!strcmp(s->demand[i].output, d->output)) {
            rc = err_set(e, ERR_INPUT, "found output '%s' for two runs, expected one for each", d->output);
            err_hint(e, "name another `output:` in %s", recipe);
        }
    d->label = rc        ? NULL
               : variant ? mem_printf(e, "%s, variant %s", path_base(recipe), variant)
                         : mem_strdup(path_base(recipe), e);
    if (!d->label || words(c, recipe, variant, &t->words, e))
        return err_while(e, "planning %s", recipe);
    t->label = d->label;
    if (!c->force)
        t->done = path_join(d->output, MANIFEST_NAME, e);
    return c->force || t->done ? 0 : -1;
}

static int add_recipe(const struct cli *c, const char *recipe, struct submission *s, struct err *e)
{
    struct strs names = { 0 };
    const struct strs *chosen = c->batch.variants.n ? &c->batch.variants : &names;
    int rc = recipe_variants(recipe, &names, e);
    if (!rc && !chosen->n)
        rc = add_task(c, recipe, NULL, s, e);
    for (size_t i = 0; !rc && i < chosen->n; i++)
        rc = add_task(c, recipe, chosen->v[i], s, e);
    strs_release(&names);
    return rc;
}

int submission_tasks(const struct cli *c, struct submission *s, struct err *e)
{
    for (size_t i = 0; i < c->word.n; i++)
        if (add_recipe(c, c->word.v[i], s, e))
            return -1;
    return 0;
}
