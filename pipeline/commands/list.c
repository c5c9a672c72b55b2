/* list.c - `qpipe list`: every table of the program, a row a line; and `qpipe schema`, `qpipe version`. */
#include "pipeline/commands/rows.h"

#include "base/version.h"
#include "cluster/batch.h"
#include "cluster/comm.h"
#include "io/containers/container.h"
#include "kernels/compute.h"
#include "model/model.h"
#include "quant/grid.h"
#include "quant/observer.h"
#include "quant/solver.h"
#include "text/dataset.h"

#include <string.h>

const struct exit_status exit_statuses[] = {
    { 0, "done" },
    { 1, "done, and a threshold was not met or a recheck found a difference" },
    { 2, "recipe, option, checkpoint or text is wrong" },
    { 3, "input exceeds a stated limit" },
    { 4, "the system refused a read, write, open or rename" },
    { 5, "out of memory" },
    { 6, "a known thing that this version can not do yet" },
    { 70, "a mistake of qpipe's own" },
    { 75, "interrupted, or a rank was lost; nothing was published; run it again to go on" },
    { 0, NULL },
};

struct sink {
    int (*f)(void *arg, const struct listed *row, struct err *e);
    void *arg;
    struct err *e;
    int rc;
};
static void row(struct sink *s, const char *table, const char *name, const char *doc, bool built)
{
    struct listed r = { table, name, doc, built };
    if (!s->rc)
        s->rc = s->f(s->arg, &r, s->e);
}

static void list_quant(struct sink *s)
{
    for (const struct grid *const *g = grids; *g; g++)
        row(s, "grids", (*g)->name, (*g)->doc, true);
    for (const struct observer *const *o = observers; *o; o++)
        row(s, "observers", (*o)->name, (*o)->doc, true);
    for (const struct solver *const *v = solvers; *v; v++)
        row(s, "solvers", (*v)->name, (*v)->doc, true);
    for (const struct container *const *c = containers; *c; c++)
        row(s, "containers", (*c)->name, (*c)->doc, true);
    for (const struct preset *p = presets; p->name; p++) {
        char word[96];
        struct err why = { 0 };
        bool built = !p->scheme.has_weights ||
                     (grid_for(&p->scheme.weights, &why) && !containers[0]->fits(&p->scheme, &why));
        row(s, "schemes", p->name,
            p->scheme.has_weights ? quant_args_word(&p->scheme.weights, word) : "nothing is quantized",
            built);
    }
}

static void list_model(struct sink *s)
{
    int64_t n = 0;
    const struct table_row *r = model_architectures(&n);
    for (int64_t i = 0; i < n; i++)
        row(s, "architectures", r[i].name, r[i].doc, r[i].built);
    r = model_steps(&n);
    for (int64_t i = 0; i < n; i++)
        row(s, "steps", r[i].name, r[i].doc, r[i].built);
}

static void list_text(struct sink *s)
{
    for (const struct tokenizer_part *p = tokenizer_parts; p->name; p++) {
        char table[48];
        snprintf(table, sizeof table, "tokenizer %ss", p->table);
        row(s, table, p->name, p->doc, true);
    }
    for (const struct data_format *d = data_formats; d->name; d++)
        row(s, "data formats", d->name, d->doc, true);
}

int list_each(int (*f)(void *arg, const struct listed *row, struct err *e), void *arg, struct err *e)
{
    struct sink s = { f, arg, e, 0 };
    for (const struct command *const *c = commands; *c; c++)
        row(&s, "commands", (*c)->name, (*c)->doc, true);
    for (int modifiers = 0; modifiers < 2; modifiers++)
        for (const struct stage_spec *const *p = stage_specs; *p; p++)
            if (((*p)->kind == STAGE_MODIFIER) == modifiers)
                row(&s, modifiers ? "modifiers" : "stages", (*p)->name, (*p)->doc, !(*p)->unbuilt);
    for (const struct dialect *d = dialects; d->name; d++)
        row(&s, "dialects", d->name, d->doc, true);
    list_quant(&s);
    list_model(&s);
    list_text(&s);
    for (const struct compute *const *c = computes; *c; c++)
        row(&s, "compute", (*c)->name, (*c)->doc, true);
    for (const struct comm_kind *const *k = comms; *k; k++)
        row(&s, "communicators", (*k)->name, (*k)->doc, true);
    for (const struct batch_kind *const *b = batches; *b; b++)
        row(&s, "batch schedulers", (*b)->name, (*b)->doc, true);
    return s.rc;
}

struct printer {
    const char *only, *last;
    char table[64];
    struct buf out;
    struct jw w;
    bool json;
    size_t rows;
};

static int print_row(void *arg, const struct listed *r, struct err *e)
{
    struct printer *p = arg;
    if (p->only && strcmp(p->only, r->table))
        return 0;
    p->rows++;
    if (p->json) {
        jw_object(&p->w);
        jw_kstr(&p->w, "table", r->table);
        jw_kstr(&p->w, "name", r->name);
        jw_kstr(&p->w, "doc", r->doc);
        jw_kbool(&p->w, "built", r->built);
        jw_end_object(&p->w);
        return 0;
    }
    int rc = 0;
    if (strcmp(p->table, r->table))
        rc = buf_printf(&p->out, e, "%s%s\n", p->out.len ? "\n" : "", r->table);
    snprintf(p->table, sizeof p->table, "%s", r->table);
    return rc || buf_printf(&p->out, e, "  %-28s %s%s\n", r->name, r->doc, r->built ? "" : " (not built yet)")
               ? -1
               : 0;
}

static int run_list(struct cli *c, struct err *e)
{
    struct printer p = { .only = c->word.n ? c->word.v[0] : NULL, .json = c->json };
    jw_init(&p.w, &p.out, 2);
    if (p.json)
        jw_array(&p.w);
    int rc = list_each(print_row, &p, e);
    if (p.json)
        jw_end_array(&p.w);
    if (!rc && p.json)
        rc = jw_done(&p.w, e);
    if (!rc && !p.rows) {
        rc = err_set(e, ERR_INPUT, "found no table '%s'", p.only);
        err_hint(e, "`qpipe list` prints all of them");
    }
    if (!rc)
        rc = print_text(&p.out, e);
    buf_release(&p.out);
    return rc;
}

static int run_schema(struct cli *c, struct err *e)
{
    struct buf out = { 0 };
    struct jw w;
    (void)c;
    jw_init(&w, &out, 2);
    recipe_schema(&w);
    int rc = jw_done(&w, e) || print_text(&out, e) ? -1 : 0;
    buf_release(&out);
    return rc;
}

static int run_version(struct cli *c, struct err *e)
{
    struct buf out = { 0 };
    (void)c;
    int rc =
        buf_printf(&out, e, "qpipe %s (commit %s)\n", QP_VERSION, version_commit()) || print_text(&out, e)
            ? -1
            : 0;
    buf_release(&out);
    return rc;
}

static const struct opt json_only[] = { CLI_JSON, { .name = NULL } };
static const struct opt none[] = { { .name = NULL } };
static const char *const list_details[] = {
    "Prints every table of the program: what each row is called and does, and which known ones are not built yet.",
    NULL
};
static const char *const schema_details[] = { "Prints a JSON Schema (2020-12) of recipes, for editors.",
                                              NULL };
static const char *const version_details[] = {
    "Prints the version and the commit that the program was built from.", NULL
};
const struct command command_list = { "list",       "[TABLE]", "Print the program's tables.",
                                      json_only,    0,         1,
                                      list_details, run_list,  false };
const struct command command_schema = { "schema",       "",         "Print a JSON Schema of recipes.",
                                        none,           0,          0,
                                        schema_details, run_schema, false };
const struct command command_version = { "version",   "",   "Print the version.", none, 0, 0, version_details,
                                         run_version, false };
