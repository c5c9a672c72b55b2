/* cli.c - command lines by option tables: --name value, --name=value, --flag. */
#include "pipeline/cli.h"

#include "base/log.h"
#include "base/mem.h"
#include "cluster/comm.h"

#include <string.h>

static const char *const log_formats[] = { "text", "json", NULL };
static const char *const log_levels[] = { "error", "warning", "info", "debug", NULL };

const struct opt common_options[] = {
    { .name = "threads",
      .type = OPT_INT,
      .at = CLI_AT(threads),
      .max = 4096,
      .doc = "Worker threads; 0: one per core of the affinity mask. The output does not depend on it." },
    { .name = "log-format",
      .type = OPT_ENUM,
      .at = CLI_AT(log_format),
      .words = log_formats,
      .doc = "Lines on stderr for people or as JSON." },
    { .name = "log-level",
      .type = OPT_ENUM,
      .at = CLI_AT(log_level),
      .def = LOG_INFO,
      .words = log_levels,
      .doc = "How much is said on stderr." },
    { .name = "kernels",
      .type = OPT_STR,
      .at = CLI_AT(kernels),
      .doc = "Force c, avx2 or avx512 (also QPIPE_KERNELS); the bits are the same." },
    { .name = NULL },
};

const struct command *command_find(const char *name)
{
    for (const struct command *const *c = commands; *c; c++)
        if (!strcmp((*c)->name, name))
            return *c;
    return NULL;
}

static const struct opt *find(const struct command *cmd, const char *name)
{
    const struct opt *o = opt_find(cmd->options, name);
    return o ? o : opt_find(common_options, name);
}

static int unknown(const struct command *cmd, const char *name, struct err *e)
{
    err_set(e, ERR_INPUT, "found option '--%s', expected an option of `qpipe %s`", name, cmd->name);
    const char *near = str_nearest(name, &cmd->options->name, opt_count(cmd->options), sizeof(struct opt));
    if (!near)
        near = str_nearest(name, &common_options->name, opt_count(common_options), sizeof(struct opt));
    return near ? err_hint(e, "did you mean '--%s'?", near)
                : err_hint(e, "`qpipe help %s` lists them", cmd->name);
}

static int take_option(const struct command *cmd, int argc, char **argv, int *i, struct cli *c, struct err *e)
{
    char name[64];
    const char *text = argv[*i] + 2, *eq = strchr(text, '=');
    size_t n = eq ? (size_t)(eq - text) : strlen(text);
    if (n >= sizeof name)
        return unknown(cmd, text, e);
    memcpy(name, text, n);
    name[n] = '\0';
    const struct opt *o = find(cmd, name);
    if (!o)
        return unknown(cmd, name, e);
    const char *value = eq ? eq + 1 : o->type == OPT_BOOL ? "true" : NULL;
    if (!value && *i + 1 < argc)
        value = argv[++*i];
    if (!value)
        return err_set(e, ERR_INPUT, "option '--%s' needs a value", name);
    if (o->type == OPT_STRS)
        return strs_add((struct strs *)(void *)((char *)c + o->at), value, e);
    return opt_assign_text(o, c, value, e) ? err_while(e, "reading the command line") : 0;
}

int cli_parse(const struct command *cmd, int argc, char **argv, struct cli *out, struct err *e)
{
    bool options = true;
    memset(out, 0, sizeof *out);
    if (opt_defaults(cmd->options, out, e) || opt_defaults(common_options, out, e))
        return -1;
    for (int i = 0; i < argc; i++) {
        int rc;
        if (options && !strcmp(argv[i], "--")) {
            options = false;
            continue;
        }
        if (options && argv[i][0] == '-' && argv[i][1] == '-')
            rc = take_option(cmd, argc, argv, &i, out, e);
        else if (options && argv[i][0] == '-' && argv[i][1])
            rc = err_set(e, ERR_INPUT, "found '%s', expected an option with two dashes", argv[i]);
        else
            rc = strs_add(&out->word, argv[i], e);
        if (rc)
            return -1;
    }
    int n = (int)out->word.n;
    if (n < cmd->min_words || n > cmd->max_words) {
        err_set(e, ERR_INPUT, "qpipe %s: found %d words, expected: qpipe %s %s", cmd->name, n, cmd->name,
                cmd->words);
        return err_hint(e, "`qpipe help %s` says more", cmd->name);
    }
    return 0;
}

void cli_release(const struct command *cmd, struct cli *c)
{
    opt_release(cmd->options, c);
    opt_release(common_options, c);
    strs_release(&c->word);
}

int cli_recipe(const struct cli *c, struct recipe *out, struct err *e)
{
    struct var *v = mem_array(c->set.n + 1, sizeof *v, e);
    struct strs names = { 0 };
    int rc = v ? 0 : -1;
    for (size_t i = 0; !rc && i < c->set.n; i++) {
        const char *eq = strchr(c->set.v[i], '=');
        char *name = eq && eq > c->set.v[i] ? mem_strndup(c->set.v[i], (size_t)(eq - c->set.v[i]), e) : NULL;
        if (!eq || eq == c->set.v[i])
            rc = err_set(e, ERR_INPUT, "--set: found '%s', expected NAME=VALUE", c->set.v[i]);
        else
            rc = name ? strs_add(&names, name, e) : -1;
        if (!rc)
            v[i] = (struct var){ names.v[i], eq + 1 };
        mem_free(name);
    }
    if (!rc) {
        struct recipe_args a = { c->model, c->dataset, c->output, c->seed, v, c->set.n, c->variant };
        rc = recipe_read(c->word.v[0], &a, out, e);
    }
    strs_release(&names);
    mem_free(v);
    return rc;
}

int print_text(const struct buf *b, struct err *e)
{
    if (comm_world()->rank)
        return 0; /* rank 0 speaks for all */
    if (b->len && fwrite(b->p, 1, b->len, stdout) != b->len)
        return err_io(e, "write", "stdout");
    return fflush(stdout) ? err_io(e, "write", "stdout") : 0;
}
